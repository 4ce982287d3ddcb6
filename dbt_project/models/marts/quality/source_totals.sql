-- What a source says of itself, by a call of its own, against what has arrived of it.
{% set merging = ['accounts', 'contacts', 'leads', 'opportunities'] -%}
{%- set text = dbt.type_string() -%}
with

said as (
    select * from {{ ref('int_quality__totals') }}
),

sources as (
    select source_system, final_after_days from {{ ref('int_quality__sources') }}
),

quarantined as (
    select source_system, stream, count(*) as quarantined_rows from {{ ref('int_quality__quarantined') }}
    group by source_system, stream
),

performance as (
    {{ current_records('performance_daily') }}
),

arrived as (
    {% for measure in ['spend_amount', 'impressions', 'clicks'] -%}
    select
        source_system, stream, ad_account_id as part, spend_date as day, '{{ measure }}' as measure,
        cast(sum({{ measure }}) as decimal(38, 6)) as arrived_value, count(*) as arrived_rows
    from performance
    group by source_system, stream, ad_account_id, spend_date
    union all
    {% endfor -%}
    {% for contract in merging + ['activities'] -%}
    select
        source_system, stream, cast(null as {{ text }}) as part, cast(null as date) as day, 'rows' as measure,
        cast(count(*) as decimal(38, 6)) as arrived_value, count(*) as arrived_rows
    from ({{ current_records(contract) }}) as {{ contract }}
    where not coalesce(is_deleted, cast(0 as boolean)){{ ' and merged_into_id is null' if contract in merging }}
    group by source_system, stream
    union all
    {% endfor -%}
    select
        source_system, stream, currency as part, cast(null as date) as day, 'amount' as measure,
        cast(sum(amount) as decimal(38, 6)) as arrived_value, count(*) as arrived_rows
    from ({{ current_records('opportunities') }}) as deals
    where not coalesce(is_deleted, cast(0 as boolean)) and merged_into_id is null
    group by source_system, stream, currency
),

compared as (
    select
        said.*,
        coalesce(arrived.arrived_value, 0) as arrived_value,
        coalesce(said.row_unit * arrived.arrived_rows, 0) as tolerance,
        coalesce(quarantined.quarantined_rows, 0) as quarantined_rows,
        coalesce(
            said.day <= cast({{ dbt.dateadd('day', '-sources.final_after_days', as_of()) }} as date), cast(0 as boolean)
        ) as is_final
    from said
    left join arrived
        on said.source_system = arrived.source_system
        and said.stream = arrived.stream
        and said.measure = arrived.measure
        and said.part is not distinct from arrived.part
        and said.day is not distinct from arrived.day
    left join quarantined
        on said.source_system = quarantined.source_system
        and said.stream = quarantined.stream
    left join sources on said.source_system = sources.source_system
)

select
    {{ surrogate_key(['source_system', 'stream', 'part', 'day', 'measure']) }} as source_total_key,
    source_system,
    stream,
    part,
    day,
    measure,
    said_value,
    arrived_value,
    cast(said_value - arrived_value as decimal(38, 6)) as difference,
    cast(tolerance as decimal(38, 6)) as tolerance,
    cast(quarantined_rows as bigint) as quarantined_rows,
    is_final,
    known_at as said_at,
    _load_id
from compared
