-- What each load holds as it landed, to be held against what became of it.
{% set groups = [] -%}
{%- for contract in var('contracts') -%}
    {%- do groups.extend(landed_dialects(contract)) -%}
{%- endfor -%}

{% for group in groups -%}
select _load_id, 'read' as outcome from {{ landing(group.loads, 'records') }}
union all
select _load_id, 'rejected' as outcome from {{ landing(group.loads, 'rejects') }}
{{ 'union all' if not loop.last }}
{% else -%}
{{ empty_relation({'_load_id': dbt.type_string(), 'outcome': dbt.type_string()}) }}
{%- endfor %}
