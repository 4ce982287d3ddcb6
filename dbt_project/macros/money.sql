{# An amount in the reporting currency, to six decimals. The cast to 19 digits keeps DuckDB from multiplying in 64 bits. #}
{% macro converted(amount, rate) -%}
    cast(round(cast({{ amount }} as decimal(19, 6)) * {{ rate }}, 6) as decimal(18, 6))
{%- endmacro %}


{# What is booked is whole cents; the type is that of all money, so that one column name has one type. #}
{% macro booked_to_the_cent(amount, rate) -%}
    cast(round({{ converted(amount, rate) }}, 2) as decimal(18, 6))
{%- endmacro %}


{# Money in whole cents. #}
{% macro cents(amount) -%}
    cast(round(cast({{ amount }} as decimal(18, 6)) * 100, 0) as bigint)
{%- endmacro %}


{% macro from_cents(cents) -%}
    cast(cast({{ cents }} as decimal(18, 0)) * cast('0.01' as decimal(3, 2)) as decimal(18, 6))
{%- endmacro %}


{#
    Largest remainder over integers, in two parts: the whole share of each member, and what it had left over. The total is
    split into whole turns of the weights and a rest first, so that no product leaves 64 bits. Weights are not negative.
#}
{% macro whole_share(total, weight, weights) -%}
    (
        {{ integer_divide('abs(' ~ total ~ ')', weights) }} * {{ weight }}
        + {{ integer_divide('(abs(' ~ total ~ ') % ' ~ weights ~ ') * ' ~ weight, weights) }}
    )
{%- endmacro %}


{% macro left_over(total, weight, weights) -%}
    (((abs({{ total }}) % {{ weights }}) * {{ weight }}) % {{ weights }})
{%- endmacro %}


{#
    Shares of a whole in whole units, without losing or inventing one: each gets the floor of its share, and what is left goes
    one by one to the largest remainders, ties to the earlier touch.

    `relation` has `parts` (the columns that name a whole), `whole` (how many units, an integer), `numerator` and `denominator`
    (integers; the numerators of a whole add up to its denominator) and `position`. The result adds `units`.
#}
{% macro apportioned(relation, parts) -%}
    select
        floors.*,
        floors.floor_units + case
            when
                row_number() over (
                    partition by {{ parts | join(', ') }} order by floors.remainder desc, floors.position asc
                ) <= floors.whole - sum(floors.floor_units) over (partition by {{ parts | join(', ') }})
                then 1
            else 0
        end as units
    from (
        select
            shares.*,
            {{ whole_share('shares.whole', 'shares.numerator', 'shares.denominator') }} as floor_units,
            {{ left_over('shares.whole', 'shares.numerator', 'shares.denominator') }} as remainder
        from {{ relation }} as shares
    ) as floors
{%- endmacro %}
