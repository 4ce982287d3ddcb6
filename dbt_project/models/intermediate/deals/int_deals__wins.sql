-- A win lasts until the deal is opened again; of a deal that is won now the last one stands.
with

stages as (
    select
        *,
        coalesce(lag(is_won) over (partition by opportunity_key order by valid_from), false) as was_won
    from {{ ref('int_deals__stage_history') }}
),

turns as (
    select
        opportunity_key, is_won,
        entered_at as won_at,
        lead(valid_from) over (partition by opportunity_key order by valid_from) as reversed_at
    from stages
    where is_won <> was_won
)

select
    opportunity_key,
    row_number() over (partition by opportunity_key order by won_at) as nth_win,
    won_at,
    reversed_at
from turns
where is_won
