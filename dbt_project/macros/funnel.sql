{# The steps that marts have columns of their own for, with their place; seeds/agreement/funnel_steps.csv says what they mean. #}
{% macro funnel_step_codes() -%}
    {{ return({'lead': 10, 'mql': 20, 'sal': 30, 'opportunity': 40, 'proposal': 50, 'won': 60}) }}
{%- endmacro %}
