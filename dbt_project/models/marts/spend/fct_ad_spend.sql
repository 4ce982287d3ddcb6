{{ config(**by_partition('spend_date', affected='int_spend__affected_dates')) }}

with

spend as (
    select * from {{ ref('int_spend__converted') }}
    {{ only_affected_dates() }}
),

campaigns as (
    select * from {{ ref('dim_campaign') }}
),

sources as (
    select * from {{ ref('int_quality__sources') }}
),

account_zones as (
    select
        accounts.source_system,
        accounts.ad_account_id,
        accounts.time_zone,
        row_number() over (
            partition by accounts.source_system, accounts.ad_account_id
            order by accounts._load_seq desc, accounts._file_seq desc, accounts._line desc
        ) as nth
    from {{ ref('int_conformed__ad_accounts') }} as accounts
    inner join {{ ref('int_conformed__cells') }} as cells
        on cells.contract = 'ad_accounts'
        and accounts._load_id = cells._load_id
        and accounts._cell = cells._cell
        and cells.is_current
),

described as (
    select
        spend.*,
        coalesce(campaigns.campaign_key, '-1') as campaign_key,
        coalesce(campaigns.campaign_version_key, '-1') as campaign_version_key,
        -- the campaign's own description, the row's word, any word at all, and only then silence
        coalesce(
            nullif(nullif(case when campaigns.is_described then campaigns.channel end, 'unmapped'), 'unknown'),
            nullif(spend.channel, 'unmapped'),
            nullif(nullif(campaigns.channel, 'unmapped'), 'unknown'),
            spend.channel,
            campaigns.channel,
            'unknown'
        ) as agreed_channel,
        account_zones.time_zone as source_tz,
        coalesce(sources.final_after_days, 0) as final_after_days
    from spend
    left join campaigns
        on spend.source_system = campaigns.source_system
        and spend.ad_account_id = campaigns.ad_account_id
        and spend.campaign_id = campaigns.campaign_id
        and spend.spend_date >= campaigns.valid_from
        and spend.spend_date < campaigns.valid_to
    left join account_zones
        on spend.source_system = account_zones.source_system
        and spend.ad_account_id = account_zones.ad_account_id
        and account_zones.nth = 1
    left join sources on spend.source_system = sources.source_system
    where spend.fx_rate is not null
)

select
    {{ surrogate_key(['grain_key', 'known_from']) }} as spend_key,
    cast(spend_date as date) as spend_date,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(stream as {{ dbt.type_string() }}) as stream,
    cast(ad_account_id as {{ dbt.type_string() }}) as ad_account_id,
    cast(campaign_key as {{ dbt.type_string() }}) as campaign_key,
    cast(campaign_version_key as {{ dbt.type_string() }}) as campaign_version_key,
    {{ surrogate_key(['agreed_channel']) }} as channel_key,
    cast(agreed_channel as {{ dbt.type_string() }}) as channel,
    cast(level as {{ dbt.type_string() }}) as level,
    cast(campaign_id as {{ dbt.type_string() }}) as campaign_id,
    cast(ad_group_id as {{ dbt.type_string() }}) as ad_group_id,
    cast(ad_id as {{ dbt.type_string() }}) as ad_id,
    cast(currency as {{ dbt.type_string() }}) as currency,
    cast(spend_amount as decimal(18, 6)) as spend_amount,
    cast(spend_amount_rc as decimal(18, 6)) as spend_amount_rc,
    cast({{ sql_text(var('reporting_currency')) }} as {{ dbt.type_string() }}) as reporting_currency,
    cast(fx_rate as decimal(18, 9)) as fx_rate,
    cast(fx_date as date) as fx_date,
    cast(is_fx_carried as boolean) as is_fx_carried,
    cast(impressions as bigint) as impressions,
    cast(clicks as bigint) as clicks,
    cast(claimed_leads as decimal(18, 6)) as claimed_leads,
    cast(claimed_conversions as decimal(18, 6)) as claimed_conversions,
    cast(claimed_value_amount as decimal(18, 6)) as claimed_value_amount,
    cast(claimed_value_amount_rc as decimal(18, 6)) as claimed_value_amount_rc,
    cast(source_tz as {{ dbt.type_string() }}) as source_tz,
    coalesce(source_tz = {{ sql_text(var('reporting_time_zone')) }}, false) as is_tz_aligned,
    cast({{ as_of() }} as date) > cast({{ dbt.dateadd('day', 'final_after_days', 'spend_date') }} as date) as is_final,
    cast(known_from as timestamp) as known_from,
    cast(known_to as timestamp) as known_to,
    known_to = {{ end_of_time() }} as is_current,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from described
