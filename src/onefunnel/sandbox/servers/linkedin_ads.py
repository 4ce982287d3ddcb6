"""The company's video ads as LinkedIn's Marketing API tells them: `adAnalytics` and the searches for accounts, campaigns.

Sources, pages of LinkedIn's documentation: *Reporting* (no pagination; an empty answer also without permission; 414 and
query tunnelling; at most 20 metrics and 15,000 elements), *Metrics Available* (types), *Ad Accounts* and *Create and
Manage Campaigns*, *Cursor Based Pagination For Search APIs* (metadata.nextPageToken), *LinkedIn Marketing API
Versioning* (LinkedIn-Version, 426), *Protocol Version* (Rest.li 2.0 syntax: reserved characters within values are
encoded), *Error Handling*, *Query Tunneling* and *Refresh Tokens with OAuth 2.0*.

Amounts are decimal strings, counts are longs. LinkedIn's conversions are whole: of a fraction nothing is shown. Ids are
numbers (`AdRecords` knows whose), an account has no time zone, and only what `fields` names is in an element, be it
`dateRange` or `pivotValues`; of several pivots each has its place in `pivotValues`. More than 15,000 elements are cut off
without a word.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.rates import MAX_CARRY_DAYS, NANO, convert, half_away
from onefunnel.sandbox.servers.ad_records import (
    AdAccount,
    AdCampaign,
    AdRecords,
    AdRow,
    bearer,
    decimal_text,
    new_ads_app,
    whole_conversions,
)
from onefunnel.sandbox.world import VIDEO

FIRST_ACTIVE_VERSION, LAST_ACTIVE_VERSION = "202504", "202612"
MAX_ELEMENTS, MAX_METRICS = 15_000, 20
PAGE_SIZE, LARGEST_PAGE = 100, 1_000
LONGEST_QUERY = 8_000
TOKEN_SECONDS, REFRESH_SECONDS = 5_184_000, 31_536_000
ORGANIZATION = "urn:li:organization:2414183"
# The company does not exist, so none of these opens anything.
ACCESS_TOKEN, REFRESH_TOKEN = "AQVsandbox", "AQWsandbox"
CLIENT_ID, CLIENT_SECRET = "sandbox-client", "sandbox-secret"

_OBJECTIVES = {"leads": "LEAD_GENERATION", "sales": "WEBSITE_CONVERSION", "awareness": "BRAND_AWARENESS"}
_PIVOTS = ("ACCOUNT", "CAMPAIGN", "CREATIVE")
_DEFAULT_FIELDS = ("dateRange", "pivotValues", "impressions", "clicks")
_LONGS = ("impressions", "clicks", "landingPageClicks", "oneClickLeads", "externalWebsiteConversions")
_AMOUNTS = ("costInLocalCurrency", "costInUsd", "conversionValueInLocalCurrency")

Flat = dict[str, Any]


class _RestError(Exception):
    """An answer that is LinkedIn's error object."""

    def __init__(self, status: int, code: str, message: str, service_code: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.service_code = status, code, service_code

    def answer(self) -> JSONResponse:
        service = {} if self.service_code is None else {"serviceErrorCode": self.service_code}
        return JSONResponse({"status": self.status, **service, "code": self.code, "message": str(self)}, self.status)


def connection(base: str) -> dict[str, Any]:
    """The Airflow connection with which a client reaches this server at `base`."""
    return {
        "conn_type": "generic",
        "host": base,
        "login": CLIENT_ID,
        "password": CLIENT_SECRET,
        "extra": {"refresh_token": REFRESH_TOKEN, "token_url": f"{base}/oauth/v2/accessToken"},
    }


def make_app(company: Company, day: int, *, max_elements: int = MAX_ELEMENTS) -> FastAPI:
    """The Marketing API and the token endpoint of a company on one of its days.

    Args:
        max_elements: after how many elements an answer of adAnalytics ends.
    """
    records = AdRecords(company, VIDEO, day, tokens={ACCESS_TOKEN}, lasting=True)
    app = new_ads_app("LinkedIn Marketing API", records)

    @app.post("/oauth/v2/accessToken")
    async def token(request: Request) -> JSONResponse:
        form = await request.form()
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return JSONResponse({"error": "invalid_client", "error_description": "Client authentication failed"}, 401)
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != REFRESH_TOKEN:
            description = "The provided authorization grant or refresh token is invalid, expired or revoked"
            return JSONResponse({"error": "invalid_request", "error_description": description}, 400)
        return JSONResponse(
            {
                "access_token": records.new_token(ACCESS_TOKEN),
                "expires_in": TOKEN_SECONDS,
                "refresh_token": REFRESH_TOKEN,
                "refresh_token_expires_in": REFRESH_SECONDS,
            }
        )

    @app.api_route("/rest/{path:path}", methods=["GET", "POST"])
    async def rest(path: str, request: Request) -> JSONResponse:
        try:
            _check(request, records)
            return JSONResponse(_answer(records, path, await _parameters(request), max_elements))
        except _RestError as error:
            return error.answer()

    return app


def _check(request: Request, records: AdRecords) -> None:
    token = bearer(request)
    if not token:
        raise _RestError(401, "EMPTY_ACCESS_TOKEN", "Empty oauth2 access token", 65604)
    if token not in records.tokens:
        raise _RestError(401, "INVALID_ACCESS_TOKEN", "Invalid access token", 65600)
    version = request.headers.get("linkedin-version", "")
    if not version:
        message = "A version must be present. Please specify a version by adding the LinkedIn-Version header."
        raise _RestError(400, "VERSION_MISSING", message)
    if not re.fullmatch(r"\d{6}(\d{2})?", version) or not FIRST_ACTIVE_VERSION <= version[:6] <= LAST_ACTIVE_VERSION:
        message = f"Requested version {version.ljust(8, '0')[:7]}1 is not active"
        raise _RestError(426, "NONEXISTENT_VERSION", message)
    if request.headers.get("x-restli-protocol-version") != "2.0.0":
        raise _bad("Invalid query parameters passed to request: protocol version 2.0.0 is needed")


async def _parameters(request: Request) -> dict[str, str]:
    """The query as it was sent: of the address, or tunnelled as the form body of a POST that overrides its method."""
    raw = request.scope["query_string"].decode("ascii", "replace")
    if request.method == "POST":
        form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        if request.headers.get("x-http-method-override", "").upper() != "GET" or not form:
            raise _RestError(405, "METHOD_NOT_ALLOWED", "POST is supported for tunnelled queries only")
        raw = (await request.body()).decode("ascii", "replace")
    elif len(raw) > LONGEST_QUERY:
        raise _RestError(414, "URI_TOO_LONG", "Request URI Too Long")
    pairs = (pair.partition("=") for pair in raw.split("&") if pair)
    return {unquote(name): value for name, _, value in pairs}


def _answer(records: AdRecords, path: str, asked: dict[str, str], max_elements: int) -> Flat:
    if path == "adAnalytics":
        return {
            "paging": {"start": 0, "count": 10, "links": []},
            "elements": list(_analytics(records, asked))[:max_elements],
        }
    if path == "adAccounts":
        return _search([_account_node(account) for account in records.accounts()], asked)
    found = re.fullmatch(r"adAccounts/(\d+)(/adCampaigns)?", path)
    account = records.account(found[1]) if found else None
    if found is None or account is None:
        raise _RestError(404, "RESOURCE_NOT_FOUND", f"No virtual resource found: /{path}", 0)
    if account.vendor_id in records.withheld:
        raise _RestError(403, "ACCESS_DENIED", f"Not enough permissions to access: GET /{path}", 100)
    if not found[2]:
        return _account_node(account)
    return _search([_campaign_node(campaign) for campaign in records.campaigns(account)], asked)


def _analytics(records: AdRecords, asked: dict[str, str]) -> Iterator[Flat]:
    """The elements of adAnalytics; none for an account without activity or without permission.

    Raises:
        _RestError: 400, a parameter does not read or is not known.
    """
    finder, granularity = unquote(asked.get("q", "")), unquote(asked.get("timeGranularity", ""))
    if finder == "analytics":
        pivots = (unquote(asked.get("pivot", "")),)
    elif finder == "statistics":
        pivots = tuple(_list(asked.get("pivots", "")))
    else:
        raise _bad("Invalid finder: q must be analytics or statistics")
    if not 1 <= len(pivots) <= 3 or set(pivots) - set(_PIVOTS) or granularity not in ("DAILY", "ALL"):
        raise _bad(f"Invalid value for pivot or timeGranularity: {', '.join(pivots)}, {granularity}")
    fields = tuple(field for field in unquote(asked.get("fields", "")).split(",") if field) or _DEFAULT_FIELDS
    if len([field for field in fields if field not in ("dateRange", "pivotValues")]) > MAX_METRICS:
        raise _bad(f"The number of metrics requested exceeds the limit of {MAX_METRICS}")
    unknown = set(fields) - {"dateRange", "pivotValues", *_LONGS, *_AMOUNTS}
    if unknown:
        raise _bad(f"Invalid fields: {', '.join(sorted(unknown))}")
    if not any(name in asked for name in ("accounts", "campaigns")):
        raise _bad("At least one facet is required: accounts, campaigns")
    first, last = _date_range(records, asked.get("dateRange", ""))
    rows = [
        row
        for account in records.accounts()
        for row in records.rows(account, first, last)
        if _wanted(row.campaign, asked)
    ]
    yield from _elements(records, rows, fields, pivots=pivots, whole=(first, last), granularity=granularity)


def _elements(
    records: AdRecords,
    rows: Iterable[AdRow],
    fields: tuple[str, ...],
    *,
    pivots: tuple[str, ...],
    whole: tuple[dt.date, dt.date],
    granularity: str,
) -> Iterator[Flat]:
    """A campaign is two creatives: the first has a third of every figure, the second the rest."""
    known = {
        (rate.currency, rate.rate_date): rate.nano
        for rate in records.company.simulation.rates.published_until(records.last_day())
    }
    sums: dict[tuple[tuple[dt.date, dt.date], tuple[str, ...]], Flat] = {}
    for row in rows:
        amounts = _amounts(row, known)
        for number in (1, 2) if "CREATIVE" in pivots else (0,):
            urns = {
                "ACCOUNT": _account_urn(row.campaign.account),
                "CAMPAIGN": _urn(row.campaign),
                "CREATIVE": f"urn:li:sponsoredCreative:{row.campaign.vendor_id}{number}",
            }
            period = (row.day, row.day) if granularity == "DAILY" else whole
            total = sums.setdefault(
                (period, tuple(urns[pivot] for pivot in pivots)), dict.fromkeys((*_LONGS, *_AMOUNTS), 0)
            )
            for name, amount in amounts.items():
                if amount is None or total[name] is None:
                    total[name] = None
                else:
                    total[name] += (amount, amount // 3, amount - amount // 3)[number]
    for ((start, end), pivot_values), total in sums.items():
        told: Flat = {"dateRange": {"start": _date(start), "end": _date(end)}, "pivotValues": list(pivot_values)}
        told |= {name: total[name] for name in _LONGS}
        told |= {name: decimal_text(total[name]) for name in _AMOUNTS if total[name] is not None}
        yield {field: told[field] for field in fields if field in told}


def _amounts(row: AdRow, known: dict[tuple[str, dt.date], int]) -> dict[str, int | None]:
    """What a row adds: counts, and micros of amounts (None: there is no rate for the day)."""
    figures, currency = row.figures, row.campaign.account.account.currency
    return {
        "impressions": figures.impressions,
        "clicks": figures.clicks,
        "landingPageClicks": figures.clicks,
        "oneClickLeads": figures.leads or 0,
        "externalWebsiteConversions": whole_conversions(figures),
        "costInLocalCurrency": figures.spend_micro,
        "costInUsd": _in_usd(figures.spend_micro, currency, row.day, known),
        "conversionValueInLocalCurrency": figures.value_micro,
    }


def _in_usd(micro: int, currency: str, day: dt.date, known: dict[tuple[str, dt.date], int]) -> int | None:
    """Micros of US dollars by the company's rates, which are in EUR; None without a rate of the last days."""
    if currency == "USD":
        return micro
    in_eur = convert(micro, currency, day, known).amount_micro
    days = (day - dt.timedelta(days=age) for age in range(MAX_CARRY_DAYS + 1))
    rate = next((known["USD", each] for each in days if ("USD", each) in known), None)
    return None if in_eur is None or rate is None else half_away(in_eur * NANO, rate)


def _wanted(campaign: AdCampaign, asked: dict[str, str]) -> bool:
    facets = {"accounts": _account_urn(campaign.account), "campaigns": _urn(campaign)}
    return all(urn in _list(asked[facet]) for facet, urn in facets.items() if facet in asked)


def _date_range(records: AdRecords, text: str) -> tuple[dt.date, dt.date]:
    """`(start:(year:2026,month:3,day:1),end:(...))`; without an end up to the present day."""
    value = _record(text)
    try:
        first, last = (
            dt.date(*(int(value[side][part]) for part in ("year", "month", "day"))) if side in value else None
            for side in ("start", "end")
        )
    except (KeyError, TypeError, ValueError):
        raise _bad("Invalid query parameters passed to request: dateRange") from None
    if first is None or (last is not None and last < first):
        raise _bad("Invalid query parameters passed to request: dateRange")
    return first, last or records.last_day()


def _search(nodes: list[Flat], asked: dict[str, str]) -> Flat:
    """A page of what a search finds; `metadata.nextPageToken` is there until the last page."""
    if unquote(asked.get("q", "")) != "search":
        raise _bad("Invalid finder: q must be search")
    criteria = _record(asked["search"]) if asked.get("search") else {}
    if set(criteria) - {"status", "id", "test"}:
        raise _bad("Invalid query parameters passed to request: search")
    for name in ("status", "id"):
        if name in criteria:
            values = {str(value).rpartition(":")[2] for value in criteria[name]["values"]}
            nodes = [node for node in nodes if str(node[name]) in values]
    if criteria.get("test") == "true":
        nodes = []
    try:
        size = int(asked.get("pageSize", PAGE_SIZE))
        start = int(base64.urlsafe_b64decode(unquote(asked["pageToken"]))) if asked.get("pageToken") else 0
    except ValueError:
        raise _bad("Invalid query parameters passed to request: pageSize, pageToken") from None
    if not 1 <= size <= LARGEST_PAGE:
        raise _bad(f"pageSize must be 1 to {LARGEST_PAGE}")
    more = start + size < len(nodes)
    token = {"nextPageToken": base64.urlsafe_b64encode(str(start + size).encode()).decode()} if more else {}
    return {"metadata": token, "elements": nodes[start : start + size]}


# A delimiter of Rest.li 2.0, or text up to the next one.
_RESTLI = re.compile(r"[():,]|[^():,]+")


def _record(text: str) -> Flat:
    value = _read(text)
    if not isinstance(value, dict):
        raise _bad("Invalid query parameters passed to request: a record is expected")
    return value


def _list(text: str) -> list[Any]:
    value = _read(text)
    if not isinstance(value, list):
        raise _bad("Invalid query parameters passed to request: a List is expected")
    return value


def _read(text: str) -> Any:
    """A Rest.li 2.0 value: `List(a,b)`, `(name:value,...)` or text, in which delimiters are percent-encoded."""
    words = _RESTLI.findall(text)
    value, end = _value(words, 0)
    if end != len(words):
        raise _bad(f"Invalid query parameters passed to request: {text}")
    return value


def _value(words: list[str], at: int) -> tuple[Any, int]:
    word = words[at] if at < len(words) else ""
    is_list = word == "List" and words[at + 1 : at + 2] == ["("]
    if word != "(" and not is_list:
        if word in ("", ")", ",", ":"):
            raise _bad("Invalid query parameters passed to request: a value is missing")
        return unquote(word), at + 1
    at += 2 if is_list else 1
    items: list[Any] = []
    record: Flat = {}
    while words[at : at + 1] != [")"]:
        item, at = _value(words, at)
        if not is_list:
            if words[at : at + 1] != [":"]:
                raise _bad("Invalid query parameters passed to request: a record is expected")
            record[str(item)], at = _value(words, at + 1)
        items.append(item)
        if words[at : at + 1] == [","]:
            at += 1
        elif words[at : at + 1] != [")"]:
            raise _bad("Invalid query parameters passed to request: reserved characters must be encoded")
    return (items if is_list else record), at + 1


def _bad(message: str) -> _RestError:
    return _RestError(400, "ILLEGAL_ARGUMENT", message)


def _date(day: dt.date) -> dict[str, int]:
    return {"year": day.year, "month": day.month, "day": day.day}


def _urn(campaign: AdCampaign) -> str:
    return f"urn:li:sponsoredCampaign:{campaign.vendor_id}"


def _account_urn(account: AdAccount) -> str:
    return f"urn:li:sponsoredAccount:{account.vendor_id}"


def _account_node(account: AdAccount) -> Flat:
    return {
        "id": int(account.vendor_id),
        "name": account.account.name,
        "currency": account.account.currency,
        "status": "ACTIVE",
        "servingStatuses": ["RUNNABLE"],
        "type": "BUSINESS",
        "reference": ORGANIZATION,
        "test": False,
        "version": {"versionTag": "1"},
    }


def _campaign_node(campaign: AdCampaign) -> Flat:
    started = dt.datetime.combine(campaign.campaign.started_on, dt.time(), dt.UTC)
    return {
        "id": int(campaign.vendor_id),
        "account": _account_urn(campaign.account),
        "associatedEntity": ORGANIZATION,
        "name": campaign.name,
        "status": "ACTIVE",
        "servingStatuses": ["RUNNABLE"],
        "type": "SPONSORED_UPDATES",
        "format": "SINGLE_VIDEO",
        "objectiveType": _OBJECTIVES[campaign.campaign.goal],
        "costType": "CPV",
        "dailyBudget": {
            "amount": decimal_text(campaign.campaign.budget_micro),
            "currencyCode": campaign.account.account.currency,
        },
        "runSchedule": {"start": int(started.timestamp() * 1_000)},
        "test": False,
        "version": {"versionTag": "1"},
    }
