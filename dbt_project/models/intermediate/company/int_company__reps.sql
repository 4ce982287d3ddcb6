with

users as (
    {{ one_record_each('users') }}
),

territories as (
    select * from {{ ref('int_company__rep_territories') }}
    where valid_from <= cast({{ as_of() }} as date)
        and valid_to > cast({{ as_of() }} as date)
),

hierarchy as (
    {{ followed('users', 'user_id', 'manager_id', path='/') }}
),

keyed as (
    select
        {{ surrogate_key(['users.source_system', 'users.user_id']) }} as rep_key,
        case
            when managers.user_id is not null then {{ surrogate_key(['managers.source_system', 'managers.user_id']) }}
        end as manager_rep_key,
        hierarchy.path as manager_path,
        users.*
    from users
    inner join hierarchy
        on users.source_system = hierarchy.source_system
        and users.user_id = hierarchy.id
    left join users as managers
        on users.source_system = managers.source_system
        and users.manager_id = managers.user_id
)

select
    keyed.rep_key,
    keyed.manager_rep_key,
    keyed.manager_path,
    coalesce(territories.territory_key, '-1') as territory_key,
    keyed.source_system,
    keyed.user_id,
    keyed.full_name,
    keyed.function,
    keyed.role,
    keyed.rep_type,
    keyed.team,
    keyed.calendar,
    keyed.hired_on,
    keyed.ramp_end_on,
    keyed.left_on,
    keyed._load_id
from keyed
left join territories on keyed.rep_key = territories.rep_key
