-- The win that each booking belongs to: of its deal the last one on or before the day of the booking, else the first, since
-- finance may book before the CRM is told. A reversal goes where the booking went that it takes back.
with

bookings as (
    select
        revenue_key, booked_date, placed_opportunity_key,
        cast(original_booked_at as date) as original_booked_date,
        {{ cents('amount_rc') }} as booked_cents
    from {{ ref('int_revenue__converted') }}
    where held_reason is null
        and is_booking
),

opportunities as (
    select * from {{ ref('int_deals__opportunities') }}
),

-- what is booked for a deal that was merged away is the survivor's
with_deal as (
    select
        bookings.*,
        survivors.opportunity_key,
        coalesce(survivors.is_deleted, false) or coalesce(survivors.is_test, false) as is_excluded
    from bookings
    left join opportunities on bookings.placed_opportunity_key = opportunities.opportunity_key
    left join opportunities as survivors on opportunities.survivor_opportunity_key = survivors.opportunity_key
),

conversions as (
    select
        conversion_key, opportunity_key, reversed_at, primary_model, nth_win,
        cast(conversion_at as date) as won_date
    from {{ ref('int_attribution__conversions') }}
    where conversion_type = 'won'
),

candidates as (
    select
        with_deal.revenue_key,
        conversions.*,
        row_number() over (
            partition by with_deal.revenue_key
            order by
                case when conversions.won_date <= with_deal.original_booked_date then 0 else 1 end asc,
                case when conversions.won_date <= with_deal.original_booked_date then -conversions.nth_win else conversions.nth_win end asc
        ) as nth
    from with_deal
    inner join conversions on with_deal.opportunity_key = conversions.opportunity_key
),

agreement as (
    select * from {{ ref('int_attribution__agreement') }}
    where conversion_type = 'won'
)

select
    with_deal.revenue_key,
    with_deal.booked_date,
    with_deal.booked_cents,
    candidates.conversion_key,
    candidates.reversed_at is not null as is_win_reversed,
    coalesce(candidates.primary_model, agreement.primary_model) as primary_model,
    case
        when candidates.conversion_key is not null then null
        when with_deal.opportunity_key is null then 'no_deal'
        when with_deal.is_excluded then 'excluded_deal'
        else 'never_won'
    end as unattributed_reason
from with_deal
left join candidates
    on with_deal.revenue_key = candidates.revenue_key
    and candidates.nth = 1
inner join agreement
    on with_deal.booked_date >= agreement.valid_from
    and with_deal.booked_date < agreement.valid_to
