"""The company's HubSpot portal: CRM objects, search, associations, owners, properties and pipelines.

Shapes are those of HubSpot's API reference: CRM objects v3 (list, read, batch read), "Search the CRM", associations v4,
owners v3, deal splits v3, "API usage guidelines" (limits and their headers), and of the error bodies that its own clients report.

Beside `control`:

| request | what it does |
|---|---|
| `GET /_sandbox/settings`, `POST /_sandbox/settings` | reads or changes `Settings`; what is not named stays |
| `POST /_sandbox/archive` with `{"id": "1000…"}` | somebody deletes the record; it is archived now |
| `POST /_sandbox/hard_delete` with `{"id": "1000…"}` | the record is gone, from the archive too |
| `POST /_sandbox/expire` with `{"what": "tokens"}` | makes what was handed out invalid |

E-mail events, their sendings and marketing events are in `hubspot_touches`. Not served: writes, tasks and notes, the Leads object, custom objects,
webhooks.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import hubspot_touches
from onefunnel.sandbox.servers.control import Clock, new_app
from onefunnel.sandbox.servers.crm_records import CrmRecord, CrmState
from onefunnel.sandbox.servers.hubspot_objects import (
    DEFAULTS,
    PROPERTIES,
    STAGES,
    HubRecord,
    Kind,
    Link,
    Portal,
    Split,
    Version,
    created_name,
    kinds,
    moment,
    owner_id,
    user_number,
)

# What a client logs in with. It opens nothing but this sandbox.
ACCESS_TOKEN = "pat-eu1-sandbox"  # noqa: S105
CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "sandbox-client", "sandbox-secret", "sandbox-refresh"
_EXPIRES_IN = 1_800
_LIST_MOST, _LIST_WITH_HISTORY, _SEARCH_MOST, _BATCH_MOST = 100, 50, 200, 100
_GROUPS_MOST, _FILTERS_MOST = 5, 25
_SCOPES = "https://developers.hubspot.com/scopes"
# "Activities": those of contacts open calls and meetings; what is in an e-mail has a scope of its own.
_SCOPE = {
    "calls": "crm.objects.contacts.read",
    "meetings": "crm.objects.contacts.read",
    "emails": "sales-email-read",
    "content": "content",
    "deal_splits": "crm.dealsplits.read_write",
}
# As "Account information API" has it: no scope is needed.
_DETAILS = {
    "portalId": 62_515,
    "accountType": "STANDARD",
    "timeZone": "UTC",
    "companyCurrency": "EUR",
    "additionalCurrencies": [],
    "utcOffset": "+00:00",
    "utcOffsetMilliseconds": 0,
    "uiDomain": "app.hubspot.com",
    "dataHostingLocation": "eu1",
}
_NO_CREDENTIALS = (
    "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details"
    " at https://developers.hubspot.com/docs/methods/auth/oauth-overview"
)


def connection(base: str) -> dict[str, Any]:
    """The Airflow connection with which a client reaches this server at `base`."""
    return {"conn_type": "hubspot", "host": base, "password": ACCESS_TOKEN}


class Settings(BaseModel):
    """How the portal behaves. The limits of requests in real seconds are off unless a test sets them.

    Attributes:
        page_size: most records of a page, whatever the client asks for.
        token_requests: an access token from the token endpoint is good for so many requests.
        daily_requests: the account's limit; a new day of the company begins at 0.
        burst_requests: requests in ten seconds.
        search_requests: searches in one second.
        search_window: how far a search can be paged.
        search_lag_seconds: what was changed so shortly before now is not found by the search yet.
        history_versions: most versions of a property's history.
        forbidden: object types that the app has no scope for; `content` is the scope of e-mail events and their sendings,
            `deal_splits` that of deal splits.
    """

    model_config = ConfigDict(extra="forbid")

    page_size: int = Field(default=_SEARCH_MOST, ge=1, le=_SEARCH_MOST)
    token_requests: int | None = Field(default=None, ge=1)
    daily_requests: int = Field(default=250_000, ge=0)
    burst_requests: int | None = Field(default=None, ge=1)
    search_requests: int | None = Field(default=None, ge=1)
    search_window: int = Field(default=10_000, ge=1, le=10_000)
    search_lag_seconds: int = Field(default=0, ge=0)
    history_versions: int = Field(default=20, ge=1)
    forbidden: frozenset[str] = frozenset()


class Gone(BaseModel):
    """A record that is archived, or deleted for good."""

    model_config = ConfigDict(extra="forbid")

    id: str


class Expiry(BaseModel):
    """What is made invalid."""

    model_config = ConfigDict(extra="forbid")

    what: Literal["tokens"]


class ApiError(Exception):
    """An error in the vendor's shape: status, message, correlationId, category and what belongs to it."""

    def __init__(self, status: int, category: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.category, self.message, self.more = status, category, message, more


class RateLimited(ApiError):
    """429: instead of a category it has errorType and policyName ("API usage guidelines")."""

    def __init__(self, policy: str) -> None:
        super().__init__(429, "", f"You have reached your {policy.lower()} limit.", policyName=policy)


@dataclass
class Account:
    """The portal, who is logged in, and how many requests came when."""

    clock: Clock
    settings: Settings = field(default_factory=Settings)
    tokens: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    archived: dict[str, int] = field(default_factory=dict)
    used: int = 0
    _issued: int = 0
    _burst: deque[float] = field(default_factory=deque)
    _searches: deque[float] = field(default_factory=deque)
    _portal: Portal | None = None

    def forget(self) -> None:
        """The clock moved: another state, and the day's requests are counted anew."""
        self._portal, self.used = None, 0

    @property
    def portal(self) -> Portal:
        """What the portal holds now."""
        if self._portal is None:
            self._portal = Portal(CrmState(self.clock.company, self.clock.day))
        return self._portal

    def correlation(self) -> str:
        """An id for an error, another one each time."""
        self._issued += 1
        return f"00000000-0000-4000-8000-{self._issued:012d}"

    def log_in(self, form: dict[str, str]) -> dict[str, Any]:
        """A new access token for a refresh token.

        Raises:
            ApiError: the credentials are wrong.
        """
        if form.get("grant_type") != "refresh_token":
            raise ApiError(400, "VALIDATION_ERROR", "missing or unknown grant type", error="unsupported_grant_type")
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            raise ApiError(400, "BAD_CLIENT_ID", "missing or unknown client id", error="invalid_client")
        if form.get("refresh_token") != REFRESH_TOKEN:
            raise ApiError(400, "BAD_REFRESH_TOKEN", "missing or invalid refresh token", error="invalid_grant")
        token = f"CJ-{self.correlation()}"
        self.tokens[token] = 0
        return {
            "token_type": "bearer",
            "refresh_token": REFRESH_TOKEN,
            "access_token": token,
            "expires_in": _EXPIRES_IN,
        }

    def admit(self, request: Request, object_type: str = "", search: bool = False) -> None:
        """Count a request.

        Raises:
            ApiError: nobody is logged in, a limit is reached, or a scope is missing.
        """
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise ApiError(401, "INVALID_AUTHENTICATION", _NO_CREDENTIALS)
        most = self.settings.token_requests
        if token != ACCESS_TOKEN:
            if token not in self.tokens or (most is not None and self.tokens[token] >= most):
                self.tokens.pop(token, None)
                raise ApiError(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired")
            self.tokens[token] += 1
        if self.used >= self.settings.daily_requests:
            raise RateLimited("DAILY")
        _count(self._burst, self.settings.burst_requests, 10, "TEN_SECONDLY_ROLLING")
        if search:
            _count(self._searches, self.settings.search_requests, 1, "SECONDLY")
        self.used += 1
        if object_type in self.settings.forbidden:
            scopes = {"requiredGranularScopes": [_SCOPE.get(object_type, f"crm.objects.{object_type}.read")]}
            raise ApiError(
                403,
                "MISSING_SCOPES",
                "This app hasn't been granted all required scopes to make this call. Read more about required scopes"
                f" here: {_SCOPES}.",
                errors=[{"message": "One or more of the following scopes are required.", "context": scopes}],
                links={"scopes": _SCOPES},
            )

    def limited(self, response: Response) -> Response:
        """With the headers that say what is left ("API usage guidelines"); searches have none."""
        burst = self.settings.burst_requests or 190
        left = max(0, burst - len(self._burst)) if self.settings.burst_requests else burst
        for name, value in {
            "Daily": self.settings.daily_requests,
            "Daily-Remaining": max(0, self.settings.daily_requests - self.used),
            "Interval-Milliseconds": 10_000,
            "Max": burst,
            "Remaining": left,
        }.items():
            response.headers[f"X-HubSpot-RateLimit-{name}"] = str(value)
        return response

    def records(self, object_type: str, archived: bool) -> list[HubRecord]:
        """The records of an object, in the order of their ids.

        Raises:
            ApiError: no such object.
        """
        if object_type not in PROPERTIES:
            raise ApiError(400, "VALIDATION_ERROR", f"Unable to infer object type from: {object_type}")
        found = [
            replace(r, archived=True, changed_at=self.archived[r.record_id]) if r.record_id in self.archived else r
            for r in self.portal.objects[object_type].values()
        ]
        chosen = [r for r in found if r.archived is archived and r.record_id not in self.gone]
        return sorted(chosen, key=lambda r: int(r.record_id))


def _count(times: deque[float], most: int | None, window: float, policy: str) -> None:
    """Count a request in a rolling window of real seconds; one that is refused is not counted."""
    now = time.monotonic()
    while times and times[0] <= now - window:
        times.popleft()
    if most is not None and len(times) >= most:
        raise RateLimited(policy)
    times.append(now)


def make_app(company: Company, day: int) -> FastAPI:
    """The company's HubSpot portal at the end of a day.

    Raises:
        ValueError: the company has no business.
    """
    clock = Clock(company, day)
    account = Account(clock)
    CrmState(company, day)  # refuses a company that only has costs
    clock.moved.append(account.forget)
    bodies = {
        401: _error(ApiError(401, "EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired"), "0"),
        429: _error(RateLimited("TEN_SECONDLY_ROLLING"), "0"),
    }
    app = new_app("HubSpot", clock, bodies)
    _add_control(app, account)
    _add_objects(app, account)
    _add_search(app, account)
    _add_associations(app, account)
    _add_splits(app, account)
    _add_lists(app, account)
    hubspot_touches.mount(app, account, ApiError)

    @app.exception_handler(ApiError)
    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # noqa: S101
        response = JSONResponse(_error(error, account.correlation()), error.status)
        return response if request.url.path.endswith("/search") else account.limited(response)

    @app.exception_handler(404)
    async def nowhere(request: Request, error: Exception) -> Response:
        return JSONResponse({"status": "error", "message": "resource not found"}, 404)

    return app


def _error(error: ApiError, correlation: str) -> dict[str, Any]:
    body: dict[str, Any] = {"status": "error", "message": error.message}
    if isinstance(error, RateLimited):
        body["errorType"] = "RATE_LIMIT"
    body["correlationId"] = correlation
    body |= error.more
    return body if isinstance(error, RateLimited) else body | {"category": error.category}


def _add_control(app: FastAPI, account: Account) -> None:
    @app.get("/_sandbox/settings")
    async def settings() -> Any:
        return json.loads(account.settings.model_dump_json())

    @app.post("/_sandbox/settings")
    async def change(request: Request) -> Any:
        try:
            account.settings = Settings.model_validate(account.settings.model_dump() | await request.json())
        except ValidationError as error:
            return JSONResponse({"errors": json.loads(error.json(include_context=False))}, 422)
        return json.loads(account.settings.model_dump_json())

    @app.post("/_sandbox/archive")
    async def archive(order: Gone) -> dict[str, str]:
        account.archived[order.id] = round(account.clock.now.timestamp()) - 1
        return {"id": order.id}

    @app.post("/_sandbox/hard_delete")
    async def hard_delete(order: Gone) -> dict[str, str]:
        account.gone.add(order.id)
        return {"id": order.id}

    @app.post("/_sandbox/expire")
    async def expire(order: Expiry) -> dict[str, str]:
        account.tokens.clear()
        return {"what": order.what}

    @app.post("/oauth/v1/token")
    async def token(request: Request) -> Any:
        form = parse_qs((await request.body()).decode())
        return account.log_in({name: values[0] for name, values in form.items()})


def _is_archived(query: Mapping[str, str]) -> bool:
    """Whether archived records are asked for; HubSpot's own SDK for Python writes `True`."""
    return query.get("archived", "false").lower() == "true"


def _names(value: str | list[str] | None) -> list[str]:
    """Names as a list, or in one text with commas, or the parameter several times."""
    parts = [value] if isinstance(value, str) else value or []
    return [name for part in parts for name in part.split(",") if name]


def _shown(account: Account, object_type: str, record: HubRecord, names: list[str], past: list[str]) -> dict[str, Any]:
    """A record as it is read; names that are no property are left out."""
    # What is always there: "hs_object_id, createdate, lastmodifieddate" come without being asked for.
    wanted = dict.fromkeys([*DEFAULTS[object_type], *names] if not names else [*_always(object_type), *names])
    known = kinds(object_type)
    shown: dict[str, Any] = {
        "id": record.record_id,
        "properties": {name: record.properties.get(name) for name in sorted(wanted) if name in known},
        "createdAt": moment(record.created_at),
        "updatedAt": moment(record.changed_at),
        "archived": record.archived,
    }
    if past:
        most = account.settings.history_versions
        shown["propertiesWithHistory"] = {
            name: [_version(version) for version in record.history.get(name, [])[:most]]
            for name in past
            if name in known
        }
    if record.archived:
        shown["archivedAt"] = moment(record.changed_at)
    return shown


def _always(object_type: str) -> tuple[str, ...]:
    return tuple(
        n for n in DEFAULTS[object_type] if n == "hs_object_id" or n.endswith(("createdate", "lastmodifieddate"))
    )


def _version(version: Version) -> dict[str, Any]:
    """A version as "PropertyHistory" has it; the newest comes first."""
    shown: dict[str, Any] = {
        "value": version.value if version.value is not None else "",
        "timestamp": moment(version.at),
    }
    if version.by:
        user = user_number(version.by)
        return shown | {"sourceType": "CRM_UI", "sourceId": f"userId:{user}", "updatedByUserId": user}
    return shown | {"sourceType": "AUTOMATION_PLATFORM"}


def _whole(text: str, name: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise ApiError(400, "VALIDATION_ERROR", f"{name} must be a whole number from 1 to {most}, not {text!r}")
    return int(text)


def _add_objects(app: FastAPI, account: Account) -> None:
    @app.get("/crm/v3/objects/{object_type}")
    async def listed(request: Request, object_type: str) -> Response:
        account.admit(request, object_type)
        query = request.query_params
        archived = _is_archived(query)
        names = _names(query.getlist("properties"))
        past = _names(query.getlist("propertiesWithHistory"))
        asked = _whole(query.get("limit", "10"), "limit", _LIST_WITH_HISTORY if past else _LIST_MOST)
        after = query.get("after", "0")
        if not after.isdecimal():
            raise ApiError(400, "VALIDATION_ERROR", f"Invalid after: {after}")
        rest = [r for r in account.records(object_type, archived) if int(r.record_id) > int(after)]
        size = min(asked, account.settings.page_size)
        found = rest[:size]
        shown = [_shown(account, object_type, record, names, past) for record in found]
        for record, view in zip(found, shown, strict=True):
            _associate(account, object_type, record, view, _names(query.getlist("associations")))
        answer: dict[str, Any] = {"results": shown}
        if len(rest) > size:
            last = found[-1].record_id
            link = str(request.url.include_query_params(after=last))
            answer["paging"] = {"next": {"after": last, "link": link}}
        return account.limited(JSONResponse(answer))

    @app.post("/crm/v3/objects/{object_type}/batch/read")
    async def batch(request: Request, object_type: str) -> Response:
        account.admit(request, object_type)
        order = await request.json()
        inputs = [str(entry.get("id", "")) for entry in order.get("inputs", [])]
        if not 1 <= len(inputs) <= _BATCH_MOST:
            raise ApiError(400, "VALIDATION_ERROR", f"inputs must be 1 to {_BATCH_MOST} ids")
        archived = _is_archived(request.query_params)
        records = {record.record_id: record for record in account.records(object_type, archived)}
        names, past = _names(order.get("properties")), _names(order.get("propertiesWithHistory"))
        found = [records[i] for i in dict.fromkeys(inputs) if i in records]
        lost = [i for i in inputs if i not in records]
        answer: dict[str, Any] = {
            "status": "COMPLETE",
            "results": [_shown(account, object_type, record, names, past) for record in found],
            "startedAt": _now(account),
            "completedAt": _now(account),
        }
        if lost:
            error = {
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "message": f"Could not get some {object_type.upper()} objects, they may be deleted or not exist.",
                "context": {"ids": lost},
            }
            answer |= {"numErrors": 1, "errors": [error]}
        return account.limited(JSONResponse(answer, 207 if lost else 200))

    @app.get("/crm/v3/objects/{object_type}/{record_id}")
    async def one(request: Request, object_type: str, record_id: str) -> Response:
        account.admit(request, object_type)
        query = request.query_params
        archived = _is_archived(query)
        records = {record.record_id: record for record in account.records(object_type, archived)}
        # A merged record's id leads to its survivor.
        record = records.get(account.portal.standing(object_type, record_id))
        if record is None:
            raise ApiError(404, "OBJECT_NOT_FOUND", "Object not found.  objectId are usually numeric.")
        names, past = _names(query.getlist("properties")), _names(query.getlist("propertiesWithHistory"))
        view = _shown(account, object_type, record, names, past)
        _associate(account, object_type, record, view, _names(query.getlist("associations")))
        return account.limited(JSONResponse(view))


def _now(account: Account) -> str:
    return f"{account.clock.now:%Y-%m-%dT%H:%M:%SZ}"


def _links(account: Account, pair: tuple[str, str], record_id: str) -> list[Link]:
    lost = account.gone | account.archived.keys()
    found = account.portal.links.get(pair, {}).get(record_id, [])
    return [link for link in found if not {record_id, link.to_id} & lost]


def _associate(account: Account, object_type: str, record: HubRecord, view: dict[str, Any], to: list[str]) -> None:
    """The associations of a record that is read, in the short form of v3."""
    for other in to:
        links = _links(account, (object_type, other), record.record_id)
        if links:
            one, two = ("company" if name == "companies" else name.removesuffix("s") for name in (object_type, other))
            word = f"{one}_to_{two}"
            results = [{"id": link.to_id, "type": word} for link in links]
            view.setdefault("associations", {})[other] = {"results": results}


def _add_search(app: FastAPI, account: Account) -> None:
    @app.post("/crm/v3/objects/{object_type}/search")
    async def search(request: Request, object_type: str) -> Response:
        account.admit(request, object_type, search=True)
        order = await request.json()
        now = account.clock.now.timestamp()
        records = [
            r for r in account.records(object_type, False) if r.changed_at <= now - account.settings.search_lag_seconds
        ]
        found = _sorted(object_type, _matching(object_type, records, order), order)
        asked = _whole(str(order.get("limit", 10)), "limit", _SEARCH_MOST)
        after = str(order.get("after") or "0")
        window = account.settings.search_window
        if not after.isdecimal() or int(after) >= window:
            raise ApiError(400, "VALIDATION_ERROR", f"Paging is limited to {window} results: after was {after}")
        start, size = int(after), min(asked, account.settings.page_size, window - int(after))
        page = found[start : start + size]
        names = _names(order.get("properties"))
        answer: dict[str, Any] = {
            "total": len(found),
            "results": [_shown(account, object_type, record, names, []) for record in page],
        }
        if len(found) > start + size:
            answer["paging"] = {"next": {"after": str(start + size)}}
        return JSONResponse(answer)


def _matching(object_type: str, records: list[HubRecord], order: dict[str, Any]) -> list[HubRecord]:
    """Filters of a group all hold; of the groups, one."""
    groups = [group.get("filters", []) for group in order.get("filterGroups", [])]
    if len(groups) > _GROUPS_MOST or sum(map(len, groups)) > _FILTERS_MOST:
        raise ApiError(400, "VALIDATION_ERROR", f"at most {_GROUPS_MOST} groups and {_FILTERS_MOST} filters")
    tests = [[_test(object_type, wanted) for wanted in group] for group in groups]
    if not tests:
        return records
    return [r for r in records if any(all(test(r) for test in group) for group in tests)]


def _test(object_type: str, wanted: dict[str, Any]) -> Callable[[HubRecord], bool]:
    """One filter ("Search the CRM": filter operators)."""
    name, operator = str(wanted.get("propertyName")), str(wanted.get("operator"))
    kind = kinds(object_type).get(name)
    if kind is None:
        raise ApiError(
            400,
            "VALIDATION_ERROR",
            "There was a problem with the request.",
            errors=[{"message": f"Property '{name}' does not exist", "in": "filterGroups"}],
        )

    def of(record: HubRecord) -> Any:
        value = record.properties.get(name)
        return None if value is None else _comparable(kind, value)

    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return lambda r: (of(r) is None) is (operator == "NOT_HAS_PROPERTY")
    if operator in ("IN", "NOT_IN"):
        values = {_comparable(kind, str(v)) for v in wanted.get("values", [])}
        return lambda r: (of(r) in values) is (operator == "IN")
    value = _comparable(kind, str(wanted.get("value")))
    if operator == "BETWEEN":
        high = _comparable(kind, str(wanted.get("highValue")))
        return lambda r: of(r) is not None and value <= of(r) <= high
    compare: dict[str, Callable[[Any], bool]] = {
        "EQ": lambda v: v == value,
        "NEQ": lambda v: v != value,
        "LT": lambda v: v is not None and v < value,
        "LTE": lambda v: v is not None and v <= value,
        "GT": lambda v: v is not None and v > value,
        "GTE": lambda v: v is not None and v >= value,
    }
    if operator not in compare:
        raise ApiError(400, "VALIDATION_ERROR", f"Unknown operator {operator}")
    return lambda r: compare[operator](of(r))


def _comparable(kind: Kind, text: str) -> Any:
    """A value as the search compares it: times in milliseconds since 1970, sent as such or in ISO 8601."""
    try:
        if kind == "datetime":
            return int(text) if text.lstrip("-").isdecimal() else _milliseconds(text)
        return Decimal(text) if kind == "number" else text.casefold()
    except (ValueError, InvalidOperation):
        raise ApiError(400, "VALIDATION_ERROR", f"{text!r} is no {kind}") from None


def _milliseconds(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).timestamp() * 1_000)


def _sorted(object_type: str, records: list[HubRecord], order: dict[str, Any]) -> list[HubRecord]:
    """By the one sort that is allowed; else the oldest first ("Search the CRM")."""
    sorts = order.get("sorts") or [{"propertyName": created_name(object_type)}]
    if len(sorts) > 1:
        raise ApiError(400, "VALIDATION_ERROR", "only one sort is allowed")
    wanted = sorts[0] if isinstance(sorts[0], dict) else {"propertyName": sorts[0]}
    name = str(wanted.get("propertyName"))
    kind = kinds(object_type).get(name)
    if kind is None:
        raise ApiError(400, "VALIDATION_ERROR", f"Property '{name}' does not exist")

    def place(record: HubRecord) -> tuple[bool, Any, int]:
        value = record.properties.get(name)
        return value is None, "" if value is None else _comparable(kind, value), int(record.record_id)

    empty = [r for r in records if r.properties.get(name) is None]
    full = sorted((r for r in records if r.properties.get(name) is not None), key=place)
    if wanted.get("direction", "ASCENDING") == "DESCENDING":
        full.reverse()
    return [*full, *empty]


def _linked(link: Link) -> dict[str, Any]:
    types = [{"category": category, "typeId": number, "label": label} for category, number, label in link.types]
    return {"toObjectId": link.to_id, "associationTypes": types}


def _add_associations(app: FastAPI, account: Account) -> None:
    @app.post("/crm/v4/associations/{one}/{two}/batch/read")
    async def batch(request: Request, one: str, two: str) -> Response:
        account.admit(request, one)
        order = await request.json()
        inputs = [str(entry.get("id", "")) for entry in order.get("inputs", [])]
        if not 1 <= len(inputs) <= 1_000:
            raise ApiError(400, "VALIDATION_ERROR", "inputs must be 1 to 1000 ids")
        found = {i: _links(account, (one, two), i) for i in dict.fromkeys(inputs)}
        lost = [i for i, links in found.items() if not links]
        answer: dict[str, Any] = {
            "status": "COMPLETE",
            "results": [{"from": {"id": i}, "to": [_linked(k) for k in links]} for i, links in found.items() if links],
            "startedAt": _now(account),
            "completedAt": _now(account),
        }
        if lost:
            errors = [
                {
                    "status": "error",
                    "category": "OBJECT_NOT_FOUND",
                    "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                    "message": f"No {two} is associated with {one} {i}.",
                    "context": {"fromObjectId": [i]},
                }
                for i in lost
            ]
            answer |= {"numErrors": len(errors), "errors": errors}
        return account.limited(JSONResponse(answer, 207 if lost else 200))

    @app.get("/crm/v4/objects/{one}/{record_id}/associations/{two}")
    async def of_one(request: Request, one: str, record_id: str, two: str) -> Response:
        account.admit(request, one)
        size = min(_whole(request.query_params.get("limit", "500"), "limit", 500), account.settings.page_size)
        after = request.query_params.get("after", "0")
        links = [k for k in _links(account, (one, two), record_id) if int(k.to_id) > int(after)]
        answer: dict[str, Any] = {"results": [_linked(link) for link in links[:size]]}
        if len(links) > size:
            answer["paging"] = {"next": {"after": links[size - 1].to_id}}
        return account.limited(JSONResponse(answer))


def _add_splits(app: FastAPI, account: Account) -> None:
    @app.post("/crm/v3/objects/deals/splits/batch/read")
    async def splits(request: Request) -> Response:
        """How many deals are too many is not documented; it is as with other batches."""
        account.admit(request, "deal_splits")
        order = await request.json()
        inputs = [str(entry.get("id", "")) for entry in order.get("inputs", [])]
        if not 1 <= len(inputs) <= _BATCH_MOST:
            raise ApiError(400, "VALIDATION_ERROR", f"inputs must be 1 to {_BATCH_MOST} ids")
        there = {record.record_id for record in account.records("deals", archived=False)}
        found = account.portal.splits
        answer: dict[str, Any] = {
            "status": "COMPLETE",
            "results": [
                {"id": i, "splits": [_split(s) for s in found.get(i, [])]} for i in dict.fromkeys(inputs) if i in there
            ],
            "startedAt": _now(account),
            "completedAt": _now(account),
        }
        if lost := [i for i in inputs if i not in there]:
            error = {
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "message": "Could not get some DEALS objects, they may be deleted or not exist.",
                "context": {"ids": lost},
            }
            answer |= {"numErrors": 1, "errors": [error]}
        return account.limited(JSONResponse(answer, 207 if lost else 200))


def _split(split: Split) -> dict[str, Any]:
    return {
        "id": split.split_id,
        "properties": {"hs_deal_split_percentage": split.share, "hubspot_owner_id": split.owner},
        "createdAt": moment(split.created_at),
        "updatedAt": moment(split.changed_at),
        "archived": False,
    }


def _add_lists(app: FastAPI, account: Account) -> None:
    @app.get("/crm/v3/owners")
    async def owners(request: Request) -> Response:
        account.admit(request, "owners")
        query = request.query_params
        archived = _is_archived(query)
        size = min(_whole(query.get("limit", "100"), "limit", 500), account.settings.page_size)
        users = sorted(account.portal.state.tables["users"].values(), key=lambda user: user.key)
        rest = [
            user
            for user in users
            if (user.fields["left_on"] is not None) is archived
            and int(owner_id(user.key) or 0) > int(query.get("after", "0"))
        ]
        answer: dict[str, Any] = {"results": [_owner(user) for user in rest[:size]]}
        if len(rest) > size:
            answer["paging"] = {"next": {"after": owner_id(rest[size - 1].key)}}
        return account.limited(JSONResponse(answer))

    @app.get("/account-info/v3/details")
    async def details(request: Request) -> Response:
        account.admit(request)
        return account.limited(JSONResponse(_DETAILS))

    @app.get("/crm/v3/properties/{object_type}")
    async def properties(request: Request, object_type: str) -> Response:
        account.admit(request, object_type)
        if object_type not in PROPERTIES:
            raise ApiError(400, "VALIDATION_ERROR", f"Unable to infer object type from: {object_type}")
        custom = {p.name for p in PROPERTIES[object_type] if p.custom}
        results = [
            {
                "name": name,
                "label": name,
                "type": kind,
                "fieldType": {"bool": "booleancheckbox", "enumeration": "select", "number": "number"}.get(kind, "text"),
                "groupName": f"{object_type}information",
                "hubspotDefined": name not in custom,
                "calculated": False,
                "archived": False,
                "options": [],
            }
            for name, kind in kinds(object_type).items()
        ]
        return account.limited(JSONResponse({"results": results}))

    @app.get("/crm/v3/pipelines/deals")
    async def pipelines(request: Request) -> Response:
        account.admit(request, "deals")
        stages = [
            {
                "id": stage_id,
                "label": label,
                "displayOrder": n,
                "metadata": {"isClosed": "true" if closed else "false", "probability": probability},
                "archived": False,
            }
            for n, (stage_id, label, probability, closed) in enumerate(STAGES.values())
        ]
        pipeline = {"id": "default", "label": "Sales Pipeline", "displayOrder": 0, "stages": stages, "archived": False}
        return account.limited(JSONResponse({"results": [pipeline]}))


def _owner(user: CrmRecord) -> dict[str, Any]:
    """An owner as "Retrieve a list of owners" has it: the owner's id and the user's are different numbers."""
    first, last = str(user.fields["full_name"]).split(" ", 1)
    gone = user.fields["left_on"] is not None
    number = user_number(user.key)
    return {
        "id": owner_id(user.key),
        "email": f"{user.key.lower()}@company.example",
        "type": "PERSON",
        "firstName": first,
        "lastName": last,
        "userId": None if gone else number,
        "userIdIncludingInactive": number,
        "createdAt": moment(user.created_at),
        "updatedAt": moment(user.changed_at),
        "archived": gone,
        "teams": [{"id": str(sum(map(ord, str(user.fields["team"])))), "name": user.fields["team"], "primary": True}],
    }
