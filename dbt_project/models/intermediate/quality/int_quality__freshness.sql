-- The one definition of freshness: a stream is late from the day on which its newest day is more than its declared days back.
-- Streams whose rows are about no day (lists of campaigns or accounts) have no rhythm and are not judged.
{% set judged = [] -%}
{%- for name, contract in var('contracts').items() if contract.day -%}
    {%- do judged.append({'contract': name, 'day': contract.day}) -%}
{%- endfor -%}
with

streams as (
    select * from {{ ref('stg_files__streams') }}
    where contract in ({% for each in judged %}'{{ each.contract }}'{{ ', ' if not loop.last }}{% endfor %})
),

loads as (
    select source_system, min(known_at) as first_known_at from {{ ref('int_quality__loads') }}
    group by source_system
),

-- a slip of the keyboard in the year of one row must not make its stream fresh for years; at as-of it is tomorrow somewhere
reached as (
    {% for each in judged -%}
    select source_system, stream, max(cast({{ each.day }} as date)) as last_day
    from ({{ current_records(each.contract) }}) as {{ each.contract }}
    where cast({{ each.day }} as date) <= cast({{ dbt.dateadd('day', 1, as_of()) }} as date)
    group by source_system, stream
    {{ 'union all' if not loop.last }}
    {% endfor %}
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
