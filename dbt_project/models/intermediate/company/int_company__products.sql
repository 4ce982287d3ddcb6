with

products as (
    {{ one_record_each('products') }}
)

select
    {{ surrogate_key(['source_system', 'product_id']) }} as product_key,
    source_system,
    product_id,
    product_name,
    family,
    coalesce(is_service, false) as is_service,
    coalesce(is_recurring, false) as is_recurring,
    launched_on,
    retired_on,
    _load_id
from products
