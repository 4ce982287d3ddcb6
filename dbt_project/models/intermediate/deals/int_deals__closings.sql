-- How an opportunity stands, how often it was closed before and how often its date moved on.
with

opportunities as (
    select opportunity_key from {{ ref('int_deals__opportunities') }}
),

stages as (
    select * from {{ ref('int_deals__stage_history') }}
),

dates as (
    select
        *,
        lag(value) over (partition by opportunity_key order by valid_from) as value_before
    from {{ ref('int_deals__field_history') }}
    where field = 'close_date'
),

-- dates as YYYY-MM-DD sort as text
moved_on as (
    select opportunity_key, valid_from as moved_at
    from dates
    where value > value_before
),

-- the date that a closing or a re-opening sets is no push: before and after it the opportunity was open
pushes as (
    select moved_on.opportunity_key, count(*) as push_count
    from moved_on
    inner join stages as after_move
        on moved_on.opportunity_key = after_move.opportunity_key
        and moved_on.moved_at >= after_move.valid_from
        and moved_on.moved_at < after_move.valid_to
        and not after_move.is_closed
    inner join stages as before_move
        on moved_on.opportunity_key = before_move.opportunity_key
        and moved_on.moved_at > before_move.valid_from
        and moved_on.moved_at <= before_move.valid_to
        and not before_move.is_closed
    group by moved_on.opportunity_key
),

current_stages as (
    select * from stages
    where valid_to = {{ end_of_time() }}
),

closed_before as (
    select opportunity_key, count(*) as reopen_count
    from stages
    where is_closed
        and valid_to < {{ end_of_time() }}
    group by opportunity_key
)

select
    opportunities.opportunity_key,
    coalesce(current_stages.is_won, false) as is_won,
    coalesce(current_stages.is_lost, false) as is_lost,
    coalesce(current_stages.is_closed, false) as is_closed,
    case when current_stages.is_closed then current_stages.entered_at end as closed_at,
    coalesce(closed_before.reopen_count, 0) as reopen_count,
    coalesce(pushes.push_count, 0) as push_count
from opportunities
left join current_stages on opportunities.opportunity_key = current_stages.opportunity_key
left join closed_before on opportunities.opportunity_key = closed_before.opportunity_key
left join pushes on opportunities.opportunity_key = pushes.opportunity_key
