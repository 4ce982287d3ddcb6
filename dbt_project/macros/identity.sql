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
            {{ current_records(contract) }}
        ) as current_records
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
