-- Question: Who has what in the open pipeline, and how healthy is it?
-- Asked by: sales managers in one-to-ones, sales operations
-- Grain: one row per owner of open opportunities
-- How to read it: open_amount_rc is all that is open, weighted_amount_rc the same times the chance that the CRM states.
--   overdue_share is overdue_amount_rc over open_amount_rc: deals whose close date has passed. A deal without an amount or
--   with a single contact is a question for the next talk, not a verdict.
-- Unit: opportunities; amounts in reporting_currency at today's rate; shares of 1
-- Ratios: overdue_share = overdue_amount_rc / open_amount_rc
-- Pitfalls: The CRM's chances are opinions: compare weighted_amount_rc with win_rates.sql. Amounts are null without a rate
--   or an amount, and are then not in the sums (without_amount). Owners are shown by their id; dim_rep has the names. Widen
--   an amount before you multiply it, as here: decimal(18, 6) times decimal(9, 8) overflows.
with today as (
    select calendar.quarter_start_date
    from metadata.run_info as run
    inner join marts.dim_date as calendar on cast(run.as_of as date) = calendar.date_day
),

open_deals as (
    select
        deals.*,
        case when calendar.quarter_start_date <= today.quarter_start_date then 1 else 0 end as is_due_this_quarter
    from marts.fct_opportunity as deals
    left join marts.dim_date as calendar on deals.close_date = calendar.date_day
    cross join today
    where deals.is_in_funnel
        and not deals.is_closed
)

select
    reps.user_id as owner_id,
    coalesce(reps.team, 'no team') as team,
    territories.territory_name,
    count(*) as open_opportunities,
    coalesce(sum(open_deals.opportunity_amount_rc), 0) as open_amount_rc,
    cast(coalesce(sum(cast(open_deals.opportunity_amount_rc as decimal(28, 6)) * open_deals.probability_rate), 0) as decimal(38, 6))
        as weighted_amount_rc,
    coalesce(sum(case when open_deals.is_due_this_quarter = 1 then open_deals.opportunity_amount_rc end), 0) as due_this_quarter_amount_rc,
    sum(case when open_deals.is_overdue then 1 else 0 end) as overdue_opportunities,
    coalesce(sum(case when open_deals.is_overdue then open_deals.opportunity_amount_rc end), 0) as overdue_amount_rc,
    cast(sum(case when open_deals.is_overdue then open_deals.opportunity_amount_rc else 0 end) as double)
        / nullif(sum(open_deals.opportunity_amount_rc), 0) as overdue_share,
    sum(case when open_deals.is_without_amount then 1 else 0 end) as without_amount,
    sum(case when open_deals.contacts_n < 2 then 1 else 0 end) as with_one_contact_or_none,
    sum(case when open_deals.push_count > 0 then 1 else 0 end) as pushed_opportunities,
    open_deals.reporting_currency
from open_deals
inner join marts.dim_rep as reps on open_deals.owner_rep_key = reps.rep_key
inner join marts.dim_territory as territories on reps.territory_key = territories.territory_key
group by reps.user_id, reps.team, territories.territory_name, open_deals.reporting_currency
order by open_amount_rc desc, owner_id asc nulls last
