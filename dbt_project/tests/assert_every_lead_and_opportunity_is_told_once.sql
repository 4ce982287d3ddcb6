-- A lead or opportunity that is known is in journeys of one story, or named as left out; never both, never neither.
with

known as (
    select source_system, object, record_id from {{ ref('int_funnel__records') }}
),

told as (
    select source_system, 'lead' as object, lead_id as record_id, story_id
    from {{ ref('int_funnel__journeys') }}
    where lead_id is not null

    union

    select source_system, 'opportunity' as object, opportunity_id as record_id, story_id
    from {{ ref('int_funnel__journeys') }}
    where opportunity_id is not null
),

named as (
    select source_system, object, record_id, story_id from told

    union all

    select source_system, object, record_id, 'left out' as story_id
    from {{ ref('int_funnel__left_out') }}
    where object in ('lead', 'opportunity')
),

counted as (
    select source_system, object, record_id, count(*) as times
    from named
    group by source_system, object, record_id
)

select
    coalesce(known.source_system, counted.source_system) as source_system,
    coalesce(known.object, counted.object) as object,
    coalesce(known.record_id, counted.record_id) as record_id,
    counted.times
from known
full outer join counted
    on known.source_system = counted.source_system
    and known.object = counted.object
    and known.record_id = counted.record_id
where known.record_id is null
    or counted.times is null
    or counted.times <> 1
