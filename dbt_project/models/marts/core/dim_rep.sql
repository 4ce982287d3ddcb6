with

reps as (
    select
        rep_key, manager_rep_key, manager_path, territory_key, source_system, user_id, full_name, function, role, rep_type, team,
        calendar, hired_on, ramp_end_on, left_on, _load_id
    from {{ ref('int_company__reps') }}

    union all

    -- what nobody owns, or somebody whom the CRM does not know
    select
        '-1' as rep_key, null as manager_rep_key, 'unknown' as manager_path, '-1' as territory_key, 'unknown' as source_system,
        'unknown' as user_id, 'unknown' as full_name, null as function, null as role, null as rep_type, null as team,
        null as calendar, null as hired_on, null as ramp_end_on, null as left_on, null as _load_id
)

select
    cast(rep_key as {{ dbt.type_string() }}) as rep_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(user_id as {{ dbt.type_string() }}) as user_id,
    cast(full_name as {{ dbt.type_string() }}) as full_name,
    cast(function as {{ dbt.type_string() }}) as function,
    cast(role as {{ dbt.type_string() }}) as role,
    cast(rep_type as {{ dbt.type_string() }}) as rep_type,
    coalesce(rep_type = 'overlay', false) as is_overlay,
    cast(manager_rep_key as {{ dbt.type_string() }}) as manager_rep_key,
    cast(manager_path as {{ dbt.type_string() }}) as manager_path,
    cast(team as {{ dbt.type_string() }}) as team,
    cast(territory_key as {{ dbt.type_string() }}) as territory_key,
    cast(calendar as {{ dbt.type_string() }}) as calendar,
    cast(hired_on as date) as hired_on,
    cast(ramp_end_on as date) as ramp_end_on,
    cast(left_on as date) as left_on,
    rep_key <> '-1' and coalesce(hired_on <= cast({{ as_of() }} as date), true)
    and coalesce(left_on > cast({{ as_of() }} as date), true) as is_active,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from reps
