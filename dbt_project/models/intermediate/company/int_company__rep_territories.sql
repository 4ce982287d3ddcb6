-- Somebody's territory on each day. Who has assignments is where they say; who has none keeps the territory of the user
-- record from the first day to the last. An assignment ends where a later one begins.
with

users as (
    {{ one_record_each('users') }}
),

assignments as (
    {{ one_record_each('territory_assignments') }}
),

territories as (
    select * from {{ ref('int_company__territories') }}
),

assigned as (
    select distinct source_system, user_id from assignments
),

said as (
    select source_system, user_id, territory_id, valid_from, coalesce(valid_to, {{ last_day() }}) as valid_to
    from assignments
    where valid_from < coalesce(valid_to, {{ last_day() }})

    union all

    select
        users.source_system, users.user_id, users.territory_id,
        coalesce(users.hired_on, {{ first_day() }}) as valid_from,
        coalesce(users.left_on, {{ last_day() }}) as valid_to
    from users
    left join assigned
        on users.source_system = assigned.source_system
        and users.user_id = assigned.user_id
    where assigned.user_id is null
        and users.territory_id is not null
),

with_territory as (
    {{ with_key('said', 'territory_id', 'territories', 'territory_id', 'territory_key', 'territory_key') }}
),

cut as (
    select
        *,
        lead(valid_from) over (partition by source_system, user_id order by valid_from, valid_to, territory_key) as next_from
    from with_territory
)

select
    {{ surrogate_key(['source_system', 'user_id']) }} as rep_key,
    territory_key,
    valid_from,
    least(valid_to, coalesce(next_from, valid_to)) as valid_to
from cut
where valid_from < least(valid_to, coalesce(next_from, valid_to))
    and valid_from <= cast({{ as_of() }} as date)
