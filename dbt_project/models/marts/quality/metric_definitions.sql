{# The definitions that the metrics are computed from, as rows: what a number means travels with the numbers. -#}
{% set metrics = graph.metrics.values() | sort(attribute='name') if execute else [] -%}
{%- set text = dbt.type_string() -%}

{% for metric in metrics -%}
{%- set meta = metric.config.meta if metric.config.meta else metric.meta -%}
select
    cast({{ sql_text(metric.name) }} as {{ text }}) as metric,
    cast({{ sql_text(metric.label) }} as {{ text }}) as label,
    cast({{ sql_text(metric.description | trim) }} as {{ text }}) as description,
    cast({{ sql_text(metric.type) }} as {{ text }}) as metric_type,
    cast({{ sql_text(meta.owner) }} as {{ text }}) as owner,
    cast({{ sql_text(meta.formula) }} as {{ text }}) as formula,
    cast({{ sql_text(meta.version) }} as {{ text }}) as version
{{ 'union all' if not loop.last }}
{% else -%}
{{ empty_relation({
    'metric': text, 'label': text, 'description': text, 'metric_type': text, 'owner': text, 'formula': text, 'version': text,
}) }}
{%- endfor %}
