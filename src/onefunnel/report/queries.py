"""The SQL behind every figure of the review page, with the definition that stands beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onefunnel.engines.duckdb import reader

Row = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """A named question to the published file."""

    id: str
    definition: str
    sql: str


RUN = Query(
    "run",
    "The run that made the published file.",
    """
select run_id, as_of, company, reporting_currency, reporting_time_zone
from metadata.run_info
""",
)

LAST_MONTH = Query(
    "spend_last_full_month",
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
    "Spend per channel and calendar month of the spend day, as known now, in the reporting currency at the rate of each "
    "day. Channels are the agreed ones; `unmapped` is spend whose word for the channel nobody has mapped yet.",
    """
select
    date_trunc('month', spend.spend_date)::date as month_start_date,
    coalesce(channels.channel_name, spend.channel) as channel_name,
    sum(spend.spend_amount_rc) as spend_amount_rc
from marts.fct_ad_spend as spend
left join marts.dim_channel as channels on spend.channel_key = channels.channel_key
where spend.is_current
group by all
order by month_start_date, channel_name
""",
)

SOURCES = Query(
    "source_freshness",
    "For each source: the last day that its data is about, how many days old that may be by the source's declared rhythm "
    "(`fresh_within_days` in pipeline.yml), and the day up to which its numbers no longer change. A source whose last day is "
    "older than its rhythm allows is late.",
    """
select
    source_system, owner, source_max_date, fresh_within_days, stale_since, is_final_until, is_never_delivered
from metadata.dq_status
where mart = 'fct_ad_spend'
order by source_system
""",
)

RECONCILIATION = Query(
    "reconciliation",
    "What a second, independent reader added up in the delivered files, against what the reports contain and what is "
    "named as left out, currency by currency. The difference must be zero to the last decimal. `unknown` are amounts whose "
    "word for the currency is none; they wait in quarantine.",
    """
select
    source_system, stream, currency, control_amount, fact_amount, held_amount, quarantined_amount,
    deduplicated_amount + repeated_by_level_amount as repeated_amount, difference
from metadata.reconciliation
where measure = 'spend_amount'
order by source_system, stream, currency
""",
)

QUARANTINE = Query(
    "quarantine_summary",
    "Rows that could not be used, by reason, with the money that they carry in its own currency. `missing_fx_rate` is "
    "spend that is held back until its exchange rate arrives.",
    """
select source_system, stream, reason, quarantined_rows, amount, currency
from metadata.quarantine_summary
order by quarantined_rows desc, source_system, stream, reason, currency
""",
)

ALL = (RUN, LAST_MONTH, TOTAL, BY_CHANNEL, SOURCES, RECONCILIATION, QUARANTINE)


def ask(database: Path) -> dict[str, list[Row]]:
    """Rows of every query by its id; the file is opened read-only and locked."""
    answers: dict[str, list[Row]] = {}
    with reader(database) as connection:
        for query in ALL:
            cursor = connection.execute(query.sql)
            names = [column[0] for column in cursor.description or []]
            answers[query.id] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return answers
