{#
    The configuration of an incremental model that always selects WHOLE partitions.

    `affected` names a model with one column called like the partition: partitions listed there are emptied even when the
    new rows have none for them. Spark's insert_overwrite cannot empty a partition, so such a model is a full table there.
#}
{% macro by_partition(column, affected=none) -%}
    {%- if target.type == 'duckdb' -%}
        {{ return({
            'materialized': 'incremental', 'incremental_strategy': 'partition_replace', 'on_schema_change': 'fail',
            'partition_column': column, 'partitions_from': affected,
        }) }}
    {%- elif affected -%}
        {{ return({'materialized': 'table'}) }}
    {%- else -%}
        {{ return({
            'materialized': 'incremental', 'incremental_strategy': 'insert_overwrite', 'on_schema_change': 'fail',
            'partition_by': [column], 'file_format': 'parquet',
        }) }}
    {%- endif -%}
{%- endmacro %}


{% macro get_incremental_partition_replace_sql(arg_dict) -%}
    {%- set column = config.get('partition_column') -%}
    {%- set affected = config.get('partitions_from') -%}
    {%- set names = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ arg_dict['target_relation'] }}
    where {{ column }} in (select {{ column }} from {{ arg_dict['temp_relation'] }})
    {%- if affected %}
        or {{ column }} in (select {{ column }} from {{ ref(affected) }})
    {%- endif %};

    insert into {{ arg_dict['target_relation'] }} ({{ names }})
    select {{ names }} from {{ arg_dict['temp_relation'] }}
{%- endmacro %}
