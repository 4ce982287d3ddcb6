"""Values inside nested records: the same path reads the same text from NDJSON and from Parquet."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import DAILY_SPEND, Home
from hypothesis import given, settings
from hypothesis import strategies as st
from test_landing import declared, land, rows

from onefunnel.errors import StepFailed

RECORDS: list[dict[str, Any]] = [
    {
        "id": "1",
        "at": 1775001600123456,
        "context": {"campaign": {"source": "google", "cost": "1.50"}, "page": {"url": "/a"}},
        "params": [
            {"key": "clicks", "value": {"text": None, "number": 7}},
            {"key": "currency", "value": {"text": "EUR", "number": None}},
            {"key": "currency", "value": {"text": "USD", "number": None}},
        ],
    },
    {
        "id": "2",
        "at": 1775001600000000,
        "context": {"campaign": None, "page": {"url": "/b"}},
        "params": [{"key": "currency", "value": {"text": "a 'quoted' €", "number": None}}],
    },
    {"id": "3", "at": None, "context": None, "params": []},
]
COLUMNS = {
    "id": {"from": "id"},
    "at": {"from": "at", "unit": "micros"},
    "amount": {"from": "context.campaign.cost"},
    "clicks": {"from": "params[key=clicks].value.number"},
    "currency": {"from": "params[key=currency].value.text"},
}


def content(format_: str, records: list[dict[str, Any]] = RECORDS) -> bytes:
    if format_ == "ndjson":
        return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("format_", ["ndjson", "parquet"])
def test_a_path_reads_the_same_from_both_formats(tmp_path: Path, format_: str) -> None:
    folder, receipt = land(tmp_path, {f"a.{format_}": content(format_)}, declared(COLUMNS, format=format_))
    assert rows(folder, "records", "id", "at_utc", "amount", "clicks", "currency", "_line") == [
        ("1", "2026-04-01 00:00:00.123456", "1.50", "7", "EUR", 1),
        ("2", "2026-04-01 00:00:00.000000", None, None, "a 'quoted' €", 2),
        ("3", None, None, None, None, 3),
    ]
    # The second reader counts the same; the list as a whole is kept apart, as everything undeclared is.
    columns = receipt["control"]["columns"]
    assert (columns["amount"]["sum"], columns["clicks"]["sum"], columns["at"]["valid"]) == ("1.5", "7", 2)
    nulls = ["context", "context.campaign"] if format_ == "ndjson" else []  # JSON has no schema: a null may be anything
    assert receipt["undeclared_columns"] == sorted([*nulls, "context.campaign.source", "context.page.url", "params"])
    (extra, *_) = [json.loads(text) for (text,) in rows(folder, "personal", "_extra")]
    assert json.loads(extra["params"])[1]["value"]["text"] == "EUR"


@pytest.mark.parametrize("format_", ["ndjson", "parquet"])
@pytest.mark.parametrize(
    "path", ["lines[key=clicks].value.number", "params[name=clicks].value", "context.campaign.term", "context[key=a].b"]
)
def test_a_path_that_leads_nowhere_is_a_missing_column(tmp_path: Path, format_: str, path: str) -> None:
    stream = declared({"id": {"from": "id"}, "clicks": {"from": path}}, format=format_)
    if format_ == "ndjson" and path.startswith("params"):
        # A list of JSON has no schema: of an element that no record has there is no value.
        folder, _ = land(tmp_path, {"a.ndjson": content(format_)}, stream)
        assert rows(folder, "records", "clicks") == [(None,), (None,), (None,)]
        return
    with pytest.raises(StepFailed, match="Declared column missing"):
        land(tmp_path, {f"a.{format_}": content(format_)}, stream)
    optional = declared({"id": {"from": "id"}, "clicks": {"from": path, "optional": True}}, format=format_)
    folder, _ = land(tmp_path / "optional", {f"a.{format_}": content(format_)}, optional)
    assert rows(folder, "records", "clicks") == [(None,), (None,), (None,)]


def test_a_parquet_file_that_names_a_value_twice_is_refused(tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ["1"], "a": [{"b": 1}], "a.b": [2]}), sink)
    with pytest.raises(StepFailed, match=r"names a column twice: a\.b"):
        land(tmp_path, {"a.parquet": sink.getvalue().to_pybytes()}, declared({"id": {"from": "id"}}, format="parquet"))


@pytest.mark.parametrize("format_", ["ndjson", "parquet"])
def test_what_is_ignored_is_ignored_with_all_that_is_in_it(tmp_path: Path, format_: str) -> None:
    """But for what is declared: the rest of its object, and of its list, is passed over."""
    columns = {"id": {"from": "id"}, "clicks": COLUMNS["clicks"], "amount": COLUMNS["amount"]}
    for number, taken in enumerate([["id"], ["id", "clicks"], ["id", "clicks", "amount"]]):
        stream = declared({n: columns[n] for n in taken}, format=format_, ignore=["context", "params", "at"])
        folder, receipt = land(tmp_path / str(number), {f"a.{format_}": content(format_, RECORDS[:1])}, stream)
        assert receipt["undeclared_columns"] == [] and not (folder / "personal.parquet").exists()
        expected = tuple({"id": "1", "clicks": "7", "amount": "1.50"}[n] for n in taken)
        assert rows(folder, "records", *taken) == [expected]


def test_microseconds_are_whole_numbers_since_1970(tmp_path: Path) -> None:
    texts = [
        "0",
        "1775001600123456",
        "1775001600.5",
        "-1",
        "1e15",
        "soon",
        "99999999999999999",
        "123456789012345678",
        "",
    ]
    body = "id,at\n" + "".join(f"{n},{text}\n" for n, text in enumerate(texts))
    stream = declared({"id": {"from": "id"}, "at": {"from": "at", "unit": "micros"}})
    folder, receipt = land(tmp_path, {"a.csv": body.encode()}, stream)
    found = [at for (at,) in rows(folder, "records", "at_utc")]
    assert found == [
        "1970-01-01 00:00:00.000000",
        "2026-04-01 00:00:00.123456",
        None,
        None,
        None,
        None,
        "5138-11-16 09:46:39.999999",
        None,
        None,
    ]
    at = receipt["control"]["columns"]["at"]
    assert (at["valid"], at["invalid"], at["null"]) == (3, 5, 1)


def test_a_time_in_microseconds_has_neither_format_nor_zone(home: Home) -> None:
    at = {"from": "at", "unit": "micros"}
    columns = {**DAILY_SPEND["columns"], "reported_at": at}
    home.declare({**DAILY_SPEND, "columns": columns})
    assert home.cli("validate").returncode == 0
    home.declare({**DAILY_SPEND, "columns": {**columns, "reported_at": {**at, "zone": "UTC"}}})
    done = home.cli("validate")
    assert done.returncode == 2 and "leave `format`, `zone` and `fold` out" in done.stderr


TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ELEMENTS = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["clicks", "currency", "click"]) | st.none(),
        "value": st.none()
        | st.fixed_dictionaries({"text": TEXTS, "number": st.none() | st.integers(-(2**63), 2**63 - 1)}),
    }
)
NESTED = st.fixed_dictionaries(
    {
        "context": st.none() | st.fixed_dictionaries({"campaign": st.none() | st.fixed_dictionaries({"cost": TEXTS})}),
        "params": st.none() | st.lists(ELEMENTS, max_size=4),
    }
)
VALUE = pa.struct([("text", pa.string()), ("number", pa.int64())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("context", pa.struct([("campaign", pa.struct([("cost", pa.string())]))])),
        ("params", pa.list_(pa.struct([("key", pa.string()), ("value", VALUE)]))),
    ]
)


@settings(max_examples=15, deadline=None)
@given(st.lists(NESTED, min_size=1, max_size=6))
def test_both_formats_say_the_same_of_any_record(records: list[dict[str, Any]]) -> None:
    records = [{"id": str(n), **record} for n, record in enumerate(records)]
    columns = {name: {**column, "optional": True} for name, column in COLUMNS.items() if name not in ("id", "at")}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records, SCHEMA), sink)
    files = {"ndjson": content("ndjson", records), "parquet": sink.getvalue().to_pybytes()}
    found = []
    for format_, body in files.items():
        with tempfile.TemporaryDirectory() as folder:
            stream = declared({"id": {"from": "id"}, **columns}, format=format_)
            landed, receipt = land(Path(folder), {f"a.{format_}": body}, stream)
            found.append((rows(landed, "records", "id", *columns), receipt["control"]))
    assert found[0] == found[1]

    def first(record: dict[str, Any], key: str) -> dict[str, Any]:
        return next((e["value"] or {} for e in record["params"] or () if e["key"] == key), {})

    for (_, cost, clicks, currency), record in zip(found[0][0], records, strict=True):
        number = first(record, "clicks").get("number")
        assert cost == ((record["context"] or {}).get("campaign") or {}).get("cost")
        assert (clicks, currency) == (None if number is None else str(number), first(record, "currency").get("text"))
