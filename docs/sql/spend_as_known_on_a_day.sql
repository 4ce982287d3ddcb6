-- Question: What did we say we had spent, as it was known on a past day?
-- Asked by: finance at the close of a month, anybody who explains an old slide
-- Grain: one row per month of the spend and channel
-- How to read it: Write the moment into `asked`; known_then_rc is what readers saw at that moment, known_now_rc what they see
--   today, and difference_rc is what became known since. A version is known from known_from (inclusive) to known_to.
-- Unit: amounts in reporting_currency, at the rate that was known at each moment
-- Ratios: none
-- Pitfalls: The moment is UTC, and a version was published some minutes after its as-of instant. Spend that was held back or
--   in quarantine then is in neither. Never add up fct_ad_spend without a moment or is_current: it holds every version.
with asked as (
    select timestamp '2026-04-01 06:00:00' as moment
),

spend as (
    select
        cast(date_trunc('month', fact.spend_date) as date) as month_start_date,
        fact.channel,
        fact.reporting_currency,
        sum(case when fact.known_from <= asked.moment and fact.known_to > asked.moment then fact.spend_amount_rc else 0 end)
            as known_then_rc,
        sum(case when fact.is_current then fact.spend_amount_rc else 0 end) as known_now_rc
    from marts.fct_ad_spend as fact
    cross join asked
    group by cast(date_trunc('month', fact.spend_date) as date), fact.channel, fact.reporting_currency
)

select
    asked.moment as known_at,
    spend.month_start_date,
    channels.channel_name,
    spend.known_then_rc,
    spend.known_now_rc,
    spend.known_now_rc - spend.known_then_rc as difference_rc,
    spend.reporting_currency
from spend
inner join marts.dim_channel as channels on spend.channel = channels.channel
cross join asked
order by spend.month_start_date desc, channels.sort_order asc nulls last
