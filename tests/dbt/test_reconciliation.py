"""Reconciliation currency by currency: what is lost in one currency and gained in another is no agreement."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warehouse import Landing, Row, Warehouse

CELL = {"ad_account_id": "a", "level": "campaign", "spend_date": "2026-01-02"}
PARTS = ("control", "fact", "held", "quarantined", "deduplicated")


def ad(campaign: str, spend: str, currency: str | None, **more: str) -> Row:
    return {**CELL, "campaign_id": campaign, "spend_amount": spend, "currency": currency, **more}


def landed(root: Path) -> Landing:
    """One cell in the currencies that a file writes in its own words, and a stream of which nothing is left."""
    landing = Landing(root / "landing")
    iso = {"format": "%Y-%m-%d"}
    ads = landing.declare(
        "ads",
        "ads",
        "performance_daily",
        partition=["ad_account_id", "spend_date"],
        key=["spend_date", "ad_account_id", "campaign_id"],
        columns={"spend_date": iso, "currency": {"map": {"US-Dollar": "USD", "Franken": "CHF"}}},
        null_words=["", "n/a"],
    )
    whole = landing.declare("whole", "sheet", "performance_daily", replaces="file", columns={"spend_date": iso})
    fx = landing.declare("fx", "rates", "fx_rates", replaces="file", columns={"rate_date": iso})
    known = "2026-01-04 06:00:00"
    rate = {"rate_date": "2026-01-02", "base_currency": "USD", "quote_currency": "EUR", "rate": "0.9"}
    landing.load(fx, known, {"r.csv": [rate]})
    landing.load(
        ads,
        known,
        {
            "early.csv": [ad("c1", "1000", "EUR"), ad("c2", "1000", "Taler")],
            "late.csv": [
                ad("c1", "10.50", "EUR"),
                ad("c2", "20", "US-Dollar"),
                ad("c2", "20", "US-Dollar"),
                ad("c3", "30", "Franken"),
                ad("c4", "40", "Taler"),
                ad("c5", "50", "n/a"),
                ad("c6", "60", "EUR", level="planet"),
                ad("c7", "much", "EUR"),
            ],
        },
    )
    landing.load(whole, known, {"a.csv": [ad("p", "5", "EUR")]})
    landing.load(whole, "2026-01-05 06:00:00", {"a.csv": []})
    return landing


def add(covers: Path, amounts: dict[str, str]) -> None:
    """Let the second reader have found more, or less, in a currency."""
    table = pq.read_table(covers)
    rows = table.to_pylist()
    for row in rows:
        row["control_spend_amount"] += Decimal(amounts.get(row["control_currency"], 0))
    pq.write_table(pa.Table.from_pylist(rows, table.schema), covers)


def test_every_currency_of_a_cell_is_reconciled_on_its_own(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb", tmp_path)
    warehouse.build(
        landed(tmp_path).vars(), "--select", "+reconciliation", "+row_ledger", "--exclude-resource-type", "unit_test"
    )
    amounts = ", ".join(f"{part}_amount" for part in PARTS)
    found = warehouse.rows(f"select currency, {amounts}, difference from metadata.reconciliation order by all")
    assert [(currency, *(str(a.normalize()) for a in row)) for currency, *row in found] == [
        ("CHF", "3E+1", "0", "3E+1", "0", "0", "0"),
        ("EUR", "70.5", "10.5", "0", "6E+1", "0", "0"),
        ("USD", "4E+1", "2E+1", "0", "0", "2E+1", "0"),
        ("unknown", "0", "0", "0", "0", "0", "0"),  # the stream whose file was emptied
        ("unknown", "9E+1", "0", "0", "9E+1", "0", "0"),  # no word, and a word that is no currency
    ]
    assert warehouse.rows(
        "select count(*) from intermediate.int_conformed__cells where contract = 'performance_daily'"
    ) == [(7,)]
    assert warehouse.rows("select max(abs(row_difference)) from metadata.row_ledger") == [(0,)]


@pytest.mark.long
@pytest.mark.parametrize("amounts", [{"EUR": "7", "US-Dollar": "-7"}, {"Taler": "-0.000001", "Franken": "0.000001"}])
def test_errors_in_two_currencies_do_not_cancel(tmp_path: Path, amounts: dict[str, str]) -> None:
    landing = landed(tmp_path)
    [covers] = (tmp_path / "landing" / "ads").glob("*/load=*/covers.parquet")
    add(covers, amounts)
    warehouse = Warehouse(tmp_path / "warehouse.duckdb", tmp_path)
    done = warehouse.run(
        landing.vars(), "--select", "+assert_spend_equals_control_totals", "--exclude-resource-type", "unit_test"
    )
    assert done.returncode != 0
    assert "assert_spend_equals_control_totals" in done.stdout.split("Completed with")[1]
    assert warehouse.rows(
        "select sum(difference), count(*) filter (where difference <> 0) from metadata.reconciliation"
    ) == [(Decimal(0), 2)]
