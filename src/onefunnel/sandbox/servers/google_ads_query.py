"""The subset of the Google Ads Query Language that the sandbox's Google Ads server understands, and its refusals.

Sources, pages of the Google Ads API documentation: *Google Ads Query Language*, *Query grammar*, *QueryError*,
*Segmentation* (which fields must be selected, which must be filtered) and the reference of each resource's fields.
"""

from __future__ import annotations

import re
from typing import NamedTuple

STRING, INT64, DOUBLE, BOOL = "string", "int64", "double", "bool"
FIELDS: dict[str, str] = {
    "customer.resource_name": STRING,
    "customer.id": INT64,
    "customer.descriptive_name": STRING,
    "customer.currency_code": STRING,
    "customer.time_zone": STRING,
    "customer.manager": BOOL,
    "customer.status": STRING,
    "customer_client.resource_name": STRING,
    "customer_client.client_customer": STRING,
    "customer_client.id": INT64,
    "customer_client.level": INT64,
    "customer_client.manager": BOOL,
    "customer_client.hidden": BOOL,
    "customer_client.descriptive_name": STRING,
    "customer_client.currency_code": STRING,
    "customer_client.time_zone": STRING,
    "customer_client.status": STRING,
    "campaign.resource_name": STRING,
    "campaign.id": INT64,
    "campaign.name": STRING,
    "campaign.status": STRING,
    "campaign.advertising_channel_type": STRING,
    "ad_group.resource_name": STRING,
    "ad_group.id": INT64,
    "ad_group.name": STRING,
    "ad_group.status": STRING,
    "ad_group.campaign": STRING,
    "ad_group_ad.resource_name": STRING,
    "ad_group_ad.status": STRING,
    "ad_group_ad.ad_group": STRING,
    "ad_group_ad.ad.id": INT64,
    "conversion_action.resource_name": STRING,
    "conversion_action.id": INT64,
    "conversion_action.name": STRING,
    "conversion_action.status": STRING,
    "conversion_action.category": STRING,
    "conversion_action.primary_for_goal": BOOL,
    "conversion_action.click_through_lookback_window_days": INT64,
    "conversion_action.view_through_lookback_window_days": INT64,
    "segments.date": STRING,
    "segments.conversion_action": STRING,
    "segments.conversion_action_name": STRING,
    "segments.conversion_action_category": STRING,
    "metrics.cost_micros": INT64,
    "metrics.impressions": INT64,
    "metrics.clicks": INT64,
    "metrics.conversions": DOUBLE,
    "metrics.conversions_value": DOUBLE,
    "metrics.all_conversions": DOUBLE,
    "metrics.all_conversions_value": DOUBLE,
}
REPORTED = {  # resource -> the resources whose attributes may be selected with it
    "customer": ("customer",),
    "campaign": ("campaign", "customer"),
    "ad_group": ("ad_group", "campaign", "customer"),
    "ad_group_ad": ("ad_group_ad", "ad_group", "campaign", "customer"),
}
LISTED = {"customer_client": ("customer_client", "customer"), "conversion_action": ("conversion_action", "customer")}
_NOT_BY_ACTION = frozenset({"metrics.cost_micros", "metrics.impressions", "metrics.clicks"})


class Refused(Exception):
    """An answer that is a `google.rpc.Status` with a GoogleAdsFailure in its details."""

    def __init__(self, http: int, status: str, kind: str, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.http, self.status, self.code, self.field = http, status, {kind: code}, field


class Condition(NamedTuple):
    """One condition of WHERE; `values` as text, without quotes."""

    field: str
    operator: str
    values: tuple[str, ...]


class Query(NamedTuple):
    """A query of the subset of GAQL that is understood here."""

    fields: tuple[str, ...]
    resource: str
    conditions: tuple[Condition, ...]
    order: tuple[tuple[str, bool], ...]
    limit: int | None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The selected metrics."""
        return tuple(f for f in self.fields if f.startswith("metrics."))

    @property
    def by_day(self) -> bool:
        """Whether there is a row per day."""
        return "segments.date" in self.fields

    @property
    def by_action(self) -> bool:
        """Whether there is a row per conversion action."""
        return any(f.startswith("segments.conversion_action") for f in self.fields)


def parse(text: str) -> Query:
    """Read a GAQL query: SELECT, FROM, WHERE with AND, ORDER BY, LIMIT.

    Raises:
        Refused: INVALID_ARGUMENT with a QueryError.
    """
    words = _Words(text)
    if not words.take("SELECT"):
        raise query_error("EXPECTED_SELECT", "Error in query: expected SELECT.")
    fields = [words.next()]
    while words.take(","):
        fields.append(words.next())
    if not words.take("FROM"):
        raise query_error("EXPECTED_FROM", "Error in query: expected FROM.")
    resource = words.next()
    conditions: list[Condition] = []
    if words.take("WHERE"):
        conditions.append(_condition(words))
        while words.take("AND"):
            conditions.append(_condition(words))
    order: list[tuple[str, bool]] = []
    if words.take("ORDER"):
        if not words.take("BY"):
            raise query_error("EXPECTED_BY", "Error in query: expected BY after ORDER.")
        while True:
            field = words.next()
            descending = words.take("DESC")
            words.take("ASC")
            order.append((field, descending))
            if not words.take(","):
                break
    limit = None
    if words.take("LIMIT"):
        word = words.next()
        if not word.isdigit() or int(word) < 1:
            raise query_error("BAD_LIMIT_VALUE", f"Error in query: invalid limit value {word}.")
        limit = int(word)
    if words.peek():
        raise query_error("UNEXPECTED_INPUT", f"Error in query: unexpected input {words.peek()}.")
    return Query(tuple(dict.fromkeys(fields)), resource, tuple(conditions), tuple(order), limit)


class _Words:
    """The words of a query from left to right. Keywords are read in any case, strings keep their quotes."""

    _PATTERN = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|<=|>=|!=|[=<>(),]|[^\s=<>!(),'"]+|.""")

    def __init__(self, text: str) -> None:
        self._words = [word for word in self._PATTERN.findall(text.replace("\n", " ")) if word.strip()]
        self._at = 0

    def peek(self) -> str:
        return self._words[self._at] if self._at < len(self._words) else ""

    def next(self) -> str:
        word = self.peek()
        if not word:
            raise query_error("UNEXPECTED_END_OF_QUERY", "Error in query: unexpected end of query.")
        self._at += 1
        return word

    def take(self, keyword: str) -> bool:
        found = self.peek().upper() == keyword
        self._at += found
        return found


def _condition(words: _Words) -> Condition:
    field = words.next()
    operator = words.next().upper()
    if operator == "NOT":
        operator = f"NOT {words.next().upper()}"
    if operator == "BETWEEN":
        first = words.next()
        if not words.take("AND"):
            raise query_error("EXPECTED_AND", "Error in query: expected AND with BETWEEN.", field)
        values = [first, words.next()]
    elif operator in ("IN", "NOT IN"):
        if not words.take("("):
            raise query_error("EXPECTED_LIST", f"Error in query: {operator} requires a list.", field)
        values = [words.next()]
        while words.take(","):
            values.append(words.next())
        if not words.take(")"):
            raise query_error("UNEXPECTED_INPUT", "Error in query: expected ) after a list.", field)
    elif operator in ("=", "!=", "<", "<=", ">", ">=", "DURING"):
        values = [words.next()]
    else:
        raise query_error("BAD_OPERATOR", f"Error in query: invalid operator {operator}.", field)
    return Condition(field, operator, tuple(_unquoted(value) for value in values))


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] in "'\"" and len(value) > 1 else value


def validate(query: Query, *, is_manager: bool) -> None:
    """Hold a query against the rules of GAQL.

    Raises:
        Refused: INVALID_ARGUMENT with a QueryError.
    """
    allowed = (REPORTED | LISTED).get(query.resource)
    if allowed is None:
        raise query_error(
            "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE", f"Error in query: invalid resource type {query.resource}."
        )
    for field in (*query.fields, *(c.field for c in query.conditions), *(f for f, _ in query.order)):
        owner = field.partition(".")[0]
        if field not in FIELDS:
            raise query_error("UNRECOGNIZED_FIELD", f"Unrecognized field in the query: '{field}'.", field)
        if owner not in allowed and (owner not in ("segments", "metrics") or query.resource in LISTED):
            message = f"{query.resource} cannot be combined with fields of {owner}."
            raise query_error("PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE", message, field)
    if is_manager and (query.metrics or query.resource in ("campaign", "ad_group", "ad_group_ad")):
        message = "Metrics cannot be requested for a manager account. Issue separate requests for each client account."
        raise query_error("REQUESTED_METRICS_FOR_MANAGER", message)
    prohibited = _NOT_BY_ACTION & set(query.metrics)
    if query.by_action and prohibited:
        message = f"Cannot select or filter on {sorted(prohibited)} with a conversion action segment."
        raise query_error("PROHIBITED_SEGMENT_WITH_METRIC_IN_SELECT_OR_WHERE_CLAUSE", message)
    segments = (c.field for c in query.conditions if c.field.startswith("segments.") and c.field != "segments.date")
    for field in (*segments, *(field for field, _ in query.order)):
        if field not in query.fields:
            message = f"The following field must be present in SELECT clause: '{field}'."
            raise query_error("EXPECTED_REFERENCED_FIELD_IN_SELECT_CLAUSE", message, field)
    if query.by_day:
        operators = {c.operator for c in query.conditions if c.field == "segments.date"}
        if not (operators & {"=", "BETWEEN", "DURING"} or (operators & {">", ">="} and operators & {"<", "<="})):
            message = "The query requires filters on date with a finite range: segments.date BETWEEN ... AND ..."
            raise query_error("EXPECTED_FILTERS_ON_DATE_RANGE", message, "segments.date")


def query_error(code: str, message: str, field: str = "query") -> Refused:
    """A refusal of a query, to be raised."""
    return Refused(400, "INVALID_ARGUMENT", "queryError", code, message, field)
