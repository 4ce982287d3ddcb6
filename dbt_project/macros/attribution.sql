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
            {{ integer_divide('shares.whole * shares.numerator', 'shares.denominator') }} as floor_units,
            shares.whole * shares.numerator - {{ integer_divide('shares.whole * shares.numerator', 'shares.denominator') }} * shares.denominator as remainder
        from {{ relation }} as shares
    ) as floors
{%- endmacro %}
