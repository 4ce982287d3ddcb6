with

members as (
    select
        person_key, source_system, person_kind, person_id, first_lead_id, contact_id, account_key, role, country, lead_source, created_at,
        lead_records, contact_records, is_test, is_deleted
    from {{ ref('int_identity__person_profiles') }}

    union all

    select
        '-1' as person_key, 'unknown' as source_system, 'unknown' as person_kind, 'unknown' as person_id, null as first_lead_id,
        null as contact_id, '-1' as account_key, null as role, null as country, null as lead_source, null as created_at,
        0 as lead_records, 0 as contact_records, false as is_test, false as is_deleted
)

select
    cast(person_key as {{ dbt.type_string() }}) as person_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(person_kind as {{ dbt.type_string() }}) as person_kind,
    cast(person_id as {{ dbt.type_string() }}) as person_id,
    cast(first_lead_id as {{ dbt.type_string() }}) as first_lead_id,
    cast(contact_id as {{ dbt.type_string() }}) as contact_id,
    cast(account_key as {{ dbt.type_string() }}) as account_key,
    cast(role as {{ dbt.type_string() }}) as role,
    cast(country as {{ dbt.type_string() }}) as country,
    cast(lead_source as {{ dbt.type_string() }}) as lead_source,
    cast(created_at as timestamp) as created_at,
    cast(lead_records as bigint) as lead_records,
    cast(contact_records as bigint) as contact_records,
    cast(is_test as boolean) as is_test,
    cast(is_deleted as boolean) as is_deleted
from members
