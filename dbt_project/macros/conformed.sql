{# The conformed records of a contract: what all its sources deliver, in one shape. #}

{% macro conformed_records(contract) -%}
    {{ config(materialized='view', tags=['same_in_every_run']) }}
    select
        source_system,
        stream,
        {%- for name, column in contract_columns(contract).items() %}
        {{ staged_name(name, column) }},
        {%- endfor %}
        {{ lineage_columns() }}
    from {{ ref('stg_files__' ~ contract) }}
{%- endmacro %}


{# Of a contract's records those that count now: nothing that is known covers their cell again. #}
{% macro current_records(contract) -%}
    select records.*
    from {{ ref('int_conformed__' ~ contract) }} as records
    inner join {{ ref('int_conformed__cells') }} as cells
        on cells.contract = '{{ contract }}'
        and cells.is_current
        and records._load_id = cells._load_id
        and records._cell = cells._cell
{%- endmacro %}


{# Only the rows of loads that the base warehouse does not hold yet. #}
{% macro only_new_loads(contract=none) -%}
    {%- if is_incremental() %}
    where _load_id in {{ new_load_ids(contract) }}
    {%- endif %}
{%- endmacro %}


{# One relation of all contracts #}
{% macro union_contracts(suffix, columns) -%}
    {%- for contract in var('contracts') -%}
    select
        '{{ contract }}' as contract,
        {{ columns | join(',\n        ') }}
    from {{ ref('stg_files__' ~ contract ~ suffix) }}
    {{ caller() if caller }}
    {{ 'union all' if not loop.last }}
    {% endfor -%}
{%- endmacro %}
