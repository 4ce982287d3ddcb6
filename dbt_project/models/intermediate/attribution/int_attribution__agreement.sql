-- What was agreed when; what lies before the first agreement is read by the first.
with

versions as (
    select
        *,
        lag(valid_from) over (partition by conversion_type order by valid_from) as valid_from_before,
        lead(valid_from) over (partition by conversion_type order by valid_from) as next_valid_from
    from {{ ref('attribution_parameters') }}
)

select
    conversion_type,
    path_unit,
    lookback_days,
    conversion_grace_seconds,
    primary_model,
    case when valid_from_before is null then {{ first_day() }} else valid_from end as valid_from,
    coalesce(next_valid_from, {{ last_day() }}) as valid_to
from versions
