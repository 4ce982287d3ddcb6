{{ config(**by_partition('spend_date', affected='int_spend__affected_dates')) }}

-- A version of a spend row meets each version of its rate; where no rate was known, the money is kept without a conversion.
-- The casts to 19 digits keep DuckDB from multiplying in 64 bits; wider ones would cost Spark decimals.
with

spend as (
    select * from {{ ref('int_spend__levels') }}
    {{ only_affected_dates() }}
),

rates as (
    select * from {{ ref('int_fx__rates_known') }}
),

-- a parent whose parts explain it wholly leaves no residual
without_empty_residuals as (
    select *
    from spend
    where level <> 'residual'
        or spend_amount <> 0
        {%- for name in optional_measures() %}
        or coalesce({{ name }}, 0) <> 0
        {%- endfor %}
)

select
    spend.grain_key,
    {%- for name in spend_grain() %}
    spend.{{ name }},
    {%- endfor %}
    spend.spend_amount,
    cast(round(cast(spend.spend_amount as decimal(19, 6)) * rates.fx_rate, 6) as decimal(18, 6)) as spend_amount_rc,
    {%- for name in optional_measures() %}
    spend.{{ name }},
    {%- endfor %}
    cast(round(cast(spend.claimed_value_amount as decimal(19, 6)) * rates.fx_rate, 6) as decimal(18, 6)) as claimed_value_amount_rc,
    rates.fx_rate,
    rates.fx_date,
    rates.is_fx_carried,
    greatest(spend.known_from, rates.known_from) as known_from,
    least(spend.known_to, rates.known_to) as known_to,
    spend._load_id
from without_empty_residuals as spend
inner join rates
    on spend.currency = rates.currency
    and spend.spend_date = rates.wanted_on
    and spend.known_from < rates.known_to
    and spend.known_to > rates.known_from
