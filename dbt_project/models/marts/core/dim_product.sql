with

products as (
    select product_key, source_system, product_id, product_name, family, is_service, is_recurring, launched_on, retired_on, _load_id
    from {{ ref('int_company__products') }}

    union all

    -- bookings that name no product
    select
        '-1' as product_key, 'unknown' as source_system, 'unknown' as product_id, 'unknown' as product_name, null as family,
        false as is_service, false as is_recurring, null as launched_on, null as retired_on, null as _load_id
)

select
    cast(product_key as {{ dbt.type_string() }}) as product_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(product_id as {{ dbt.type_string() }}) as product_id,
    cast(product_name as {{ dbt.type_string() }}) as product_name,
    cast(family as {{ dbt.type_string() }}) as family,
    cast(is_service as boolean) as is_service,
    cast(is_recurring as boolean) as is_recurring,
    cast(launched_on as date) as launched_on,
    cast(retired_on as date) as retired_on,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from products
