with

steps as (
    select * from {{ ref('int_funnel__steps') }}
),

persons as (
    select * from {{ ref('int_identity__persons') }}
    where record_type = 'lead'
),

opportunities as (
    {{ one_record_each('opportunities') }}
),

known_accounts as (
    select source_system, id as account_id, survivor_id
    from {{ ref('int_identity__survivors') }}
    where contract = 'accounts'
),

lasts as (
    select
        *,
        row_number() over (partition by source_system, journey_id order by row_no desc) as nth_from_end
    from steps
),

journeys as (
    select
        source_system,
        journey_id,
        max(story_id) as story_id,
        max(cycle_no) as cycle_no,
        max(lead_id) as lead_id,
        max(opportunity_id) as opportunity_id,
        max(exclude_reason) as exclude_reason,
        max(entry_step) as entry_step,
        max(entry_step_order) as entry_step_order,
        min(entered_at) as started_at,
        count(*) as row_count,
        sum(case when is_reopen then 1 else 0 end) as reopen_count,
        max(case when step <> 'won' then step_order end) as furthest_open_step_order,
        -- the first moment at which a step or a later one was entered, from the entry step on
        {%- for step, order in funnel_step_codes().items() if step != 'won' %}
        min(case when entry_step_order <= {{ order }} and step_order >= {{ order }} then entered_at end) as {{ step }}_at,
        {%- endfor %}
        max(case when step = 'won' then entered_at end) as last_won_at,
        max(case when step = 'won' then step_order end) as won_step_order,
        max(case when nth_from_end = 1 then step end) as last_step,
        max(case when nth_from_end = 1 then exit_outcome end) as last_exit_outcome,
        max(case when nth_from_end = 1 then coalesce(reversed_at, exited_at) end) as ended_at,
        cast(sum({{ dbt.datediff('entered_at', 'coalesce(exited_at, ' ~ as_of() ~ ')', 'second') }}) as bigint) as open_seconds
    from lasts
    group by source_system, journey_id
)

select
    journeys.source_system,
    journeys.journey_id,
    journeys.story_id,
    journeys.cycle_no,
    journeys.lead_id,
    journeys.opportunity_id,
    journeys.exclude_reason,
    journeys.exclude_reason is not null as is_excluded,
    coalesce(persons.person_key, '-1') as person_key,
    coalesce(
        case when known_accounts.survivor_id is not null then {{ surrogate_key(['known_accounts.source_system', 'known_accounts.survivor_id']) }} end,
        persons.account_key,
        '-1'
    ) as account_key,
    journeys.entry_step,
    journeys.entry_step_order,
    journeys.started_at,
    journeys.lead_at,
    journeys.mql_at,
    journeys.sal_at,
    journeys.opportunity_at,
    journeys.proposal_at,
    case when journeys.last_exit_outcome = 'won' then journeys.last_won_at end as won_at,
    cast(case
        when journeys.last_exit_outcome = 'won' then journeys.won_step_order
        -- a win that was taken back leaves what came before it, and that it was reached
        else journeys.furthest_open_step_order
    end as integer) as furthest_step_order,
    journeys.last_step,
    journeys.last_exit_outcome as outcome,
    journeys.last_exit_outcome = 'open' as is_open,
    journeys.last_exit_outcome = 'won' as is_won,
    case when journeys.last_exit_outcome <> 'open' then journeys.ended_at end as ended_at,
    journeys.open_seconds,
    cast(journeys.reopen_count as integer) as reopen_count,
    cast(journeys.row_count as integer) as row_count
from journeys
left join persons
    on journeys.source_system = persons.source_system
    and journeys.lead_id = persons.lead_id
left join opportunities
    on journeys.source_system = opportunities.source_system
    and journeys.opportunity_id = opportunities.opportunity_id
left join known_accounts
    on opportunities.source_system = known_accounts.source_system
    and opportunities.account_id = known_accounts.account_id
