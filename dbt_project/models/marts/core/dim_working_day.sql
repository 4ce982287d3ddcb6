select
    {{ surrogate_key(['calendar', 'date_day', 'span_no']) }} as working_day_key,
    cast(calendar as {{ dbt.type_string() }}) as calendar,
    cast(date_day as date) as date_day,
    cast(span_no as integer) as span_no,
    cast(iso_day_of_week as integer) as iso_day_of_week,
    cast(is_working_day as boolean) as is_working_day,
    cast(is_holiday as boolean) as is_holiday,
    cast(holiday_name as {{ dbt.type_string() }}) as holiday_name,
    cast(time_zone as {{ dbt.type_string() }}) as time_zone,
    cast(opens_at as timestamp) as opens_at,
    cast(closes_at as timestamp) as closes_at,
    cast(business_minutes as bigint) as business_minutes,
    cast(business_minutes_before as bigint) as business_minutes_before
from {{ ref('int_calendar__spans') }}
