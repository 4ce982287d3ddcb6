-- Question: Did we spend the media budget, by month and channel?
-- Asked by: head of marketing, finance
-- Grain: one row per month and channel
-- How to read it: budget_used_rate is spend_of_budgeted_rc over budget_amount_rc: the spend of the campaigns that have a budget
--   in that month. spend_without_budget_rc is spend that nobody had planned campaign by campaign.
-- Unit: amounts in reporting_currency; the budget at the rate of the day from which its version counts, spend at that of its day
-- Ratios: budget_used_rate = spend_of_budgeted_rc / budget_amount_rc
-- Pitfalls: A budget names an account and a campaign; it is found in the channel that the campaign has now, and under
--   `Unknown` when the platform never delivered that campaign. The running month has its whole budget and part of its spend.
with campaigns as (
    select ad_account_id, campaign_id, max(campaign_key) as campaign_key, max(channel) as channel
    from marts.dim_campaign
    where is_current
    group by ad_account_id, campaign_id
),

budgets as (
    select
        plan.period_start as month_start_date,
        coalesce(campaigns.channel, 'unknown') as channel,
        coalesce(campaigns.campaign_key, plan.owner_id) as campaign_key,
        sum(plan.plan_amount_rc) as budget_amount_rc
    from marts.fct_plan as plan
    left join campaigns on plan.owner_id = campaigns.ad_account_id || '/' || campaigns.campaign_id
    where plan.metric = 'spend'
        and plan.owner_type = 'campaign'
        and plan.is_current_version
    group by plan.period_start, coalesce(campaigns.channel, 'unknown'), coalesce(campaigns.campaign_key, plan.owner_id)
),

spend as (
    select
        calendar.month_start_date,
        fact.channel,
        fact.campaign_key,
        sum(fact.spend_amount_rc) as spend_amount_rc
    from marts.fct_ad_spend as fact
    inner join marts.dim_date as calendar on fact.spend_date = calendar.date_day
    where fact.is_current
    group by calendar.month_start_date, fact.channel, fact.campaign_key
),

planned as (select distinct month_start_date, campaign_key from budgets),

sides as (
    select month_start_date, channel, budget_amount_rc, cast(0 as decimal(18, 6)) as budgeted_rc, cast(0 as decimal(18, 6)) as unplanned_rc
    from budgets

    union all

    select
        spend.month_start_date,
        spend.channel,
        cast(0 as decimal(18, 6)) as budget_amount_rc,
        case when planned.campaign_key is not null then spend.spend_amount_rc else 0 end as budgeted_rc,
        case when planned.campaign_key is null then spend.spend_amount_rc else 0 end as unplanned_rc
    from spend
    left join planned
        on spend.month_start_date = planned.month_start_date
        and spend.campaign_key = planned.campaign_key
)

select
    sides.month_start_date,
    calendar.is_complete_period,
    channels.channel_name,
    sum(sides.budget_amount_rc) as budget_amount_rc,
    sum(sides.budgeted_rc) as spend_of_budgeted_rc,
    cast(sum(sides.budgeted_rc) as double) / nullif(sum(sides.budget_amount_rc), 0) as budget_used_rate,
    sum(sides.unplanned_rc) as spend_without_budget_rc,
    run.reporting_currency
from sides
inner join marts.dim_channel as channels on sides.channel = channels.channel
inner join marts.dim_date as calendar on sides.month_start_date = calendar.date_day
cross join metadata.run_info as run
group by sides.month_start_date, calendar.is_complete_period, channels.channel_name, channels.sort_order, run.reporting_currency
order by sides.month_start_date desc, channels.sort_order asc nulls last
