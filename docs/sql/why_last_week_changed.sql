-- Question: Last week's number is another one today: what changed, and why?
-- Asked by: anybody who wrote the number down
-- Grain: one row per number (ad spend, bookings) and ISO week that differs between the two last published versions
-- How to read it: before_amount_rc is what readers of the version before saw (metadata.run_info.previous_as_of), amount_rc
--   what they see now, and the five causes add up to the change. New days had not been reported on; late came afterwards for
--   a day that had been; restated is what the source changed or withdrew, corrected what a platform changed on a day that
--   was final; rate is the same amount at another exchange rate.
-- Unit: amounts in reporting_currency
-- Ratios: none
-- Pitfalls: The first version has none before it, so nothing is listed. fct_restatement holds only what differs, so what was
--   before is today's amount less the change. For one platform alone filter source_system in both parts.
with changes as (
    select
        restatement.metric,
        calendar.week_start_date,
        sum(restatement.change_amount_rc) as change_rc,
        sum(case when restatement.cause = 'new_day' then restatement.change_amount_rc else 0 end) as new_days_rc,
        sum(case when restatement.cause = 'late' then restatement.change_amount_rc else 0 end) as late_rc,
        sum(case when restatement.cause = 'restated' then restatement.change_amount_rc else 0 end) as restated_rc,
        sum(case when restatement.cause = 'corrected' then restatement.change_amount_rc else 0 end) as corrected_rc,
        sum(case when restatement.cause = 'rate' then restatement.change_amount_rc else 0 end) as rate_rc
    from marts.fct_restatement as restatement
    inner join marts.dim_date as calendar on restatement.amount_date = calendar.date_day
    group by restatement.metric, calendar.week_start_date
),

amounts as (
    select 'spend' as metric, calendar.week_start_date, sum(spend.spend_amount_rc) as amount_rc
    from marts.fct_ad_spend as spend
    inner join marts.dim_date as calendar on spend.spend_date = calendar.date_day
    where spend.is_current
    group by calendar.week_start_date

    union all

    select 'bookings' as metric, calendar.week_start_date, sum(revenue.booked_amount_rc) as amount_rc
    from marts.fct_revenue as revenue
    inner join marts.dim_date as calendar on revenue.booked_date = calendar.date_day
    where revenue.is_booking
    group by calendar.week_start_date
)

select
    definitions.label as number_name,
    changes.week_start_date,
    coalesce(amounts.amount_rc, 0) - changes.change_rc as before_amount_rc,
    coalesce(amounts.amount_rc, 0) as amount_rc,
    changes.change_rc,
    changes.new_days_rc,
    changes.late_rc,
    changes.restated_rc,
    changes.corrected_rc,
    changes.rate_rc,
    run.previous_as_of,
    run.as_of,
    run.reporting_currency
from changes
inner join metadata.metric_definitions as definitions on changes.metric = definitions.metric
left join amounts on changes.metric = amounts.metric and changes.week_start_date = amounts.week_start_date
cross join metadata.run_info as run
order by number_name asc nulls last, changes.week_start_date desc
