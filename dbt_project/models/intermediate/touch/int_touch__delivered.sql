-- Touches of every kind in one shape; nothing is left out here, what does not count in a path says so.
{%- set touch_type -%}
    case
        when touch_type in ('visit', 'form', 'click', 'reply', 'registered', 'attended', 'delivered', 'open') then touch_type
        else 'other' -- a source's own word for something that is no touch, such as a page that is scrolled
    end as touch_type
{%- endset %}
with

web as (
    {{ current_records('web_touches') }}
),

email as (
    {{ current_records('email_touches') }}
),

event as (
    {{ current_records('event_touches') }}
),

members as (
    select * from {{ ref('int_touch__members') }}
),

united as (
    select
        source_system, touch_id, occurred_at, {{ touch_type }}, 'web' as medium_kind, visitor_id_token, email_token, lead_id,
        cast(null as {{ dbt.type_string() }}) as contact_id, cast(null as {{ dbt.type_string() }}) as crm_campaign_id,
        {{ canonical_channel('channel') }} as said_channel,
        -- a source that tells channels and leaves one out does not know it; that is no direct visit
        count(channel) over (partition by source_system, stream) > 0 as is_channel_told,
        utm_source, utm_medium, utm_campaign, utm_id, click_id_kind, referrer, landing_page,
        coalesce(is_bot, false) as is_automated, experiment_id, variant, _load_id
    from web

    union all

    select
        source_system, touch_id, occurred_at, {{ touch_type }}, 'email' as medium_kind, null as visitor_id_token, email_token, lead_id,
        contact_id, crm_campaign_id, null as said_channel, false as is_channel_told,
        null as utm_source, null as utm_medium, null as utm_campaign, null as utm_id, null as click_id_kind, null as referrer,
        null as landing_page, coalesce(is_automated, false) as is_automated, null as experiment_id, null as variant, _load_id
    from email

    union all

    select
        source_system, touch_id, occurred_at, {{ touch_type }}, 'event' as medium_kind, null as visitor_id_token, email_token, lead_id,
        contact_id, crm_campaign_id, null as said_channel, false as is_channel_told,
        null as utm_source, null as utm_medium, null as utm_campaign, null as utm_id, null as click_id_kind, null as referrer,
        null as landing_page, false as is_automated, null as experiment_id, null as variant, _load_id
    from event

    union all

    select
        source_system, member_id as touch_id, responded_at as occurred_at, 'responded' as touch_type, 'member' as medium_kind,
        null as visitor_id_token, null as email_token, lead_id, contact_id, crm_campaign_id, channel as said_channel, true as is_channel_told,
        null as utm_source, null as utm_medium, null as utm_campaign, null as utm_id, null as click_id_kind, null as referrer,
        null as landing_page, false as is_automated, null as experiment_id, null as variant, _load_id
    from members
)

select
    {{ surrogate_key(['source_system', 'touch_id']) }} as touch_key,
    *,
    -- the order of touches in one second: what asks more of a person comes later
    case touch_type
        when 'visit' then 10 when 'form' then 20 when 'click' then 30 when 'reply' then 40 when 'registered' then 50
        when 'attended' then 60 when 'responded' then 70 else 90
    end as touch_type_rank,
    touch_type in ('visit', 'form', 'click', 'reply', 'registered', 'attended', 'responded') as is_response
from united
where occurred_at <= {{ as_of() }}
