-- What is credited: a lead when it is created, a deal when it is won and as long as it stays won.
with

leads as (
    {{ current_records('leads') }}
),

persons as (
    select * from {{ ref('int_identity__persons') }}
),

deals as (
    select
        opportunities.opportunity_key, opportunities.source_system, opportunities.opportunity_id, opportunities.created_at,
        nullif(opportunities.account_key, '-1') as account_key,
        closings.closed_at as won_at
    from {{ ref('int_deals__opportunities') }} as opportunities
    inner join {{ ref('int_deals__closings') }} as closings
        on opportunities.opportunity_key = closings.opportunity_key
        and closings.is_won
    where not coalesce(opportunities.is_deleted, false)
        and not coalesce(opportunities.is_test, false)
        and not opportunities.is_merged
),

-- what a reversal took back is not booked any more; later losses of a contract are no part of the deal
bookings as (
    select
        opportunity_key,
        sum({{ cents('amount_rc') }}) as booked_cents
    from {{ ref('int_revenue__converted') }}
    where held_reason is null
        and event_type in ('new', 'expansion', 'renewal', 'reversal')
    group by opportunity_key
),

parameters as (
    select
        *,
        coalesce(lead(valid_from) over (partition by conversion_type order by valid_from), cast('9999-12-31' as date)) as valid_to
    from {{ ref('attribution_parameters') }}
),

conversions as (
    select
        'lead' as conversion_type,
        leads.lead_id as record_id,
        leads.source_system,
        leads.created_at as conversion_at,
        leads.created_at as journey_began_at,
        persons.person_key,
        cast(null as {{ dbt.type_string() }}) as account_key,
        cast(null as {{ dbt.type_string() }}) as opportunity_key,
        cast(null as bigint) as booked_cents
    from leads
    left join persons
        on leads.source_system = persons.source_system
        and persons.record_type = 'lead'
        and leads.lead_id = persons.record_id
    where not coalesce(leads.is_deleted, false)
        and not coalesce(leads.is_test, false)
        and leads.created_at <= {{ as_of() }}

    union all

    select
        'won' as conversion_type,
        deals.opportunity_id as record_id,
        deals.source_system,
        deals.won_at as conversion_at,
        deals.created_at as journey_began_at,
        cast(null as {{ dbt.type_string() }}) as person_key,
        deals.account_key,
        deals.opportunity_key,
        cast(coalesce(bookings.booked_cents, 0) as bigint) as booked_cents
    from deals
    left join bookings on deals.opportunity_key = bookings.opportunity_key
)

select
    {{ surrogate_key(['conversions.conversion_type', 'conversions.source_system', 'conversions.record_id']) }} as conversion_key,
    conversions.conversion_type,
    conversions.conversion_type || ':' || conversions.record_id as conversion_id,
    conversions.conversion_at,
    conversions.journey_began_at,
    conversions.person_key,
    conversions.account_key,
    conversions.opportunity_key,
    conversions.booked_cents,
    parameters.path_unit,
    case parameters.path_unit when 'person' then conversions.person_key when 'account' then conversions.account_key end as unit_key,
    parameters.lookback_days,
    parameters.conversion_grace_seconds,
    parameters.primary_model
from conversions
inner join parameters
    on conversions.conversion_type = parameters.conversion_type
    and cast(conversions.conversion_at as date) >= parameters.valid_from
    and cast(conversions.conversion_at as date) < parameters.valid_to
