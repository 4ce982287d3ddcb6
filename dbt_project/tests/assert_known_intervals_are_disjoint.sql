-- Two versions of one grain that begin together overlap as well, so this also says that grain and moment are unique.
with

versions as (
    select
        spend_key, known_from, known_to,
        lead(known_from) over (
            partition by source_system, stream, ad_account_id, level, campaign_id, ad_group_id, ad_id, channel, currency, spend_date
            order by known_from
        ) as next_known_from
    from {{ ref('fct_ad_spend') }}
)

select * from versions
where known_from >= known_to
    or known_to > next_known_from
