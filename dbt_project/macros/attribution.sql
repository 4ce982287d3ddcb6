{# The attribution models, a row each. #}
{% macro attribution_models() -%}
    {% for model in var('attribution_models') -%}
    select '{{ model }}' as model {{ 'union all' if not loop.last }}
    {% endfor %}
{%- endmacro %}
