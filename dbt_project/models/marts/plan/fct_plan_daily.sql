{# What is divided over the days, and by which weight. -#}
{% set measures = {
    'plan_value': {'total': 'ramped_value_cents', 'weight': 'ramped_weight', 'weights': 'ramped_weights'},
    'plan_amount_rc': {'total': 'ramped_amount_cents', 'weight': 'ramped_weight', 'weights': 'ramped_weights'},
    'full_plan_amount_rc': {'total': 'amount_cents', 'weight': 'weight', 'weights': 'weights'},
} -%}

-- A plan value over the working days of its owner's calendar, in cents by largest remainder, ties to the earlier day. A
-- person's quota grows with tenure: 0, 25, 50, 75 and from the fifth month on 100 per cent.
with

plans as (
    select * from {{ ref('fct_plan') }}
    where is_current_version
),

dates as (
    select date_day, iso_day_of_week from {{ ref('dim_date') }}
),

reps as (
    select * from {{ ref('dim_rep') }}
),

territories as (
    select * from {{ ref('dim_territory') }}
),

rep_territories as (
    select * from {{ ref('int_company__rep_territories') }}
),

weekdays as (
    select * from {{ ref('int_company__weekdays') }}
),

holidays as (
    select * from {{ ref('int_company__holidays') }}
),

calendars as (
    select distinct calendar from weekdays
),

-- the company works when the territory at the top works
company as (
    select min(calendar) as calendar from territories
    where territory_key = top_territory_key
        and territory_key <> '-1'
),

owned as (
    select
        plans.*,
        plans.owner_type in ('company', 'territory', 'rep') as is_on_working_days,
        case plans.owner_type
            when 'rep' then reps.calendar
            when 'territory' then territories.calendar
            when 'company' then company.calendar
        end as calendar,
        case when plans.owner_type = 'rep' and plans.scenario = 'quota' then reps.hired_on end as ramped_from
    from plans
    left join reps
        on plans.rep_key = reps.rep_key
        and plans.owner_type = 'rep'
    left join territories
        on plans.territory_key = territories.territory_key
        and plans.owner_type = 'territory'
    cross join company
),

days as (
    select
        owned.*,
        dates.date_day as plan_date,
        case
            when not owned.is_on_working_days then 1
            when holidays.holiday_date is not null then 0
            when calendars.calendar is null then case when dates.iso_day_of_week <= 5 then 1 else 0 end
            when weekdays.calendar is not null then 1
            else 0
        end as is_working,
        case
            when owned.ramped_from is null then 100
            {% for months in [4, 3, 2, 1] -%}
            when dates.date_day >= cast({{ dbt.dateadd('month', months, 'owned.ramped_from') }} as date) then {{ months * 25 }}
            {% endfor -%}
            else 0
        end as ramp_percent
    from owned
    inner join dates
        on owned.period_start <= dates.date_day
        and owned.period_end > dates.date_day
    left join calendars on owned.calendar = calendars.calendar
    left join weekdays
        on owned.calendar = weekdays.calendar
        and dates.iso_day_of_week = weekdays.iso_day_of_week
    left join holidays
        on owned.calendar = holidays.calendar
        and dates.date_day = holidays.holiday_date
),

counted as (
    select *, sum(is_working) over (partition by plan_key) as working_days
    from days
),

-- a period without a working day is divided over all of its days
weighed as (
    select
        *,
        cast(100 as bigint) as weight,
        cast(ramp_percent as bigint) as ramped_weight
    from counted
    where is_working = 1
        or working_days = 0
),

summed as (
    select
        *,
        {{ cents('plan_value') }} as value_cents,
        {{ cents('plan_amount_rc') }} as amount_cents,
        cast(sum(weight) over (partition by plan_key) as bigint) as weights,
        cast(sum(ramped_weight) over (partition by plan_key) as bigint) as ramped_weights
    from weighed
),

-- rounded once, before it is divided
ramped as (
    select
        *,
        {% for name in ['value', 'amount'] -%}
        case when {{ name }}_cents < 0 then -1 else 1 end * {{ integer_divide(
            '2 * abs(' ~ name ~ '_cents) * ramped_weights + weights', '2 * weights'
        ) }} as ramped_{{ name }}_cents{{ ',' if not loop.last }}
        {% endfor %}
    from summed
),

divided as (
    select
        *,
        {% for name, of in measures.items() -%}
        {{ whole_share(of.total, of.weight, of.weights) }} as {{ name }}_whole,
        {{ left_over(of.total, of.weight, of.weights) }} as {{ name }}_left{{ ',' if not loop.last }}
        {% endfor %}
    from ramped
),

ranked as (
    select
        *,
        {% for name, of in measures.items() -%}
        abs({{ of.total }}) - cast(sum({{ name }}_whole) over (partition by plan_key) as bigint) as {{ name }}_missing,
        row_number() over (partition by plan_key order by {{ name }}_left desc, plan_date asc) as {{ name }}_nth,
        {% endfor -%}
        -- of a year's plan and a quarter's, the quarter's speaks for its days
        dense_rank() over (
            partition by metric, owner_type, owner_id, scenario, plan_date
            order by {{ dbt.datediff('period_start', 'period_end', 'day') }}, period_start, source_system
        ) as nth_finest
    from divided
)

select
    {{ surrogate_key(['ranked.plan_key', 'ranked.plan_date']) }} as plan_day_key,
    cast(ranked.plan_key as {{ dbt.type_string() }}) as plan_key,
    cast(ranked.plan_date as date) as plan_date,
    cast(ranked.metric as {{ dbt.type_string() }}) as metric,
    cast(ranked.owner_type as {{ dbt.type_string() }}) as owner_type,
    cast(ranked.scenario as {{ dbt.type_string() }}) as scenario,
    cast(ranked.rep_key as {{ dbt.type_string() }}) as rep_key,
    cast(
        case when ranked.owner_type = 'rep' then coalesce(rep_territories.territory_key, '-1') else ranked.territory_key end
        as {{ dbt.type_string() }}
    ) as territory_key,
    cast(ranked.ramp_percent * cast('0.01' as decimal(3, 2)) as decimal(9, 8)) as ramp_rate,
    {% for name, of in measures.items() -%}
    {{ from_cents(
        'case when ' ~ of.total ~ ' < 0 then -1 else 1 end * (ranked.' ~ name ~ '_whole + case when ranked.' ~ name ~ '_nth <= ranked.'
        ~ name ~ '_missing then 1 else 0 end)'
    ) }} as day_{{ name }},
    {% endfor -%}
    ranked.nth_finest = 1 as is_finest_period
from ranked
left join rep_territories
    on ranked.rep_key = rep_territories.rep_key
    and ranked.plan_date >= rep_territories.valid_from
    and ranked.plan_date < rep_territories.valid_to
