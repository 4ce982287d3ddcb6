-- Who answered a campaign, by the CRM's own list. A campaign of which a touch is delivered is told by its touches, whole: the
-- list says the same once more. What a web site sees for itself is not taken from lists at all.
with

members as (
    {{ current_records('campaign_members') }}
),

campaigns as (
    select * from {{ ref('int_company__crm_campaigns') }}
),

email as (
    {{ current_records('email_touches') }}
),

event as (
    {{ current_records('event_touches') }}
),

told as (
    select crm_campaign_id from email
    where crm_campaign_id is not null
    union
    select crm_campaign_id from event
    where crm_campaign_id is not null
)

select
    members.source_system,
    members.member_id,
    members.responded_at,
    members.lead_id,
    members.contact_id,
    members.crm_campaign_id,
    campaigns.channel,
    members._load_id
from members
inner join campaigns
    on members.source_system = campaigns.source_system
    and members.crm_campaign_id = campaigns.crm_campaign_id
left join told on members.crm_campaign_id = told.crm_campaign_id
where told.crm_campaign_id is null
    and members.responded_at is not null
    and campaigns.channel in ('{{ var("member_channels") | join("', '") }}')
