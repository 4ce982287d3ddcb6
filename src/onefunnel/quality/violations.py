"""The named expectations that our suites may use, and for each the SQL whose rows are its violations.

Great Expectations decides pass or fail. When a check fails, the SQL of this module counts the violating rows, names a
few of them by surrogate key, and is what an engineer runs to see them.
"""

# ruff: noqa: S608  (identifiers come from our own reviewed YAML and the catalogue; values are bound or quoted)

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Kwargs = Mapping[str, Any]


@dataclass(frozen=True)
class Named:
    """One supported expectation.

    Args:
        required: arguments that must be given.
        optional: arguments that may be given.
        sql: (qualified table, arguments) to the select whose rows are the violations.
        values: True when the expectation looks at values of columns and says nothing about NULL. Such a check passes
            on a column without values, so the gate counts them.
    """

    required: frozenset[str]
    optional: frozenset[str]
    sql: Callable[[str, Kwargs], str]
    values: bool = False

    def columns(self, kwargs: Kwargs) -> list[str]:
        """Columns whose values the expectation looks at."""
        single = [kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs]
        return single + list(kwargs.get("column_list", []))


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A YAML scalar as an SQL literal."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def _not_null(table: str, kwargs: Kwargs) -> str:
    return f"select * from {table} where {quoted(kwargs['column'])} is null"


def _unique(table: str, kwargs: Kwargs) -> str:
    columns = ", ".join(quoted(c) for c in kwargs.get("column_list", [kwargs.get("column")]))
    return f"select * from {table} qualify count(*) over (partition by {columns}) > 1"


def _unique_value(table: str, kwargs: Kwargs) -> str:
    column = quoted(kwargs["column"])
    return f"select * from {table} where {column} is not null qualify count(*) over (partition by {column}) > 1"


def _in_set(table: str, kwargs: Kwargs) -> str:
    values = ", ".join(literal(v) for v in kwargs["value_set"])
    return f"select * from {table} where {quoted(kwargs['column'])} not in ({values})"


def _outside(value: str, kwargs: Kwargs) -> str:
    below = "<=" if kwargs.get("strict_min") else "<"
    above = ">=" if kwargs.get("strict_max") else ">"
    parts = []
    if kwargs.get("min_value") is not None:
        parts.append(f"{value} {below} {literal(kwargs['min_value'])}")
    if kwargs.get("max_value") is not None:
        parts.append(f"{value} {above} {literal(kwargs['max_value'])}")
    return " or ".join(parts) or "false"


def _between(table: str, kwargs: Kwargs) -> str:
    return f"select * from {table} where {_outside(quoted(kwargs['column']), kwargs)}"


def _row_count(table: str, kwargs: Kwargs) -> str:
    return f"select count(*) as row_count from {table} having {_outside('count(*)', kwargs)}"


def _row_count_equal(table: str, kwargs: Kwargs) -> str:
    return f"select count(*) as row_count from {table} having count(*) <> {literal(kwargs['value'])}"


def _greater(table: str, kwargs: Kwargs) -> str:
    operator = "<" if kwargs.get("or_equal") else "<="
    return f"select * from {table} where {quoted(kwargs['column_A'])} {operator} {quoted(kwargs['column_B'])}"


def _columns_match(table: str, kwargs: Kwargs) -> str:
    schema, _, name = table.partition(".")
    expected = ", ".join(f"({literal(c)})" for c in kwargs["column_set"])
    catalogue = (
        f"schema_name = {literal(schema)} and table_name = {literal(name)} and database_name = current_database()"
    )
    found = f"select column_name from duckdb_columns() where {catalogue}"
    missing = f"select column_name from (values {expected}) as expected (column_name) except ({found})"
    if kwargs.get("exact_match") is False:
        return missing
    extra = f"({found}) except select column_name from (values {expected}) as expected (column_name)"
    return f"select * from ({missing}) union all select * from ({extra})"


def _named(required: str, optional: str, sql: Callable[[str, Kwargs], str], values: bool = False) -> Named:
    return Named(frozenset(required.split()), frozenset(optional.split()), sql, values)


NAMED: dict[str, Named] = {
    "expect_column_values_to_not_be_null": _named("column", "", _not_null),
    "expect_column_values_to_be_unique": _named("column", "", _unique_value, values=True),
    "expect_compound_columns_to_be_unique": _named("column_list", "", _unique),
    "expect_column_values_to_be_in_set": _named("column value_set", "", _in_set, values=True),
    "expect_column_values_to_be_between": _named(
        "column", "min_value max_value strict_min strict_max", _between, values=True
    ),
    "expect_column_pair_values_a_to_be_greater_than_b": _named("column_A column_B", "or_equal", _greater, values=True),
    "expect_table_row_count_to_be_between": _named("", "min_value max_value", _row_count),
    "expect_table_row_count_to_equal": _named("value", "", _row_count_equal),
    "expect_table_columns_to_match_set": _named("column_set", "exact_match", _columns_match),
}
