-- The same credit to every touch of the path.
select
    conversion_key,
    touch_key,
    position,
    1 as numerator,
    path_length as denominator
from {{ ref('int_attribution__paths') }}
where is_in_lookback
