with

holidays as (
    {{ one_record_each('holidays') }}
)

select distinct
    calendar,
    holiday_on as holiday_date
from holidays
