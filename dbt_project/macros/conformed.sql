{# Staged rows kept as tables, one partition per load: an accepted load never changes. #}

{% macro only_new_loads(contract=none) -%}
    {%- if is_incremental() %}
    where _load_id in {{ new_load_ids(contract) }}
    {%- endif %}
{%- endmacro %}


{% macro conformed_records(contract) -%}
    select
        source_system,
        stream,
        {%- for name in contract_columns(contract) %}
        {{ name }},
        {%- endfor %}
        {{ lineage_columns() }}
    from {{ ref('stg_files__' ~ contract) }}
    {{ only_new_loads(contract) }}
{%- endmacro %}


{% macro conformed_covers(contract) -%}
    select
        source_system,
        stream,
        _load_id,
        _load_seq,
        _known_at,
        _file_seq,
        _file,
        _cell,
        control_rows
        {%- for name in measure_columns(contract) %},
        control_{{ name }},
        control_{{ name }}_valid
        {%- endfor %}
    from {{ ref('stg_files__' ~ contract ~ '__covers') }}
    {{ only_new_loads(contract) }}
{%- endmacro %}


{#
    When the content that a load gave a cell was known: from the load's own time until the time of the next load that
    covers the cell. The last content of a cell has no end.
#}
{% macro cell_versions(contract) -%}
    with

    covers as (
        select * from {{ ref('int_conformed__' ~ contract ~ '__covers') }}
    ),

    per_load as (
        select
            source_system, stream, _cell, _load_id, _load_seq, _known_at,
            max(_file_seq) as _file_seq
        from covers
        group by source_system, stream, _cell, _load_id, _load_seq, _known_at
    )

    select
        source_system,
        stream,
        _cell,
        _load_id,
        _load_seq,
        _file_seq,
        _known_at as known_from,
        lead(_known_at) over (partition by _cell order by _load_seq) as known_to,
        lead(_load_seq) over (partition by _cell order by _load_seq) as closed_by_load_seq,
        lead(_load_seq) over (partition by _cell order by _load_seq) is null as is_current
    from per_load
{%- endmacro %}


{% macro union_sources(contract, suffix, columns) -%}
    {%- for name in (contract if contract is iterable and contract is not string else [contract]) -%}
    select
        '{{ name }}' as contract,
        {{ columns | join(',\n        ') }}
    from {{ ref('stg_files__' ~ name ~ suffix) }}
    {{ only_new_loads(name) }}
    {{ 'union all' if not loop.last }}
    {% endfor -%}
{%- endmacro %}
