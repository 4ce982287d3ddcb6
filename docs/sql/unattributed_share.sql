-- Question: How much of our leads and deals can nobody be credited with, and why?
-- Asked by: head of marketing, marketing operations, analysts before they believe any attribution
-- Grain: one row per month of the conversion and type of conversion
-- How to read it: unattributed_share is unattributed_conversions over conversions, unattributed_amount_share the same by
--   money. no_touch: nothing was ever recorded; outside_lookback: touches exist, but too long ago by the agreement;
--   no_identity: nobody knows whose deal it is. The three reasons add up to unattributed_conversions.
-- Unit: conversions; amounts in reporting_currency, null for leads, which have none
-- Ratios: unattributed_share = unattributed_conversions / conversions;
--   unattributed_amount_share = unattributed_amount_rc / amount_rc
-- Pitfalls: A falling share can be better tracking or a looser lookback, so look at the agreement before you cheer. The share
--   is the same in every attribution model. Deals of accounts that were customers before tracking began have no touch.
select
    calendar.month_start_date,
    credit.conversion_type,
    count(distinct credit.conversion_key) as conversions,
    sum(case when credit.is_attributed then 0 else 1 end) as unattributed_conversions,
    cast(sum(case when credit.is_attributed then 0 else 1 end) as double) / nullif(count(distinct credit.conversion_key), 0)
        as unattributed_share,
    sum(case when credit.unattributed_reason = 'no_touch' then 1 else 0 end) as no_touch,
    sum(case when credit.unattributed_reason = 'outside_lookback' then 1 else 0 end) as outside_lookback,
    sum(case when credit.unattributed_reason = 'no_identity' then 1 else 0 end) as no_identity,
    sum(credit.credited_amount_rc) as amount_rc,
    sum(case when not credit.is_attributed then credit.credited_amount_rc end) as unattributed_amount_rc,
    cast(sum(case when not credit.is_attributed then credit.credited_amount_rc end) as double) / nullif(sum(credit.credited_amount_rc), 0)
        as unattributed_amount_share,
    credit.reporting_currency
from marts.fct_credit as credit
inner join marts.dim_date as calendar on credit.conversion_date = calendar.date_day
where credit.is_primary_model
group by calendar.month_start_date, credit.conversion_type, credit.reporting_currency
order by calendar.month_start_date desc, credit.conversion_type asc nulls last
