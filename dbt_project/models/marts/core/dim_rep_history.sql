with

versions as (
    select * from {{ ref('int_company__rep_versions') }}
),

managers as (
    select source_system, user_id, rep_key from {{ ref('int_company__reps') }}
),

members as (
    select
        versions.rep_version_key, versions.rep_key, versions.source_system, versions.user_id, versions.full_name, versions.function,
        versions.role, versions.rep_type, managers.rep_key as manager_rep_key, versions.team, versions.territory_key,
        versions.calendar, versions.hired_on, versions.ramp_end_on, versions.left_on, versions.valid_from, versions.valid_to,
        versions._load_id
    from versions
    left join managers
        on versions.source_system = managers.source_system
        and versions.manager_id = managers.user_id

    union all

    -- what nobody owns, or somebody whom the CRM does not know, meets this row on any day
    select
        '-1' as rep_version_key, '-1' as rep_key, 'unknown' as source_system, 'unknown' as user_id, 'unknown' as full_name,
        null as function, null as role, null as rep_type, null as manager_rep_key, null as team, '-1' as territory_key,
        null as calendar, null as hired_on, null as ramp_end_on, null as left_on, {{ first_day() }} as valid_from,
        {{ last_day() }} as valid_to, null as _load_id
)

select
    cast(rep_version_key as {{ dbt.type_string() }}) as rep_version_key,
    cast(rep_key as {{ dbt.type_string() }}) as rep_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(user_id as {{ dbt.type_string() }}) as user_id,
    cast(full_name as {{ dbt.type_string() }}) as full_name,
    cast(function as {{ dbt.type_string() }}) as function,
    cast(role as {{ dbt.type_string() }}) as role,
    cast(rep_type as {{ dbt.type_string() }}) as rep_type,
    coalesce(rep_type = 'overlay', false) as is_overlay,
    cast(manager_rep_key as {{ dbt.type_string() }}) as manager_rep_key,
    cast(team as {{ dbt.type_string() }}) as team,
    cast(territory_key as {{ dbt.type_string() }}) as territory_key,
    cast(calendar as {{ dbt.type_string() }}) as calendar,
    cast(hired_on as date) as hired_on,
    cast(ramp_end_on as date) as ramp_end_on,
    cast(left_on as date) as left_on,
    cast(valid_from as date) as valid_from,
    cast(valid_to as date) as valid_to,
    valid_from <= cast({{ as_of() }} as date) and valid_to > cast({{ as_of() }} as date) as is_current,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from members
