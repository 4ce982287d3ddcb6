{% set scenarios = ['plan_sales', 'plan_marketing', 'agreed', 'target', 'quota'] -%}

-- Every part of a row comes from its own source as (day, node, measure, amount) and is added up once per month and quarter:
-- no plan meets a booking before both are sums. Where nobody delivers bookings they are unknown, and nothing is attained or missed.
with

plan_days as (
    select *, case owner_type when 'company' then 'company' when 'territory' then territory_key else rep_key end as node_key
    from {{ ref('fct_plan_daily') }}
    where metric = 'bookings'
        and owner_type in ('company', 'territory', 'rep')
        and is_finest_period
),

reps as (
    select * from {{ ref('dim_rep') }}
),

revenue as (
    select * from {{ ref('fct_revenue') }}
    where is_booking
),

shares as (
    select * from {{ ref('fct_revenue_share') }}
    where is_booking
),

-- the ramped quotas of who sells in a territory; specialists sell what others have a quota for
assigned as (
    select plan_days.*
    from plan_days
    inner join reps on plan_days.rep_key = reps.rep_key
    where plan_days.owner_type = 'rep'
        and plan_days.scenario = 'quota'
        and not reps.is_overlay
),

-- a specialist's quota is met by overlay shares, anybody else's by revenue shares
credited as (
    select shares.*
    from shares
    inner join reps on shares.rep_key = reps.rep_key
    where shares.is_overlay = reps.is_overlay
),

parts as (
    select plan_date as day, owner_type, node_key, scenario as measure, day_plan_amount_rc as amount_rc from plan_days
    union all
    select plan_date as day, owner_type, node_key, scenario || '_to_date' as measure, day_plan_amount_rc as amount_rc from plan_days
    where plan_date < cast({{ as_of() }} as date)
    union all
    select plan_date as day, owner_type, node_key, 'full_quota' as measure, day_full_plan_amount_rc as amount_rc from plan_days
    where scenario = 'quota'
    union all
    select plan_date as day, 'company' as owner_type, 'company' as node_key, 'assigned' as measure, day_plan_amount_rc as amount_rc
    from assigned
    union all
    select plan_date as day, 'territory' as owner_type, territory_key as node_key, 'assigned' as measure, day_plan_amount_rc as amount_rc
    from assigned
    union all
    select booked_date as day, 'company' as owner_type, 'company' as node_key, 'actual' as measure, booked_amount_rc as amount_rc
    from revenue
    union all
    select booked_date as day, 'company' as owner_type, 'company' as node_key, 'current_view' as measure, booked_amount_rc as amount_rc
    from revenue
    union all
    select booked_date as day, 'territory' as owner_type, territory_key as node_key, 'actual' as measure, booked_amount_rc as amount_rc
    from revenue
    union all
    select
        booked_date as day, 'territory' as owner_type, current_territory_key as node_key, 'current_view' as measure,
        booked_amount_rc as amount_rc
    from revenue
    union all
    select booked_date as day, 'rep' as owner_type, rep_key as node_key, 'actual' as measure, share_amount_rc as amount_rc
    from credited
    union all
    select booked_date as day, 'rep' as owner_type, rep_key as node_key, 'current_view' as measure, share_amount_rc as amount_rc
    from credited
),

{% for period, months in {'month': 1, 'quarter': 3}.items() -%}
by_{{ period }} as (
    select
        '{{ period }}' as period_type,
        cast(date_trunc('{{ period }}', day) as date) as period_start,
        cast({{ dbt.dateadd('month', months, "cast(date_trunc('" ~ period ~ "', day) as date)") }} as date) as period_end,
        owner_type, node_key, measure, amount_rc
    from parts
),

{% endfor -%}
summed as (
    select
        period_type, period_start, period_end, owner_type, node_key,
        {% for name in scenarios + ['full_quota', 'assigned', 'quota_to_date', 'target_to_date'] -%}
        sum(case when measure = '{{ name }}' then amount_rc end) as {{ name }},
        {% endfor -%}
        case when (select count(*) from revenue) > 0 then coalesce(sum(case when measure = 'actual' then amount_rc end), 0) end as actual,
        case when (select count(*) from revenue) > 0 then coalesce(sum(case when measure = 'current_view' then amount_rc end), 0) end as current_view
    from (
        select * from by_month
        union all
        select * from by_quarter
    ) as periods
    group by period_type, period_start, period_end, owner_type, node_key
),

measured as (
    select
        *,
        coalesce(quota, target) as attainable,
        case when quota is not null then quota_to_date else target_to_date end as attainable_to_date,
        plan_sales - plan_marketing as gap,
        agreed is null and plan_sales is not null and plan_marketing is not null as is_unsigned,
        -- only what has a gap has a base, so that sums of both belong together
        case
            when plan_sales is not null and plan_marketing is not null
                then coalesce(agreed, (plan_sales + plan_marketing) * cast('0.5' as decimal(2, 1)))
        end as gap_base
    from summed
)

select
    {{ surrogate_key(['period_type', 'period_start', 'owner_type', 'node_key']) }} as plan_report_key,
    cast(period_type as {{ dbt.type_string() }}) as period_type,
    cast(period_start as date) as period_start,
    cast(period_end as date) as period_end,
    period_end <= cast({{ as_of() }} as date) as is_complete_period,
    cast(owner_type as {{ dbt.type_string() }}) as owner_type,
    cast(case when owner_type = 'territory' then node_key else '-1' end as {{ dbt.type_string() }}) as territory_key,
    cast(case when owner_type = 'rep' then node_key else '-1' end as {{ dbt.type_string() }}) as rep_key,
    {% for name in scenarios -%}
    cast({{ name }} as decimal(18, 6)) as {{ name }}_amount_rc,
    {% endfor -%}
    cast(full_quota as decimal(18, 6)) as full_quota_amount_rc,
    cast(assigned as decimal(18, 6)) as assigned_quota_amount_rc,
    cast(assigned - attainable as decimal(18, 6)) as over_assigned_amount_rc,
    cast({{ safe_divide('assigned - attainable', 'attainable') }} as double) as over_assignment,
    cast(actual as decimal(18, 6)) as actual_amount_rc,
    cast(current_view as decimal(18, 6)) as actual_in_current_view_amount_rc,
    cast(case when attainable is not null then actual end as decimal(18, 6)) as attainment_numerator_rc,
    cast(attainable as decimal(18, 6)) as attainment_denominator_rc,
    cast({{ safe_divide('actual', 'attainable') }} as double) as attainment,
    cast(attainable_to_date as decimal(18, 6)) as plan_to_date_amount_rc,
    cast(case when attainable_to_date is not null then actual end as decimal(18, 6)) as pace_numerator_rc,
    cast({{ safe_divide('actual', 'attainable_to_date') }} as double) as pace,
    cast(gap as decimal(18, 6)) as alignment_gap_amount_rc,
    cast(gap_base as decimal(18, 6)) as alignment_base_amount_rc,
    cast({{ safe_divide('gap', 'gap_base') }} as double) as alignment_gap_rate,
    is_unsigned
from measured
