-- Question: Which leads did nobody work, and where did they get stuck?
-- Asked by: head of marketing, sales development, operations
-- Grain: one row per month of the hand-off and source of the lead
-- How to read it: unworked_handoffs never got a call, mail or meeting by a person after they were handed over; unworked_rate is
--   their share of handoffs. never_assigned is for operations (routing), assigned_unanswered for the teams. Of the
--   unworked, still_pending can be saved today, expired cannot.
-- Unit: hand-offs (entries into the step at which marketing hands a lead to sales)
-- Ratios: unworked_rate = unworked_handoffs / handoffs
-- Pitfalls: Automatic mails are no work. A lead that was handed over twice counts twice. Hand-offs of the last days may
--   simply be young: look at still_pending. An answer that nobody wrote into the CRM is missing here as well.
with handoffs as (
    select
        cast(date_trunc('month', steps.entered_at) as date) as handoff_month,
        coalesce(journeys.lead_source, 'not said') as lead_source,
        steps.assigned_at,
        steps.first_response_at,
        steps.handoff_outcome
    from marts.fct_funnel_step as steps
    inner join marts.fct_journey as journeys on steps.journey_key = journeys.journey_key
    where steps.handoff_outcome is not null
        and not steps.is_excluded
)

select
    handoff_month,
    lead_source,
    count(*) as handoffs,
    sum(case when first_response_at is null then 1 else 0 end) as unworked_handoffs,
    cast(sum(case when first_response_at is null then 1 else 0 end) as double) / nullif(count(*), 0) as unworked_rate,
    sum(case when first_response_at is null and assigned_at is null then 1 else 0 end) as never_assigned,
    sum(case when first_response_at is null and assigned_at is not null then 1 else 0 end) as assigned_unanswered,
    sum(case when first_response_at is null and handoff_outcome = 'pending' then 1 else 0 end) as still_pending,
    sum(case when first_response_at is null and handoff_outcome = 'expired' then 1 else 0 end) as expired,
    sum(case when first_response_at is null and handoff_outcome = 'rejected' then 1 else 0 end) as rejected_unworked,
    sum(case when first_response_at is null and handoff_outcome = 'accepted' then 1 else 0 end) as accepted_unworked
from handoffs
group by handoff_month, lead_source
order by handoff_month desc, unworked_handoffs desc, lead_source asc nulls last
