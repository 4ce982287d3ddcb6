{# The agreed channel of a source's word: null where it said nothing, `unmapped` where the word is not agreed. #}
{% macro canonical_channel(expression) -%}
    case
        when coalesce(trim({{ expression }}), '') = '' then null
        when {{ expression }} in (select channel from {{ ref('channels') }}) then {{ expression }}
        else 'unmapped'
    end
{%- endmacro %}
