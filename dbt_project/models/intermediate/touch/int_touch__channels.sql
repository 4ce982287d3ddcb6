-- The channel and the campaign of each touch: the first evidence that says anything wins, from the surest to the weakest.
with

touches as (
    select * from {{ ref('int_touch__delivered') }}
),

campaigns as (
    select * from {{ ref('int_campaign__versions') }}
),

rules as (
    select * from {{ ref('channel_rules') }}
),

-- by the platform's own id of the campaign, by the name that a campaign had on that day; several campaigns of one name
-- still tell the channel where they agree on it
named as (
    select
        touches.touch_key,
        'campaign_id' as evidence,
        campaigns.campaign_key,
        campaigns.channel
    from touches
    inner join campaigns
        on touches.utm_id = campaigns.campaign_id
        and cast(touches.occurred_at as date) >= campaigns.valid_from
        and cast(touches.occurred_at as date) < campaigns.valid_to

    union all

    select
        touches.touch_key,
        'campaign_name' as evidence,
        campaigns.campaign_key,
        campaigns.channel
    from touches
    inner join campaigns
        on touches.utm_campaign = campaigns.campaign_name
        and cast(touches.occurred_at as date) >= campaigns.valid_from
        and cast(touches.occurred_at as date) < campaigns.valid_to
),

by_campaign as (
    select
        touch_key,
        evidence,
        case when count(distinct campaign_key) = 1 then min(campaign_key) end as campaign_key,
        case when count(distinct channel) = 1 and count(channel) = count(*) then min(channel) end as channel
    from named
    group by touch_key, evidence
),

resolved as (
    select
        touches.touch_key,
        coalesce(touches.said_channel, case touches.medium_kind when 'email' then 'email' when 'event' then 'event' end) as own_channel,
        case when touches.is_channel_told then 'unknown' else 'direct' end as channel_without_evidence,
        by_id.channel as id_channel,
        by_id.campaign_key as id_campaign_key,
        by_name.channel as name_channel,
        by_name.campaign_key as name_campaign_key,
        pairs.channel as pair_channel,
        click_ids.channel as click_channel,
        referrers.channel as referrer_channel
    from touches
    left join by_campaign as by_id
        on touches.touch_key = by_id.touch_key
        and by_id.evidence = 'campaign_id'
    left join by_campaign as by_name
        on touches.touch_key = by_name.touch_key
        and by_name.evidence = 'campaign_name'
    left join rules as pairs
        on pairs.evidence = 'utm_pair'
        and touches.utm_source = pairs.value
        and touches.utm_medium = pairs.medium
    left join rules as click_ids
        on click_ids.evidence = 'click_id'
        and touches.click_id_kind = click_ids.value
    left join rules as referrers
        on referrers.evidence = 'referrer'
        and touches.referrer = referrers.value
)

select
    touch_key,
    coalesce(own_channel, id_channel, name_channel, pair_channel, click_channel, referrer_channel, channel_without_evidence) as channel,
    case
        when own_channel is not null then null
        when id_channel is not null then id_campaign_key
        when name_channel is not null then name_campaign_key
    end as campaign_key,
    case
        when own_channel is not null then 'own'
        when id_channel is not null then 'campaign_id'
        when name_channel is not null then 'campaign_name'
        when pair_channel is not null then 'utm_pair'
        when click_channel is not null then 'click_id'
        when referrer_channel is not null then 'referrer'
        else 'none'
    end as channel_evidence
from resolved
