-- Cents go to people by largest remainder, ties to the earlier id, so that the shares are the event to the cent. Where nobody
-- was named, the owner has it all.
with

revenue as (
    select * from {{ ref('fct_revenue') }}
),

events as (
    select revenue_key, placed_opportunity_key from {{ ref('int_revenue__events') }}
),

splits as (
    select * from {{ ref('int_deals__splits') }}
),

reps as (
    select rep_key, user_id from {{ ref('dim_rep') }}
),

booked as (
    select
        revenue.revenue_key, revenue.source_system, revenue.booked_date, revenue.owner_rep_key, revenue.is_booking,
        {{ cents('revenue.booked_amount_rc') }} as booked_cents,
        events.placed_opportunity_key
    from revenue
    inner join events on revenue.revenue_key = events.revenue_key
),

shared as (
    select
        booked.*, splits.rep_key, splits.user_id, true as is_split,
        -- percent in whole millionths
        cast(splits.split_percent * 1000000 as bigint) as weight
    from booked
    inner join splits
        on booked.placed_opportunity_key = splits.opportunity_key
        and splits.split_type = 'revenue'
        and splits.split_percent > 0
),

named as (
    select distinct revenue_key from shared
),

unshared as (
    select
        booked.*, booked.owner_rep_key as rep_key, coalesce(reps.user_id, 'unknown') as user_id, false as is_split,
        cast(100000000 as bigint) as weight
    from booked
    left join named on booked.revenue_key = named.revenue_key
    left join reps on booked.owner_rep_key = reps.rep_key
    where named.revenue_key is null
),

weighed as (
    select *, cast(sum(weight) over (partition by revenue_key) as bigint) as weights
    from (
        select * from shared
        union all
        select * from unshared
    ) as members
),

divided as (
    select
        *,
        {{ whole_share('booked_cents', 'weight', 'weights') }} as whole_cents,
        {{ left_over('booked_cents', 'weight', 'weights') }} as left_over
    from weighed
),

ranked as (
    select
        *,
        abs(booked_cents) - cast(sum(whole_cents) over (partition by revenue_key) as bigint) as missing_cents,
        row_number() over (partition by revenue_key order by left_over desc, user_id asc, rep_key asc) as nth_left_over
    from divided
),

shares as (
    select
        revenue_key, source_system, booked_date, rep_key, user_id, 'revenue' as share_type, is_split, is_booking,
        cast(weight as decimal(18, 0)) * cast('0.00000001' as decimal(9, 8)) as share_rate,
        case when booked_cents < 0 then -1 else 1 end * (whole_cents + case when nth_left_over <= missing_cents then 1 else 0 end) as share_cents
    from ranked

    union all

    select
        booked.revenue_key, booked.source_system, booked.booked_date, splits.rep_key, splits.user_id, 'overlay' as share_type,
        true as is_split, booked.is_booking, splits.split_percent * cast('0.01' as decimal(3, 2)) as share_rate,
        cast(round(cast(booked.booked_cents as decimal(18, 0)) * splits.split_percent * cast('0.01' as decimal(3, 2)), 0) as bigint)
            as share_cents
    from booked
    inner join splits
        on booked.placed_opportunity_key = splits.opportunity_key
        and splits.split_type = 'overlay'
)

select
    {{ surrogate_key(['revenue_key', 'share_type', 'rep_key', 'user_id']) }} as revenue_share_key,
    cast(revenue_key as {{ dbt.type_string() }}) as revenue_key,
    cast(source_system as {{ dbt.type_string() }}) as source_system,
    cast(booked_date as date) as booked_date,
    cast(rep_key as {{ dbt.type_string() }}) as rep_key,
    cast(share_type as {{ dbt.type_string() }}) as share_type,
    share_type = 'overlay' as is_overlay,
    cast(is_split as boolean) as is_split,
    cast(is_booking as boolean) as is_booking,
    cast(share_rate as decimal(18, 8)) as share_rate,
    {{ from_cents('share_cents') }} as share_amount_rc
from shares
