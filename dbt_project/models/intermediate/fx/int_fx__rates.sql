-- The rates as they are known now; what has no rate is not here.
select
    currency,
    wanted_on,
    fx_rate,
    fx_date,
    is_fx_carried
from {{ ref('int_fx__rates_known') }}
where known_to = {{ end_of_time() }}
    and fx_rate is not null
