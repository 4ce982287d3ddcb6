with

versions as (
    select * from {{ ref('int_campaign__versions') }}
),

members as (
    select
        campaign_version_key, campaign_key, source_system, ad_account_id, campaign_id, campaign_name,
        coalesce(channel, 'unknown') as channel, buying_goal, started_on, ended_on, is_described, valid_from, valid_to, _load_id
    from versions

    union all

    -- spend that names no campaign meets this row, so that an inner join loses none of it
    select
        '-1' as campaign_version_key, '-1' as campaign_key, 'unknown' as source_system, 'unknown' as ad_account_id,
        'unknown' as campaign_id, 'unknown' as campaign_name, 'unknown' as channel, null as buying_goal,
        null as started_on, null as ended_on, false as is_described, cast('1900-01-01' as date) as valid_from,
        cast('9999-12-31' as date) as valid_to, null as _load_id
)

select
    cast(campaign_version_key as {{ dbt.type_string() }}) as campaign_version_key,
    cast(campaign_key as {{ dbt.type_string() }}) as campaign_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(ad_account_id as {{ dbt.type_string() }}) as ad_account_id,
    cast(campaign_id as {{ dbt.type_string() }}) as campaign_id,
    cast(campaign_name as {{ dbt.type_string() }}) as campaign_name,
    cast(channel as {{ dbt.type_string() }}) as channel,
    cast(buying_goal as {{ dbt.type_string() }}) as buying_goal,
    cast(started_on as date) as started_on,
    cast(ended_on as date) as ended_on,
    cast(is_described as boolean) as is_described,
    cast(valid_from as date) as valid_from,
    cast(valid_to as date) as valid_to,
    valid_to = cast('9999-12-31' as date) as is_current,
    cast(_load_id as {{ dbt.type_string() }}) as _load_id
from members
