-- To the cent; what is ramped sums to the quota times the part of the working days that counts, rounded once.
with

days as (
    select
        plan_key,
        sum(day_plan_value) as plan_value,
        sum(day_plan_amount_rc) as plan_amount_rc,
        sum(day_full_plan_amount_rc) as full_plan_amount_rc,
        sum(ramp_rate) as ramped_days,
        count(*) as days
    from {{ ref('fct_plan_daily') }}
    group by plan_key
)

select plans.plan_key, plans.plan_value, days.plan_value as days_value, days.ramped_days, days.days
from {{ ref('fct_plan') }} as plans
left join days on plans.plan_key = days.plan_key
where plans.is_current_version
    and (
        days.plan_key is null
        or (days.ramped_days = days.days and days.plan_value <> round(plans.plan_value, 2))
        or (days.ramped_days = days.days and coalesce(days.plan_amount_rc <> plans.plan_amount_rc, false))
        or coalesce(days.full_plan_amount_rc <> plans.plan_amount_rc, false)
        -- half a cent for the rounding, and a little for the quotient
        or abs(cast(days.plan_value as double) - cast(plans.plan_value as double) * cast(days.ramped_days as double) / days.days) > 0.0051
    )
