-- Question: What did each territory book, and how much of it was taken back?
-- Asked by: finance, head of sales, territory managers
-- Grain: one row per month of the booking and territory
-- How to read it: net_amount_rc is booked_amount_rc less taken_back_amount_rc, and is what rpt_plan and
--   every total of bookings hold. reversal_rate is what was taken back in the month over what was booked in it.
--   net_in_current_view_rc is the same money by the territory that the owner has today; it agrees in total only.
-- Unit: amounts in reporting_currency, each event at the rate of its own UTC day
-- Ratios: reversal_rate = taken_back_amount_rc / booked_amount_rc
-- Pitfalls: A reversal lies on its own day, so a month can take back more than it books: its rate may exceed 1. Churn and
--   contraction change what recurs and are no bookings. `Unknown territory` is money whose owner had none.
with bookings as (
    select * from marts.fct_revenue
    where is_booking
),

sides as (
    select
        cast(date_trunc('month', booked_date) as date) as month_start_date,
        territory_key,
        reporting_currency,
        case when is_reversal then 0 else booked_amount_rc end as booked_amount_rc,
        case when is_reversal then -booked_amount_rc else 0 end as taken_back_amount_rc,
        cast(0 as decimal(18, 6)) as current_view_rc,
        1 as booking_events
    from bookings

    union all

    select
        cast(date_trunc('month', booked_date) as date) as month_start_date,
        current_territory_key as territory_key,
        reporting_currency,
        cast(0 as decimal(18, 6)) as booked_amount_rc,
        cast(0 as decimal(18, 6)) as taken_back_amount_rc,
        booked_amount_rc as current_view_rc,
        0 as booking_events
    from bookings
)

select
    sides.month_start_date,
    case when sides.territory_key = '-1' then 'Unknown territory' else territories.territory_name end as territory_name,
    sum(sides.booking_events) as booking_events,
    sum(sides.booked_amount_rc) as booked_amount_rc,
    sum(sides.taken_back_amount_rc) as taken_back_amount_rc,
    sum(sides.booked_amount_rc - sides.taken_back_amount_rc) as net_amount_rc,
    cast(sum(sides.taken_back_amount_rc) as double) / nullif(sum(sides.booked_amount_rc), 0) as reversal_rate,
    sum(sides.current_view_rc) as net_in_current_view_rc,
    sides.reporting_currency
from sides
inner join marts.dim_territory as territories on sides.territory_key = territories.territory_key
group by sides.month_start_date, sides.territory_key, territories.territory_name, sides.reporting_currency
order by sides.month_start_date desc, territory_name asc nulls last
