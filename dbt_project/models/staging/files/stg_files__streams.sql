{{ config(materialized='table') }}

{% set text = dbt.type_string() -%}
{% set streams = [] -%}
{%- for source in var('source_status') -%}
    {%- for stream in source.streams -%}
        {%- do streams.append({'source': source.source, 'stream': stream}) -%}
    {%- endfor -%}
{%- endfor -%}

{% for declared in streams -%}
select
    cast({{ sql_text(declared.source) }} as {{ text }}) as source_system,
    cast({{ sql_text(declared.stream.stream) }} as {{ text }}) as stream,
    cast({{ sql_text(declared.stream.contract) }} as {{ text }}) as contract,
    cast({{ declared.stream.fresh_within_days }} as integer) as fresh_within_days
{{ 'union all' if not loop.last }}
{% else -%}
{{ empty_relation({'source_system': text, 'stream': text, 'contract': text, 'fresh_within_days': 'integer'}) }}
{%- endfor %}
