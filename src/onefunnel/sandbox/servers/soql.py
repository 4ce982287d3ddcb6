"""The part of SOQL that a connector needs, over rows in memory ("SOQL SELECT Syntax", SOQL and SOSL Reference).

    SELECT fields, COUNT(), COUNT(f), COUNT_DISTINCT(f), SUM(f), MIN(f), MAX(f) FROM object
    [WHERE …] [GROUP BY fields] [ORDER BY fields [ASC | DESC] [NULLS FIRST | LAST]] [LIMIT n] [OFFSET n]

WHERE knows = != <> < <= > >= IN, NOT IN, AND, OR, NOT and brackets. Text is compared without regard to case, ids with
it. A time is written without quotes; with them it is an error, as it is there. What is missing is an error too: parent
fields, subqueries, LIKE, date literals such as TODAY, HAVING.

Without ORDER BY the order is not defined; here it is a fixed disorder, so that nobody relies on it.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from onefunnel.sandbox.business.log import MICRO
from onefunnel.sandbox.salesforce_ids import is_id
from onefunnel.sandbox.servers.salesforce_objects import Cell, Field, Row, SObject

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
    | (?P<sign><=|>=|!=|<>|[=<>(),])
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FUNCTIONS = ("COUNT", "COUNT_DISTINCT", "SUM", "MIN", "MAX")
_KEYWORDS = ("FROM", "WHERE", "GROUP", "ORDER", "LIMIT", "OFFSET", "AND", "OR")
_NUMERIC = ("currency", "percent", "double", "int")
_MOST_SKIPPED = 2_000


class SoqlError(Exception):
    """A query that the server refuses, with the vendor's code for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Token(NamedTuple):
    """A token and where it begins."""

    kind: str
    text: str
    at: int


class Selected(NamedTuple):
    """An item of the SELECT list: a field, or a function over one (`COUNT()` over none)."""

    field: Field | None
    function: str
    alias: str


class Order(NamedTuple):
    """An item of ORDER BY."""

    field: Field
    descending: bool
    nulls_last: bool


Predicate = Callable[[Row], bool]


@dataclass
class Query:
    """A parsed query."""

    sobject: SObject
    selected: list[Selected]
    where: Predicate = field(default=lambda row: True)
    group_by: list[Field] = field(default_factory=list)
    order_by: list[Order] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0

    @property
    def aggregates(self) -> bool:
        """Whether it answers with AggregateResult rows."""
        return bool(self.group_by) or any(s.function for s in self.selected)

    @property
    def counts_only(self) -> bool:
        """Whether it is `SELECT COUNT()`: the answer is totalSize."""
        return [s.function for s in self.selected] == ["COUNT"] and self.selected[0].field is None

    def run(self, rows: Sequence[Row]) -> list[Row]:
        """The answer's rows: for a plain query whole rows, for an aggregate one the selected columns by alias."""
        found = [row for row in rows if self.where(row)]
        if self.aggregates and not self.counts_only:
            found = self._grouped(found)
        else:
            found.sort(key=lambda row: zlib.crc32(str(row["Id"]).encode()))
        for order in reversed(self.order_by):
            found = _sorted(found, order)
        return found[self.offset :][: self.limit]

    def _grouped(self, rows: list[Row]) -> list[Row]:
        groups: dict[tuple[Cell, ...], list[Row]] = {} if self.group_by else {(): []}
        for row in rows:
            groups.setdefault(tuple(row[f.name] for f in self.group_by), []).append(row)
        return [
            {s.alias: _aggregate(s, group) if s.function else group[0][_of(s).name] for s in self.selected}
            for group in groups.values()
        ]


def _of(selected: Selected) -> Field:
    assert selected.field is not None  # noqa: S101
    return selected.field


def _aggregate(selected: Selected, rows: list[Row]) -> Cell:
    values = [row[_of(selected).name] for row in rows if row[_of(selected).name] is not None]
    if selected.function == "COUNT":
        return len(values)
    if selected.function == "COUNT_DISTINCT":
        return len(set(values))
    if not values:
        return None
    if selected.function == "SUM":
        return sum(v for v in values if isinstance(v, int))
    chosen: Cell = (min if selected.function == "MIN" else max)(values)  # type: ignore[type-var]
    return chosen


def _sorted(rows: list[Row], order: Order) -> list[Row]:
    name = order.field.name
    empty = [row for row in rows if row.get(name) is None]
    full = [row for row in rows if row.get(name) is not None]
    full.sort(key=lambda row: _folded(order.field, row[name]), reverse=order.descending)  # type: ignore[arg-type,return-value]
    return [*full, *empty] if order.nulls_last else [*empty, *full]


def _folded(of: Field, value: Any) -> Any:
    """A value as SOQL compares it."""
    if of.kind in ("id", "reference"):
        return None if value is None else str(value)[:15]
    return value.casefold() if isinstance(value, str) else value


def parse(text: str, objects: Mapping[str, SObject], hidden: frozenset[str] = frozenset()) -> Query:
    """Parse a query.

    Args:
        hidden: objects, and fields as `Object.Field`, that the user may not see.

    Raises:
        SoqlError: it is not understood, or names what is not there.
    """
    return _Parser(text, objects, hidden).query()


class _Parser:
    def __init__(self, text: str, objects: Mapping[str, SObject], hidden: frozenset[str]) -> None:
        self.text, self.objects, self.hidden = text, objects, hidden
        self.tokens = self._split()
        self.place = 0

    def _split(self) -> list[Token]:
        tokens, at = [], 0
        while self.text[at:].strip():
            match = _TOKEN.match(self.text, at)
            if match is None or match.lastgroup is None:
                rest = self.text[at:].lstrip()
                raise self._error("MALFORMED_QUERY", f"unexpected token: '{rest[:1]}'", len(self.text) - len(rest))
            tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            at = match.end()
        return tokens

    def _error(self, code: str, message: str, at: int) -> SoqlError:
        """An error with the place in the query, as the REST API words it."""
        begin = max(0, at - 30)
        shown = self.text[begin : at + 30].replace("\n", " ")
        row, column = self.text.count("\n", 0, at) + 1, at - (self.text.rfind("\n", 0, at) + 1) + 1
        pointer = " " * (at - begin) + "^"
        return SoqlError(code, f"\n{shown}\n{pointer}\nERROR at Row:{row}:Column:{column}\n{message}")

    def _unexpected(self) -> SoqlError:
        if self.place >= len(self.tokens):
            return SoqlError("MALFORMED_QUERY", "unexpected token: '<EOF>'")
        token = self.tokens[self.place]
        return self._error("MALFORMED_QUERY", f"unexpected token: '{token.text}'", token.at)

    def _peek(self, *words: str) -> bool:
        return self.place < len(self.tokens) and self.tokens[self.place].text.upper() in words

    def _take(self, *words: str) -> str | None:
        if not self._peek(*words):
            return None
        self.place += 1
        return self.tokens[self.place - 1].text.upper()

    def _need(self, *words: str) -> str:
        taken = self._take(*words)
        if taken is None:
            raise self._unexpected()
        return taken

    def _next(self, *kinds: str) -> Token:
        if self.place >= len(self.tokens) or self.tokens[self.place].kind not in kinds:
            raise self._unexpected()
        self.place += 1
        return self.tokens[self.place - 1]

    def query(self) -> Query:
        self._need("SELECT")
        items = self._items()
        self._need("FROM")
        self.sobject = self._object(self._next("word"))
        query = Query(self.sobject, self._selected(items))
        if self._take("WHERE"):
            query.where = self._or()
        if self._take("GROUP"):
            self._need("BY")
            query.group_by = [self._field(token) for token in self._list()]
        if self._take("ORDER"):
            self._need("BY")
            query.order_by = [self._order()]
            while self._take(","):
                query.order_by.append(self._order())
        if self._take("LIMIT"):
            query.limit = int(self._next("number").text)
        if self._take("OFFSET"):
            query.offset = int(self._next("number").text)
        if self.place < len(self.tokens):
            raise self._unexpected()
        self._check(query)
        return query

    def _items(self) -> list[tuple[Token, Token | None, Token | None]]:
        """(field or function, the function's field, alias); fields are looked up when the object is known."""
        items = []
        while True:
            name, inner, alias = self._next("word"), None, None
            called = self._take("(")
            if called:
                inner = None if self._peek(")") else self._next("word")
                self._need(")")
                if name.text.upper() not in _FUNCTIONS or (inner is None and name.text.upper() != "COUNT"):
                    raise self._error("MALFORMED_QUERY", f"unexpected token: '{name.text}'", name.at)
                if self.place < len(self.tokens) and not self._peek(",", *_KEYWORDS):
                    alias = self._next("word")
                name = name._replace(kind="function")
            items.append((name, inner, alias))
            if not self._take(","):
                return items

    def _selected(self, items: list[tuple[Token, Token | None, Token | None]]) -> list[Selected]:
        found, unnamed = [], 0
        for name, inner, alias in items:
            if name.kind == "function":
                of = None if inner is None else self._field(inner)
                if name.text.upper() == "SUM" and (of is None or of.kind not in _NUMERIC):
                    raise self._error("MALFORMED_QUERY", f"field {name.text} does not support aggregate SUM", name.at)
                called = alias.text if alias else f"expr{unnamed}"
                unnamed += alias is None
                found.append(Selected(of, name.text.upper(), called))
            else:
                of = self._field(name)
                found.append(Selected(of, "", of.name))
        return found

    def _check(self, query: Query) -> None:
        if query.offset > _MOST_SKIPPED:
            raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        if query.aggregates and not query.counts_only:
            grouped = {f.name for f in query.group_by}
            for selected in query.selected:
                if selected.function and selected.field is None:
                    raise SoqlError("MALFORMED_QUERY", "unexpected token: 'COUNT'")
                if not selected.function and _of(selected).name not in grouped:
                    name = _of(selected).name
                    raise SoqlError("MALFORMED_QUERY", f"Field must be grouped or aggregated: {name}")

    def _object(self, token: Token) -> SObject:
        by_name = {name.lower(): name for name in self.objects}
        name = by_name.get(token.text.lower(), "")
        if not name or name in self.hidden:
            raise self._error(
                "INVALID_TYPE",
                f"sObject type '{token.text}' is not supported. If you are attempting to use a custom object, be sure"
                " to append the '__c' after the entity name. Please reference your WSDL or the describe call for the"
                " appropriate names.",
                token.at,
            )
        return self.objects[name]

    def _field(self, token: Token) -> Field:
        for name, found in self.sobject.all_fields.items():
            if name.lower() == token.text.lower() and f"{self.sobject.name}.{name}" not in self.hidden:
                return found
        raise self._error(
            "INVALID_FIELD",
            f"No such column '{token.text}' on entity '{self.sobject.name}'. If you are attempting to use a custom"
            " field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the"
            " describe call for the appropriate names.",
            token.at,
        )

    def _list(self) -> list[Token]:
        tokens = [self._next("word")]
        while self._take(","):
            tokens.append(self._next("word"))
        return tokens

    def _order(self) -> Order:
        of = self._field(self._next("word"))
        descending = self._take("ASC", "DESC") == "DESC"
        nulls_last = False
        if self._take("NULLS"):
            nulls_last = self._need("FIRST", "LAST") == "LAST"
        return Order(of, descending, nulls_last)

    def _or(self) -> Predicate:
        parts = [self._and()]
        while self._take("OR"):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def _and(self) -> Predicate:
        parts = [self._not()]
        while self._take("AND"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _not(self) -> Predicate:
        if self._take("NOT"):
            inner = self._not()
            return lambda row: not inner(row)
        if self._take("("):
            inside = self._or()
            self._need(")")
            return inside
        return self._comparison()

    def _comparison(self) -> Predicate:
        of = self._field(self._next("word"))
        if self._peek("IN", "NOT"):
            negated = self._take("NOT") is not None
            self._need("IN")
            self._need("(")
            values = [self._value(of)]
            while self._take(","):
                values.append(self._value(of))
            self._need(")")
            return lambda row: (_folded(of, row[of.name]) in values) is not negated
        sign = self._need(*_COMPARE)
        wanted = self._value(of)
        compare = _COMPARE[sign]

        def holds(row: Row) -> bool:
            value = _folded(of, row[of.name])
            if value is None or wanted is None:
                # Nothing is smaller or greater than no value.
                return compare(value, wanted) if sign in ("=", "!=", "<>") else False
            return compare(value, wanted)

        return holds

    def _value(self, of: Field) -> Any:
        token = self._next("text", "datetime", "date", "number", "word")
        if token.kind == "word" and token.text.lower() == "null":
            return None
        if of.kind in ("datetime", "date", "boolean", *_NUMERIC):
            kind = {"currency": "number", "percent": "number", "double": "number", "int": "number"}.get(
                of.kind, of.kind
            )
            literal = "boolean" if token.text.lower() in ("true", "false") else token.kind
            if literal != kind:
                quoted = "should not be enclosed in quotes" if token.kind == "text" else "is of another type"
                name = {"datetime": "dateTime", "number": "double"}.get(kind, kind)
                message = f"value of filter criterion for field '{of.name}' must be of type {name} and {quoted}"
                raise self._error("INVALID_FIELD", message, token.at)
            return _literal(kind, token.text, of)
        if token.kind != "text":
            message = f"value of filter criterion for field '{of.name}' must be of type string and should be enclosed"
            raise self._error("INVALID_FIELD", f"{message} in quotes", token.at)
        text = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), token.text[1:-1], flags=re.DOTALL)
        if of.kind in ("id", "reference"):
            if text and not is_id(text):
                raise self._error("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}", token.at)
            return text[:15]
        return text.casefold()


def _literal(kind: str, text: str, of: Field) -> Any:
    if kind == "boolean":
        return text.lower() == "true"
    if kind == "number":
        return Decimal(text) * (1 if of.kind == "int" else MICRO)
    try:
        if kind == "date":
            return dt.date.fromisoformat(text)
        return Decimal(str(dt.datetime.fromisoformat(text).timestamp()))
    except ValueError as error:
        raise SoqlError("MALFORMED_QUERY", str(error)) from None
