-- Question: Last week's number is another one today: what changed, and why?
-- Asked by: anybody who wrote the number down
-- Grain: one row per number (ad spend, bookings) and ISO week that differs between the two last published versions
-- How to read it: before_amount_rc is what readers of the version before saw (metadata.run_info.previous_as_of), amount_rc
--   what they see now, and the five causes add up to the change. New days had not been reported on; late came afterwards for a day
--   that had been; restated is another figure for a day that was still open, corrected for one that was final; rate is the
--   same spend at another exchange rate.
-- Unit: amounts in reporting_currency
-- Ratios: none
-- Pitfalls: The first version has none before it, so nothing is listed. Of bookings only the latest delivery is kept: one
--   that finance delivered again counts as late, and one that was withdrawn cannot be seen. For one platform or campaign put
--   its column into spend_rows and the groupings.
with run as (
    select
        run_info.as_of,
        run_info.previous_as_of,
        run_info.reporting_currency
    from metadata.run_info
    where run_info.previous_as_of < run_info.as_of
),

-- numbers instead of dates, since engines differ in how they subtract dates
calendar as (
    select date_day, week_start_date, row_number() over (order by date_day nulls last) as day_no
    from marts.dim_date
),

spend_rows as (
    select
        spend.source_system,
        spend.stream,
        spend.ad_account_id,
        spend.level,
        spend.campaign_id,
        spend.ad_group_id,
        spend.ad_id,
        spend.currency,
        spend.spend_date,
        max(case when spend.known_from <= run.previous_as_of and spend.known_to > run.previous_as_of then 1 else 0 end) as was_known,
        max(case when spend.is_current then 1 else 0 end) as is_known,
        sum(case when spend.known_from <= run.previous_as_of and spend.known_to > run.previous_as_of then spend.spend_amount else 0 end)
            as before_amount,
        sum(case when spend.is_current then spend.spend_amount else 0 end) as amount,
        sum(case when spend.known_from <= run.previous_as_of and spend.known_to > run.previous_as_of then spend.spend_amount_rc else 0 end)
            as before_amount_rc,
        sum(case when spend.is_current then spend.spend_amount_rc else 0 end) as amount_rc
    from marts.fct_ad_spend as spend
    cross join run
    where spend.is_current
        or (spend.known_from <= run.previous_as_of and spend.known_to > run.previous_as_of)
    group by
        spend.source_system, spend.stream, spend.ad_account_id, spend.level, spend.campaign_id, spend.ad_group_id, spend.ad_id,
        spend.currency, spend.spend_date
),

-- the last day that readers of the version before had anything of
reported as (
    select source_system, max(case when was_known = 1 then spend_date end) as last_date
    from spend_rows
    group by source_system
),

-- as many days earlier as the version before is older, days were final
final as (
    select
        status.source_system,
        until_days.day_no - (now_days.day_no - before_days.day_no) as final_day_no
    from metadata.dq_status as status
    cross join run
    inner join calendar as until_days on status.is_final_until = until_days.date_day
    inner join calendar as now_days on cast(run.as_of as date) = now_days.date_day
    inner join calendar as before_days on cast(run.previous_as_of as date) = before_days.date_day
    where status.mart = 'fct_ad_spend'
),

spend_changes as (
    select
        'Ad spend' as number_name,
        calendar.week_start_date,
        spend_rows.before_amount_rc,
        spend_rows.amount_rc,
        case
            when spend_rows.was_known = 0 and (reported.last_date is null or spend_rows.spend_date > reported.last_date) then 'new day'
            when spend_rows.was_known = 0 then 'late'
            when spend_rows.is_known = 1 and spend_rows.before_amount = spend_rows.amount then 'rate'
            when calendar.day_no <= final.final_day_no then 'corrected'
            else 'restated'
        end as cause
    from spend_rows
    inner join calendar on spend_rows.spend_date = calendar.date_day
    inner join reported on spend_rows.source_system = reported.source_system
    left join final on spend_rows.source_system = final.source_system
),

booking_changes as (
    select
        'Bookings' as number_name,
        calendar.week_start_date,
        case when loads.known_at <= run.previous_as_of then revenue.booked_amount_rc else 0 end as before_amount_rc,
        revenue.booked_amount_rc as amount_rc,
        case when revenue.booked_at > run.previous_as_of then 'new day' else 'late' end as cause
    from marts.fct_revenue as revenue
    inner join metadata.row_ledger as loads on revenue._load_id = loads.load_id
    inner join calendar on revenue.booked_date = calendar.date_day
    cross join run
    where revenue.is_booking
),

changes as (
    select * from spend_changes
    union all
    select * from booking_changes
)

select
    changes.number_name,
    changes.week_start_date,
    sum(changes.before_amount_rc) as before_amount_rc,
    sum(changes.amount_rc) as amount_rc,
    sum(changes.amount_rc - changes.before_amount_rc) as change_rc,
    sum(case when changes.cause = 'new day' then changes.amount_rc - changes.before_amount_rc else 0 end) as new_days_rc,
    sum(case when changes.cause = 'late' then changes.amount_rc - changes.before_amount_rc else 0 end) as late_rc,
    sum(case when changes.cause = 'restated' then changes.amount_rc - changes.before_amount_rc else 0 end) as restated_rc,
    sum(case when changes.cause = 'corrected' then changes.amount_rc - changes.before_amount_rc else 0 end) as corrected_rc,
    sum(case when changes.cause = 'rate' then changes.amount_rc - changes.before_amount_rc else 0 end) as rate_rc,
    run.previous_as_of,
    run.as_of,
    run.reporting_currency
from changes
cross join run
group by changes.number_name, changes.week_start_date, run.previous_as_of, run.as_of, run.reporting_currency
having sum(case when changes.amount_rc <> changes.before_amount_rc then 1 else 0 end) > 0
order by changes.number_name asc nulls last, changes.week_start_date desc
