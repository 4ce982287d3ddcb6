with

records as (
    select * from {{ ref('int_funnel__records') }}
),

changes as (
    select *
    from {{ ref('int_funnel__changes') }}
    where is_record_known
        and field = 'owner'
),

events as (
    select
        records.source_system,
        records.object,
        records.record_id,
        0 as change_no,
        least(records.created_at, coalesce(changes.changed_at, records.created_at)) as changed_at,
        case when changes.change_id is null then records.current_owner_id else changes.old_value end as owner_id
    from records
    left join changes
        on records.source_system = changes.source_system
        and records.object = changes.object
        and records.record_id = changes.record_id
        and changes.change_no = 1

    union all

    select source_system, object, record_id, change_no, changed_at, new_value as owner_id
    from changes
    where changed_at <= {{ as_of() }}
)

select
    source_system,
    object,
    record_id,
    change_no,
    owner_id,
    changed_at as valid_from,
    coalesce(
        lead(changed_at) over (partition by source_system, object, record_id order by change_no),
        {{ end_of_time() }}
    ) as valid_to
from events
