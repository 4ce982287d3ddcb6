-- Question: Can this quarter still be saved: what is missing, how many days are left, what must come?
-- Asked by: head of sales, territory managers, management
-- Grain: one row for the company and one per territory, of the quarter that the run lies in
-- How to read it: gap_amount_rc is the plan less what is booked (negative: the plan is reached). It is spread over the
--   working days that are left (required_per_day_rc; compare booked_per_day_rc). required_pipeline_rc is the gap over the
--   win rate by amount of the last four full quarters: so much must be open to close the gap at the usual rate.
--   open_pipeline_rc is expected to close before the quarter ends; overdue_pipeline_rc is the part of it whose close date
--   has passed already. pipeline_coverage is open_pipeline_rc over the gap.
-- Unit: amounts in reporting_currency; days are working days of the plan's calendar, the run's own day is still to come
-- Ratios: booked_per_day_rc = actual_amount_rc / days_past; required_per_day_rc = gap_amount_rc / days_left;
--   pipeline_coverage = open_pipeline_rc / gap_amount_rc; win_rate_amount = won_amount_rc / closed_amount_rc;
--   required_pipeline_rc = gap_amount_rc / win_rate_amount
-- Pitfalls: Coverage supposes that all of the open pipeline is decided in time; of overdue deals nobody knows that. Few deals make a wild win rate: look at closed_amount_rc. Renewals and expansions are booked without being in the
--   open pipeline. Read it as a question to ask, not as a forecast.
with today as (
    select
        cast(run.as_of as date) as as_of_date,
        run.reporting_currency,
        calendar.quarter_start_date
    from metadata.run_info as run
    inner join marts.dim_date as calendar on cast(run.as_of as date) = calendar.date_day
),

-- the newest first: the quarter that runs is number 1, the four before it 2 to 5
quarters as (
    select
        quarter_start_date,
        row_number() over (order by quarter_start_date desc) as quarters_ago
    from (
        select distinct calendar.quarter_start_date
        from marts.dim_date as calendar
        inner join today on calendar.quarter_start_date <= today.quarter_start_date
    ) as begun
),

nodes as (
    select
        plan.owner_type,
        plan.territory_key,
        plan.period_start,
        plan.period_end,
        plan.attainment_denominator_rc as plan_amount_rc,
        plan.actual_amount_rc,
        case when plan.quota_amount_rc is not null then 'quota' else 'target' end as scenario
    from marts.rpt_plan as plan
    inner join today on plan.period_start = today.quarter_start_date
    where plan.period_type = 'quarter'
        and plan.owner_type in ('company', 'territory')
        and plan.attainment_denominator_rc is not null
),

days as (
    select
        nodes.owner_type,
        nodes.territory_key,
        count(distinct case when plan_days.plan_date < today.as_of_date then plan_days.plan_date end) as days_past,
        count(distinct case when plan_days.plan_date >= today.as_of_date then plan_days.plan_date end) as days_left
    from nodes
    inner join marts.fct_plan_daily as plan_days
        on nodes.owner_type = plan_days.owner_type
        and nodes.territory_key = plan_days.territory_key
        and nodes.scenario = plan_days.scenario
        and nodes.period_start <= plan_days.plan_date
        and nodes.period_end > plan_days.plan_date
    cross join today
    where plan_days.metric = 'bookings'
        and plan_days.is_finest_period
    group by nodes.owner_type, nodes.territory_key
),

deals as (
    select * from marts.fct_opportunity
    where is_in_funnel
),

-- every deal once for its territory and once for the company
deals_of_nodes as (
    select 'company' as owner_type, '-1' as node_territory_key, deals.* from deals
    union all
    select 'territory' as owner_type, territory_key as node_territory_key, deals.* from deals
),

open_deals as (
    select
        nodes.owner_type,
        nodes.territory_key,
        count(*) as open_opportunities,
        sum(deals_of_nodes.opportunity_amount_rc) as open_pipeline_rc,
        sum(case when deals_of_nodes.is_overdue then deals_of_nodes.opportunity_amount_rc else 0 end) as overdue_pipeline_rc
    from nodes
    inner join deals_of_nodes
        on nodes.owner_type = deals_of_nodes.owner_type
        and nodes.territory_key = deals_of_nodes.node_territory_key
        and nodes.period_end > deals_of_nodes.close_date
    where not deals_of_nodes.is_closed
    group by nodes.owner_type, nodes.territory_key
),

closed_deals as (
    select
        deals_of_nodes.owner_type,
        deals_of_nodes.node_territory_key as territory_key,
        sum(case when deals_of_nodes.is_won then deals_of_nodes.opportunity_amount_rc else 0 end) as won_amount_rc,
        sum(deals_of_nodes.opportunity_amount_rc) as closed_amount_rc
    from deals_of_nodes
    inner join marts.dim_date as calendar on deals_of_nodes.closed_date = calendar.date_day
    inner join quarters on calendar.quarter_start_date = quarters.quarter_start_date
    where deals_of_nodes.is_closed
        and quarters.quarters_ago between 2 and 5
    group by deals_of_nodes.owner_type, deals_of_nodes.node_territory_key
),

measured as (
    select
        nodes.*,
        nodes.plan_amount_rc - nodes.actual_amount_rc as gap_amount_rc,
        coalesce(days.days_past, 0) as days_past,
        coalesce(days.days_left, 0) as days_left,
        coalesce(open_deals.open_opportunities, 0) as open_opportunities,
        coalesce(open_deals.open_pipeline_rc, 0) as open_pipeline_rc,
        coalesce(open_deals.overdue_pipeline_rc, 0) as overdue_pipeline_rc,
        coalesce(closed_deals.won_amount_rc, 0) as won_amount_rc,
        coalesce(closed_deals.closed_amount_rc, 0) as closed_amount_rc
    from nodes
    left join days on nodes.owner_type = days.owner_type and nodes.territory_key = days.territory_key
    left join open_deals on nodes.owner_type = open_deals.owner_type and nodes.territory_key = open_deals.territory_key
    left join closed_deals on nodes.owner_type = closed_deals.owner_type and nodes.territory_key = closed_deals.territory_key
),

weighed as (
    select
        *,
        case when gap_amount_rc > 0 then cast(gap_amount_rc as double) * closed_amount_rc / nullif(won_amount_rc, 0) end
            as required_pipeline_rc
    from measured
)

select
    weighed.period_start as quarter_start_date,
    case when weighed.owner_type = 'company' then 'Company' else territories.territory_name end as territory_name,
    weighed.plan_amount_rc,
    weighed.actual_amount_rc,
    weighed.gap_amount_rc,
    weighed.days_past,
    weighed.days_left,
    cast(weighed.actual_amount_rc as double) / nullif(weighed.days_past, 0) as booked_per_day_rc,
    cast(weighed.gap_amount_rc as double) / nullif(weighed.days_left, 0) as required_per_day_rc,
    weighed.open_opportunities,
    weighed.open_pipeline_rc,
    weighed.overdue_pipeline_rc,
    case when weighed.gap_amount_rc > 0 then cast(weighed.open_pipeline_rc as double) / weighed.gap_amount_rc end as pipeline_coverage,
    weighed.won_amount_rc,
    weighed.closed_amount_rc,
    cast(weighed.won_amount_rc as double) / nullif(weighed.closed_amount_rc, 0) as win_rate_amount,
    weighed.required_pipeline_rc,
    case
        when weighed.gap_amount_rc <= 0 then 'plan is reached'
        when weighed.open_pipeline_rc - weighed.overdue_pipeline_rc >= weighed.required_pipeline_rc then 'enough is open at the usual win rate'
        when weighed.open_pipeline_rc >= weighed.required_pipeline_rc then 'enough is open only with overdue deals'
        else 'more pipeline is needed'
    end as verdict,
    today.reporting_currency
from weighed
inner join marts.dim_territory as territories on weighed.territory_key = territories.territory_key
cross join today
order by weighed.owner_type nulls last, territory_name nulls last
