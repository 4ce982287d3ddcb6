-- All credit to the last touch of the path.
select
    conversion_key,
    touch_key,
    position,
    1 as numerator,
    1 as denominator
from {{ ref('int_attribution__paths') }}
where is_in_lookback
    and position = path_length
