-- Every currency and day that something in the warehouse is converted for. What asks for a rate is listed here and nowhere else.
with

spend as (
    select currency, spend_date as wanted_on from {{ ref('int_spend__versions') }}
),

bookings as (
    select currency, booked_date as wanted_on from {{ ref('int_revenue__events') }}
    union
    select currency, booked_date as wanted_on from {{ ref('int_revenue__events_before') }}
),

opportunities as (
    select opportunities.currency, opportunities.created_at, closings.closed_at
    from {{ ref('int_deals__opportunities') }} as opportunities
    inner join {{ ref('int_deals__closings') }} as closings on opportunities.opportunity_key = closings.opportunity_key
),

plans as (
    select currency, fx_day as wanted_on from {{ ref('int_plan__values') }}
),

wanted as (
    select currency, wanted_on from spend
    union
    select currency, wanted_on from bookings
    union
    select currency, cast(created_at as date) as wanted_on from opportunities
    union
    select currency, cast(closed_at as date) as wanted_on from opportunities
    union
    -- what is open is worth today's rate
    select currency, cast({{ as_of() }} as date) as wanted_on from opportunities
    union
    select currency, wanted_on from plans
)

select
    currency,
    wanted_on
from wanted
where currency is not null
    and wanted_on is not null
