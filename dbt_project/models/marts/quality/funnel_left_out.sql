select
    {{ surrogate_key(['source_system', 'object', 'record_id', 'reason', 'source_value', 'occurred_at']) }} as left_out_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(object as {{ dbt.type_string() }}) as record_type,
    cast(record_id as {{ dbt.type_string() }}) as record_id,
    cast(reason as {{ dbt.type_string() }}) as reason,
    cast(source_value as {{ dbt.type_string() }}) as source_value,
    cast(occurred_at as timestamp) as occurred_at
from {{ ref('int_funnel__left_out') }}
