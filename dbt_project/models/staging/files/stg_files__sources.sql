{{ config(materialized='table') }}

{% set streams = namespace(days={}) -%}
{%- for dialect in var('dialects').values() if dialect.contract == 'performance_daily' -%}
    {%- do streams.days.update({dialect.source: [streams.days.get(dialect.source, 0), dialect.final_after_days or 0] | max}) -%}
{%- endfor -%}
{%- set known = namespace(names=var('source_status') | map(attribute='source') | list, rows=var('source_status') | list) -%}
{%- for load in var('loads') if load.source not in known.names -%}
    {%- do known.names.append(load.source) -%}
    {%- do known.rows.append({'source': load.source, 'owner': none, 'required': load.required, 'final_after_days': none}) -%}
{%- endfor -%}

{% for source in known.rows -%}
select
    {{ sql_text(source.source) }} as source_system,
    cast({{ sql_text(source.owner) if source.owner else 'null' }} as {{ dbt.type_string() }}) as owner,
    cast({{ 1 if source.required else 0 }} as boolean) as is_required,
    -- the stream's own horizon, where a spend stream declares one, wins over the source's
    cast({{ streams.days[source.source] if source.source in streams.days else (source.final_after_days or 0) }} as integer) as final_after_days
{{ 'union all' if not loop.last }}
{% else -%}
{{ empty_relation({
    'source_system': dbt.type_string(), 'owner': dbt.type_string(), 'is_required': 'boolean', 'final_after_days': 'integer',
}) }}
{%- endfor %}
