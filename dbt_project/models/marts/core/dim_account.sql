with

accounts as (
    select * from {{ ref('int_company__accounts') }}
),

territories as (
    select * from {{ ref('int_company__territories') }}
),

reps as (
    select * from {{ ref('int_company__reps') }}
),

with_territory as (
    {{ with_key('accounts', 'territory_id', 'territories', 'territory_id', 'territory_key', 'territory_key') }}
),

with_owner as (
    {{ with_key('with_territory', 'owner_id', 'reps', 'user_id', 'rep_key', 'owner_rep_key') }}
),

members as (
    select
        account_key, survivor_account_key, parent_account_key, ultimate_parent_account_key, source_system, account_id, is_merged,
        account_name, domain, segment, industry, country, region, territory_key, owner_rep_key, is_target, is_deleted, created_at,
        _load_id
    from with_owner

    union all

    -- facts whose account nobody knows meet this row
    select
        '-1' as account_key, '-1' as survivor_account_key, null as parent_account_key, '-1' as ultimate_parent_account_key,
        'unknown' as source_system, 'unknown' as account_id, false as is_merged, 'unknown' as account_name, null as domain,
        null as segment, null as industry, null as country, null as region, '-1' as territory_key, '-1' as owner_rep_key,
        false as is_target, false as is_deleted, null as created_at, null as _load_id
)

select
    cast(account_key as {{ dbt.type_string() }}) as account_key,
    cast(survivor_account_key as {{ dbt.type_string() }}) as survivor_account_key,
    cast(parent_account_key as {{ dbt.type_string() }}) as parent_account_key,
    cast(ultimate_parent_account_key as {{ dbt.type_string() }}) as ultimate_parent_account_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(account_id as {{ dbt.type_string() }}) as account_id,
    cast(is_merged as boolean) as is_merged,
    cast(account_name as {{ dbt.type_string() }}) as account_name,
    cast(domain as {{ dbt.type_string() }}) as domain,
    cast(segment as {{ dbt.type_string() }}) as segment,
    cast(industry as {{ dbt.type_string() }}) as industry,
    cast(country as {{ dbt.type_string() }}) as country,
    cast(region as {{ dbt.type_string() }}) as region,
    cast(territory_key as {{ dbt.type_string() }}) as territory_key,
    cast(owner_rep_key as {{ dbt.type_string() }}) as owner_rep_key,
    cast(is_target as boolean) as is_target,
    cast(is_deleted as boolean) as is_deleted,
    cast(created_at as timestamp) as created_at,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from members
