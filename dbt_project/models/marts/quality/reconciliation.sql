-- What the second reader added up in the files must be found again, to the last decimal: in the fact, or named as held back.
with

controls as (
    select * from {{ ref('int_quality__controls') }}
),

fact as (
    select source_system, stream, sum(spend_amount) as fact_amount from {{ ref('fct_ad_spend') }}
    where is_current
    group by source_system, stream
),

held as (
    select source_system, stream, sum(spend_amount) as held_amount from {{ ref('int_spend__unconverted') }}
    where is_current
    group by source_system, stream
),

quarantined as (
    select source_system, stream, sum(amount) as quarantined_amount from {{ ref('int_quality__quarantined') }}
    where contract = 'performance_daily'
    group by source_system, stream
),

-- the same money delivered at a level and again at its parts is in the fact once
repeated_by_level as (
    select source_system, stream, sum(spend_amount_of_parts) as repeated_by_level_amount from {{ ref('int_spend__levels') }}
    where known_to = {{ end_of_time() }}
    group by source_system, stream
),

joined as (
    select
        controls.source_system,
        controls.stream,
        'spend_amount' as measure,
        controls.control_amount,
        coalesce(fact.fact_amount, 0) as fact_amount,
        coalesce(held.held_amount, 0) as held_amount,
        coalesce(quarantined.quarantined_amount, 0) as quarantined_amount,
        controls.deduplicated_amount,
        coalesce(repeated_by_level.repeated_by_level_amount, 0) as repeated_by_level_amount
    from controls
    left join fact
        on controls.source_system = fact.source_system
        and controls.stream = fact.stream
    left join held
        on controls.source_system = held.source_system
        and controls.stream = held.stream
    left join quarantined
        on controls.source_system = quarantined.source_system
        and controls.stream = quarantined.stream
    left join repeated_by_level
        on controls.source_system = repeated_by_level.source_system
        and controls.stream = repeated_by_level.stream
)

select
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(stream as {{ dbt.type_string() }}) as stream,
    cast(measure as {{ dbt.type_string() }}) as measure,
    cast(control_amount as decimal(38, 6)) as control_amount,
    cast(fact_amount as decimal(38, 6)) as fact_amount,
    cast(held_amount as decimal(38, 6)) as held_amount,
    cast(quarantined_amount as decimal(38, 6)) as quarantined_amount,
    cast(deduplicated_amount as decimal(38, 6)) as deduplicated_amount,
    cast(repeated_by_level_amount as decimal(38, 6)) as repeated_by_level_amount,
    cast(
        control_amount - fact_amount - held_amount - quarantined_amount - deduplicated_amount - repeated_by_level_amount
        as decimal(38, 6)
    ) as difference
from joined
