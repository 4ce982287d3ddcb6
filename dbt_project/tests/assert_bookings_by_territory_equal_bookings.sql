-- As they were booked, in the view of today, by person and in the report: always the same total. Inner joins lose nothing.
with

total as (
    select coalesce(sum(booked_amount_rc), 0) as amount from {{ ref('fct_revenue') }}
    where is_booking
),

views as (
    select 'territory' as what, sum(revenue.booked_amount_rc) as amount
    from {{ ref('fct_revenue') }} as revenue
    inner join {{ ref('dim_territory') }} as territories on revenue.territory_key = territories.territory_key
    inner join {{ ref('dim_account') }} as accounts on revenue.account_key = accounts.account_key
    inner join {{ ref('dim_product') }} as products on revenue.product_key = products.product_key
    inner join {{ ref('dim_rep') }} as reps on revenue.owner_rep_key = reps.rep_key
    inner join {{ ref('dim_date') }} as dates on revenue.booked_date = dates.date_day
    where revenue.is_booking

    union all

    select 'current territory' as what, sum(revenue.booked_amount_rc) as amount
    from {{ ref('fct_revenue') }} as revenue
    inner join {{ ref('dim_territory') }} as territories on revenue.current_territory_key = territories.territory_key
    where revenue.is_booking

    union all

    select 'person' as what, sum(shares.share_amount_rc) as amount
    from {{ ref('fct_revenue_share') }} as shares
    inner join {{ ref('dim_rep') }} as reps on shares.rep_key = reps.rep_key
    where shares.is_booking
        and not shares.is_overlay

    union all

    select period_type || ' ' || owner_type as what, sum(actual_amount_rc) as amount
    from {{ ref('rpt_plan') }}
    where owner_type <> 'rep'
    group by period_type, owner_type

    union all

    select period_type || ' ' || owner_type || ' current' as what, sum(actual_in_current_view_amount_rc) as amount
    from {{ ref('rpt_plan') }}
    where owner_type <> 'rep'
    group by period_type, owner_type

    union all

    -- a node without bookings has 0 as soon as anybody has any
    select 'unknown of a node' as what, null as amount
    from {{ ref('rpt_plan') }}
    where actual_amount_rc is null
        or actual_in_current_view_amount_rc is null
)

select views.what, views.amount, total.amount as total_amount
from views
cross join total
where coalesce(views.amount, 0) <> total.amount
