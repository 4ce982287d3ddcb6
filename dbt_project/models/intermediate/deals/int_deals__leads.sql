-- The lead that each opportunity came from. Some sources write the link into the lead, others into the opportunity. An
-- opportunity comes from one lead: the one that was converted to it first. One that was there before the lead was not made by it:
-- such a link is kept, marked, and speaks only where no other lead does.
with

leads as (
    {{ one_record_each('leads') }}
),

opportunities as (
    {{ one_record_each('opportunities') }}
),

merged_opportunities as (
    select source_system, id as opportunity_id, survivor_id
    from {{ ref('int_identity__survivors') }}
    where contract = 'opportunities'
),

linked as (
    select source_system, lead_id, converted_opportunity_id as opportunity_id, coalesce(converted_at, created_at) as converted_at
    from leads

    union all

    select source_system, lead_id, opportunity_id, created_at as converted_at
    from opportunities
),

ranked as (
    select
        opportunities.source_system,
        opportunities.opportunity_id,
        leads.lead_id,
        leads.created_at as lead_created_at,
        opportunities.created_at >= leads.created_at as is_made_by_lead,
        row_number() over (
            partition by opportunities.source_system, opportunities.opportunity_id
            order by
                case when opportunities.created_at >= leads.created_at then 1 else 2 end, linked.converted_at, leads.created_at, leads.lead_id
        ) as nth
    from linked
    inner join leads
        on linked.source_system = leads.source_system
        and linked.lead_id = leads.lead_id
    inner join merged_opportunities
        on linked.source_system = merged_opportunities.source_system
        and linked.opportunity_id = merged_opportunities.opportunity_id
    inner join opportunities
        on merged_opportunities.source_system = opportunities.source_system
        and merged_opportunities.survivor_id = opportunities.opportunity_id
    where leads.created_at <= {{ as_of() }}
        and not coalesce(leads.is_deleted, false)
        and not coalesce(leads.is_test, false)
        and opportunities.created_at <= {{ as_of() }}
        and not coalesce(opportunities.is_deleted, false)
        and not coalesce(opportunities.is_test, false)
)

select
    source_system,
    opportunity_id,
    lead_id,
    lead_created_at,
    is_made_by_lead
from ranked
where nth = 1
