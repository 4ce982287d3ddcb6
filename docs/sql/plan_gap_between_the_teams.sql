-- Question: How far do the plans of sales and marketing lie apart, and who was nearer in the end?
-- Asked by: both heads, finance, whoever signs the plan
-- Grain: one row per quarter and territory for which at least one team has a plan
-- How to read it: alignment_gap_amount_rc is the plan of sales less the plan of marketing; alignment_gap_rate is the gap over
--   alignment_base_amount_rc (what was agreed, else the mean of both). is_unsigned: both planned and nothing is agreed. Of
--   quarters that are over, the misses are plan less bookings, and nearer_team says whose miss is smaller.
-- Unit: amounts in reporting_currency; rates are shares of 1
-- Ratios: alignment_gap_rate = alignment_gap_amount_rc / alignment_base_amount_rc
-- Pitfalls: Add up gaps and bases before you divide. Opposite gaps of two territories cancel in a sum: look at the rows. The
--   running quarter has no winner yet.
with plans as (
    select * from marts.rpt_plan
    where period_type = 'quarter'
        and owner_type = 'territory'
        and (plan_sales_amount_rc is not null or plan_marketing_amount_rc is not null)
)

select
    plans.period_start as quarter_start_date,
    plans.is_complete_period,
    territories.territory_name,
    plans.plan_sales_amount_rc,
    plans.plan_marketing_amount_rc,
    plans.agreed_amount_rc,
    plans.is_unsigned,
    plans.alignment_gap_amount_rc,
    plans.alignment_base_amount_rc,
    plans.alignment_gap_rate,
    plans.actual_amount_rc,
    case when plans.is_complete_period then plans.plan_sales_amount_rc - plans.actual_amount_rc end as sales_miss_rc,
    case when plans.is_complete_period then plans.plan_marketing_amount_rc - plans.actual_amount_rc end as marketing_miss_rc,
    case
        when not plans.is_complete_period or plans.plan_sales_amount_rc is null or plans.plan_marketing_amount_rc is null then null
        when abs(plans.plan_sales_amount_rc - plans.actual_amount_rc) < abs(plans.plan_marketing_amount_rc - plans.actual_amount_rc) then 'sales'
        when abs(plans.plan_sales_amount_rc - plans.actual_amount_rc) > abs(plans.plan_marketing_amount_rc - plans.actual_amount_rc) then 'marketing'
        else 'both'
    end as nearer_team,
    run.reporting_currency
from plans
inner join marts.dim_territory as territories on plans.territory_key = territories.territory_key
cross join metadata.run_info as run
order by plans.period_start desc, territories.territory_name asc nulls last
