{# The moment the run speaks of. No model asks the clock. #}
{% macro as_of() -%}
    cast({{ sql_text(var('as_of')) }} as timestamp)
{%- endmacro %}


{% macro text_var(name) -%}
    cast({{ sql_text(var(name)) if var(name) is not none else 'null' }} as {{ dbt.type_string() }})
{%- endmacro %}
