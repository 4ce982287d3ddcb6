-- Question: Does it matter which attribution model we use: first, last or linear, side by side?
-- Asked by: head of marketing, both heads when they agree on the primary model
-- Grain: one row per type of conversion and channel, over the last twelve full months
-- How to read it: Each model splits the same conversions and the same money, so each column adds up to the same total. A
--   channel that is strong in `first` opens conversations, one that is strong in `last` closes them. primary_model is the
--   one that both teams have agreed on, and the only one that the other reports use.
-- Unit: conversions are sums of shares; amounts in reporting_currency, null for leads, which have none
-- Ratios: none
-- Pitfalls: Models are alternatives: never add them up. None of them proves that a channel caused anything; that takes an
--   experiment. `Unattributed` is the same in all models, since there is no touch to move credit to.
with months as (
    select month_start_date, row_number() over (order by month_start_date desc) as months_ago
    from (select distinct month_start_date from marts.dim_date
where is_complete_period) as complete_months
),

credit as (
    select fact.*
    from marts.fct_credit as fact
    inner join marts.dim_date as calendar on fact.conversion_date = calendar.date_day
    inner join months on calendar.month_start_date = months.month_start_date
    where months.months_ago <= 12
)

select
    credit.conversion_type,
    coalesce(channels.channel_name, 'Unattributed') as channel_name,
    cast(sum(case when credit.model = 'first' then credit.weight_micro else 0 end) as decimal(18, 6)) * cast(0.000001 as decimal(7, 6))
        as first_conversions,
    cast(sum(case when credit.model = 'last' then credit.weight_micro else 0 end) as decimal(18, 6)) * cast(0.000001 as decimal(7, 6))
        as last_conversions,
    cast(sum(case when credit.model = 'linear' then credit.weight_micro else 0 end) as decimal(18, 6)) * cast(0.000001 as decimal(7, 6))
        as linear_conversions,
    sum(case when credit.model = 'first' then credit.credited_amount_rc end) as first_amount_rc,
    sum(case when credit.model = 'last' then credit.credited_amount_rc end) as last_amount_rc,
    sum(case when credit.model = 'linear' then credit.credited_amount_rc end) as linear_amount_rc,
    max(case when credit.is_primary_model then credit.model end) as primary_model,
    credit.reporting_currency
from credit
left join marts.dim_channel as channels on credit.channel = channels.channel
group by credit.conversion_type, channels.channel_name, channels.sort_order, credit.reporting_currency
order by credit.conversion_type nulls last, coalesce(channels.sort_order, 1000) nulls last
