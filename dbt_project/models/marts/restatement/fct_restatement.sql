-- Both metrics go the same way: the two versions of each row side by side, the cause of the difference, and then sums per day.
with

version_before as (
    select as_of as previous_as_of from {{ ref('int_quality__version_before') }}
    where as_of < {{ as_of() }}
),

sources as (
    select * from {{ ref('int_quality__sources') }}
),

spend as (
    select
        fact.*,
        version_before.previous_as_of,
        version_before.previous_as_of >= fact.known_from and version_before.previous_as_of < fact.known_to as was_current
    from {{ ref('fct_ad_spend') }} as fact
    cross join version_before
),

-- a row that only moved to another channel or campaign has not changed
spend_rows as (
    select
        source_system, spend_date, previous_as_of,
        sum(case when was_current then spend_amount end) as before_amount,
        sum(case when is_current then spend_amount end) as amount,
        sum(case when was_current then spend_amount_rc end) as before_amount_rc,
        sum(case when is_current then spend_amount_rc end) as amount_rc
    from spend
    where was_current
        or is_current
    group by
        source_system, stream, ad_account_id, level, campaign_id, ad_group_id, ad_id, currency, spend_date, previous_as_of
),

-- the last day that readers of the version before had anything of
reported as (
    select source_system, max(case when was_current then spend_date end) as last_date
    from spend
    group by source_system
),

spend_changes as (
    select
        'spend' as metric,
        spend_rows.source_system,
        spend_rows.spend_date as before_date,
        spend_rows.spend_date as amount_date,
        spend_rows.before_amount_rc,
        spend_rows.amount_rc,
        case
            when spend_rows.before_amount_rc = spend_rows.amount_rc then null
            when spend_rows.before_amount is null and (reported.last_date is null or spend_rows.spend_date > reported.last_date)
                then 'new_day'
            when spend_rows.before_amount is null then 'late'
            when spend_rows.before_amount = spend_rows.amount then 'rate'
            -- what was final then: days become final as time goes by
            when cast(spend_rows.previous_as_of as date)
                > cast({{ dbt.dateadd('day', 'coalesce(sources.final_after_days, 0)', 'spend_rows.spend_date') }} as date)
                then 'corrected'
            else 'restated'
        end as cause
    from spend_rows
    inner join reported on spend_rows.source_system = reported.source_system
    left join sources on spend_rows.source_system = sources.source_system
),

rates as (
    select rates.*, version_before.previous_as_of
    from {{ ref('int_fx__rates_known') }} as rates
    inner join version_before
        on rates.known_from <= version_before.previous_as_of
        and rates.known_to > version_before.previous_as_of
),

-- what stood in the mart then: bookings, over at the moment of the run, with a rate
bookings_before as (
    select
        events.revenue_key, events.source_system, events.booked_date, events.amount, events.currency,
        {{ booked_to_the_cent('events.amount', 'rates.fx_rate') }} as amount_rc
    from {{ ref('int_revenue__events_before') }} as events
    inner join rates
        on events.currency = rates.currency
        and events.booked_date = rates.wanted_on
        and events.booked_at <= rates.previous_as_of
    where rates.fx_rate is not null
        and events.original_event_type in ('new', 'renewal', 'expansion', 'reversal')
),

bookings_now as (
    select
        facts.revenue_key, facts.source_system, facts.booked_date, facts.booked_at, facts.booked_amount as amount, facts.currency,
        facts.booked_amount_rc as amount_rc, version_before.previous_as_of
    from {{ ref('fct_revenue') }} as facts
    cross join version_before
    where facts.is_booking
),

booking_changes as (
    select
        'bookings' as metric,
        coalesce(bookings_now.source_system, bookings_before.source_system) as source_system,
        bookings_before.booked_date as before_date,
        bookings_now.booked_date as amount_date,
        bookings_before.amount_rc as before_amount_rc,
        bookings_now.amount_rc,
        case
            when bookings_before.amount_rc = bookings_now.amount_rc and bookings_before.booked_date = bookings_now.booked_date then null
            when bookings_before.revenue_key is null and bookings_now.booked_at > bookings_now.previous_as_of then 'new_day'
            when bookings_before.revenue_key is null then 'late'
            when bookings_before.amount = bookings_now.amount
                and bookings_before.currency = bookings_now.currency
                and bookings_before.booked_date = bookings_now.booked_date
                then 'rate'
            else 'restated'
        end as cause
    from bookings_now
    full outer join bookings_before on bookings_now.revenue_key = bookings_before.revenue_key
),

changes as (
    select * from spend_changes
    where cause is not null
    union all
    select * from booking_changes
    where cause is not null
),

-- what moved from one day to another is taken off here and added there
sides as (
    select
        metric, source_system, before_date as amount_date, cause, before_amount_rc,
        cast(0 as decimal(18, 6)) as amount_rc
    from changes
    where before_amount_rc is not null
    union all
    select
        metric, source_system, amount_date, cause,
        cast(0 as decimal(18, 6)) as before_amount_rc,
        amount_rc
    from changes
    where amount_rc is not null
),

summed as (
    select
        metric, source_system, amount_date, cause,
        sum(before_amount_rc) as before_amount_rc,
        sum(amount_rc) as amount_rc
    from sides
    group by metric, source_system, amount_date, cause
)

select
    {{ surrogate_key(['metric', 'source_system', 'amount_date', 'cause']) }} as restatement_key,
    cast(metric as {{ dbt.type_string() }}) as metric,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(amount_date as date) as amount_date,
    cast(cause as {{ dbt.type_string() }}) as cause,
    cast(before_amount_rc as decimal(18, 6)) as before_amount_rc,
    cast(amount_rc as decimal(18, 6)) as amount_rc,
    cast(amount_rc - before_amount_rc as decimal(18, 6)) as change_amount_rc,
    cast({{ sql_text(var('reporting_currency')) }} as {{ dbt.type_string() }}) as reporting_currency
from summed
