"""What each section of the page shows, from the rows of its queries; None where the installation has nothing for it.

Nothing is added up here: sums, rates and marks come from the queries, so that whoever asks again gets the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from onefunnel.report import charts
from onefunnel.report.queries import Row
from onefunnel.report.written import day, money, months, percent, text

LONGEST_FIGURE = 10**9  # from here on a table is in thousands, so that all of its columns stay in sight
MAX_CHANGES = 24
MAX_QUARANTINE = 15
WINDOWS = {1: "Twelve full months", 2: "Last full quarter", 3: "Last full month"}
CONVERSIONS = {"lead": "Leads", "won": "Won deals"}
Answers = Mapping[str, list[Row]]


def cards(answers: Answers, currency: str) -> list[dict[str, str]]:
    """The figures that the page opens with; one that the installation has no data for is left out."""
    found = [_spend_card(answers, currency), _bookings_card(answers, currency), _handoff_card(answers)]
    return [card for card in found if card]


def _spend_card(answers: Answers, currency: str) -> dict[str, str] | None:
    if answers["spend_total"][0]["first_date"] is None:
        return None
    month = last_month(answers["spend_last_full_month"])
    note = "No spend is recorded for the last full month."
    if month["amount"] is not None:
        note = f"{month['change']} against the month before. " if month["change"] else ""
        note += "Final." if month["is_final"] else "Days of it may still change."
    unit = currency if month["amount"] is not None else ""
    return {
        "title": f"Ad spend, {month['name']}", "figure": money(month["amount"]), "unit": unit, "note": note,
        "query": "spend_last_full_month",
    }  # fmt: skip


def _bookings_card(answers: Answers, currency: str) -> dict[str, str] | None:
    row = next((r for r in answers["bookings_against_plan"] if r["is_complete_period"] and not r["is_total"]), None)
    if row is None or row["actual_amount_rc"] is None:
        return None
    note = "There is no quota or target for the month."
    if row["attainment"] is not None:
        note = f"{percent(row['attainment'])} of the {row['basis']} of {money(row['attainment_denominator_rc'])} {currency}."
    return {
        "title": f"Bookings, {row['period_start']:%B %Y}", "figure": money(row["actual_amount_rc"]), "unit": currency,
        "note": note, "query": "bookings_against_plan",
    }  # fmt: skip


def _handoff_card(answers: Answers) -> dict[str, str] | None:
    row = next((r for r in answers["handoff"] if r["place"] == 1), None)
    if row is None or row["handoff_rate"] is None:
        return None
    few = " Few: fewer than 30." if row["is_thin"] else ""
    note = (
        f"{money(row['accepted_handoffs'])} of {money(row['decided_handoffs'])} hand-offs that sales decided on.{few}"
    )
    return {
        "title": f"Leads accepted, {months(row['from_date'], row['until_date'])}", "unit": "",
        "figure": percent(row["handoff_rate"]), "note": note, "query": "handoff",
    }  # fmt: skip


def last_month(rows: list[Row]) -> dict[str, Any]:
    """The last full month with its change against the month before (a share; None where it means nothing)."""
    if not rows or rows[0]["month_start_date"] is None:
        return {"name": "last full month", "amount": None, "change": None, "is_final": True}
    row = rows[0]
    amount, before = row["spend_amount_rc"], row["before_amount_rc"]
    change = None
    is_comparable = row["first_date"] is not None and row["first_date"] <= row["before_start_date"]
    if is_comparable and amount is not None and before is not None and before > 0:
        change = f"{(amount / before - 1) * 100:+.1f} %".replace("-", "−")
    return {"name": f"{row['month_start_date']:%B %Y}", "amount": amount, "change": change, "is_final": row["is_final"]}


def funnel(rows: list[Row]) -> dict[str, Any] | None:
    """The agreed steps with the bar of each; None where nothing passed through the funnel in the months shown."""
    largest = max((row["reached_journeys"] for row in rows), default=0)
    if not largest and not any(row["before_reached_journeys"] for row in rows):
        return None
    steps = [row | {"bar": _share_of(row["reached_journeys"], largest)} for row in rows]
    first = rows[0]
    agreements = sorted({(row["agreed_by_role"], row["agreed_on"]) for row in rows}, key=str)
    return {
        "steps": steps,
        "latest": months(first["from_date"], first["until_date"]),
        "before": months(first["before_date"], first["from_date"]),
        "agreements": [
            {
                "role": role,
                "on": on,
                "steps": [r["step_name"] for r in rows if (r["agreed_by_role"], r["agreed_on"]) == (role, on)],
            }
            for role, on in agreements
        ],
    }


def returned(answers: Answers) -> dict[str, Any] | None:
    """Spend and credit per window and channel; None where nothing is credited to anybody."""
    windows: list[dict[str, Any]] = [
        {
            "title": f"{WINDOWS[place]}, {months(rows[0]['from_date'], rows[0]['until_date'])}",
            "rows": _with_bars([r for r in rows if not r["is_total"]]),
            "total": next(r for r in rows if r["is_total"]),
        }
        for place, rows in _grouped(answers["spent_and_returned"], lambda row: row["window_place"])
    ]
    models = [
        f"{CONVERSIONS.get(m['conversion_type'], m['conversion_type'])}: {_model(m)}" for m in answers["primary_models"]
    ]
    if not windows or not models:
        return None
    whole = windows[0]["total"]
    is_unbooked = whole["credited_deals"] > 0 and whole["credited_amount_rc"] == 0
    return {"windows": windows, "models": models, "is_unbooked": is_unbooked}


def _model(row: Row) -> str:
    return (
        f"model {text(row['model'])}, touches of the {text(row['path_unit'])} in the {row['lookback_days']} days before"
    )


def _with_bars(rows: list[Row]) -> list[Row]:
    largest = max((max(row["spend_amount_rc"], row["credited_amount_rc"]) for row in rows), default=0)
    return [
        row
        | {
            "spend_bar": _share_of(row["spend_amount_rc"], largest),
            "credit_bar": _share_of(row["credited_amount_rc"], largest),
        }
        for row in rows
    ]


def plan(answers: Answers, currency: str) -> dict[str, Any] | None:
    """Bookings against plan by month and by territory; None where nothing is booked and nothing planned."""
    rows, nodes = answers["bookings_against_plan"], answers["bookings_and_plans_by_territory"]
    if not rows and not nodes:
        return None
    months_shown = [row for row in rows if not row["is_total"]]
    booked = [row for row in months_shown if row["actual_amount_rc"] is not None]
    quarters = [
        {
            "title": months(of[0]["period_start"], of[0]["period_end"]),
            "is_complete": of[0]["is_complete_period"],
            "rows": of,
            "has_plan": any(row["basis"] for row in of),
            "has_team_plans": any(_team_plans(row) for row in of),
        }
        for _, of in _grouped(nodes, lambda row: row["period_start"])
    ]
    return {
        "months": months_shown,
        "has_plan": any(row["basis"] for row in months_shown),
        "total": next((row for row in rows if row["is_total"]), None),
        "svg": charts.bookings_by_month(booked[::-1], currency) if booked else "",
        "quarters": quarters,
    }


def gap_in_words(row: Row) -> str:
    """Which team plans more; the sign alone would have to be explained."""
    gap = row["alignment_gap_amount_rc"]
    if gap is None:
        return "one plan is missing" if _team_plans(row) else "neither team plans"
    if gap == 0:
        return "both plan the same"
    return f"{'sales' if gap > 0 else 'marketing'} plans more"


def _team_plans(row: Row) -> bool:
    """At least one of the two teams has a plan for the node."""
    return row["plan_sales_amount_rc"] is not None or row["plan_marketing_amount_rc"] is not None


def changes(rows: list[Row], run: Row) -> dict[str, Any]:
    """What readers of the version before would find different."""
    before, now = run.get("previous_as_of"), run.get("as_of")
    return {
        "is_first": before is None,
        "is_comparable": before is not None and now is not None and before < now,
        "rows": rows[:MAX_CHANGES],
        "more": max(0, len(rows) - MAX_CHANGES),
    }


@dataclass(frozen=True)
class ChannelTable:
    """The chart and the very numbers that it draws, in `unit`: months down, channels across."""

    unit: str
    channels: list[tuple[str, str]]
    rows: list[tuple[str, list[Decimal | None], Decimal]]
    sums: list[Decimal]
    svg: str
    folded: int
    left_out: int


def channel_table(rows: list[Row], currency: str, as_of: dt.datetime | None) -> ChannelTable | None:
    """Spend by channel and month as a table and a chart; None where there is no spend at all."""
    cells = {(row["month_start_date"], row["place"]): row["spend_amount_rc"] for row in rows}
    names = {row["place"]: row for row in rows if row["place"] is not None and row["month_start_date"] is None}
    if not names:
        return None
    seen = [row["month_start_date"] for row in rows if row["month_start_date"] is not None]
    axis = month_range(min(seen), max(seen))
    paint = charts.colours(list(names), next((p for p, row in names.items() if row["folded_channels"]), None))
    series = {place: {m: float(cells[m, place]) for m in axis if (m, place) in cells} for place in names}
    size = 1000 if max(abs(cells[None, place]) for place in names) >= LONGEST_FIGURE else 1
    table = [
        (
            _month_name(month, as_of),
            [None if (amount := cells.get((month, place))) is None else amount / size for place in names],
            cells.get((month, None), Decimal(0)) / size,
        )
        for month in reversed(axis)
    ]
    return ChannelTable(
        unit=currency if size == 1 else f"thousand {currency}",
        channels=[(text(row["channel_name"]), paint[place]) for place, row in names.items()],
        rows=table,
        sums=[cells[None, place] / size for place in (*names, None)],
        svg=charts.spend_by_month(series, axis, currency, paint),
        folded=max(row["folded_channels"] for row in names.values()),
        left_out=rows[0]["earlier_months"],
    )


def _month_name(month: dt.date, as_of: dt.datetime | None) -> str:
    """The month, and whether it is still running."""
    is_running = as_of is not None and (month.year, month.month) >= (as_of.year, as_of.month)
    return f"{month:%b %Y}" + (", so far" if is_running else "")


def month_range(first: dt.date, last: dt.date) -> list[dt.date]:
    """First days of all months from one to the other."""
    found, month = [], first.replace(day=1)
    while month <= last:
        found.append(month)
        month = (month + dt.timedelta(days=32)).replace(day=1)
    return found


def source_row(row: Row, as_of: dt.datetime | None) -> Row:
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


def quarantine(rows: list[Row]) -> dict[str, Any]:
    """The largest groups of rows that are not in the reports, and how many groups more there are."""
    return {"rows": rows[:MAX_QUARANTINE], "more": max(0, len(rows) - MAX_QUARANTINE)}


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> Sequence[tuple[Any, list[Row]]]:
    return [(value, list(of)) for value, of in groupby(rows, key)]


def _share_of(part: Decimal | int, whole: Decimal | int) -> float:
    """Length of a bar in per cent; what is negative has none."""
    return round(float(max(part, 0) / whole * 100), 1) if whole > 0 else 0.0
