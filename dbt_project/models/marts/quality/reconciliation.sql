-- What the second reader added up in the files must be found again, to the last decimal: in the fact, or named as held back.
-- Every part brings its own currencies, so that money that turned up in another currency has a line of its own.
with

cells as (
    select * from {{ ref('int_conformed__cells') }}
    where contract in ('{{ reconciled_measures().keys() | join("', '") }}')
        and is_current
),

deduplicated as (
    select * from {{ ref('int_quality__deduplicated') }}
    where contract in ('{{ reconciled_measures().keys() | join("', '") }}')
        and not is_covered_again
),

parts as (
    select contract, source_system, stream, currency, 'control' as part, control_amount as amount from {{ ref('int_quality__controls') }}
    union all
    select 'performance_daily' as contract, source_system, stream, currency, 'fact' as part, spend_amount as amount
    from {{ ref('fct_ad_spend') }}
    where is_current
    union all
    select 'revenue_events' as contract, source_system, stream, currency, 'fact' as part, booked_amount as amount
    from {{ ref('fct_revenue') }}
    union all
    select 'opportunities' as contract, source_system, stream, currency, 'fact' as part, opportunity_amount as amount
    from {{ ref('fct_opportunity') }}
    union all
    select plans.contract, fct_plan.source_system, fct_plan.stream, fct_plan.currency, 'fact' as part, fct_plan.plan_value as amount
    from {{ ref('fct_plan') }} as fct_plan
    inner join {{ ref('int_plan__values') }} as plans on fct_plan.plan_key = plans.plan_key
    union all
    select contract, source_system, stream, currency, 'held' as part, amount from {{ ref('int_fx__unconverted') }}
    where is_left_out
        and contract in ('{{ reconciled_measures().keys() | join("', '") }}')
    union all
    select contract, source_system, stream, currency, 'quarantined' as part, amount from {{ ref('int_quality__quarantined') }}
    where contract in ('{{ reconciled_measures().keys() | join("', '") }}')
    union all
    select
        deduplicated.contract, deduplicated.source_system, deduplicated.stream, deduplicated.currency, 'deduplicated' as part,
        deduplicated.amount
    from deduplicated
    inner join cells
        on deduplicated.contract = cells.contract
        and deduplicated._load_id = cells._load_id
        and deduplicated._cell = cells._cell
    union all
    select contract, source_system, stream, currency, 'deduplicated' as part, amount from {{ ref('int_quality__repeated') }}
    union all
    -- the same money delivered at a level and again at its parts is in the fact once
    select 'performance_daily' as contract, source_system, stream, currency, 'repeated_by_level' as part, spend_amount_of_parts as amount
    from {{ ref('int_spend__levels') }}
    where known_to = {{ end_of_time() }}
),

summed as (
    select
        contract,
        source_system,
        stream,
        coalesce(currency, 'unknown') as currency,
        {%- for part in ['control', 'fact', 'held', 'quarantined', 'deduplicated', 'repeated_by_level'] %}
        coalesce(sum(amount) filter (where part = '{{ part }}'), 0) as {{ part }}_amount{{ ',' if not loop.last }}
        {%- endfor %}
    from parts
    group by contract, source_system, stream, coalesce(currency, 'unknown')
)

select
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(stream as {{ dbt.type_string() }}) as stream,
    cast(currency as {{ dbt.type_string() }}) as currency,
    cast(
        case contract
            {%- for contract, measure in reconciled_measures().items() %}
            when '{{ contract }}' then '{{ measure }}'
            {%- endfor %}
        end as {{ dbt.type_string() }}
    ) as measure,
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
from summed
