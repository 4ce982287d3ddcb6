"""Loads: immutable folders of Parquet with a receipt, committed by one rename.

Values land as the source wrote them, as text. Only what SQL engines disagree on (local time to UTC) or must not see
(personal values, which become keyed tokens) is computed here. DuckDB writes the records; pyarrow, a second reader with
no code in common, takes the control totals that the marts are later held against.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from onefunnel import __version__
from onefunnel.engines.duckdb import BULK_MEMORY, COUNTING_MEMORY, identifier, literal, scratch
from onefunnel.errors import EnvironmentNotReady, StepFailed
from onefunnel.formats import canonical_json, utc_now, utc_text
from onefunnel.settings import FILES, FORMAT_TOKENS, NUMERIC_TYPES, Column, Contract, Stream, zone
from onefunnel.sources.base import ReadableFile

CONTRACT_VERSION = "1"
TOKEN_KEY_VARIABLE = "ONEFUNNEL_TOKEN_KEY"  # noqa: S105 (the name of the variable, not its value)
TOKENS_KEPT = 20_000
MAX_LINE_BYTES = 64 * 1024 * 1024
_NULL = "cast(null as varchar)"
DECIMALS = {"amount": 6, "number": 6, "rate": 9, "integer": 0}
_CONTROL = pa.decimal128(38, 9)
_WIDE = Context(prec=76)  # the default context would round sums of more than 28 digits
_MICROS = "[0-9]{1,17}"  # since 1970, as microseconds: some 3,000 years
_META = ("_source", "_stream", "_load_id", "_file_seq", "_file", "_line", "_known_at", "_extracted_at")


@dataclass(frozen=True)
class LoadPlan:
    """Everything a load is made of besides the files' content."""

    source: str
    stream_name: str
    stream: Stream
    contract: Contract
    run_id: str
    known_at: dt.datetime
    cursor_before: dict[str, str]
    files: Sequence[tuple[str, str]]  # (path, sha256), in order
    connector: str = FILES
    again: int = 0  # how many loads of the same input were refused because their landed bytes were damaged

    @property
    def fingerprint(self) -> str:
        """sha256 over the files' content and the declaration: equal input gives an equal load."""
        return hashlib.sha256(
            canonical_json([self.source, self.stream_name, list(self.files), self.stream.fingerprint()]).encode()
        ).hexdigest()

    @property
    def load_id(self) -> str:
        """Sortable by the instant at which the data became known; the same input at the same instant has the same id."""
        again = f"-{self.again}" if self.again else ""
        return f"{self.known_at:%Y%m%dT%H%M%SZ}-{self.source}-{self.stream_name}-{self.fingerprint[:10]}{again}"

    @property
    def where(self) -> str:
        """Source and stream, for messages."""
        return f"source {self.source}, stream {self.stream_name}"


def write_load(plan: LoadPlan, files: Sequence[ReadableFile], work: Path, target: Path) -> dict[str, Any]:
    """Write one load into `work` and commit it to `target` by one rename.

    Args:
        plan: what is loaded.
        files: the readable files, in order.
        work: an empty folder on the same file system as `target`.
        target: the load's folder; must not exist.

    Returns:
        The receipt.

    Raises:
        StepFailed: a declared column is missing, or two readers disagree about the records.
        EnvironmentNotReady: the key of the tokens is not set.
    """
    out = work / "load"
    out.mkdir()
    extracted_at = utc_now()
    undeclared = sorted({c for f in files for c in _check_header(plan, f)})
    key = _token_key(plan)
    # A line of CSV may be as long as the memory that is enough for anything else.
    with scratch(work, None if any(f.is_csv for f in files) else BULK_MEMORY) as db:
        landed = _write_records(db, plan, files, out, extracted_at, key, work)
        personal = _write_personal(db, plan, files, out)
    with _Control(plan, out / "covers.parquet") as control:
        for file in files:
            control.add(file)
    rejected = _write_rejects(plan, files, out)
    if landed != control.rows:
        raise StepFailed(
            f"Two readers disagree: DuckDB read {landed:,} records, pyarrow {control.rows:,}.",
            where=plan.where,
            do="Please report this file's shape as an issue; nothing was loaded.",
        )
    beside = _write_fetched(plan, files, out)
    personal_parts = ["personal.parquet"] if personal else []
    parts = ["records.parquet", "covers.parquet", "rejects.parquet", *personal_parts, *beside]
    receipt = {
        "contract_version": CONTRACT_VERSION,
        "connector": plan.connector,
        "connector_version": __version__,
        "source": plan.source,
        "stream": plan.stream_name,
        "contract": plan.stream.contract,
        "load_id": plan.load_id,
        "mode": "delta",
        "known_at": utc_text(plan.known_at),
        "extracted_at": extracted_at,
        "run_id": plan.run_id,
        "declaration": plan.stream.declaration(),
        "declaration_fingerprint": plan.stream.fingerprint(),
        "schema_fingerprint": hashlib.sha256(canonical_json([list(f.header) for f in files]).encode()).hexdigest(),
        "content_fingerprint": plan.fingerprint,
        "token_key_id": _key_id(key) if key else None,
        "covers": control.covers(out / "covers.parquet"),
        "rows": {"extracted": landed + rejected, "landed": landed, "rejected": rejected},
        "control": {"rows": control.rows, "columns": control.columns()},
        "files": [
            {
                "path": f.path,
                "sha256": f.sha256,
                "bytes": f.bytes,
                "modified_at": f.modified_at,
                "rows": f.records,
                "rejected": len(f.rejects),
            }
            for f in files
        ],
        "fetched": [f.fetched.about for f in files if f.fetched],
        "undeclared_columns": undeclared,
        "cursor": {
            "before": _cursor_id(plan.cursor_before),
            "after": _cursor_id({**plan.cursor_before, **dict(plan.files)}),
        },
        "parts": {name: sha256_of(out / name) for name in parts},
    }
    _commit(out, receipt, target)
    return receipt


def read_receipt(folder: Path) -> dict[str, Any]:
    """The receipt of a committed load.

    Raises:
        StepFailed: the load has none, or it is damaged.
    """
    try:
        return dict(json.loads((folder / "receipt.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StepFailed(
            f"A load has no readable receipt: {error.__class__.__name__}.",
            where=str(folder),
            do="Restore the folder from a backup, or: onefunnel loads refuse <id> --because … and run again.",
        ) from None


def verify_load(folder: Path) -> None:
    """Hold every part of a load against the hash in its receipt.

    Raises:
        StepFailed: a part is missing or has other bytes.
    """
    receipt = read_receipt(folder)
    for name, expected in receipt["parts"].items():
        path = folder / name
        if name == "personal.parquet" and not path.exists():
            continue  # retention deletes this file and nothing else of a load
        if not path.is_file() or sha256_of(path) != expected:
            raise StepFailed(
                f"A landed file is {'missing' if not path.is_file() else 'damaged'}: {name}.",
                where=f"source {receipt['source']}, stream {receipt['stream']}, load {receipt['load_id']}",
                do=f"Restore it, or refuse the load so that its files are read again: "
                f"onefunnel loads refuse {receipt['load_id']} --because damaged, then: onefunnel run",
            )


def is_intact(folder: Path) -> bool:
    """Whether every part of a load has the bytes that its receipt says."""
    try:
        verify_load(folder)
    except StepFailed:
        return False
    return True


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_tables(
    target: Path, work: Path, tables: dict[str, list[dict[str, Any]]], schemas: dict[str, pa.Schema]
) -> None:
    """Land plain tables (the ledger's export) as Parquet, by one rename; does nothing when `target` is there."""
    if target.exists():
        return
    out = work / "tables"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=schemas[name]), out / f"{name}.parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    out.rename(target)


def _check_header(plan: LoadPlan, file: ReadableFile) -> list[str]:
    """Undeclared columns of a file; a missing declared one is an error."""
    wanted = {name for c in plan.stream.columns.values() for name in c.parts}
    optional = {name for c in plan.stream.columns.values() for name in c.parts if c.optional}
    # Without a header and without a record nothing can be missing.
    missing = sorted(wanted - optional - set(file.header)) if file.header or file.records else []
    if missing:
        # Where none is there, line 1 may be data, and data does not belong into a message.
        found = (
            f"it has: {', '.join(file.header)}"
            if wanted & set(file.header)
            else f"none of the declared columns is among its {len(file.header)}: has the file a header?"
        )
        raise StepFailed(
            f"Declared column{'s' if len(missing) > 1 else ''} missing: {', '.join(missing)}.",
            where=f"{plan.where}, file {file.path}, line 1 ({found})",
            do=f"Was it renamed? Correct `columns` in pipeline.yml (staging model stg_files__{plan.stream.contract}), or have the file written again.",
        )
    ignored = plan.stream.ignore  # an object with all that is in it
    return [c for c in file.header if c not in wanted and not any(c == i or c.startswith(f"{i}.") for i in ignored)]


def _commit(out: Path, receipt: dict[str, Any], target: Path) -> None:
    for name in receipt["parts"]:
        _fsync(out / name)
    path = out / "receipt.json"
    path.write_text(json.dumps(receipt, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")
    _fsync(path)
    _fsync(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    out.rename(target)
    _fsync(target.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cursor_id(cursor: dict[str, str]) -> dict[str, Any]:
    """A cursor in short: how many files, and a hash over their versions."""
    return {"files": len(cursor), "sha256": hashlib.sha256(canonical_json(cursor).encode()).hexdigest()}


# -- records, by DuckDB ---------------------------------------------------------------------------------------------


def _relation(file: ReadableFile, stream: Stream) -> str:
    """SQL of one file's records: c0, c1, … as text, and `line`."""
    names = [f"c{i}" for i in range(len(file.header))]
    if not file.is_csv:
        casts = ", ".join(f"cast({identifier(h)} as varchar) as c{i}" for i, h in enumerate(file.header))
        if file.lines is None:
            return f"(select {casts}, file_row_number + 1 as line from read_parquet({literal(file.clean)}, file_row_number = true))"
        return f"(select {casts}, line from read_parquet({literal(file.clean)}) positional join read_parquet({literal(file.lines)}))"
    columns = "{" + ", ".join(f"'{n}': 'VARCHAR'" for n in names) + "}"
    csv = (
        f"read_csv({literal(file.clean)}, columns = {columns}, auto_detect = false, strict_mode = true, header = false,"
        f" delim = {literal(stream.dialect.delimiter)}, quote = {literal(stream.dialect.quote)},"
        f" escape = {literal(stream.dialect.quote)}, new_line = '\\n', null_padding = false,"
        f" force_not_null = [{', '.join(literal(n) for n in names)}], max_line_size = {MAX_LINE_BYTES},"
        f" buffer_size = {2 * MAX_LINE_BYTES})"
    )
    return f"(select * from {csv} positional join read_parquet({literal(str(file.lines))}))"


def _write_records(
    db: duckdb.DuckDBPyConnection,
    plan: LoadPlan,
    files: Sequence[ReadableFile],
    out: Path,
    extracted_at: str,
    key: bytes | None,
    work: Path,
) -> int:
    selects = []
    for file in files:
        if file.records == 0:
            continue
        tokens = _write_tokens(db, plan, file, key, work)
        columns = [
            literal(plan.source),
            literal(plan.stream_name),
            literal(plan.load_id),
            str(file.seq),
            literal(file.path),
            "line",
            literal(utc_text(plan.known_at)),
            literal(extracted_at),
        ]
        joins: list[str] = []
        for name, spec in plan.contract.columns.items():
            column = plan.stream.columns.get(name)
            raw = _raw(column, file, plan.stream)
            if spec.personal:
                columns.append(f"tokens.{identifier(name)}" if tokens and name in plan.stream.columns else _NULL)
                continue
            columns.append(raw)
            if spec.type == "timestamp":
                columns.append(_utc_expression(db, name, column, raw, file, plan, joins))
        beside = f"positional join read_parquet({literal(tokens)}) as tokens" if tokens else ""
        selects.append(
            f"select {', '.join(columns)} from {_relation(file, plan.stream)} as f {beside} {' '.join(joins)}"
        )
    names = _record_columns(plan.contract)
    typed = ", ".join(
        f"cast(null as {'int' if n == '_file_seq' else 'bigint' if n == '_line' else 'varchar'}) as {n}" for n in names
    )
    body = " union all ".join([f"select {typed} where false", *selects])
    path = out / "records.parquet"
    try:
        db.execute(f"copy ({body}) to {literal(path)} (format parquet, compression zstd)")
    except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
        raise StepFailed(
            f"A file cannot be read as declared: {str(error).splitlines()[0]}",
            where=plan.where,
            do="Check `dialect` in pipeline.yml.",
        ) from error
    landed = pq.ParquetFile(path).metadata.num_rows
    expected = sum(f.records for f in files)
    if landed != expected:
        raise StepFailed(
            f"{expected:,} records were found, {landed:,} were read.",
            where=plan.where,
            do="Please report this file's shape as an issue; nothing was loaded.",
        )
    return int(landed)


def _record_columns(contract: Contract) -> list[str]:
    names = list(_META)
    for name, spec in contract.columns.items():
        names.append(f"{name}_token" if spec.personal else name)
        if spec.type == "timestamp" and not spec.personal:
            names.append(f"{name}_utc")
    return names


def _raw(column: Column | None, file: ReadableFile, stream: Stream) -> str:
    if column is not None and column.value is not None:
        return literal(column.value)
    if column is None or not set(column.parts) <= set(file.header):
        return _NULL
    parts = [f"c{file.header.index(name)}" for name in column.parts]
    if len(parts) == 1:
        return parts[0]
    # An id of several columns is written as a JSON pointer: no two lists of parts give one text. Without a part there is none.
    words = ", ".join(literal(word) for word in stream.dialect.null_words)
    present = [f"case when {part} not in ({words}) then {part} end" if words else part for part in parts]
    return "(" + " || '/' || ".join(f"replace(replace({part}, '~', '~0'), '/', '~1')" for part in present) + ")"


def _utc_expression(
    db: duckdb.DuckDBPyConnection,
    name: str,
    column: Column | None,
    raw: str,
    file: ReadableFile,
    plan: LoadPlan,
    joins: list[str],
) -> str:
    """UTC text of a local timestamp. The offset comes from the IANA database for each quarter hour that occurs,
    so that a repeated hour follows the declared fold on every engine; a local time that never was gives null."""
    if column is None:
        return _NULL
    if column.unit == "micros":
        whole = f"case when regexp_full_match({raw}, '{_MICROS}') then try_cast({raw} as bigint) end"
        return f"strftime(make_timestamp({whole}), '%Y-%m-%d %H:%M:%S.%f')"
    declared = str(column.format)
    # A fraction is written where there is one.
    formats = (
        f"[{literal(declared)}, {literal(declared.replace('.%f', ''))}]" if ".%f" in declared else literal(declared)
    )
    if "%z" in declared:
        local = f"try_strptime(regexp_replace({raw}, 'Z$', '+00'), {formats})"
        return f"strftime(({local})::timestamptz at time zone 'UTC', '%Y-%m-%d %H:%M:%S.%f')"
    local = f"try_strptime({raw}, {formats})"
    bucket = f"cast(floor(epoch({local}) / 900) as bigint)"
    table = f"offsets_{file.seq}_{name}"
    found = db.execute(
        f"select distinct {bucket} from {_relation(file, plan.stream)} as f where {local} is not null"
    ).fetchall()
    rows = [(b, _offset(b, column)) for (b,) in found]
    known = [(b, o) for b, o in rows if o is not None]
    db.register(
        table,
        pa.table(
            {
                "bucket": pa.array([b for b, _ in known], pa.int64()),
                "seconds": pa.array([o for _, o in known], pa.int64()),
            }
        ),
    )
    joins.append(f"left join {table} on {table}.bucket = {bucket}")
    return f"strftime({local} - to_seconds({table}.seconds), '%Y-%m-%d %H:%M:%S.%f')"


def _offset(bucket: int, column: Column) -> int | None:
    """Seconds that a quarter hour of local time is ahead of UTC; None when the clocks skipped it."""
    local = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=bucket * 900)  # noqa: DTZ001 (a local time on purpose)
    aware = local.replace(tzinfo=zone(str(column.zone)), fold=column.fold or 0)
    if aware.astimezone(dt.UTC).astimezone(aware.tzinfo).replace(tzinfo=None) != local:
        return None
    offset = aware.utcoffset()
    return int(offset.total_seconds()) if offset is not None else None


# -- personal values --------------------------------------------------------------------------------------------------


def _token_key(plan: LoadPlan) -> bytes | None:
    if not any(plan.contract.columns[n].personal for n in plan.stream.columns):
        return None
    key = os.environ.get(TOKEN_KEY_VARIABLE, "")
    if len(key) < 32:
        raise EnvironmentNotReady(
            f"The stream has personal columns, and {TOKEN_KEY_VARIABLE} is {'too short' if key else 'not set'}.",
            where=plan.where,
            do="Set it to a secret of at least 32 characters and keep it: other keys give other tokens.",
        )
    return key.encode()


def _key_id(key: bytes) -> str:
    return hmac.new(key, b"key id", hashlib.sha256).hexdigest()[:12]


def token(key: bytes, value: str) -> str:
    """The keyed token of a personal value: HMAC-SHA256 over the trimmed, case-folded, NFKC form."""
    normal = unicodedata.normalize("NFKC", value).strip().casefold()
    return hmac.digest(key, normal.encode(), "sha256").hex()


def _write_tokens(
    db: duckdb.DuckDBPyConnection, plan: LoadPlan, file: ReadableFile, key: bytes | None, work: Path
) -> Path | None:
    """The tokens of a file's personal columns, record by record in its order; None where it has none."""
    names = [n for n, spec in plan.contract.columns.items() if spec.personal and n in plan.stream.columns]
    if key is None or not names:
        return None
    # Not more than are seen again soon: most values of a list of people stand there once.
    known = lru_cache(TOKENS_KEPT)(partial(token, key))
    nulls = set(plan.stream.dialect.null_words)

    def of(value: str | None) -> str | None:
        return None if value is None or value in nulls or not value.strip() else known(value)

    path = work / f"{file.seq:06d}.tokens.parquet"
    raw = ", ".join(f"{_raw(plan.stream.columns[n], file, plan.stream)} as {identifier(n)}" for n in names)
    schema = pa.schema([(name, pa.string()) for name in names])
    with pq.ParquetWriter(path, schema, compression="lz4") as writer:
        for batch in db.sql(f"select {raw} from {_relation(file, plan.stream)} as f").to_arrow_reader(TOKENS_KEPT):
            columns = [pa.array(map(of, batch[name].to_pylist()), pa.string()) for name in names]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    return path


def _write_personal(db: duckdb.DuckDBPyConnection, plan: LoadPlan, files: Sequence[ReadableFile], out: Path) -> bool:
    """Raw personal columns and undeclared ones, in a file of their own that retention can delete."""
    personal = [n for n, spec in plan.contract.columns.items() if spec.personal and n in plan.stream.columns]
    selects = []
    for file in files:
        extra = _check_header(plan, file)
        if file.records == 0 or not (personal or extra):
            continue
        pairs = ", ".join(f"{literal(c)}, c{file.header.index(c)}" for c in extra)
        blob = f"cast(json_object({pairs}) as varchar)" if extra else "cast(null as varchar)"
        raws = "".join(f", {_raw(plan.stream.columns[n], file, plan.stream)} as {n}" for n in personal)
        selects.append(
            f"select {file.seq}::int as _file_seq, line as _line{raws}, {blob} as _extra from {_relation(file, plan.stream)} as f"
        )
    if not selects:
        return False
    db.execute(
        f"copy ({' union all '.join(selects)}) to {literal(out / 'personal.parquet')} (format parquet, compression zstd)"
    )
    (out / "personal.parquet").chmod(0o600)
    return True


def _write_rejects(plan: LoadPlan, files: Sequence[ReadableFile], out: Path) -> int:
    rejects = [r for f in files for r in f.rejects]
    schema = pa.schema(
        [
            ("_source", pa.string()),
            ("_stream", pa.string()),
            ("_load_id", pa.string()),
            ("_file_seq", pa.int32()),
            ("_file", pa.string()),
            ("_line", pa.int64()),
            ("reason", pa.string()),
            ("original_text", pa.string()),
        ]
    )
    pq.write_table(
        pa.table(
            {
                "_source": [plan.source] * len(rejects),
                "_stream": [plan.stream_name] * len(rejects),
                "_load_id": [plan.load_id] * len(rejects),
                "_file_seq": [r.file_seq for r in rejects],
                "_file": [r.file for r in rejects],
                "_line": [r.line for r in rejects],
                "reason": [r.reason for r in rejects],
                "original_text": [r.original_text for r in rejects],
            },
            schema,
        ),
        out / "rejects.parquet",
    )
    (out / "rejects.parquet").chmod(0o600)  # original lines may hold anything
    return len(rejects)


def _write_fetched(plan: LoadPlan, files: Sequence[ReadableFile], out: Path) -> list[str]:
    """What a connector left beside its records: the cells with their hashes, and the totals of the source's own."""
    fetched = [f.fetched for f in files if f.fetched]
    if not fetched:
        return []
    with pq.ParquetWriter(out / "cells.parquet", pq.read_schema(fetched[0].cells_file), compression="zstd") as writer:
        for each in fetched:
            for batch in pq.ParquetFile(each.cells_file).iter_batches():
                writer.write_batch(batch)
    totals = fetched[-1].totals
    for name, value in (("_source", plan.source), ("_stream", plan.stream_name), ("_load_id", plan.load_id)):
        totals = totals.append_column(name, pa.array([value] * totals.num_rows, pa.string()))
    pq.write_table(totals, out / "totals.parquet", compression="zstd")
    return ["cells.parquet", "totals.parquet"]


# -- control totals, by pyarrow -----------------------------------------------------------------------------------------


def file_dates(plan: LoadPlan, file: ReadableFile) -> tuple[str, str] | None:
    """First and last date in a file, ISO; None when it has no date column."""
    with _Control(plan) as control:
        control.add(file)
    found = [(p["min"], p["max"]) for n, p in control.profile.items() if n in control.dates and p["min"] is not None]
    return (str(min(a for a, _ in found)), str(max(b for _, b in found))) if found else None


class _Control:
    """Control totals per cell and currency, taken by pyarrow under the declared dialect.

    The currency is the text as the source wrote it, null where the contract has no money: what it means is decided where
    all values get their meaning, in staging. Without it an error in one currency could hide one in another.
    """

    def __init__(self, plan: LoadPlan, path: Path | None = None) -> None:
        self.plan = plan
        self.rows = 0
        stream = plan.stream
        self.cell = {"file": (), "keys": stream.key or (), "partition": stream.partition}[stream.replaces]
        self.measures = [n for n, c in plan.contract.columns.items() if c.type in NUMERIC_TYPES and n in stream.columns]
        self.dates = [n for n in plan.contract.columns_of("date") if n in stream.columns]
        currencies = [n for n in plan.contract.columns_of("currency") if n in stream.columns]
        self.currency = currencies[0] if currencies and plan.contract.columns_of("amount") else None
        self.profile: dict[str, dict[str, Any]] = {
            n: {
                "type": plan.contract.columns[n].type,
                "valid": 0,
                "invalid": 0,
                "null": 0,
                "sum": None,
                "min": None,
                "max": None,
            }
            for n in plan.contract.columns
            if n in stream.columns and not plan.contract.columns[n].personal
        }

        nothing = ReadableFile(0, "", "", 0, "", Path(), None, (), 0)
        names = (*self.cell, "control_currency")
        self.empty = self._covers_table(
            nothing, {n: pa.array([], pa.string()) for n in names}, pa.array([], pa.int64()), 0
        )
        self.writer = pq.ParquetWriter(path, self.empty.schema, compression="zstd") if path else None

    def __enter__(self) -> _Control:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer:
            self.writer.close()

    def _write(self, part: pa.Table) -> None:
        """Append to covers.parquet: a row per file, cell and currency (what spans read blocks has several; they add up)."""
        if self.writer:
            self.writer.write_table(part.cast(self.empty.schema))

    def add(self, file: ReadableFile) -> None:
        """Read one file a second time and add its totals."""
        empty = True
        for batch in self._batches(file):
            if batch.num_rows:
                empty = False
                self._add_batch(file, batch)
        if file.fetched:
            emptied = file.fetched.emptied
            count = emptied.num_rows
            groups = {**{n: emptied[n] for n in self.cell}, "control_currency": pa.nulls(count, pa.string())}
            self._write(self._covers_table(file, groups, pa.repeat(pa.scalar(0, pa.int64()), count), count))
        if empty and self.plan.stream.replaces == "file":
            no_currency = {"control_currency": pa.nulls(1, pa.string())}
            self._write(self._covers_table(file, no_currency, pa.array([0], pa.int64()), 1))

    def _batches(self, file: ReadableFile) -> Iterator[pa.Table]:
        stream = self.plan.stream
        wanted = sorted({name for n, c in stream.columns.items() if n in self.profile for name in c.parts})
        wanted = [w for w in wanted if w in file.header]
        if not file.is_csv:
            for batch in pq.ParquetFile(file.clean).iter_batches(columns=wanted):
                table = pa.Table.from_batches([batch])
                yield pa.table({n: _as_text(table[n]) for n in wanted}) if wanted else table
            return
        if file.records == 0:
            return
        names = [f"c{i}" for i in range(len(file.header))]
        use = [f"c{file.header.index(w)}" for w in wanted] or names[:1]
        reader = pcsv.open_csv(
            file.clean,
            read_options=pcsv.ReadOptions(column_names=names, block_size=MAX_LINE_BYTES),
            parse_options=pcsv.ParseOptions(
                delimiter=stream.dialect.delimiter,
                quote_char=stream.dialect.quote,
                double_quote=True,
                escape_char=False,
                newlines_in_values=True,
                ignore_empty_lines=False,
            ),
            convert_options=pcsv.ConvertOptions(
                column_types={n: pa.string() for n in names}, strings_can_be_null=False, include_columns=use
            ),
        )
        for batch in reader:
            table = pa.Table.from_batches([batch])
            yield table.rename_columns([file.header[int(c[1:])] for c in table.column_names])

    def _text(self, table: pa.Table, name: str) -> pa.ChunkedArray:
        column = self.plan.stream.columns[name]
        if column.value is not None:
            return pa.chunked_array([pa.repeat(column.value, table.num_rows)])
        if not set(column.parts) <= set(table.column_names):
            return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
        parts = [table[part].cast(pa.string()) for part in column.parts]
        return parts[0] if len(parts) == 1 else self._joined(parts)

    def _joined(self, parts: list[pa.ChunkedArray]) -> pa.ChunkedArray:
        nulls = pa.array(self.plan.stream.dialect.null_words, pa.string())
        escaped = []
        for part in parts:
            present = pc.if_else(pc.is_in(part, value_set=nulls), pa.scalar(None, pa.string()), part)
            escaped.append(pc.replace_substring(pc.replace_substring(present, "~", "~0"), "/", "~1"))
        return pc.binary_join_element_wise(*escaped, "/")

    def _add_batch(self, file: ReadableFile, table: pa.Table) -> None:
        self.rows += table.num_rows
        values: dict[str, Any] = {}
        nulls = pa.array(self.plan.stream.dialect.null_words, pa.string())
        for name, profile in self.profile.items():
            text = self._text(table, name)
            missing = pc.or_(pc.is_null(text), pc.is_in(text, value_set=nulls))  # is_in says false of null
            profile["null"] += int(pc.sum(missing).as_py() or 0)
            present = pc.if_else(missing, pa.scalar(None, pa.string()), text)
            typed = self._typed(name, present)
            valid = pc.count(typed).as_py()
            profile["valid"] += valid
            profile["invalid"] += int(pc.count(present).as_py() - valid)
            if name in self.measures:
                values[name] = typed
            if valid and (name in self.measures or name in self.dates):
                low, high = (pc.min_max(typed)[k].as_py() for k in ("min", "max"))
                profile["min"] = low if profile["min"] is None else min(profile["min"], low)
                profile["max"] = high if profile["max"] is None else max(profile["max"], high)
                if name in self.measures:
                    profile["sum"] = _WIDE.add(profile["sum"] or Decimal(0), pc.sum(typed).as_py())
            if valid and profile["type"] == "boolean":  # how many are true
                profile["sum"] = (profile["sum"] or 0) + pc.sum(typed).as_py()
        groups = {**{f"cell_{n}": self._text(table, n) for n in self.cell}, "control_currency": self._currency(table)}
        frame = pa.table({**groups, **values, "one": pa.repeat(pa.scalar(1, pa.int64()), table.num_rows)})
        grouped = frame.group_by(list(groups)).aggregate(
            [("one", "sum"), *[(m, "sum") for m in self.measures], *[(m, "count") for m in self.measures]]
        )
        self._write(
            self._covers_table(
                file,
                {name.removeprefix("cell_"): grouped[name] for name in groups},
                grouped["one_sum"],
                grouped.num_rows,
                {m: (grouped[f"{m}_sum"], grouped[f"{m}_count"]) for m in self.measures},
            )
        )

    def _currency(self, table: pa.Table) -> pa.ChunkedArray | pa.Array:
        return self._text(table, self.currency) if self.currency else pa.nulls(table.num_rows, pa.string())

    def _typed(self, name: str, text: pa.ChunkedArray) -> pa.ChunkedArray:
        kind = self.plan.contract.columns[name].type
        column = self.plan.stream.columns[name]
        if kind in NUMERIC_TYPES:
            return self._numbers(text, kind, column)
        if kind == "date" and column.map:
            found = pc.index_in(text, value_set=pa.array(list(column.map), pa.string()))
            meant = pc.take(pa.array(list(column.map.values()), pa.string()), found)
            text = pc.if_else(pc.is_valid(found), meant, text)
        if kind == "timestamp" and column.unit == "micros":
            whole = pc.if_else(pc.match_substring_regex(text, f"^{_MICROS}$"), text, pa.scalar(None, pa.string()))
            return whole.cast(pa.int64()).cast(pa.timestamp("us"))
        if kind in ("date", "timestamp"):
            shape = _date_shape(str(column.format))
            fits = pc.if_else(pc.match_substring_regex(text, shape), text, pa.scalar(None, pa.string()))
            # pyarrow reads no fractions and no zones here; neither decides whether the text is a time
            if "%f" in str(column.format):
                fits = pc.replace_substring_regex(fits, r"\.[0-9]{1,6}", "")
            if "%z" in str(column.format):
                fits = pc.replace_substring_regex(fits, f"{FORMAT_TOKENS['%z']}$", "")
            parsed = pc.strptime(fits, format=_strptime_format(str(column.format)), unit="s", error_is_null=True)
            if kind == "timestamp":
                return parsed
            days = pc.add(parsed.cast(pa.date32()).cast(pa.int32()), pa.scalar(column.add_days, pa.int32()))
            return days.cast(pa.date32())
        if kind == "boolean":
            words = {"true": "true", "false": "false", **(column.map or {})}
            yes, no = ([w for w, meant in words.items() if meant == m] for m in ("true", "false"))
            known = pc.is_in(text, value_set=pa.array(yes + no, pa.string()))
            return pc.if_else(known, pc.is_in(text, value_set=pa.array(yes, pa.string())), pa.scalar(None, pa.bool_()))
        if kind == "currency":
            mapped = column.map or {}
            known = pa.array(list(mapped), pa.string())
            fits = pc.or_(pc.match_substring_regex(text, r"^[A-Z]{3}$"), pc.is_in(text, value_set=known))
            return pc.if_else(fits, text, pa.scalar(None, pa.string()))
        return text

    def _numbers(self, text: pa.ChunkedArray, kind: str, column: Column) -> pa.ChunkedArray:
        if column.unit == "micros":
            whole = pc.if_else(pc.match_substring_regex(text, "^-?[0-9]{1,20}$"), text, pa.scalar(None, pa.string()))
            return pc.multiply(whole.cast(pa.decimal128(20, 0)), pa.scalar(Decimal("0.000001"))).cast(_CONTROL)
        if column.rounded:
            return _rounded(text)
        dialect = self.plan.stream.dialect
        decimal, grouping = ("\\" + dialect.decimal, re.escape(dialect.grouping))
        whole = rf"(?:[0-9]+|[0-9]{{1,3}}(?:{grouping}[0-9]{{3}})+)" if dialect.grouping else "[0-9]+"
        fraction = rf"(?:{decimal}[0-9]{{1,{DECIMALS[kind]}}})?" if DECIMALS[kind] else ""
        prefix = re.escape(column.prefix) if column.prefix else ""
        shape = rf"^(?:-?{prefix}|{prefix}-){whole}{fraction}$" if prefix else rf"^-?{whole}{fraction}$"
        fits = pc.if_else(pc.match_substring_regex(text, shape), text, pa.scalar(None, pa.string()))
        bare = pc.replace_substring(fits, column.prefix, "") if column.prefix else fits
        if dialect.grouping:
            bare = pc.replace_substring(bare, dialect.grouping, "")
        if dialect.decimal != ".":
            bare = pc.replace_substring(bare, dialect.decimal, ".")
        longest = pc.max(pc.utf8_length(bare)).as_py() or 0
        if longest > 28:  # more digits than any contract type holds: staging quarantines those
            bare = pc.if_else(pc.less_equal(pc.utf8_length(bare), 28), bare, pa.scalar(None, pa.string()))
        return bare.cast(_CONTROL)

    def _covers_table(
        self,
        file: ReadableFile,
        groups: dict[str, Any],
        rows: Any,
        count: int,
        sums: dict[str, tuple[Any, Any]] | None = None,
    ) -> pa.Table:
        plan = self.plan
        columns: dict[str, Any] = {
            "_source": pa.repeat(plan.source, count),
            "_stream": pa.repeat(plan.stream_name, count),
            "_load_id": pa.repeat(plan.load_id, count),
            "_file_seq": pa.repeat(pa.scalar(file.seq, pa.int32()), count),
            "_file": pa.repeat(file.path, count),
            **groups,
            "control_rows": rows,
        }
        for name in plan.contract.columns:
            if plan.contract.columns[name].type in NUMERIC_TYPES:
                total, valid = (sums or {}).get(
                    name, (pa.nulls(count, _CONTROL), pa.repeat(pa.scalar(0, pa.int64()), count))
                )
                columns[f"control_{name}"] = total.cast(_CONTROL)
                columns[f"control_{name}_valid"] = valid.cast(pa.int64())
        return pa.table(columns)

    def covers(self, path: Path) -> dict[str, Any]:
        """What the load covers, in short."""
        dates = self.dates[0] if self.dates else None
        profile = self.profile.get(dates or "", {})
        named = ", ".join(map(identifier, ("_file", *self.cell)))
        with scratch(path.parents[1], COUNTING_MEMORY) as db:
            read = f"read_parquet({literal(path)})"
            cells = db.execute(f"select count(*) from (select distinct {named} from {read})").fetchall()[0][0]
            distinct = None
            if dates in self.cell:
                distinct = db.execute(f"select count(distinct {identifier(dates)}) from {read}").fetchall()[0][0]
        return {
            "mode": self.plan.stream.replaces,
            "columns": list(self.cell),
            "cells": cells,
            "dates": distinct,
            "min_date": _text_or_none(profile.get("min")),
            "max_date": _text_or_none(profile.get("max")),
        }

    def columns(self) -> dict[str, dict[str, Any]]:
        """The profile of each declared column, JSON-able; sums as exact text."""
        return {n: {**p, **{k: _text_or_none(p[k]) for k in ("sum", "min", "max")}} for n, p in self.profile.items()}


def _rounded(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats as text, rounded half up to six decimals of at most 18 that are read."""
    nothing = pa.scalar(None, pa.string())
    plain = pc.if_else(pc.match_substring_regex(text, r"^-?[0-9]{1,20}([.][0-9]+)?$"), text, nothing)
    read = pc.replace_substring_regex(plain, r"^(-?[0-9]+[.][0-9]{18})[0-9]+$", r"\1").cast(pa.decimal128(38, 18))
    found = pc.round(read, 6, round_mode="half_towards_infinity").cast(_CONTROL)
    small = pc.match_substring_regex(text, r"^-?[0-9]+([.][0-9]+)?[eE][+-]?[0-9]{1,2}$")
    if not pc.any(small).as_py():
        return found
    # Few values are so small that they are written with an exponent.
    exact = [
        Decimal(t.as_py()).quantize(Decimal("0.000001"), ROUND_HALF_UP) if s.as_py() else None
        for t, s in zip(text, small, strict=True)
    ]
    return pc.coalesce(found, pa.chunked_array([pa.array(exact, _CONTROL)]))


def _text_or_none(value: object) -> str | None:
    if value is None:
        return None
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    return text.rstrip("0").rstrip(".") if re.fullmatch(r"-?\d+\.\d+", text) else text


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The text that DuckDB gives a value of a Parquet file: moments in UTC, and a fraction only where there is one."""
    if not pa.types.is_timestamp(column.type):
        return column.cast(pa.string())
    zone = "+00" if column.type.tz else ""
    moments = column.cast(pa.timestamp(column.type.unit, "UTC")) if zone else column
    # `%S` writes all digits of the unit
    text = pc.strftime(moments, format="%Y-%m-%d %H:%M:%S")
    text = pc.replace_substring_regex(text, r"(\.[0-9]*?)0+$", r"\1")
    text = pc.replace_substring_regex(text, r"\.$", "")
    return pc.binary_join_element_wise(text, zone, "") if zone else text


def _date_shape(text: str) -> str:
    """The pattern that a date of the declared format has."""
    parts = re.split(r"(\.%f|%.)", text)
    tokens = {**FORMAT_TOKENS, ".%f": f"(?:[.]{FORMAT_TOKENS['%f']})?"}
    return "^" + "".join(tokens.get(p, re.escape(p)) for p in parts) + "$"


def _strptime_format(text: str) -> str:
    return text.replace(".%f", "").replace("%f", "").replace("%z", "")
