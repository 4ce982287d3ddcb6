-- Per month and channel, every cent of spend, and per month every booking and every lead and won deal, and nothing twice.
with

facts as (
    select cast(date_trunc('month', spend_date) as date) as month_start_date, channel, 'spend' as measure, spend_amount_rc as amount
    from {{ ref('fct_ad_spend') }}
    where is_current

    union all

    -- as it was booked, whoever is credited with it
    select cast(date_trunc('month', booked_date) as date) as month_start_date, 'all' as channel, 'booked' as measure, booked_amount_rc as amount
    from {{ ref('fct_revenue') }}
    where is_booking

    union all

    select
        cast(date_trunc('month', conversion_date) as date) as month_start_date, 'all' as channel, conversion_type as measure,
        cast(count(distinct conversion_key) as decimal(18, 6)) as amount
    from {{ ref('fct_credit') }}
    group by cast(date_trunc('month', conversion_date) as date), conversion_type
),

report as (
    select month_start_date, channel, 'spend' as measure, spend_amount_rc as amount from {{ ref('rpt_unit_economics') }}
    union all
    select month_start_date, 'all' as channel, 'booked' as measure, credited_amount_rc as amount from {{ ref('rpt_unit_economics') }}
    union all
    select month_start_date, 'all' as channel, 'lead' as measure, credited_leads as amount from {{ ref('rpt_unit_economics') }}
    union all
    select month_start_date, 'all' as channel, 'won' as measure, credited_deals as amount from {{ ref('rpt_unit_economics') }}
),

both_sides as (
    select month_start_date, channel, measure, amount as amount_in_facts, 0 as amount_in_report from facts
    union all
    select month_start_date, channel, measure, 0 as amount_in_facts, amount as amount_in_report from report
)

select
    month_start_date, channel, measure,
    sum(amount_in_facts) as amount_in_facts,
    sum(amount_in_report) as amount_in_report
from both_sides
group by month_start_date, channel, measure
having sum(amount_in_facts) <> sum(amount_in_report)
