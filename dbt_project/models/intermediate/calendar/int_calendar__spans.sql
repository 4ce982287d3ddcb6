with

working_hours as (
    {{ current_records('working_hours') }}
),

calendar_days as (
    select * from {{ ref('int_calendar__days') }}
),

-- a calendar is known by its name: staff and hours may come from different sources
hours as (
    select distinct
        calendar,
        weekday,
        time_zone,
        {{ parse_timestamp("'2000-01-01 ' || opens_at", '%Y-%m-%d %H:%M') }} as opens_on_clock,
        {{ parse_timestamp("'2000-01-01 ' || closes_at", '%Y-%m-%d %H:%M') }} as closes_on_clock
    from working_hours
),

spans as (
    select
        calendar_days.calendar,
        calendar_days.date_day,
        calendar_days.iso_day_of_week,
        calendar_days.holiday_name,
        calendar_days.is_holiday,
        hours.time_zone,
        case
            when hours.opens_on_clock is not null
                then {{ dbt.dateadd('day', dbt.datediff("cast('2000-01-01' as date)", 'calendar_days.date_day', 'day'), 'hours.opens_on_clock') }}
        end as opens_local,
        case
            when hours.opens_on_clock is not null
                then {{ dbt.dateadd(
                    'day',
                    dbt.datediff("cast('2000-01-01' as date)", 'calendar_days.date_day', 'day')
                        ~ ' + case when hours.closes_on_clock <= hours.opens_on_clock then 1 else 0 end',
                    'hours.closes_on_clock'
                ) }}
        end as closes_local
    from calendar_days
    left join hours
        on calendar_days.calendar = hours.calendar
        and calendar_days.iso_day_of_week = hours.weekday
        and hours.opens_on_clock is not null
        and hours.closes_on_clock is not null
        and not calendar_days.is_holiday
),

placed as (
    select
        calendar,
        date_day,
        iso_day_of_week,
        holiday_name,
        is_holiday,
        time_zone,
        {{ local_to_utc('opens_local', 'time_zone') }} as opens_at,
        {{ local_to_utc('closes_local', 'time_zone') }} as closes_at
    from spans
),

measured as (
    select
        *,
        opens_at is not null as is_working_day,
        cast(row_number() over (partition by calendar, date_day order by opens_at) as integer) as span_no,
        cast(coalesce({{ dbt.datediff('opens_at', 'closes_at', 'minute') }}, 0) as bigint) as business_minutes
    from placed
)

select
    calendar,
    date_day,
    span_no,
    iso_day_of_week,
    time_zone,
    is_working_day,
    is_holiday,
    holiday_name,
    opens_at,
    closes_at,
    business_minutes,
    cast(sum(business_minutes) over (
        partition by calendar order by date_day, span_no rows unbounded preceding
    ) as bigint) - business_minutes as business_minutes_before
from measured
