-- The cents of each booking by the weights of its win, once per model, so that every booking is credited exactly, in its own
-- month. A negative one is apportioned by its size and then negated.
with

bookings as (
    select * from {{ ref('int_attribution__bookings') }}
),

cents_to_share as (
    select
        weights.model, bookings.revenue_key, weights.touch_key, weights.position, weights.weight_micro, weights.unattributed_reason,
        weights.weight_micro as numerator,
        cast(1000000 as bigint) as denominator,
        abs(bookings.booked_cents) as whole,
        case when bookings.booked_cents < 0 then -1 else 1 end as sign
    from bookings
    inner join {{ ref('int_attribution__weights') }} as weights on bookings.conversion_key = weights.conversion_key
),

credited as (
    {{ apportioned('cents_to_share', ['model', 'revenue_key']) }}
),

models as (
    {{ attribution_models() }}
)

select
    model, revenue_key, touch_key, weight_micro,
    sign * units as credited_cents,
    unattributed_reason
from credited

union all

select
    models.model, bookings.revenue_key, '-1' as touch_key, cast(1000000 as bigint) as weight_micro,
    bookings.booked_cents as credited_cents,
    bookings.unattributed_reason
from bookings
cross join models
where bookings.conversion_key is null
