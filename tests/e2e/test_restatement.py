"""What changed since the version before is what lies between the two published files, row by row, with its cause."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from published import Published, published

from onefunnel.report import queries

__all__ = ["published"]  # the fixture

GRAIN = "source_system, stream, ad_account_id, level, campaign_id, ad_group_id, ad_id, currency, spend_date"
Change = tuple[str, str, object, str]
Amounts = dict[Change, list[Decimal]]


def spend_of(company: Published, day: int) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The current spend of a day's file by grain."""
    rows = company.rows(
        f"select {GRAIN}, sum(spend_amount) as amount, sum(spend_amount_rc) as amount_rc, bool_and(is_final) as is_final"
        " from marts.fct_ad_spend where is_current group by all",
        day,
    )
    return {tuple(row[name] for name in GRAIN.split(", ")): dict(row) for row in rows}


def bookings_of(company: Published, day: int) -> dict[Any, dict[str, Any]]:
    """The bookings of a day's file by event."""
    rows = company.rows("select * from marts.fct_revenue where is_booking", day)
    return {row["revenue_key"]: dict(row) for row in rows}


def note(
    found: Amounts, metric: str, row: dict[str, Any], date: object, cause: str, side: int, amount: Decimal
) -> None:
    found[metric, row["source_system"], date, cause][side] += amount


def between_the_files(company: Published) -> Amounts:
    """(metric, source, day, cause) -> what it was and what it is, from nothing but the two files."""
    found: Amounts = defaultdict(lambda: [Decimal(0), Decimal(0)])
    before, now = spend_of(company, 1), spend_of(company, 2)
    last: dict[str, Any] = {}
    for row in before.values():
        last[row["source_system"]] = max(row["spend_date"], last.get(row["source_system"], row["spend_date"]))
    for key in before.keys() | now.keys():
        old, new = before.get(key), now.get(key)
        either: dict[str, Any] = old or new or {}
        if old and new and old["amount_rc"] == new["amount_rc"]:
            continue
        if old is None:
            reached = last.get(either["source_system"])
            cause = "late" if reached is not None and either["spend_date"] <= reached else "new_day"
        elif new and old["amount"] == new["amount"]:
            cause = "rate"
        else:
            cause = "corrected" if old["is_final"] else "restated"
        for side, row in enumerate((old, new)):
            if row is not None:
                note(found, "spend", row, row["spend_date"], cause, side, row["amount_rc"])
    seen = company.ask("select as_of from metadata.run_info", 1)
    before, now = bookings_of(company, 1), bookings_of(company, 2)
    for key in before.keys() | now.keys():
        old, new = before.get(key), now.get(key)
        if (
            old
            and new
            and (old["booked_amount_rc"], old["booked_date"]) == (new["booked_amount_rc"], new["booked_date"])
        ):
            continue
        if old is None and new is not None:
            cause = "new_day" if new["booked_at"] > seen else "late"
        else:
            same = old and new and all(old[c] == new[c] for c in ("booked_amount", "currency", "booked_date"))
            cause = "rate" if same else "restated"
        for side, row in enumerate((old, new)):
            if row is not None:
                note(found, "bookings", row, row["booked_date"], cause, side, row["booked_amount_rc"])
    return dict(found)


def test_every_change_is_told_with_its_cause_and_nothing_else(published: Published) -> None:
    rows = published.rows("select * from marts.fct_restatement")
    told: Amounts = {
        (r["metric"], r["source_system"], r["amount_date"], r["cause"]): [r["before_amount_rc"], r["amount_rc"]]  # type: ignore[misc, list-item]
        for r in rows
    }
    assert told == between_the_files(published)
    assert {cause for *_, cause in told} >= {"new_day", "late", "restated"}


def test_the_first_version_has_nothing_to_tell(published: Published) -> None:
    assert published.rows("select * from marts.fct_restatement", 1) == []
    before = "select previous_run_id is null and previous_as_of is null from metadata.run_info"
    assert (published.ask(before, 1), published.ask(before, 2)) == (True, False)
    assert (
        published.ask("select previous_run_id || ' ' || previous_as_of from metadata.run_info")
        == "day1 2026-04-01 06:00:00"
    )


def test_the_page_shows_each_month_as_both_files_have_it(published: Published) -> None:
    month = "cast(date_trunc('month', {}) as date)"
    facts = {
        "Ad spend": f"select {month.format('spend_date')} as month, sum(spend_amount_rc) as amount from marts.fct_ad_spend"
        " where is_current group by all",
        "Bookings": f"select {month.format('booked_date')} as month, sum(booked_amount_rc) as amount from marts.fct_revenue"
        " where is_booking group by all",
    }
    shown = queries.ask(published.version(2))["changes_since_the_version_before"]
    for name, sql in facts.items():
        before, now = ({r["month"]: r["amount"] for r in published.rows(sql, day)} for day in (1, 2))
        rows = {r["month_start_date"]: r for r in shown if r["metric_name"] == name}
        assert {m for m in before.keys() | now.keys() if before.get(m) != now.get(m)} <= rows.keys()
        for at, row in rows.items():
            assert (row["before_amount_rc"], row["amount_rc"]) == (before.get(at, 0), now.get(at, 0)), (name, at)
            causes = [row[c] or 0 for c in ("new_day_rc", "late_rc", "restated_rc", "corrected_rc", "rate_rc")]
            assert sum(causes) == row["change_rc"] == row["amount_rc"] - row["before_amount_rc"]
