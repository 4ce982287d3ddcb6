-- The rate is 1 for the reporting currency and for nothing by default; no rate is older than agreed; no rate, no amount.
with

money as (
    select 'revenue' as what, revenue_key as row_key, currency, reporting_currency, booked_amount as amount,
        booked_amount_rc as amount_rc, fx_rate, fx_date, is_fx_carried, booked_date as valued_on
    from {{ ref('fct_revenue') }}
    union all
    select 'opportunity' as what, opportunity_key as row_key, currency, reporting_currency, opportunity_amount as amount,
        opportunity_amount_rc as amount_rc, fx_rate, fx_date, is_fx_carried, coalesce(closed_date, cast({{ as_of() }} as date)) as valued_on
    from {{ ref('fct_opportunity') }}
    union all
    select 'plan' as what, plan_key as row_key, currency, reporting_currency, case when currency is not null then plan_value end as amount,
        plan_amount_rc as amount_rc, fx_rate, fx_date, is_fx_carried, least(valid_as_of, cast({{ as_of() }} as date)) as valued_on
    from {{ ref('fct_plan') }}
)

select * from money
where (fx_rate is null and amount_rc is not null)
    or (fx_rate is not null and amount is not null and amount_rc <> round(round(cast(amount as decimal(19, 6)) * fx_rate, 6), 2))
    or (fx_rate is not null and (amount is null) <> (amount_rc is null))
    or (currency = reporting_currency and fx_rate <> 1)
    or fx_date > valued_on
    or {{ dbt.datediff('fx_date', 'valued_on', 'day') }} > {{ var('fx_carry_days') }}
    or is_fx_carried <> (fx_date < valued_on)
