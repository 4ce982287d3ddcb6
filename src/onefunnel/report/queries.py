"""The SQL behind every figure of the review page, with the definition that stands beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onefunnel.engines.duckdb import reader

Row = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """A named question to the published file, and the team that answers for what it says."""

    id: str
    owner: str
    definition: str
    sql: str


RUN = Query(
    "run",
    "data",
    "The run that made the published file.",
    """
select run_id, as_of, previous_run_id, previous_as_of, company, reporting_currency, reporting_time_zone
from metadata.run_info
""",
)

LAST_MONTH = Query(
    "spend_last_full_month",
    "marketing",
    "What the platforms charged in the last calendar month that is over, as known now, in the reporting currency at the "
    "rate of each day. The comparison is the month before it, where the file holds all of that month.",
    """
with months as (
    select
        date_trunc('month', as_of)::date - interval 1 month as last_month,
        date_trunc('month', as_of)::date - interval 2 month as month_before
    from metadata.run_info
)
select
    any_value(months.last_month)::date as month_start_date,
    any_value(months.month_before)::date as before_start_date,
    (select min(spend_date) from marts.fct_ad_spend where is_current) as first_date,
    sum(spend_amount_rc) filter (where date_trunc('month', spend_date) = last_month) as spend_amount_rc,
    sum(spend_amount_rc) filter (where date_trunc('month', spend_date) = month_before) as before_amount_rc,
    coalesce(bool_and(is_final) filter (where date_trunc('month', spend_date) = last_month), true) as is_final
from months
left join marts.fct_ad_spend as spend on spend.is_current and spend.spend_date >= months.month_before
""",
)

TOTAL = Query(
    "spend_total",
    "marketing",
    "Everything that the platforms charged on the days in the file, as known now, in the reporting currency at the rate "
    "of each day. Spend that waits for its exchange rate or is quarantined is not in it; the tables below name it.",
    """
select
    sum(spend_amount_rc) as spend_amount_rc,
    sum(spend_amount_rc) filter (where not is_final) as open_amount_rc,
    min(spend_date) as first_date,
    max(spend_date) as last_date,
    count(distinct source_system) as sources,
    count(distinct channel) as channels
from marts.fct_ad_spend
where is_current
""",
)

BY_CHANNEL = Query(
    "spend_by_channel_and_month",
    "marketing",
    "Spend per channel and calendar month of the spend day, as known now, in the reporting currency at the rate of each "
    "day, for the newest thirteen months. Channels are the agreed ones; `unmapped` is spend whose word for the channel "
    "nobody has mapped yet. Of more than eight channels the seven largest stand alone. A row without a month or a channel is a total.",
    """
with spend as (
    select
        date_trunc('month', spend.spend_date)::date as month_start_date,
        coalesce(channels.channel_name, spend.channel, 'unknown') as channel_name,
        spend.spend_amount_rc
    from marts.fct_ad_spend as spend
    left join marts.dim_channel as channels on spend.channel_key = channels.channel_key
    where spend.is_current
),

shown as (
    select * from spend
    where month_start_date > (select max(month_start_date) from spend) - interval 13 month
),

ranked as (
    select
        channel_name,
        row_number() over (order by sum(abs(spend_amount_rc)) desc nulls last, channel_name) as place,
        count(*) over () as channels
    from shown
    group by channel_name
),

folded as (
    select
        shown.month_start_date,
        case when channels <= 8 or place <= 7 then place else 8 end as place,
        case when channels <= 8 or place <= 7 then channel_name else channels - 7 || ' other channels' end as channel_name,
        case when channels > 8 and place > 7 then channels - 7 else 0 end as folded_channels,
        spend_amount_rc
    from shown
    inner join ranked using (channel_name)
)

select
    month_start_date,
    place,
    any_value(channel_name) as channel_name,
    max(folded_channels) as folded_channels,
    coalesce(sum(spend_amount_rc), 0) as spend_amount_rc,
    (select count(distinct month_start_date) from spend) - (select count(distinct month_start_date) from shown) as earlier_months
from folded
group by grouping sets ((month_start_date, place), (month_start_date), (place), ())
order by month_start_date nulls last, place nulls last
""",
)

FUNNEL = Query(
    "funnel_steps",
    "sales and marketing",
    "For each agreed step, the journeys that first reached it in the last three full months, and how many of them have "
    "reached the next step so far; beside it the same for the three months before. Each step is a cohort of its own. Test, "
    "deleted and merged records are left out. Months are UTC months. Open journeys may still convert, so young months rise. "
    "A rate of fewer than 30 journeys is marked.",
    """
with months as (
    select
        date_trunc('month', as_of)::date as until_date,
        (date_trunc('month', as_of) - interval 3 month)::date as from_date,
        (date_trunc('month', as_of) - interval 6 month)::date as before_date
    from metadata.run_info
),

steps as (
    select *, lead(step_name) over (order by step_order) as next_step_name
    from marts.dim_funnel_step
    where is_current and funnel_step_key <> '-1'
),

cells as (
    select cells.*, cells.cohort_month >= months.from_date as is_latest
    from marts.rpt_funnel as cells
    inner join months on cells.cohort_month >= months.before_date and cells.cohort_month < months.until_date
    where cells.cohort_step = cells.step
),

counted as (
    select
        steps.step_order, steps.step_name, steps.next_step_name, steps.entry_rule, steps.accountable_team, steps.responsible_role,
        steps.sla_business_minutes, steps.expires_after_days, steps.agreed_by_role, steps.agreed_on,
        coalesce(sum(cells.reached_journeys) filter (where is_latest), 0) as reached_journeys,
        sum(cells.next_journeys) filter (where is_latest) as next_journeys,
        sum(cells.open_journeys) filter (where is_latest) as open_journeys,
        coalesce(sum(cells.reached_journeys) filter (where not is_latest), 0) as before_reached_journeys,
        sum(cells.next_journeys) filter (where not is_latest) as before_next_journeys,
        sum(cells.open_journeys) filter (where not is_latest) as before_open_journeys
    from steps
    left join cells on steps.step = cells.step
    group by all
)

select
    counted.*,
    next_journeys / nullif(reached_journeys, 0) as conversion_rate,
    before_next_journeys / nullif(before_reached_journeys, 0) as before_conversion_rate,
    reached_journeys < 30 as is_thin,
    before_reached_journeys < 30 as is_before_thin,
    months.from_date, months.until_date, months.before_date
from counted
cross join months
order by step_order
""",
)

HANDOFF = Query(
    "handoff",
    "sales and marketing",
    "What became of the qualified leads (MQL) that marketing handed to sales, by the month of the hand-off. Accepted over decided "
    "(accepted, rejected or expired); a lead that was handed over twice counts twice. Deadline met: first response in time "
    "over all whose deadline has passed or was met. A rate of fewer than 30 hand-offs is marked.",
    """
with months as (
    select date_trunc('month', as_of)::date as this_month from metadata.run_info
),

windows as (
    select 1 as place, (this_month - interval 3 month)::date as from_date, this_month as until_date from months
    union all
    select 2 as place, (this_month - interval 6 month)::date as from_date, (this_month - interval 3 month)::date as until_date from months
    union all
    select 3 as place, (this_month - interval 12 month)::date as from_date, this_month as until_date from months
),

counted as (
    select
        windows.place, windows.from_date, windows.until_date,
        sum(activity.accepted_handoffs) as accepted_handoffs,
        sum(activity.decided_handoffs) as decided_handoffs,
        sum(activity.sla_met_handoffs) as sla_met_handoffs,
        sum(activity.sla_due_handoffs) as sla_due_handoffs
    from windows
    inner join marts.rpt_funnel_activity as activity
        on activity.activity_month >= windows.from_date and activity.activity_month < windows.until_date
    group by all
)

select
    *,
    accepted_handoffs / nullif(decided_handoffs, 0) as handoff_rate,
    sla_met_handoffs / nullif(sla_due_handoffs, 0) as sla_met_rate,
    decided_handoffs < 30 as is_thin,
    sla_due_handoffs < 30 as is_sla_thin
from counted
where decided_handoffs > 0 or sla_due_handoffs > 0
order by place
""",
)

MODELS = Query(
    "primary_models",
    "sales and marketing",
    "The attribution model that both teams have agreed on, for leads and for won deals.",
    """
select distinct conversion_type, model, path_unit, lookback_days
from marts.fct_credit
where is_primary_model
order by conversion_type
""",
)

RETURNED = Query(
    "spent_and_returned",
    "marketing",
    "Spend by the day it was spent, leads and won deals by the day of the conversion, amounts by the day of the booking, reversals "
    "taken off on their own day; credited to the channels of their touches under the agreed primary model, so channels hold "
    "shares. Cost per lead is spend over credited leads, ROAS credited amount over spend; both only where something was spent. "
    "`Unattributed` is what no touch can be credited with; with it the total is what was booked. What platforms claim for "
    "themselves is not in here. Of more than 15 channels the 14 largest stand alone.",
    """
with months as (
    select date_trunc('month', as_of)::date as this_month, date_trunc('quarter', as_of)::date as this_quarter
    from metadata.run_info
),

windows as (
    select 1 as place, (this_month - interval 12 month)::date as from_date, this_month as until_date from months
    union all
    select 2 as place, (this_quarter - interval 3 month)::date as from_date, this_quarter as until_date from months
    union all
    select 3 as place, (this_month - interval 1 month)::date as from_date, this_month as until_date from months
),

cells as (
    select windows.place as window_place, windows.from_date, windows.until_date, economics.*
    from windows
    inner join marts.rpt_unit_economics as economics
        on economics.month_start_date >= windows.from_date and economics.month_start_date < windows.until_date
),

ranked as (
    select
        channel,
        row_number() over (order by sum(abs(spend_amount_rc)) + sum(abs(credited_amount_rc)) desc, sum(credited_leads) desc, channel) as size_place,
        count(*) over () as channels
    from cells
    where window_place = 1 and channel <> 'unattributed'
    group by channel
),

named as (
    select
        cells.*,
        case
            when cells.channel = 'unattributed' then 100
            when ranked.channels <= 15 or ranked.size_place <= 14 then ranked.size_place
            else 15
        end as place,
        case
            when cells.channel = 'unattributed' then 'Unattributed'
            when ranked.channels <= 15 or ranked.size_place <= 14 then coalesce(dim_channel.channel_name, cells.channel)
            else ranked.channels - 14 || ' other channels'
        end as channel_name
    from cells
    left join ranked on cells.channel = ranked.channel
    left join marts.dim_channel as dim_channel on cells.channel = dim_channel.channel
),

summed as (
    select
        window_place, from_date, until_date, place,
        any_value(channel_name) as channel_name,
        sum(spend_amount_rc) as spend_amount_rc,
        sum(credited_leads) as credited_leads,
        sum(credited_deals) as credited_deals,
        sum(credited_amount_rc) as credited_amount_rc
    from named
    group by grouping sets ((window_place, from_date, until_date, place), (window_place, from_date, until_date))
)

select
    *,
    case when spend_amount_rc > 0 then spend_amount_rc / nullif(credited_leads, 0) end as cost_per_lead,
    case when spend_amount_rc > 0 then credited_amount_rc / spend_amount_rc end as roas,
    credited_leads < 30 as is_thin_in_leads,
    credited_deals < 30 as is_thin_in_deals,
    place = 100 as is_unattributed,
    place is null as is_total
from summed
order by window_place, place nulls last
""",
)

PLAN_MONTHS = Query(
    "bookings_against_plan",
    "sales",
    "What finance booked in the month, reversals taken off on their own day, against the company's own quota or, where it has "
    "none, its target. Attainment is bookings over plan; pace is bookings over the plan of the working days that are past. The sum "
    "is over the twelve full months that have a plan. Where only people have a quota, their quotas together are shown, and nothing is "
    "attained by them: what a person does not reach another may.",
    """
with months as (
    select date_trunc('month', as_of)::date as this_month from metadata.run_info
),

company as (
    select plan.*, months.this_month
    from marts.rpt_plan as plan
    inner join months
        on plan.period_start >= months.this_month - interval 12 month and plan.period_start <= months.this_month
    where plan.owner_type = 'company' and plan.period_type = 'month'
)

select
    period_start, is_complete_period, actual_amount_rc, attainment_denominator_rc,
    coalesce(attainment_denominator_rc, assigned_quota_amount_rc) as plan_amount_rc,
    case
        when quota_amount_rc is not null then 'quota' when target_amount_rc is not null then 'target'
        when assigned_quota_amount_rc is not null then 'quotas of its people'
    end as basis,
    attainment, pace, false as is_total
from company
union all
select
    null as period_start, true as is_complete_period, sum(attainment_numerator_rc), sum(attainment_denominator_rc),
    sum(attainment_denominator_rc), null as basis,
    sum(attainment_numerator_rc) / nullif(sum(attainment_denominator_rc), 0) as attainment, null as pace, true as is_total
from company
where period_start < this_month
having sum(attainment_denominator_rc) is not null
order by is_total, period_start desc
""",
)

PLAN_TERRITORIES = Query(
    "bookings_and_plans_by_territory",
    "sales",
    "The last full quarter and the running one: bookings by the territory at the time of the booking against the territory's quota "
    "or target (where it has neither, the quotas of its people), and what each team plans for it. The gap is the plan of sales less "
    "the plan of marketing, relative to the agreed value or, where nothing is agreed, to the mean of both. The company has values of "
    "its own; territories are not added up to it.",
    """
with quarters as (
    select date_trunc('quarter', as_of)::date as this_quarter from metadata.run_info
)

select
    plan.period_start,
    plan.period_end,
    plan.is_complete_period,
    plan.owner_type,
    case
        when plan.owner_type = 'company' then 'Company'
        when plan.territory_key = '-1' then 'Unknown territory'
        else territories.territory_name
    end as node_name,
    plan.actual_amount_rc,
    coalesce(plan.attainment_denominator_rc, plan.assigned_quota_amount_rc) as plan_amount_rc,
    case
        when plan.quota_amount_rc is not null then 'quota' when plan.target_amount_rc is not null then 'target'
        when plan.assigned_quota_amount_rc is not null then 'quotas of its people'
    end as basis,
    plan.attainment,
    plan.plan_sales_amount_rc,
    plan.plan_marketing_amount_rc,
    plan.agreed_amount_rc,
    plan.alignment_gap_amount_rc,
    plan.alignment_gap_rate,
    plan.is_unsigned
from marts.rpt_plan as plan
inner join quarters
    on plan.period_start >= quarters.this_quarter - interval 3 month and plan.period_start <= quarters.this_quarter
left join marts.dim_territory as territories on plan.territory_key = territories.territory_key
where plan.period_type = 'quarter' and plan.owner_type in ('company', 'territory')
order by plan.period_start, plan.owner_type, plan.territory_key = '-1', node_name
""",
)

CHANGES = Query(
    "changes_since_the_version_before",
    "data",
    "Ad spend and bookings of each month as the readers of the version before saw them and as they are now. New day: a day that "
    "the source had not reported on. Late: it belongs to a day that had been reported, and came, or got its exchange rate, "
    "afterwards. Restated: the source changed or withdrew what it had delivered. Corrected: a platform changed a day that was "
    "final. Rate: the same amount at another exchange rate.",
    """
with changes as (
    select
        metric,
        date_trunc('month', amount_date)::date as month_start_date,
        sum(change_amount_rc) as change_rc,
        sum(change_amount_rc) filter (where cause = 'new_day') as new_day_rc,
        sum(change_amount_rc) filter (where cause = 'late') as late_rc,
        sum(change_amount_rc) filter (where cause = 'restated') as restated_rc,
        sum(change_amount_rc) filter (where cause = 'corrected') as corrected_rc,
        sum(change_amount_rc) filter (where cause = 'rate') as rate_rc
    from marts.fct_restatement
    group by all
),

amounts as (
    select 'spend' as metric, date_trunc('month', spend_date)::date as month_start_date, sum(spend_amount_rc) as amount_rc
    from marts.fct_ad_spend
    where is_current
    group by all
    union all
    select 'bookings' as metric, date_trunc('month', booked_date)::date as month_start_date, sum(booked_amount_rc) as amount_rc
    from marts.fct_revenue
    where is_booking
    group by all
)

select
    case changes.metric when 'spend' then 'Ad spend' else 'Bookings' end as metric_name,
    changes.month_start_date,
    coalesce(amounts.amount_rc, 0) - changes.change_rc as before_amount_rc,
    coalesce(amounts.amount_rc, 0) as amount_rc,
    changes.change_rc, changes.new_day_rc, changes.late_rc, changes.restated_rc, changes.corrected_rc, changes.rate_rc
from changes
left join amounts using (metric, month_start_date)
order by metric_name, month_start_date desc
""",
)

SOURCES = Query(
    "source_freshness",
    "data",
    "For each source: the last day that its data is about, how many days old that may be by the source's declared rhythm "
    "(`fresh_within_days` in pipeline.yml), the day up to which its numbers no longer change, and the tables that it feeds. A source "
    "whose last day is older than its rhythm allows is late; of several streams the one that is late first decides, and the day shown "
    "is that of the newest. Sources of lists alone are about no day.",
    """
select
    source_system,
    any_value(owner) as owner,
    max(source_max_date) as source_max_date,
    min(fresh_within_days) as fresh_within_days,
    min(stale_since) as stale_since,
    max(is_final_until) as is_final_until,
    bool_and(is_never_delivered) as is_never_delivered,
    string_agg(mart, ', ' order by mart) as feeds
from metadata.dq_status
group by source_system
order by source_system
""",
)

RECONCILIATION = Query(
    "reconciliation",
    "data",
    "What a second, independent reader added up in the delivered files, against what the reports contain and what is "
    "named as left out, currency by currency: ad spend, bookings, and the amounts of opportunities. The difference must be zero to the "
    "last decimal. Held back is money that waits for an exchange rate, or that is booked after the moment of the run. `unknown` are "
    "amounts whose word for the currency is none; they wait in quarantine. Streams that carry no money are left out.",
    """
select
    case measure when 'spend_amount' then 'Ad spend' when 'booked_amount' then 'Bookings' when 'opportunity_amount' then 'Opportunities'
        when 'plan_value' then 'Plans and budgets' else measure end
        as measure_name,
    source_system, stream, currency, control_amount, fact_amount, held_amount, quarantined_amount,
    deduplicated_amount + repeated_by_level_amount as repeated_amount, difference
from metadata.reconciliation
where measure = 'spend_amount' or control_amount <> 0 or fact_amount <> 0 or difference <> 0
order by measure_name, source_system, stream, currency
""",
)

QUARANTINE = Query(
    "quarantine_summary",
    "data",
    "Rows that could not be used, by reason, with the money that they carry in its own currency. `missing_fx_rate` is "
    "money that is held back until its exchange rate arrives.",
    """
select source_system, stream, reason, quarantined_rows, amount, currency
from metadata.quarantine_summary
order by quarantined_rows desc, source_system, stream, reason, currency
""",
)

ALL = (
    RUN, FUNNEL, HANDOFF, MODELS, RETURNED, PLAN_MONTHS, PLAN_TERRITORIES, CHANGES, LAST_MONTH, TOTAL, BY_CHANNEL, SOURCES,
    RECONCILIATION, QUARANTINE,
)  # fmt: skip


def ask(database: Path) -> dict[str, list[Row]]:
    """Rows of every query by its id; the file is opened read-only and locked."""
    answers: dict[str, list[Row]] = {}
    with reader(database) as connection:
        for query in ALL:
            cursor = connection.execute(query.sql)
            names = [column[0] for column in cursor.description or []]
            answers[query.id] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return answers
