-- The report holds every cent of spend and of credit, and nothing twice.
with

spend as (
    select sum(spend_amount_rc) as amount from {{ ref('fct_ad_spend') }}
    where is_current
),

credit as (
    select sum(credited_amount_rc) as amount, sum(case when conversion_type = 'lead' then weight_micro else 0 end) as lead_micro
    from {{ ref('fct_credit') }}
    where is_primary_model
),

report as (
    select
        sum(spend_amount_rc) as spend_amount_rc,
        sum(credited_amount_rc) as credited_amount_rc,
        sum(credited_leads) as credited_leads
    from {{ ref('rpt_unit_economics') }}
)

select
    report.spend_amount_rc,
    spend.amount as spend_in_fact,
    report.credited_amount_rc,
    credit.amount as credit_in_fact
from report
cross join spend
cross join credit
where coalesce(report.spend_amount_rc, 0) <> coalesce(spend.amount, 0)
    or coalesce(report.credited_amount_rc, 0) <> coalesce(credit.amount, 0)
    or coalesce(report.credited_leads, 0) * 1000000 <> coalesce(credit.lead_micro, 0)
