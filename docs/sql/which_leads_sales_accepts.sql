-- Question: Which leads does sales accept, and which of them become deals?
-- Asked by: head of marketing and head of sales, when one says that the leads are worth nothing
-- Grain: one row per source of the lead, over the hand-offs of the last twelve full months
-- How to read it: acceptance_rate is accepted_handoffs over decided_handoffs (accepted, rejected or expired). Of the
--   journeys that were handed over, opportunity_rate is those that reached an opportunity so far, and won_rate those that
--   are won now. Rejected leads are a question to marketing, expired ones to sales.
-- Unit: hand-offs for the acceptance, journeys for the rest
-- Ratios: acceptance_rate = accepted_handoffs / decided_handoffs; opportunity_rate = journeys_with_opportunity / journeys;
--   won_rate = journeys_won / journeys
-- Pitfalls: Journeys of the last months are not finished, so their rates still rise. A journey that was handed over twice is
--   two hand-offs and one journey. What the CRM says of the source is what somebody chose in a list.
with months as (
    select month_start_date, row_number() over (order by month_start_date desc) as months_ago
    from (select distinct month_start_date from marts.dim_date
where is_complete_period) as complete_months
),

handoffs as (
    select
        coalesce(journeys.lead_source, 'not said') as lead_source,
        steps.journey_key,
        steps.handoff_outcome,
        journeys.is_reached_opportunity,
        journeys.is_reached_won
    from marts.fct_funnel_step as steps
    inner join marts.fct_journey as journeys on steps.journey_key = journeys.journey_key
    inner join marts.dim_date as calendar on cast(steps.entered_at as date) = calendar.date_day
    inner join months on calendar.month_start_date = months.month_start_date
    where months.months_ago <= 12
        and steps.handoff_outcome is not null
        and not steps.is_excluded
)

select
    lead_source,
    count(*) as handoffs,
    sum(case when handoff_outcome = 'accepted' then 1 else 0 end) as accepted_handoffs,
    sum(case when handoff_outcome = 'rejected' then 1 else 0 end) as rejected_handoffs,
    sum(case when handoff_outcome = 'expired' then 1 else 0 end) as expired_handoffs,
    sum(case when handoff_outcome in ('accepted', 'rejected', 'expired') then 1 else 0 end) as decided_handoffs,
    cast(sum(case when handoff_outcome = 'accepted' then 1 else 0 end) as double)
        / nullif(sum(case when handoff_outcome in ('accepted', 'rejected', 'expired') then 1 else 0 end), 0) as acceptance_rate,
    count(distinct journey_key) as journeys,
    count(distinct case when is_reached_opportunity then journey_key end) as journeys_with_opportunity,
    cast(count(distinct case when is_reached_opportunity then journey_key end) as double) / nullif(count(distinct journey_key), 0)
        as opportunity_rate,
    count(distinct case when is_reached_won then journey_key end) as journeys_won,
    cast(count(distinct case when is_reached_won then journey_key end) as double) / nullif(count(distinct journey_key), 0) as won_rate
from handoffs
group by lead_source
order by handoffs desc, lead_source asc nulls last
