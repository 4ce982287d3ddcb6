-- A plan without a currency counts pieces and is not converted; one with a currency and without a rate is held back.
with

plans as (
    select * from {{ ref('int_plan__values') }}
),

rates as (
    select * from {{ ref('int_fx__rates') }}
)

select
    plans.*,
    {{ booked_to_the_cent('plans.plan_value', 'rates.fx_rate') }} as plan_amount_rc,
    rates.fx_rate,
    rates.fx_date,
    rates.is_fx_carried,
    plans.currency is not null and rates.fx_rate is null as is_held
from plans
left join rates
    on plans.currency = rates.currency
    and plans.fx_day = rates.wanted_on
