"""DuckDB: the three ways in which a database file is opened here."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

# What DuckDB 1.2 and later can read; readers are not all on the version that wrote the file.
STORAGE_VERSION = "v1.2.0"
# read_only alone still lets SQL read and write files; locked, nothing but the opened file can be touched.
READER_CONFIG = {"enable_external_access": "false", "lock_configuration": "true"}

# For what has many records: beyond it DuckDB spills. Each thread holds buffers of its own, so there are few.
BULK_MEMORY, BULK_THREADS = "144MiB", 4
COUNTING_MEMORY = "64MiB"  # for a count beside everything else that a step still holds


def scratch(work: Path, memory: str | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills below `work`, never downloads an extension, and thinks in UTC.

    Args:
        memory: how much it may hold, `BULK_MEMORY` for example; most of the machine's where it is None.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": str(work / "spill"),
        "autoinstall_known_extensions": "false",
    }
    if memory:
        config |= {"memory_limit": memory, "threads": str(min(BULK_THREADS, os.cpu_count() or 1))}
    db = duckdb.connect(config=config)
    db.execute("set TimeZone = 'UTC'")
    return db


def reader(database: Path) -> duckdb.DuckDBPyConnection:
    """A published or sealed file as BI tools should open it: read-only and locked."""
    return duckdb.connect(str(database), read_only=True, config=dict(READER_CONFIG))


def literal(text: str | Path) -> str:
    """A string as an SQL literal (only for places where DuckDB takes no parameter)."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
