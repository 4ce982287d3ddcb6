{# The few places where DuckDB and Spark need different words for the same answer. #}

{% macro sql_text(value) -%}
    '{{ value | string | replace("'", "''") }}'
{%- endmacro %}


{% macro full_match(expression, pattern) -%}
    {{ return(adapter.dispatch('full_match')(expression, pattern)) }}
{%- endmacro %}

{% macro default__full_match(expression, pattern) -%}
    regexp_full_match({{ expression }}, {{ sql_text(pattern) }})
{%- endmacro %}

{# Java's `$` also matches before a last newline, so the newline is excluded by hand. #}
{% macro spark__full_match(expression, pattern) -%}
    ({{ expression }} rlike {{ sql_text('^(?:' ~ pattern ~ ')$') }} and instr({{ expression }}, char(10)) = 0)
{%- endmacro %}


{% macro parse_timestamp(expression, format) -%}
    {{ return(adapter.dispatch('parse_timestamp')(expression, format)) }}
{%- endmacro %}

{% macro default__parse_timestamp(expression, format) -%}
    try_strptime({{ expression }}, {{ sql_text(format) }})
{%- endmacro %}

{% macro spark__parse_timestamp(expression, format) -%}
    {%- set words = format
        | replace('%Y', 'yyyy') | replace('%y', 'yy') | replace('%m', 'M') | replace('%d', 'd') | replace('%b', 'MMM')
        | replace('%H', 'H') | replace('%M', 'm') | replace('%S', 's') -%}
    try_to_timestamp({{ expression }}, {{ sql_text(words) }})
{%- endmacro %}


{# The UTC moment of a local time in a zone of the IANA database; both are timestamps without zone. #}
{% macro local_to_utc(expression, zone) -%}
    {{ return(adapter.dispatch('local_to_utc')(expression, zone)) }}
{%- endmacro %}

{% macro default__local_to_utc(expression, zone) -%}
    timezone('UTC', timezone({{ zone }}, {{ expression }}))
{%- endmacro %}

{% macro spark__local_to_utc(expression, zone) -%}
    to_utc_timestamp({{ expression }}, {{ zone }})
{%- endmacro %}


{# The whole part of a quotient of integers; `/` gives a DOUBLE on both engines. #}
{% macro integer_divide(numerator, denominator) -%}
    {{ return(adapter.dispatch('integer_divide')(numerator, denominator)) }}
{%- endmacro %}

{% macro default__integer_divide(numerator, denominator) -%}
    (({{ numerator }}) // nullif({{ denominator }}, 0))
{%- endmacro %}

{% macro spark__integer_divide(numerator, denominator) -%}
    (({{ numerator }}) div nullif({{ denominator }}, 0))
{%- endmacro %}


{# A quotient for reading, never for adding up: null where there is nothing to divide by. #}
{% macro safe_divide(numerator, denominator) -%}
    (cast({{ numerator }} as double) / nullif(cast({{ denominator }} as double), 0))
{%- endmacro %}


{% macro json_record(names, prefix='') -%}
    {{ return(adapter.dispatch('json_record')(names, prefix)) }}
{%- endmacro %}

{% macro default__json_record(names, prefix) -%}
    cast(json_object({% for name in names %}'{{ name }}', {{ prefix ~ name }}{{ ', ' if not loop.last }}{% endfor %}) as varchar)
{%- endmacro %}

{% macro spark__json_record(names, prefix) -%}
    to_json(named_struct({% for name in names %}'{{ name }}', {{ prefix ~ name }}{{ ', ' if not loop.last }}{% endfor %}))
{%- endmacro %}


{# One text from several values that no two different lists of values share: `~` escapes the separator, a lone `~` is null. #}
{% macro joined_text(expressions) -%}
    {%- for expression in expressions -%}
        coalesce(replace(replace(cast({{ expression }} as {{ dbt.type_string() }}), '~', '~0'), '|', '~1'), '~')
        {%- if not loop.last %} || '|' || {% endif -%}
    {%- endfor -%}
{%- endmacro %}


{% macro surrogate_key(expressions) -%}
    md5({{ joined_text(expressions) }})
{%- endmacro %}


{# A relation of declared names and types that has no rows. #}
{% macro empty_relation(columns) -%}
    select
        {% for name, type in columns.items() -%}
        cast(null as {{ type }}) as {{ name }},
        {% endfor %}
    where 1 = 0
{%- endmacro %}
