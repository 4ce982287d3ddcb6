"""Files as a source: find them safely, take a stable snapshot, separate readable records from unreadable ones.

Records are split here, before any CSV parser sees them, so that a broken record costs itself and nothing else, keeps
its line number and its text, and no parser gets the chance to guess.
"""

from __future__ import annotations

import codecs
import csv
import datetime as dt
import hashlib
import io
import os
import stat
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from onefunnel.errors import EnvironmentNotReady, StepFailed
from onefunnel.settings import Dialect, Stream
from onefunnel.sources import inbox, ndjson, nested, xlsx
from onefunnel.sources.base import ReadableFile, RecordError, Reject
from onefunnel.sources.text_table import TextTable

CHUNK_BYTES = 16 * 1024 * 1024
MAX_RECORD_BYTES = 16 * 1024 * 1024
MAX_BROKEN_QUOTES = 100
SETTLE_SECONDS = 1.0
_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"PAR1": "a Parquet file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}
_NEWLINE, _RETURN = 10, 13


@dataclass(frozen=True)
class FoundFile:
    """A file of a stream in the drop folder, by name relative to the root, and its content hash."""

    path: str
    absolute: Path
    sha256: str
    bytes: int
    modified_at: str
    modified_ns: int


def find_files(root: Path, stream: Stream, where: str) -> list[FoundFile]:
    """The files that match the stream's pattern, in the declared order.

    Only regular files below `root` count; anything else that matches is an error, never skipped in silence.

    Raises:
        StepFailed: the folder is missing, or a match is a link, a device or outside the root.
        EnvironmentNotReady: a file is still being written.
    """
    if not root.is_dir():
        raise StepFailed(
            f"The folder of {where} does not exist.",
            where=str(root),
            do="Create it, or correct `root` in pipeline.yml.",
        )
    jail = root.resolve()
    matches = sorted(root.glob(stream.files))
    for path in matches:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not path.resolve().is_relative_to(jail):
            raise StepFailed(
                "A link in a drop folder is not followed.",
                where=f"{where}: {path}",
                do="Put the file itself there, or remove the link.",
            )
        if not stat.S_ISREG(mode):
            raise StepFailed("Only regular files are read.", where=f"{where}: {path}", do="Remove it from the folder.")
    youngest = max((p.stat().st_mtime for p in matches), default=0.0)
    age = time.time() - youngest
    if 0 <= age < SETTLE_SECONDS:
        before = [_identity(p) for p in matches]
        time.sleep(SETTLE_SECONDS - age)
        for path, was in zip(matches, before, strict=True):
            if _identity(path) != was:
                raise _still_written(where, path)
    found = [_hash(root, p, where) for p in matches]
    if stream.file_order == "modified":
        found.sort(key=lambda f: (f.modified_ns, f.path))
    return found


def read_file(file: FoundFile, seq: int, stream: Stream, work: Path, where: str) -> ReadableFile:
    """Take a snapshot of one file into `work` and reduce it to its readable records.

    Raises:
        StepFailed: the file as a whole cannot be read under its declaration.
        EnvironmentNotReady: it changed while it was being read.
    """
    here = f"{where}, file {file.path}"
    snapshot = work / f"{seq:06d}.snapshot"
    _snapshot(file, snapshot, where)
    if file.bytes == 0:
        raise StepFailed(
            "The file is empty: it has not even a header.",
            where=here,
            do="Have it written again; a file without rows still has its header.",
        )
    if stream.format == "parquet":
        return _read_parquet(file, seq, stream, snapshot, here)
    if stream.format == "ndjson":
        return _read_ndjson(file, seq, stream, snapshot, work, here)
    if stream.format == "xlsx":
        return _read_xlsx(file, seq, stream, snapshot, work, here)
    return _read_csv(file, seq, stream.dialect, snapshot, work, here)


def _identity(path: Path) -> tuple[int, int, int]:
    info = path.stat()
    return info.st_ino, info.st_size, info.st_mtime_ns


def _still_written(where: str, path: Path) -> EnvironmentNotReady:
    return EnvironmentNotReady(
        "A file is still being written.",
        where=f"{where}: {path}",
        do="Write to another name and rename when complete; the next try reads it.",
    )


def _open(path: Path) -> io.FileIO:
    return io.FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), closefd=True)


def _hash(root: Path, path: Path, where: str) -> FoundFile:
    before = _identity(path)
    digest = hashlib.sha256()
    with _open(path) as handle:
        while block := handle.read(CHUNK_BYTES):
            digest.update(block)
    if _identity(path) != before:
        raise _still_written(where, path)
    modified = dt.datetime.fromtimestamp(before[2] / 1e9, dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return FoundFile(path.relative_to(root).as_posix(), path, digest.hexdigest(), before[1], modified, before[2])


def _snapshot(file: FoundFile, target: Path, where: str) -> None:
    """Copy the file; what is read afterwards is this copy and nothing else."""
    digest = hashlib.sha256()
    with _open(file.absolute) as handle, target.open("wb") as out:
        while block := handle.read(CHUNK_BYTES):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != file.sha256:
        raise _still_written(where, file.absolute)


def _read_parquet(file: FoundFile, seq: int, stream: Stream, snapshot: Path, here: str) -> ReadableFile:
    try:
        metadata = pq.ParquetFile(snapshot)
        schema, rows = metadata.schema_arrow, metadata.metadata.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise StepFailed(
            f"The file is not readable Parquet: {str(error).splitlines()[0]}",
            where=here,
            do="Have it written again, or correct `format` in pipeline.yml.",
        ) from None
    columns = nested.flat_columns(schema, nested.picks(stream))
    names = tuple(name for name, _ in columns) or tuple(schema.names)
    _refuse_doubled(names, here)
    clean = snapshot
    if columns:
        clean = snapshot.with_suffix(".parquet")
        nested.write_flat(snapshot, columns, clean)
        snapshot.unlink()
    beside = inbox.fetched(file.absolute)
    return ReadableFile(
        seq, file.path, file.sha256, file.bytes, file.modified_at, clean, None, names, rows, fetched=beside
    )


def _read_ndjson(file: FoundFile, seq: int, stream: Stream, snapshot: Path, work: Path, here: str) -> ReadableFile:
    dialect, picks = stream.dialect, nested.picks(stream)
    table, rejects, last = TextTable(work, seq), list[Reject](), 0
    for last, text in ndjson.lines(_utf8_blocks(snapshot, dialect, here), MAX_RECORD_BYTES):
        if not text.strip():
            continue
        try:
            if len(text) > MAX_RECORD_BYTES:
                raise RecordError(f"record longer than {MAX_RECORD_BYTES:,} bytes")
            table.add(last, ndjson.parse(text, picks))
        except RecordError as error:
            rejects.append(Reject(seq, file.path, last, str(error), text.decode("utf-8", "replace")))
    if dialect.final_newline and not _ends_with_newline(snapshot):
        raise _truncated(f"{here}, line {last}")
    table.close()
    snapshot.unlink()
    return _from_table(file, seq, table, rejects)


def _read_xlsx(file: FoundFile, seq: int, stream: Stream, snapshot: Path, work: Path, here: str) -> ReadableFile:
    found = xlsx.rows(snapshot, str(stream.sheet), stream.header_row, here)
    number, header, _ = next(found, (stream.header_row, RecordError("nothing"), ""))
    if isinstance(header, RecordError) or number != stream.header_row:
        raise StepFailed(
            "The sheet has no header in its declared row.",
            where=f"{here}, row {stream.header_row}",
            do="Correct `header_row` in pipeline.yml.",
        )
    while header[-1] in (None, ""):
        header.pop()
    names = tuple(name or "" for name in header)
    if "" in names:
        raise StepFailed(
            f"The header has an empty cell in column {names.index('') + 1}.",
            where=f"{here}, row {number}",
            do="Give the column a name; what an unnamed column holds is not guessed.",
        )
    _refuse_doubled(names, f"{here}, row {number}")
    table, rejects = TextTable(work, seq, names), list[Reject]()
    for number, values, text in found:
        if isinstance(values, RecordError):
            rejects.append(Reject(seq, file.path, number, str(values), text))
        elif any(values[len(names) :]):
            rejects.append(Reject(seq, file.path, number, "a value beyond the header", text))
        else:
            table.add(number, dict(zip(names, values, strict=False)))
    table.close()
    snapshot.unlink()
    return _from_table(file, seq, table, rejects)


def _from_table(file: FoundFile, seq: int, table: TextTable, rejects: list[Reject]) -> ReadableFile:
    return ReadableFile(
        seq,
        file.path,
        file.sha256,
        file.bytes,
        file.modified_at,
        table.clean,
        table.lines,
        tuple(table.names),
        table.records,
        tuple(rejects),
    )


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as handle:
        handle.seek(-1, os.SEEK_END)
        return handle.read(1) == b"\n"


def _truncated(where: str) -> StepFailed:
    return StepFailed(
        "The file ends in the middle of a line: it is truncated.",
        where=where,
        do="Have it written again; if this file never ends with a newline, declare `final_newline: false`.",
    )


def _refuse_doubled(names: tuple[str, ...], here: str) -> None:
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        raise StepFailed(
            f"The header names a column twice: {', '.join(doubled)}.",
            where=here if ", row " in here else f"{here}, line 1",
            do="Rename one of them where the file is made; which one is meant is not guessed.",
        )


def _read_csv(file: FoundFile, seq: int, dialect: Dialect, snapshot: Path, work: Path, here: str) -> ReadableFile:
    splitter = _Splitter(dialect, seq, file.path, here)
    clean, lines = work / f"{seq:06d}.csv", work / f"{seq:06d}.lines.parquet"
    schema = pa.schema([("line", pa.int64())])
    with clean.open("wb") as out, pq.ParquetWriter(lines, schema) as writer:
        for content, numbers in splitter.split(_utf8_blocks(snapshot, dialect, here)):
            out.write(content)
            writer.write_table(pa.table({"line": pa.array(numbers, pa.int64())}, schema))
    snapshot.unlink()
    return ReadableFile(
        seq,
        file.path,
        file.sha256,
        file.bytes,
        file.modified_at,
        clean,
        lines,
        splitter.header,
        splitter.records,
        tuple(splitter.rejects),
    )


def _utf8_blocks(path: Path, dialect: Dialect, here: str) -> Iterator[bytes]:
    """The file as UTF-8 blocks. UTF-8 itself passes unchecked here: the splitter rejects record by record."""
    name = codecs.lookup(dialect.encoding).name
    with path.open("rb") as handle:
        head = handle.read(8)
        for magic, what in _MAGIC.items():
            if head.startswith(magic):
                raise StepFailed(
                    f"The file is {what}, but it is declared as text.",
                    where=here,
                    do="Export it as declared, or correct `format` in pipeline.yml.",
                )
        handle.seek(0)
        if name in ("utf-8", "utf-8-sig"):
            if head.startswith(codecs.BOM_UTF8):
                handle.seek(len(codecs.BOM_UTF8))
            while block := handle.read(CHUNK_BYTES):
                yield block
            return
        decoder = codecs.getincrementaldecoder(name)("strict")
        offset = 0
        try:
            while block := handle.read(CHUNK_BYTES):
                yield decoder.decode(block).encode("utf-8")
                offset += len(block)
            yield decoder.decode(b"", final=True).encode("utf-8")
        except UnicodeError as error:
            raise StepFailed(
                f"The file is not {dialect.encoding}: {error.__class__.__name__} near byte {offset:,}.",
                where=here,
                do="Correct `dialect: encoding` in pipeline.yml, or have the file written again.",
            ) from None


class _Splitter:
    """Splits CSV bytes into records by quote parity, vectorised, and sorts them into readable and rejected.

    A record whose quoting is broken costs its first physical line; reading goes on at the next line, because what
    follows a stray quote cannot be trusted to belong to it.
    """

    def __init__(self, dialect: Dialect, file_seq: int, file: str, here: str) -> None:
        self.delimiter, self.quote = ord(dialect.delimiter), ord(dialect.quote)
        self.dialect, self.file_seq, self.file, self.here = dialect, file_seq, file, here
        self.header: tuple[str, ...] = ()
        self.records = 0
        self.rejects: list[Reject] = []
        self._line = 1  # physical line at the start of the buffer
        self._broken = 0

    def split(self, blocks: Iterator[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
        """Yield (clean bytes, physical line of each record in them)."""
        buffer = b""
        for block in blocks:
            buffer += block
            buffer = yield from self._consume(buffer)
        if buffer and not buffer.endswith(b"\n"):
            if self.dialect.final_newline:
                last = self._line + buffer.count(b"\n")
                raise _truncated(f"{self.here}, line {last}")
            buffer += b"\n"
        rest = yield from self._consume(buffer)
        while rest:  # an unclosed quote up to the end of the file
            rest = self._reject_first_line(rest, "unclosed quote")
            rest = yield from self._consume(rest)
        if not self.header:
            raise StepFailed("The file has no header line.", where=f"{self.here}, line 1", do="Have it written again.")

    def _consume(self, buffer: bytes) -> Generator[tuple[bytes, np.ndarray], None, bytes]:
        """Split all complete records off the buffer; the generator's return value is the rest."""
        while buffer:
            data = np.frombuffer(buffer, dtype=np.uint8)
            newlines = np.flatnonzero(data == _NEWLINE)
            parity = None
            ends = newlines
            violation = -1
            quotes = np.flatnonzero(data == self.quote)
            if quotes.size:
                parity = np.searchsorted(quotes, newlines) & 1  # 1: the newline is inside quotes
                ends = newlines[parity == 0]
                violation = self._first_violation(data, quotes)
            if violation >= 0:
                ends = ends[ends < violation]
            if not self.header and ends.size:
                buffer = self._take_header(buffer, int(ends[0]))
                continue
            if ends.size:
                stop = int(ends[-1]) + 1
                yield self._sort(data[:stop], buffer[:stop], ends, newlines, quotes)
                self._line += int(np.searchsorted(newlines, stop))
                buffer = buffer[stop:]
            if violation >= 0:
                buffer = self._reject_first_line(buffer, "broken quoting")
                continue
            if len(buffer) > MAX_RECORD_BYTES:
                buffer = self._reject_first_line(buffer, f"record longer than {MAX_RECORD_BYTES:,} bytes")
                continue
            return buffer
        return buffer

    def _first_violation(self, data: np.ndarray, quotes: np.ndarray) -> int:
        """Position of the first quote that RFC 4180 does not allow there, or -1."""
        opening, closing = quotes[0::2], quotes[1::2]
        before = data[np.maximum(opening - 1, 0)]
        legal = (opening == 0) | (before == self.delimiter) | (before == _NEWLINE) | (before == self.quote)
        # A doubled quote inside a field reads as a closing one followed at once by an opening one.
        after_at = closing + 1
        inside = after_at < data.size
        after = data[np.minimum(after_at, data.size - 1)]
        fine = ~inside | (after == self.delimiter) | (after == _NEWLINE) | (after == _RETURN) | (after == self.quote)
        bad = np.concatenate([opening[~legal], closing[~fine]])
        return int(bad.min()) if bad.size else -1

    def _take_header(self, buffer: bytes, end: int) -> bytes:
        try:
            text = buffer[:end].decode("utf-8")
            names = next(
                csv.reader(
                    [text.rstrip("\r")], delimiter=self.dialect.delimiter, quotechar=self.dialect.quote, strict=True
                )
            )
        except (UnicodeDecodeError, csv.Error, StopIteration):
            raise StepFailed(
                "The header line cannot be read.",
                where=f"{self.here}, line 1",
                do="Check `delimiter`, `quote` and `encoding` in pipeline.yml.",
            ) from None
        self.header = tuple(names)
        _refuse_doubled(self.header, self.here)
        self._line += buffer[: end + 1].count(b"\n")
        return buffer[end + 1 :]

    def _reject_first_line(self, buffer: bytes, reason: str) -> bytes:
        self._broken += 1
        if self._broken > MAX_BROKEN_QUOTES:
            raise StepFailed(
                f"More than {MAX_BROKEN_QUOTES} records have broken quoting.",
                where=f"{self.here}, line {self._line}",
                do="Is `quote` in pipeline.yml right? If so, have the file written again.",
            )
        end = buffer.find(b"\n")
        end = len(buffer) if end < 0 else end
        if not self.header:
            raise StepFailed(
                "The header line cannot be read.",
                where=f"{self.here}, line 1",
                do="Check `delimiter`, `quote` and `encoding` in pipeline.yml.",
            )
        self._reject(self._line, reason, buffer[:end])
        self._line += 1
        return buffer[end + 1 :]

    def _reject(self, line: int, reason: str, raw: bytes) -> None:
        text = raw.rstrip(b"\r").decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
        self.rejects.append(Reject(self.file_seq, self.file, line, reason, text))

    def _sort(
        self, data: np.ndarray, raw: bytes, ends: np.ndarray, newlines: np.ndarray, quotes: np.ndarray
    ) -> tuple[bytes, np.ndarray]:
        """Readable records of data[:ends[-1] + 1] and their line numbers; the others are noted as rejects."""
        starts = np.concatenate([[0], ends[:-1] + 1])
        lines = self._line + np.searchsorted(newlines, starts)
        delimiters = np.flatnonzero(data == self.delimiter)
        if quotes.size:
            delimiters = delimiters[(np.searchsorted(quotes, delimiters) & 1) == 0]
        fields = np.diff(np.searchsorted(delimiters, np.concatenate([[0], ends]))) + 1
        returns = ends - 1
        has_return = (returns >= starts) & (data[np.maximum(returns, 0)] == _RETURN)
        blank = (ends - starts - has_return) == 0
        reasons: dict[int, str] = {}
        for i in np.flatnonzero(fields != len(self.header)).tolist():
            reasons[i] = f"{fields[i]} fields instead of {len(self.header)}"
        for i in np.flatnonzero(blank).tolist():
            reasons[i] = "blank line"
        bare = np.setdiff1d(np.flatnonzero(data == _RETURN), returns[has_return])
        if quotes.size:
            bare = bare[(np.searchsorted(quotes, bare) & 1) == 0]
        for position in bare:
            reasons[int(np.searchsorted(ends, position))] = "carriage return inside a field"
        for position in np.flatnonzero(data == 0):
            reasons[int(np.searchsorted(ends, position))] = "NUL byte"
        for i in self._undecodable(raw, starts, ends):
            reasons[i] = "not UTF-8"
        keep = np.ones(data.size, dtype=bool)
        keep[returns[has_return]] = False
        for i, reason in sorted(reasons.items()):
            self._reject(int(lines[i]), reason, raw[starts[i] : ends[i]])
            keep[starts[i] : ends[i] + 1] = False
        if reasons:
            lines = np.delete(lines, list(reasons))
        self.records += lines.size
        return (raw if keep.all() else data[keep].tobytes()), lines

    @staticmethod
    def _undecodable(raw: bytes, starts: np.ndarray, ends: np.ndarray) -> list[int]:
        bad: list[int] = []
        offset = 0
        while offset < len(raw):
            try:
                raw[offset:].decode("utf-8")
                break
            except UnicodeDecodeError as error:
                index = int(np.searchsorted(ends, offset + error.start))
                bad.append(index)
                offset = int(ends[index]) + 1
        return bad
