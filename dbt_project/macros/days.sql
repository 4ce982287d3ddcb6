{# Bounds of half-open intervals of days. #}
{% macro first_day() -%}
    cast('1900-01-01' as date)
{%- endmacro %}


{% macro last_day() -%}
    cast('9999-12-31' as date)
{%- endmacro %}


{# Every day from `first_date` to `last_date` of a relation of one row, as `date_day`; up to 100,000 of them. #}
{% macro days_within(bounds) -%}
    select cast({{ dbt.dateadd('day', 'numbers.number', 'bounds.first_date') }} as date) as date_day
    from {{ bounds }} as bounds
    cross join (
        select ones.digit + 10 * tens.digit + 100 * hundreds.digit + 1000 * thousands.digit + 10000 * more.digit as number
        from ({{ digits() }}) as ones
        cross join ({{ digits() }}) as tens
        cross join ({{ digits() }}) as hundreds
        cross join ({{ digits() }}) as thousands
        cross join ({{ digits() }}) as more
    ) as numbers
    where cast({{ dbt.dateadd('day', 'numbers.number', 'bounds.first_date') }} as date) <= bounds.last_date
{%- endmacro %}


{% macro digits() -%}
    {% for digit in range(10) -%}
    select {{ digit }} as digit {{ 'union all' if not loop.last }}
    {% endfor %}
{%- endmacro %}
