-- Within a cohort and entry class no step was reached more often than the one before it; the first is the whole cohort, and
-- what reached a step either reached the next one, is open, or has ended.
with

cells as (
    select
        *,
        lag(reached_journeys) over (partition by cohort_step, entry_step, cohort_month order by step_order) as journeys_before,
        lag(reached_persons) over (partition by cohort_step, entry_step, cohort_month order by step_order) as persons_before
    from {{ ref('rpt_funnel') }}
)

select *
from cells
where reached_journeys > journeys_before
    or reached_persons > persons_before
    or (step = cohort_step and (reached_journeys <> cohort_journeys or reached_persons <> cohort_persons))
    or open_journeys < 0
    or coalesce(next_journeys, 0) + open_journeys > reached_journeys
