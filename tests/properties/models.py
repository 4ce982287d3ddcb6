"""The SQL that dbt compiled, over rows of a test's own: what a model makes of any input, without a build per example."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

Rows = list[dict[str, Any]]


class Models:
    """An empty warehouse of the project in which chosen models are worked out anew whenever they are read."""

    def __init__(self, built: Path, folder: Path, *, live: Iterable[str], given: Iterable[str]) -> None:
        """`live`: models to work out, each after those that it reads. `given`: relations that tests fill."""
        compiled = built.glob("target/compiled/onefunnel/models/**/*.sql")
        # What tests a model is compiled into a folder that is called like the file that declares it.
        self._sql = {p.stem: p.read_text() for p in compiled if not any(".yml" in part for part in p.parts)}
        shutil.copyfile(built / "warehouse.duckdb", folder / "warehouse.duckdb")
        self.db = duckdb.connect(str(folder / "warehouse.duckdb"))
        self.db.execute("set TimeZone = 'UTC'")
        for name in given:
            self.db.execute(f"create table filled as from {self._place(name)} limit 0")
            self._drop(name)
            self.db.execute(f"create table {self._place(name)} as from filled")
            self.db.execute("drop table filled")
        for name in live:
            self._drop(name)
            self.db.execute(f"create view {self._place(name)} as {self._sql[name]}")

    @staticmethod
    def _place(name: str) -> str:
        return f"{'staging' if name.startswith('stg_') else 'intermediate'}.{name}"

    def _drop(self, name: str) -> None:
        [kind] = self.db.execute(
            "select table_type from information_schema.tables where table_name = ?", [name]
        ).fetchone() or [""]
        self.db.execute(f"drop {'view' if kind == 'VIEW' else 'table'} {self._place(name)}")

    @contextmanager
    def over(self, **tables: Rows) -> Iterator[None]:
        """Put rows into relations, for as long as the block lasts; columns that a row does not name are null."""
        self.db.execute("begin")
        try:
            for name, rows in tables.items():
                for row in rows:
                    self.db.execute(
                        f"insert into {self._place(name)} ({', '.join(row)}) values ({', '.join('?' * len(row))})",
                        list(row.values()),
                    )
            yield
        finally:
            self.db.execute("rollback")

    def read(self, name: str, columns: str = "*") -> Rows:
        """All rows of a relation."""
        found = self.db.execute(f"select {columns} from {self._place(name)}")
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
