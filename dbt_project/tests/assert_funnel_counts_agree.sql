-- The reports count what the facts hold: cohorts of the entry step are the journeys, first entries of a step the log's.
with

cohorts as (
    select entry_step as step, sum(reached_journeys) as journeys
    from {{ ref('rpt_funnel') }}
    where cohort_step = entry_step
        and step = entry_step
        and step <> 'won'
    group by entry_step
),

journeys as (
    select entry_step as step, count(*) as journeys
    from {{ ref('fct_journey') }}
    where not is_excluded
        and entry_step <> 'won'
    group by entry_step
),

activity as (
    select step, sum(entries) as entries, sum(reversals) as reversals
    from {{ ref('rpt_funnel_activity') }}
    group by step
),

entries as (
    select
        step,
        sum(case when attempt_no = 1 or step = 'won' then 1 else 0 end) as entries,
        sum(case when reversed_at is not null then 1 else 0 end) as reversals
    from {{ ref('fct_funnel_step') }}
    where not is_excluded
    group by step
),

net_wins as (
    select coalesce(sum(net_entries), 0) as net_wins
    from {{ ref('rpt_funnel_activity') }}
    where step = 'won'
),

won_journeys as (
    select count(*) as won_journeys
    from {{ ref('fct_journey') }}
    where is_reached_won
        and not is_excluded
)

select 'cohorts' as what, journeys.step
from journeys
left join cohorts on journeys.step = cohorts.step
where cohorts.journeys is null
    or cohorts.journeys <> journeys.journeys

union all

select 'activity' as what, entries.step
from entries
left join activity on entries.step = activity.step
where activity.entries is null
    or activity.entries <> entries.entries
    or activity.reversals <> entries.reversals

union all

select 'wins' as what, 'won' as step
from net_wins
cross join won_journeys
where net_wins.net_wins <> won_journeys.won_journeys
