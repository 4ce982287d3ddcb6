with

loads as (
    select * from {{ ref('int_quality__loads') }}
),

landed as (
    select * from {{ ref('int_quality__landed') }}
),

loaded as (
    {% for contract in var('contracts') -%}
    select _load_id, count(*) as rows_loaded from {{ ref('int_conformed__' ~ contract) }}
    group by _load_id
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

deduplicated as (
    select _load_id, count(*) as rows_deduplicated from {{ ref('int_quality__deduplicated') }}
    group by _load_id
),

quarantined as (
    select _load_id, count(*) as rows_quarantined from {{ ref('int_quality__rejected') }}
    group by _load_id
),

counted as (
    select
        loads.load_id,
        loads.load_seq,
        loads.source_system,
        loads.stream,
        loads.contract,
        loads.known_at,
        loads.is_new,
        coalesce(loads.rows_extracted_in_ledger, landed.rows_read + landed.rows_rejected, 0) as rows_extracted,
        coalesce(loaded.rows_loaded, 0) as rows_loaded,
        coalesce(deduplicated.rows_deduplicated, 0) as rows_deduplicated,
        coalesce(quarantined.rows_quarantined, 0) as rows_quarantined,
        coalesce(landed.rows_rejected, 0) as rows_rejected
    from loads
    left join landed on loads.load_id = landed._load_id
    left join loaded on loads.load_id = loaded._load_id
    left join deduplicated on loads.load_id = deduplicated._load_id
    left join quarantined on loads.load_id = quarantined._load_id
)

select
    cast(load_id as {{ dbt.type_string() }}) as load_id,
    cast(load_seq as bigint) as load_seq,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(stream as {{ dbt.type_string() }}) as stream,
    cast(contract as {{ dbt.type_string() }}) as contract,
    cast(known_at as timestamp) as known_at,
    cast(is_new as boolean) as is_new,
    cast(rows_extracted as bigint) as rows_extracted,
    cast(rows_loaded as bigint) as rows_loaded,
    cast(rows_deduplicated as bigint) as rows_deduplicated,
    cast(rows_quarantined as bigint) as rows_quarantined,
    cast(rows_rejected as bigint) as rows_rejected,
    cast(rows_extracted - rows_loaded - rows_deduplicated - rows_quarantined - rows_rejected as bigint) as row_difference
from counted
