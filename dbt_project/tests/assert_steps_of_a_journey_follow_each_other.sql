-- Between two entries of a journey there is no gap and no overlap, unless it had ended: only a re-open comes later than the
-- exit before it. Every journey begins in its entry step, and its seconds in steps sum to its open time.
with

entries as (
    select
        *,
        lag(exited_at) over (partition by journey_key order by row_no) as exited_before,
        lag(step) over (partition by journey_key order by row_no) as step_before,
        lag(outcome) over (partition by journey_key order by row_no) as outcome_before
    from {{ ref('fct_funnel_step') }}
),

sums as (
    select journey_key, sum(seconds_in_step) as seconds_in_steps
    from {{ ref('fct_funnel_step') }}
    group by journey_key
),

broken as (
    select journey_key, row_no, 'not where the step before was left' as problem
    from entries
    where row_no > 1
        and not is_reopen
        and (exited_before is null or entered_at <> exited_before)

    union all

    select journey_key, row_no, 'not after the end before' as problem
    from entries
    where is_reopen
        and (exited_before is null or entered_at < exited_before or (outcome_before in ('advanced', 'regressed', 'open')))

    union all

    select journey_key, row_no, 'left before it was entered' as problem
    from entries
    where exited_at < entered_at
        or seconds_in_step < 0

    union all

    select journey_key, row_no, 'another step than the entry before says' as problem
    from entries
    where row_no > 1
        and (from_step is null or from_step <> step_before)

    union all

    select journey_key, row_no, 'begins outside its entry step' as problem
    from entries
    where row_no = 1
        and (step <> entry_step or is_skip or is_regression or is_reopen or attempt_no <> 1)

    union all

    select journeys.journey_key, 0 as row_no, 'seconds in steps are not the open time' as problem
    from {{ ref('fct_journey') }} as journeys
    left join sums on journeys.journey_key = sums.journey_key
    where sums.seconds_in_steps is null
        or sums.seconds_in_steps <> journeys.open_seconds
)

select * from broken
