-- Current records whose key another current record has too: the last delivered one counts, the money of the others is named.
{% for contract in reconciled_measures() if contract != 'performance_daily' -%}
select
    '{{ contract }}' as contract,
    source_system,
    stream,
    currency,
    {{ money_columns(contract).amount }} as amount
from ({{ ranked_records(contract) }}) as {{ contract }}
where nth_of_key > 1
{{ 'union all' if not loop.last }}
{% endfor %}
