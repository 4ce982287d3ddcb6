"""What bad input gets: a place, a reason and what to do; readers keep what they had, and one plain run after it is as if nothing was."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import world
from conftest import DAILY_SPEND, HEADER, Home

FIRST, SECOND = "2026-01-05T06:00:00+00:00", "2026-01-06T06:00:00+00:00"
NAMED = {**DAILY_SPEND["columns"], "campaign_name": {"from": "name"}}
NAMED_HEADER = "day,account,campaign,name,currency,cost,clicks\n"
LATIN = {"delimiter": ";", "encoding": "latin-1", "decimal": ",", "grouping": "."}
MEGABYTE = "long " * 210_000


def spend(day: str, *rows: tuple[object, ...]) -> str:
    """A file of one account-day: (campaign, currency, cost, clicks) per row."""
    return HEADER + "".join(f"{day},A1,{','.join(str(v) for v in row)}\n" for row in rows)


FIRST_FILE = spend("2026-01-04", ("c1", "EUR", "10.50", 3), ("c2", "EUR", "20.25", 5))
SECOND_FILE = spend("2026-01-05", ("c1", "EUR", "11.00", 4), ("c2", "EUR", "21.00", 6))

# Every flaw of a single record that a file can have, among sixty good rows, with what must be said of it:
# line -> (the line's text, its outcome, its reason).
GOOD_ROWS = "".join(f"2026-01-04,A1,g{n},EUR,100.00,{n}\n" for n in range(60))
FLAWED: dict[int, tuple[bytes, str, str]] = {
    62: (b"2026-01-04,A1,ragged,EUR,5.00", "rejected", "5 fields instead of 6"),
    63: (b"2026-01-04,A1,nul\x00,EUR,5.00,1", "rejected", "NUL byte"),
    64: (b'2026-01-04,A1,32" screen,EUR,5.00,1', "rejected", "broken quoting"),
    65: ("2026-01-04,A1,café,EUR,5.00,1".encode("latin-1"), "rejected", "not UTF-8"),
    66: (b"04/01/2026,A1,d/m/Y,EUR,5.00,1", "quarantined", "spend_date: not a date in %Y-%m-%d"),
    67: (b"2026-01-04,A1,words,EUR,five,1", "quarantined", "spend_amount: not an amount with decimal mark ."),
    68: (b"2026-01-04,A1,reais,EUR,R$ 1.234.50,1", "quarantined", "spend_amount: not an amount with decimal mark ."),
    69: (b"2026-01-04,A1,nowhere,XXQ,5.00,1", "quarantined", "currency: not a currency code of ISO 4217"),
    70: (b"2026-01-04,A1,half,EUR,5.00,2.5", "quarantined", "clicks: not an integer"),
    71: (b"2026-01-04,,nobody,EUR,5.00,1", "quarantined", "ad_account_id: missing"),
    72: (b"2026-01-04,A1,twice,EUR,5.00,1", "quarantined", "conflicting_key"),
    73: (b"2026-01-04,A1,twice,EUR,6.00,1", "quarantined", "conflicting_key"),
    74: (b"2026-01-04,A1,same,EUR,5.00,1", "loaded", ""),
    75: (b"2026-01-04,A1,same,EUR,5.00,1", "deduplicated", "identical"),
}
FLAWED_FILE = (HEADER + GOOD_ROWS).encode() + b"".join(text + b"\n" for text, _, _ in FLAWED.values())


def declare(home: Home, sources: dict[str, dict[str, Any]], **settings: Any) -> None:
    """pipeline.yml with one stream of daily spend per source; JSON is YAML."""
    home.path.mkdir(parents=True, exist_ok=True)
    declared = {
        name: {
            "connector": "files",
            "root": f"drop/{name}",
            "streams": {"performance_daily": {**DAILY_SPEND, **stream}},
        }
        for name, stream in sources.items()
    }
    content = {"version": 1, "company": "Test", "reporting": {"currency": "EUR"}, "sources": declared, **settings}
    home.config.write_text(json.dumps(content))
    for name in sources:
        (home.path / "drop" / name).mkdir(parents=True, exist_ok=True)


def drop(home: Home, name: str, content: str | bytes) -> Path:
    return home.drop(f"../{name}", content)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An installation whose first day is published, with flaws in single records and with odd but legal files."""
    home = Home(tmp_path_factory.mktemp("bad") / "home")
    declare(
        home,
        {
            "spend": {},
            "flawed": {},
            "latin": {"dialect": LATIN, "columns": {**NAMED, "spend_date": {"from": "day", "format": "%d.%m.%Y"}}},
            "odd": {"columns": NAMED},
        },
    )
    drop(home, "spend/d1.csv", FIRST_FILE)
    drop(home, "flawed/d1.csv", FLAWED_FILE)
    latin = NAMED_HEADER.replace(",", ";") + "04.01.2026;A1;c1;Größe „M“;EUR;1.234,50;1.000\n".replace("„M“", "M")
    drop(home, "latin/d1.csv", latin.replace("\n", "\r\n").encode("latin-1"))
    odd = (
        NAMED_HEADER.replace("clicks", "clicks,contact")
        + "2026-01-04,A1,9007199254740993,above 2^53,EUR,1.00,1,anna@example.com\n"
        + "2026-01-04,A1,00012345678901234567,leading zeros,EUR,1.00,1,bert@example.com\n"
        + "2026-01-04,A1,12345678901234567890123,twenty-three digits,EUR,1.00,1,\n"
        + f"2026-01-04,A1,long,{MEGABYTE},EUR,1.00,1,\n"
    )
    drop(home, "odd/d1.csv", b"\xef\xbb\xbf" + odd.replace("\n", "\r\n").encode())
    done = home.cli("run", "--run-id", "day1", "--as-of", FIRST)
    assert done.returncode == 0, done.stderr[-3000:]
    return home


@pytest.fixture
def copy(published: Home, tmp_path: Path) -> Home:
    return world.copy_of(published, tmp_path / "copy")


def what_readers_see(home: Home) -> tuple[list[Any], ...]:
    return home.query("select run_id from metadata.run_info"), home.query(
        "select sum(spend_amount) from marts.fct_ad_spend"
    )


def assert_says(done: subprocess.CompletedProcess[str], code: int, *fragments: str) -> None:
    """The exit code, and a message that names the place, the reason and what to do."""
    assert done.returncode == code, done.stderr[-3000:]
    for fragment in (*fragments, "where:", "do:"):
        assert fragment in done.stderr, f"{fragment!r} is not in: {done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr


# -- files that cannot be read at all: the run stops before anything is landed ----------------------------------------

UNREADABLE: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "truncated": (SECOND_FILE.encode()[:-8], ("ends in the middle of a line", "d2.csv, line 3")),
    "of zero bytes": (b"", ("not even a header", "d2.csv")),
    "with a header only": (HEADER.encode(), ("a header and no record", "d2.csv")),
    "a workbook called csv": (b"PK\x03\x04\x14\x00[Content_Types].xml\n", ("an Excel workbook", "d2.csv")),
    "without a declared column": (
        SECOND_FILE.replace("cost", "price").encode(),
        ("Declared column missing: cost", "d2.csv, line 1", "day, account, campaign, currency, price, clicks"),
    ),
    "with a column named twice": (
        SECOND_FILE.replace("clicks", "cost").encode(),
        ("names a column twice: cost", "line 1"),
    ),
    "with another delimiter": (SECOND_FILE.replace(",", ";").encode(), ("Declared columns missing", "d2.csv, line 1")),
    "with a broken header": (
        SECOND_FILE.replace("day,", 'd"ay,', 1).encode(),
        ("header line cannot be read", "line 1"),
    ),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_cannot_be_read_stops_the_run_and_is_named(copy: Home, kind: str) -> None:
    content, fragments = UNREADABLE[kind]
    before, loads = what_readers_see(copy), world.loads(copy)
    drop(copy, "spend/d2.csv", content)
    world.start(copy, "day2", SECOND)
    assert_says(copy.cli("extract", "--run-id", "day2"), 1, "source spend, stream performance_daily", *fragments)
    assert world.loads(copy) == loads, "nothing is landed"
    assert not list(copy.path.glob("landing/*/*/.work-*"))
    assert what_readers_see(copy) == before


def link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, outside: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("trick", [link, pipe, folder])
def test_only_files_themselves_are_taken_from_a_drop_folder(
    copy: Home, tmp_path: Path, trick: Callable[[Path, Path], None]
) -> None:
    outside = tmp_path / "secret.csv"
    outside.write_text(SECOND_FILE)
    trick(copy.path / "drop" / "spend" / "d2.csv", outside)
    before, loads = what_readers_see(copy), world.loads(copy)
    world.start(copy, "day2", SECOND)
    done = copy.cli("extract", "--run-id", "day2", "--source", "spend")
    assert_says(done, 1, "d2.csv", "link" if trick is link else "Only regular files")
    assert (world.loads(copy), what_readers_see(copy)) == (loads, before)


def test_a_pattern_cannot_leave_its_folder(copy: Home) -> None:
    declare(copy, {"spend": {"files": "../../*.csv"}})
    done = copy.cli("run", "--as-of", SECOND)
    assert done.returncode == 2
    assert re.search(r"pipeline\.yml:1: sources\.spend\.streams\.performance_daily: .*no `\.\.`", done.stderr)


def test_a_file_that_is_still_being_written_is_a_matter_of_waiting(copy: Home) -> None:
    path = drop(copy, "spend/d2.csv", HEADER)
    stop = threading.Event()

    def keep_writing() -> None:
        with path.open("a") as handle:
            while not stop.wait(0.02):
                handle.write("2026-01-05,A1,c1,EUR,1.00,1\n")
                handle.flush()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        before = what_readers_see(copy)
        world.start(copy, "day2", SECOND)
        assert_says(copy.cli("extract", "--run-id", "day2"), 3, "still being written", "d2.csv")
    finally:
        stop.set()
        writer.join()
    assert what_readers_see(copy) == before
    drop(copy, "spend/d2.csv", SECOND_FILE)
    assert copy.cli("extract", "--run-id", "day2").returncode == 0, "the same run goes on when the file is complete"


# -- files that can be read and must not be believed: the raw gate refuses the load -----------------------------------

DOUBTFUL: dict[str, tuple[bytes, str]] = {
    "amounts of another dialect": (
        spend("2026-01-05", ("c1", "EUR", '"R$ 1.234,50"', 4), ("c2", "EUR", '"R$ 21,00"', 6)).encode(),
        "values_are_readable",
    ),
    "dates of another format": (
        spend("05.01.2026", ("c1", "EUR", "11.00", 4), ("c2", "EUR", "21.00", 6)).encode(),
        "values_are_readable",
    ),
    "another encoding": (
        spend("2026-01-05", ("café", "EUR", "11.00", 4), ("thé", "EUR", "21.00", 6)).encode("latin-1"),
        "rows_are_present",
    ),
    "unknown currencies": (
        spend("2026-01-05", ("c1", "euro", "11.00", 4), ("c2", "euro", "21.00", 6)).encode(),
        "values_are_readable",
    ),
    "amounts in micros": (
        spend("2026-01-05", ("c1", "EUR", "11000000.00", 4), ("c2", "EUR", "21000000.00", 6)).encode(),
        "amounts_are_possible",
    ),
    "days of the future": (
        spend("2062-01-05", ("c1", "EUR", "11.00", 4)).encode(),
        "moments_are_plausible",
    ),
}


@pytest.fixture(scope="module")
def doubted(published: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, subprocess.CompletedProcess[str]]:
    """One home in which each doubtful file is a source of its own, judged in one go, after six usual days."""
    home = world.copy_of(published, tmp_path_factory.mktemp("doubted") / "home")
    usual = {"usual_rows": {"share": 0.5, "minimum": 1}}
    sources = {f"kind{n}": {} for n in range(len(DOUBTFUL))}
    declare(home, {"spend": usual, **sources})
    for n in range(len(DOUBTFUL)):
        drop(home, f"kind{n}/d1.csv", FIRST_FILE)
    for day in range(10, 16):
        rows = [(f"c{n}", "EUR", "10.00", 1) for n in range(8)]
        drop(home, f"spend/d{day}.csv", spend(f"2025-12-{day}", *rows))
        world.extract(home, f"usual{day}", FIRST)
        world.judge(home)
        world.abandon(home)
    for n, (content, _) in enumerate(DOUBTFUL.values()):
        drop(home, f"kind{n}/d2.csv", content)
    drop(home, "spend/half.csv", spend("2025-12-20", *[(f"c{n}", "EUR", "10.00", 1) for n in range(3)]))
    world.start(home, "doubt", SECOND)
    assert home.cli("extract", "--run-id", "doubt").returncode == 0
    return home, home.cli("check", "raw", "--run-id", "doubt")


@pytest.mark.parametrize("kind", [*DOUBTFUL, "half of the usual rows"])
def test_a_doubtful_load_is_refused_and_named(
    doubted: tuple[Home, subprocess.CompletedProcess[str]], kind: str
) -> None:
    home, done = doubted
    source = f"kind{list(DOUBTFUL).index(kind)}" if kind in DOUBTFUL else "spend"
    check = DOUBTFUL[kind][1] if kind in DOUBTFUL else "volume_is_usual"
    load_id = world.receipts(home, "doubt")[source, "performance_daily"]["load_id"]
    load = next(x for x in world.loads(home) if x.load_id == load_id)
    assert load.state == "refused"
    assert str(load.because).startswith(f"{check}:"), load.because
    assert re.search(rf"ERROR +load {re.escape(load_id)} refused: {check}", done.stderr)


def test_the_raw_gate_names_the_file_and_what_to_do(doubted: tuple[Home, subprocess.CompletedProcess[str]]) -> None:
    home, done = doubted
    assert_says(
        done,
        1,
        "7 load(s) of required sources are refused",
        ".csv",
        "Correct the declared format",
        "onefunnel loads accept",
    )
    assert what_readers_see(home)[0] == [("day1",)]
    status = home.ok("status", "--json")
    assert "values_are_readable" in json.dumps(status)


def test_refused_rows_close_nothing_and_a_human_may_accept_them(
    doubted: tuple[Home, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    home = world.copy_of(doubted[0], tmp_path / "copy")
    load_id = world.receipts(home, "doubt")["spend", "performance_daily"]["load_id"]
    assert home.cli("loads", "accept", load_id, "--because", "a quiet day").returncode == 0
    assert {x.state for x in world.loads(home) if x.load_id == load_id} == {"accepted"}
    done = home.cli("check", "raw", "--run-id", "doubt")
    assert_says(done, 1, "6 load(s) of required sources are refused")


# -- records that are wrong among records that are right ----------------------------------------------------------------


def outcomes(home: Home) -> dict[int, tuple[str, str, str]]:
    """Line -> outcome, reason and original text of the flawed file."""
    database = world.warehouse(home)
    where = "where source_system = 'flawed'"
    found: list[tuple[int, tuple[str, str, str]]] = []
    staging = "staging.stg_files__performance_daily"
    for line, campaign in world.ask(database, f"select _line, campaign_id from {staging} {where}"):
        found.append((line, ("loaded", "", campaign)))
    for line, reason, text in world.ask(
        database, f"select _line, reject_reason, original_text from {staging}__rejected {where}"
    ):
        found.append((line, ("quarantined", reason, text)))
    deduplicated = f"select _line, _reason from {staging}__outcomes {where} and _outcome = 'deduplicated'"
    for line, reason in world.ask(database, deduplicated):
        found.append((line, ("deduplicated", reason, "")))
    for line, reason, text in (
        (r["_line"], r["reason"], r["original_text"])
        for p in home.path.glob("landing/flawed/*/*/rejects.parquet")
        for r in pq.read_table(p).to_pylist()
    ):
        found.append((line, ("rejected", reason, text)))
    assert len(found) == len(dict(found)), "a line with two outcomes"
    return dict(found)


def test_a_wrong_record_costs_itself_and_says_what_is_wrong(published: Home) -> None:
    found = outcomes(published)
    assert sorted(found) == list(range(2, 76)), "every line of the file is accounted for"
    assert all(found[line][0] == "loaded" for line in range(2, 62))
    for line, (text, outcome, reason) in FLAWED.items():
        assert found[line][:2] == (outcome, reason), line
        if outcome == "rejected":
            readable = text.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
            assert found[line][2] == readable
        if outcome == "quarantined":
            kept = json.loads(found[line][2])
            assert [
                kept[c] or ""
                for c in ("spend_date", "ad_account_id", "campaign_id", "currency", "spend_amount", "clicks")
            ] == (text.decode().split(","))


def test_what_is_held_back_is_counted_with_its_money(published: Home) -> None:
    rows = published.query(
        "select reason, column_name, quarantined_rows, amount from metadata.quarantine_summary where source_system = 'flawed' order by all"
    )
    assert {(r[0], r[1], r[2], r[3]) for r in rows} == {
        ("ad_account_id: missing", "ad_account_id", 1, Decimal(5)),
        ("clicks: not an integer", "clicks", 1, Decimal(5)),
        ("conflicting_key", "_key", 2, Decimal(11)),
        ("currency: not a currency code of ISO 4217", "currency", 1, Decimal(5)),
        ("spend_amount: not an amount with decimal mark .", "spend_amount", 2, None),
        ("spend_date: not a date in %Y-%m-%d", "spend_date", 1, Decimal(5)),
    }
    (ledger,) = published.query(
        "select rows_extracted, rows_loaded, rows_deduplicated, rows_quarantined, rows_rejected, row_difference"
        " from metadata.row_ledger where source_system = 'flawed'"
    )
    assert ledger == (74, 61, 1, 8, 4, 0)
    (total,) = published.query("select sum(spend_amount) from marts.fct_ad_spend where source_system = 'flawed'")
    assert total == (Decimal(6005),)


def test_what_is_wrong_but_tolerated_is_a_warning(published: Home) -> None:
    warned = {c["check_id"] for c in checks(published, "day1") if c["state"] == "warned"}
    assert {
        "every_record_is_readable",
        "every_value_is_readable",
        "columns_are_declared",
    } <= warned


def checks(home: Home, run_id: str) -> list[dict[str, Any]]:
    with world.installation(home) as here:
        return here.ledger.checks(run_id)


# -- odd but legal -----------------------------------------------------------------------------------------------------


def test_long_numbers_in_ids_keep_every_digit(published: Home) -> None:
    rows = published.query(
        "select spend.campaign_id, campaign_name from marts.fct_ad_spend spend join marts.dim_campaign using (campaign_version_key)"
        " where spend.source_system = 'odd' and spend.campaign_id <> 'long' order by all"
    )
    assert rows == [
        ("00012345678901234567", "leading zeros"),
        ("12345678901234567890123", "twenty-three digits"),
        ("9007199254740993", "above 2^53"),
    ]


def test_a_cell_of_a_megabyte_arrives_whole(published: Home) -> None:
    assert published.query("select campaign_name from marts.dim_campaign where campaign_id = 'long'") == [(MEGABYTE,)]


def test_latin_1_semicolons_carriage_returns_and_a_byte_order_mark_are_read_as_declared(published: Home) -> None:
    assert published.query(
        "select campaign_name, spend_date, spend_amount, clicks from marts.fct_ad_spend"
        " join marts.dim_campaign using (campaign_version_key) where fct_ad_spend.source_system = 'latin'"
    ) == [("Größe M", dt.date(2026, 1, 4), Decimal("1234.50"), 1000)]
    assert published.query("select count(*) from marts.fct_ad_spend where source_system = 'odd'") == [(4,)]


def test_an_undeclared_column_is_kept_apart_as_personal_and_reaches_nobody(published: Home) -> None:
    (path,) = published.path.glob("landing/odd/*/*/personal.parquet")
    extra = [json.loads(x) for x in pq.read_table(path)["_extra"].to_pylist()]
    assert [x["contact"] for x in extra] == ["anna@example.com", "bert@example.com", "", ""]
    assert path.stat().st_mode & 0o077 == 0
    receipt = json.loads((path.parent / "receipt.json").read_text())
    assert receipt["undeclared_columns"] == ["contact"]
    database = published.path / "published" / "revenue.duckdb"
    for schema, table, column in world.ask(
        database,
        "select schema_name, table_name, column_name from duckdb_columns() where data_type = 'VARCHAR' and not internal",
    ):
        assert not world.ask(
            database, f'select 1 from "{schema}"."{table}" where contains("{column}", \'@example.com\') limit 1'
        )


# -- a currency without a rate ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_spend_without_a_rate_is_held_back_with_its_amount_until_the_rate_arrives(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    declare(home, {"spend": {}, "fx": {}})
    fx = {
        "contract": "fx_rates", "files": "*.csv", "key": ["rate_date", "base_currency", "quote_currency"], "replaces": "keys", "usual_rows": "off",
        "columns": {
            "rate_date": {"from": "date", "format": "%Y-%m-%d"}, "base_currency": {"from": "base"}, "quote_currency": {"from": "quote"},
            "rate": {"from": "rate"},
        },
    }  # fmt: skip
    content = json.loads(home.config.read_text())
    content["sources"]["fx"] = {"connector": "files", "required": False, "root": "drop/fx", "streams": {"fx_rates": fx}}
    home.config.write_text(json.dumps(content))
    drop(
        home,
        "spend/d1.csv",
        spend("2026-01-04", ("c1", "EUR", "10.50", 3), ("c2", "USD", "20.25", 5), ("c3", "USD", "4.75", 5)),
    )
    world.extract(home, "day1", FIRST)
    world.judge(home)
    world.build(home, "day1", FIRST, adopt=False, finish=False)
    built = world.warehouse(home, "day1")
    held = "select reason, column_name, currency, quarantined_rows, amount from metadata.quarantine_summary"
    assert world.ask(built, held) == [("missing_fx_rate", "currency", "USD", 2, Decimal(25))]
    assert world.ask(built, "select sum(spend_amount_rc) from marts.fct_ad_spend") == [(Decimal("10.5"),)]
    home.ok("seal", "--run-id", "day1")
    assert_says(
        home.cli("check", "marts", "--run-id", "day1"),
        1,
        "quarantine_summary_held_back_spend_is_small",
        "Load the missing exchange rates",
    )
    assert home.cli("publish", "--run-id", "day1").returncode == 1
    assert not (home.path / "published" / "revenue.duckdb").exists()

    drop(home, "fx/fx.csv", "date,base,quote,rate\n2026-01-02,USD,EUR,0.9\n")
    world.abandon(home)
    world.run_without_gates(home, "again", FIRST)
    assert world.ask(
        world.warehouse(home),
        "select currency, spend_amount_rc, fx_date, is_fx_carried from marts.fct_ad_spend where is_current order by 2",
    ) == [
        ("USD", Decimal("4.275"), dt.date(2026, 1, 2), True),
        ("EUR", Decimal("10.5"), dt.date(2026, 1, 4), False),
        ("USD", Decimal("18.225"), dt.date(2026, 1, 2), True),
    ]
    assert world.ask(world.warehouse(home), "select count(*) from metadata.quarantine_summary") == [(0,)]


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_damaged_load_is_named_and_landed_again_once_it_is_refused(published: Home, copy: Home) -> None:
    load_id = world.receipts(copy, "day1")["spend", "performance_daily"]["load_id"]
    (records,) = copy.path.glob(f"landing/spend/*/load={load_id}/records.parquet")
    records.write_bytes(b"rubbish")
    before = what_readers_see(copy)
    world.start(copy, "red", FIRST)
    assert_says(
        copy.cli("build", "--run-id", "red", "--full-refresh"), 1, "damaged: records.parquet", f"loads refuse {load_id}"
    )
    assert what_readers_see(copy) == before

    assert copy.cli("loads", "refuse", load_id, "--because", "damaged").returncode == 0
    world.run_without_gates(copy, "green", FIRST)
    names_of_runs = ("_load_id", "load_id", "previous_run_id", "previous_as_of")
    world.assert_same(
        world.export(world.warehouse(published), without=names_of_runs),
        world.export(world.warehouse(copy), without=names_of_runs),
    )


# -- configuration -----------------------------------------------------------------------------------------------------


def test_a_broken_configuration_names_all_its_errors_at_once(copy: Home) -> None:
    copy.config.write_text(
        """version: 1
company: Test
reporting: {currency: euro}
as_of: soon
sources:
  spend:
    conector: files
    root: drop/spend
    streams:
      performance_daily:
        files: "../*.csv"
        key: [spend_date, nope]
        replaces: partition
        columns:
          spend_date: {from: day}
          ad_account_id: {from: account, value: x}
          lvl: {value: campaign}
          spend_amount: {from: cost, zone: Mars/Base}
"""
    )
    before = what_readers_see(copy)
    for command in (("validate",), ("run",)):
        done = copy.cli(*command)
        assert done.returncode == 2, command
        for line, what in (
            (3, "currency"),
            (4, "not an ISO instant"),
            (7, "not a known key"),
            (10, "no `..`"),
            (10, "`nope` is named"),
            (10, "needs `partition"),
            (14, "requires `level`"),
            (14, "requires `currency`"),
            (15, "needs `format`"),
            (16, "exactly one of"),
            (17, "`lvl` is no column"),
            (18, "unknown time zone"),
        ):
            assert re.search(rf"pipeline\.yml:{line}: .*{re.escape(what)}", done.stderr), (
                command,
                line,
                what,
                done.stderr,
            )
    assert copy.query("select run_id from metadata.run_info") == before[0]


# -- after the cause is gone -------------------------------------------------------------------------------------------


@pytest.mark.long
def test_after_red_days_one_plain_run_is_green_and_equal_to_a_history_that_never_failed(
    published: Home, copy: Home, tmp_path: Path
) -> None:
    before = what_readers_see(copy)
    for content, step in (
        (UNREADABLE["truncated"][0], "extract"),
        (UNREADABLE["without a declared column"][0], "extract"),
        (DOUBTFUL["amounts of another dialect"][0], "check raw"),
    ):
        drop(copy, "spend/d2.csv", content)
        red = copy.cli("run", "--as-of", SECOND)
        assert_says(red, 1, f"{step}: exit 1", "d2.csv")
        assert what_readers_see(copy) == before
    drop(copy, "spend/d2.csv", SECOND_FILE)
    green = copy.cli("run", "--as-of", SECOND)
    assert green.returncode == 0, green.stderr[-3000:]

    never = world.copy_of(published, tmp_path / "never")
    drop(never, "spend/d2.csv", SECOND_FILE)
    world.run_without_gates(never, "day2", SECOND)
    world.assert_same(world.export(world.warehouse(never)), world.export(world.warehouse(copy)))
    assert copy.query(
        "select sum(spend_amount) from marts.fct_ad_spend where is_current and source_system = 'spend'"
    ) == [(Decimal("62.75"),)]


def test_the_sandbox_company_does_not_deliver_among_other_data(copy: Home) -> None:
    before = what_readers_see(copy)
    for command in (("demo",), ("sandbox", "next-day")):
        assert_says(copy.cli(*command), 2, "other data than the sandbox company's", "ONEFUNNEL_HOME")
    assert not (copy.path / "sandbox.json").exists() and what_readers_see(copy) == before
