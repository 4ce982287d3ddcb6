-- A published rate appears (+1) and disappears (-1); what one load takes away and gives back is no event.
with

rates as (
    select * from {{ ref('int_conformed__fx_rates') }}
),

cells as (
    select * from {{ ref('int_conformed__cells') }}
    where contract = 'fx_rates'
),

known as (
    select
        rates.source_system, rates.base_currency, rates.quote_currency, rates.rate_date, rates.rate, rates._load_seq,
        cells.known_from, cells.known_to, cells.closed_by_load_seq
    from rates
    inner join cells
        on rates._load_id = cells._load_id
        and rates._cell = cells._cell
),

events as (
    select source_system, base_currency, quote_currency, rate_date, rate, known_from as known_at, _load_seq as load_seq, 1 as rows_delta
    from known
    union all
    select source_system, base_currency, quote_currency, rate_date, rate, known_to as known_at, closed_by_load_seq as load_seq, -1 as rows_delta
    from known
    where known_to is not null
)

select
    source_system,
    base_currency,
    quote_currency,
    rate_date,
    rate,
    known_at,
    load_seq,
    cast(sum(rows_delta) as bigint) as rows_delta
from events
group by source_system, base_currency, quote_currency, rate_date, rate, known_at, load_seq
having sum(rows_delta) <> 0
