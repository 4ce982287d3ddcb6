-- 1,000,000 micro per conversion and model, as integers. A conversion without a touch keeps one row that says why.
with

shares as (
    {% for model in var('attribution_models') -%}
    select
        '{{ model }}' as model, conversion_key, touch_key, cast(position as bigint) as position,
        cast(numerator as bigint) as numerator, cast(denominator as bigint) as denominator, cast(1000000 as bigint) as whole
    from {{ ref('int_attribution__' ~ model) }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

weights as (
    {{ apportioned('shares', ['model', 'conversion_key']) }}
),

models as (
    {{ attribution_models() }}
),

older as (
    select distinct conversion_key from {{ ref('int_attribution__paths') }}
    where not is_in_lookback
),

missing as (
    select
        models.model,
        conversions.conversion_key,
        case
            when conversions.unit_key is null then 'no_identity'
            when older.conversion_key is not null then 'outside_lookback'
            else 'no_touch'
        end as unattributed_reason
    from {{ ref('int_attribution__conversions') }} as conversions
    cross join models
    left join weights
        on conversions.conversion_key = weights.conversion_key
        and models.model = weights.model
    left join older on conversions.conversion_key = older.conversion_key
    where weights.conversion_key is null
)

select
    model, conversion_key, touch_key, position,
    units as weight_micro,
    cast(null as {{ dbt.type_string() }}) as unattributed_reason
from weights

union all

select
    model, conversion_key, '-1' as touch_key, cast(0 as bigint) as position, cast(1000000 as bigint) as weight_micro,
    unattributed_reason
from missing
