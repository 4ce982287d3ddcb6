with

steps as (
    select * from {{ ref('int_funnel__steps') }}
),

journeys as (
    select * from {{ ref('int_funnel__journeys') }}
),

handoffs as (
    select * from {{ ref('int_funnel__handoffs') }}
),

owners as (
    select * from {{ ref('int_funnel__owners') }}
),

users as (
    {{ one_record_each('users') }}
),

funnel_steps as (
    select * from {{ ref('dim_funnel_step') }}
),

joined as (
    select
        steps.*,
        journeys.person_key,
        journeys.account_key,
        coalesce(funnel_steps.funnel_step_key, '-1') as funnel_step_key,
        handoffs.assigned_at,
        handoffs.first_response_at,
        handoffs.routing_business_minutes,
        handoffs.response_business_minutes,
        handoffs.sla_business_minutes,
        handoffs.due_at,
        handoffs.is_sla_met,
        handoffs.handoff_outcome,
        handoffs.is_handoff_implicit,
        handoffs.is_handoff_late,
        users.user_id
    from steps
    inner join journeys
        on steps.source_system = journeys.source_system
        and steps.journey_id = journeys.journey_id
    left join funnel_steps
        on steps.step = funnel_steps.step
        and cast(steps.entered_at as date) >= funnel_steps.valid_from
        and cast(steps.entered_at as date) < funnel_steps.valid_to
    left join handoffs
        on steps.source_system = handoffs.source_system
        and steps.journey_id = handoffs.journey_id
        and steps.row_no = handoffs.row_no
    left join owners
        on steps.source_system = owners.source_system
        and steps.object = owners.object
        and steps.record_id = owners.record_id
        and steps.entered_at >= owners.valid_from
        and steps.entered_at < owners.valid_to
    left join users
        on steps.source_system = users.source_system
        and coalesce(handoffs.assignee_id, owners.owner_id) = users.user_id
)

select
    {{ surrogate_key(['source_system', 'journey_id', 'step', 'attempt_no']) }} as step_entry_key,
    {{ surrogate_key(['source_system', 'journey_id']) }} as journey_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(journey_id as {{ dbt.type_string() }}) as journey_id,
    cast(row_no as integer) as row_no,
    cast(person_key as {{ dbt.type_string() }}) as person_key,
    cast(account_key as {{ dbt.type_string() }}) as account_key,
    cast(case
        when opportunity_id is null then '-1'
        else {{ surrogate_key(['source_system', 'opportunity_id']) }}
    end as {{ dbt.type_string() }}) as opportunity_key,
    cast(case when user_id is null then '-1' else {{ surrogate_key(['source_system', 'user_id']) }} end as {{ dbt.type_string() }}) as rep_key,
    cast(lead_id as {{ dbt.type_string() }}) as lead_id,
    cast(funnel_step_key as {{ dbt.type_string() }}) as funnel_step_key,
    cast(step as {{ dbt.type_string() }}) as step,
    cast(step_order as integer) as step_order,
    cast(attempt_no as integer) as attempt_no,
    cast(entry_step as {{ dbt.type_string() }}) as entry_step,
    cast(from_step as {{ dbt.type_string() }}) as from_step,
    cast(entered_at as timestamp) as entered_at,
    cast(exited_at as timestamp) as exited_at,
    cast({{ dbt.datediff('entered_at', 'coalesce(exited_at, ' ~ as_of() ~ ')', 'second') }} as bigint) as seconds_in_step,
    cast(exit_outcome as {{ dbt.type_string() }}) as outcome,
    cast(reversed_at as timestamp) as reversed_at,
    cast(is_skip as boolean) as is_skip,
    cast(is_regression as boolean) as is_regression,
    cast(is_reopen as boolean) as is_reopen,
    cast(handoff_outcome as {{ dbt.type_string() }}) as handoff_outcome,
    cast(is_handoff_implicit as boolean) as is_handoff_implicit,
    cast(is_handoff_late as boolean) as is_handoff_late,
    cast(assigned_at as timestamp) as assigned_at,
    cast(first_response_at as timestamp) as first_response_at,
    cast(routing_business_minutes as bigint) as routing_business_minutes,
    cast(response_business_minutes as bigint) as response_business_minutes,
    cast(sla_business_minutes as integer) as sla_business_minutes,
    cast(due_at as timestamp) as due_at,
    cast(is_sla_met as boolean) as is_sla_met,
    exclude_reason is not null as is_excluded
from joined
