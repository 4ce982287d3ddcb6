with

spend as (
    select
        cast(date_trunc('month', spend_date) as date) as month_start_date,
        channel,
        sum(spend_amount_rc) as spend_amount_rc
    from {{ ref('fct_ad_spend') }}
    where is_current
    group by cast(date_trunc('month', spend_date) as date), channel
),

conversions as (
    select
        cast(date_trunc('month', conversion_date) as date) as month_start_date,
        channel,
        sum(case when conversion_type = 'lead' then weight_micro else 0 end) as lead_micro,
        sum(case when conversion_type = 'won' then weight_micro else 0 end) as deal_micro
    from {{ ref('fct_credit') }}
    where is_primary_model
    group by cast(date_trunc('month', conversion_date) as date), channel
),

bookings as (
    select
        cast(date_trunc('month', booked_date) as date) as month_start_date,
        channel,
        sum(credited_amount_rc) as credited_amount_rc
    from {{ ref('fct_revenue_credit') }}
    where is_primary_model
    group by cast(date_trunc('month', booked_date) as date), channel
),

-- each is summed to month and channel first: joined row by row, spend would repeat
united as (
    select month_start_date, channel, spend_amount_rc, 0 as lead_micro, 0 as deal_micro, 0 as credited_amount_rc from spend
    union all
    select month_start_date, channel, 0 as spend_amount_rc, lead_micro, deal_micro, 0 as credited_amount_rc from conversions
    union all
    select month_start_date, channel, 0 as spend_amount_rc, 0 as lead_micro, 0 as deal_micro, credited_amount_rc from bookings
),

summed as (
    select
        month_start_date,
        channel,
        sum(spend_amount_rc) as spend_amount_rc,
        cast(sum(lead_micro) as decimal(18, 6)) * cast(0.000001 as decimal(7, 6)) as credited_leads,
        cast(sum(deal_micro) as decimal(18, 6)) * cast(0.000001 as decimal(7, 6)) as credited_deals,
        sum(credited_amount_rc) as credited_amount_rc
    from united
    group by month_start_date, channel
)

select
    month_start_date,
    cast(channel as {{ dbt.type_string() }}) as channel,
    cast(spend_amount_rc as decimal(18, 6)) as spend_amount_rc,
    cast(credited_leads as decimal(18, 6)) as credited_leads,
    cast(credited_deals as decimal(18, 6)) as credited_deals,
    cast(credited_amount_rc as decimal(18, 6)) as credited_amount_rc,
    {{ safe_divide('spend_amount_rc', 'credited_leads') }} as cost_per_lead,
    {{ safe_divide('credited_amount_rc', 'spend_amount_rc') }} as roas,
    cast({{ sql_text(var('reporting_currency')) }} as {{ dbt.type_string() }}) as reporting_currency
from summed
