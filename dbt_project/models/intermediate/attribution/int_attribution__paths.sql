{#
    The path of each conversion: the unit's touches between the start of its journey's path and the conversion, within the
    agreed lookback. A win of another deal before this one was created ends the path that came before it, unless it was taken
    back; deals that are open at the same time share their touches, and each is credited in full.
#}
with

conversions as (
    select * from {{ ref('int_attribution__conversions') }}
),

touches as (
    select * from {{ ref('int_touch__resolved') }}
    where exclude_reason is null
        and is_response
),

-- the unit that a touch belongs to, once as a person and once as an account
units as (
    select *, 'person' as path_unit, person_key as unit_key from touches
    where person_key is not null
    union all
    select *, 'account' as path_unit, account_key as unit_key from touches
    where account_key is not null
),

earlier as (
    select
        conversions.conversion_key,
        max(others.conversion_at) as path_start
    from conversions
    inner join conversions as others
        on conversions.conversion_type = others.conversion_type
        and conversions.unit_key = others.unit_key
        and conversions.journey_began_at > others.conversion_at
        and others.reversed_at is null
    group by conversions.conversion_key
),

bounded as (
    select
        conversions.*,
        coalesce(earlier.path_start, {{ beginning_of_time() }}) as path_start,
        {{ dbt.dateadd('day', '-conversions.lookback_days', 'conversions.conversion_at') }} as lookback_start
    from conversions
    left join earlier on conversions.conversion_key = earlier.conversion_key
),

met as (
    select
        bounded.conversion_key,
        units.touch_key,
        units.occurred_at,
        units.touch_type_rank,
        units.touch_id,
        units.occurred_at >= bounded.lookback_start as is_in_lookback,
        -- the same campaign and channel twice on one day is one touch
        row_number() over (
            partition by
                bounded.conversion_key, units.occurred_at >= bounded.lookback_start, units.person_key, units.channel,
                coalesce(units.campaign_key, units.crm_campaign_id, '-1'), units.touch_date
            order by units.occurred_at, units.touch_type_rank, units.touch_id
        ) as nth_of_day
    from bounded
    inner join units
        on bounded.path_unit = units.path_unit
        and bounded.unit_key = units.unit_key
        and bounded.path_start < units.occurred_at
        and (
            bounded.conversion_at >= units.occurred_at
            -- the form that made a lead may be stamped after the lead, and so may the list of those who came
            or (
                units.touch_type in ('form', 'responded')
                and units.occurred_at <= {{ dbt.dateadd('second', 'bounded.conversion_grace_seconds', 'bounded.conversion_at') }}
            )
        )
)

select
    conversion_key,
    touch_key,
    occurred_at,
    is_in_lookback,
    row_number() over (partition by conversion_key, is_in_lookback order by occurred_at, touch_type_rank, touch_id) as position,
    count(*) over (partition by conversion_key, is_in_lookback) as path_length
from met
where nth_of_day = 1
