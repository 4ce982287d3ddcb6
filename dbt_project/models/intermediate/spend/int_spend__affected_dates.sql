-- Days whose spend rows this run may change. A full build does not read it.
{% set base_known = var('loads') | rejectattr('is_new') | map(attribute='known_at') | map('string') | list -%}
{%- set base_as_of = var('base_as_of') if var('base_as_of') else (base_known | max if base_known else '1900-01-01 00:00:00') -%}

with

performance as (
    select * from {{ ref('int_conformed__performance_daily') }}
),

performance_covers as (
    select * from {{ ref('int_conformed__covers') }}
    where contract = 'performance_daily'
),

rate_events as (
    select * from {{ ref('int_fx__rate_events') }}
),

loads as (
    select * from {{ ref('stg_files__loads') }}
),

sources as (
    select * from {{ ref('stg_files__sources') }}
),

accounts as (
    select * from {{ ref('int_conformed__ad_accounts') }}
),

versions as (
    select * from {{ ref('int_campaign__versions') }}
),

versions_before as (
    select * from {{ ref('int_campaign__versions_before') }}
),

spent as (
    select distinct source_system, ad_account_id, campaign_id, currency, spend_date from performance
),

newly_covered as (
    select distinct _cell from performance_covers
    where _load_id in {{ new_load_ids('performance_daily') }}
),

restated as (
    select distinct performance.spend_date
    from performance
    inner join newly_covered on performance._cell = newly_covered._cell
),

changed_rates as (
    select distinct rate_events.base_currency, rate_events.quote_currency, rate_events.rate_date
    from rate_events
    inner join loads on rate_events.load_seq = loads.load_seq
    where loads.is_new
),

reconverted as (
    select distinct spent.spend_date
    from spent
    inner join changed_rates
        on (spent.currency = changed_rates.base_currency or spent.currency = changed_rates.quote_currency)
        and spent.spend_date >= changed_rates.rate_date
        and spent.spend_date <= cast({{ dbt.dateadd('day', var('fx_carry_days'), 'changed_rates.rate_date') }} as date)
),

-- final when as_of is past the day plus the horizon; between the base's as_of and ours that may flip
became_final as (
    select distinct spent.spend_date
    from spent
    inner join sources on spent.source_system = sources.source_system
    where (
        cast({{ dbt.dateadd('day', 'sources.final_after_days', 'spent.spend_date') }} as date)
        >= cast(least({{ as_of() }}, cast('{{ base_as_of }}' as timestamp)) as date)
    ) and (
        cast({{ dbt.dateadd('day', 'sources.final_after_days', 'spent.spend_date') }} as date)
        < cast(greatest({{ as_of() }}, cast('{{ base_as_of }}' as timestamp)) as date)
    )
),

changed_versions as (
    select
        coalesce(versions.source_system, versions_before.source_system) as source_system,
        coalesce(versions.ad_account_id, versions_before.ad_account_id) as ad_account_id,
        coalesce(versions.campaign_id, versions_before.campaign_id) as campaign_id,
        coalesce(versions.valid_from, versions_before.valid_from) as valid_from,
        greatest(
            coalesce(versions.valid_to, versions_before.valid_to), coalesce(versions_before.valid_to, versions.valid_to)
        ) as valid_to
    from versions
    full outer join versions_before on versions.campaign_version_key = versions_before.campaign_version_key
    where versions.campaign_version_key is null
        or versions_before.campaign_version_key is null
        or versions.valid_to <> versions_before.valid_to
),

redescribed as (
    select distinct spent.spend_date
    from spent
    inner join changed_versions
        on spent.source_system = changed_versions.source_system
        and spent.ad_account_id = changed_versions.ad_account_id
        and spent.campaign_id = changed_versions.campaign_id
        and spent.spend_date >= changed_versions.valid_from
        and spent.spend_date < changed_versions.valid_to
),

new_accounts as (
    select distinct source_system, ad_account_id from accounts
    where _load_id in {{ new_load_ids('ad_accounts') }}
),

rezoned as (
    select distinct spent.spend_date
    from spent
    inner join new_accounts
        on spent.source_system = new_accounts.source_system
        and spent.ad_account_id = new_accounts.ad_account_id
)

select spend_date from restated
union
select spend_date from reconverted
union
select spend_date from became_final
union
select spend_date from redescribed
union
select spend_date from rezoned
