with

journeys as (
    select * from {{ ref('fct_journey') }}
    where not is_excluded
),

steps as (
    {%- for step, order in funnel_step_codes().items() %}
    select '{{ step }}' as step, {{ order }} as step_order {{ 'union all' if not loop.last }}
    {%- endfor %}
),

reached as (
    {%- for step, order in funnel_step_codes().items() %}
    select
        journey_key, person_key, entry_step, entry_step_order, is_open, '{{ step }}' as step, {{ order }} as step_order,
        {{ step }}_at as reached_at
    from journeys
    where is_reached_{{ step }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- a journey stands in the cohort of each step that it reached
members as (
    select
        journey_key, person_key, entry_step, is_open, step as cohort_step, step_order as cohort_step_order,
        cast(date_trunc('month', reached_at) as date) as cohort_month
    from reached
),

-- a person is counted once, from the first of the journeys that reached the step
person_members as (
    select
        person_key,
        step as cohort_step,
        step_order as cohort_step_order,
        min(entry_step_order) as entry_step_order,
        cast(date_trunc('month', min(reached_at)) as date) as cohort_month
    from reached
    where person_key <> '-1'
    group by person_key, step, step_order
),

journey_counts as (
    select
        members.cohort_step,
        members.entry_step,
        members.cohort_month,
        reached.step,
        count(*) as reached_journeys,
        sum(case when members.is_open then 1 else 0 end) as reached_and_open_journeys
    from members
    inner join reached
        on members.journey_key = reached.journey_key
        and members.cohort_step_order <= reached.step_order
    group by members.cohort_step, members.entry_step, members.cohort_month, reached.step
),

-- what a person reached with any journey that belongs to the cohort's step
person_reached as (
    select
        cohorts.person_key,
        cohorts.step as cohort_step,
        reached.step
    from reached as cohorts
    inner join reached
        on cohorts.journey_key = reached.journey_key
        and cohorts.step_order <= reached.step_order
    where cohorts.person_key <> '-1'
    group by cohorts.person_key, cohorts.step, reached.step
),

person_counts as (
    select
        person_members.cohort_step,
        entry_steps.step as entry_step,
        person_members.cohort_month,
        person_reached.step,
        count(*) as reached_persons
    from person_members
    inner join steps as entry_steps on person_members.entry_step_order = entry_steps.step_order
    inner join person_reached
        on person_members.person_key = person_reached.person_key
        and person_members.cohort_step = person_reached.cohort_step
    group by person_members.cohort_step, entry_steps.step, person_members.cohort_month, person_reached.step
),

-- who reached nothing more is a zero, not a missing row
cohorts as (
    select distinct cohort_step, entry_step, cohort_month from journey_counts
    union
    select distinct cohort_step, entry_step, cohort_month from person_counts
),

counted as (
    select
        cohorts.cohort_step,
        cohorts.entry_step,
        cohorts.cohort_month,
        steps.step,
        steps.step_order,
        coalesce(journey_counts.reached_journeys, 0) as reached_journeys,
        coalesce(journey_counts.reached_and_open_journeys, 0) as reached_and_open_journeys,
        coalesce(person_counts.reached_persons, 0) as reached_persons
    from cohorts
    inner join steps as cohort_steps on cohorts.cohort_step = cohort_steps.step
    inner join steps on cohort_steps.step_order <= steps.step_order
    left join journey_counts
        on cohorts.cohort_step = journey_counts.cohort_step
        and cohorts.entry_step = journey_counts.entry_step
        and cohorts.cohort_month = journey_counts.cohort_month
        and steps.step = journey_counts.step
    left join person_counts
        on cohorts.cohort_step = person_counts.cohort_step
        and cohorts.entry_step = person_counts.entry_step
        and cohorts.cohort_month = person_counts.cohort_month
        and steps.step = person_counts.step
),

compared as (
    select
        *,
        lead(step) over (partition by cohort_step, entry_step, cohort_month order by step_order) as next_step,
        lead(reached_journeys) over (partition by cohort_step, entry_step, cohort_month order by step_order) as next_journeys,
        lead(reached_and_open_journeys, 1, 0) over (
            partition by cohort_step, entry_step, cohort_month order by step_order
        ) as next_open_journeys,
        lead(reached_persons) over (partition by cohort_step, entry_step, cohort_month order by step_order) as next_persons,
        first_value(reached_journeys) over (partition by cohort_step, entry_step, cohort_month order by step_order) as cohort_journeys,
        first_value(reached_persons) over (partition by cohort_step, entry_step, cohort_month order by step_order) as cohort_persons
    from counted
)

select
    {{ surrogate_key(['cohort_step', 'entry_step', 'cohort_month', 'step']) }} as funnel_cell_key,
    cast(cohort_step as {{ dbt.type_string() }}) as cohort_step,
    cast(entry_step as {{ dbt.type_string() }}) as entry_step,
    cast(cohort_month as date) as cohort_month,
    cast(step as {{ dbt.type_string() }}) as step,
    cast(step_order as integer) as step_order,
    cast(next_step as {{ dbt.type_string() }}) as next_step,
    cast(cohort_journeys as bigint) as cohort_journeys,
    cast(reached_journeys as bigint) as reached_journeys,
    cast(next_journeys as bigint) as next_journeys,
    cast(reached_and_open_journeys - next_open_journeys as bigint) as open_journeys,
    {{ safe_divide('reached_journeys', 'cohort_journeys') }} as reached_rate,
    {{ safe_divide('next_journeys', 'reached_journeys') }} as conversion_rate,
    cast(cohort_persons as bigint) as cohort_persons,
    cast(reached_persons as bigint) as reached_persons,
    cast(next_persons as bigint) as next_persons,
    {{ safe_divide('reached_persons', 'cohort_persons') }} as person_reached_rate,
    {{ safe_divide('next_persons', 'reached_persons') }} as person_conversion_rate
from compared
