{{ config(materialized='table') }}

{% set loads = var('loads') | selectattr('has_totals') | list -%}
{% if loads -%}
select
    _source as source_system,
    _stream as stream,
    part,
    cast(day as date) as day,
    measure,
    cast(value as decimal(38, 6)) as said_value,
    cast(unit as decimal(38, 6)) as row_unit,
    _load_id
from {{ landing(loads, 'totals') }}
{%- else -%}
{{ empty_relation({
    'source_system': dbt.type_string(), 'stream': dbt.type_string(), 'part': dbt.type_string(), 'day': 'date',
    'measure': dbt.type_string(), 'said_value': 'decimal(38, 6)', 'row_unit': 'decimal(38, 6)', '_load_id': dbt.type_string(),
}) }}
{%- endif %}
