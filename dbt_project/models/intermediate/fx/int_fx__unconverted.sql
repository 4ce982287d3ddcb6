-- Money that waits for an exchange rate, whatever it is for, and bookings that are dated after the moment of the run.
with

spend as (
    select source_system, stream, currency, spend_amount as amount, known_from as known_at
    from {{ ref('int_spend__unconverted') }}
    where is_current
),

bookings as (
    select source_system, stream, held_reason, currency, amount, _known_at as known_at
    from {{ ref('int_revenue__converted') }}
    where held_reason is not null
),

opportunities as (
    select source_system, stream, currency, amount, _known_at as known_at
    from {{ ref('int_deals__converted') }}
    where is_unconverted
),

plans as (
    select source_system, stream, contract, currency, plan_value as amount, known_at
    from {{ ref('int_plan__converted') }}
    where is_held
)

select source_system, stream, 'performance_daily' as contract, 'missing_fx_rate' as reason, currency, amount, known_at, true as is_left_out
from spend
union all
select source_system, stream, 'revenue_events' as contract, held_reason as reason, currency, amount, known_at, true as is_left_out
from bookings
union all
-- an opportunity stays in its mart without an amount in the reporting currency
select source_system, stream, 'opportunities' as contract, 'missing_fx_rate' as reason, currency, amount, known_at, false as is_left_out
from opportunities
union all
select source_system, stream, contract, 'missing_fx_rate' as reason, currency, amount, known_at, true as is_left_out
from plans
