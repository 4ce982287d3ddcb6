"""Pages of JSON, saved as they came, become one Parquet file of texts. No record is a Python object on the way.

A value is the text that the API wrote: JSON engines read numbers that are no integers as doubles and lose digits, so these
are put into quotes first, by one vectorised pass over the bytes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq

from onefunnel.engines.duckdb import identifier, literal, scratch
from onefunnel.errors import StepFailed

MAX_PAGE_BYTES = 512 * 1024 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_DIGITS, _OF_NUMBERS, _MARKS = (np.zeros(256, dtype=bool) for _ in range(3))
_DIGITS[list(b"0123456789")] = True
_OF_NUMBERS[list(b"0123456789+-.eE")] = True
_MARKS[list(b".eE")] = True  # what a number has that is no integer

# What begins with a backslash in JSON: an escaped backslash and a whole pair are kept, of half a pair the code is wrong.
_HALVES = re.compile(
    rb"(?P<kept>\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)


def whole_characters(body: bytes) -> bytes:
    """The same JSON with every half of a surrogate pair as the replacement character, as decoders do; its record stays readable.

    No character is written so: a text was cut off within one, and DuckDB would refuse the whole page for it.
    """
    if b"\\ud" not in body and b"\\uD" not in body:
        return body
    return _HALVES.sub(lambda found: found[0] if found["kept"] else rb"\ufffd", body)


def quoted_reals(body: bytes) -> bytes:
    """The same JSON with every number that is no integer as a string of its own text; everything else as it was."""
    data = np.frombuffer(body, dtype=np.uint8)
    marks = np.flatnonzero(_MARKS[data])
    marks = marks[marks > 0]
    marks = marks[_DIGITS[data[marks - 1]]]  # an `e` of a name mostly follows a letter
    marks = marks[np.searchsorted(_quotes(data), marks) % 2 == 0]
    starts, ends = marks.copy(), marks.copy()
    while (before := (starts > 0) & _OF_NUMBERS[data[starts - 1]]).any():
        starts[before] -= 1
    while (after := (ends < data.size) & _OF_NUMBERS[data[np.minimum(ends, data.size - 1)]]).any():
        ends[after] += 1
    places = np.sort(np.concatenate([np.unique(starts), np.unique(ends)]))
    return np.insert(data, places, _QUOTE).tobytes()


def _quotes(data: np.ndarray) -> np.ndarray:
    """Where strings begin and end. A quote after an odd number of backslashes does neither."""
    quotes = np.flatnonzero(data == _QUOTE)
    escaped = quotes[(quotes > 0) & (data[np.maximum(quotes - 1, 0)] == _BACKSLASH)]
    if not escaped.size:
        return quotes
    first = escaped - 1  # the first backslash of the row that ends before the quote
    while (further := (first > 0) & (data[np.maximum(first - 1, 0)] == _BACKSLASH)).any():
        first[further] -= 1
    return np.setdiff1d(quotes, escaped[(escaped - first) % 2 == 1], assume_unique=True)


@dataclass(frozen=True)
class Field:
    """A value of each record: its name in the file, and where it stands in the record (`properties.amount`)."""

    name: str
    path: str = ""

    @property
    def pointer(self) -> str:
        """The JSON pointer of the value."""
        parts = (self.path or self.name).split(".")
        return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def write_records(
    pages: Sequence[Path], records: str, fields: Sequence[Field], work: Path, to: Path, where: str
) -> int:
    """Write the records of all pages into one Parquet file, every field as text; returns how many.

    Args:
        pages: files of JSON, one document each; they are replaced by their quoted form.
        records: JSON path of the records in a page, for example `$.records[*]`.
        fields: what becomes a column. A field that no record has is a column of nulls.

    Raises:
        StepFailed: a page is not JSON, or what stands at `records` is not a list of objects.
    """
    for page in pages:
        body = page.read_bytes()
        if not body.strip():
            raise StepFailed(
                "A page is empty.", where=where, do="Run again; if it stays so, please report it as an issue."
            )
        page.write_bytes(quoted_reals(whole_characters(body)))
    pointers = ", ".join(literal(field.pointer) for field in fields)
    named = ", ".join(f"found[{i}] as {identifier(field.name)}" for i, field in enumerate(fields, start=1))
    nothing = ", ".join(f"cast(null as varchar) as {identifier(field.name)}" for field in fields)
    found = f"select json_extract_string(record, [{pointers}]) as found from ({_records(pages, records)})"  # noqa: S608
    wanted = f"select {named} from ({found})" if pages else f"select {nothing} where false"  # noqa: S608
    with scratch(work) as db:
        try:
            db.execute(f"copy ({wanted}) to {literal(str(to))} (format parquet, compression zstd)")
        except duckdb.Error as error:
            raise StepFailed(
                f"A page cannot be read: {str(error).splitlines()[0][:200]}",
                where=where,
                do="Run again; if it stays so, please report it as an issue.",
            ) from error
    return int(pq.ParquetFile(to).metadata.num_rows)


def write_csv_records(pages: Sequence[Path], fields: Sequence[Field], work: Path, to: Path, where: str) -> int:
    """The same of pages of CSV (UTF-8, commas, each with its header line): every field as text; returns how many records.

    Args:
        fields: `path` is the name in the header, where it is not the field's own.

    Raises:
        StepFailed: a header lacks a field, or a record has another number of values than its header.
    """
    wanted = ", ".join(f"{identifier(field.path or field.name)} as {identifier(field.name)}" for field in fields)
    nothing = ", ".join(f"cast(null as varchar) as {identifier(field.name)}" for field in fields)
    parts = []
    for page in pages:
        with page.open(encoding="utf-8-sig", newline="") as handle:
            header = next(csv.reader(handle), [])
        missing = sorted({field.path or field.name for field in fields} - set(header))
        if missing:
            raise lacking(missing, where)
        columns = "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header) + "}"
        parts.append(
            f"select {wanted} from read_csv({literal(str(page))}, columns = {columns}, auto_detect = false, strict_mode = true,"  # noqa: S608
            " header = true, delim = ',', quote = '\"', escape = '\"', null_padding = false, nullstr = '',"
            f" max_line_size = {MAX_LINE_BYTES}, buffer_size = {2 * MAX_LINE_BYTES})"
        )
    with scratch(work) as db:
        try:
            body = " union all ".join(parts or [f"select {nothing} where false"])
            db.execute(f"copy ({body}) to {literal(str(to))} (format parquet, compression zstd)")
        except duckdb.Error as error:
            raise StepFailed(
                f"A report cannot be read: {str(error).splitlines()[0][:200]}",
                where=where,
                do="Run again; if it stays so, please report it as an issue.",
            ) from error
    return int(pq.ParquetFile(to).metadata.num_rows)


def lacking(columns: Sequence[str], where: str) -> StepFailed:
    """What is to be said of a report without columns that were asked for."""
    return StepFailed(
        f"A report lacks the column{'s' if len(columns) > 1 else ''} {', '.join(columns)}.",
        where=where,
        do="Has the vendor renamed it? Does the connector's version of the API still exist? See the changelog.",
    )


def _records(pages: Sequence[Path], records: str) -> str:
    """SQL of the records of saved pages, each as JSON."""
    listed = ", ".join(literal(str(page)) for page in pages)
    documents = f"read_json_objects([{listed}], format = 'unstructured', maximum_object_size = {MAX_PAGE_BYTES})"
    return f"select unnest(json_extract(json, {literal(records)})) as record from {documents}"  # noqa: S608
