with

territories as (
    select * from {{ ref('int_company__territories') }}
),

reps as (
    select * from {{ ref('int_company__reps') }}
),

with_manager as (
    {{ with_key('territories', 'manager_id', 'reps', 'user_id', 'rep_key', 'manager_rep_key') }}
),

members as (
    select
        with_manager.territory_key, with_manager.parent_territory_key, with_manager.top_territory_key, with_manager.source_system,
        with_manager.territory_id, with_manager.territory_name, with_manager.region, with_manager.manager_rep_key, reps.calendar,
        with_manager._load_id
    from with_manager
    left join reps on with_manager.manager_rep_key = reps.rep_key

    union all

    -- bookings whose owner had no territory on the day
    select
        '-1' as territory_key, null as parent_territory_key, '-1' as top_territory_key, 'unknown' as source_system,
        'unknown' as territory_id, 'unknown' as territory_name, null as region, '-1' as manager_rep_key, null as calendar,
        null as _load_id
)

select
    cast(territory_key as {{ dbt.type_string() }}) as territory_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(territory_id as {{ dbt.type_string() }}) as territory_id,
    cast(territory_name as {{ dbt.type_string() }}) as territory_name,
    cast(parent_territory_key as {{ dbt.type_string() }}) as parent_territory_key,
    cast(top_territory_key as {{ dbt.type_string() }}) as top_territory_key,
    cast(region as {{ dbt.type_string() }}) as region,
    cast(manager_rep_key as {{ dbt.type_string() }}) as manager_rep_key,
    cast(calendar as {{ dbt.type_string() }}) as calendar,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from members
