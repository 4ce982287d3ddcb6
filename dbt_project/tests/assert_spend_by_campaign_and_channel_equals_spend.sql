-- Inner joins to the dimensions lose nothing and double nothing.
with

total as (
    select coalesce(sum(spend_amount_rc), 0) as amount, count(*) as row_count from {{ ref('fct_ad_spend') }}
),

joined as (
    select coalesce(sum(spend.spend_amount_rc), 0) as amount, count(*) as row_count
    from {{ ref('fct_ad_spend') }} as spend
    inner join {{ ref('dim_campaign') }} as campaigns on spend.campaign_version_key = campaigns.campaign_version_key
    inner join {{ ref('dim_channel') }} as channels on spend.channel_key = channels.channel_key
    inner join {{ ref('dim_date') }} as dates on spend.spend_date = dates.date_day
)

select total.amount, joined.amount as joined_amount
from total
cross join joined
where total.amount <> joined.amount
    or total.row_count <> joined.row_count
