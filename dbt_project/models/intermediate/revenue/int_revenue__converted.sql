-- A booking is worth the rate of its own UTC day, reversals too; without a rate it keeps its money unconverted.
-- Amounts are rounded to six decimals and then booked to the cent, both half away from zero.
with

events as (
    select * from {{ ref('int_revenue__events') }}
),

rates as (
    select * from {{ ref('int_fx__rates') }}
)

select
    events.*,
    {% for name in ['amount', 'list_amount', 'cost_amount', 'recurring_amount'] -%}
    {{ booked_to_the_cent('events.' ~ name, 'rates.fx_rate') }} as {{ name }}_rc,
    {% endfor -%}
    rates.fx_rate,
    rates.fx_date,
    rates.is_fx_carried,
    -- what ends or shrinks a contract is a change of recurring revenue, not a booking that is taken back
    events.original_event_type in ('new', 'renewal', 'expansion', 'reversal') as is_booking,
    case
        when events.booked_at > {{ as_of() }} then 'booked_after_as_of'
        when rates.fx_rate is null then 'missing_fx_rate'
    end as held_reason
from events
left join rates
    on events.currency = rates.currency
    and events.booked_date = rates.wanted_on
