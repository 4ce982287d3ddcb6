-- Per currency and wanted day, without gaps in known time, the rate that a reader would have used; null where there was none.
with

wanted as (
    select currency, wanted_on from {{ ref('int_fx__wanted') }}
),

rates as (
    select * from {{ ref('int_fx__rate_versions') }}
),

candidates as (
    select
        wanted.currency, wanted.wanted_on, rates.rate_date, rates.fx_rate, rates.is_inverse, rates.source_system,
        rates.known_from, rates.known_to
    from wanted
    inner join rates
        on wanted.currency = rates.currency
        and wanted.wanted_on >= rates.rate_date
        and cast({{ dbt.dateadd('day', -var('fx_carry_days'), 'wanted.wanted_on') }} as date) <= rates.rate_date
    where wanted.currency <> {{ sql_text(var('reporting_currency')) }}
),

moments as (
    select currency, wanted_on, {{ beginning_of_time() }} as known_from from wanted
    union
    select currency, wanted_on, known_from from candidates
    union
    select currency, wanted_on, known_to from candidates
    where known_to < {{ end_of_time() }}
),

best as (
    select
        moments.currency, moments.wanted_on, moments.known_from, candidates.rate_date, candidates.fx_rate,
        row_number() over (
            partition by moments.currency, moments.wanted_on, moments.known_from
            -- the youngest rate; a published direction before a computed one; then any order, as long as it is one order
            order by candidates.rate_date desc nulls last, candidates.is_inverse asc, candidates.source_system asc, candidates.fx_rate asc
        ) as nth
    from moments
    left join candidates
        on moments.currency = candidates.currency
        and moments.wanted_on = candidates.wanted_on
        and moments.known_from >= candidates.known_from
        and moments.known_from < candidates.known_to
),

compared as (
    select
        currency, wanted_on, known_from, rate_date, fx_rate,
        lag(known_from) over (partition by currency, wanted_on order by known_from) as known_before,
        lag(rate_date) over (partition by currency, wanted_on order by known_from) as rate_date_before,
        lag(fx_rate) over (partition by currency, wanted_on order by known_from) as fx_rate_before
    from best
    where nth = 1
),

changes as (
    select currency, wanted_on, known_from, rate_date, fx_rate
    from compared
    where known_before is null
        or rate_date is distinct from rate_date_before
        or fx_rate is distinct from fx_rate_before
)

select
    currency,
    wanted_on,
    case
        when currency = {{ sql_text(var('reporting_currency')) }} then cast(1 as decimal(18, 9))
        else fx_rate
    end as fx_rate,
    case when currency = {{ sql_text(var('reporting_currency')) }} then wanted_on else rate_date end as fx_date,
    case when currency = {{ sql_text(var('reporting_currency')) }} then false else rate_date < wanted_on end as is_fx_carried,
    known_from,
    coalesce(lead(known_from) over (partition by currency, wanted_on order by known_from), {{ end_of_time() }}) as known_to
from changes
