{#
    A value of the change log in the words of the typed record: numbers with six decimals, dates as YYYY-MM-DD. What reads as
    neither stays as it was written.
#}
{% macro tracked_value(expression, field) -%}
    case
        when {{ field }} in ('amount', 'probability') and {{ full_match(expression, '-?[0-9]{1,12}([.][0-9]+)?') }}
            then cast(cast({{ expression }} as decimal(18, 6)) as {{ dbt.type_string() }})
        when {{ field }} = 'close_date' then substr({{ expression }}, 1, 10)
        else nullif({{ expression }}, '')
    end
{%- endmacro %}
