-- An opportunity enters its first stage when it is created, whatever the log says of the time before.
with

opportunities as (
    select * from {{ ref('int_deals__opportunities') }}
),

history as (
    select * from {{ ref('int_deals__field_history') }}
    where field = 'stage'
),

stages as (
    select * from {{ ref('int_deals__stages') }}
)

select
    history.opportunity_key,
    history.value as stage,
    case when history.valid_from = {{ beginning_of_time() }} then opportunities.created_at else history.valid_from end as entered_at,
    history.valid_from,
    history.valid_to,
    coalesce(stages.is_won, false) as is_won,
    coalesce(stages.is_lost, false) as is_lost,
    coalesce(stages.is_won or stages.is_lost, false) as is_closed
from history
inner join opportunities on history.opportunity_key = opportunities.opportunity_key
left join stages on history.value = stages.stage
