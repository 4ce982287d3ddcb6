with

steps as (
    select * from {{ ref('int_funnel__steps') }}
),

owners as (
    select * from {{ ref('int_funnel__owners') }}
    where object = 'lead'
),

users as (
    {{ one_record_each('users') }}
),

activities as (
    {{ one_record_each('activities') }}
),

spans as (
    select
        calendar,
        opens_at,
        closes_at,
        60 * business_minutes_before as seconds_before,
        60 * (business_minutes_before + business_minutes) as seconds_after
    from {{ ref('int_calendar__spans') }}
    where is_working_day
),

agreed as (
    select * from {{ ref('funnel_steps') }}
    where step = 'mql'
),

-- every time that marketing hands a lead over is an attempt; one that nobody made is none
attempts as (
    select
        steps.source_system,
        steps.journey_id,
        steps.lead_id,
        steps.row_no,
        steps.attempt_no,
        steps.entered_at,
        steps.exited_at,
        steps.exit_outcome,
        agreed.sla_business_minutes,
        agreed.expires_after_days,
        lead(steps.entered_at) over (partition by steps.source_system, steps.journey_id order by steps.row_no) as next_attempt_at
    from steps
    left join agreed
        on cast(steps.entered_at as date) >= agreed.valid_from
        and cast(steps.entered_at as date) < agreed.valid_to
    where steps.step = 'mql'
        and steps.object = 'lead'
        and not steps.is_skip
),

followers as (
    select source_system, journey_id, row_no, step as next_step, is_skip as is_next_skip, entered_at as next_entered_at
    from steps
),

cycle_ends as (
    select source_system, journey_id, max(exited_at) as cycle_ended_at
    from (
        select
            *,
            row_number() over (partition by source_system, journey_id order by row_no desc) as nth_from_end
        from steps
    ) as lasts
    where nth_from_end = 1
        and exit_outcome in ('recycled', 'expired', 'disqualified')
    group by source_system, journey_id
),

bounded as (
    select
        attempts.*,
        coalesce(attempts.next_attempt_at, cycle_ends.cycle_ended_at, {{ end_of_time() }}) as work_ends_at
    from attempts
    left join cycle_ends
        on attempts.source_system = cycle_ends.source_system
        and attempts.journey_id = cycle_ends.journey_id
),

-- the first assignment of the attempt, else whoever had the lead already
assignments as (
    select
        bounded.source_system,
        bounded.journey_id,
        bounded.row_no,
        bounded.lead_id,
        bounded.work_ends_at,
        owners.owner_id,
        greatest(owners.valid_from, bounded.entered_at) as assigned_at,
        row_number() over (
            partition by bounded.source_system, bounded.journey_id, bounded.row_no
            order by case when owners.valid_from >= bounded.entered_at then 1 else 2 end, owners.valid_from, owners.change_no
        ) as nth
    from bounded
    inner join owners
        on bounded.source_system = owners.source_system
        and bounded.lead_id = owners.record_id
        and owners.owner_id is not null
        and bounded.work_ends_at > owners.valid_from
        and (bounded.entered_at <= owners.valid_from or bounded.entered_at < owners.valid_to)
),

-- people who reach out; what a machine sends, and what the customer begins, is no answer
responses as (
    select source_system, lead_id, occurred_at
    from activities
    where lead_id is not null
        and activity_type in ('call', 'email', 'meeting')
        and direction = 'outbound'
        and not coalesce(is_automated, false)
        and not coalesce(is_deleted, false)
        and occurred_at <= {{ as_of() }}
),

-- The attempt's lead and end stand in its assignment: a join of all three would leave it to the engine to pair every
-- assignment of a source with every response first.
answered as (
    select
        assignments.source_system,
        assignments.journey_id,
        assignments.row_no,
        min(responses.occurred_at) as first_response_at
    from assignments
    inner join responses
        on assignments.source_system = responses.source_system
        and assignments.lead_id = responses.lead_id
        and assignments.assigned_at <= responses.occurred_at
        and assignments.work_ends_at > responses.occurred_at
    where assignments.nth = 1
    group by assignments.source_system, assignments.journey_id, assignments.row_no
),

timed as (
    select
        bounded.*,
        followers.next_step,
        followers.is_next_skip,
        followers.next_entered_at,
        assignments.owner_id as assignee_id,
        assignments.assigned_at,
        answered.first_response_at,
        users.calendar
    from bounded
    left join followers
        on bounded.source_system = followers.source_system
        and bounded.journey_id = followers.journey_id
        and bounded.row_no + 1 = followers.row_no
    left join assignments
        on bounded.source_system = assignments.source_system
        and bounded.journey_id = assignments.journey_id
        and bounded.row_no = assignments.row_no
        and assignments.nth = 1
    left join answered
        on bounded.source_system = answered.source_system
        and bounded.journey_id = answered.journey_id
        and bounded.row_no = answered.row_no
    left join users
        on assignments.source_system = users.source_system
        and assignments.owner_id = users.user_id
),

moments as (
    {%- for moment in ['entered', 'assigned', 'first_response'] %}
    select source_system, journey_id, row_no, calendar, '{{ moment }}' as moment, {{ moment }}_at as happened_at
    from timed
    where {{ moment }}_at is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

-- Moments and openings in one line of time per calendar: the last opening before a moment is the running maximum. A join
-- over the interval would compare every moment with every day.
time_line as (
    select
        source_system, journey_id, row_no, calendar, moment, happened_at, 1 as is_moment, cast(null as timestamp) as opens_at,
        cast(null as timestamp) as closes_at, cast(null as bigint) as seconds_before
    from moments

    union all

    select
        null as source_system, null as journey_id, null as row_no, calendar, null as moment, opens_at as happened_at, 0 as is_moment,
        opens_at, closes_at, seconds_before
    from spans
),

after_openings as (
    select
        source_system,
        journey_id,
        row_no,
        moment,
        is_moment,
        happened_at,
        {%- for value in ['opens_at', 'closes_at', 'seconds_before'] %}
        max({{ value }}) over (
            partition by calendar order by happened_at, is_moment rows unbounded preceding
        ) as {{ value }}{{ ',' if not loop.last }}
        {%- endfor %}
    from time_line
),

-- the reading of the assignee's business clock at each moment: seconds that the office had been open until then
readings as (
    select
        source_system,
        journey_id,
        row_no,
        {%- for moment in ['entered', 'assigned', 'first_response'] %}
        max(
            case when moment = '{{ moment }}'
                then seconds_before + {{ dbt.datediff('opens_at', 'least(happened_at, closes_at)', 'second') }} end
        ) as {{ moment }}_clock{{ ',' if not loop.last }}
        {%- endfor %}
    from after_openings
    where is_moment = 1
    group by source_system, journey_id, row_no
),

clocked as (
    select
        timed.*,
        readings.entered_clock,
        readings.assigned_clock,
        readings.first_response_clock,
        readings.assigned_clock + 60 * timed.sla_business_minutes as due_clock
    from timed
    left join readings
        on timed.source_system = readings.source_system
        and timed.journey_id = readings.journey_id
        and timed.row_no = readings.row_no
),

-- the same along the business clock: a deadline lies in the first span that ends at or after its reading
clock_line as (
    select
        source_system, journey_id, row_no, calendar, due_clock as reading, 0 as is_span, cast(null as timestamp) as opens_at,
        cast(null as bigint) as seconds_before
    from clocked
    where due_clock is not null

    union all

    select
        null as source_system, null as journey_id, null as row_no, calendar, seconds_after as reading, 1 as is_span, opens_at, seconds_before
    from spans
),

deadlines as (
    select
        source_system,
        journey_id,
        row_no,
        is_span,
        reading,
        {%- for value in ['opens_at', 'seconds_before'] %}
        min({{ value }}) over (
            partition by calendar order by reading, is_span rows between current row and unbounded following
        ) as {{ value }}{{ ',' if not loop.last }}
        {%- endfor %}
    from clock_line
),

due as (
    select
        clocked.*,
        {{ dbt.dateadd('second', 'deadlines.reading - deadlines.seconds_before', 'deadlines.opens_at') }} as due_at
    from clocked
    left join deadlines
        on clocked.source_system = deadlines.source_system
        and clocked.journey_id = deadlines.journey_id
        and clocked.row_no = deadlines.row_no
        and deadlines.is_span = 0
),

judged as (
    select
        *,
        case
            when next_step is not null and exit_outcome = 'advanced' then 'accepted'
            when exit_outcome = 'expired' then 'expired'
            when exit_outcome <> 'open' then 'rejected'
            when expires_after_days is not null
                and {{ dbt.dateadd('day', 'expires_after_days', 'entered_at') }} <= {{ as_of() }} then 'expired'
            else 'pending'
        end as handoff_outcome,
        -- whoever goes on without a word has accepted
        coalesce(exit_outcome = 'advanced' and (is_next_skip or next_step <> 'sal'), false) as is_handoff_implicit
    from due
)

select
    source_system,
    journey_id,
    row_no,
    attempt_no,
    calendar,
    assignee_id,
    assigned_at,
    first_response_at,
    {{ integer_divide('assigned_clock - entered_clock', '60') }} as routing_business_minutes,
    {{ integer_divide('first_response_clock - assigned_clock', '60') }} as response_business_minutes,
    sla_business_minutes,
    due_at,
    case
        when first_response_at <= due_at then true
        when first_response_at is not null and due_at is not null then false
        -- nobody owed an answer to what ended before it was due, or is not due yet
        when due_at < least(work_ends_at, {{ as_of() }}) then false
    end as is_sla_met,
    handoff_outcome,
    is_handoff_implicit,
    case when handoff_outcome = 'accepted' then next_entered_at end as accepted_at,
    coalesce(handoff_outcome = 'accepted' and next_entered_at > due_at, false) as is_handoff_late
from judged
