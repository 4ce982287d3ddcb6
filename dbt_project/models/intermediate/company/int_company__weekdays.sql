-- Weekdays on which a calendar has opening hours; the weekday is 1 on Monday.
with

working_hours as (
    {{ one_record_each('working_hours') }}
)

select distinct
    calendar,
    cast(weekday as integer) as iso_day_of_week
from working_hours
where weekday between 1 and 7
