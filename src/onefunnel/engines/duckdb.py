"""DuckDB: the three ways in which a database file is opened here."""

from __future__ import annotations

from pathlib import Path

import duckdb

# What DuckDB 1.2 and later can read; readers are not all on the version that wrote the file.
STORAGE_VERSION = "v1.2.0"
# read_only alone still lets SQL read and write files; locked, nothing but the opened file can be touched.
READER_CONFIG = {"enable_external_access": "false", "lock_configuration": "true"}


def scratch(work: Path) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills below `work`, never downloads an extension, and thinks in UTC."""
    db = duckdb.connect(config={"temp_directory": str(work / "spill"), "autoinstall_known_extensions": "false"})
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
