with

working_hours as (
    {{ current_records('working_hours') }}
),

holidays as (
    {{ current_records('holidays') }}
),

leads as (
    {{ current_records('leads') }}
),

opportunities as (
    {{ current_records('opportunities') }}
),

calendars as (
    select distinct calendar from working_hours
),

closed_days as (
    select calendar, holiday_on, min(holiday_name) as holiday_name
    from holidays
    group by calendar, holiday_on
),

starts as (
    select min(created_at) as first_at
    from (
        select created_at from leads
        union all
        select created_at from opportunities
    ) as records
),

bounds as (
    select
        -- a month before the first record: no moment that is measured lies before the first opening
        cast({{ dbt.dateadd(
            'month', -1, "date_trunc('month', least(coalesce(first_at, " ~ as_of() ~ '), ' ~ as_of() ~ '))'
        ) }} as date) as first_date,
        -- a deadline of December lies in January
        cast({{ dbt.dateadd('day', -1, dbt.dateadd('year', 2, "date_trunc('year', " ~ as_of() ~ ")")) }} as date) as last_date
    from starts
),

days as (
    {{ days_within('bounds') }}
)

select
    calendars.calendar,
    days.date_day,
    cast({{ dbt.datediff("date_trunc('week', days.date_day)", 'days.date_day', 'day') }} + 1 as integer) as iso_day_of_week,
    closed_days.holiday_name,
    closed_days.holiday_on is not null as is_holiday
from days
cross join calendars
left join closed_days
    on calendars.calendar = closed_days.calendar
    and days.date_day = closed_days.holiday_on
