{#
    Which record is left of each record after every merge: columns source_system, id, survivor_id, is_merge_unresolved.

    Pointer doubling: each round asks the record that was reached where IT points, so five rounds follow 32 merges without
    recursion. What is merged into a record that nobody delivered ends where the known part of its chain ends. A cycle, or
    a chain of more than 32, has no end: such a record survives as itself, and says so.
#}
{% macro survivors(contract, id) -%}
    {%- set rounds = 5 -%}
    with

    known as (
        select source_system, {{ id }} as id, merged_into_id
        from (
            {{ one_record_each(contract) }}
        ) as records
    ),

    hops_0 as (
        select
            known.source_system,
            known.id,
            coalesce(into_records.id, known.id) as reached_id,
            into_records.id is not null as is_merged
        from known
        left join known as into_records
            on known.source_system = into_records.source_system
            and known.merged_into_id = into_records.id
    ),

    {% for round in range(1, rounds + 1) -%}
    hops_{{ round }} as (
        select
            hops.source_system,
            hops.id,
            next_hops.reached_id,
            next_hops.is_merged
        from hops_{{ round - 1 }} as hops
        inner join hops_{{ round - 1 }} as next_hops
            on hops.source_system = next_hops.source_system
            and hops.reached_id = next_hops.id
    ){{ ',' if not loop.last }}

    {% endfor -%}

    select
        hops_{{ rounds }}.source_system,
        hops_{{ rounds }}.id,
        case when ends.is_merged then hops_{{ rounds }}.id else hops_{{ rounds }}.reached_id end as survivor_id,
        ends.is_merged as is_merge_unresolved
    from hops_{{ rounds }}
    inner join hops_0 as ends
        on hops_{{ rounds }}.source_system = ends.source_system
        and hops_{{ rounds }}.reached_id = ends.id
{%- endmacro %}


{#
    Where following a pointer from record to record ends, for chains of up to 32 hops: each step doubles the reach of the one
    before. A pointer to nobody ends the chain. What leads into a circle, or is longer, ends at itself.
#}
{% macro followed(records, id, pointer, path=none) -%}
    with

    nodes as (
        select source_system, {{ id }} as id, {{ pointer }} as pointer
        from {{ records }}
    ),

    hops_0 as (
        select
            nodes.source_system, nodes.id, coalesce(targets.id, nodes.id) as end_id
            {%- if path %}, coalesce(targets.id || {{ sql_text(path) }}, '') as path_to{% endif %}
        from nodes
        left join nodes as targets
            on nodes.source_system = targets.source_system
            and nodes.pointer = targets.id
    ),

    {% for n in range(1, 6) -%}
    hops_{{ n }} as (
        select
            hops.source_system, hops.id, further.end_id
            {%- if path %}, further.path_to || hops.path_to as path_to{% endif %}
        from hops_{{ n - 1 }} as hops
        inner join hops_{{ n - 1 }} as further
            on hops.source_system = further.source_system
            and hops.end_id = further.id
    ),

    {% endfor -%}
    ends as (
        select source_system, id from hops_0
        where id = end_id
    )

    select
        hops_5.source_system,
        hops_5.id,
        coalesce(ends.id, hops_5.id) as end_id
        {%- if path %},
        case when ends.id is null then hops_5.id else hops_5.path_to || hops_5.id end as path
        {%- endif %}
    from hops_5
    left join ends
        on hops_5.source_system = ends.source_system
        and hops_5.end_id = ends.id
{%- endmacro %}


{#
    The current records of a contract, one for each key: where cells overlap (a key in two files that each stand for
    themselves) the last delivered one.
#}
{% macro one_record_each(contract) -%}
    select * from ({{ ranked_records(contract) }}) as ranked_records
    where nth_of_key = 1
{%- endmacro %}


{% macro ranked_records(contract) -%}
    select
        *,
        row_number() over (
            partition by {{ var('contracts')[contract].grain | join(', ') }} order by _load_seq desc, _file_seq desc, _line desc
        ) as nth_of_key
    from ({{ current_records(contract) }}) as current_records
{%- endmacro %}


{#
    Adds the key of what a column names, -1 where nobody knows it. An id means a record of the row's own source; a source that
    has no such record (finance names the CRM's deals) means the only one of that id anywhere.
#}
{% macro with_key(records, column, entities, id, key, as) -%}
    select
        referring.*,
        coalesce(own.{{ key }}, elsewhere.{{ key }}, '-1') as {{ as }}
    from {{ records }} as referring
    left join {{ entities }} as own
        on referring.source_system = own.source_system
        and referring.{{ column }} = own.{{ id }}
    left join (
        select {{ id }}, min({{ key }}) as {{ key }} from {{ entities }}
        group by {{ id }}
        having count(*) = 1
    ) as elsewhere on referring.{{ column }} = elsewhere.{{ id }}
{%- endmacro %}
