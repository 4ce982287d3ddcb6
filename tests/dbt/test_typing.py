"""Strict typing of landed text: what a declared dialect reads, and what it must refuse."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from warehouse import Landing, Row, Warehouse, read_number

DOT: dict[str, Any] = {"decimal": ".", "grouping": ""}
COMMA: dict[str, Any] = {"decimal": ",", "grouping": "."}
SPACED: dict[str, Any] = {"decimal": ",", "grouping": "\u00a0"}
APOSTROPHE: dict[str, Any] = {"decimal": ".", "grouping": "'"}


@dataclass(frozen=True)
class Case:
    column: str
    dialect: dict[str, Any]
    text: str
    value: Any
    declared: dict[str, Any] | None = None


def amount(dialect: dict[str, Any], text: str, value: str | None, prefix: str | None = None) -> Case:
    return Case(
        "spend_amount", dialect, text, None if value is None else Decimal(value), {"prefix": prefix} if prefix else None
    )


def day(format_: str, text: str, value: str | None, **declared: Any) -> Case:
    return Case(
        "spend_date",
        DOT,
        text,
        None if value is None else dt.date.fromisoformat(value),
        {"format": format_, **declared},
    )


CASES = [
    amount(DOT, "12.34", "12.34"),
    amount(DOT, "-12.34", "-12.34"),
    amount(DOT, "0", "0"),
    amount(DOT, "-0", "0"),
    amount(DOT, "007", "7"),
    amount(DOT, "12.345678", "12.345678"),
    amount(DOT, "999999999999.999999", "999999999999.999999"),
    amount(DOT, "1000000000000", None),
    amount(DOT, "12.3456789", None),
    amount(DOT, "12.", None),
    amount(DOT, ".5", None),
    amount(DOT, "1_000", None),
    amount(DOT, "0x10", None),
    amount(DOT, "1e3", None),
    amount(DOT, " 12 ", None),
    amount(DOT, "12 ", None),
    amount(DOT, "12\n", None),
    amount(DOT, "\t12", None),
    amount(DOT, "NaN", None),
    amount(DOT, "infinity", None),
    amount(DOT, "-inf", None),
    amount(DOT, "+12", None),
    amount(DOT, "--12", None),
    amount(DOT, "12-", None),
    amount(DOT, "(12)", None),
    amount(DOT, "12,34", None),
    amount(DOT, "1,234.50", None),
    amount(DOT, "1.2.3", None),
    amount(DOT, "\u0661\u0662", None),
    amount(DOT, "\uff11\uff12", None),
    amount(DOT, "12%", None),
    amount(DOT, "-", None),
    amount(DOT, "null", None),
    amount(DOT, "true", None),
    amount(DOT, "12\u00a0", None),
    amount(DOT, "1\u00b2", None),
    amount(DOT, "$12", None),
    amount(DOT, "R$ 12", None),
    amount(DOT, "'12'", None),
    amount(DOT, "12;", None),
    amount(COMMA, "1.234,50", "1234.50"),
    amount(COMMA, "1.234.567,5", "1234567.5"),
    amount(COMMA, "1234,50", "1234.50"),
    amount(COMMA, "1.234", "1234"),
    amount(COMMA, "-1.234,5", "-1234.5"),
    amount(COMMA, "1.23,4", None),
    amount(COMMA, "12.34", None),
    amount(COMMA, "1234.567", None),
    amount(COMMA, ".123", None),
    amount(COMMA, "1..234", None),
    amount(COMMA, "1,234.5", None),
    amount(COMMA, "1.234,5,6", None),
    amount(SPACED, "1\u00a0234,5", "1234.5"),
    amount(SPACED, "1 234,5", None),
    amount(APOSTROPHE, "1'234.5", "1234.5"),
    amount(APOSTROPHE, "1'23.5", None),
    amount(DOT, "R$ 12.34", "12.34", "R$ "),
    amount(DOT, "-R$ 12.34", "-12.34", "R$ "),
    amount(DOT, "R$ -12.34", "-12.34", "R$ "),
    amount(DOT, "12.34", None, "R$ "),
    amount(DOT, "R$12.34", None, "R$ "),
    amount(DOT, "-R$ -12.34", None, "R$ "),
    amount(DOT, "R$ R$ 12", None, "R$ "),
    amount(DOT, "R$ ", None, "R$ "),
    amount(DOT, "Rx 12", None, "R$ "),
    Case("clicks", DOT, "12", 12),
    Case("clicks", DOT, "-3", -3),
    Case("clicks", DOT, "12.0", None),
    Case("clicks", DOT, "1e3", None),
    Case("clicks", DOT, "9223372036854775807", 9223372036854775807),
    Case("clicks", DOT, "9223372036854775808", None),
    Case("clicks", DOT, "1 000", None),
    Case("clicks", COMMA, "1.000", 1000),
    Case("clicks", COMMA, "10.00", None),
    Case("clicks", DOT, "0b1", None),
    Case("spend_amount", DOT, "1234567", Decimal("1.234567"), {"unit": "micros"}),
    Case("spend_amount", DOT, "-5", Decimal("-0.000005"), {"unit": "micros"}),
    Case("spend_amount", DOT, "0", Decimal(0), {"unit": "micros"}),
    Case("spend_amount", DOT, "999999999999999999", Decimal("999999999999.999999"), {"unit": "micros"}),
    Case("spend_amount", DOT, "1000000000000000000", None, {"unit": "micros"}),
    Case("spend_amount", DOT, "1234567.0", None, {"unit": "micros"}),
    Case("spend_amount", DOT, "-", None, {"unit": "micros"}),
    Case("claimed_leads", DOT, "12.333333333333334", Decimal("12.333333"), {"rounded": True}),
    Case("claimed_leads", DOT, "0.0000005", Decimal("0.000001"), {"rounded": True}),
    Case("claimed_leads", DOT, "-0.33333333333333333333333", Decimal("-0.333333"), {"rounded": True}),
    Case("claimed_leads", DOT, "1.5E-4", Decimal("0.00015"), {"rounded": True}),
    Case("claimed_leads", DOT, "7", Decimal(7), {"rounded": True}),
    Case("claimed_leads", DOT, "1e400", None, {"rounded": True}),
    Case("claimed_leads", DOT, "NaN", None, {"rounded": True}),
    Case("claimed_leads", DOT, "1,5", None, {"rounded": True}),
    Case("claimed_leads", DOT, "0.5", Decimal("0.5")),
    Case("claimed_leads", DOT, "0.1234567", None),
    day("%Y-%m-%d", "2024-02-29", "2024-02-29"),
    day("%Y-%m-%d", "2023-02-29", None),
    day("%Y-%m-%d", "2024-1-5", "2024-01-05"),
    day("%Y-%m-%d", "24-01-05", None),
    day("%Y-%m-%d", "2024-01-05T00:00:00", None),
    day("%Y-%m-%d", "2024-13-01", None),
    day("%Y-%m-%d", "epoch", None),
    day("%Y-%m-%d", "infinity", None),
    day("%Y-%m-%d", "today", None),
    day("%Y-%m-%d", "2024-01-05\n", None),
    day("%Y-%m-%d", " 2024-01-05", None),
    day("%Y-%m-%d", "0024-01-05", None),
    day("%Y-%m-%d", "20240105", None),
    day("%Y-%m-%d", "\u0662\u0660\u0662\u0664-01-05", None),
    day("%Y-%m-%d", "2024-00-10", None),
    day("%Y-%m-%d", "2024-01-00", None),
    day("%d/%m/%Y", "31/01/2021", "2021-01-31"),
    day("%d/%m/%Y", "31/02/2021", None),
    day("%d/%m/%Y", "29/02/2021", None),
    day("%d/%m/%Y", "01/31/2021", None),
    day("%d/%m/%Y", "1/2/2021", "2021-02-01"),
    day("%d/%m/%Y", "001/02/2021", None),
    day("%d/%m/%Y", "1/2/21", None),
    day("%d/%m/%Y", "1-2-2021", None),
    day("%m/%d/%y", "2/1/21", "2021-02-01"),
    day("%m/%d/%y", "2/1/2021", None),
    day("%m/%d/%y", "02/01/21 ", None),
    day("%Y%m%d", "20240105", "2024-01-05"),
    day("%Y%m%d", "2024015", None),
    day("%Y%m%d", "2024-01-05", None),
    day("%d %b %Y", "5 Jan 2024", "2024-01-05"),
    day("%d %b %Y", "5 Jän 2024", None),
    day("%d.%m.%Y", "05.01.2024", "2024-01-05"),
    day("%d.%m.%Y", "05x01x2024", None),
    day("%Y-%m-%d 00:00:00", "2024-01-05 00:00:00", "2024-01-05"),
    day("%Y-%m-%d 00:00:00", "2024-01-05 08:30:00", None),
    day("%Y-%m-%d", "2024-02-28", "2024-02-29", add_days=1),
    day("%Y-%m-%d", "2023-12-31", "2024-01-01", add_days=1),
    day("%Y-%m-%d", "2024-03-01", "2024-02-29", add_days=-1),
    day("%Y-%m-%d", "2023-02-29", None, add_days=1),
    day("%Y-%m-%d", "2024-Q1", "2024-04-01", map={"2024-Q1": "2024-03-31"}, add_days=1),
    day("%Y-%m-%d", "2024-Q2", None, map={"2024-Q1": "2024-03-31"}, add_days=1),
    day("%Y-%m-%d", "2024-Q1", None, map={"2024-Q1": "31.03.2024"}),
    Case("currency", DOT, "EUR", "EUR"),
    Case("currency", DOT, "DEM", "DEM"),  # withdrawn, and still the money of old bookings
    Case("currency", DOT, "eur", None),
    Case("currency", DOT, "XXX", None),
    Case("currency", DOT, "EURO", None),
    Case("currency", DOT, "EUR ", None),
    Case("currency", DOT, "\u20ac", None),
    Case("currency", DOT, "euro", "EUR", {"map": {"euro": "EUR"}}),
    Case("reported_at", DOT, "2024-01-05 06:00:00", dt.datetime(2024, 1, 5, 6, tzinfo=dt.UTC).replace(tzinfo=None)),
    Case("reported_at", DOT, "not placed", None),
    Case("channel", DOT, "n/a", None),
    Case("campaign_name", DOT, " as it is ", " as it is "),
]
RATES = [
    ("0.91", "0.91"),
    ("1.123456789", "1.123456789"),
    ("1.1234567891", None),
    ("0", None),
    ("-1.1", None),
    ("0.000000000", None),
    ("1e-3", None),
    ("inf", None),
]


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Every case is one row of one load of its dialect; the line of a row is its place in CASES."""
    root = tmp_path_factory.mktemp("typing")
    landing = Landing(root / "landing")
    good: Row = {
        "ad_account_id": "a",
        "level": "account",
        "spend_date": "2024-01-05",
        "currency": "EUR",
        "spend_amount": "1",
    }
    for number, case in enumerate(CASES):
        columns = {"spend_date": {"format": "%Y-%m-%d"}, **({case.column: case.declared} if case.declared else {})}
        settings = next(
            (
                i
                for i, d in landing.dialects.items()
                if d["columns"] == columns
                and d["decimal"] == case.dialect["decimal"]
                and d["grouping"] == case.dialect["grouping"]
            ),
            None,
        )
        if settings is None:
            settings = landing.declare(
                f"d{len(landing.dialects)}",
                "ads",
                "performance_daily",
                replaces="file",
                columns=columns,
                null_words=["", "n/a"],
                stream=f"s{len(landing.dialects)}",
                **case.dialect,
            )
        row: Row = {**good, case.column: case.text, "ad_account_id": str(number)}
        if case.column == "reported_at" and case.value is not None:
            row["reported_at_utc"] = str(case.value)
        landing.load(settings, "2026-01-10 06:00:00", {f"{number}.csv": [row]})
    rates = landing.declare("fx", "rates", "fx_rates", replaces="file", columns={"rate_date": {"format": "%Y-%m-%d"}})
    landing.load(
        rates,
        "2026-01-10 06:00:00",
        {
            "r.csv": [
                {"rate_date": "2026-01-01", "base_currency": "USD", "quote_currency": "EUR", "rate": text}
                for text, _ in RATES
            ]
        },
    )
    warehouse = Warehouse(root / "warehouse.duckdb", root)
    warehouse.build(landing.vars(), "--select", "staging", command="run")
    return warehouse


def test_every_landed_text_is_read_exactly_or_refused(typed: Warehouse) -> None:
    columns = sorted({case.column for case in CASES})
    read = {
        int(r[0]): dict(zip(columns, r[1:], strict=True))
        for r in typed.rows(f"select ad_account_id, {', '.join(columns)} from staging.stg_files__performance_daily")
    }
    refused = {
        int(r[0]): r[1]
        for r in typed.rows(
            "select json_extract_string(original_text, '$.ad_account_id'), reject_column from staging.stg_files__performance_daily__rejected"
        )
    }
    wrong = []
    for number, case in enumerate(CASES):
        null_word = case.text == "n/a"
        if case.value is None and not null_word:
            if refused.get(number) != case.column:
                wrong.append((case, "should be refused", read.get(number)))
        elif number not in read or read[number][case.column] != case.value:
            wrong.append((case, read.get(number, {}).get(case.column), refused.get(number)))
    assert wrong == []
    assert len(read) + len(refused) == len(CASES) > 60


def test_the_second_reader_agrees_on_every_number() -> None:
    """The hand-written reader that the control totals of these tests come from reads what the table of cases says."""
    for case in CASES:
        if case.column in ("spend_amount", "clicks"):
            kind = "amount" if case.column == "spend_amount" else "integer"
            number = read_number(case.text, kind, {**case.dialect, "null_words": [""]}, case.declared or {})
            if case.value is not None:
                assert number == case.value, case


def test_only_positive_rates_are_rates(typed: Warehouse) -> None:
    read = {str(r[0]) for r in typed.rows("select rate::double from staging.stg_files__fx_rates")}
    assert read == {str(float(value)) for _, value in RATES if value}
    assert typed.rows("select count(*) from staging.stg_files__fx_rates__rejected") == [
        (sum(1 for _, v in RATES if v is None),)
    ]


def test_a_reason_names_the_column_and_the_declared_format(typed: Warehouse) -> None:
    reasons = {r[0] for r in typed.rows("select reject_reason from staging.stg_files__performance_daily__rejected")}
    assert "spend_date: not a date in %d/%m/%Y" in reasons
    assert "spend_amount: not an amount with decimal mark , grouped by ." in reasons


def test_a_project_without_loads_builds_empty_typed_tables(empty_warehouse: Path) -> None:
    warehouse = Warehouse(empty_warehouse / "warehouse.duckdb", empty_warehouse)
    assert warehouse.rows("select count(*) from marts.fct_ad_spend") == [(0,)]
    assert warehouse.rows(
        "select data_type from duckdb_columns() where table_name = 'fct_ad_spend' and column_name = 'spend_amount_rc'"
    ) == [("DECIMAL(18,6)",)]
    assert warehouse.rows("select metric from metadata.metric_definitions where metric = 'spend'") == [("spend",)]
