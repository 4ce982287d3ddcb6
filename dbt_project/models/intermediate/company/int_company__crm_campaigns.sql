with

campaigns as (
    {{ one_record_each('crm_campaigns') }}
)

select
    {{ surrogate_key(['source_system', 'crm_campaign_id']) }} as crm_campaign_key,
    source_system,
    crm_campaign_id,
    campaign_name,
    {{ canonical_channel('channel') }} as channel,
    ad_campaign_id,
    started_on,
    ended_on,
    budget_amount,
    currency,
    owner_id,
    _load_id
from campaigns
