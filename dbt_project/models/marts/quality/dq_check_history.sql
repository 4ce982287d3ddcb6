select
    {{ surrogate_key(['run_id', 'gate', 'check_id', 'subject']) }} as check_key,
    cast(run_id as {{ dbt.type_string() }}) as run_id,
    cast(as_of as timestamp) as as_of,
    cast(gate as {{ dbt.type_string() }}) as gate,
    cast(check_id as {{ dbt.type_string() }}) as check_id,
    cast(subject as {{ dbt.type_string() }}) as subject,
    cast(severity as {{ dbt.type_string() }}) as severity,
    cast(owner as {{ dbt.type_string() }}) as owner,
    cast(state as {{ dbt.type_string() }}) as state,
    cast(observed as {{ dbt.type_string() }}) as observed,
    cast(because as {{ dbt.type_string() }}) as because,
    cast(checked_at as timestamp) as checked_at
from {{ ref('int_quality__checks') }}
