-- A stream that has loads, or a currency that has money, and no line here would pass unseen.
with

streams as (
    select source_system, stream, contract, null as currency from {{ ref('row_ledger') }}
    where contract in ('{{ reconciled_measures().keys() | join("', '") }}')
    union
    select source_system, stream, 'performance_daily' as contract, currency from {{ ref('fct_ad_spend') }}
    where is_current
    union
    select source_system, stream, 'revenue_events' as contract, currency from {{ ref('fct_revenue') }}
    union
    select source_system, stream, 'opportunities' as contract, coalesce(currency, 'unknown') as currency from {{ ref('fct_opportunity') }}
    union
    select source_system, stream, contract, coalesce(currency, 'unknown') as currency from {{ ref('int_plan__values') }}
),

measured as (
    select
        *,
        case contract
            {%- for contract, measure in reconciled_measures().items() %}
            when '{{ contract }}' then '{{ measure }}'
            {%- endfor %}
        end as measure
    from streams
)

select measured.*
from measured
left join {{ ref('reconciliation') }} as reconciliation
    on measured.source_system = reconciliation.source_system
    and measured.stream = reconciliation.stream
    and measured.measure = reconciliation.measure
    and coalesce(measured.currency, reconciliation.currency) = reconciliation.currency
where reconciliation.stream is null
