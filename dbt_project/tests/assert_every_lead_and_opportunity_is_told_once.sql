-- A lead or opportunity that was delivered is in journeys of one story, or named as left out; never both, never neither.
with

leads as (
    {{ one_record_each('leads') }}
),

opportunities as (
    {{ one_record_each('opportunities') }}
),

delivered as (
    select source_system, 'lead' as record_type, lead_id as record_id from leads
    union all
    select source_system, 'opportunity' as record_type, opportunity_id as record_id from opportunities
),

stories as (
    select journeys.source_system, journeys.lead_id, journeys.opportunity_id, stories.story_id
    from {{ ref('fct_journey') }} as journeys
    inner join {{ ref('int_funnel__journeys') }} as stories
        on journeys.source_system = stories.source_system
        and journeys.journey_id = stories.journey_id
),

told as (
    select source_system, 'lead' as record_type, lead_id as record_id, story_id
    from stories
    where lead_id is not null

    union

    select source_system, 'opportunity' as record_type, opportunity_id as record_id, story_id
    from stories
    where opportunity_id is not null
),

named as (
    select source_system, record_type, record_id from told

    union all

    select source_system, record_type, record_id
    from {{ ref('funnel_left_out') }}
    where record_type in ('lead', 'opportunity')
),

counted as (
    select source_system, record_type, record_id, count(*) as times
    from named
    group by source_system, record_type, record_id
)

select
    coalesce(delivered.source_system, counted.source_system) as source_system,
    coalesce(delivered.record_type, counted.record_type) as record_type,
    coalesce(delivered.record_id, counted.record_id) as record_id,
    counted.times
from delivered
full outer join counted
    on delivered.source_system = counted.source_system
    and delivered.record_type = counted.record_type
    and delivered.record_id = counted.record_id
where delivered.record_id is null
    or counted.times is null
    or counted.times <> 1
