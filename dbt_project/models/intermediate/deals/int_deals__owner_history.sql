with

history as (
    select opportunities.source_system, history.opportunity_key, history.value as user_id, history.valid_from, history.valid_to
    from {{ ref('int_deals__field_history') }} as history
    inner join {{ ref('int_deals__opportunities') }} as opportunities on history.opportunity_key = opportunities.opportunity_key
    where history.field = 'owner'
),

reps as (
    select * from {{ ref('int_company__reps') }}
),

with_owner as (
    {{ with_key('history', 'user_id', 'reps', 'user_id', 'rep_key', 'rep_key') }}
)

select
    opportunity_key,
    rep_key,
    user_id,
    valid_from,
    valid_to
from with_owner
