with

spoken_of as (
    select spend_date as first_date, spend_date as last_date from {{ ref('int_conformed__performance_daily') }}
    union all
    select booked_date as first_date, booked_date as last_date from {{ ref('int_revenue__events') }}
    union all
    select period_start as first_date, period_end as last_date from {{ ref('int_plan__values') }}
),

facts as (
    select min(first_date) as first_date, max(last_date) as last_date from spoken_of
),

bounds as (
    select
        cast(date_trunc('month', least(coalesce(first_date, cast({{ as_of() }} as date)), cast({{ as_of() }} as date))) as date) as first_date,
        greatest(
            coalesce(last_date, cast({{ as_of() }} as date)),
            cast({{ dbt.dateadd('day', -1, dbt.dateadd('year', 1, "date_trunc('year', " ~ as_of() ~ ")")) }} as date)
        ) as last_date
    from facts
),

days as (
    {{ days_within('bounds') }}
),

parts as (
    select
        date_day,
        cast(extract(year from date_day) as integer) as year_number,
        cast(extract(quarter from date_day) as integer) as quarter_of_year,
        cast(extract(month from date_day) as integer) as month_of_year,
        cast(extract(day from date_day) as integer) as day_of_month,
        cast(extract(week from date_day) as integer) as iso_week,
        cast(date_trunc('week', date_day) as date) as week_start_date,
        cast(date_trunc('month', date_day) as date) as month_start_date,
        cast(date_trunc('quarter', date_day) as date) as quarter_start_date,
        cast(date_trunc('year', date_day) as date) as year_start_date
    from days
),

-- weeks start on Monday on every engine, so the weekday is the distance from the week's start; `dayofweek` differs
final as (
    select
        date_day,
        year_number,
        quarter_of_year,
        month_of_year,
        day_of_month,
        cast({{ dbt.datediff('week_start_date', 'date_day', 'day') }} + 1 as integer) as iso_day_of_week,
        iso_week,
        -- an ISO week belongs to the year of its Thursday
        cast(extract(year from {{ dbt.dateadd('day', 3, 'week_start_date') }}) as integer) as iso_year,
        week_start_date,
        month_start_date,
        quarter_start_date,
        year_start_date,
        cast({{ dbt.dateadd('month', 1, 'month_start_date') }} as date) as next_month_start_date
    from parts
)

select
    date_day,
    year_number,
    quarter_of_year,
    month_of_year,
    day_of_month,
    iso_day_of_week,
    iso_week,
    iso_year,
    week_start_date,
    month_start_date,
    quarter_start_date,
    year_start_date,
    iso_day_of_week in (6, 7) as is_weekend,
    date_day < cast({{ as_of() }} as date) as is_past,
    next_month_start_date <= cast({{ as_of() }} as date) as is_complete_period
from final
