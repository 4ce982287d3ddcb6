with

loads as (
    select count(*) as loads, count(*) filter (where is_new) as new_loads, max(known_at) as last_known_at
    from {{ ref('int_quality__loads') }}
),

-- an aggregate, so that the first build has its row too
version_before as (
    select max(run_id) as previous_run_id, max(as_of) as previous_as_of from {{ ref('int_quality__version_before') }}
)

select
    {{ text_var('run_id') }} as run_id,
    {{ text_var('base_run_id') }} as base_run_id,
    cast(version_before.previous_run_id as {{ dbt.type_string() }}) as previous_run_id,
    cast(version_before.previous_as_of as timestamp) as previous_as_of,
    {{ as_of() }} as as_of,
    {{ text_var('company') }} as company,
    {{ text_var('reporting_currency') }} as reporting_currency,
    {{ text_var('reporting_time_zone') }} as reporting_time_zone,
    {{ text_var('code_version') }} as code_version,
    cast('{{ dbt_version }}' as {{ dbt.type_string() }}) as dbt_version,
    cast(loads.loads as bigint) as loads,
    cast(loads.new_loads as bigint) as new_loads,
    cast(loads.last_known_at as timestamp) as last_known_at
from loads
cross join version_before
