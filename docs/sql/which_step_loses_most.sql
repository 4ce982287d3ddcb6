-- Question: Which step of the funnel loses most, and who answers for it?
-- Asked by: both heads, in the meeting about the funnel
-- Grain: one row per agreed step that has a next one
-- How to read it: Of the journeys that reached the step in the last twelve full months, next_journeys went on, open_journeys
--   may still, and lost_journeys ended there. conversion_rate is next_journeys over reached_journeys. A journey that ended
--   is lost at one step only, so share_of_losses adds up to 1. next_step_team answers for what enters the next step.
-- Unit: journeys (a lead with its opportunity, or an opportunity without a lead)
-- Ratios: conversion_rate = next_journeys / reached_journeys; share_of_losses = lost_journeys / all_lost_journeys
-- Pitfalls: Each step is a cohort of its own month, so reached_journeys of one row is not next_journeys of the row above.
--   Young months still convert: look at open_journeys before blaming anybody. A win that was taken back is a loss here.
with months as (
    select month_start_date, row_number() over (order by month_start_date desc) as months_ago
    from (select distinct month_start_date from marts.dim_date
where is_complete_period) as complete_months
),

cells as (
    select funnel.*
    from marts.rpt_funnel as funnel
    inner join months on funnel.cohort_month = months.month_start_date
    where months.months_ago <= 12
        and funnel.cohort_step = funnel.step
        and funnel.next_step is not null
),

counted as (
    select
        step,
        next_step,
        sum(reached_journeys) as reached_journeys,
        sum(next_journeys) as next_journeys,
        sum(open_journeys) as open_journeys,
        sum(reached_journeys - next_journeys - open_journeys) as lost_journeys
    from cells
    group by step, next_step
)

select
    steps.step_name,
    steps.accountable_team as step_team,
    next_steps.step_name as next_step_name,
    next_steps.accountable_team as next_step_team,
    next_steps.responsible_role as next_step_role,
    counted.reached_journeys,
    counted.next_journeys,
    counted.open_journeys,
    counted.lost_journeys,
    cast(counted.next_journeys as double) / nullif(counted.reached_journeys, 0) as conversion_rate,
    sum(counted.lost_journeys) over () as all_lost_journeys,
    cast(counted.lost_journeys as double) / nullif(sum(counted.lost_journeys) over (), 0) as share_of_losses
from counted
inner join marts.dim_funnel_step as steps on counted.step = steps.step and steps.is_current
inner join marts.dim_funnel_step as next_steps on counted.next_step = next_steps.step and next_steps.is_current
order by counted.lost_journeys desc, steps.step_order asc nulls last
