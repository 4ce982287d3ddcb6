{#
    Versions of each campaign's attributes, by the day on which they became known. A campaign that the `campaigns`
    contract delivers is described by it alone; any other by its latest spend row known then.

    `base_only` computes them without the loads that are new in this run: the difference says which days must be rebuilt.
#}
{% macro campaign_versions(base_only=false) -%}
    {%- set ids = ['source_system', 'ad_account_id', 'campaign_id'] -%}
    {%- set attributes = ['campaign_name', 'channel', 'buying_goal', 'started_on', 'ended_on'] -%}
    with

    seen as (
        select * from {{ ref('int_campaign__seen') }}
        {%- if base_only %}
        where _load_id not in {{ new_load_ids() }}
        {%- endif %}
    ),

    described as (
        select distinct source_system, ad_account_id, campaign_id
        from seen
        where is_described
    ),

    -- an older spend day that arrives late does not rename a campaign
    spent as (
        select
            *,
            latest_spend_date >= max(latest_spend_date) over (
                partition by source_system, ad_account_id, campaign_id order by _load_seq rows unbounded preceding
            ) as is_latest_spend
        from seen
        where not is_described
    ),

    last_spent as (
        select
            source_system, ad_account_id, campaign_id, campaign_name, channel,
            row_number() over (
                partition by source_system, ad_account_id, campaign_id order by latest_spend_date desc, _load_seq desc
            ) as nth
        from spent
    ),

    candidates as (
        select
            seen.source_system, seen.ad_account_id, seen.campaign_id,
            coalesce(seen.campaign_name, last_spent.campaign_name) as campaign_name,
            coalesce(seen.channel, last_spent.channel) as channel,
            seen.buying_goal, seen.started_on, seen.ended_on, seen._load_id, seen._load_seq, seen._known_at, 0 as _file_seq, 0 as _line,
            true as is_described
        from seen
        left join last_spent
            on seen.source_system = last_spent.source_system
            and seen.ad_account_id = last_spent.ad_account_id
            and seen.campaign_id = last_spent.campaign_id
            and last_spent.nth = 1
        where seen.is_described

        union all

        select
            spent.source_system, spent.ad_account_id, spent.campaign_id, spent.campaign_name, spent.channel,
            spent.buying_goal, spent.started_on, spent.ended_on, spent._load_id, spent._load_seq, spent._known_at, 0 as _file_seq, 0 as _line,
            false as is_described
        from spent
        left join described
            on spent.source_system = described.source_system
            and spent.ad_account_id = described.ad_account_id
            and spent.campaign_id = described.campaign_id
        where spent.is_latest_spend
            and described.campaign_id is null
    )

    select
        entity_key as campaign_key,
        version_key as campaign_version_key,
        source_system,
        ad_account_id,
        campaign_id,
        campaign_name,
        channel,
        buying_goal,
        started_on,
        ended_on,
        is_described,
        valid_from,
        valid_to,
        _load_id
    from (
        {{ versions_of('candidates', ids, attributes, 'cast(_known_at as date)', also=['is_described']) }}
    ) as versions
{%- endmacro %}
