{# The money that is reconciled between files and marts: contract and the measure that its first amount is called. #}
{% macro reconciled_measures() -%}
    {{ return({
        'performance_daily': 'spend_amount', 'revenue_events': 'booked_amount', 'opportunities': 'opportunity_amount',
        'plan_values': 'plan_value', 'budgets': 'plan_value',
    }) }}
{%- endmacro %}
