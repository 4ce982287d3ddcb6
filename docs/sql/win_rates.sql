-- Question: How much do we win, by the month of closing and by the month of creation, by number and by amount?
-- Asked by: head of sales, sales operations, finance
-- Grain: one row per cohort (by closing or by creation) and month
-- How to read it: Four rates that are often confused. win_rate_count is won over closed opportunities, win_rate_amount is
--   won over closed amount; cohort `closed` takes what was closed in the month, `created` what was created in it and is
--   closed by now. open_opportunities are those of the cohort that can still go either way.
-- Unit: opportunities; amounts in reporting_currency, at the rate of the day of closing
-- Ratios: win_rate_count = won_opportunities / closed_opportunities; win_rate_amount = won_amount_rc / closed_amount_rc
-- Pitfalls: Compare a cohort with its own kind only. Young months of `created` hold mostly quick decisions, so their rate
--   moves while open_opportunities fall. Tests, deleted and merged opportunities are left out; closed ones without an
--   amount count in the numbers and not in the amounts (closed_without_amount).
with cohorts as (
    select 'closed' as cohort, calendar.month_start_date, deals.*
    from marts.fct_opportunity as deals
    inner join marts.dim_date as calendar on deals.closed_date = calendar.date_day
    where deals.is_in_funnel
        and deals.is_closed

    union all

    select 'created' as cohort, calendar.month_start_date, deals.*
    from marts.fct_opportunity as deals
    inner join marts.dim_date as calendar on deals.created_date = calendar.date_day
    where deals.is_in_funnel
),

counted as (
    select
        cohort,
        month_start_date,
        reporting_currency,
        count(*) as opportunities,
        sum(case when is_won then 1 else 0 end) as won_opportunities,
        sum(case when is_closed then 1 else 0 end) as closed_opportunities,
        sum(case when is_closed then 0 else 1 end) as open_opportunities,
        sum(case when is_closed and opportunity_amount_rc is null then 1 else 0 end) as closed_without_amount,
        coalesce(sum(case when is_won then opportunity_amount_rc end), 0) as won_amount_rc,
        coalesce(sum(case when is_closed then opportunity_amount_rc end), 0) as closed_amount_rc
    from cohorts
    group by cohort, month_start_date, reporting_currency
)

select
    cohort,
    month_start_date,
    opportunities,
    won_opportunities,
    closed_opportunities,
    open_opportunities,
    cast(won_opportunities as double) / nullif(closed_opportunities, 0) as win_rate_count,
    won_amount_rc,
    closed_amount_rc,
    closed_without_amount,
    cast(won_amount_rc as double) / nullif(closed_amount_rc, 0) as win_rate_amount,
    reporting_currency
from counted
order by cohort asc nulls last, month_start_date desc
