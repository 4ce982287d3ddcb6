-- A minute that two spans of a calendar hold would count twice in every business time.
with

spans as (
    select *, lag(closes_at) over (partition by calendar order by opens_at) as closed_before
    from {{ ref('dim_working_day') }}
    where is_working_day
)

select *
from spans
where opens_at >= closes_at
    or opens_at < closed_before
