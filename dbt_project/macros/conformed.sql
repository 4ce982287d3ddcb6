{# Staged rows kept as tables, one partition per load: an accepted load never changes. #}

{% macro only_new_loads(contract=none) -%}
    {%- if is_incremental() %}
    where _load_id in {{ new_load_ids(contract) }}
    {%- endif %}
{%- endmacro %}


{#
    A staging view, or in an incremental build the same SQL over the files of the new loads alone: an engine does not push a
    filter on the view's rows down to the files, so that each run would read the whole landing again.
#}
{% macro staged(contract, suffix='') -%}
    {%- set macros = {'': staged_loaded, '__rejected': staged_rejected, '__deduplicated': staged_deduplicated, '__covers': staged_covers} -%}
    {%- set view = ref('stg_files__' ~ contract ~ suffix) -%}
    {#- dbt learns of a ref where it is called, so these stand outside the condition -#}
    {%- set needed = [ref('stg_files__loads'), ref('stg_files__' ~ contract ~ '__covers')] -%}
    {%- if is_incremental() -%}
    ({{ macros[suffix](contract, only_new=true) }}) as staged
    {%- else -%}
    {{ view }}
    {%- endif -%}
{%- endmacro %}


{% macro conformed_records(contract) -%}
    select
        source_system,
        stream,
        {%- for name in contract_columns(contract) %}
        {{ name }},
        {%- endfor %}
        {{ lineage_columns() }}
    from {{ staged(contract) }}
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
        control_currency,
        control_rows
        {%- for name in measure_columns(contract) %},
        control_{{ name }},
        control_{{ name }}_valid
        {%- endfor %}
    from {{ staged(contract, '__covers') }}
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


{# One outcome of all contracts. #}
{% macro union_sources(contracts, suffix, columns) -%}
    {%- for contract in contracts -%}
    select
        '{{ contract }}' as contract,
        {{ columns | join(',\n        ') }}
    from {{ staged(contract, suffix) }}
    {{ 'union all' if not loop.last }}
    {% endfor -%}
{%- endmacro %}
