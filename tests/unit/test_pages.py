"""Pages of JSON become texts: no digit is lost, nothing is guessed."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onefunnel.errors import StepFailed
from onefunnel.sources.pages import Field, quoted_reals, whole_characters, write_records

# texts that look like numbers, and quotes and backslashes in every order
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from('\\\\\\"""e1-.{}[]:,'))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)


@given(DOCUMENTS, st.booleans(), st.sampled_from([None, 1]))
def test_numbers_that_are_no_integers_become_their_own_text_and_nothing_else_changes(document, ascii_only, indent):
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    assert json.loads(quoted_reals(text.encode())) == json.loads(text, parse_float=str)


@given(st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from("\\u\ud83d\ude00")))
def test_half_a_character_is_the_replacement_character_and_nothing_else_changes(text):
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert json.loads(whole_characters(json.dumps(text).encode())) == whole


@given(DOCUMENTS, st.integers(1, 40))
def test_in_blocks_the_same(document, size):
    text = json.dumps(document).encode()
    with pytest.MonkeyPatch.context() as small:
        small.setattr("onefunnel.sources.pages._BLOCK_BYTES", size)
        in_blocks = quoted_reals(text)
    assert in_blocks == quoted_reals(text)


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


@pytest.mark.parametrize("text", ["", "<html>", '{"records": [{"a": 1}', '{"records": [{"a": 1}]} trailing'])
def test_what_is_not_json_is_red_and_says_where(tmp_path: Path, text: str):
    with pytest.raises(StepFailed, match="source crm, stream deals"):
        records(tmp_path, pages(tmp_path, '{"records": [{"a": 0}]}', text), Field("a"))
