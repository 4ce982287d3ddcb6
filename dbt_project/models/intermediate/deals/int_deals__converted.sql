-- What is closed is worth the rate of the day on which it was closed, what is open that of today.
with

opportunities as (
    select
        opportunities.*,
        closings.is_won,
        closings.is_lost,
        closings.is_closed,
        closings.closed_at,
        closings.reopen_count,
        closings.push_count,
        cast(coalesce(closings.closed_at, {{ as_of() }}) as date) as valued_on
    from {{ ref('int_deals__opportunities') }} as opportunities
    inner join {{ ref('int_deals__closings') }} as closings on opportunities.opportunity_key = closings.opportunity_key
),

rates as (
    select * from {{ ref('int_fx__rates') }}
)

select
    opportunities.*,
    {{ booked_to_the_cent('opportunities.amount', 'rates.fx_rate') }} as amount_rc,
    rates.fx_rate,
    rates.fx_date,
    rates.is_fx_carried,
    opportunities.amount is not null and rates.fx_rate is null as is_unconverted
from opportunities
left join rates
    on opportunities.currency = rates.currency
    and opportunities.valued_on = rates.wanted_on
