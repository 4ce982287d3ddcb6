"""NDJSON and XLSX: every value as it was written, every broken record named and kept."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import DAILY_SPEND, Home
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from onefunnel.sources import ndjson, xlsx
from onefunnel.sources.base import RecordError

HALF_PAST_NINE = dt.datetime(2026, 1, 4, 9, 30, 15)  # noqa: DTZ001 (a workbook knows no zones)
COLUMNS = ("day", "account", "campaign", "currency", "cost", "clicks")


def as_ndjson(**changes: Any) -> dict[str, Any]:
    return {**DAILY_SPEND, "files": "*.ndjson", "format": "ndjson", **changes}


def as_xlsx(**changes: Any) -> dict[str, Any]:
    return {**DAILY_SPEND, "files": "*.xlsx", "format": "xlsx", "sheet": "Costs", **changes}


def line(**changes: Any) -> str:
    record = {"day": "2026-01-04", "account": "a1", "campaign": "c1", "currency": "EUR", "cost": "1.50", "clicks": 3}
    return json.dumps({**record, **changes}, ensure_ascii=False)


def workbook(path: Path, rows: list[list[Any]], sheet: str = "Costs", header: tuple[str, ...] = COLUMNS) -> bytes:
    book = Workbook()
    page = book.active
    page.title = sheet
    for row in [list(header), *rows]:
        page.append(row)
    book.save(path)
    return path.read_bytes()


def rejects(home: Home) -> list[tuple[Any, ...]]:
    return home.parquet("rejects", "_line, reason, original_text")


# -- NDJSON ---------------------------------------------------------------------------------------------------------


def test_numbers_land_with_every_digit_and_lines_are_physical(home: Home) -> None:
    home.declare(as_ndjson())
    text = (
        line(cost=1).replace('"cost": 1,', '"cost": 1.10,')
        + "\n\n"
        + line(campaign="🚀 \u2028", cost=None)
        + "\r\n"
        + line(campaign=1).replace('"campaign": 1', '"campaign": 12345678901234567890')
        + "\n"
    )
    home.drop("a.ndjson", text)
    assert home.extract().returncode == 0
    assert home.parquet("records", "_line, campaign_id, spend_amount, clicks") == [
        (1, "c1", "1.10", "3"),
        (3, "🚀 \u2028", None, "3"),
        (4, "12345678901234567890", "1.50", "3"),
    ]
    assert home.receipt()["control"]["columns"]["spend_amount"]["sum"] == "2.6"


BROKEN = [
    ("[1, 2]", "not a JSON object"),
    ('{"day": ', "not JSON: Expecting value"),
    ('{"cost": NaN}', "not JSON: NaN is no number"),
    ('{"cost": 1, "cost": 2}', "an object names a key twice"),
    ('{"a": {"b": 1}, "a.b": 2}', "an object names a key twice"),
    ('{"a": ' * 30 + "1" + "}" * 30, "nested deeper than 20 levels"),
    ("[" * 100_000, "not JSON: nested too deeply"),
]


def test_a_broken_line_costs_itself_alone(home: Home) -> None:
    home.declare(as_ndjson())
    good = [line(campaign=f"c{n}") for n in range(len(BROKEN) + 1)]
    told = [text for pair in zip(good, (text for text, _ in BROKEN), strict=False) for text in pair] + good[-1:]
    home.drop("a.ndjson", "\n".join(told) + "\n")
    assert home.extract().returncode == 0
    assert rejects(home) == [(2 * n, reason, text) for n, (text, reason) in enumerate(BROKEN, start=1)]
    assert [r[0] for r in home.parquet("records", "campaign_id")] == [f"c{n}" for n in range(len(good))]


def test_bytes_that_are_not_utf8_are_rejected(home: Home) -> None:
    home.declare(as_ndjson())
    home.drop("a.ndjson", line().encode() + b'\n{"day": "\xff"}\n')
    assert home.extract().returncode == 0
    assert rejects(home) == [(2, "not UTF-8", '{"day": "\ufffd"}')]


def test_nested_objects_have_dotted_names_and_lists_stay_json(home: Home) -> None:
    columns = {**DAILY_SPEND["columns"], "campaign_name": {"from": "about.name"}, "ad_id": {"from": "about.tags"}}
    home.declare(as_ndjson(columns=columns))
    record = {**json.loads(line()), "about": {"name": "Brand", "tags": ["x", 1, {"deep": True}]}}
    home.drop("a.ndjson", json.dumps(record).replace(" 1,", " 1.0,", 1) + "\n")
    assert home.extract().returncode == 0
    assert home.parquet("records", "campaign_name, ad_id") == [("Brand", '["x", 1.0, {"deep": true}]')]


def test_a_missing_name_is_an_error_unless_it_is_declared_optional(home: Home) -> None:
    home.declare(as_ndjson())
    record = json.loads(line())
    del record["clicks"]
    home.drop("a.ndjson", json.dumps(record) + "\n")
    done = home.extract()
    assert done.returncode == 1 and "Declared column missing: clicks" in done.stderr
    home.declare(as_ndjson(columns={**DAILY_SPEND["columns"], "clicks": {"from": "clicks", "optional": True}}))
    assert home.extract("r2").returncode == 0
    assert home.parquet("records", "clicks") == [(None,)]


def test_a_truncated_file_is_refused_and_an_undeclared_name_is_kept_apart(home: Home) -> None:
    home.declare(as_ndjson())
    home.drop("a.ndjson", line() + "\n" + line(campaign="c2"))
    done = home.extract()
    assert done.returncode == 1 and "truncated" in done.stderr and "line 2" in done.stderr
    home.drop("a.ndjson", line(note="call 555") + "\n")
    assert home.extract("r2").returncode == 0
    assert home.receipt()["undeclared_columns"] == ["note"]
    assert home.parquet("personal", "_extra") == [('{"note":"call 555"}',)]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x, max_size=3), max_leaves=5
    ),
    st.text(min_size=1),
)
def test_any_value_comes_back_as_its_text(value: Any, name: str) -> None:
    if "." in name:
        return
    found = ndjson.parse(json.dumps({name: value}).encode())[name]
    if value is None or isinstance(value, str):
        assert found == value
    else:
        assert found is not None and json.loads(found) == value


@given(st.lists(st.binary(max_size=20).filter(lambda b: b"\n" not in b)), st.integers(1, 9))
def test_lines_do_not_depend_on_the_blocks_they_arrive_in(texts: list[bytes], size: int) -> None:
    data = b"".join(t + b"\n" for t in texts)
    blocks = (data[i : i + size] for i in range(0, len(data), size))
    assert list(ndjson.lines(blocks, 1000)) == [(i, t.removesuffix(b"\r")) for i, t in enumerate(texts, 1)]


# -- XLSX -----------------------------------------------------------------------------------------------------------


def test_a_sheet_lands_by_its_own_cells(home: Home, tmp_path: Path) -> None:
    home.declare(as_xlsx())
    rows = [
        [dt.date(2026, 1, 4), "00017", "c1", "EUR", 0.1, 3],
        [],
        ["2026-01-04", "a1", True, "EUR", 1e-05, None],
        [HALF_PAST_NINE, "a1", 12345678901234567, "EUR", -12.5, "=1+1"],
        [dt.date(2026, 1, 5), "a1", "c3", "EUR", 7, 1, "beyond"],
    ]
    home.drop("a.xlsx", workbook(tmp_path / "x.xlsx", rows))
    assert home.extract().returncode == 0
    assert home.parquet("records", "_line, spend_date, ad_account_id, campaign_id, spend_amount, clicks") == [
        (2, "2026-01-04", "00017", "c1", "0.1", "3"),
        (4, "2026-01-04", "a1", "true", "0.00001", None),
    ]
    assert [(n, why) for n, why, _ in rejects(home)] == [
        (5, "cell F5 holds a formula without a calculated value"),
        (6, "a value beyond the header"),
    ]


def test_a_time_is_kept_where_the_cell_shows_one(tmp_path: Path) -> None:
    workbook(
        tmp_path / "x.xlsx", [[HALF_PAST_NINE, HALF_PAST_NINE.replace(hour=0, minute=0, second=0)]], header=("a", "b")
    )
    book_rows = list(xlsx.rows(tmp_path / "x.xlsx", "Costs", 1, "here"))
    assert book_rows[1][1] == ["2026-01-04 09:30:15", "2026-01-04 00:00:00"]


def test_an_excel_error_rejects_its_row(tmp_path: Path) -> None:
    book = Workbook()
    page = book.active
    page.title = "Costs"
    page.append(["a"])
    page["A2"] = "#DIV/0!"
    page["A2"].data_type = "e"
    book.save(tmp_path / "x.xlsx")
    (_, _, _), (number, error, _) = xlsx.rows(tmp_path / "x.xlsx", "Costs", 1, "here")
    assert number == 2 and isinstance(error, RecordError) and "A2 holds the error #DIV/0!" in str(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"day,account\n", "not an Excel workbook"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "not an Excel workbook"),
        (b"PK\x03\x04 cut", "not an Excel workbook"),
    ],
)
def test_what_is_no_workbook_is_said(home: Home, content: bytes, message: str) -> None:
    home.declare(as_xlsx())
    home.drop("a.xlsx", content)
    done = home.extract()
    assert done.returncode == 1 and message in done.stderr and "a.xlsx" in done.stderr


def test_sheet_and_header_must_be_there(home: Home, tmp_path: Path) -> None:
    home.declare(as_xlsx(sheet="Kosten"))
    home.drop("a.xlsx", workbook(tmp_path / "x.xlsx", []))
    done = home.extract()
    assert done.returncode == 1 and "no sheet 'Kosten'; it has: Costs" in done.stderr
    home.declare(as_xlsx())
    home.drop("a.xlsx", workbook(tmp_path / "x.xlsx", [], header=("day", "", "account")))
    done = home.extract("r2")
    assert done.returncode == 1 and "empty cell in column 2" in done.stderr
    home.drop("a.xlsx", workbook(tmp_path / "x.xlsx", [], header=("day", "day")))
    done = home.extract("r3")
    assert done.returncode == 1 and "names a column twice: day" in done.stderr


def test_a_bomb_is_not_opened(home: Home, tmp_path: Path) -> None:
    home.declare(as_xlsx())
    home.drop("a.xlsx", workbook(tmp_path / "x.xlsx", [["x" * 30_000] for _ in range(600)]))
    done = home.extract()
    assert done.returncode == 1 and "is not opened" in done.stderr


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ({**as_xlsx(), "sheet": None}, "`format: xlsx` needs `sheet`"),
        ({**DAILY_SPEND, "sheet": "x"}, "`sheet` and `header_row` belong to `format: xlsx`"),
        (as_ndjson(dialect={"encoding": "latin-1"}), "NDJSON is UTF-8"),
    ],
)
def test_declarations_that_do_not_fit_are_named(home: Home, stream: dict[str, Any], message: str) -> None:
    home.declare({k: v for k, v in stream.items() if v is not None})
    done = home.cli("validate")
    assert done.returncode == 2 and message in done.stderr
