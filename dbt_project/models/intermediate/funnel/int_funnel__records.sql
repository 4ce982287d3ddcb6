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

lead_records as (
    select
        source_system,
        lead_id,
        created_at,
        status as current_value,
        owner_id as current_owner_id,
        case
            when is_deleted then 'deleted'
            when is_test then 'test'
        end as exclude_reason
    from leads
    where created_at <= {{ as_of() }}
),

opportunity_records as (
    select
        opportunities.source_system,
        opportunities.opportunity_id,
        opportunities.created_at,
        opportunities.stage as current_value,
        opportunities.owner_id as current_owner_id,
        case
            when opportunities.is_deleted then 'deleted'
            when opportunities.is_test then 'test'
            when merged_opportunities.survivor_id <> opportunities.opportunity_id then 'merged'
        end as exclude_reason
    from opportunities
    inner join merged_opportunities
        on opportunities.source_system = merged_opportunities.source_system
        and opportunities.opportunity_id = merged_opportunities.opportunity_id
    where opportunities.created_at <= {{ as_of() }}
),

-- an opportunity continues the journey of the lead that made it
made_by_leads as (
    select * from {{ ref('int_deals__leads') }}
    where is_made_by_lead
)

select
    source_system,
    'lead' as object,
    lead_id as record_id,
    'lead:' || lead_id as story_id,
    lead_id,
    created_at,
    current_value,
    current_owner_id,
    exclude_reason
from lead_records

union all

select
    opportunity_records.source_system,
    'opportunity' as object,
    opportunity_records.opportunity_id as record_id,
    case
        when made_by_leads.lead_id is null then 'opp:' || opportunity_records.opportunity_id
        else 'lead:' || made_by_leads.lead_id
    end as story_id,
    made_by_leads.lead_id,
    opportunity_records.created_at,
    opportunity_records.current_value,
    opportunity_records.current_owner_id,
    opportunity_records.exclude_reason
from opportunity_records
left join made_by_leads
    on opportunity_records.source_system = made_by_leads.source_system
    and opportunity_records.opportunity_id = made_by_leads.opportunity_id
