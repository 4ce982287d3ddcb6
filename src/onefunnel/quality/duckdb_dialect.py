"""The SQLAlchemy dialect `duckdb+gx`: it lets Great Expectations push its metrics down into DuckDB.

Three things keep GX 1.24 from working over duckdb-engine 0.17 with SQLAlchemy 2.1:

* GX leaves the connection before it fetches; SQLAlchemy then rolls back, and DuckDB drops pending results on rollback.
  So transaction control is switched off here: gates only read.
* SQLAlchemy's PostgreSQL reflection asks for catalogue tables that DuckDB does not have. Columns are read from
  `duckdb_columns()`.
* Cached statements of one connection are not valid on the next one.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from duckdb_engine import Dialect
from sqlalchemy.dialects import registry
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedPrimaryKeyConstraint

NAME = "duckdb+gx"

_COLUMNS = """
select column_name, data_type, is_nullable
from duckdb_columns()
where table_name = $1 and schema_name = coalesce($2, 'main') and database_name = current_database()
order by column_index
"""


class GxDuckDBDialect(Dialect):
    """duckdb-engine's dialect without transactions, statement cache and PostgreSQL reflection."""

    supports_statement_cache = False

    def do_begin(self, connection: Any) -> None:
        """Open no transaction: every statement commits by itself."""

    def do_commit(self, connection: Any) -> None:
        """Nothing to commit."""

    def do_rollback(self, connection: Any) -> None:
        """Roll nothing back: a rollback would throw away results that GX has not fetched yet."""

    def get_columns(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[ReflectedColumn]:
        """Name, type and nullability of a table's or view's columns, in their order."""
        rows = connection.exec_driver_sql(_COLUMNS, (table_name, schema)).fetchall()
        return [
            {"name": name, "type": _type_of(data_type), "nullable": bool(nullable), "default": None}
            for name, data_type, nullable in rows
        ]

    def get_pk_constraint(
        self, connection: Any, table_name: str, schema: str | None = None, **kw: Any
    ) -> ReflectedPrimaryKeyConstraint:
        """None: no published table has one, and asking as PostgreSQL would takes longer than judging."""
        return {"constrained_columns": [], "name": None}


_TYPES: dict[str, type[sa.types.TypeEngine[Any]]] = {
    "VARCHAR": sa.types.String,
    "BOOLEAN": sa.types.Boolean,
    "DATE": sa.types.Date,
    "TIMESTAMP": sa.types.DateTime,
    "BIGINT": sa.types.BigInteger,
    "INTEGER": sa.types.Integer,
    "DOUBLE": sa.types.Float,
    "DECIMAL": sa.types.Numeric,
}


def _type_of(data_type: str) -> sa.types.TypeEngine[Any]:
    """SQLAlchemy's type for a DuckDB type; types that no expectation looks at are untyped."""
    return _TYPES.get(data_type.split("(")[0], sa.types.NullType)()


def register() -> None:
    """Make `duckdb+gx:///…` known to SQLAlchemy; calling it again changes nothing."""
    registry.register("duckdb.gx", __name__, GxDuckDBDialect.__name__)
