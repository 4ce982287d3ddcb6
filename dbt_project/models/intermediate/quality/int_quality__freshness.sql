-- The one definition of freshness: a stream is late from the day on which its newest day is more than its declared days back.
-- Streams whose rows are about no day (lists of campaigns or accounts) have no rhythm and are not judged.
with

streams as (
    select * from {{ ref('stg_files__streams') }}
    where contract in ('performance_daily', 'fx_rates')
),

loads as (
    select source_system, min(known_at) as first_known_at from {{ ref('int_quality__loads') }}
    group by source_system
),

reached as (
    select source_system, stream, max(spend_date) as last_day from {{ ref('int_spend__converted') }}
    where known_to = {{ end_of_time() }}
    group by source_system, stream
    union all
    select source_system, stream, max(rate_date) as last_day from {{ ref('int_conformed__fx_rates') }}
    group by source_system, stream
),

dated as (
    select
        streams.source_system,
        streams.stream,
        streams.contract,
        streams.fresh_within_days,
        reached.last_day,
        -- a stream that brought no usable day is late since its source delivered for the first time
        coalesce(
            cast({{ dbt.dateadd('day', 'streams.fresh_within_days + 1', 'reached.last_day') }} as date),
            cast(loads.first_known_at as date)
        ) as late_since
    from streams
    inner join loads on streams.source_system = loads.source_system
    left join reached
        on streams.source_system = reached.source_system
        and streams.stream = reached.stream
)

select
    source_system,
    stream,
    contract,
    fresh_within_days,
    last_day,
    late_since,
    case when late_since <= cast({{ as_of() }} as date) then late_since end as stale_since
from dated
