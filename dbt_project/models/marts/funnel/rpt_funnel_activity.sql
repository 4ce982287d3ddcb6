with

entries as (
    select * from {{ ref('fct_funnel_step') }}
    where not is_excluded
),

steps as (
    {%- for step, order in funnel_step_codes().items() %}
    select '{{ step }}' as step, {{ order }} as step_order {{ 'union all' if not loop.last }}
    {%- endfor %}
),

events as (
    -- every win counts, and what was taken back is taken off again in its own month
    select
        step, entered_at as happened_at, case when attempt_no = 1 or step = 'won' then 1 else 0 end as entries, 0 as reversals, 0 as exits,
        0 as advanced_exits
    from entries

    union all

    select step, reversed_at as happened_at, 0 as entries, 1 as reversals, 0 as exits, 0 as advanced_exits
    from entries
    where reversed_at is not null

    union all

    -- what was skipped was never in the step, and nobody leaves a win by going on
    select
        step, exited_at as happened_at, 0 as entries, 0 as reversals, 1 as exits,
        case when outcome = 'advanced' then 1 else 0 end as advanced_exits
    from entries
    where exited_at is not null
        and step <> 'won'
        and not is_skip
),

counted as (
    select
        cast(date_trunc('month', happened_at) as date) as activity_month,
        step,
        sum(entries) as entries,
        sum(reversals) as reversals,
        sum(exits) as exits,
        sum(advanced_exits) as advanced_exits
    from events
    group by cast(date_trunc('month', happened_at) as date), step
),

handoffs as (
    select
        cast(date_trunc('month', entered_at) as date) as activity_month,
        step,
        sum(case when handoff_outcome = 'accepted' then 1 else 0 end) as accepted_handoffs,
        sum(case when handoff_outcome in ('accepted', 'rejected', 'expired') then 1 else 0 end) as decided_handoffs,
        sum(case when is_sla_met then 1 else 0 end) as sla_met_handoffs,
        sum(case when is_sla_met is not null then 1 else 0 end) as sla_due_handoffs
    from entries
    where handoff_outcome is not null
    group by cast(date_trunc('month', entered_at) as date), step
),

months as (
    select distinct activity_month from counted
),

filled as (
    select
        months.activity_month,
        steps.step,
        steps.step_order,
        coalesce(counted.entries, 0) as entries,
        coalesce(counted.reversals, 0) as reversals,
        coalesce(counted.exits, 0) as exits,
        coalesce(counted.advanced_exits, 0) as advanced_exits,
        coalesce(handoffs.accepted_handoffs, 0) as accepted_handoffs,
        coalesce(handoffs.decided_handoffs, 0) as decided_handoffs,
        coalesce(handoffs.sla_met_handoffs, 0) as sla_met_handoffs,
        coalesce(handoffs.sla_due_handoffs, 0) as sla_due_handoffs
    from months
    cross join steps
    left join counted
        on months.activity_month = counted.activity_month
        and steps.step = counted.step
    left join handoffs
        on months.activity_month = handoffs.activity_month
        and steps.step = handoffs.step
)

select
    {{ surrogate_key(['activity_month', 'step']) }} as funnel_activity_key,
    cast(activity_month as date) as activity_month,
    cast(step as {{ dbt.type_string() }}) as step,
    cast(step_order as integer) as step_order,
    cast(entries - reversals as bigint) as net_entries,
    cast(entries as bigint) as entries,
    cast(reversals as bigint) as reversals,
    cast(exits as bigint) as exits,
    cast(advanced_exits as bigint) as advanced_exits,
    {{ safe_divide('advanced_exits', 'exits') }} as exit_rate,
    cast(accepted_handoffs as bigint) as accepted_handoffs,
    cast(decided_handoffs as bigint) as decided_handoffs,
    {{ safe_divide('accepted_handoffs', 'decided_handoffs') }} as handoff_rate,
    cast(sla_met_handoffs as bigint) as sla_met_handoffs,
    cast(sla_due_handoffs as bigint) as sla_due_handoffs,
    {{ safe_divide('sla_met_handoffs', 'sla_due_handoffs') }} as sla_met_rate
from filled
