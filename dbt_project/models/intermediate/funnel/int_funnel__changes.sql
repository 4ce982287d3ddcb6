with

lead_changes as (
    {{ one_record_each('lead_changes') }}
),

opportunity_changes as (
    {{ one_record_each('opportunity_changes') }}
),

records as (
    select * from {{ ref('int_funnel__records') }}
),

changes as (
    select
        source_system, 'lead' as object, change_id, lead_id as record_id, field, old_value, new_value, changed_at
    from lead_changes

    union all

    select
        source_system, 'opportunity' as object, change_id, opportunity_id as record_id, field, old_value, new_value, changed_at
    from opportunity_changes
)

select
    changes.source_system,
    changes.object,
    changes.change_id,
    changes.record_id,
    changes.field,
    changes.old_value,
    changes.new_value,
    changes.changed_at,
    records.record_id is not null as is_record_known,
    row_number() over (
        partition by changes.source_system, changes.object, changes.record_id, changes.field
        order by changes.changed_at, changes.change_id
    ) as change_no
from changes
left join records
    on changes.source_system = records.source_system
    and changes.object = records.object
    and changes.record_id = records.record_id
