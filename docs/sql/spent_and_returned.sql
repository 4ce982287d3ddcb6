-- Question: What was spent and what came back, by channel and month?
-- Asked by: head of marketing, head of sales, finance
-- Grain: one row per month and channel
-- How to read it: roas is credited_amount_rc over spend_amount_rc, cost_per_lead is spend_amount_rc over credited_leads; for
--   a year or for several channels add up both sides first and divide then. The row `Unattributed` is what no touch can be
--   credited with: it belongs to every total, and it has no spend. Where nothing was spent, a lead has no cost per lead.
-- Unit: amounts in reporting_currency; leads and deals are sums of shares, so they are not whole numbers
-- Ratios: cost_per_lead = spend_amount_rc / credited_leads; roas = credited_amount_rc / spend_amount_rc
-- Pitfalls: Spend lies on the day it was spent, leads and deals on the day of the conversion: in business with long sales
--   cycles the deals of a month were paid for months before. A month with is_complete_period = false is still running.
--   What platforms claim for themselves is not in here.
select
    economics.month_start_date,
    calendar.is_complete_period,
    coalesce(channels.channel_name, 'Unattributed') as channel_name,
    economics.spend_amount_rc,
    economics.credited_leads,
    case when economics.spend_amount_rc <> 0 then economics.cost_per_lead end as cost_per_lead,
    economics.credited_deals,
    economics.credited_amount_rc,
    economics.roas,
    economics.reporting_currency
from marts.rpt_unit_economics as economics
inner join marts.dim_date as calendar on economics.month_start_date = calendar.date_day
left join marts.dim_channel as channels on economics.channel = channels.channel
order by economics.month_start_date desc, coalesce(channels.sort_order, 1000) asc nulls last
