{# Reads the landing: only the loads that the run names, never a pattern over folders. #}

{# The loads of a contract, grouped by the dialect they are written in: [{dialect, id, loads}]. #}
{% macro landed_dialects(contract, only_new=false) -%}
    {%- set groups = [] -%}
    {%- set loads = var('loads') | selectattr('contract', 'equalto', contract) | list -%}
    {%- if only_new -%}
        {%- set loads = loads | selectattr('is_new') | list -%}
    {%- endif -%}
    {%- for id in loads | map(attribute='dialect') | unique -%}
        {%- do groups.append({
            'id': id,
            'dialect': var('dialects')[id],
            'loads': loads | selectattr('dialect', 'equalto', id) | list,
        }) -%}
    {%- endfor -%}
    {{ return(groups) }}
{%- endmacro %}


{% macro landing(loads, part='records') -%}
    {{ return(adapter.dispatch('landing')(loads, part)) }}
{%- endmacro %}

{% macro default__landing(loads, part) -%}
    read_parquet(
        [
            {%- for load in loads %}
            {{ sql_text(load.path ~ '/' ~ part ~ '.parquet') }}{{ ',' if not loop.last }}
            {%- endfor %}
        ],
        union_by_name = true, hive_partitioning = false
    )
{%- endmacro %}

{% macro spark__landing(loads, part) -%}
    parquet.`{{ '{' }}{% for load in loads %}{{ load.path }}/{{ part }}.parquet{{ ',' if not loop.last }}{% endfor %}{{ '}' }}`
{%- endmacro %}


{# Ids of loads that the base warehouse does not hold yet, as a literal list: a literal lets the Parquet reader skip files. #}
{% macro new_load_ids(contract=none) -%}
    {%- set loads = var('loads') | selectattr('is_new') | list -%}
    {%- if contract -%}
        {%- set loads = loads | selectattr('contract', 'equalto', contract) | list -%}
    {%- endif -%}
    (
    {%- for load in loads -%}
        {{ sql_text(load.load_id) }}{{ ', ' if not loop.last }}
    {%- else -%}
        ''
    {%- endfor -%}
    )
{%- endmacro %}


{% macro contract_columns(contract) -%}
    {{ return(var('contracts')[contract]['columns']) }}
{%- endmacro %}


{% macro measure_columns(contract) -%}
    {%- set names = [] -%}
    {%- for name, column in contract_columns(contract).items() if column.type in ('amount', 'number', 'integer', 'rate') -%}
        {%- do names.append(name) -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}


{% macro column_type(type) -%}
    {{ return({
        'text': dbt.type_string(), 'currency': dbt.type_string(), 'date': 'date', 'timestamp': 'timestamp',
        'amount': 'decimal(18, 6)', 'number': 'decimal(18, 6)', 'rate': 'decimal(18, 9)', 'integer': 'bigint', 'boolean': 'boolean',
    }[type]) }}
{%- endmacro %}
