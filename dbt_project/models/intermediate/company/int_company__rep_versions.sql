-- Somebody's attributes and territory by the day. A new stretch begins where either changes.
with

users as (
    select * from {{ ref('int_company__user_versions') }}
),

territories as (
    select * from {{ ref('int_company__rep_territories') }}
),

reps as (
    select rep_key, source_system, user_id from {{ ref('int_company__reps') }}
),

bounds as (
    select entity_key as rep_key, valid_from from users
    union distinct
    select rep_key, valid_from from territories
    union distinct
    select rep_key, valid_to as valid_from from territories
),

-- what a source assigns to somebody whom it has not delivered describes nobody
described as (
    select
        bounds.rep_key, reps.source_system, reps.user_id, users.full_name, users.function, users.role, users.rep_type,
        users.manager_id, users.team, users.calendar, users.hired_on, users.ramp_end_on, users.left_on,
        coalesce(territories.territory_key, '-1') as territory_key, bounds.valid_from, users._load_id,
        {{ joined_text(['users.version_key', 'territories.territory_key']) }} as content
    from bounds
    inner join reps on bounds.rep_key = reps.rep_key
    inner join users
        on bounds.rep_key = users.entity_key
        and bounds.valid_from >= users.valid_from
        and bounds.valid_from < users.valid_to
    left join territories
        on bounds.rep_key = territories.rep_key
        and bounds.valid_from >= territories.valid_from
        and bounds.valid_from < territories.valid_to
),

compared as (
    select *, lag(content) over (partition by rep_key order by valid_from) as content_before
    from described
)

select
    {{ surrogate_key(['rep_key', 'valid_from', 'content']) }} as rep_version_key,
    rep_key,
    source_system,
    user_id,
    full_name,
    function,
    role,
    rep_type,
    manager_id,
    team,
    calendar,
    hired_on,
    ramp_end_on,
    left_on,
    territory_key,
    valid_from,
    coalesce(lead(valid_from) over (partition by rep_key order by valid_from), {{ last_day() }}) as valid_to,
    _load_id
from compared
where content_before is null
    or content <> content_before
