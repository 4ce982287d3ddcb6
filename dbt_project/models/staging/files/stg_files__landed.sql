{{ config(**by_partition('_load_id')) }}

-- How many records each load holds as it landed, to be held against what became of them.
{% set groups = [] -%}
{%- for contract in var('contracts') -%}
    {%- do groups.extend(landed_dialects(contract, only_new=is_incremental())) -%}
{%- endfor -%}

{% for group in groups -%}
select _load_id, count(*) as rows_read, 0 as rows_rejected from {{ landing(group.loads, 'records') }}
group by _load_id
union all
select _load_id, 0 as rows_read, count(*) as rows_rejected from {{ landing(group.loads, 'rejects') }}
group by _load_id
{{ 'union all' if not loop.last }}
{% else -%}
{{ empty_relation({'_load_id': dbt.type_string(), 'rows_read': 'bigint', 'rows_rejected': 'bigint'}) }}
{%- endfor %}
