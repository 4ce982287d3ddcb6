{#
    Credit as integers: per conversion and model 1,000,000 micro, and from these weights the booked cents, each apportioned on
    its own, so that both sum exactly. A conversion without a touch keeps one row that says why.
#}
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

conversions as (
    select * from {{ ref('int_attribution__conversions') }}
),

-- a negative booking is apportioned by its size and then negated
cents_to_share as (
    select
        weights.model, weights.conversion_key, weights.touch_key, weights.position,
        weights.units as weight_micro,
        weights.units as numerator,
        cast(1000000 as bigint) as denominator,
        abs(conversions.booked_cents) as whole,
        case when conversions.booked_cents < 0 then -1 else 1 end as sign
    from weights
    inner join conversions on weights.conversion_key = conversions.conversion_key
),

credited as (
    {{ apportioned('cents_to_share', ['model', 'conversion_key']) }}
),

models as (
    {% for model in var('attribution_models') -%}
    select '{{ model }}' as model
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

older as (
    select distinct conversion_key from {{ ref('int_attribution__paths') }}
    where not is_in_lookback
),

missing as (
    select
        models.model,
        conversions.conversion_key,
        conversions.booked_cents,
        case
            when conversions.unit_key is null then 'no_identity'
            when older.conversion_key is not null then 'outside_lookback'
            else 'no_touch'
        end as unattributed_reason
    from conversions
    cross join models
    left join credited
        on conversions.conversion_key = credited.conversion_key
        and models.model = credited.model
    left join older on conversions.conversion_key = older.conversion_key
    where credited.conversion_key is null
)

select
    model, conversion_key, touch_key, position, weight_micro,
    case when whole is null then null else sign * units end as credited_cents,
    cast(null as {{ dbt.type_string() }}) as unattributed_reason
from credited

union all

select
    model, conversion_key, '-1' as touch_key, cast(0 as bigint) as position, cast(1000000 as bigint) as weight_micro,
    booked_cents as credited_cents,
    unattributed_reason
from missing
