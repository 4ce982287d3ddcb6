{# What a spend row measures besides the spend itself; each may be undelivered, which is not the same as zero. #}
{% macro optional_measures() -%}
    {{ return({
        'impressions': 'bigint', 'clicks': 'bigint', 'claimed_leads': 'decimal(18, 6)', 'claimed_conversions': 'decimal(18, 6)',
        'claimed_value_amount': 'decimal(18, 6)',
    }) }}
{%- endmacro %}


{# One row per row of the source and grain, of which all measures add up. `channel` splits what a source delivers per channel only. #}
{% macro spend_grain() -%}
    {{ return([
        'source_system', 'stream', 'ad_account_id', 'level', 'campaign_id', 'ad_group_id', 'ad_id', 'channel', 'currency', 'spend_date',
    ]) }}
{%- endmacro %}


{# Null-safe equality of lists of columns. #}
{% macro same(left, right, columns) -%}
    {%- for column in columns -%}
        {{ left }}.{{ column }} is not distinct from {{ right }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}


{% macro end_of_time() -%}
    cast('9999-12-31 00:00:00' as timestamp)
{%- endmacro %}


{% macro beginning_of_time() -%}
    cast('1900-01-01 00:00:00' as timestamp)
{%- endmacro %}


{# The ref stands outside the condition, so that dbt knows of it in a full build as well. #}
{% macro only_affected_dates() -%}
    {%- set affected = ref('int_spend__affected_dates') -%}
    {%- if is_incremental() %}
    where spend_date in (select spend_date from {{ affected }})
    {%- endif %}
{%- endmacro %}
