"""Lays one landed load out as the tables of schema `raw` that the raw expectations read.

| table                  | rows                                                                                       |
|------------------------|--------------------------------------------------------------------------------------------|
| `load_records`         | the records, all text as the source wrote it                                               |
| `load_rejects`         | records that could not be read                                                             |
| `load_covers`          | the cells that the load covers, with their control totals                                  |
| `load_columns`         | one per contract column, from the receipt's control totals                                 |
| `load_files`           | one per file of the load                                                                   |
| `load_receipt`         | exactly one                                                                                |
| `load_history`         | one per earlier accepted load of the stream; `n` = 1 is the newest                         |
| `load_history_columns` | the control totals of those                                                                |
"""

# ruff: noqa: S608  (identifiers come from our own reviewed YAML and the catalogue; values are bound or quoted)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onefunnel.quality.pushdown import Database
from onefunnel.quality.violations import literal

PARTS = {
    "load_records": "records.parquet",
    "load_rejects": "rejects.parquet",
    "load_covers": "covers.parquet",
}
OPTIONAL_PARTS = {
    "load_rejects": "_source varchar, _stream varchar, _load_id varchar, _file_seq integer, _file varchar, "
    "_line bigint, reason varchar, original_text varchar",
    "load_covers": "_source varchar, _stream varchar, _load_id varchar, _file_seq integer, _file varchar, "
    "control_rows bigint",
}
_TOTALS = (
    "column_name varchar, type varchar, rows bigint, valid bigint, invalid bigint, null_rows bigint, "
    "sum decimal(38, 9), min varchar, max varchar"
)
TABLES = {
    "load_receipt": "source varchar, stream varchar, contract varchar, load_id varchar, rows_extracted bigint, "
    "rows_landed bigint, rows_rejected bigint, cells bigint, dates bigint, min_date date, max_date date, "
    "known_at timestamp, allow_empty boolean, usual_share double, usual_minimum bigint, undeclared_columns varchar[]",
    "load_columns": _TOTALS,
    "load_files": "path varchar, sha256 varchar, bytes bigint, modified_at varchar, rows bigint, rejected bigint",
    "load_history": "n bigint, load_id varchar, rows bigint, dates bigint, rows_per_date double, "
    "sum_spend decimal(38, 9)",
    "load_history_columns": f"n bigint, {_TOTALS}",
}
NAMES = frozenset(PARTS) | frozenset(TABLES)


@dataclass(frozen=True)
class LoadUnderJudgement:
    """A landed load that is not judged yet, with the receipts of earlier accepted loads of its stream, newest first."""

    load_id: str
    folder: Path
    receipt: dict[str, Any]
    history: list[dict[str, Any]]


def lay_out(database: Database, load: LoadUnderJudgement) -> None:
    """Create schema `raw` for one load; afterwards no SQL can read a file outside the load's folder.

    Raises:
        duckdb.Error: a Parquet file is missing or damaged, or the receipt does not have the agreed form.
    """
    database.rows(f"set allowed_directories = [{literal(str(load.folder))}]")
    database.rows("set enable_external_access = false")
    database.rows("set lock_configuration = true")
    database.rows("create schema raw")
    for table, file in PARTS.items():
        _lay_out_part(database, table, load.folder / file)
    for table, columns in TABLES.items():
        database.rows(f"create table raw.{table} ({columns})")
    _insert(database, "load_receipt", [_receipt_row(load)])
    _insert(database, "load_columns", _total_rows(load.receipt))
    _insert(database, "load_files", [_file_row(file) for file in load.receipt.get("files", [])])
    for number, receipt in enumerate(load.history, start=1):
        _insert(database, "load_history", [_history_row(number, receipt)])
        _insert(database, "load_history_columns", [(number, *row) for row in _total_rows(receipt)])


def reproduce(select: str, folder: Path) -> str:
    """The SQL with a first line that says what the files behind it are."""
    lines = [f"-- raw.{table} = {literal(str(folder / file))}" for table, file in PARTS.items() if table in select]
    return "\n".join([*lines, select])


def _lay_out_part(database: Database, table: str, path: Path) -> None:
    if path.exists() or table not in OPTIONAL_PARTS:
        database.rows(f"create view raw.{table} as select * from read_parquet({literal(str(path))})")
    else:
        database.rows(f"create table raw.{table} ({OPTIONAL_PARTS[table]})")


def _insert(database: Database, table: str, rows: Iterable[Sequence[Any]]) -> None:
    for row in rows:
        marks = ", ".join("?" for _ in row)
        database.rows(f"insert into raw.{table} values ({marks})", row)


def _receipt_row(load: LoadUnderJudgement) -> tuple[Any, ...]:
    receipt = load.receipt
    rows, covers = receipt["rows"], receipt.get("covers") or {}
    declaration = receipt.get("declaration") or {}
    usual = declaration.get("usual_rows")
    usual = usual if isinstance(usual, Mapping) else {}
    return (
        receipt["source"],
        receipt["stream"],
        receipt["contract"],
        load.load_id,
        rows["extracted"],
        rows["landed"],
        rows["rejected"],
        _count(covers.get("cells")),
        _count(covers.get("dates")),
        covers.get("min_date"),
        covers.get("max_date"),
        receipt["known_at"],
        bool(declaration.get("allow_empty", False)),
        usual.get("share"),
        usual.get("minimum"),
        [str(name) for name in receipt.get("undeclared_columns") or []],
    )


def _total_rows(receipt: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    control = receipt.get("control") or {}
    return [
        (
            name,
            total.get("type"),
            control.get("rows"),
            total.get("valid"),
            total.get("invalid"),
            total.get("null"),
            _text(total.get("sum")),
            _text(total.get("min")),
            _text(total.get("max")),
        )
        for name, total in (control.get("columns") or {}).items()
    ]


def _file_row(file: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(file.get(name) for name in ("path", "sha256", "bytes", "modified_at", "rows", "rejected"))


def _history_row(number: int, receipt: Mapping[str, Any]) -> tuple[Any, ...]:
    rows = receipt["rows"]["landed"]
    dates = _count((receipt.get("covers") or {}).get("dates"))
    spend = ((receipt.get("control") or {}).get("columns") or {}).get("spend_amount") or {}
    return number, receipt["load_id"], rows, dates, rows / (dates or 1), _text(spend.get("sum"))


def _count(value: Any) -> int | None:
    """A count that a receipt gives as number or as list."""
    return len(value) if isinstance(value, list | tuple) else value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
