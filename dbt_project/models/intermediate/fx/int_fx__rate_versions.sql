with

events as (
    select
        source_system, base_currency, quote_currency, rate_date, rate, known_at,
        sum(rows_delta) as rows_delta
    from {{ ref('int_fx__rate_events') }}
    group by source_system, base_currency, quote_currency, rate_date, rate, known_at
    having sum(rows_delta) <> 0
),

states as (
    select
        *,
        sum(rows_delta) over (
            partition by source_system, base_currency, quote_currency, rate_date, rate
            order by known_at rows unbounded preceding
        ) as rows_known,
        lead(known_at) over (
            partition by source_system, base_currency, quote_currency, rate_date, rate order by known_at
        ) as known_to
    from events
),

known as (
    select
        source_system, base_currency, quote_currency, rate_date, rate,
        cast(cast(rate as decimal(28, 9)) * cast(1000000000 as decimal(10, 0)) as bigint) as rate_in_billionths,
        known_at as known_from,
        coalesce(known_to, {{ end_of_time() }}) as known_to
    from states
    where rows_known > 0
),

towards_reporting as (
    select
        base_currency as currency, rate_date, rate as fx_rate, false as is_inverse, source_system, known_from, known_to
    from known
    where quote_currency = {{ sql_text(var('reporting_currency')) }}

    union all

    -- 1 / rate, rounded half up at the ninth decimal, in whole billionths: a DOUBLE would lose the last digits
    select
        quote_currency as currency,
        rate_date,
        try_cast(
            cast({{ integer_divide(
                '2000000000000000000 + rate_in_billionths', '2 * rate_in_billionths'
            ) }} as decimal(28, 0)) * cast('0.000000001' as decimal(10, 9))
            as decimal(18, 9)
        ) as fx_rate,
        true as is_inverse,
        source_system,
        known_from,
        known_to
    from known
    where base_currency = {{ sql_text(var('reporting_currency')) }}
)

select
    currency,
    rate_date,
    fx_rate,
    is_inverse,
    source_system,
    known_from,
    known_to
from towards_reporting
where fx_rate > 0
    and currency <> {{ sql_text(var('reporting_currency')) }}
