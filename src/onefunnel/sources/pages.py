"""Pages of JSON or CSV, saved as they came, become Parquet files of texts. No record is a Python object on the way.

A value is the text that the API wrote; what it means is for staging to say.
"""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from onefunnel.engines.duckdb import BULK_MEMORY, identifier, literal, scratch
from onefunnel.errors import StepFailed
from onefunnel.sources.json_lines import write_lines

MAX_LINE_BYTES = 16 * 1024 * 1024
LINE_BYTES = 1024 * 1024  # of a record that is JSON, unless a longer one is seen
LINES = "lines"  # in place of the path of the records
BATCH_BYTES = (
    8 * 1024 * 1024
)  # of pages that are read at a time, while the next ones come: one file of records for each


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
        pages: files of JSON, one document each. The next one may still be on its way while those before it are read.
        records: JSON path of the records in a page, for example `$.records[*]` (`json_lines.write_lines`); `LINES` where
            each page is a file of them already (`lines_of`).
        fields: what becomes a column. A field that no record has is a column of nulls.
        to: a name with an asterisk, for the numbers of several files.

    Raises:
        StepFailed: a page is not JSON, or what stands at `records` is not a list of objects.
    """
    lines = to.with_name(to.name.replace("*", "lines")).with_suffix(".ndjson")

    def select(batch: Sequence[Path]) -> str:
        return _texts(fields, _lines(batch, records, lines, where))

    rows = _write(_batches(pages), select, fields, work, to, where, "A page")
    lines.unlink(missing_ok=True)
    return rows


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
                raise _unreadable(what, error, where) from error
            rows += pq.ParquetFile(part).metadata.num_rows
    return rows


def lines_of(
    page: Path, records: str, fields: Sequence[Field], columns: str, where: str
) -> tuple[Path, tuple[Any, ...]]:
    """Make a page a file of its records, each of them a line; that file, and a row of what SQL says of them.

    Args:
        fields: texts that the SQL may name.

    Raises:
        StepFailed: as `write_records`.
    """
    lines = page.with_suffix(".ndjson")
    texts = _texts(fields, _lines([page], records, lines, where))
    try:
        with _ONE_LOOK, _looking().cursor() as db:
            found = db.execute(f"select {columns} from ({texts})").fetchall()  # noqa: S608
    except duckdb.Error as error:
        raise _unreadable("A page", error, where) from error
    page.unlink()
    return lines, tuple(found[0])


_ONE_LOOK = threading.Lock()  # each takes 32 MB for every thread of DuckDB's


@cache
def _looking() -> duckdb.DuckDBPyConnection:
    """Where pages are looked at, which keeps nothing: a database of its own for each would cost more than the look."""
    return duckdb.connect(config={"autoinstall_known_extensions": "false", "memory_limit": BULK_MEMORY})


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


def _unreadable(what: str, error: duckdb.Error, where: str) -> StepFailed:
    return StepFailed(
        f"{what} cannot be read: {str(error).splitlines()[0][:200]}",
        where=where,
        do="Run again; if it stays so, please report it as an issue.",
    )


def _texts(fields: Sequence[Field], objects: str) -> str:
    """SQL of the fields of JSON objects, each a text."""
    pointers = ", ".join(literal(field.pointer) for field in fields)
    named = ", ".join(f"found[{i}] as {identifier(field.name)}" for i, field in enumerate(fields, start=1))
    return f"select {named} from (select json_extract_string(json, [{pointers}]) as found from {objects})"  # noqa: S608


def _lines(pages: Sequence[Path], records: str, to: Path, where: str) -> str:
    """SQL of the records of saved pages, each as JSON, by way of a file of lines."""
    if records == LINES:
        files = ", ".join(literal(page) for page in pages)
        return f"read_json_objects([{files}], format = 'newline_delimited', maximum_object_size = {MAX_LINE_BYTES})"
    with to.open("wb") as out:
        longest = max(write_lines(page, records, out, where) for page in pages)
    size = max(longest + 1024, LINE_BYTES)
    return f"read_json_objects({literal(to)}, format = 'newline_delimited', maximum_object_size = {size})"
