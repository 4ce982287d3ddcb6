with

events as (
    select * from {{ ref('int_revenue__converted') }}
    where held_reason is null
),

opportunities as (
    select * from {{ ref('int_deals__opportunities') }}
),

owners as (
    select * from {{ ref('int_deals__owner_history') }}
),

territories as (
    select * from {{ ref('int_company__rep_territories') }}
),

-- a reversal stands where the booking stood that it takes back
placed as (
    select
        events.*,
        coalesce(owners.rep_key, '-1') as owner_rep_key,
        coalesce(opportunities.owner_rep_key, '-1') as current_owner_rep_key
    from events
    left join opportunities on events.placed_opportunity_key = opportunities.opportunity_key
    left join owners
        on events.placed_opportunity_key = owners.opportunity_key
        and events.original_booked_at >= owners.valid_from
        and events.original_booked_at < owners.valid_to
)

select
    cast(placed.revenue_key as {{ dbt.type_string() }}) as revenue_key,
    cast(placed.source_system as {{ dbt.type_string() }}) as source_system,
    cast(placed.stream as {{ dbt.type_string() }}) as stream,
    cast(placed.event_id as {{ dbt.type_string() }}) as event_id,
    cast(placed.event_type as {{ dbt.type_string() }}) as event_type,
    cast(placed.booked_at as timestamp) as booked_at,
    cast(placed.booked_date as date) as booked_date,
    cast(placed.opportunity_key as {{ dbt.type_string() }}) as opportunity_key,
    cast(placed.account_key as {{ dbt.type_string() }}) as account_key,
    cast(placed.product_key as {{ dbt.type_string() }}) as product_key,
    cast(placed.owner_rep_key as {{ dbt.type_string() }}) as owner_rep_key,
    cast(coalesce(territories.territory_key, '-1') as {{ dbt.type_string() }}) as territory_key,
    cast(coalesce(today.territory_key, '-1') as {{ dbt.type_string() }}) as current_territory_key,
    cast(placed.currency as {{ dbt.type_string() }}) as currency,
    cast(placed.amount as decimal(18, 6)) as booked_amount,
    cast(placed.amount_rc as decimal(18, 6)) as booked_amount_rc,
    cast({{ sql_text(var('reporting_currency')) }} as {{ dbt.type_string() }}) as reporting_currency,
    cast(placed.fx_rate as decimal(18, 9)) as fx_rate,
    cast(placed.fx_date as date) as fx_date,
    cast(placed.is_fx_carried as boolean) as is_fx_carried,
    cast(placed.list_amount as decimal(18, 6)) as list_amount,
    cast(placed.list_amount_rc as decimal(18, 6)) as list_amount_rc,
    cast(placed.cost_amount as decimal(18, 6)) as cost_amount,
    cast(placed.cost_amount_rc as decimal(18, 6)) as cost_amount_rc,
    cast(placed.amount_rc - placed.cost_amount_rc as decimal(18, 6)) as gross_margin_amount_rc,
    cast(placed.recurring_amount as decimal(18, 6)) as recurring_amount,
    cast(placed.recurring_amount_rc as decimal(18, 6)) as recurring_amount_rc,
    cast(placed.starts_on as date) as starts_on,
    cast(placed.ends_on as date) as ends_on,
    placed.event_type = 'reversal' as is_reversal,
    placed.is_booking,
    cast(placed.original_revenue_key as {{ dbt.type_string() }}) as original_revenue_key,
    cast(placed._load_id as {{ dbt.type_string() }}) as _load_id
from placed
left join territories
    on placed.owner_rep_key = territories.rep_key
    and cast(placed.original_booked_at as date) >= territories.valid_from
    and cast(placed.original_booked_at as date) < territories.valid_to
left join territories as today
    on placed.current_owner_rep_key = today.rep_key
    and cast({{ as_of() }} as date) >= today.valid_from
    and cast({{ as_of() }} as date) < today.valid_to
