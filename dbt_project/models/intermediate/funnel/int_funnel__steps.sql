with

records as (
    select * from {{ ref('int_funnel__records') }}
),

status_events as (
    select *
    from {{ ref('int_funnel__status_events') }}
    where (step is not null or outcome is not null)
        and occurred_at <= {{ as_of() }}
),

funnel_steps as (
    select * from {{ ref('funnel_steps') }}
),

-- a story is a lead with the opportunity that it was converted to, or an opportunity of its own
told as (
    select
        status_events.*,
        records.story_id,
        records.lead_id,
        records.exclude_reason,
        min(case when status_events.object = 'opportunity' then status_events.occurred_at end) over (
            partition by records.source_system, records.story_id
        ) as opportunity_at
    from status_events
    inner join records
        on status_events.source_system = records.source_system
        and status_events.object = records.object
        and status_events.record_id = records.record_id
),

-- the opportunity speaks for the lead from its creation on
in_order as (
    select
        *,
        row_number() over (
            partition by source_system, story_id
            order by occurred_at, case when object = 'lead' then 1 else 2 end, event_no
        ) as event_seq
    from told
    where object = 'opportunity'
        or opportunity_at is null
        or occurred_at <= opportunity_at
),

compared as (
    select
        *,
        lag(step) over (partition by source_system, story_id order by event_seq) as step_before,
        lag(outcome) over (partition by source_system, story_id order by event_seq) as outcome_before
    from in_order
),

-- two values of a source with one meaning are one entry
events as (
    select
        *,
        sum(case when step is null then 0 else 1 end) over (
            partition by source_system, story_id order by event_seq rows unbounded preceding
        ) as stay_no
    from compared
    where (step is null or step_before is null or step <> step_before)
        and (outcome is null or outcome_before is null or outcome <> outcome_before)
),

ends as (
    select
        source_system,
        story_id,
        stay_no,
        min(occurred_at) as ended_at,
        max(event_seq) as last_event_seq
    from events
    where outcome is not null
    group by source_system, story_id, stay_no
),

stays as (
    select
        entries.source_system,
        entries.story_id,
        entries.stay_no,
        entries.object,
        entries.record_id,
        entries.lead_id,
        entries.exclude_reason,
        entries.step,
        entries.step_order,
        entries.occurred_at as entered_at,
        ends.ended_at,
        last_words.outcome,
        lag(last_words.outcome) over (partition by entries.source_system, entries.story_id order by entries.stay_no) as closed_before
    from events as entries
    left join ends
        on entries.source_system = ends.source_system
        and entries.story_id = ends.story_id
        and entries.stay_no = ends.stay_no
    left join events as last_words
        on ends.source_system = last_words.source_system
        and ends.story_id = last_words.story_id
        and ends.last_event_seq = last_words.event_seq
    where entries.step is not null
),

-- a lead that comes back after it was recycled or expired begins a journey of its own
cycles as (
    select
        *,
        sum(case when stay_no = 1 or closed_before in ('recycled', 'expired') then 1 else 0 end) over (
            partition by source_system, story_id order by stay_no rows unbounded preceding
        ) as cycle_no
    from stays
),

placed as (
    select
        *,
        story_id || case when story_id like 'lead:%' then '#' || cast(cycle_no as {{ dbt.type_string() }}) else '' end as journey_id,
        max(case when object = 'opportunity' then record_id end) over (
            partition by source_system, story_id, cycle_no
        ) as opportunity_id,
        lag(step_order) over (partition by source_system, story_id, cycle_no order by stay_no) as step_order_before,
        lag(step) over (partition by source_system, story_id, cycle_no order by stay_no) as step_before,
        lead(step_order) over (partition by source_system, story_id, cycle_no order by stay_no) as next_step_order,
        lead(entered_at) over (partition by source_system, story_id, cycle_no order by stay_no) as next_entered_at,
        first_value(step) over (partition by source_system, story_id, cycle_no order by stay_no) as entry_step,
        first_value(step_order) over (partition by source_system, story_id, cycle_no order by stay_no) as entry_step_order
    from cycles
),

judged as (
    select
        *,
        step_order_before is not null and (closed_before is not null or step_before = 'won') as is_reopen,
        -- a win ends when the journey is lost or opened again
        case when step = 'won' then coalesce(ended_at, next_entered_at) end as reversed_at,
        -- time that is won or lost is no step's time
        case when step = 'won' then entered_at else coalesce(ended_at, next_entered_at) end as exited_at,
        case
            when outcome is not null then outcome
            when step = 'won' and next_entered_at is null then 'won'
            when step = 'won' then 'reopened'
            when next_step_order > step_order then 'advanced'
            when next_step_order < step_order then 'regressed'
            else 'open'
        end as exit_outcome
    from placed
),

entered as (
    select
        source_system, story_id, cycle_no, journey_id, stay_no, object, record_id, lead_id, opportunity_id, exclude_reason, entry_step,
        entry_step_order, step, step_order, entered_at, exited_at, exit_outcome, is_reopen, reversed_at, false as is_skip,
        coalesce(not is_reopen and step_order < step_order_before, false) as is_regression
    from judged

    union all

    -- what lies between two steps was passed in the moment of the later one
    select
        judged.source_system, judged.story_id, judged.cycle_no, judged.journey_id, judged.stay_no, judged.object, judged.record_id,
        judged.lead_id, judged.opportunity_id, judged.exclude_reason, judged.entry_step, judged.entry_step_order, funnel_steps.step,
        funnel_steps.step_order, judged.entered_at, judged.entered_at as exited_at, 'advanced' as exit_outcome, false as is_reopen,
        cast(null as timestamp) as reversed_at, true as is_skip, false as is_regression
    from judged
    inner join funnel_steps
        on judged.step_order_before < funnel_steps.step_order
        and judged.step_order > funnel_steps.step_order
        and cast(judged.entered_at as date) >= funnel_steps.valid_from
        and cast(judged.entered_at as date) < funnel_steps.valid_to
    where not judged.is_reopen
),

numbered as (
    select
        *,
        row_number() over (partition by source_system, journey_id order by stay_no, step_order) as row_no,
        row_number() over (partition by source_system, journey_id, step order by stay_no) as attempt_no
    from entered
)

select
    source_system,
    story_id,
    journey_id,
    cast(cycle_no as integer) as cycle_no,
    object,
    record_id,
    lead_id,
    opportunity_id,
    exclude_reason,
    entry_step,
    entry_step_order,
    cast(row_no as integer) as row_no,
    step,
    step_order,
    cast(attempt_no as integer) as attempt_no,
    lag(step) over (partition by source_system, journey_id order by row_no) as from_step,
    entered_at,
    exited_at,
    exit_outcome,
    is_skip,
    is_regression,
    is_reopen,
    reversed_at
from numbered
