with

opportunities as (
    select * from {{ ref('int_deals__converted') }}
),

territories as (
    select * from {{ ref('int_company__rep_territories') }}
),

owners as (
    select * from {{ ref('int_deals__owner_history') }}
),

contacts as (
    select * from {{ ref('int_deals__contacts') }}
),

leads as (
    select * from {{ ref('int_deals__leads') }}
),

persons as (
    select * from {{ ref('int_identity__persons') }}
    where record_type = 'lead'
),

crm_campaigns as (
    select * from {{ ref('int_company__crm_campaigns') }}
),

-- the owner when it was closed; of what is open, today's
valued as (
    select
        opportunities.*,
        coalesce(owners.rep_key, opportunities.owner_rep_key) as placing_rep_key
    from opportunities
    left join owners
        on opportunities.opportunity_key = owners.opportunity_key
        and coalesce(opportunities.closed_at, {{ as_of() }}) >= owners.valid_from
        and coalesce(opportunities.closed_at, {{ as_of() }}) < owners.valid_to
),

with_campaign as (
    {{ with_key('valued', 'crm_campaign_id', 'crm_campaigns', 'crm_campaign_id', 'crm_campaign_key', 'crm_campaign_key') }}
)

select
    cast(valued.opportunity_key as {{ dbt.type_string() }}) as opportunity_key,
    cast(valued.source_system as {{ dbt.type_string() }}) as source_system,
    cast(valued.stream as {{ dbt.type_string() }}) as stream,
    cast(valued.opportunity_id as {{ dbt.type_string() }}) as opportunity_id,
    cast(valued.opportunity_name as {{ dbt.type_string() }}) as opportunity_name,
    cast(valued.survivor_opportunity_key as {{ dbt.type_string() }}) as survivor_opportunity_key,
    cast(valued.account_key as {{ dbt.type_string() }}) as account_key,
    cast(leads.lead_id as {{ dbt.type_string() }}) as lead_id,
    cast(coalesce(persons.person_key, '-1') as {{ dbt.type_string() }}) as person_key,
    cast(valued.owner_rep_key as {{ dbt.type_string() }}) as owner_rep_key,
    cast(valued.created_by_rep_key as {{ dbt.type_string() }}) as created_by_rep_key,
    cast(coalesce(placed.territory_key, '-1') as {{ dbt.type_string() }}) as territory_key,
    cast(coalesce(today.territory_key, '-1') as {{ dbt.type_string() }}) as current_territory_key,
    cast(leads.lead_created_at as timestamp) as lead_created_at,
    cast(valued.created_at as timestamp) as created_at,
    cast(valued.created_at as date) as created_date,
    cast(valued.closed_at as timestamp) as closed_at,
    cast(valued.closed_at as date) as closed_date,
    cast(case when valued.is_won then valued.closed_at end as timestamp) as won_at,
    cast(case when valued.is_lost then valued.closed_at end as timestamp) as lost_at,
    cast(valued.close_date as date) as close_date,
    cast({{ dbt.datediff('leads.lead_created_at', 'valued.closed_at', 'day') }} as integer) as days_from_lead,
    cast({{ dbt.datediff('valued.created_at', 'valued.closed_at', 'day') }} as integer) as cycle_days,
    cast(valued.reopen_count as integer) as reopen_count,
    cast(valued.push_count as integer) as push_count,
    cast(valued.stage as {{ dbt.type_string() }}) as stage,
    cast(valued.probability * cast('0.01' as decimal(3, 2)) as decimal(9, 8)) as probability_rate,
    cast(valued.forecast_category as {{ dbt.type_string() }}) as forecast_category,
    cast(valued.currency as {{ dbt.type_string() }}) as currency,
    cast(valued.amount as decimal(18, 6)) as opportunity_amount,
    cast(valued.amount_rc as decimal(18, 6)) as opportunity_amount_rc,
    cast({{ sql_text(var('reporting_currency')) }} as {{ dbt.type_string() }}) as reporting_currency,
    cast(valued.fx_rate as decimal(18, 9)) as fx_rate,
    cast(valued.fx_date as date) as fx_date,
    cast(valued.is_fx_carried as boolean) as is_fx_carried,
    cast(valued.buying_class as {{ dbt.type_string() }}) as buying_class,
    cast(valued.sales_model as {{ dbt.type_string() }}) as sales_model,
    cast(valued.lead_source as {{ dbt.type_string() }}) as lead_source,
    cast(valued.crm_campaign_key as {{ dbt.type_string() }}) as crm_campaign_key,
    cast(valued.crm_campaign_id as {{ dbt.type_string() }}) as crm_campaign_id,
    cast(valued.loss_reason as {{ dbt.type_string() }}) as loss_reason,
    cast(valued.competitor as {{ dbt.type_string() }}) as competitor,
    cast(coalesce(contacts.contacts_n, 0) as integer) as contacts_n,
    cast(coalesce(contacts.has_economic_buyer, false) as boolean) as has_economic_buyer,
    cast(valued.is_won as boolean) as is_won,
    cast(valued.is_lost as boolean) as is_lost,
    cast(valued.is_closed as boolean) as is_closed,
    cast(valued.is_merged as boolean) as is_merged,
    cast(coalesce(valued.is_test, false) as boolean) as is_test,
    cast(coalesce(valued.is_deleted, false) as boolean) as is_deleted,
    cast(
        not (valued.is_merged or coalesce(valued.is_test, false) or coalesce(valued.is_deleted, false)) as boolean
    ) as is_in_funnel,
    coalesce(valued.is_won and least(cast(valued.closed_at as date), valued.close_date) < cast(valued.created_at as date), false)
        as is_won_before_created,
    coalesce(valued.is_won and cast(valued.closed_at as date) < cast(leads.lead_created_at as date), false) as is_won_before_lead,
    coalesce(not valued.is_closed and valued.close_date < cast({{ as_of() }} as date), false) as is_overdue,
    coalesce(valued.is_closed and valued.close_date > cast({{ as_of() }} as date), false) as is_closed_in_future,
    coalesce(valued.amount <= 0, true) as is_without_amount,
    cast(valued._load_id as {{ dbt.type_string() }}) as _load_id
from with_campaign as valued
left join territories as placed
    on valued.placing_rep_key = placed.rep_key
    and valued.valued_on >= placed.valid_from
    and valued.valued_on < placed.valid_to
left join territories as today
    on valued.owner_rep_key = today.rep_key
    and cast({{ as_of() }} as date) >= today.valid_from
    and cast({{ as_of() }} as date) < today.valid_to
left join contacts on valued.opportunity_key = contacts.opportunity_key
left join leads
    on valued.source_system = leads.source_system
    and valued.opportunity_id = leads.opportunity_id
left join persons
    on leads.source_system = persons.source_system
    and leads.lead_id = persons.record_id
