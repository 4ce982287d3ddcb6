"""Freshness has one definition: the newest day of a stream may be as many days before as-of as its rhythm declares."""

from __future__ import annotations

import datetime as dt

import pytest
from warehouse import CONTRACTS, Landing, Row, Warehouse

AS_OF = dt.date(2026, 3, 10)
ISO = {"format": "%Y-%m-%d"}


def ad(day: dt.date, currency: str = "EUR") -> Row:
    return {
        "ad_account_id": "a",
        "level": "campaign",
        "campaign_id": "c",
        "spend_date": day.isoformat(),
        "currency": currency,
        "spend_amount": "1",
    }


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | None, int | None, str | None, bool]]:
    """Per source: last day, declared rhythm, late since when, never delivered."""
    root = tmp_path_factory.mktemp("freshness")
    landing = Landing(root / "landing", as_of=f"{AS_OF} 06:00:00")
    known = f"{AS_OF} 06:00:00"

    def spend(source: str, days_back: int, within: int, stream: str = "daily", currency: str = "EUR") -> None:
        landing.declare(
            f"{source}.{stream}",
            source,
            "performance_daily",
            stream=stream,
            replaces="file",
            columns={"spend_date": ISO},
            fresh_within_days=within,
        )
        row = ad(AS_OF - dt.timedelta(days=days_back), currency)
        landing.load(f"{source}.{stream}", known, {"a.csv": [ad(dt.date(2026, 1, 1)), row]})

    spend("at_the_limit", 1, 1)
    spend("past_it", 2, 1)
    spend("monthly", 35, 35)
    spend("monthly_late", 40, 35)
    spend("tomorrow_somewhere", -1, 1)
    spend("slip_of_the_year", -3652, 35)
    spend("unconverted", 0, 0, currency="JPY")
    spend("of_two_streams", 1, 1)
    spend("of_two_streams", 50, 35, stream="invoices")
    landing.declare("rates", "rates", "fx_rates", replaces="file", columns={"rate_date": ISO}, fresh_within_days=5)
    rate: Row = {"rate_date": "2026-03-04", "base_currency": "USD", "quote_currency": "EUR", "rate": "0.9"}
    landing.load("rates", known, {"r.csv": [rate]})
    campaign: Row = {"ad_account_id": "a", "campaign_id": "c", "campaign_name": "C"}
    for source in ("list_alone", "list_first"):
        landing.declare(f"{source}.campaigns", source, "campaigns", replaces="file")
        landing.load(f"{source}.campaigns", "2026-03-08 06:00:00", {"c.csv": [campaign]})
    for source in ("list_first", "never"):
        landing.declare(f"{source}.daily", source, "performance_daily", replaces="file", columns={"spend_date": ISO})
    warehouse = Warehouse(root / "warehouse.duckdb", root)
    warehouse.build(
        landing.vars(),
        "--select",
        "+dq_status",
        "--exclude-resource-type",
        "unit_test",
        "--exclude-resource-type",
        "test",
    )
    return {
        source: (last and str(last), within, since and str(since), never)
        for source, last, within, since, never in warehouse.rows(
            "select source_system, source_max_date, fresh_within_days, stale_since, is_never_delivered"
            " from metadata.dq_status where mart = 'fct_ad_spend'"
        )
    }


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("at_the_limit", ("2026-03-09", 1, None, False)),
        ("past_it", ("2026-03-08", 1, "2026-03-10", False)),
        ("monthly", ("2026-02-03", 35, None, False)),
        ("monthly_late", ("2026-01-29", 35, "2026-03-06", False)),
        ("tomorrow_somewhere", ("2026-03-11", 1, None, False)),
        ("slip_of_the_year", ("2026-01-01", 35, "2026-02-06", False)),  # one row of 2036 does not make it fresh
        ("unconverted", ("2026-03-10", 0, None, False)),  # it has arrived, although it waits for its rate
        ("of_two_streams", ("2026-03-09", 35, "2026-02-24", False)),  # the stream that is late speaks for the source
        ("rates", ("2026-03-04", 5, "2026-03-10", False)),
        ("list_alone", (None, None, None, False)),
        ("list_first", (None, 3, "2026-03-08", False)),  # its spend never came, its campaigns did
        ("never", (None, None, None, True)),
    ],
)
def test_a_source_is_late_when_its_rhythm_has_run_out(
    status: dict[str, tuple[object, ...]], source: str, says: tuple[object, ...]
) -> None:
    assert status[source] == says


def test_the_day_of_a_contract_is_one_of_its_required_columns() -> None:
    days = {name: contract["day"] for name, contract in CONTRACTS.items() if "day" in contract}
    assert {"performance_daily", "fx_rates"} <= days.keys()
    for name, day in days.items():
        column = CONTRACTS[name]["columns"][day]
        assert column["type"] in ("date", "timestamp") and column["required"], name
