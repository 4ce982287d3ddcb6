"""Loads: what lands, what the second reader counts, what a receipt promises."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from onefunnel.errors import EnvironmentNotReady, StepFailed
from onefunnel.landing import LoadPlan, file_dates, read_receipt, token, verify_load, write_load
from onefunnel.settings import Contract, Stream
from onefunnel.sources.files import find_files, read_file

CONTRACT = Contract.model_validate(
    {
        "grain": ["id"],
        "columns": {
            "id": {"type": "text", "required": True},
            "email": {"type": "text", "personal": True},
            "day": {"type": "date"},
            "at": {"type": "timestamp"},
            "amount": {"type": "amount"},
            "clicks": {"type": "integer"},
            "currency": {"type": "currency"},
            "is_bot": {"type": "boolean"},
        },
    }
)
KEY = "k" * 40


def declared(columns: dict[str, Any], **more: Any) -> Stream:
    base = {"contract": "c", "files": "*", "key": ["id"], "replaces": "keys", "columns": columns}
    return Stream.model_validate({**base, **more})


def land(
    tmp_path: Path, content: dict[str, bytes], stream: Stream, known: str = "2026-01-05T06:00:00+00:00"
) -> tuple[Path, dict[str, Any]]:
    root, work = tmp_path / "root", tmp_path / "work"
    for folder in (root, work):
        folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (root / name).write_bytes(data)
        os.utime(root / name, (1, 1))
    found = find_files(root, stream, "t")
    plan = LoadPlan(
        "src", "c", stream, CONTRACT, "run", dt.datetime.fromisoformat(known), {}, [(f.path, f.sha256) for f in found]
    )
    files = [read_file(f, i, stream, work, "t") for i, f in enumerate(found)]
    target = tmp_path / "landing" / f"load={plan.load_id}"
    return target, write_load(plan, files, work, target)


def rows(folder: Path, part: str, *columns: str) -> list[tuple[Any, ...]]:
    table = pq.read_table(folder / f"{part}.parquet")
    if part == "records":  # a join at landing may change their order; `_line` keeps it
        table = table.sort_by([("_file_seq", "ascending"), ("_line", "ascending")])
    return list(zip(*(table[c].to_pylist() for c in columns), strict=True))


def test_a_boolean_reads_by_two_words_and_its_sum_counts_the_true_ones(tmp_path):
    stream = declared({"id": {"from": "id"}, "is_bot": {"from": "bot", "map": {"1": "true", "0": "false", "x": "?"}}})
    words = ["true", "false", "1", "0", "1", "", "yes", "TRUE", "x"]
    _, receipt = land(tmp_path, {"a.csv": "\n".join(["id,bot", *map("{0},{0}".format, words), ""]).encode()}, stream)
    bots = receipt["control"]["columns"]["is_bot"]
    assert (bots["sum"], bots["valid"], bots["invalid"], bots["null"]) == ("3", 5, 3, 1)


def test_values_land_as_the_source_wrote_them(tmp_path):
    stream = declared(
        {"id": {"from": "ID"}, "amount": {"from": "Betrag", "prefix": "€ "}, "currency": {"value": "EUR"}},
        dialect={"delimiter": ";", "decimal": ",", "grouping": ".", "encoding": "latin-1"},
    )
    folder, receipt = land(
        tmp_path,
        {
            "a.csv": "ID;Betrag\n00012345678901234567;€ 1.234,50\n007;-€ 3\nx;n/a\n".encode("cp1252").replace(
                b"\x80", b"\xa4"
            )
        },
        stream,
    )
    assert [r[0] for r in rows(folder, "records", "id")] == ["00012345678901234567", "007", "x"]
    assert rows(folder, "records", "currency", "clicks", "_line", "_known_at")[0] == (
        "EUR",
        None,
        2,
        "2026-01-05 06:00:00",
    )
    assert receipt["rows"] == {"extracted": 3, "landed": 3, "rejected": 0}


def test_a_hostile_cell_arrives_whole(tmp_path):
    cells = [
        "9" * 1_000_000,
        "line\nbreak",
        'quo"te',
        "'; drop table x; --",
        "{{ env_var('X') }}",
        "\u202eRTL",
        "=1+1",
        "",
    ]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([["id"], *[[c] for c in cells if c]])
    folder, _ = land(tmp_path, {"a.csv": text.getvalue().encode()}, declared({"id": {"from": "id"}}))
    assert [r[0] for r in rows(folder, "records", "id")] == [c for c in cells if c]


CELLS = st.text(alphabet=st.sampled_from('ab,;"\n\r é0'), max_size=5)


@settings(max_examples=60, deadline=None)
@given(table=st.lists(st.tuples(CELLS, CELLS), max_size=10))
def test_duckdb_and_pyarrow_read_what_was_written(tmp_path_factory, table):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([["id", "day"], *table])
    stream = declared({"id": {"from": "id"}, "day": {"from": "day", "format": "%Y-%m-%d"}}, allow_empty=True)
    folder, receipt = land(tmp_path_factory.mktemp("l"), {"a.csv": text.getvalue().encode()}, stream)
    assert rows(folder, "records", "id", "day") == table
    assert receipt["control"]["rows"] == len(table)
    assert sum(n for (n,) in rows(folder, "covers", "control_rows")) == len(table)


def test_control_totals_follow_the_declared_dialect(tmp_path):
    stream = declared(
        {"id": {"from": "id"}, "amount": {"from": "amount", "prefix": "R$ "}, "clicks": {"from": "clicks"}},
        dialect={"delimiter": ";", "decimal": ",", "grouping": ".", "null_words": ["", "None"]},
        replaces="file",
    )
    content = "id;amount;clicks\n1;R$ 1.234,50;1.000\n2;-R$ 0,25;None\n3;R$ -1,00;7\n4;1.234,50;1,5\n5;R$ 12,3456789;x\n6;;8\n"
    folder, receipt = land(tmp_path, {"a.csv": content.encode()}, stream)
    amount, clicks = receipt["control"]["columns"]["amount"], receipt["control"]["columns"]["clicks"]
    assert (amount["sum"], amount["valid"], amount["invalid"], amount["null"]) == ("1233.25", 3, 2, 1)
    assert (clicks["sum"], clicks["valid"], clicks["invalid"], clicks["null"]) == ("1015", 3, 2, 1)
    assert rows(folder, "covers", "control_rows", "control_amount", "control_amount_valid") == [
        (6, Decimal("1233.25"), 3)
    ]


def test_control_totals_of_micros_and_of_floats(tmp_path):
    stream = declared(
        {"id": {"from": "id"}, "amount": {"from": "amount", "unit": "micros"}, "clicks": {"from": "clicks"}},
        replaces="file",
    )
    content = "id,amount,clicks\n1,1234567,1\n2,-5,2\n3,1.5,3\n4,,4\n"
    _, receipt = land(tmp_path / "micros", {"a.csv": content.encode()}, stream)
    amount = receipt["control"]["columns"]["amount"]
    assert (amount["sum"], amount["valid"], amount["invalid"], amount["null"]) == ("1.234562", 2, 1, 1)
    stream = declared({"id": {"from": "id"}, "amount": {"from": "amount", "rounded": True}}, replaces="file")
    content = "id,amount\n1,12.333333333333334\n2,0.0000005\n3,1.5E-4\n4,x\n5,-0.33333333333333333333\n"
    _, receipt = land(tmp_path / "floats", {"a.csv": content.encode()}, stream)
    amount = receipt["control"]["columns"]["amount"]
    assert (amount["sum"], amount["valid"], amount["invalid"]) == ("12.000151", 4, 1)


def test_control_totals_are_taken_per_currency_as_the_source_wrote_it(tmp_path):
    columns = {"id": {"from": "id"}, "day": {"from": "day", "format": "%Y-%m-%d"}, "amount": {"from": "amount"}}
    content = (
        b"id,day,amount,money\n1,2026-01-01,10.50,EUR\n2,2026-01-01,3,US-Dollar\n3,2026-01-01,0.25,EUR\n"
        b"4,2026-01-01,7,Taler\n5,2026-01-01,1,\n6,2026-01-02,2,EUR\n"
    )
    stream = {"replaces": "partition", "partition": ["day"]}
    named = {"currency": {"from": "money", "map": {"US-Dollar": "USD"}}}
    folder, receipt = land(tmp_path / "a", {"a.csv": content}, declared(columns | named, **stream))
    assert sorted(rows(folder, "covers", "day", "control_currency", "control_rows", "control_amount")) == [
        ("2026-01-01", "", 1, Decimal(1)),
        ("2026-01-01", "EUR", 2, Decimal("10.75")),
        ("2026-01-01", "Taler", 1, Decimal(7)),
        ("2026-01-01", "US-Dollar", 1, Decimal(3)),
        ("2026-01-02", "EUR", 1, Decimal(2)),
    ]
    assert receipt["covers"]["cells"] == 2, "a cell is a day, whatever it was paid in"
    constant = {"currency": {"value": "CHF"}}
    folder, _ = land(
        tmp_path / "b", {"a.csv": content}, declared(columns | constant, replaces="file", ignore=["money"])
    )
    assert rows(folder, "covers", "control_currency", "control_rows", "control_amount") == [
        ("CHF", 6, Decimal("23.75"))
    ]


def test_the_currency_of_control_totals_is_the_second_readers_own(tmp_path):
    """A Parquet file may hold nothing in place of a currency, and a cell may be named by its currency."""
    table = pa.table({"id": ["1", "2"], "amount": ["4", "5"], "money": pa.array([None, "EUR"], pa.string())})
    pq.write_table(table, tmp_path / "x.parquet")
    stream = declared(
        {"id": {"from": "id"}, "amount": {"from": "amount"}, "currency": {"from": "money"}},
        format="parquet",
        replaces="partition",
        partition=["currency"],
    )
    folder, receipt = land(tmp_path, {"a.parquet": (tmp_path / "x.parquet").read_bytes()}, stream)
    found = rows(folder, "covers", "currency", "control_currency", "control_amount")
    assert set(found) == {(None, None, Decimal(4)), ("EUR", "EUR", Decimal(5))}
    assert receipt["covers"]["cells"] == 2


@settings(max_examples=60, deadline=None)
@given(cents=st.lists(st.integers(-(10**11), 10**11), min_size=1, max_size=30))
def test_control_sums_are_exact(tmp_path_factory, cents):
    body = "".join(f"{i},{'-' if c < 0 else ''}{abs(c) // 100}.{abs(c) % 100:02d}\n" for i, c in enumerate(cents))
    stream = declared({"id": {"from": "id"}, "amount": {"from": "amount"}}, replaces="file")
    _, receipt = land(tmp_path_factory.mktemp("l"), {"a.csv": b"id,amount\n" + body.encode()}, stream)
    assert Decimal(receipt["control"]["columns"]["amount"]["sum"]) == Decimal(sum(cents)) / 100


def test_a_load_says_what_it_covers(tmp_path):
    stream = declared(
        {"id": {"from": "id"}, "day": {"from": "day", "format": "%d/%m/%y"}}, replaces="partition", partition=["day"]
    )
    folder, receipt = land(
        tmp_path, {"a.csv": b"id,day\n1,01/02/26\n2,01/02/26\n", "b.csv": b"id,day\n3,02/02/26\n"}, stream
    )
    assert sorted(rows(folder, "covers", "_file", "day", "control_rows")) == [
        ("a.csv", "01/02/26", 2),
        ("b.csv", "02/02/26", 1),
    ]
    assert receipt["covers"] == {
        "mode": "partition",
        "columns": ["day"],
        "cells": 2,
        "dates": 2,
        "min_date": "2026-02-01",
        "max_date": "2026-02-02",
    }


def test_local_time_becomes_utc_by_the_declared_fold(tmp_path):
    at = ["2026-10-25 02:30:00", "2026-03-29 02:30:00", "2026-07-01 12:00:00", "2026-01-01 12:00:00", "no"]
    content = "id,at\n" + "".join(f"{i},{a}\n" for i, a in enumerate(at))
    found = {}
    for fold in (0, 1):
        stream = declared(
            {
                "id": {"from": "id"},
                "at": {"from": "at", "format": "%Y-%m-%d %H:%M:%S", "zone": "Europe/Berlin", "fold": fold},
            }
        )
        folder, _ = land(tmp_path / str(fold), {"a.csv": content.encode()}, stream)
        found[fold] = [r[0] and r[0][:19] for r in rows(folder, "records", "at_utc")]
        assert [r[0] for r in rows(folder, "records", "at")] == at
    same = [None, "2026-07-01 10:00:00", "2026-01-01 11:00:00", None]  # an hour that never was; and no time at all
    assert found[0] == ["2026-10-25 00:30:00", *same]
    assert found[1] == ["2026-10-25 01:30:00", *same]


def test_personal_values_become_tokens_and_stay_in_a_file_of_their_own(tmp_path, monkeypatch):
    stream = declared({"id": {"from": "id"}, "email": {"from": "mail"}})
    content = {"a.csv": b"id,mail,note\n1, Anna@Example.COM ,call her\n2,anna@example.com,\n3,,x\n"}
    monkeypatch.delenv("ONEFUNNEL_TOKEN_KEY", raising=False)
    with pytest.raises(EnvironmentNotReady, match="ONEFUNNEL_TOKEN_KEY"):
        land(tmp_path, content, stream)
    monkeypatch.setenv("ONEFUNNEL_TOKEN_KEY", KEY)
    folder, receipt = land(tmp_path / "again", content, stream)
    tokens = [r[0] for r in rows(folder, "records", "email_token")]
    assert tokens == [token(KEY.encode(), "anna@example.com")] * 2 + [None]
    assert "email" not in pq.read_schema(folder / "records.parquet").names
    assert rows(folder, "personal", "_line", "email", "_extra")[0] == (2, " Anna@Example.COM ", '{"note":"call her"}')
    assert receipt["undeclared_columns"] == ["note"]
    assert (folder / "personal.parquet").stat().st_mode & 0o077 == 0
    assert KEY not in (folder / "receipt.json").read_text()
    monkeypatch.setenv("ONEFUNNEL_TOKEN_KEY", "z" * 40)
    other, _ = land(tmp_path / "third", content, stream)
    assert rows(other, "records", "email_token")[0][0] != tokens[0]


def test_parquet_lands_as_text_with_its_control_totals(tmp_path):
    table = pa.table(
        {
            "id": ["1", "2"],
            "amount": pa.array([Decimal("1.10"), Decimal("-0.30")], pa.decimal128(10, 2)),
            "day": pa.array([dt.date(2026, 1, 1), None], pa.date32()),
            "clicks": pa.array([5, None], pa.int64()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    stream = declared(
        {
            "id": {"from": "id"},
            "amount": {"from": "amount"},
            "day": {"from": "day", "format": "%Y-%m-%d"},
            "clicks": {"from": "clicks"},
        },
        format="parquet",
    )
    folder, receipt = land(tmp_path, {"a.parquet": sink.getvalue().to_pybytes()}, stream)
    assert rows(folder, "records", "id", "amount", "day", "clicks", "_line") == [
        ("1", "1.10", "2026-01-01", "5", 1),
        ("2", "-0.30", None, None, 2),
    ]
    assert receipt["control"]["columns"]["amount"]["sum"] == "0.8"
    assert [receipt["control"]["columns"][c]["null"] for c in ("id", "amount", "day", "clicks")] == [0, 0, 1, 1]
    with pytest.raises(StepFailed, match="not readable Parquet"):
        land(tmp_path / "bad", {"a.parquet": b"PAR1 torn"}, stream)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/Sao_Paulo"])
def test_both_readers_write_a_moment_of_a_parquet_file_alike(tmp_path, unit, zone):
    """Writers differ in their unit: pandas' own is ns, Spark's us. A fraction stands only where there is one."""
    moments: list[dt.datetime | None] = [dt.datetime.fromisoformat(m) for m in ("2026-01-05T09:45:30", "2026-07-01")]
    moments += [None, *([dt.datetime.fromisoformat("2026-01-05T09:45:30.120000")] if unit != "s" else [])]
    sink = pa.BufferOutputStream()
    ids = [str(n) for n in range(len(moments))]
    pq.write_table(pa.table({"id": ids, "at": pa.array(moments, pa.timestamp(unit, zone))}), sink)
    written = "%Y-%m-%d %H:%M:%S.%f" + ("%z" if zone else "")
    columns = {"id": {"from": "id"}, "at": {"from": "at", "format": written, "zone": "UTC"}}
    # a cell of each moment: the text that the second reader takes must be the text of the record
    stream = declared(columns, format="parquet", replaces="partition", partition=["at"])
    folder, receipt = land(tmp_path, {"a.parquet": sink.getvalue().to_pybytes()}, stream)
    landed = rows(folder, "records", "at", "at_utc")
    assert {at for at, _ in landed} == set(pq.read_table(folder / "covers.parquet")["at"].to_pylist())
    assert [utc for _, utc in landed] == [m and f"{m:%Y-%m-%d %H:%M:%S.%f}" for m in moments]
    profile = receipt["control"]["columns"]["at"]
    assert (profile["valid"], profile["invalid"], profile["null"]) == (len(moments) - 1, 0, 1)


def test_several_columns_make_one_id_that_no_other_parts_make(tmp_path):
    content = b"order,line,clicks\n1,2,5\n1/2,,5\n1,/2,5\n1/,2,5\n~1,2,5\nNone,2,5\n"
    columns = {"id": {"from": ["order", "line"]}, "clicks": {"from": "clicks"}}
    stream = declared(columns, dialect={"null_words": ["", "None"]})
    folder, receipt = land(tmp_path, {"a.csv": content}, stream)
    landed = [value for (value,) in rows(folder, "records", "id")]
    assert landed == ["1/2", None, "1/~12", "1~1/2", "~01/2", None], "an id without one of its parts is none"
    covered = pq.read_table(folder / "covers.parquet")["id"].to_pylist()
    assert set(covered) == set(landed), "cells are told by the second reader's own text"
    assert receipt["undeclared_columns"] == []
    assert receipt["control"]["columns"]["id"]["null"] == 2
    with pytest.raises(StepFailed, match="missing: line"):
        land(tmp_path / "2", {"a.csv": b"order,clicks\n1,2\n"}, stream)


def test_a_day_is_mapped_and_then_moved_by_both_readers(tmp_path):
    end = {"from": "end", "format": "%Y-%m-%d", "map": {"open": "2026-12-31"}, "add_days": 1}
    stream = declared({"id": {"from": "id"}, "day": end}, dialect={"null_words": ["", "None"]})
    content = b"id,end\n1,2026-02-28\n2,open\n3,None\n4,never\n"
    folder, receipt = land(tmp_path, {"a.csv": content}, stream)
    written = [("2026-02-28",), ("open",), ("None",), ("never",)]
    assert rows(folder, "records", "day") == written, "values land as they were written"
    profile = receipt["control"]["columns"]["day"]
    assert (profile["valid"], profile["invalid"], profile["null"]) == (2, 1, 1)
    assert (profile["min"], profile["max"]) == ("2026-03-01", "2027-01-01")


def test_a_missing_declared_column_stops_the_load_and_names_itself(tmp_path):
    with pytest.raises(StepFailed) as caught:
        land(tmp_path, {"a.csv": b"ident,x\n1,2\n"}, declared({"id": {"from": "id"}, "clicks": {"from": "x"}}))
    assert "id" in caught.value.what
    assert "it has: ident, x" in (caught.value.where or "")
    assert "stg_files__c" in (caught.value.do or "")
    with pytest.raises(StepFailed) as headless:
        land(tmp_path / "2", {"a.csv": b"Anna,anna@example.com\nB,b@example.com\n"}, declared({"id": {"from": "id"}}))
    assert "has the file a header?" in (headless.value.where or "")
    assert "anna" not in str(headless.value).lower(), "line 1 may be data"


def test_a_load_is_immutable_and_says_when_it_was_touched(tmp_path):
    folder, receipt = land(tmp_path, {"a.csv": b"id\n1\n"}, declared({"id": {"from": "id"}}))
    verify_load(folder)
    assert read_receipt(folder)["parts"] == receipt["parts"]
    data = bytearray((folder / "records.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "records.parquet").write_bytes(data)
    with pytest.raises(StepFailed, match=r"damaged: records\.parquet"):
        verify_load(folder)


def test_the_same_input_at_the_same_instant_is_the_same_load(tmp_path):
    stream = declared({"id": {"from": "id"}})
    first, one = land(tmp_path / "1", {"a.csv": b"id\n1\n"}, stream)
    second, two = land(tmp_path / "2", {"a.csv": b"id\n1\n"}, stream)
    other, three = land(tmp_path / "3", {"a.csv": b"id\n2\n"}, stream)
    assert first.name == second.name != other.name
    assert one["content_fingerprint"] == two["content_fingerprint"] != three["content_fingerprint"]
    assert json.loads((first / "receipt.json").read_text())["known_at"] == "2026-01-05 06:00:00"


def test_the_dates_of_a_file_are_known_without_landing_it(tmp_path):
    stream = declared({"id": {"from": "id"}, "day": {"from": "day", "format": "%d.%m.%Y"}})
    (tmp_path / "a.csv").write_bytes(b"id,day\n1,05.01.2026\n2,31.12.2025\n3,never\n")
    os.utime(tmp_path / "a.csv", (1, 1))
    (found,) = find_files(tmp_path, stream, "t")
    work = tmp_path / "w"
    work.mkdir()
    plan = LoadPlan("s", "c", stream, CONTRACT, "r", dt.datetime.now(dt.UTC), {}, [])
    assert file_dates(plan, read_file(found, 0, stream, work, "t")) == ("2025-12-31", "2026-01-05")
