{# One query for many columns: a test per column costs a build more time than it tells. #}
{% test never_null(model, columns) %}
    {% for column in columns -%}
    select '{{ column }}' as column_name, count(*) as null_rows
    from {{ model }}
    where {{ column }} is null
    having count(*) > 0
    {{ 'union all' if not loop.last }}
    {% endfor %}
{% endtest %}
