"""Pages of JSON become texts: no digit is lost, nothing is guessed."""

import io
import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onefunnel.errors import StepFailed
from onefunnel.sources.json_lines import whole_characters, write_lines
from onefunnel.sources.pages import Field, write_records

# texts that look like numbers, and quotes and backslashes in every order
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from('\\\\\\"""e1-.{}[]:,'), max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


RECORDS = st.lists(st.dictionaries(TEXTS, DOCUMENTS, max_size=4), max_size=4)


def lines_of(text: str, at: str, block_bytes: int | None = None) -> list[object]:
    """What the lines of a page say, as JSON."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as small:
        if block_bytes:
            small.setattr("onefunnel.sources.json_lines._BLOCK_BYTES", block_bytes)
        page = Path(folder) / "page.json"
        page.write_text(text, encoding="utf-8")
        out = io.BytesIO()
        longest = write_lines(page, at, out, "source crm, stream deals")
    lines = [line for line in out.getvalue().split(b"\n") if line.strip()]
    assert longest >= max(map(len, lines), default=0)
    return [json.loads(line) for line in lines]


@settings(max_examples=60)
@given(
    RECORDS, RECORDS, DOCUMENTS, st.booleans(), st.sampled_from([None, 1]), st.sampled_from([None, 1, 7, 40]), st.data()
)
def test_each_record_is_a_line_and_only_its_reals_become_their_own_text(
    some, others, around, ascii_only, indent, block_bytes, data
):
    document, at, expected = data.draw(
        st.sampled_from(
            [
                ({"a": around, "results": some, "z": others}, "$.results[*]", some),
                ({"paging": {"next": around}, "data": {"x": [others], "list": some}}, "$.data.list[*]", some),
                (
                    [{"results": some, "x": around}, {"y": around}, {"results": others}],
                    "$[*].results[*]",
                    some + others,
                ),
                (some, "$[*]", some),
                ({"results": None, "x": around}, "$.results[*]", []),
            ]
        )
    )
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    expected = json.loads(json.dumps(expected), parse_float=str)
    assert lines_of(text, at, block_bytes) == expected


@settings(max_examples=40)
@given(RECORDS.filter(bool), st.data())
def test_a_page_that_is_cut_off_is_red(some, data):
    text = json.dumps({"results": some})
    with pytest.raises(StepFailed, match="source crm, stream deals"):
        lines_of(text[: data.draw(st.integers(0, len(text) - 1))], "$.results[*]")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ('{"results": [1, 2]}', "$.results[*]"),
        ('{"results": ["a"]}', "$.results[*]"),
        ('{"results": [[{"a": 1}]]}', "$.results[*]"),
        ('{"results": [{"a": 1} {"a": 2}]}', "$.results[*]"),
        ('{"results": [{"a": 1},]}', "$.results[*]"),
        ('{"results": [,{"a": 1} {"a": 2}]}', "$.results[*]"),
        ('{"results": [{"a": 1},, {"a": 2} {"a": 3}]}', "$.results[*]"),
        ('{"results": {"a": 1}}', "$.results[*]"),
        ('{"results": "none"}', "$.results[*]"),
        ('{"results": {}}', "$.results[*]"),
        ('{"result\\u0073": [{"a": 1}]}', "$.results[*]"),
        ('{"results": [{"a": 1}], "results": [{"a": 2}]}', "$.results[*]"),
        ('{"other": {"list": [{"a": 1}]}, "data": {"list": [{"a": 2}]}}', "$.data.list[*]"),
        ('{"results": [{"a": 1}]}', "$[*].results[*]"),
        ('{"results": [{"a": 1}]} {"results": [{"a": 2}]}', "$.results[*]"),
        ('{"results": [{"a": 1}]}]', "$.results[*]"),
    ],
)
def test_what_cannot_be_told_apart_is_red_and_never_a_part_of_it(text: str, at: str):
    with pytest.raises(StepFailed, match="A page cannot be read"):
        lines_of(text, at)


@given(st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from("\\u\ud83d\ude00")))
def test_half_a_character_is_the_replacement_character_and_nothing_else_changes(text):
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(whole_characters(json.dumps(text).encode())) == whole


def pages(folder: Path, *texts: str) -> list[Path]:
    found = []
    for number, text in enumerate(texts):
        found.append(folder / f"{number}.json")
        found[-1].write_text(text)
    return found


def records(
    tmp_path: Path, given_pages: list[Path], *fields: Field, at: str = "$.records[*]"
) -> list[dict[str, object]]:
    out = tmp_path / "out.*.parquet"
    count = write_records(given_pages, at, fields, tmp_path, out, "source crm, stream deals")
    rows = [row for part in sorted(tmp_path.glob(out.name)) for row in pq.read_table(part).to_pylist()]
    assert len(rows) == count
    return rows


def test_every_digit_arrives(tmp_path: Path):
    text = '{"records": [{"id": 90071992547409931234567, "m": 123456789.123456789123, "z": 12.10, "t": "0.30", "b": true}]}'
    fields = [Field(name) for name in ("id", "m", "z", "t", "b")]
    assert records(tmp_path, pages(tmp_path, text), *fields) == [
        {"id": "90071992547409931234567", "m": "123456789.123456789123", "z": "12.10", "t": "0.30", "b": "true"}
    ]


def test_nested_values_odd_names_and_what_is_not_there(tmp_path: Path):
    text = '{"records": [{"properties": {"a/b~c": "x", "list": [1, 2.50]}}, {"properties": null}, {}]}'
    fields = [Field("odd", "properties.a/b~c"), Field("list", "properties.list"), Field("never", "properties.never")]
    assert records(tmp_path, pages(tmp_path, text), *fields) == [
        {"odd": "x", "list": '[1,"2.50"]', "never": None},
        {"odd": None, "list": None, "never": None},
        {"odd": None, "list": None, "never": None},
    ]


def test_records_of_all_pages_in_whatever_shape_a_page_has(tmp_path: Path):
    batches = '[{"results": [{"a": 1}]}, {"fieldMask": "a"}, {"results": [{"a": 2}, {"a": 3}]}]'
    found = records(tmp_path, pages(tmp_path, batches, "[]"), Field("a"), at="$[*].results[*]")
    assert [row["a"] for row in found] == ["1", "2", "3"]
    assert records(tmp_path, [], Field("a")) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        '{"records": [{"a": 1}',
        '{"records": [{"a": 1}]} trailing',
        '{"records": [{"a": 1,, "b": 2}]}',
        '{"records": [{"a": 1}, {"a": "x\ny"}]}',
        '{"records": [{"a": tru}]}',
    ],
)
def test_what_is_not_json_is_red_and_says_where(tmp_path: Path, text: str):
    with pytest.raises(StepFailed, match="source crm, stream deals"):
        records(tmp_path, pages(tmp_path, '{"records": [{"a": 0}]}', text), Field("a"))


NO_NUMBERS = [
    *("1.2.3", "1..2", "1.", "1.e5", ".5", "-.5", "-.5e3", "01.5", "-00.5", "01e5", "1e", "1e+", "1.5e", "1e5e5", "1e5.5", "1.5e5.5"),
    *("--1.5", "+1.5", "1-1.5", "1.5-1", "1.5+", "e1.5", "1.5.", "-1e--5", "01", "--1", "+1", "1-2", "1+", "-", "0x1.5", "1.5x"),
]  # fmt: skip


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_a_number_that_is_none_is_red(tmp_path: Path, number: str):
    text = f'{{"records": [{{"a": 0.5}}, {{"a": [-1.5E+7,{number}], "b": 0}}]}}'
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
    with pytest.raises(StepFailed, match="source crm, stream deals"):
        records(tmp_path, pages(tmp_path, text), Field("a"))


@given(st.text(st.sampled_from("0123456789.eE+-"), min_size=1, max_size=9), st.sampled_from([None, 1, 7]))
def test_a_real_becomes_its_own_text_or_is_none(number: str, block_bytes: int | None):
    """Where a number is no integer, a page is refused when JSON refuses it, or else by who reads the line."""
    text = f'{{"results": [{{"a": {number}, "b": -0.5}}, {{"a": [1.50,{number}]}}]}}'
    try:
        expected = json.loads(text, parse_float=str)["results"]
    except ValueError:
        with pytest.raises((StepFailed, ValueError)):
            lines_of(text, "$.results[*]", block_bytes)
    else:
        assert lines_of(text, "$.results[*]", block_bytes) == expected


def test_a_page_may_be_larger_than_what_is_held_in_memory(tmp_path: Path):
    record = json.dumps({"id": "0" * 9, "amount": 12.5, "text": "x" * 900})
    page = tmp_path / "page.json"
    with page.open("w") as out:  # a vendor's answer in one piece: 95 MB
        out.write('{"records": [' + ",".join([record] * 10) + (", " + ",".join([record] * 1000)) * 100 + "]}")
    assert page.stat().st_size > 90_000_000
    count = write_records(
        [page], "$.records[*]", [Field("id"), Field("amount")], tmp_path, tmp_path / "out.*.parquet", "x"
    )
    assert count == 100_010
    [only] = tmp_path.glob("out.*.parquet")
    assert pq.read_table(only).column("amount").unique().to_pylist() == ["12.5"]
