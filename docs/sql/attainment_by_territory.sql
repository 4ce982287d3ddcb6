-- Question: How far is each territory against its plan, and against what both teams said?
-- Asked by: head of sales, territory managers, head of marketing
-- Grain: one row per quarter and territory, and one per quarter for the company
-- How to read it: attainment is attainment_numerator_rc over attainment_denominator_rc: bookings over the quota of the node,
--   or over its target where it has no quota (plan_basis says which). pace is bookings over plan_to_date_amount_rc, the plan
--   of the working days that are past. The two last columns hold bookings against each team's own plan.
-- Unit: amounts in reporting_currency; rates are shares of 1
-- Ratios: attainment = attainment_numerator_rc / attainment_denominator_rc; pace = actual_amount_rc / plan_to_date_amount_rc;
--   actual_over_plan_sales = actual_amount_rc / plan_sales_amount_rc;
--   actual_over_plan_marketing = actual_amount_rc / plan_marketing_amount_rc
-- Pitfalls: The company has a plan of its own; territories are not added up to it. assigned_quota_amount_rc, the ramped
--   quotas of the people there, is another figure than the territory's own plan. A booking counts for the territory that
--   its owner had when it was booked, a reversal where the booking stood, on the day of the reversal.
select
    plan.period_start as quarter_start_date,
    plan.is_complete_period,
    case
        when plan.owner_type = 'company' then 'Company'
        when plan.territory_key = '-1' then 'Unknown territory'
        else territories.territory_name
    end as territory_name,
    plan.owner_type,
    case when plan.quota_amount_rc is not null then 'quota' when plan.target_amount_rc is not null then 'target' end as plan_basis,
    plan.actual_amount_rc,
    plan.attainment_numerator_rc,
    plan.attainment_denominator_rc,
    plan.attainment,
    plan.plan_to_date_amount_rc,
    plan.pace,
    plan.assigned_quota_amount_rc,
    plan.plan_sales_amount_rc,
    plan.plan_marketing_amount_rc,
    plan.agreed_amount_rc,
    cast(plan.actual_amount_rc as double) / nullif(plan.plan_sales_amount_rc, 0) as actual_over_plan_sales,
    cast(plan.actual_amount_rc as double) / nullif(plan.plan_marketing_amount_rc, 0) as actual_over_plan_marketing,
    run.reporting_currency
from marts.rpt_plan as plan
inner join marts.dim_territory as territories on plan.territory_key = territories.territory_key
cross join metadata.run_info as run
where plan.period_type = 'quarter'
    and plan.owner_type in ('company', 'territory')
    and plan.period_start <= cast(run.as_of as date)
order by plan.period_start desc, plan.owner_type asc nulls last, territory_name asc nulls last
