-- What is credited: a lead when it is created, a deal each time it is won. A win that was taken back is kept, because what was
-- booked for it, and what takes that back, is credited by its path.
with

leads as (
    {{ one_record_each('leads') }}
),

persons as (
    select * from {{ ref('int_identity__persons') }}
),

wins as (
    select
        opportunities.opportunity_key, opportunities.source_system, opportunities.opportunity_id, opportunities.created_at,
        nullif(opportunities.account_key, '-1') as account_key,
        wins.nth_win, wins.won_at, wins.reversed_at
    from {{ ref('int_deals__opportunities') }} as opportunities
    inner join {{ ref('int_deals__wins') }} as wins on opportunities.opportunity_key = wins.opportunity_key
    where not coalesce(opportunities.is_deleted, false)
        and not coalesce(opportunities.is_test, false)
        and not opportunities.is_merged
),

agreement as (
    select * from {{ ref('int_attribution__agreement') }}
),

conversions as (
    select
        'lead' as conversion_type,
        leads.lead_id as record_id,
        leads.source_system,
        leads.created_at as conversion_at,
        leads.created_at as journey_began_at,
        cast(null as timestamp) as reversed_at,
        persons.person_key,
        cast(null as {{ dbt.type_string() }}) as account_key,
        cast(null as {{ dbt.type_string() }}) as opportunity_key,
        cast(null as bigint) as nth_win
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
        -- the same deal once more
        opportunity_id || case when nth_win > 1 then '#' || cast(nth_win as {{ dbt.type_string() }}) else '' end as record_id,
        source_system,
        won_at as conversion_at,
        created_at as journey_began_at,
        reversed_at,
        cast(null as {{ dbt.type_string() }}) as person_key,
        account_key,
        opportunity_key,
        nth_win
    from wins
)

select
    {{ surrogate_key(['conversions.conversion_type', 'conversions.source_system', 'conversions.record_id']) }} as conversion_key,
    conversions.conversion_type,
    conversions.conversion_type || ':' || conversions.record_id as conversion_id,
    conversions.conversion_at,
    conversions.journey_began_at,
    conversions.reversed_at,
    conversions.person_key,
    conversions.account_key,
    conversions.opportunity_key,
    conversions.nth_win,
    agreement.path_unit,
    case agreement.path_unit when 'person' then conversions.person_key when 'account' then conversions.account_key end as unit_key,
    agreement.lookback_days,
    agreement.conversion_grace_seconds,
    agreement.primary_model
from conversions
inner join agreement
    on conversions.conversion_type = agreement.conversion_type
    and cast(conversions.conversion_at as date) >= agreement.valid_from
    and cast(conversions.conversion_at as date) < agreement.valid_to
