-- Per conversion and model: exactly 1,000,000 millionths, exactly the booked cents, for every model the same conversions.
with

credit as (
    select
        conversion_key,
        model,
        sum(weight_micro) as weight_micro,
        sum(credited_amount_rc) as credited_amount_rc
    from {{ ref('fct_credit') }}
    group by conversion_key, model
),

conversions as (
    select
        conversion_key,
        {{ from_cents('booked_cents') }} as booked_amount_rc
    from {{ ref('int_attribution__conversions') }}
),

expected as (
    {% for model in var('attribution_models') -%}
    select conversion_key, booked_amount_rc, '{{ model }}' as model from conversions
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    expected.conversion_key,
    expected.model,
    credit.weight_micro,
    credit.credited_amount_rc,
    expected.booked_amount_rc
from expected
full outer join credit
    on expected.conversion_key = credit.conversion_key
    and expected.model = credit.model
where credit.weight_micro is null
    or expected.conversion_key is null
    or credit.weight_micro <> 1000000
    or coalesce(credit.credited_amount_rc, 0) <> coalesce(expected.booked_amount_rc, 0)
