-- Every booking is credited whole, to the cent, in every model and on its own day; what is no booking is not credited.
with

models as (
    {{ attribution_models() }}
),

credit as (
    select
        revenue_key, model, booked_date, opportunity_key, account_key, event_type,
        sum(weight_micro) as weight_micro,
        sum(credited_amount_rc) as credited_amount_rc
    from {{ ref('fct_revenue_credit') }}
    group by revenue_key, model, booked_date, opportunity_key, account_key, event_type
),

booked as (
    select revenue.*, models.model
    from {{ ref('fct_revenue') }} as revenue
    cross join models
    where revenue.is_booking
)

select
    coalesce(booked.revenue_key, credit.revenue_key) as revenue_key,
    coalesce(booked.model, credit.model) as model,
    booked.booked_amount_rc,
    credit.credited_amount_rc,
    credit.weight_micro
from booked
full outer join credit
    on booked.revenue_key = credit.revenue_key
    and booked.model = credit.model
    and booked.booked_date = credit.booked_date
    and booked.opportunity_key = credit.opportunity_key
    and booked.account_key = credit.account_key
    and booked.event_type = credit.event_type
where booked.revenue_key is null
    or credit.revenue_key is null
    or booked.booked_amount_rc <> credit.credited_amount_rc
    or credit.weight_micro <> 1000000
