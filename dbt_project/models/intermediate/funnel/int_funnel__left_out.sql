-- Leads and opportunities that no journey tells of, with the reason; changes of records that nobody delivered; and what is dated
-- after the moment of the run.
with

leads as (
    {{ one_record_each('leads') }}
),

opportunities as (
    {{ one_record_each('opportunities') }}
),

records as (
    select * from {{ ref('int_funnel__records') }}
),

status_events as (
    select
        source_system, object, record_id,
        max(case when mapping = 'unmapped' then 1 else 0 end) as has_unmapped,
        max(case when outcome is not null then 1 else 0 end) as has_outcome
    from {{ ref('int_funnel__status_events') }}
    group by source_system, object, record_id
),

told as (
    select distinct source_system, 'lead' as object, lead_id as record_id
    from {{ ref('int_funnel__steps') }}
    where lead_id is not null

    union all

    select distinct source_system, 'opportunity' as object, opportunity_id as record_id
    from {{ ref('int_funnel__steps') }}
    where opportunity_id is not null
)

select
    records.source_system,
    records.object,
    records.record_id,
    case
        when status_events.has_unmapped = 1 then 'unmapped'
        when status_events.has_outcome = 1 then 'no_step'
        else 'no_status'
    end as reason,
    cast(null as {{ dbt.type_string() }}) as source_value,
    records.created_at as occurred_at
from records
inner join status_events
    on records.source_system = status_events.source_system
    and records.object = status_events.object
    and records.record_id = status_events.record_id
left join told
    on records.source_system = told.source_system
    and records.object = told.object
    and records.record_id = told.record_id
where told.record_id is null

union all

select source_system, object || '_value' as object, record_id, 'unmapped' as reason, source_value, occurred_at
from {{ ref('int_funnel__status_events') }}
where mapping = 'unmapped'

union all

select
    source_system, object || '_change' as object, change_id as record_id, 'unknown_record' as reason,
    cast(null as {{ dbt.type_string() }}) as source_value, changed_at as occurred_at
from {{ ref('int_funnel__changes') }}
where not is_record_known

union all

select
    source_system, object || '_change' as object, change_id as record_id, 'after_as_of' as reason,
    cast(null as {{ dbt.type_string() }}) as source_value, changed_at as occurred_at
from {{ ref('int_funnel__changes') }}
where is_record_known
    and changed_at > {{ as_of() }}

union all

select
    source_system, 'lead' as object, lead_id as record_id, 'after_as_of' as reason,
    cast(null as {{ dbt.type_string() }}) as source_value, created_at as occurred_at
from leads
where created_at > {{ as_of() }}

union all

select
    source_system, 'opportunity' as object, opportunity_id as record_id, 'after_as_of' as reason,
    cast(null as {{ dbt.type_string() }}) as source_value, created_at as occurred_at
from opportunities
where created_at > {{ as_of() }}
