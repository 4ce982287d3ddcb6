with

versions as (
    select * from {{ ref('int_company__account_versions') }}
),

accounts as (
    select source_system, account_id, account_key from {{ ref('int_company__accounts') }}
),

territories as (
    select * from {{ ref('int_company__territories') }}
),

reps as (
    select * from {{ ref('int_company__reps') }}
),

-- an account that its source does not list any more has left dim_account, and its history with it
listed as (
    select versions.*, accounts.account_key
    from versions
    inner join accounts on versions.entity_key = accounts.account_key
),

with_territory as (
    {{ with_key('listed', 'territory_id', 'territories', 'territory_id', 'territory_key', 'territory_key') }}
),

with_owner as (
    {{ with_key('with_territory', 'owner_id', 'reps', 'user_id', 'rep_key', 'owner_rep_key') }}
),

with_parent as (
    select with_owner.*, parents.account_key as parent_account_key
    from with_owner
    left join accounts as parents
        on with_owner.source_system = parents.source_system
        and with_owner.parent_account_id = parents.account_id
),

members as (
    select
        version_key as account_version_key, account_key, source_system, account_id, parent_account_key,
        merged_into_id is not null as is_merged, account_name, domain, segment, industry, country, region, territory_key,
        owner_rep_key, coalesce(is_target, false) as is_target, coalesce(is_deleted, false) as is_deleted, valid_from, valid_to, _load_id
    from with_parent

    union all

    -- facts whose account nobody knows meet this row on any day
    select
        '-1' as account_version_key, '-1' as account_key, 'unknown' as source_system, 'unknown' as account_id,
        null as parent_account_key, false as is_merged, 'unknown' as account_name, null as domain, null as segment,
        null as industry, null as country, null as region, '-1' as territory_key, '-1' as owner_rep_key,
        false as is_target, false as is_deleted, {{ first_day() }} as valid_from, {{ last_day() }} as valid_to, null as _load_id
)

select
    cast(account_version_key as {{ dbt.type_string() }}) as account_version_key,
    cast(account_key as {{ dbt.type_string() }}) as account_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(account_id as {{ dbt.type_string() }}) as account_id,
    cast(account_name as {{ dbt.type_string() }}) as account_name,
    cast(parent_account_key as {{ dbt.type_string() }}) as parent_account_key,
    cast(is_merged as boolean) as is_merged,
    cast(domain as {{ dbt.type_string() }}) as domain,
    cast(segment as {{ dbt.type_string() }}) as segment,
    cast(industry as {{ dbt.type_string() }}) as industry,
    cast(country as {{ dbt.type_string() }}) as country,
    cast(region as {{ dbt.type_string() }}) as region,
    cast(territory_key as {{ dbt.type_string() }}) as territory_key,
    cast(owner_rep_key as {{ dbt.type_string() }}) as owner_rep_key,
    cast(is_target as boolean) as is_target,
    cast(is_deleted as boolean) as is_deleted,
    cast(valid_from as date) as valid_from,
    cast(valid_to as date) as valid_to,
    valid_to = {{ last_day() }} as is_current,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from members
