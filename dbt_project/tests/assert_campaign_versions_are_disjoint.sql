with

versions as (
    select
        campaign_version_key, valid_from, valid_to, is_current,
        lead(valid_from) over (partition by campaign_key order by valid_from) as next_valid_from
    from {{ ref('dim_campaign') }}
)

select * from versions
where valid_from >= valid_to
    or (next_valid_from is not null and valid_to <> next_valid_from)
    or is_current <> (next_valid_from is null)
