-- Each touch with its person, account, channel and campaign, and whether a path may hold it.
with

touches as (
    select * from {{ ref('int_touch__delivered') }}
),

channels as (
    select * from {{ ref('int_touch__channels') }}
),

touch_persons as (
    select * from {{ ref('int_touch__persons') }}
),

accounts_of_persons as (
    select
        person_key,
        max(nullif(account_key, '-1')) as account_key
    from {{ ref('int_identity__persons') }}
    group by person_key
)

select
    touches.touch_key,
    touches.source_system,
    touches.touch_id,
    touches.occurred_at,
    cast(touches.occurred_at as date) as touch_date,
    touches.touch_type,
    touches.touch_type_rank,
    touches.is_response,
    touch_persons.person_key,
    touch_persons.person_evidence,
    accounts_of_persons.account_key,
    channels.channel,
    channels.channel_evidence,
    channels.campaign_key,
    touches.crm_campaign_id,
    touches.landing_page,
    touches.experiment_id,
    touches.variant,
    case
        -- a mail that a machine has sent is no machine that answers
        when touches.is_automated and touches.is_response then 'bot'
        when touches.utm_source = 'internal' then 'internal'
    end as exclude_reason,
    touches._load_id
from touches
inner join channels on touches.touch_key = channels.touch_key
inner join touch_persons on touches.touch_key = touch_persons.touch_key
left join accounts_of_persons on touch_persons.person_key = accounts_of_persons.person_key
