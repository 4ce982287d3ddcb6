{{ config(materialized='table') }}

with

declared as (
    {% for load in var('loads') -%}
    select
        {{ sql_text(load.load_id) }} as load_id,
        cast({{ load.seq }} as bigint) as load_seq,
        {{ sql_text(load.source) }} as source_system,
        {{ sql_text(load.stream) }} as stream,
        {{ sql_text(load.contract) }} as contract,
        cast({{ sql_text(load.known_at) }} as timestamp) as run_known_at,
        cast({{ 1 if load.is_new else 0 }} as boolean) as is_new,
        cast({{ 1 if load.required else 0 }} as boolean) as is_required
    {{ 'union all' if not loop.last }}
    {% else -%}
    {{ empty_relation({
        'load_id': dbt.type_string(), 'load_seq': 'bigint', 'source_system': dbt.type_string(), 'stream': dbt.type_string(),
        'contract': dbt.type_string(), 'run_known_at': 'timestamp', 'is_new': 'boolean', 'is_required': 'boolean',
    }) }}
    {%- endfor %}
)

select
    load_id,
    load_seq,
    source_system,
    stream,
    contract,
    -- a run for an earlier day after a run for a later one cannot have been known before it
    max(run_known_at) over (partition by source_system order by load_seq rows unbounded preceding) as known_at,
    run_known_at,
    is_new,
    is_required
from declared
