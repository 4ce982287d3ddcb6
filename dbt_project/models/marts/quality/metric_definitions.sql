{# The definitions that the metrics are computed from, as rows: what a number means travels with the numbers. -#}
{% set metrics = graph.metrics.values() | sort(attribute='name') if execute else [] -%}
{%- set text = dbt.type_string() -%}

{# where a report shows the metric: a column says so in its meta -#}
{%- set shown = {} -%}
{%- for node in graph.nodes.values() if execute and node.resource_type == 'model' and node.schema in ('marts', 'metadata') -%}
    {%- for column in node.columns.values() if column.config.meta.metric -%}
        {%- do shown.update({column.config.meta.metric: node.name ~ '.' ~ column.name}) -%}
    {%- endfor -%}
{%- endfor -%}

{% for metric in metrics -%}
{%- set meta = metric.config.meta if metric.config.meta else metric.meta -%}
{%- set of = metric.type_params -%}
select
    cast({{ sql_text(metric.name) }} as {{ text }}) as metric,
    cast({{ sql_text(metric.label) }} as {{ text }}) as label,
    cast({{ sql_text(metric.description | trim) }} as {{ text }}) as description,
    cast({{ sql_text(metric.type) }} as {{ text }}) as metric_type,
    cast({{ sql_text(of.numerator.name) if of.numerator else 'null' }} as {{ text }}) as numerator_metric,
    cast({{ sql_text(of.denominator.name) if of.denominator else 'null' }} as {{ text }}) as denominator_metric,
    cast({{ sql_text(shown[metric.name]) if metric.name in shown else 'null' }} as {{ text }}) as report_column,
    cast({{ sql_text(meta.owner) }} as {{ text }}) as owner,
    cast({{ sql_text(meta.formula) }} as {{ text }}) as formula,
    cast({{ sql_text(meta.version) }} as {{ text }}) as version
{{ 'union all' if not loop.last }}
{% else -%}
{{ empty_relation({
    'metric': text, 'label': text, 'description': text, 'metric_type': text, 'numerator_metric': text,
    'denominator_metric': text, 'report_column': text, 'owner': text, 'formula': text, 'version': text,
}) }}
{%- endfor %}
