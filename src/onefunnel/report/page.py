"""Renders the review page: one file, no script, no network, every figure with its unit, date and query."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from onefunnel.report import charts, queries
from onefunnel.report.queries import Row

MAX_CHANNELS = 8
MAX_MONTHS = 13
MAX_TEXT = 48
LONGEST_FIGURE = 10**9  # from here on a month's table is in thousands, so that all of its columns stay in sight
NOTHING = "–"
_TEMPLATES = Path(__file__).parent


def render(database: Path, manifest: dict[str, Any], out: Path) -> Path:
    """Write `out/index.html` from a published file.

    Args:
        database: the published revenue.duckdb; it is only read.
        manifest: run_id, as_of, published_at, verdict, checks {declared, executed, passed, warned, failed}, and
            optionally `warned` (check_id, because and observed of each check that warned) and previous_run_id.
        out: the folder of the page; made when it is not there.

    Returns:
        The path of the page.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(text=text, money=money, count=count, day=day)
    answers = queries.ask(database)
    out.mkdir(parents=True, exist_ok=True)
    page = out / "index.html"
    page.write_text(environment.get_template("page.html.j2").render(context(answers, manifest)), encoding="utf-8")
    return page


def context(answers: Mapping[str, list[Row]], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template shows; formatting of numbers and text is done by its filters."""
    run = answers["run"][0] if answers["run"] else {}
    currency = str(run.get("reporting_currency") or "")
    return {
        "company": run.get("company") or "This company",
        "currency": currency,
        "as_of": moment(run.get("as_of"), run.get("reporting_time_zone")),
        "audit": audit(manifest, run.get("reporting_time_zone")),
        "last_month": last_month(answers["spend_last_full_month"]),
        "total": answers["spend_total"][0],
        "channels": channel_table(answers["spend_by_channel_and_month"], currency, run.get("as_of")),
        "sources": [source_row(row, run.get("as_of")) for row in answers["source_freshness"]],
        "reconciliation": answers["reconciliation"],
        "quarantine": answers["quarantine_summary"],
        "query": {query.id: {"definition": query.definition, "sql": query.sql.strip()} for query in queries.ALL},
    }


def audit(manifest: Mapping[str, Any], zone: str | None) -> dict[str, Any]:
    """What the gate said about the published file."""
    checks = manifest.get("checks") or {}
    numbers = {name: checks.get(name) for name in ("declared", "executed", "passed", "warned", "failed")}
    return numbers | {
        "is_passed": manifest.get("verdict") == "pass",
        "verdict": manifest.get("verdict") or "not audited",
        "run_id": manifest.get("run_id") or "unknown",
        "published_at": moment(manifest.get("published_at"), zone),
        "sha256": str(manifest.get("sha256") or "")[:12],
        "warnings": manifest.get("warned") or [],
    }


def last_month(rows: list[Row]) -> dict[str, Any]:
    """The last full month with its change against the month before (a share; None where it means nothing)."""
    if not rows or rows[0]["month_start_date"] is None:
        return {"name": "Last full month", "amount": None, "change": None, "is_final": True}
    row = rows[0]
    amount, before = row["spend_amount_rc"], row["before_amount_rc"]
    change = None
    is_comparable = row["first_date"] is not None and row["first_date"] <= row["before_start_date"]
    if is_comparable and amount is not None and before is not None and before > 0:
        change = f"{(amount / before - 1) * 100:+.1f} %".replace("-", "−")
    return {"name": f"{row['month_start_date']:%B %Y}", "amount": amount, "change": change, "is_final": row["is_final"]}


@dataclass(frozen=True)
class ChannelTable:
    """The chart and the very numbers that it draws, in `unit`: months down, channels across."""

    unit: str
    channels: list[str]
    colours: dict[str, str]
    rows: list[tuple[str, list[Decimal | None], Decimal]]
    sums: list[Decimal]
    svg: str
    folded: int
    left_out: int


def channel_table(rows: list[Row], currency: str, as_of: dt.datetime | None) -> ChannelTable | None:
    """Fold small channels together and take the newest months; None where there is no spend at all."""
    if not rows:
        return None
    every = month_range(min(r["month_start_date"] for r in rows), max(r["month_start_date"] for r in rows))
    months = every[-MAX_MONTHS:]
    kept = [row for row in rows if row["month_start_date"] in months]
    sizes: dict[str, Decimal] = defaultdict(Decimal)
    for row in kept:
        sizes[text(row["channel_name"])] += abs(row["spend_amount_rc"] or 0)
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
    named = ranked if len(ranked) <= MAX_CHANNELS else ranked[: MAX_CHANNELS - 1]
    folded = len(ranked) - len(named)
    other = f"{folded} other channels" if folded else None
    amounts: dict[str, dict[dt.date, Decimal]] = {name: {} for name in [*named, *([other] if other else [])]}
    for row in kept:
        name = text(row["channel_name"])
        target = amounts[name if name in amounts else str(other)]
        target[row["month_start_date"]] = target.get(row["month_start_date"], Decimal(0)) + (
            row["spend_amount_rc"] or 0
        )
    size = 1000 if max(map(abs, (_sum(of.values()) for of in amounts.values()))) >= LONGEST_FIGURE else 1
    paint = charts.colours(list(amounts), other)
    series = {name: {month: float(amount) for month, amount in of.items()} for name, of in amounts.items()}
    table = [
        (
            _month_name(month, as_of),
            [None if (amount := amounts[name].get(month)) is None else amount / size for name in amounts],
            _sum(amounts[name].get(month) for name in amounts) / size,
        )
        for month in reversed(months)
    ]
    sums = [_sum(amounts[name].values()) / size for name in amounts]
    unit = currency if size == 1 else f"thousand {currency}"
    svg = charts.spend_by_month(series, months, currency, paint)
    return ChannelTable(unit, list(amounts), paint, table, [*sums, _sum(sums)], svg, folded, len(every) - len(months))


def _month_name(month: dt.date, as_of: dt.datetime | None) -> str:
    """The month, and whether it is still running."""
    is_running = as_of is not None and (month.year, month.month) >= (as_of.year, as_of.month)
    return f"{month:%b %Y}" + (", so far" if is_running else "")


def _sum(values: Any) -> Decimal:
    return sum((value for value in values if value is not None), Decimal(0))


def month_range(first: dt.date, last: dt.date) -> list[dt.date]:
    """First days of all months from one to the other."""
    months, month = [], first.replace(day=1)
    while month <= last:
        months.append(month)
        month = (month + dt.timedelta(days=32)).replace(day=1)
    return months


def source_row(row: Row, as_of: dt.datetime | None) -> dict[str, Any]:
    """A source with its state in words; what is late is decided in the file, never here."""
    if row["is_never_delivered"]:
        state, is_well = "never delivered", False
    elif row["stale_since"] is not None:
        state, is_well = f"late since {day(row['stale_since'])}", False
    else:
        state, is_well = "up to date" if row["fresh_within_days"] is not None else "delivered, without days", True
    last = row["source_max_date"]
    lag = (as_of.date() - last).days if as_of and last else None
    return row | {"state": state, "is_well": is_well, "lag": lag}


# --- how things are written ------------------------------------------------------------------------------------------


def text(value: object, longest: int = MAX_TEXT) -> str:
    """A name from the data, without control and direction characters and at a bearable length (escaping is Jinja's)."""
    if value is None:
        return NOTHING
    clean = "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") else " " for c in str(value)
    )
    clean = " ".join(clean.split()) or NOTHING
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def money(value: Decimal | int | None, decimals: int = 0) -> str:
    """An amount with thousands separators and a real minus sign; a dash where there is none."""
    if value is None:
        return NOTHING
    written = f"{Decimal(value):,.{decimals}f}"
    if not written.strip("-0.,"):
        written = written.lstrip("-")
    return written.replace("-", "−")


def count(value: int | None) -> str:
    """A whole number with thousands separators."""
    return NOTHING if value is None else f"{value:,}"


def day(value: dt.date | dt.datetime | None) -> str:
    """A day as `5 Jan 2026`."""
    return NOTHING if value is None else f"{value.day} {value:%b %Y}"


def moment(value: object, zone: str | None) -> str:
    """An instant (naive means UTC) as day and time in the reporting time zone."""
    if value is None:
        return NOTHING
    try:
        instant = (
            value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        )
    except ValueError:
        return text(value)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=dt.UTC)
    try:
        local, name = instant.astimezone(ZoneInfo(zone or "UTC")), zone or "UTC"
    except (ZoneInfoNotFoundError, ValueError, OSError):
        local, name = instant.astimezone(dt.UTC), "UTC"
    return f"{day(local)}, {local:%H:%M} ({name})"
