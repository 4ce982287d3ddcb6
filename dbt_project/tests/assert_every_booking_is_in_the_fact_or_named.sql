with

delivered as (
    select source_system, event_id, revenue_key, held_reason from {{ ref('int_revenue__converted') }}
)

select delivered.source_system, delivered.event_id, delivered.held_reason, revenue.revenue_key
from delivered
full outer join {{ ref('fct_revenue') }} as revenue on delivered.revenue_key = revenue.revenue_key
where (revenue.revenue_key is null) <> (delivered.held_reason is not null)
    or delivered.revenue_key is null
