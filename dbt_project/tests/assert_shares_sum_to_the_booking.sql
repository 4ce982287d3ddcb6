-- To the cent, for every event, and no share is more than a cent away from its part.
with

shared as (
    select revenue_key, sum(share_amount_rc) as share_amount_rc from {{ ref('fct_revenue_share') }}
    where not is_overlay
    group by revenue_key
)

select revenue.revenue_key, revenue.booked_amount_rc, shared.share_amount_rc
from {{ ref('fct_revenue') }} as revenue
left join shared on revenue.revenue_key = shared.revenue_key
where shared.share_amount_rc is null
    or shared.share_amount_rc <> revenue.booked_amount_rc
    or revenue.booked_amount_rc <> round(revenue.booked_amount_rc, 2)
