with

records as (
    select * from {{ ref('int_funnel__records') }}
),

changes as (
    select *
    from {{ ref('int_funnel__changes') }}
    where is_record_known
        and ((object = 'lead' and field = 'status') or (object = 'opportunity' and field = 'stage'))
),

stage_map as (
    select * from {{ ref('stage_map') }}
),

steps as (
    select * from {{ ref('funnel_steps') }}
),

-- what a record was when it was made: what its first change took away, else what it still is
events as (
    select
        records.source_system,
        records.object,
        records.record_id,
        0 as event_no,
        least(records.created_at, coalesce(changes.changed_at, records.created_at)) as occurred_at,
        case when changes.change_id is null then records.current_value else changes.old_value end as source_value
    from records
    left join changes
        on records.source_system = changes.source_system
        and records.object = changes.object
        and records.record_id = changes.record_id
        and changes.change_no = 1

    union all

    select
        source_system, object, record_id, change_no as event_no, changed_at as occurred_at, new_value as source_value
    from changes
    where changed_at <= {{ as_of() }}
)

select
    events.source_system,
    events.object,
    events.record_id,
    events.event_no,
    events.occurred_at,
    events.source_value,
    stage_map.step,
    steps.step_order,
    stage_map.outcome,
    case
        when events.source_value is null then 'unsaid'
        when stage_map.source_value is null then 'unmapped'
        else 'mapped'
    end as mapping
from events
left join stage_map
    on events.object = stage_map.object
    and events.source_value = stage_map.source_value
    and cast(events.occurred_at as date) >= stage_map.valid_from
    and cast(events.occurred_at as date) < stage_map.valid_to
left join steps
    on stage_map.step = steps.step
    and cast(events.occurred_at as date) >= steps.valid_from
    and cast(events.occurred_at as date) < steps.valid_to
