"""The business's files in their formats: CSV in two dialects, NDJSON, Parquet and Excel, the same bytes each time."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from onefunnel.sandbox.business.flaws import Cell, Entry
from onefunnel.sandbox.business.log import Value
from onefunnel.sandbox.business.streams import FINANCE, Kind, Stream

CANARY = "canary.person@example.com"
FILE_FAULTS: dict[str, str] = {
    "half_rows": "two of five records are there, the others are missing",
    "truncated_file": "the file ends in the middle of its last record",
    "renamed_column": "the first column after the key has another name",
    "undeclared_column": "one more column than declared, with a person's address in it",
    "empty_file": "a header and no record",
    "zero_bytes": "a file of 0 bytes",
}
_BERLIN = ZoneInfo("Europe/Berlin")
_LONG_AGO = dt.datetime(2020, 1, 1)  # noqa: DTZ001  (a date in a zip archive has no zone)


def cells_of(stream: Stream, record: Sequence[Value]) -> tuple[Cell, ...]:
    """A record as its file writes it: text for CSV and NDJSON, values for Parquet and Excel."""
    return tuple(
        None if value is None else _FORMATS[stream.ending, stream.source == FINANCE][kind](value)
        for (_, kind), value in zip(stream.columns, record, strict=True)
    )


def file_name(stream: Stream, day: dt.date) -> str:
    """The name of a stream's file of a day."""
    stem = stream.stem or stream.name
    return f"{stem}_{day:%Y%m%d}.{stream.ending}" if stream.daily else f"{stem}.{stream.ending}"


def content(stream: Stream, entries: Sequence[Entry], faults: frozenset[str] = frozenset()) -> bytes:
    """The bytes of a file."""
    if "zero_bytes" in faults:
        return b""
    if "empty_file" in faults:
        entries = ()
    if "half_rows" in faults:
        entries = [entry for n, entry in enumerate(entries) if n % 5 < 2]
    names = [*stream.names]
    if "renamed_column" in faults:
        names[len(stream.key)] += "_v2"
    if "undeclared_column" in faults:
        names.append("contact_email")
        entries = [entry._replace(cells=(*entry.cells, CANARY)) for entry in entries]
    written = _WRITERS[stream.ending](stream, names, entries)
    return written[: -min(9, len(written))] if "truncated_file" in faults else written


def lines(stream: Stream, entries: Sequence[Entry]) -> list[int]:
    """The physical line (Parquet: ordinal, Excel: row) of each record."""
    found, line = [], stream.first_line
    for entry in entries:
        found.append(line)
        line += 1
        if stream.ending == "csv" and entry.deformed != "ragged":
            line += sum(cell.count("\n") for cell in entry.cells if isinstance(cell, str))
    return found


def _csv(stream: Stream, names: list[str], entries: Sequence[Entry]) -> bytes:
    delimiter = ";" if stream.source == FINANCE else ","
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    for entry in entries:
        if entry.deformed == "ragged":
            plain = [re.sub(f'[{delimiter}"\n]', " ", str(cell or "")) for cell in entry.cells]
            text.write(delimiter.join(plain[: len(plain) // 2]) + "\n")
        else:
            writer.writerow(entry.cells)
    return text.getvalue().encode()


def _ndjson(stream: Stream, names: list[str], entries: Sequence[Entry]) -> bytes:
    texts = []
    for entry in entries:
        text = json.dumps(dict(zip(names, entry.cells, strict=True)), ensure_ascii=False)
        texts.append(text[: len(text) // 2] if entry.deformed == "broken" else text)
    return "".join(f"{text}\n" for text in texts).encode()


def _parquet(stream: Stream, names: list[str], entries: Sequence[Entry]) -> bytes:
    types = {"millis": pa.timestamp("ms", tz="UTC"), "boolean": pa.bool_()}
    kinds: list[Kind] = [kind for _, kind in stream.columns]
    fields = [types.get(kind, pa.string()) for kind in kinds] + [pa.string()] * (len(names) - len(kinds))
    columns = [*zip(*(entry.cells for entry in entries), strict=True)] or [()] * len(names)
    arrays = [pa.array([*column], type_) for column, type_ in zip(columns, fields, strict=True)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=names), sink, compression="zstd")
    return sink.getvalue()


def _xlsx(stream: Stream, names: list[str], entries: Sequence[Entry]) -> bytes:
    from openpyxl import Workbook  # slow to import
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Plan" if stream.source == FINANCE else "Attendees")
    sheet.append(names)
    for entry in entries:
        row = []
        for cell in entry.cells:
            written = WriteOnlyCell(sheet, value=cell)
            if isinstance(cell, dt.date):
                written.number_format = "dd.mm.yyyy hh:mm" if isinstance(cell, dt.datetime) else "dd.mm.yyyy"
            elif isinstance(cell, str):
                written.data_type = "s"  # `=SUM(A1)` is a name here, no formula
            row.append(written)
        sheet.append(row)
    saved = io.BytesIO()
    book.save(saved)
    return _without_time(saved.getvalue())


def _without_time(workbook: bytes) -> bytes:
    """The same workbook with fixed dates: in the archive and in its properties."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as old, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist(), key=lambda n: (n != "[Content_Types].xml", n)):
            data = old.read(name)
            if name == "docProps/core.xml":
                data = re.sub(rb"\d{4}-\d\d-\d\dT[\d:.]+Z", f"{_LONG_AGO.isoformat()}Z".encode(), data)
            info = zipfile.ZipInfo(name, date_time=_LONG_AGO.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, data)
    return sink.getvalue()


def _money(micro: int, mark: str) -> str:
    whole, rest = divmod(abs(micro), 1_000_000)
    return f"{'-' if micro < 0 else ''}{whole}{mark}{rest // 10_000:02d}"


def _number(micro: int) -> str:
    whole, rest = divmod(abs(micro), 1_000_000)
    decimals = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if micro < 0 else ''}{whole}{decimals}"


@lru_cache(maxsize=4096)
def _moment(second: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(second, dt.UTC)


def _millis(at_ms: int) -> str:
    return f"{_moment(at_ms // 1_000):%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}Z"


def _in_berlin(at_ms: int) -> dt.datetime:
    return _moment(at_ms // 1_000).astimezone(_BERLIN).replace(tzinfo=None)


def _same(value: Value) -> Cell:
    return value


_PLAIN: dict[Kind, Callable[..., Cell]] = {
    "text": _same,
    "boolean": lambda value: "true" if value else "false",
    "time": lambda second: f"{_moment(second):%Y-%m-%dT%H:%M:%SZ}",
    "millis": _millis,
    "date": dt.date.isoformat,
    "money": lambda micro: _money(micro, "."),
    "number": _number,
    "count": str,
}
_GERMAN = _PLAIN | {
    "time": lambda second: f"{_moment(second).astimezone(_BERLIN):%d.%m.%Y %H:%M}",
    "date": lambda day: f"{day:%d.%m.%Y}",
    "money": lambda micro: _money(micro, ","),
}
_EXCEL: dict[Kind, Callable[..., Cell]] = _PLAIN | {
    "millis": _in_berlin,
    "date": _same,
    "money": lambda micro: micro // 1_000_000 if micro % 1_000_000 == 0 else micro / 1_000_000,
}
_FORMATS: dict[tuple[str, bool], dict[Kind, Callable[..., Cell]]] = {
    ("csv", False): _PLAIN,
    ("csv", True): _GERMAN,
    ("ndjson", False): _PLAIN | {"boolean": _same},
    ("parquet", False): _PLAIN | {"boolean": _same, "millis": _same},
    ("xlsx", False): _EXCEL,
    ("xlsx", True): _EXCEL,
}
_WRITERS = {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet, "xlsx": _xlsx}
