-- Two streams of one source may fill the list (HubSpot's events and its sendings of e-mails, whose ids nobody keeps apart). One id
-- that means two campaigns would name the touches of the one after the other.
with

campaigns as (
    {{ current_records('crm_campaigns') }}
)

select
    source_system,
    crm_campaign_id,
    count(distinct stream) as streams
from campaigns
group by source_system, crm_campaign_id
having count(distinct stream) > 1
    and count(distinct coalesce(campaign_name, '') || '|' || coalesce(channel, '')) > 1
