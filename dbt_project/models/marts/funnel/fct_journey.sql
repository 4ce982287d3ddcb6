with

journeys as (
    select * from {{ ref('int_funnel__journeys') }}
),

leads as (
    {{ one_record_each('leads') }}
),

opportunities as (
    {{ one_record_each('opportunities') }}
),

users as (
    {{ one_record_each('users') }}
),

described as (
    select
        journeys.*,
        coalesce(leads.lead_source, opportunities.lead_source) as lead_source,
        coalesce(leads.crm_campaign_id, opportunities.crm_campaign_id) as crm_campaign_id,
        leads.country,
        users.user_id
    from journeys
    left join leads
        on journeys.source_system = leads.source_system
        and journeys.lead_id = leads.lead_id
    left join opportunities
        on journeys.source_system = opportunities.source_system
        and journeys.opportunity_id = opportunities.opportunity_id
    left join users
        on journeys.source_system = users.source_system
        and coalesce(opportunities.owner_id, leads.owner_id) = users.user_id
),

crm_campaigns as (
    select * from {{ ref('int_company__crm_campaigns') }}
),

with_campaign as (
    {{ with_key('described', 'crm_campaign_id', 'crm_campaigns', 'crm_campaign_id', 'crm_campaign_key', 'crm_campaign_key') }}
)

select
    {{ surrogate_key(['source_system', 'journey_id']) }} as journey_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(journey_id as {{ dbt.type_string() }}) as journey_id,
    cast(cycle_no as integer) as cycle_no,
    cast(person_key as {{ dbt.type_string() }}) as person_key,
    cast(account_key as {{ dbt.type_string() }}) as account_key,
    cast(case
        when opportunity_id is null then '-1'
        else {{ surrogate_key(['source_system', 'opportunity_id']) }}
    end as {{ dbt.type_string() }}) as opportunity_key,
    cast(case when user_id is null then '-1' else {{ surrogate_key(['source_system', 'user_id']) }} end as {{ dbt.type_string() }}) as rep_key,
    cast(lead_id as {{ dbt.type_string() }}) as lead_id,
    cast(opportunity_id as {{ dbt.type_string() }}) as opportunity_id,
    cast(lead_source as {{ dbt.type_string() }}) as lead_source,
    cast(crm_campaign_key as {{ dbt.type_string() }}) as crm_campaign_key,
    cast(crm_campaign_id as {{ dbt.type_string() }}) as crm_campaign_id,
    cast(country as {{ dbt.type_string() }}) as country,
    cast(entry_step as {{ dbt.type_string() }}) as entry_step,
    cast(entry_step_order as integer) as entry_step_order,
    cast(started_at as timestamp) as started_at,
    cast(date_trunc('month', started_at) as date) as cohort_month,
    {%- for step in funnel_step_codes() %}
    cast({{ step }}_at as timestamp) as {{ step }}_at,
    {%- endfor %}
    {%- for step, order in funnel_step_codes().items() %}
    {%- if step == 'won' %}
    cast(is_won as boolean) as is_reached_won,
    {%- else %}
    entry_step_order <= {{ order }} and (is_won or furthest_step_order >= {{ order }}) as is_reached_{{ step }},
    {%- endif %}
    {%- endfor %}
    cast(furthest_step_order as integer) as furthest_step_order,
    cast(case when is_open then last_step end as {{ dbt.type_string() }}) as current_step,
    cast(outcome as {{ dbt.type_string() }}) as outcome,
    cast(ended_at as timestamp) as ended_at,
    cast(is_open as boolean) as is_open,
    cast(open_seconds as bigint) as open_seconds,
    cast(reopen_count as integer) as reopen_count,
    cast(is_excluded as boolean) as is_excluded,
    cast(exclude_reason as {{ dbt.type_string() }}) as exclude_reason
from with_campaign
