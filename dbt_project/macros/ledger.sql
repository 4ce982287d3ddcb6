{# One table of the exported ledger, or an empty relation of its shape when the build was given none. #}
{% macro exported(table, columns) -%}
    {%- if var('ledger_export') -%}
    select
        {% for name, type in columns.items() -%}
        cast({{ name }} as {{ type }}) as {{ name }}{{ ',' if not loop.last }}
        {% endfor -%}
    from {{ landing([{'path': var('ledger_export')}], table) }}
    {%- else -%}
    {{ empty_relation(columns) }}
    {%- endif -%}
{%- endmacro %}
