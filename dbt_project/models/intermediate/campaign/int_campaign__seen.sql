{{ config(**by_partition('_load_id')) }}

with

campaigns as (
    select * from {{ ref('int_conformed__campaigns') }}
    {{ only_new_loads('campaigns') }}
),

performance as (
    select * from {{ ref('int_conformed__performance_daily') }}
    {{ only_new_loads('performance_daily') }}
),

described as (
    select
        source_system, ad_account_id, campaign_id, true as is_described, cast(null as date) as latest_spend_date,
        campaign_name, channel, buying_goal, started_on, ended_on, _load_id, _load_seq, _known_at,
        row_number() over (
            partition by _load_id, ad_account_id, campaign_id order by _file_seq desc, _line desc
        ) as nth
    from campaigns
),

spent as (
    select
        source_system, ad_account_id, campaign_id, false as is_described, spend_date as latest_spend_date,
        campaign_name, channel, cast(null as {{ dbt.type_string() }}) as buying_goal,
        cast(null as date) as started_on, cast(null as date) as ended_on, _load_id, _load_seq, _known_at,
        row_number() over (
            partition by _load_id, ad_account_id, campaign_id order by spend_date desc, _file_seq desc, _line desc
        ) as nth
    from performance
    where campaign_id is not null
),

unioned as (
    select * from described
    where nth = 1
    union all
    select * from spent
    where nth = 1
)

select
    source_system,
    ad_account_id,
    campaign_id,
    is_described,
    latest_spend_date,
    campaign_name,
    {{ canonical_channel('channel') }} as channel,
    buying_goal,
    started_on,
    ended_on,
    _load_id,
    _load_seq,
    _known_at
from unioned
