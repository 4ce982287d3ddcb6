"""Lays one landed load out as the tables of schema `raw` that the raw expectations read.

| table                  | rows                                                                                       |
|------------------------|--------------------------------------------------------------------------------------------|
| `load_records`         | the records, all text as the source wrote it                                               |
| `load_values`          | the records as they are declared: mapped and typed, null where a value does not read       |
| `load_rejects`         | records that could not be read                                                             |
| `load_covers`          | the cells that the load covers, with their control totals                                  |
| `load_cells`           | the cells of a connector's delivery, each with the hash of its records; else empty         |
| `load_totals`          | what the source counts by itself, asked for by a connector; else empty                     |
| `load_columns`         | one per contract column, from the receipt's control totals; the sum of a boolean counts true |
| `load_files`           | one per file of the load                                                                   |
| `load_receipt`         | exactly one                                                                                |
| `load_history`         | one per earlier accepted load of the stream; `n` = 1 is the newest                         |
| `load_history_columns` | the control totals of those                                                                |

`rows_per_unit` is rows per cell where a file replaces partitions, per file where it replaces files, else per date (or per
load, where the key has no date). A load that also delivers old account-days again has more rows, but not more per cell.
`newest_rows` are the rows of the newest date, null where the cells have no date.

`load_values` holds personal columns as tokens (`email_token`), times in UTC, and `_at`, the moment that a row is about
(null in lists, which are about no day). It is more lenient than staging: whether a value reads is another check's matter.
"""

# ruff: noqa: S608  (identifiers come from our own reviewed YAML and the catalogue; values are quoted)

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from onefunnel.quality.pushdown import Database
from onefunnel.quality.violations import literal, quoted
from onefunnel.settings import NUMERIC_TYPES, Contract, ContractColumn

PARTS = {
    "load_records": "records.parquet",
    "load_rejects": "rejects.parquet",
    "load_covers": "covers.parquet",
    "load_cells": "cells.parquet",
    "load_totals": "totals.parquet",
}
OPTIONAL_PARTS = {
    "load_rejects": "_source varchar, _stream varchar, _load_id varchar, _file_seq integer, _file varchar, "
    "_line bigint, reason varchar, original_text varchar",
    "load_covers": "_source varchar, _stream varchar, _load_id varchar, _file_seq integer, _file varchar, "
    "control_rows bigint",
    "load_cells": "ad_account_id varchar, spend_date varchar, content_hash varchar",
    "load_totals": "part varchar, day varchar, measure varchar, value varchar, unit varchar",
}
_TOTALS = (
    "column_name varchar, type varchar, rows bigint, valid bigint, invalid bigint, null_rows bigint, "
    "sum decimal(38, 9), min varchar, max varchar"
)
TABLES = {
    "load_receipt": "source varchar, stream varchar, contract varchar, load_id varchar, rows_extracted bigint, "
    "rows_landed bigint, rows_rejected bigint, cells bigint, dates bigint, min_date date, max_date date, "
    "known_at timestamp, allow_empty boolean, usual_share double, usual_minimum bigint, undeclared_columns varchar[], "
    "rows_per_unit double, newest_rows bigint",
    "load_columns": f"{_TOTALS}, is_required boolean",
    "load_files": "path varchar, sha256 varchar, bytes bigint, modified_at varchar, rows bigint, rejected bigint",
    "load_history": "n bigint, load_id varchar, rows bigint, max_date date, rows_per_unit double, newest_rows bigint",
    "load_history_columns": f"n bigint, {_TOTALS}",
}


@dataclass(frozen=True)
class LoadUnderJudgement:
    """A landed load that is not judged yet, with the receipts of earlier accepted loads of its stream, newest first.

    `owner` is the one that pipeline.yml declares for its source.
    """

    load_id: str
    folder: Path
    receipt: dict[str, Any]
    history: list[dict[str, Any]]
    owner: str = "data"


def lay_out(database: Database, load: LoadUnderJudgement, contract: Contract) -> dict[str, str]:
    """Create schema `raw` for one load; afterwards no SQL can read a file outside the load's folder.

    Returns:
        Per table the SQL that makes it, with which it can be made again anywhere.

    Raises:
        duckdb.Error: a Parquet file is missing or damaged, or the receipt does not have the agreed form.
    """
    newest = _newest_rows(database, load.folder, load.receipt)
    earlier = [_newest_rows(database, _folder_of(load, receipt), receipt) for receipt in load.history]
    database.rows(f"set allowed_directories = [{literal(str(load.folder))}]")
    database.rows("set enable_external_access = false")
    database.rows("set lock_configuration = true")
    database.rows("create schema raw")
    required = {name for name, column in contract.columns.items() if column.required}
    history = list(enumerate(load.history, start=1))
    rows: dict[str, list[tuple[Any, ...]]] = {
        "load_receipt": [(*_receipt_row(load), _rows_per_unit(load.receipt), newest)],
        "load_columns": [(*row, row[0] in required) for row in _total_rows(load.receipt)],
        "load_files": [_file_row(file) for file in load.receipt.get("files", [])],
        "load_history": [(n, *_history_row(receipt), earlier[n - 1]) for n, receipt in history],
        "load_history_columns": [(n, *row) for n, receipt in history for row in _total_rows(receipt)],
    }
    made = {table: _part(table, load.folder / file) for table, file in PARTS.items()}
    made |= {table: _table(table, columns, rows[table]) for table, columns in TABLES.items()}
    for sql in made.values():
        database.rows(sql)
    made["load_values"] = f"create view raw.load_values as {_values(database, load.receipt, contract)}"
    database.rows(made["load_values"])
    return made


def reproduce(select: str, made: Mapping[str, str]) -> str:
    """The SQL after whatever makes the tables that it reads: a script for any DuckDB."""
    needed = {table for table in made if re.search(rf"\braw\.{table}\b", select)}
    if "load_values" in needed:
        needed.add("load_records")
    script = [f"{made[table]};" for table in made if table in needed]
    return "\n".join(["create schema if not exists raw;", *script, select]) if script else select


def _part(table: str, path: Path) -> str:
    if path.exists() or table not in OPTIONAL_PARTS:
        return f"create view raw.{table} as select * from read_parquet({literal(str(path))})"
    return f"create table raw.{table} ({OPTIONAL_PARTS[table]})"


def _table(table: str, columns: str, rows: Sequence[Sequence[Any]]) -> str:
    filled = ", ".join(f"({', '.join(_literal(value) for value in row)})" for row in rows)
    return f"create table raw.{table} ({columns})" + (f"; insert into raw.{table} values {filled}" if filled else "")


def _literal(value: Any) -> str:
    return f"[{', '.join(literal(v) for v in value)}]" if isinstance(value, list) else literal(value)


def _values(database: Database, receipt: Mapping[str, Any], contract: Contract) -> str:
    """The select behind `load_values`: each contract column as the load's own declaration reads it."""
    declaration = receipt.get("declaration") or {}
    landed = {name for (name,) in database.rows("select column_name from (describe raw.load_records)")}
    values = {
        name: _value(name, column, declaration) if _landed_as(name, column) in landed else "null"
        for name, column in contract.columns.items()
    }
    columns = [f"{value} as {_landed_as(name, contract.columns[name])}" for name, value in values.items()]
    at = f"cast({values[contract.day] if contract.day else 'null'} as timestamp) as _at"
    return f"select _file_seq, _line, {', '.join([at, *columns])} from raw.load_records"


def _landed_as(name: str, column: ContractColumn) -> str:
    return f"{name}_token" if column.personal else name


def _value(name: str, column: ContractColumn, declaration: Mapping[str, Any]) -> str:
    dialect = declaration.get("dialect") or {}
    declared = (declaration.get("columns") or {}).get(name) or {}
    if column.personal:
        return f"{name}_token"
    if column.type == "timestamp":
        return f"try_cast({name}_utc as timestamp)"
    said = _said(name, declared, dialect)
    if column.type == "date":
        return _day(said, declared)
    if column.type == "boolean":
        return f"case {said} when 'true' then true when 'false' then false end"
    if column.type in NUMERIC_TYPES:
        for mark, plain in ((declared.get("prefix"), ""), (dialect.get("grouping"), ""), (dialect.get("decimal"), ".")):
            said = f"replace({said}, {literal(mark)}, {literal(plain)})" if mark else said
        value = f"try_cast({said} as decimal(38, 9))"
        return f"try_cast(({value}) * 0.000001 as decimal(38, 9))" if declared.get("unit") == "micros" else value
    return said


def _said(name: str, declared: Mapping[str, Any], dialect: Mapping[str, Any]) -> str:
    words = [f"when {literal(word)} then null" for word in dialect.get("null_words") or [""]]
    words += [f"when {literal(word)} then {literal(meant)}" for word, meant in (declared.get("map") or {}).items()]
    return f"case {name} {' '.join(words)} else {name} end"


def _day(said: str, declared: Mapping[str, Any]) -> str:
    day = f"cast(try_strptime({said}, {literal(declared.get('format') or '%Y-%m-%d')}) as date)"
    return f"({day} + {int(declared['add_days'])})" if declared.get("add_days") else day


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


def _history_row(receipt: Mapping[str, Any]) -> tuple[Any, ...]:
    covers = receipt.get("covers") or {}
    return receipt["load_id"], receipt["rows"]["landed"], covers.get("max_date"), _rows_per_unit(receipt)


def _rows_per_unit(receipt: Mapping[str, Any]) -> float:
    covers = receipt.get("covers") or {}
    units = covers.get("cells" if covers.get("mode") in ("partition", "file") else "dates")
    return float(receipt["rows"]["landed"] / (_count(units) or 1))


def _folder_of(load: LoadUnderJudgement, earlier: Mapping[str, Any]) -> Path:
    """Loads of a stream lie side by side, as `load=<id>`."""
    return load.folder.parent / f"load={earlier['load_id']}"


def _newest_rows(database: Database, folder: Path, receipt: Mapping[str, Any]) -> int | None:
    """Rows of the newest date among the cells; None where they have no date, or cannot be read (any more)."""
    covers, columns = receipt.get("covers") or {}, (receipt.get("control") or {}).get("columns") or {}
    declaration = receipt.get("declaration") or {}
    date = next((name for name in covers.get("columns") or [] if (columns.get(name) or {}).get("type") == "date"), None)
    declared = (declaration.get("columns") or {}).get(date) or {}
    path = folder / PARTS["load_covers"]
    if date is None or declared.get("format") is None or not path.is_file():
        return None
    day = _day(_said(quoted(date), declared, declaration.get("dialect") or {}), declared)
    try:
        rows = database.rows(
            f"select sum(control_rows) from read_parquet({literal(str(path))}) where {day} is not null "
            f"group by {day} order by {day} desc limit 1"
        )
    except duckdb.Error:
        return None
    return int(rows[0][0]) if rows else None


def _count(value: Any) -> int | None:
    """A count that a receipt gives as number or as list."""
    return len(value) if isinstance(value, list | tuple) else value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
