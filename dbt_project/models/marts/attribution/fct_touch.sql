with

touches as (
    select * from {{ ref('int_touch__resolved') }}
),

channels as (
    select channel, is_paid from {{ ref('channels') }}
),

crm_campaigns as (
    select * from {{ ref('int_company__crm_campaigns') }}
),

with_campaign as (
    {{ with_key('touches', 'crm_campaign_id', 'crm_campaigns', 'crm_campaign_id', 'crm_campaign_key', 'crm_campaign_key') }}
)

select
    cast(touches.touch_key as {{ dbt.type_string() }}) as touch_key,
    cast(touches.source_system as {{ dbt.type_string() }}) as source_system,
    cast(touches.touch_id as {{ dbt.type_string() }}) as touch_id,
    cast(touches.occurred_at as timestamp) as occurred_at,
    cast(touches.touch_date as date) as touch_date,
    cast(touches.touch_type as {{ dbt.type_string() }}) as touch_type,
    cast(coalesce(touches.person_key, '-1') as {{ dbt.type_string() }}) as person_key,
    cast(touches.person_evidence as {{ dbt.type_string() }}) as person_evidence,
    cast(coalesce(touches.account_key, '-1') as {{ dbt.type_string() }}) as account_key,
    cast(touches.channel as {{ dbt.type_string() }}) as channel,
    cast(touches.channel_evidence as {{ dbt.type_string() }}) as channel_evidence,
    cast(coalesce(touches.campaign_key, '-1') as {{ dbt.type_string() }}) as campaign_key,
    cast(touches.crm_campaign_key as {{ dbt.type_string() }}) as crm_campaign_key,
    cast(touches.crm_campaign_id as {{ dbt.type_string() }}) as crm_campaign_id,
    cast(touches.landing_page as {{ dbt.type_string() }}) as landing_page,
    cast(touches.experiment_id as {{ dbt.type_string() }}) as experiment_id,
    cast(touches.variant as {{ dbt.type_string() }}) as variant,
    cast(coalesce(channels.is_paid, false) as boolean) as is_paid,
    touches.channel = 'direct' as is_direct,
    cast(touches.is_response as boolean) as is_response,
    touches.exclude_reason is not null as is_excluded,
    cast(touches.exclude_reason as {{ dbt.type_string() }}) as exclude_reason,
    cast(touches._load_id as {{ dbt.type_string() }}) as _load_id
from with_campaign as touches
left join channels on touches.channel = channels.channel
