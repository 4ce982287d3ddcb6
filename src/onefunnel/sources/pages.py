"""Pages of JSON, saved as they came, become Parquet files of texts. No record is a Python object on the way.

A value is the text that the API wrote: JSON engines read numbers that are no integers as doubles and lose digits, so these
are put into quotes first, by one vectorised pass over the bytes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq

from onefunnel.engines.duckdb import BULK_MEMORY, identifier, literal, scratch
from onefunnel.errors import StepFailed

MAX_LINE_BYTES = 16 * 1024 * 1024
BATCH_BYTES = (
    32 * 1024 * 1024
)  # of pages that are read at a time: what is held in memory does not grow with their number
_BLOCK_BYTES = 4 * 1024 * 1024
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_OF_NUMBERS = np.zeros(256, dtype=bool)
_OF_NUMBERS[list(b"0123456789+-.eE")] = True

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
    parts, at, inside = [], 0, False
    while at < len(body):
        # No number goes on behind a comma, and none is escaped.
        end = body.rfind(b",", at, at + _BLOCK_BYTES) + 1 if at + _BLOCK_BYTES < len(body) else len(body)
        part, inside = _quoted(body[at : end or len(body)], inside)
        parts.append(part)
        at = end or len(body)
    return b"".join(parts)


def _quoted(body: bytes, inside: bool) -> tuple[bytes, bool]:
    """The same of a block that begins within a string or outside; and whether it ends within one."""
    data = np.frombuffer(body, dtype=np.uint8)
    quotes = _quotes(data, b"\\" in body)
    # What a number has that is no integer: a point or an e, which in a name mostly follows a letter.
    mark = (data[1:] == ord(".")) | ((data[1:] | 0x20) == ord("e"))
    marks = np.flatnonzero(mark & ((data[:-1] - ord("0")) < 10)) + 1  # below the digits it wraps around
    marks = marks[np.searchsorted(quotes, marks) % 2 == inside]
    ends_inside = inside ^ bool(quotes.size % 2)
    if not marks.size:
        return body, ends_inside
    starts, ends = marks.copy(), marks.copy()
    while (before := (starts > 0) & _OF_NUMBERS[data[starts - 1]]).any():
        starts[before] -= 1
    while (after := (ends < data.size) & _OF_NUMBERS[data[np.minimum(ends, data.size - 1)]]).any():
        ends[after] += 1
    once = np.append(True, starts[1:] != starts[:-1])  # a number may have a point and an e
    places = np.column_stack((starts[once], ends[once])).ravel()
    return np.insert(data, places, _QUOTE).tobytes(), ends_inside


def _quotes(data: np.ndarray, is_escaped: bool) -> np.ndarray:
    """Where strings begin and end. A quote after an odd number of backslashes does neither."""
    quotes = np.flatnonzero(data == _QUOTE)
    if not is_escaped:
        return quotes
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
    pages: Iterable[Path], records: str, fields: Sequence[Field], work: Path, to: Path, where: str
) -> int:
    """Write the records of all pages as Parquet, every field as text; returns how many.

    Args:
        pages: files of JSON, one document each; they are replaced by their quoted form. The next one may still be on its
            way while those before it are read.
        records: JSON path of the records in a page, for example `$.records[*]`.
        fields: what becomes a column. A field that no record has is a column of nulls.
        to: a name with an asterisk, for the numbers of several files.

    Raises:
        StepFailed: a page is not JSON, or what stands at `records` is not a list of objects.
    """
    pointers = ", ".join(literal(field.pointer) for field in fields)
    named = ", ".join(f"found[{i}] as {identifier(field.name)}" for i, field in enumerate(fields, start=1))

    def select(batch: Sequence[Path]) -> str:
        for page in batch:
            body = page.read_bytes()
            if not body.strip():
                raise StepFailed(
                    "A page is empty.", where=where, do="Run again; if it stays so, please report it as an issue."
                )
            readable = quoted_reals(whole_characters(body))
            if readable != body:
                page.write_bytes(readable)
        return f"select {named} from (select json_extract_string(record, [{pointers}]) as found from ({_records(batch, records)}))"  # noqa: S608

    return _write(_batches(pages), select, fields, work, to, where, "A page")


def write_csv_records(pages: Iterable[Path], fields: Sequence[Field], work: Path, to: Path, where: str) -> int:
    """The same of pages of CSV (UTF-8, commas, each with its header line): every field as text; returns how many records.

    Args:
        fields: `path` is the name in the header, where it is not the field's own.

    Raises:
        StepFailed: a header lacks a field, or a record has another number of values than its header.
    """
    wanted = ", ".join(f"{identifier(field.path or field.name)} as {identifier(field.name)}" for field in fields)

    def select(batch: Sequence[Path]) -> str:
        (page,) = batch
        with page.open(encoding="utf-8-sig", newline="") as handle:
            header = next(csv.reader(handle), [])
        missing = sorted({field.path or field.name for field in fields} - set(header))
        if missing:
            raise lacking(missing, where)
        columns = "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header) + "}"
        return (
            f"select {wanted} from read_csv({literal(str(page))}, columns = {columns}, auto_detect = false, strict_mode = true,"  # noqa: S608
            " header = true, delim = ',', quote = '\"', escape = '\"', null_padding = false, nullstr = '',"
            f" max_line_size = {MAX_LINE_BYTES}, buffer_size = {2 * MAX_LINE_BYTES})"
        )

    return _write(([page] for page in pages), select, fields, work, to, where, "A report")


def _write(
    batches: Iterable[Sequence[Path]],
    select: Callable[[Sequence[Path]], str],
    fields: Sequence[Field],
    work: Path,
    to: Path,
    where: str,
    what: str,
) -> int:
    """Write a Parquet file of each batch, of the first where there is none; returns how many records they have."""
    nothing = ", ".join(f"cast(null as varchar) as {identifier(field.name)}" for field in fields)
    rows = number = 0
    for older in to.parent.glob(to.name):
        older.unlink()
    with scratch(work, BULK_MEMORY) as db:
        for number, batch in enumerate(chain(batches, [()])):
            if number and not batch:
                break
            part = to.with_name(to.name.replace("*", f"{number:06d}"))
            body = select(batch) if batch else f"select {nothing} where false"
            try:
                db.execute(f"copy ({body}) to {literal(part)} (format parquet, compression lz4)")
            except duckdb.Error as error:
                raise StepFailed(
                    f"{what} cannot be read: {str(error).splitlines()[0][:200]}",
                    where=where,
                    do="Run again; if it stays so, please report it as an issue.",
                ) from error
            rows += pq.ParquetFile(part).metadata.num_rows
    return rows


def said_of(page: Path, records: str, columns: str) -> tuple[Any, ...]:
    """One row of what SQL says of the records of a page; each is JSON, and its name is `record`."""
    with scratch(page.parent) as db:
        return tuple(db.execute(f"select {columns} from ({_records([page], records)})").fetchall()[0])  # noqa: S608


def rows_of(files: Path) -> int:
    """How many records Parquet files have."""
    return sum(int(pq.ParquetFile(file).metadata.num_rows) for file in files.parent.glob(files.name))


def ahead(pages: Iterator[Path]) -> Iterator[Path]:
    """The same pages, each of them fetched while the one before it is read."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, pages, None)
        while (page := following.result()) is not None:
            following = pool.submit(next, pages, None)
            yield page


def _batches(pages: Iterable[Path]) -> Iterator[list[Path]]:
    """Pages, as many at a time as are read in one go."""
    batch: list[Path] = []
    size = 0
    for page in pages:
        batch.append(page)
        size += page.stat().st_size
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


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
    largest = max(page.stat().st_size for page in pages)  # this much is held of each file that is open
    documents = f"read_json_objects([{listed}], format = 'unstructured', maximum_object_size = {largest + 1024})"
    return f"select unnest(json_extract(json, {literal(records)})) as record from {documents}"  # noqa: S608
