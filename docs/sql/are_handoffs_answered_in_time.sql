-- Question: Are hand-offs from marketing answered in time?
-- Asked by: head of sales, marketing operations, team leads
-- Grain: one row per month of the hand-off and team of the first assignee; `no assignee` where nobody ever got the lead
-- How to read it: sla_met_rate is sla_met_handoffs over sla_due_handoffs. A hand-off is due once it was answered or its
--   deadline has passed; one that waits within its deadline is in neither. routing is the time until somebody had the
--   lead (operations answer for it), response the time from there to the first call, mail or meeting (the assignee does).
-- Unit: hand-offs; minutes are business minutes of the assignee's calendar
-- Ratios: sla_met_rate = sla_met_handoffs / sla_due_handoffs
-- Pitfalls: Medians of months or teams cannot be averaged; ask again over the longer period. A lead that was handed over
--   twice counts twice. Without an assignee there is no deadline, so look at handoffs beside sla_due_handoffs.
with handoffs as (
    select
        cast(date_trunc('month', steps.entered_at) as date) as handoff_month,
        coalesce(reps.team, 'no assignee') as team,
        steps.assigned_at,
        steps.first_response_at,
        steps.routing_business_minutes,
        steps.response_business_minutes,
        steps.is_sla_met
    from marts.fct_funnel_step as steps
    inner join marts.dim_rep as reps on steps.rep_key = reps.rep_key
    where steps.handoff_outcome is not null
        and not steps.is_excluded
)

select
    handoff_month,
    team,
    count(*) as handoffs,
    count(assigned_at) as assigned_handoffs,
    count(first_response_at) as answered_handoffs,
    sum(case when is_sla_met then 1 else 0 end) as sla_met_handoffs,
    count(is_sla_met) as sla_due_handoffs,
    cast(sum(case when is_sla_met then 1 else 0 end) as double) / nullif(count(is_sla_met), 0) as sla_met_rate,
    percentile_cont(0.5) within group (order by routing_business_minutes) as median_routing_business_minutes,
    percentile_cont(0.5) within group (order by response_business_minutes) as median_response_business_minutes
from handoffs
group by handoff_month, team
order by handoff_month desc, team asc nulls last
