-- Per conversion and model exactly 1,000,000 millionths, and for every model the same conversions.
with

models as (
    {{ attribution_models() }}
),

credit as (
    select conversion_key, model, sum(weight_micro) as weight_micro
    from {{ ref('fct_credit') }}
    group by conversion_key, model
),

expected as (
    select conversions.conversion_key, models.model
    from {{ ref('int_attribution__conversions') }} as conversions
    cross join models
    where conversions.reversed_at is null
)

select
    coalesce(expected.conversion_key, credit.conversion_key) as conversion_key,
    coalesce(expected.model, credit.model) as model,
    credit.weight_micro
from expected
full outer join credit
    on expected.conversion_key = credit.conversion_key
    and expected.model = credit.model
where credit.weight_micro is null
    or expected.conversion_key is null
    or credit.weight_micro <> 1000000
