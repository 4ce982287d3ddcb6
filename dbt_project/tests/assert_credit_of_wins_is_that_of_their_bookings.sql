-- Touch by touch: what a win is credited with is what its bookings are, by the same weights.
with

wins as (
    select conversion_key, model, touch_key, weight_micro, credited_amount_rc
    from {{ ref('fct_credit') }}
    where conversion_type = 'won'
),

bookings as (
    select
        conversion_key, model, touch_key,
        min(weight_micro) as least_weight_micro,
        max(weight_micro) as most_weight_micro,
        sum(credited_amount_rc) as credited_amount_rc
    from {{ ref('fct_revenue_credit') }}
    where conversion_key <> '-1'
        and not is_win_reversed
    group by conversion_key, model, touch_key
)

select
    coalesce(wins.conversion_key, bookings.conversion_key) as conversion_key,
    coalesce(wins.model, bookings.model) as model,
    coalesce(wins.touch_key, bookings.touch_key) as touch_key,
    wins.credited_amount_rc,
    bookings.credited_amount_rc as credited_by_bookings
from wins
full outer join bookings
    on wins.conversion_key = bookings.conversion_key
    and wins.model = bookings.model
    and wins.touch_key = bookings.touch_key
where wins.conversion_key is null
    or wins.credited_amount_rc <> coalesce(bookings.credited_amount_rc, 0)
    or wins.weight_micro <> bookings.least_weight_micro
    or wins.weight_micro <> bookings.most_weight_micro
