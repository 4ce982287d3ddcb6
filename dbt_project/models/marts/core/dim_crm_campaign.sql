with

campaigns as (
    select * from {{ ref('int_company__crm_campaigns') }}
),

reps as (
    select * from {{ ref('int_company__reps') }}
),

ad_campaigns as (
    select distinct campaign_id, campaign_key from {{ ref('int_campaign__versions') }}
),

-- an id that campaigns of several platforms have names none of them
advertised as (
    select campaign_id, min(campaign_key) as campaign_key from ad_campaigns
    group by campaign_id
    having count(*) = 1
),

with_owner as (
    {{ with_key('campaigns', 'owner_id', 'reps', 'user_id', 'rep_key', 'owner_rep_key') }}
),

members as (
    select
        with_owner.crm_campaign_key, with_owner.source_system, with_owner.crm_campaign_id, with_owner.campaign_name,
        coalesce(with_owner.channel, 'unknown') as channel, coalesce(advertised.campaign_key, '-1') as campaign_key,
        with_owner.owner_rep_key, with_owner.started_on, with_owner.ended_on, with_owner.budget_amount, with_owner.currency,
        with_owner._load_id
    from with_owner
    left join advertised on with_owner.ad_campaign_id = advertised.campaign_id

    union all

    -- what came by no campaign of the CRM
    select
        '-1' as crm_campaign_key, 'unknown' as source_system, 'unknown' as crm_campaign_id, 'unknown' as campaign_name,
        'unknown' as channel, '-1' as campaign_key, '-1' as owner_rep_key, null as started_on, null as ended_on,
        null as budget_amount, null as currency, null as _load_id
)

select
    cast(crm_campaign_key as {{ dbt.type_string() }}) as crm_campaign_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(crm_campaign_id as {{ dbt.type_string() }}) as crm_campaign_id,
    cast(campaign_name as {{ dbt.type_string() }}) as campaign_name,
    cast(channel as {{ dbt.type_string() }}) as channel,
    cast(campaign_key as {{ dbt.type_string() }}) as campaign_key,
    cast(owner_rep_key as {{ dbt.type_string() }}) as owner_rep_key,
    cast(started_on as date) as started_on,
    cast(ended_on as date) as ended_on,
    cast(budget_amount as decimal(18, 6)) as budget_amount,
    cast(currency as {{ dbt.type_string() }}) as currency,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from members
