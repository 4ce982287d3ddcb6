"""The only place that talks to Great Expectations: suites in, `passed`, `failed` or `error` per check out.

GX is slow to import and prints progress bars, so it is imported inside functions and kept quiet. Nothing that it
returns holds a value of the data: results are asked for as BOOLEAN_ONLY, and SQL checks only count rows.
"""

# ruff: noqa: S608  (identifiers come from our own reviewed YAML and the catalogue; values are bound or quoted)

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import duckdb

from onefunnel.quality import duckdb_dialect
from onefunnel.quality.suites import Check

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations.core import UnexpectedRowsExpectation

Outcome = Literal["passed", "failed", "error"]
Row = tuple[Any, ...]

_BIND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


@dataclass(frozen=True)
class Judged:
    """What GX said about one check; `error` says why it could not judge, without values."""

    outcome: Outcome
    error: str = ""


@dataclass(frozen=True)
class Planned:
    """A check with its SQL, ready to run over `schema.table`; `approved` when a human said that it may fail."""

    check: Check
    schema: str
    table: str
    select: str
    approved: bool = False

    @property
    def qualified(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.table}"


class CannotOpen(Exception):
    """The database cannot be opened."""


class Judge:
    """One GX context of one gate; each database that it looks at is a datasource of its own."""

    def __init__(self) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        duckdb_dialect.register()
        self._context: EphemeralDataContext = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._databases = 0

    @contextmanager
    def database(self, path: str, read_only: bool, config: Mapping[str, Any]) -> Iterator[Database]:
        """Open a DuckDB file or `:memory:` on one connection that GX and our own SQL share.

        Raises:
            CannotOpen: the file is no DuckDB database, or is open elsewhere with another configuration.
        """
        try:
            connection = duckdb.connect(path, read_only=read_only, config=dict(config))
        except duckdb.Error as error:
            raise CannotOpen(safe_text(str(error))) from error
        self._databases += 1
        name = f"database_{self._databases}"
        sources: Any = self._context.data_sources  # the stub of add_sql does not know `kwargs`
        try:
            source = sources.add_sql(name, connection_string=f"{duckdb_dialect.NAME}://", kwargs=_one(connection))
            yield Database(self._context, source, connection)
            source.get_engine().dispose()
            source.get_execution_engine().engine.dispose()
            sources.delete(name)
        finally:
            connection.close()


def _one(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Arguments of create_engine: every engine that GX makes uses this connection, and none closes it.

    GX makes two engines per datasource, and returns a connection before it fetches: only a StaticPool bears that.
    """
    from duckdb_engine import ConnectionWrapper
    from sqlalchemy.pool import StaticPool

    return {"poolclass": StaticPool, "creator": lambda: ConnectionWrapper(connection.cursor())}


class Database:
    """One open database: rows by our own SQL, verdicts by GX."""

    def __init__(self, context: EphemeralDataContext, source: Any, connection: duckdb.DuckDBPyConnection) -> None:
        self._context = context
        self._source = source
        self._connection = connection
        self._suites = 0

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run one statement and fetch everything.

        Raises:
            duckdb.Error: the statement is wrong or failed.
        """
        return self._connection.execute(sql, list(parameters) or None).fetchall()

    def judge(self, plan: Sequence[Planned]) -> dict[str, Judged]:
        """Run the checks, one GX suite per table, and give the outcome by check id.

        SQL names its tables itself, so all checks in SQL share the suite of the first table. A check that GX does not
        answer for is missing from the result; the gate compares.
        """
        judged: dict[str, Judged] = {}
        suites: dict[tuple[str, str], list[Planned]] = {}
        for planned in plan:
            home = planned if planned.check.expectation else plan[0]
            suites.setdefault((home.schema, home.table), []).append(planned)
        for (schema, table), checks in suites.items():
            try:
                judged |= self._judge_table(schema, table, checks)
            except Exception as error:
                judged |= {p.check.id: Judged("error", safe_message(error)) for p in checks}
        return judged

    def _judge_table(self, schema: str, table: str, plan: Sequence[Planned]) -> dict[str, Judged]:
        import great_expectations as gx

        self._suites += 1
        name = f"{self._source.name}.{schema}.{table}.{self._suites}"
        asset = self._source.add_table_asset(name, table_name=table, schema_name=schema)
        expectations: list[Any] = []
        refused: dict[str, Judged] = {}
        for planned in plan:
            try:
                expectations.append(_expectation(planned))
            except Exception as error:
                refused[planned.check.id] = Judged("error", safe_message(error))
        batch = asset.get_batch(asset.build_batch_request())
        result = batch.validate(gx.ExpectationSuite(name, expectations=expectations), result_format="BOOLEAN_ONLY")
        return refused | dict(_outcome(item) for item in result.results)


def _expectation(planned: Planned) -> Any:
    """The GX expectation of a check; GX's own severity is not used, ours travels as meta."""
    import great_expectations.expectations as gxe

    check = planned.check
    meta = {"id": check.id, "severity": check.severity, "owner": check.owner}
    if check.expectation is None:
        return _violations()(unexpected_rows_query=_for_gx(planned.select), meta=meta)
    name = "".join(word.capitalize() for word in check.expectation.split("_"))
    kwargs = dict(check.kwargs)
    if check.expectation == "expect_column_pair_values_a_to_be_greater_than_b":
        kwargs["ignore_row_if"] = "either_value_is_missing"
    return getattr(gxe, name)(**kwargs, meta=meta)


def _for_gx(select: str) -> str:
    """Stop at the first violation, and keep GX (`{}`) and SQLAlchemy (`:name`) from reading the SQL as a template."""
    body = _BIND.sub(r"\\:\1", select.replace("{", "{{").replace("}", "}}"))
    return f"select 1 as violation from (\n{body}\n) as violations limit 1 /* over {{batch}} */"


@cache
def _violations() -> type[UnexpectedRowsExpectation]:
    """UnexpectedRowsExpectation that only counts: the rows themselves are never fetched, and the SQL runs once."""
    from great_expectations.expectations.core import UnexpectedRowsExpectation

    class ExpectNoViolations(UnexpectedRowsExpectation):
        """Rows returned by the query are violations."""

        metric_dependencies = ("unexpected_rows_query.row_count",)

        def _validate(
            self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
        ) -> dict[str, Any]:
            return {"success": metrics["unexpected_rows_query.row_count"] == 0}

    return ExpectNoViolations


def _outcome(item: Any) -> tuple[str, Judged]:
    """The verdict of one GX result; an exception is an error even where `success` is true."""
    check_id = str(item.expectation_config.meta["id"])
    messages = list(_messages(item.exception_info or {}))
    if messages:
        return check_id, Judged("error", safe_text(messages[0]))
    return check_id, Judged("passed" if item.success is True else "failed")


def _messages(info: Mapping[str, Any]) -> Iterable[str]:
    """Exception messages of a result: flat, or one level down per metric."""
    for part in [info, *(value for value in info.values() if isinstance(value, Mapping))]:
        if part.get("raised_exception") is True:
            yield str(part.get("exception_message") or "exception without a message")


def safe_message(error: BaseException) -> str:
    """Kind and text of an exception as far as they cannot hold a value of the data."""
    return f"{type(error).__name__}: {safe_text(str(error))}"


def safe_text(message: str) -> str:
    """Catalogue, parser and binder errors speak of names; all others may quote a value and are cut to their kind."""
    first = message.strip().splitlines()[0] if message.strip() else ""
    found = re.search(r"\b(Catalog|Parser|Binder) Error: .*", first)
    if found:
        return found[0][:300]
    kind = re.search(r"\b([A-Z][A-Za-z ]+ Error)\b", first)
    if kind:
        return kind[1]
    named = re.search(r'column "?[A-Za-z_]\w*"? in BatchData does not exist|column "[a-z_]\w*"', first)
    return named[0] if named else "the check could not be run; its SQL shows why"
