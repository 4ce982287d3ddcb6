select
    {{ surrogate_key(['channel']) }} as channel_key,
    cast(channel as {{ dbt.type_string() }}) as channel,
    cast(channel_name as {{ dbt.type_string() }}) as channel_name,
    cast(channel_group as {{ dbt.type_string() }}) as channel_group,
    cast(is_paid as boolean) as is_paid,
    cast(sort_order as integer) as sort_order
from {{ ref('channels') }}
