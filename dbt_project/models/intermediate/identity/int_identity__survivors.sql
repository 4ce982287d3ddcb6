{%- set merged = {'accounts': 'account_id', 'contacts': 'contact_id', 'leads': 'lead_id', 'opportunities': 'opportunity_id'} -%}

{% for contract, id in merged.items() -%}
select
    '{{ contract }}' as contract,
    source_system,
    id,
    survivor_id,
    is_merge_unresolved
from (
    {{ survivors(contract, id) }}
) as {{ contract }}
{{ 'union all' if not loop.last }}
{% endfor %}
