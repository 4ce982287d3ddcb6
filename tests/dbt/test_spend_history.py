"""Spend as it was known: restated, late, withdrawn and emptied days; a day-by-day build equals a rebuild."""

from decimal import Decimal
from pathlib import Path

import pytest
from warehouse import Landing, Row, Warehouse

pytestmark = pytest.mark.long

OPEN = "9999-12-31 00:00:00"
PUBLISHED = {
    "marts.fct_ad_spend": "*",
    "marts.dim_campaign": "*",
    "marts.dim_channel": "*",
    "marts.dim_date": "*",
    "metadata.reconciliation": "*",
    "metadata.quarantine_summary": "*",
    "metadata.dq_status": "*",
    "metadata.row_ledger": "* exclude (is_new)",
    "intermediate.int_spend__unconverted": "*",
}
# The published tables that speak of spend, and all that they are made of.
SPEND = ("--select", *(f"+{table.split('.')[1]}" for table in PUBLISHED))


def ad(day: str, spend: str, campaign: str | None = "c1", **more: str | None) -> Row:
    return {
        "ad_account_id": "a",
        "level": "campaign" if campaign else "account",
        "campaign_id": campaign,
        "spend_date": day,
        "currency": "USD",
        "spend_amount": spend,
        **more,
    }


def rate(day: str, value: str, base: str = "USD", quote: str = "EUR") -> Row:
    return {"rate_date": day, "base_currency": base, "quote_currency": quote, "rate": value}


def cell(day: str) -> Row:
    return {"ad_account_id": "a", "spend_date": day}


def scenario(root: Path) -> tuple[Landing, list[int]]:
    """Loads of four sources; the second value is how many loads each of the three builds knows."""
    landing = Landing(root / "landing", as_of="2026-01-20 06:00:00")
    iso = {"format": "%Y-%m-%d"}
    window = landing.declare(
        "ads",
        "ads",
        "performance_daily",
        partition=["ad_account_id", "spend_date"],
        key=["spend_date", "ad_account_id", "level", "campaign_id"],
        order_by="clicks",
        final_after_days=10,
        columns={"spend_date": iso, "channel": {"map": {"social": "paid_social"}}},
    )
    keyed = landing.declare(
        "keyed",
        "shop",
        "performance_daily",
        replaces="keys",
        key=["spend_date", "ad_account_id", "campaign_id"],
        columns={"spend_date": iso},
        decimal=",",
        grouping=".",
    )
    whole = landing.declare(
        "whole", "print", "performance_daily", replaces="file", columns={"spend_date": iso}, final_after_days=0
    )
    fx = landing.declare(
        "fx",
        "rates",
        "fx_rates",
        replaces="keys",
        key=["rate_date", "base_currency", "quote_currency"],
        columns={"rate_date": iso},
    )
    campaigns = landing.declare("campaigns", "ads", "campaigns", replaces="file", columns={"channel": {}})
    accounts = landing.declare("accounts", "ads", "ad_accounts", replaces="file")

    one, two, three, four, five, six, seven = (f"2026-01-{n:02d} 06:00:00" for n in (4, 5, 6, 7, 8, 9, 10))
    counts = []
    landing.load(fx, one, {"r.csv": [rate("2025-12-28", "0.90"), rate("2026-01-02", "1.10", "EUR", "GBP")]})
    landing.load(
        window,
        one,
        {
            "p1.csv": [
                ad("2026-01-01", "10", channel="social", campaign_name="Spring"),
                ad("2026-01-02", "20", channel="tv-spots", clicks="4"),
                ad("2026-01-03", "30", "c2"),
                ad("2026-01-03", "oops", "c3"),
                ad("2026-01-03", "1", "c4"),
                ad("2026-01-03", "1", "c4"),
                ad("2026-01-03", "2", "c5", clicks="1"),
                ad("2026-01-03", "3", "c5", clicks="2"),
                ad("2026-01-03", "2", "c6", clicks="1"),
                ad("2026-01-03", "3", "c6", clicks="1"),
                ad("2026-01-03", "4", "c7", level="planet"),
                ad("2026-01-02", "50", None),
            ]
        },
        rejects=3,
    )
    landing.load(
        keyed,
        one,
        {"k.csv": [ad("2026-01-01", "1.000,50", currency="EUR"), ad("2026-01-02", "7", "c9", currency="GBP")]},
    )
    counts.append(len(landing.loads))
    # the same days again: 01 is withdrawn, 02 restated, 03 identical in all that counts; a late day arrives
    landing.load(
        window,
        two,
        {
            "p2.csv": [
                ad("2026-01-02", "21", channel="tv-spots", clicks="4"),
                ad("2026-01-02", "50", None),
                ad("2026-01-03", "30", "c2"),
                ad("2025-12-20", "5"),
            ]
        },
        empty_cells=[cell("2026-01-01")],
    )
    landing.load(
        whole,
        two,
        {
            "a.csv": [ad("2026-01-01", "100", "p1", currency="EUR"), ad("2026-01-02", "x", "p1", currency="EUR")],
            "b.csv": [ad("2026-02-30", "9", "p2", currency="EUR"), ad("2026-01-02", "8", None, currency="EUR")],
        },
    )
    landing.load(keyed, three, {"k.csv": [ad("2026-01-01", "900", currency="EUR")]})
    landing.load(
        accounts, three, {"acc.csv": [{"ad_account_id": "a", "currency": "USD", "time_zone": "Europe/Berlin"}]}
    )
    counts.append(len(landing.loads))
    landing.load(whole, four, {"b.csv": [ad("2026-01-02", "9", "p2", currency="EUR")]})
    landing.load(whole, five, {"a.csv": []})
    landing.load(fx, five, {"r2.csv": [rate("2026-01-02", "0.95"), rate("2025-12-28", "0.90")]})
    landing.load(
        campaigns,
        five,
        {
            "c.csv": [
                {"ad_account_id": "a", "campaign_id": "c1", "campaign_name": "Spring", "channel": "video"},
                {"ad_account_id": "a", "campaign_id": "c2", "campaign_name": "Two", "channel": None},
            ]
        },
    )
    # two loads known at the same moment: the later one counts, the earlier one leaves no trace
    landing.load(window, six, {"p3.csv": [ad("2026-01-08", "77")]})
    landing.load(window, six, {"p4.csv": []}, empty_cells=[cell("2026-01-08")])
    landing.load(
        window,
        seven,
        {
            "p5.csv": [ad("2026-01-01", "12")],
            "p6.csv": [ad("2026-01-01", "13"), ad("2026-01-09", "1", channel="social")],
        },
    )
    counts.append(len(landing.loads))
    return landing, counts


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Everything at once, with all tests of what it builds."""
    root = tmp_path_factory.mktemp("rebuilt")
    landing, _ = scenario(root)
    warehouse = Warehouse(root / "warehouse.duckdb", root)
    warehouse.build(landing.vars(), *SPEND, "--exclude-resource-type", "unit_test")
    return warehouse


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """The same loads in three builds, each on top of the one before."""
    root = tmp_path_factory.mktemp("extended")
    landing, counts = scenario(root)
    warehouse = Warehouse(root / "warehouse.duckdb", root)
    known = 0
    for count, as_of in zip(counts, ["2026-01-04 06:00:00", "2026-01-06 06:00:00", "2026-01-20 06:00:00"], strict=True):
        landing.as_of = as_of
        tests = ["--exclude-resource-type", "test"] if count < counts[-1] else []
        warehouse.build(landing.vars(count, new_from=known), *SPEND, "--exclude-resource-type", "unit_test", *tests)
        known = count
    return warehouse


def versions(warehouse: Warehouse, where: str) -> list[tuple[str, str, str]]:
    return [
        (str(a.normalize()), str(f), str(t))
        for a, f, t in warehouse.rows(
            f"select spend_amount, known_from, known_to from marts.fct_ad_spend where {where} order by known_from, spend_amount"
        )
    ]


@pytest.mark.parametrize("table", PUBLISHED)
def test_a_build_on_the_base_equals_a_rebuild(rebuilt: Warehouse, extended: Warehouse, table: str) -> None:
    query = f"select {PUBLISHED[table]} from {table} order by all"
    assert extended.rows(query) == rebuilt.rows(query)


def test_a_restated_day_keeps_what_was_known_before(rebuilt: Warehouse) -> None:
    first, second = "2026-01-04 06:00:00", "2026-01-05 06:00:00"
    assert versions(
        rebuilt, "source_system = 'ads' and spend_date = '2026-01-02' and level = 'campaign' and fx_date = '2025-12-28'"
    ) == [("2E+1", first, second), ("21", second, "2026-01-08 06:00:00")]


def test_a_withdrawn_day_ends_and_a_later_delivery_begins_anew(rebuilt: Warehouse) -> None:
    assert versions(rebuilt, "source_system = 'ads' and spend_date = '2026-01-01'") == [
        ("1E+1", "2026-01-04 06:00:00", "2026-01-05 06:00:00"),
        ("13", "2026-01-10 06:00:00", OPEN),
    ]


def test_a_later_file_of_the_same_load_replaces_the_cell(rebuilt: Warehouse) -> None:
    assert rebuilt.rows("""select deduplicate_reason, amount from intermediate.int_quality__deduplicated
                           where _file = 'p5.csv'""") == [("superseded", Decimal(12))]


def test_an_identical_delivery_makes_no_version(rebuilt: Warehouse) -> None:
    assert versions(rebuilt, "campaign_id = 'c2'") == [
        ("3E+1", "2026-01-04 06:00:00", "2026-01-08 06:00:00"),
        ("3E+1", "2026-01-08 06:00:00", OPEN),
    ]
    assert rebuilt.rows(
        "select fx_rate, is_fx_carried, is_current from marts.fct_ad_spend where campaign_id = 'c2' order by known_from"
    ) == [(Decimal("0.9"), True, False), (Decimal("0.95"), True, True)]


def test_two_loads_at_one_moment_leave_only_the_later(rebuilt: Warehouse) -> None:
    assert versions(rebuilt, "spend_date = '2026-01-08'") == []


def test_a_key_replaces_only_itself_and_a_file_only_itself(rebuilt: Warehouse) -> None:
    assert versions(rebuilt, "source_system = 'shop' and is_current") == [
        ("7", "2026-01-04 06:00:00", OPEN),
        ("9E+2", "2026-01-06 06:00:00", OPEN),
    ]
    assert versions(rebuilt, "source_system = 'print'") == [
        ("8", "2026-01-05 06:00:00", "2026-01-07 06:00:00"),
        ("1E+2", "2026-01-05 06:00:00", "2026-01-08 06:00:00"),
        ("9", "2026-01-07 06:00:00", OPEN),
    ]


def test_a_file_that_reads_now_ends_its_quarantine(rebuilt: Warehouse, extended: Warehouse) -> None:
    assert rebuilt.rows("select count(*) from metadata.quarantine_summary where source_system = 'print'") == [(0,)]
    assert rebuilt.rows("select count(*) from intermediate.int_quality__rejected where source_system = 'print'") == [
        (2,)
    ]


def test_a_parent_level_leaves_a_residual(rebuilt: Warehouse) -> None:
    assert versions(
        rebuilt, "spend_date = '2026-01-02' and source_system = 'ads' and level = 'residual' and fx_date = '2025-12-28'"
    ) == [("3E+1", "2026-01-04 06:00:00", "2026-01-05 06:00:00"), ("29", "2026-01-05 06:00:00", "2026-01-08 06:00:00")]


def test_spend_without_a_rate_is_held_and_never_converted_at_one(rebuilt: Warehouse) -> None:
    assert rebuilt.rows(
        "select reason, currency, quarantined_rows, amount from metadata.quarantine_summary where reason = 'missing_fx_rate'"
    ) == [("missing_fx_rate", "USD", 1, Decimal(5))]
    assert rebuilt.rows(
        "select fx_date::varchar, is_fx_carried from marts.fct_ad_spend where spend_date = '2026-01-09'"
    ) == [("2026-01-02", True)]
    assert rebuilt.rows("select fx_rate, spend_amount_rc from marts.fct_ad_spend where currency = 'GBP'") == [
        (Decimal("0.909090909"), Decimal("6.363636"))
    ]


def test_repeats_and_conflicts_of_a_key(rebuilt: Warehouse) -> None:
    assert rebuilt.rows("""select reject_reason, count(*), sum(amount) from intermediate.int_quality__rejected
                           where _load_id = 'load002' group by 1 order by 1""") == [
        ("conflicting_key", 2, Decimal(5)),
        ("level: not one of account campaign ad_group ad keyword", 1, Decimal(4)),
        ("spend_amount: not an amount with decimal mark .", 1, None),
    ]
    assert rebuilt.rows("""select deduplicate_reason, amount from intermediate.int_quality__deduplicated
                           where _load_id = 'load002' order by 1""") == [
        ("identical", Decimal(1)),
        ("superseded", Decimal(2)),
    ]


def test_channels_come_from_the_campaign_then_the_row(rebuilt: Warehouse) -> None:
    assert (
        rebuilt.rows("""select spend_date::varchar, campaign_id, channel from marts.fct_ad_spend
                           where is_current and source_system = 'ads' and spend_date <> '2026-01-03' order by 1, 2""")
        == [
            ("2026-01-01", "c1", "video"),
            ("2026-01-02", "c1", "video"),
            ("2026-01-02", None, "unknown"),
            ("2026-01-09", "c1", "video"),
        ]
    )
    assert rebuilt.rows(
        "select distinct source_tz, is_tz_aligned from marts.fct_ad_spend where source_system = 'ads'"
    ) == [("Europe/Berlin", True)]


def test_every_amount_is_reconciled(rebuilt: Warehouse) -> None:
    assert rebuilt.rows("select source_system, currency, difference from metadata.reconciliation order by all") == [
        ("ads", "USD", Decimal(0)),
        ("print", "EUR", Decimal(0)),
        ("shop", "EUR", Decimal(0)),
        ("shop", "GBP", Decimal(0)),
    ]
    assert rebuilt.rows(
        "select sum(rows_extracted), sum(rows_rejected), max(abs(row_difference)) from metadata.row_ledger where load_id = 'load002'"
    ) == [(15, 3, 0)]
