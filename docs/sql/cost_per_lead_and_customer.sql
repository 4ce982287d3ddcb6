-- Question: What does a lead cost, and what does a new customer cost?
-- Asked by: head of marketing, finance
-- Grain: one row per quarter
-- How to read it: `blended` divides all spend by all leads or new customers, whatever brought them; `paid` divides the spend
--   of paid channels by the leads and new customers that the agreed model credits to paid channels. Each ratio has its
--   numerator and denominator beside it. A new customer is an account at its first won deal.
-- Unit: spend in reporting_currency; credited numbers are sums of shares
-- Ratios: cost_per_lead_blended = spend_amount_rc / leads; cost_per_customer_blended = spend_amount_rc / new_customers;
--   cost_per_lead_paid = paid_spend_amount_rc / credited_paid_leads;
--   cost_per_customer_paid = paid_spend_amount_rc / credited_paid_customers
-- Pitfalls: This is media alone: people, agencies and tools are not in it. Spend is of the same quarter as the win, although
--   long cycles were paid for earlier. A deal whose account nobody knows is no new customer (won_deals_without_account).
--   Accounts that were customers before the data begins look new at their first win in it. A quarter with a fraction of a
--   credited customer has an absurd cost_per_customer_paid: read the denominator first.
with quarters as (
    select calendar.quarter_start_date, max(calendar.date_day) as last_day
    from marts.dim_date as calendar
    inner join metadata.run_info as run on calendar.date_day <= cast(run.as_of as date)
    group by calendar.quarter_start_date
),

spend as (
    select
        calendar.quarter_start_date,
        sum(fact.spend_amount_rc) as spend_amount_rc,
        sum(case when channels.is_paid then fact.spend_amount_rc else 0 end) as paid_spend_amount_rc
    from marts.fct_ad_spend as fact
    inner join marts.dim_date as calendar on fact.spend_date = calendar.date_day
    inner join marts.dim_channel as channels on fact.channel_key = channels.channel_key
    where fact.is_current
    group by calendar.quarter_start_date
),

conversions as (
    select
        credit.conversion_key,
        credit.conversion_type,
        credit.account_key,
        credit.conversion_at,
        credit.conversion_date,
        sum(case when channels.is_paid then credit.weight_micro else 0 end) as paid_micro
    from marts.fct_credit as credit
    left join marts.dim_channel as channels on credit.channel = channels.channel
    where credit.is_primary_model
    group by
        credit.conversion_key, credit.conversion_type, credit.account_key, credit.conversion_at, credit.conversion_date
),

placed as (
    select
        *,
        row_number() over (partition by conversion_type, account_key order by conversion_at nulls last, conversion_key nulls last) as win_no
    from conversions
),

counted as (
    select
        calendar.quarter_start_date,
        sum(case when placed.conversion_type = 'lead' then 1 else 0 end) as leads,
        sum(case when placed.conversion_type = 'lead' then placed.paid_micro else 0 end) as paid_leads_micro,
        sum(case when placed.conversion_type = 'won' and placed.account_key = '-1' then 1 else 0 end) as won_deals_without_account,
        sum(case when placed.conversion_type = 'won' and placed.account_key <> '-1' and placed.win_no = 1 then 1 else 0 end)
            as new_customers,
        sum(
            case when placed.conversion_type = 'won' and placed.account_key <> '-1' and placed.win_no = 1 then placed.paid_micro else 0 end
        ) as paid_customers_micro
    from placed
    inner join marts.dim_date as calendar on placed.conversion_date = calendar.date_day
    group by calendar.quarter_start_date
)

select
    quarters.quarter_start_date,
    quarters.last_day as last_day_counted,
    coalesce(spend.spend_amount_rc, 0) as spend_amount_rc,
    coalesce(counted.leads, 0) as leads,
    cast(spend.spend_amount_rc as double) / nullif(counted.leads, 0) as cost_per_lead_blended,
    coalesce(counted.new_customers, 0) as new_customers,
    cast(spend.spend_amount_rc as double) / nullif(counted.new_customers, 0) as cost_per_customer_blended,
    coalesce(spend.paid_spend_amount_rc, 0) as paid_spend_amount_rc,
    cast(coalesce(counted.paid_leads_micro, 0) as decimal(18, 6)) * cast(0.000001 as decimal(7, 6)) as credited_paid_leads,
    cast(spend.paid_spend_amount_rc as double) * 1000000 / nullif(counted.paid_leads_micro, 0) as cost_per_lead_paid,
    cast(coalesce(counted.paid_customers_micro, 0) as decimal(18, 6)) * cast(0.000001 as decimal(7, 6)) as credited_paid_customers,
    cast(spend.paid_spend_amount_rc as double) * 1000000 / nullif(counted.paid_customers_micro, 0) as cost_per_customer_paid,
    coalesce(counted.won_deals_without_account, 0) as won_deals_without_account,
    run.reporting_currency
from quarters
left join spend on quarters.quarter_start_date = spend.quarter_start_date
left join counted on quarters.quarter_start_date = counted.quarter_start_date
cross join metadata.run_info as run
order by quarters.quarter_start_date desc
