-- Held back from the fact until a rate arrives, counted in the gate.
select
    grain_key,
    source_system,
    stream,
    ad_account_id,
    level,
    campaign_id,
    currency,
    spend_date,
    spend_amount,
    known_from,
    known_to,
    known_to = {{ end_of_time() }} as is_current,
    _load_id
from {{ ref('int_spend__converted') }}
where fx_rate is null
