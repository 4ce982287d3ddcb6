-- Question: What do we earn, and what do we give away, by product family?
-- Asked by: finance, head of sales, product marketing
-- Grain: one row per quarter of the booking and product family
-- How to read it: gross_margin_rate is gross_margin_rc over booked_with_cost_rc, the bookings whose cost is known;
--   price_realisation is booked_with_list_rc over list_amount_rc: what was got of the list price. booked_amount_rc is all of it.
-- Unit: amounts in reporting_currency; rates are shares of 1
-- Ratios: gross_margin_rate = gross_margin_rc / booked_with_cost_rc; price_realisation = booked_with_list_rc / list_amount_rc
-- Pitfalls: Where finance delivers no cost or no list price the booking is in booked_amount_rc alone, so compare it with the
--   denominators before you trust a rate. Reversals are taken off on their own day.
with bookings as (
    select
        calendar.quarter_start_date,
        case when products.product_key = '-1' then 'Unknown product' else coalesce(products.family, 'no family') end as family,
        revenue.booked_amount_rc,
        revenue.gross_margin_amount_rc,
        revenue.cost_amount_rc,
        revenue.list_amount_rc,
        revenue.reporting_currency
    from marts.fct_revenue as revenue
    inner join marts.dim_product as products on revenue.product_key = products.product_key
    inner join marts.dim_date as calendar on revenue.booked_date = calendar.date_day
    where revenue.is_booking
)

select
    quarter_start_date,
    family,
    count(*) as booking_events,
    sum(booked_amount_rc) as booked_amount_rc,
    coalesce(sum(gross_margin_amount_rc), 0) as gross_margin_rc,
    sum(case when cost_amount_rc is not null then booked_amount_rc else 0 end) as booked_with_cost_rc,
    cast(sum(gross_margin_amount_rc) as double) / nullif(sum(case when cost_amount_rc is not null then booked_amount_rc else 0 end), 0)
        as gross_margin_rate,
    sum(case when list_amount_rc is not null then booked_amount_rc else 0 end) as booked_with_list_rc,
    coalesce(sum(list_amount_rc), 0) as list_amount_rc,
    cast(sum(case when list_amount_rc is not null then booked_amount_rc else 0 end) as double) / nullif(sum(list_amount_rc), 0)
        as price_realisation,
    reporting_currency
from bookings
group by quarter_start_date, family, reporting_currency
order by quarter_start_date desc, booked_amount_rc desc, family asc nulls last
