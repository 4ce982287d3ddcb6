-- A stream that has loads, or a currency that has spend, and no line here would pass unseen.
with

streams as (
    select source_system, stream, null as currency from {{ ref('row_ledger') }}
    where contract = 'performance_daily'
    union
    select source_system, stream, currency from {{ ref('fct_ad_spend') }}
    where is_current
)

select streams.*
from streams
left join {{ ref('reconciliation') }} as reconciliation
    on streams.source_system = reconciliation.source_system
    and streams.stream = reconciliation.stream
    and coalesce(streams.currency, reconciliation.currency) = reconciliation.currency
where reconciliation.stream is null
