"""The raw gate: nothing passes vacuously, an exception is a failure, and volume is measured in the right unit."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from onefunnel.errors import ConfigError
from onefunnel.quality import gate
from onefunnel.quality.gate import LoadUnderJudgement, check_raw
from onefunnel.quality.pushdown import Judge
from onefunnel.quality.raw_tables import lay_out
from onefunnel.quality.results import GateReport
from onefunnel.quality.suites import Suites
from onefunnel.settings import load_contracts

PROJECT = Path(__file__).parents[2]
EXPECTATIONS = PROJECT / "expectations"
CONTRACTS = load_contracts(PROJECT / "dbt_project")
KNOWN_AT = "2026-01-05 06:00:00"
ROWS = 200

COLUMNS: dict[str, dict[str, tuple[str, str, Any, Any]]] = {  # name: (type, value, min, max)
    "performance_daily": {
        "ad_account_id": ("text", "'acc-1'", None, None),
        "level": ("text", "'campaign'", None, None),
        "campaign_id": ("text", "'c-' || i", None, None),
        "spend_date": ("date", "'2026-01-0' || (1 + i % 4)", "2026-01-01", "2026-01-04"),
        "currency": ("currency", "'EUR'", None, None),
        "spend_amount": ("amount", "'12.50'", "12.50", "12.50"),
        "clicks": ("integer", "'7'", "7", "7"),
    },
    "fx_rates": {
        "rate_date": ("date", "'2026-01-01'", "2026-01-01", "2026-01-01"),
        "base_currency": ("currency", "'EUR'", None, None),
        "quote_currency": ("currency", "'X' || chr((65 + i % 26)::int) || 'A'", None, None),
        "rate": ("rate", "'1.085'", "1.085", "1.085"),
    },
}


@dataclass
class Load:
    """A landed load in the making: faults change the receipt, the records' SQL or the number of rejects."""

    contract: str
    receipt: dict[str, Any]
    history: list[dict[str, Any]]
    values: dict[str, str]
    rows: int = ROWS
    rejects: int = 0
    after: list[Callable[[Path], object]] = field(default_factory=list)

    def column(self, name: str) -> dict[str, Any]:
        return self.receipt["control"]["columns"][name]

    def land(self, folder: Path) -> LoadUnderJudgement:
        folder.mkdir(parents=True)
        values = ", ".join(f"{value} as {name}" for name, value in self.values.items())
        with duckdb.connect() as db:
            db.execute(
                f"copy (select 'files' as _source, 0 as _file_seq, i::bigint + 1 as _line, {values} from range({self.rows}) "
                f"t(i)) to '{folder}/records.parquet'"
            )
            db.execute(
                "copy (select 0 as _file_seq, i::bigint as _line, 'ragged' as reason, 'secret@example.com' as original_text "
                f"from range({self.rejects}) t(i)) to '{folder}/rejects.parquet'"
            )
        for change in self.after:
            change(folder)
        return LoadUnderJudgement(self.receipt["load_id"], folder, self.receipt, self.history)


def make_load(contract: str, load_id: str) -> Load:
    def receipt(number: int, known_at: str = KNOWN_AT) -> dict[str, Any]:
        columns = {
            name: {"type": kind, "valid": ROWS, "invalid": 0, "null": 0, "sum": None, "min": low, "max": high}
            for name, (kind, _, low, high) in COLUMNS[contract].items()
        }
        dated = contract in ("performance_daily", "fx_rates")
        return {
            "source": "search_ads",
            "stream": contract,
            "contract": contract,
            "load_id": load_id if number == 0 else f"{load_id}-{number}",
            "known_at": known_at,
            "declaration": {"allow_empty": False, "usual_rows": {"share": 0.5, "minimum": 1}},
            "covers": {
                "mode": "file",
                "columns": [],
                "cells": 4,
                "dates": 4 if dated else None,
                "min_date": "2026-01-01" if dated else None,
                "max_date": "2026-01-04" if dated else None,
            },
            "rows": {"extracted": ROWS, "landed": ROWS, "rejected": 0},
            "control": {"rows": ROWS, "columns": columns},
            "files": [
                {"path": "a.csv", "sha256": "0", "bytes": 1, "modified_at": KNOWN_AT, "rows": ROWS, "rejected": 0}
            ],
            "undeclared_columns": [],
        }

    history = [receipt(number) for number in range(1, 7)]
    return Load(contract, receipt(0), history, {name: value for name, (_, value, _, _) in COLUMNS[contract].items()})


def shrink(load: Load, rows: int) -> None:
    load.rows = rows
    load.receipt["rows"] = {"extracted": rows, "landed": rows, "rejected": 0}


def reject(load: Load, rows: int) -> None:
    load.rejects = rows
    load.receipt["rows"] = {"extracted": ROWS + rows, "landed": ROWS, "rejected": rows}


def spoil(load: Load, column: str, **what: Any) -> None:
    load.column(column).update(what)


def not_passed(report: GateReport) -> set[str]:
    return {result.check_id for result in report.results if result.state != "passed"}


def test_samples_are_keys_and_no_text_of_the_source_leaves_the_gate(tmp_path: Path) -> None:
    report = judge_one(tmp_path, lambda x: reject(x, 1))
    result = next(result for result in report.results if result.state == "warned")
    assert result.samples == ("0:0",)
    assert duckdb.connect().execute(result.sql).fetchall() == [(0, 0)]
    assert "secret@example.com" not in json.dumps(report.to_dict())


def judge_one(tmp_path: Path, plant: Callable[[Load], object], expectations: Path = EXPECTATIONS) -> GateReport:
    load = make_load("performance_daily", "one")
    plant(load)
    return check_raw([load.land(tmp_path / "load")], expectations, CONTRACTS)["one"]


def write_suite(tmp_path: Path, checks: str, contract: str = "*") -> Path:
    folder = tmp_path / "expectations" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    name = "every_contract" if contract == "*" else contract
    (folder / f"{name}.yml").write_text(f'contract: "{contract}"\nchecks:\n{checks}')
    return folder.parent


CHECK = """
  - id: {id}
    severity: warn
    owner: data
    because: because of the test that reads it
    fix: nothing to do about it
    {what}
"""


def test_without_the_checks_of_every_contract_nothing_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = CHECK.format(id="of_contract", what="sql: select 1 where false")
    with pytest.raises(ConfigError, match=r"every_contract\.yml:1: is missing"):
        judge_one(tmp_path / "a", lambda x: None, write_suite(tmp_path, own, "performance_daily"))
    monkeypatch.setattr(gate, "load_suites", lambda *_: Suites({}, {}))
    report = judge_one(tmp_path / "b", lambda x: None)
    assert report.verdict == "fail" and report.declared == 0 and "gate_has_checks" in not_passed(report)


def test_a_contract_without_a_file_is_judged_by_the_checks_of_every_contract(tmp_path: Path) -> None:
    common = "".join(CHECK.format(id=name, what="sql: select 1 from raw.load_values where false") for name in "ab")
    report = judge_one(tmp_path, lambda x: None, write_suite(tmp_path, common))
    assert [result.check_id for result in report.results] == ["a", "b"]
    assert report.verdict == "pass" and report.declared == report.executed == 2


def test_the_owner_of_a_source_is_told(tmp_path: Path) -> None:
    checks = CHECK.format(id="mine", what="sql: select 1 from raw.load_records").replace("owner: data", "owner: source")
    expectations = write_suite(tmp_path, checks + CHECK.format(id="ours", what="sql: select 1 where false"))
    load = replace(make_load("fx_rates", "one").land(tmp_path / "load"), owner="finance")
    report = check_raw([load], expectations, CONTRACTS)["one"]
    assert {result.check_id: result.owner for result in report.results} == {"mine": "finance", "ours": "data"}


def test_zero_rows_are_red_unless_the_stream_allows_them(tmp_path: Path) -> None:
    expectations = write_suite(
        tmp_path, CHECK.format(id="blind", what="sql: select * from raw.load_records where false")
    )
    report = judge_one(tmp_path / "a", lambda x: shrink(x, 0), expectations)
    assert report.verdict == "fail"
    assert report.first_failure and "checked nothing" in report.first_failure.observed

    def allow(load: Load) -> None:
        shrink(load, 0)
        load.receipt["declaration"]["allow_empty"] = True

    assert judge_one(tmp_path / "b", allow, expectations).verdict == "pass"


def test_zero_rows_are_red_even_when_every_record_check_shrugs(tmp_path: Path) -> None:
    shrugging = CHECK.format(
        id="shrugs", what="sql: select * from raw.load_records where false\n    empty_is_legal: true"
    )
    other = CHECK.format(id="looks_elsewhere", what="sql: select 1 where false\n    on: load_receipt")
    report = judge_one(tmp_path, lambda x: shrink(x, 0), write_suite(tmp_path, shrugging + other))
    assert not_passed(report) == {"load_has_rows"} and report.verdict == "fail"


def test_a_column_without_values_is_red(tmp_path: Path) -> None:
    what = "expectation: expect_column_values_to_be_unique\n    kwargs: {column: campaign_id}"
    expectations = write_suite(tmp_path, CHECK.format(id="all_null", what=what))
    report = judge_one(tmp_path, lambda x: x.values.update(campaign_id="null::varchar"), expectations)
    assert report.verdict == "fail"
    assert report.first_failure and report.first_failure.observed == "checked nothing: no value in campaign_id"


def test_an_exception_is_a_failure_and_does_not_quote_a_value(tmp_path: Path) -> None:
    checks = CHECK.format(id="cannot_cast", what="sql: select 1 from raw.load_records where campaign_id::int > 0")
    checks += CHECK.format(id="no_such_column", what="sql: select nope from raw.load_records")
    report = judge_one(
        tmp_path, lambda x: x.values.update(campaign_id="'jane@example.com'"), write_suite(tmp_path, checks)
    )
    observed = {result.check_id: (result.state, result.observed) for result in report.results}
    assert observed["cannot_cast"] == ("error", "Conversion Error")
    assert observed["no_such_column"][0] == "error" and "nope" in observed["no_such_column"][1]
    assert report.verdict == "fail"
    assert "jane@example.com" not in json.dumps(report.to_dict())


def test_a_check_cannot_read_other_files(tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("a\n1\n")
    expectations = write_suite(tmp_path, CHECK.format(id="nosy", what=f"sql: select * from '{tmp_path}/outside.csv'"))
    report = judge_one(tmp_path, lambda x: None, expectations)
    assert report.first_failure and report.first_failure.state == "error"


@pytest.mark.parametrize(
    "break_it",
    [
        lambda folder: (folder / "records.parquet").unlink(),
        lambda folder: (folder / "records.parquet").write_bytes(b"PAR1 but not really"),
    ],
)
def test_a_damaged_load_is_red(tmp_path: Path, break_it: Callable[[Path], object]) -> None:
    report = judge_one(tmp_path, lambda x: x.after.append(break_it))
    assert report.verdict == "fail" and report.executed == 0
    assert "load_can_be_read" in not_passed(report)


def test_a_receipt_of_another_form_is_red(tmp_path: Path) -> None:
    report = judge_one(tmp_path, lambda x: x.receipt.pop("rows"))
    assert report.verdict == "fail" and "load_can_be_read" in not_passed(report)


def test_files_that_the_receipt_does_not_vouch_for_are_red(tmp_path: Path) -> None:
    parts = {"records.parquet": hashlib.sha256(b"something else").hexdigest()}
    report = judge_one(tmp_path, lambda x: x.receipt.update(parts=parts))
    assert not_passed(report) == {"load_files_match_receipt"} and report.verdict == "fail"


def test_volume_needs_history_and_can_be_switched_off(tmp_path: Path) -> None:
    def young(load: Load) -> None:
        shrink(load, 1)
        del load.history[4:]

    def off(load: Load) -> None:
        shrink(load, 1)
        load.receipt["declaration"]["usual_rows"] = "off"

    assert judge_one(tmp_path / "young", young).verdict == "pass"
    assert judge_one(tmp_path / "off", off).verdict == "pass"


@pytest.mark.parametrize("share", [0.5, 0.35])
def test_exactly_the_declared_share_of_the_usual_rows_is_too_few(tmp_path: Path, share: float) -> None:
    def left(rows: int) -> Callable[[Load], None]:
        def plant(load: Load) -> None:
            shrink(load, rows)
            load.receipt["declaration"]["usual_rows"]["share"] = share

        return plant

    at = round(share * ROWS)
    assert at == pytest.approx(share * ROWS), "the boundary is a whole number of rows"
    assert "volume_is_usual" in not_passed(judge_one(tmp_path / "at", left(at)))
    assert "volume_is_usual" not in not_passed(judge_one(tmp_path / "above", left(at + 1)))


def test_a_small_file_that_cannot_be_read_is_red(tmp_path: Path) -> None:
    def small(load: Load) -> None:
        load.history.clear()
        shrink(load, 10)
        load.receipt["control"]["rows"] = 10
        spoil(load, "spend_amount", valid=0, invalid=10)

    assert "values_are_readable" in not_passed(judge_one(tmp_path, small))


def test_a_contract_and_a_source_may_add_checks_of_their_own(tmp_path: Path) -> None:
    expectations = write_suite(tmp_path, CHECK.format(id="of_all", what="sql: select 1 where false"))
    write_suite(tmp_path, CHECK.format(id="of_contract", what="sql: select 1 where false"), "performance_daily")
    write_suite(tmp_path, CHECK.format(id="of_another", what="sql: select 1"), "fx_rates")
    (expectations / "raw" / "search_ads.yml").write_text(
        "source: search_ads\nchecks:\n" + CHECK.format(id="of_source", what="sql: select 1 from raw.load_records")
    )
    report = judge_one(tmp_path, lambda x: None, expectations)
    assert [result.check_id for result in report.results] == ["of_all", "of_contract", "of_source"]
    assert report.verdict == "pass" and not_passed(report) == {"of_source"}


def test_values_are_read_as_the_load_declares_them(tmp_path: Path) -> None:
    """Of each kind of column one value that reads and one that does not."""
    text = {
        "event_id": "'e' || i",
        "event_type": "['Storno', 'n/a'][i + 1]",
        "booked_at": "['09.01.2026 08:00', 'soon'][i + 1]",
        "booked_at_utc": "['2026-01-09 07:00:00.000000', null][i + 1]",
        "amount": "['EUR -1.234,50', 'many'][i + 1]",
        "starts_on": "['31.01.2026', '2026-01-31'][i + 1]",
        "ends_on": "['31.03.2026', 'offen'][i + 1]",
    }
    columns = {
        "event_type": {"map": {"Storno": "reversal"}},
        "amount": {"prefix": "EUR "},
        "starts_on": {"format": "%d.%m.%Y"},
        "ends_on": {"format": "%d.%m.%Y", "map": {"offen": "31.12.2026"}, "add_days": 1},
    }
    load = make_load("performance_daily", "one")
    load.receipt |= {
        "contract": "revenue_events",
        "declaration": {
            "dialect": {"decimal": ",", "grouping": ".", "null_words": ["", "n/a"]},
            "columns": columns,
        },
    }
    load.values, load.rows, load.history = text, 2, []
    with Judge().database(":memory:", read_only=False, config={}) as database:
        lay_out(database, load.land(tmp_path / "load"), CONTRACTS["revenue_events"])
        select = "select _at, event_id, event_type, amount, starts_on, ends_on, account_id from raw.load_values"
        first, second = database.rows(f"{select} order by _line")
    at = dt.datetime(2026, 1, 9, 7)  # noqa: DTZ001 (DuckDB's timestamps are UTC without saying so)
    assert first == (at, "e0", "reversal", Decimal("-1234.5"), dt.date(2026, 1, 31), dt.date(2026, 4, 1), None)
    assert second == (None, "e1", None, None, None, dt.date(2027, 1, 1), None)


def test_personal_values_are_tokens_and_booleans_read_by_their_words(tmp_path: Path) -> None:
    load = make_load("performance_daily", "one")
    declared = {"is_test": {"map": {"ja": "true"}}, "email": {"from": "mail"}}
    load.receipt |= {"contract": "leads", "declaration": {"columns": declared}}
    load.values = {"lead_id": "'l' || i", "email_token": "'token'", "is_test": "['ja', 'false', 'perhaps'][i + 1]"}
    load.rows, load.history = 3, []
    with Judge().database(":memory:", read_only=False, config={}) as database:
        lay_out(database, load.land(tmp_path / "load"), CONTRACTS["leads"])
        rows = database.rows("select email_token, is_test, _at from raw.load_values order by _line")
    assert rows == [("token", True, None), ("token", False, None), ("token", None, None)]


def test_the_receipt_is_not_changed_by_judging(tmp_path: Path) -> None:
    load = make_load("fx_rates", "one").land(tmp_path / "load")
    before = copy.deepcopy(load.receipt)
    check_raw([load], EXPECTATIONS, CONTRACTS)
    assert load.receipt == before
