-- Question: Which leads come back after we gave them up, and is it worth waiting for them?
-- Asked by: marketing operations, sales development
-- Grain: one row per lead source and outcome of the lead's journey before
-- How to read it: Of the ended journeys of leads, returned_journeys had another one after them; return_rate is
--   returned_journeys over ended_journeys. won_rate_of_returned is the next journeys that are won over those that are
--   decided by now (won or ended otherwise); open_after_return may still go either way.
-- Unit: journeys
-- Ratios: return_rate = returned_journeys / ended_journeys; won_rate_of_returned = won_after_return / decided_after_return
-- Pitfalls: The CRM must keep one lead record for a person who comes back: one that is entered anew is a new lead, not a
--   return. Journeys that ended lately had little time to return. Small numbers: read won beside decided.
with journeys as (
    select
        source_system,
        lead_id,
        cycle_no,
        coalesce(lead_source, 'not said') as lead_source,
        outcome,
        is_open,
        is_reached_won,
        started_at,
        ended_at
    from marts.fct_journey
    where lead_id is not null
        and not is_excluded
),

paired as (
    select
        before.lead_source,
        before.outcome as outcome_before,
        case when after.lead_id is null then 0 else 1 end as returned,
        case when after.is_open then 1 else 0 end as returned_open,
        case when after.is_reached_won then 1 else 0 end as returned_won,
        case when after.lead_id is not null and not after.is_open then 1 else 0 end as returned_decided
    from journeys as before
    left join journeys as after
        on before.source_system = after.source_system
        and before.lead_id = after.lead_id
        and before.cycle_no + 1 = after.cycle_no
    where not before.is_open
)

select
    lead_source,
    outcome_before,
    count(*) as ended_journeys,
    sum(returned) as returned_journeys,
    cast(sum(returned) as double) / nullif(count(*), 0) as return_rate,
    sum(returned_open) as open_after_return,
    sum(returned_decided) as decided_after_return,
    sum(returned_won) as won_after_return,
    cast(sum(returned_won) as double) / nullif(sum(returned_decided), 0) as won_rate_of_returned
from paired
group by lead_source, outcome_before
order by returned_journeys desc, lead_source asc nulls last, outcome_before asc nulls last
