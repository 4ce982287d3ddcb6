-- Question: Why do we lose deals, and to whom?
-- Asked by: head of sales, product marketing
-- Grain: one row per reason and competitor, over what was lost in the last four full quarters
-- How to read it: share_of_lost and share_of_lost_amount are the row's part of everything that was lost; both totals stand
--   beside them. average_cycle_days says how long we worked before we lost: late losses are the dear ones.
-- Unit: opportunities; amounts in reporting_currency at the rate of the day of closing; days
-- Ratios: share_of_lost = lost_opportunities / all_lost_opportunities; share_of_lost_amount = lost_amount_rc / all_lost_amount_rc;
--   average_cycle_days = cycle_days_sum / with_cycle_days
-- Pitfalls: Reasons are what reps say. A reason that nobody gave is `not said`: when that is the largest row, mend that first.
--   Opportunities without an amount count in the numbers only.
with quarters as (
    select quarter_start_date, row_number() over (order by quarter_start_date desc) as quarters_ago
    from (
        select quarter_start_date
        from marts.dim_date
        group by quarter_start_date
        having min(case when is_past then 1 else 0 end) = 1
    ) as complete_quarters
),

lost as (
    select
        coalesce(deals.loss_reason, 'not said') as loss_reason,
        coalesce(deals.competitor, 'none named') as competitor,
        deals.opportunity_amount_rc,
        deals.cycle_days,
        deals.reporting_currency
    from marts.fct_opportunity as deals
    inner join marts.dim_date as calendar on deals.closed_date = calendar.date_day
    inner join quarters on calendar.quarter_start_date = quarters.quarter_start_date
    where quarters.quarters_ago <= 4
        and deals.is_in_funnel
        and deals.is_lost
)

select
    loss_reason,
    competitor,
    count(*) as lost_opportunities,
    sum(count(*)) over () as all_lost_opportunities,
    cast(count(*) as double) / nullif(sum(count(*)) over (), 0) as share_of_lost,
    coalesce(sum(opportunity_amount_rc), 0) as lost_amount_rc,
    sum(sum(opportunity_amount_rc)) over () as all_lost_amount_rc,
    cast(sum(opportunity_amount_rc) as double) / nullif(sum(sum(opportunity_amount_rc)) over (), 0) as share_of_lost_amount,
    sum(cycle_days) as cycle_days_sum,
    count(cycle_days) as with_cycle_days,
    cast(sum(cycle_days) as double) / nullif(count(cycle_days), 0) as average_cycle_days,
    reporting_currency
from lost
group by loss_reason, competitor, reporting_currency
order by lost_amount_rc desc, loss_reason asc nulls last, competitor asc nulls last
