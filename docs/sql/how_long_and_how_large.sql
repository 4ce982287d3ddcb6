-- Question: How long does a deal take and how large is it, by segment of the customer?
-- Asked by: head of sales, finance for the outlook, marketing for the lookback of attribution
-- Grain: one row per quarter of closing and segment of the account
-- How to read it: average_sales_price is won_amount_rc over won_with_amount. The median cycle is the usual case, p90 the slow
--   one: nine of ten won deals were faster. Lost deals have a median of their own, since we notice late that we lose.
-- Unit: opportunities; amounts in reporting_currency; days from creation to closing
-- Ratios: average_sales_price = won_amount_rc / won_with_amount
-- Pitfalls: Medians cannot be averaged over rows. Deals that were entered after they were won have a cycle of 0 days
--   (entered_afterwards) and pull the median down.
with closed as (
    select
        calendar.quarter_start_date,
        coalesce(accounts.segment, 'no segment') as segment,
        deals.*
    from marts.fct_opportunity as deals
    inner join marts.dim_date as calendar on deals.closed_date = calendar.date_day
    inner join marts.dim_account as accounts on deals.account_key = accounts.account_key
    where deals.is_in_funnel
        and deals.is_closed
)

select
    quarter_start_date,
    segment,
    sum(case when is_won then 1 else 0 end) as won_opportunities,
    sum(case when is_lost then 1 else 0 end) as lost_opportunities,
    coalesce(sum(case when is_won then opportunity_amount_rc end), 0) as won_amount_rc,
    sum(case when is_won and opportunity_amount_rc is not null then 1 else 0 end) as won_with_amount,
    cast(sum(case when is_won then opportunity_amount_rc end) as double)
        / nullif(sum(case when is_won and opportunity_amount_rc is not null then 1 else 0 end), 0) as average_sales_price,
    percentile_cont(0.5) within group (order by case when is_won then cycle_days end) as median_cycle_days_won,
    percentile_cont(0.9) within group (order by case when is_won then cycle_days end) as p90_cycle_days_won,
    percentile_cont(0.5) within group (order by case when is_lost then cycle_days end) as median_cycle_days_lost,
    sum(case when is_won_before_created then 1 else 0 end) as entered_afterwards,
    reporting_currency
from closed
group by quarter_start_date, segment, reporting_currency
order by quarter_start_date desc, segment asc nulls last
