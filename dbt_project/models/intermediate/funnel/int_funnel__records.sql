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
        converted_opportunity_id,
        coalesce(converted_at, created_at) as converted_at,
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

-- An opportunity continues one journey only: that of the lead which was converted to it first. One that was there before
-- the lead was not made by it.
conversions as (
    select
        lead_records.source_system,
        lead_records.lead_id,
        opportunity_records.opportunity_id,
        row_number() over (
            partition by opportunity_records.source_system, opportunity_records.opportunity_id
            order by lead_records.converted_at, lead_records.created_at, lead_records.lead_id
        ) as nth
    from lead_records
    inner join merged_opportunities
        on lead_records.source_system = merged_opportunities.source_system
        and lead_records.converted_opportunity_id = merged_opportunities.opportunity_id
    inner join opportunity_records
        on merged_opportunities.source_system = opportunity_records.source_system
        and merged_opportunities.survivor_id = opportunity_records.opportunity_id
    where lead_records.exclude_reason is null
        and opportunity_records.exclude_reason is null
        and opportunity_records.created_at >= lead_records.created_at
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
        when conversions.lead_id is null then 'opp:' || opportunity_records.opportunity_id
        else 'lead:' || conversions.lead_id
    end as story_id,
    conversions.lead_id,
    opportunity_records.created_at,
    opportunity_records.current_value,
    opportunity_records.current_owner_id,
    opportunity_records.exclude_reason
from opportunity_records
left join conversions
    on opportunity_records.source_system = conversions.source_system
    and opportunity_records.opportunity_id = conversions.opportunity_id
    and conversions.nth = 1
