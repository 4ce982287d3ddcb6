-- A stream that has a control total or spend and no line here would pass unseen.
with

streams as (
    select source_system, stream from {{ ref('row_ledger') }}
    where contract = 'performance_daily'
    union
    select source_system, stream from {{ ref('fct_ad_spend') }}
)

select streams.*
from streams
left join {{ ref('reconciliation') }} as reconciliation
    on streams.source_system = reconciliation.source_system
    and streams.stream = reconciliation.stream
where reconciliation.stream is null
