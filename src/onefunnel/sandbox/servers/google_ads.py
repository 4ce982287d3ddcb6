"""The company's search ads as the Google Ads API (REST) tells them: `googleAds:searchStream` and what leads up to it.

Sources, pages of the Google Ads API documentation: *Method: customers.googleAds.searchStream* (an array of batches),
*JSON mappings* (lowerCamelCase, int64 as strings, doubles as numbers), *Google Ads Query Language* and *QueryError*,
*Zero metrics*, *Segmentation*, *REST authorization and headers* (developer-token, login-customer-id), *Understand API
errors*, *GoogleAdsFailure*, *CustomerClient*, *ConversionAction*, and *Using OAuth 2.0 to access Google APIs*.

What the company calls a conversion is the action `Purchase`, which counts in `metrics.conversions`; what it calls a lead
is the action `Lead form`, which does not and is in `metrics.all_conversions` only. Shopping is sold as Performance Max
campaigns, which have no ad groups: only the levels `campaign` and `customer` hold all that was spent.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.events import Figures
from onefunnel.sandbox.servers.ad_records import AdAccount, AdCampaign, AdRecords, bearer, new_ads_app
from onefunnel.sandbox.servers.google_ads_query import (
    FIELDS,
    INT64,
    REPORTED,
    Condition,
    Query,
    Refused,
    parse,
    query_error,
    validate,
)
from onefunnel.sandbox.vendor_ids import SEARCH_ACCOUNTS
from onefunnel.sandbox.world import SEARCH

OLDEST_VERSION, LATEST_VERSION = 23, 26
BATCH_ROWS = 10_000
TOKEN_SECONDS = 3_599
MANAGER_ID = "5712040000"
# The company does not exist, so none of these opens anything.
DEVELOPER_TOKEN = "sandbox-developer-token"  # noqa: S105
CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "sandbox-client", "sandbox-secret", "sandbox-refresh"

_CHANNELS = {"SEARCH": "SEARCH", "SHOPPING": "PERFORMANCE_MAX", "PARTNERS": "DISPLAY"}
_METRICS = tuple(field for field in FIELDS if field.startswith("metrics."))
Flat = dict[str, Any]


def connection(base: str) -> dict[str, Any]:
    """The Airflow connection with which a client reaches this server at `base`."""
    return {
        "conn_type": "google_ads",
        "host": base,
        "login": CLIENT_ID,
        "password": CLIENT_SECRET,
        "extra": {
            "refresh_token": REFRESH_TOKEN,
            "developer_token": DEVELOPER_TOKEN,
            "login_customer_id": MANAGER_ID,
            "token_url": f"{base}/token",
        },
    }


class ConversionAction(NamedTuple):
    """Something that Google counts as a conversion of an account; windows are days."""

    id: int
    name: str
    category: str
    primary_for_goal: bool
    click_days: int
    view_days: int = 1


LEAD = ConversionAction(700_000_001, "Lead form", "SUBMIT_LEAD_FORM", False, 30)
PURCHASE = ConversionAction(700_000_002, "Purchase", "PURCHASE", True, 60)


def make_app(company: Company, day: int, *, batch_rows: int = BATCH_ROWS) -> FastAPI:
    """The Google Ads API and Google's token endpoint of a company on one of its days.

    Args:
        batch_rows: rows in one element of the array that searchStream answers.
    """
    there = SEARCH_ACCOUNTS["google_ads"] if company.served else None
    records = AdRecords(company, SEARCH, day, tokens=set(), lasting=False, accounts=there)
    app = new_ads_app("Google Ads API", records)
    requests = 0

    def request_id() -> str:
        nonlocal requests
        requests += 1
        return f"sandbox{requests:015d}"

    @app.post("/token")
    async def token(request: Request) -> JSONResponse:
        form = await request.form()
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            body = {"error": "invalid_client", "error_description": "The OAuth client was not found."}
            return JSONResponse(body, 401)
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != REFRESH_TOKEN:
            body = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
            return JSONResponse(body, 400)
        return JSONResponse(
            {
                "access_token": records.new_token("ya29.sandbox"),
                "expires_in": TOKEN_SECONDS,
                "scope": "https://www.googleapis.com/auth/adwords",
                "token_type": "Bearer",
            }
        )

    @app.get("/v{version}/customers:listAccessibleCustomers")
    async def list_accessible_customers(version: int, request: Request) -> JSONResponse:
        try:
            _authenticate(request, records, version)
        except Refused as failure:
            return JSONResponse(_error(failure, version, request_id()), failure.http)
        return JSONResponse({"resourceNames": [f"customers/{MANAGER_ID}"]})

    @app.post("/v{version}/customers/{customer_id}/googleAds:searchStream")
    async def search_stream(version: int, customer_id: str, request: Request) -> JSONResponse:
        this = request_id()
        try:
            _authenticate(request, records, version)
            account = _authorize(request, records, customer_id)
            text = (await request.json()).get("query", "")
            query = parse(text)
            validate(query, is_manager=account is None)
            results = list(_answer(records, account, query))
        except Refused as failure:
            # The stream is an array, also when its only element is an error.
            return JSONResponse([_error(failure, version, this)], failure.http, headers={"request-id": this})
        mask = ",".join(".".join(_camel(part) for part in field.split(".")) for field in query.fields)
        batches: list[Flat] = [
            {"results": results[start : start + batch_rows], "fieldMask": mask, "requestId": this}
            for start in range(0, len(results), batch_rows)
        ] or [{"fieldMask": mask, "requestId": this}]
        batches[-1]["queryResourceConsumption"] = str(max(1, len(results)))
        return JSONResponse(batches, headers={"request-id": this})

    return app


def _authenticate(request: Request, records: AdRecords, version: int) -> None:
    if not OLDEST_VERSION <= version <= LATEST_VERSION:
        message = f"Version v{version} is deprecated. Requests to this version will be blocked."
        raise Refused(400, "INVALID_ARGUMENT", "requestError", "UNSUPPORTED_VERSION", message)
    if bearer(request) not in records.tokens:
        message = "Request had invalid authentication credentials. Expected OAuth 2 access token."
        raise Refused(401, "UNAUTHENTICATED", "authenticationError", "OAUTH_TOKEN_INVALID", message)
    if request.headers.get("developer-token") is None:
        message = "Developer token parameter was missing in the request."
        raise Refused(400, "INVALID_ARGUMENT", "requestError", "DEVELOPER_TOKEN_PARAMETER_MISSING", message)
    if request.headers["developer-token"] != DEVELOPER_TOKEN:
        message = "The developer token is not valid."
        raise Refused(401, "UNAUTHENTICATED", "authenticationError", "DEVELOPER_TOKEN_INVALID", message)


def _authorize(request: Request, records: AdRecords, customer_id: str) -> AdAccount | None:
    """The account of a customer, None for the manager, through which all others are reached."""
    if not re.fullmatch(r"\d{10}", customer_id):
        message = f"Invalid customer ID '{customer_id}'."
        raise Refused(400, "INVALID_ARGUMENT", "requestError", "INVALID_CUSTOMER_ID", message)
    if customer_id == MANAGER_ID:
        return None
    account = next((a for a in records.accounts() if a.vendor_id == customer_id), None)
    if account is None or request.headers.get("login-customer-id") != MANAGER_ID:
        message = (
            "User doesn't have permission to access customer. Note: If you're accessing a client customer, the "
            "manager's customer id must be set in the 'login-customer-id' header."
        )
        raise Refused(403, "PERMISSION_DENIED", "authorizationError", "USER_PERMISSION_DENIED", message)
    return account


def _answer(records: AdRecords, account: AdAccount | None, query: Query) -> Iterator[Flat]:
    """The rows of a query, shaped as JSON."""
    rows = _reported(records, account, query) if query.resource in REPORTED else _listed(records, account, query)
    found = [row for row in rows if all(_holds(row, c) for c in query.conditions if c.field != "segments.date")]
    for field, descending in reversed(query.order):
        found.sort(key=lambda row: row[field], reverse=descending)
    for row in found[: query.limit]:
        yield _shape(row, query)


def _shape(row: Flat, query: Query) -> Flat:
    """Nested objects of the selected fields; the names of the resources that occur are always there."""
    owners = dict.fromkeys((query.resource, *(f.partition(".")[0] for f in query.fields)))
    names = [f"{owner}.resource_name" for owner in owners if owner not in ("segments", "metrics")]
    shaped: Flat = {}
    for field in (*names, *query.fields):
        *path, last = field.split(".")
        target = shaped
        for part in path:
            target = target.setdefault(_camel(part), {})
        value = row[field]
        target[_camel(last)] = str(value) if FIELDS[field] == INT64 else value
    return shaped


def _listed(records: AdRecords, account: AdAccount | None, query: Query) -> Iterator[Flat]:
    """The clients of the manager, or the conversion actions of an account."""
    customer = _customer(account)
    if query.resource == "customer_client":
        for client in (None, *records.accounts()) if account is None else ():
            them = _customer(client)
            yield customer | {
                "customer_client.resource_name": f"customers/{MANAGER_ID}/customerClients/{them['customer.id']}",
                "customer_client.client_customer": them["customer.resource_name"],
                "customer_client.level": 0 if client is None else 1,
                "customer_client.hidden": False,
                **{
                    f"customer_client.{name}": them[f"customer.{name}"]
                    for name in ("id", "manager", "descriptive_name", "currency_code", "time_zone", "status")
                },
            }
        return
    for action in _actions(account):
        yield customer | {
            "conversion_action.resource_name": f"{customer['customer.resource_name']}/conversionActions/{action.id}",
            "conversion_action.id": action.id,
            "conversion_action.name": action.name,
            "conversion_action.status": "ENABLED",
            "conversion_action.category": action.category,
            "conversion_action.primary_for_goal": action.primary_for_goal,
            "conversion_action.click_through_lookback_window_days": action.click_days,
            "conversion_action.view_through_lookback_window_days": action.view_days,
        }


def _reported(records: AdRecords, account: AdAccount | None, query: Query) -> Iterator[Flat]:
    """A row per resource, and per day and conversion action when they are selected, with its metrics summed.

    With a segment, a row whose selected metrics are all zero is left out (*Zero metrics*); without one it is there.
    """
    if account is None:
        yield _customer(None)
        return
    parts = {c.vendor_id: list(_parts(_customer(account), c, query.resource)) for c in records.campaigns(account)}
    attributes = {part[f"{query.resource}.resource_name"]: part for each in parts.values() for part in each}
    sums: dict[tuple[str, str, int], dict[str, int]] = {}
    if not (query.by_day or query.by_action):
        sums = {(name, "", 0): dict.fromkeys(_METRICS, 0) for name in attributes}
    dates = _dates(records, account, query)
    first, last = _range(dates)
    for row in records.rows(account, first, last) if query.metrics or query.by_day else ():
        if not all(_holds({"segments.date": row.day.isoformat()}, condition) for condition in dates):
            continue
        day = row.day.isoformat() if query.by_day else ""
        places = parts[row.campaign.vendor_id]
        for place, part in enumerate(places):
            for action_id, amounts in _amounts(row.figures, by_action=query.by_action):
                key = (part[f"{query.resource}.resource_name"], day, action_id)
                total = sums.setdefault(key, dict.fromkeys(_METRICS, 0))
                for metric, amount in amounts.items():
                    total[metric] += _share(amount, place, len(places))
    actions = {action.id: action for action in _actions(account)}
    for (name, day, action_id), total in sums.items():
        if (day or action_id) and query.metrics and not any(total[metric] for metric in query.metrics):
            continue
        metrics = {metric: v if FIELDS[metric] == INT64 else v / 1_000_000 for metric, v in total.items()}
        found: Flat = attributes[name] | metrics | {"segments.date": day}
        if action_id:
            found["segments.conversion_action"] = f"customers/{account.vendor_id}/conversionActions/{action_id}"
            found["segments.conversion_action_name"] = actions[action_id].name
            found["segments.conversion_action_category"] = actions[action_id].category
        yield found


def _amounts(figures: Figures, *, by_action: bool) -> Iterator[tuple[int, dict[str, int]]]:
    """What a row adds to which metrics, in micros except counts: per conversion action, or for all of them (id 0)."""
    leads = (figures.leads or 0) * 1_000_000
    purchases = {
        "metrics.conversions": figures.conversions_micro,
        "metrics.conversions_value": figures.value_micro,
        "metrics.all_conversions": figures.conversions_micro,
        "metrics.all_conversions_value": figures.value_micro,
    }
    if by_action:
        yield LEAD.id, {"metrics.all_conversions": leads}
        yield PURCHASE.id, purchases
        return
    counted = {
        "metrics.cost_micros": figures.spend_micro,
        "metrics.impressions": figures.impressions,
        "metrics.clicks": figures.clicks,
        "metrics.all_conversions": figures.conversions_micro + leads,
    }
    yield 0, purchases | counted


def _share(amount: int, place: int, count: int) -> int:
    """The part of an amount that falls to one of `count` places: equal parts, the rest to the last."""
    return amount // count if place < count - 1 else amount - (count - 1) * (amount // count)


def _parts(customer: Flat, campaign: AdCampaign, resource: str) -> Iterator[Flat]:
    """The rows of `resource` that a campaign's figures are divided into."""
    if resource == "customer":
        yield customer
        return
    home = customer["customer.resource_name"]
    entity = customer | {
        "campaign.resource_name": f"{home}/campaigns/{campaign.vendor_id}",
        "campaign.id": int(campaign.vendor_id),
        "campaign.name": campaign.name,
        "campaign.status": "ENABLED",
        "campaign.advertising_channel_type": _CHANNELS[campaign.campaign.network],
    }
    if resource == "campaign":
        yield entity
        return
    if entity["campaign.advertising_channel_type"] == "PERFORMANCE_MAX":
        return
    for number in (1, 2):
        group = int(campaign.vendor_id) * 10 + number
        yield entity | {
            "ad_group.resource_name": f"{home}/adGroups/{group}",
            "ad_group.id": group,
            "ad_group.name": f"Group {number}",
            "ad_group.status": "ENABLED",
            "ad_group.campaign": entity["campaign.resource_name"],
            "ad_group_ad.resource_name": f"{home}/adGroupAds/{group}~{group * 10}",
            "ad_group_ad.status": "ENABLED",
            "ad_group_ad.ad_group": f"{home}/adGroups/{group}",
            "ad_group_ad.ad.id": group * 10,
        }


def _customer(account: AdAccount | None) -> Flat:
    number = MANAGER_ID if account is None else account.vendor_id
    return {
        "customer.resource_name": f"customers/{number}",
        "customer.id": int(number),
        "customer.descriptive_name": "All search accounts" if account is None else account.account.name,
        "customer.currency_code": "EUR" if account is None else account.account.currency,
        "customer.time_zone": "Europe/Berlin" if account is None else account.account.time_zone,
        "customer.manager": account is None,
        "customer.status": "ENABLED",
    }


def _actions(account: AdAccount | None) -> tuple[ConversionAction, ...]:
    if account is None:
        return ()
    return (LEAD, PURCHASE) if account.account.tracks_leads else (PURCHASE,)


def _dates(records: AdRecords, account: AdAccount, query: Query) -> list[Condition]:
    """The conditions on the date, DURING written out as days of the account's zone."""
    found = []
    for condition in query.conditions:
        if condition.field != "segments.date":
            continue
        if condition.operator == "DURING":
            first, last = _during(condition.values[0].upper(), records, account)
            condition = Condition(condition.field, "BETWEEN", (first.isoformat(), last.isoformat()))
        for value in condition.values:
            if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
                raise query_error("INVALID_DATE_FORMAT", f"Invalid date format: '{value}'.", condition.field)
        if condition.operator == "BETWEEN" and condition.values[0] > condition.values[1]:
            raise query_error("DATE_RANGE_TOO_NARROW", "The start date is after the end date.", condition.field)
        found.append(condition)
    return found


def _range(dates: list[Condition]) -> tuple[dt.date, dt.date]:
    """The days that can fulfil the conditions; whether they do is asked day by day."""
    first, last = dt.date.min, dt.date.max
    for condition in dates:
        if condition.operator in ("=", "BETWEEN", ">", ">="):
            first = max(first, dt.date.fromisoformat(condition.values[0]))
        if condition.operator in ("=", "BETWEEN", "<", "<="):
            last = min(last, dt.date.fromisoformat(condition.values[-1]))
    return first, last


def _during(word: str, records: AdRecords, account: AdAccount) -> tuple[dt.date, dt.date]:
    today = records.as_of().astimezone(ZoneInfo(account.account.time_zone)).date()
    yesterday = today - dt.timedelta(days=1)
    if word in ("TODAY", "YESTERDAY"):
        return (today, today) if word == "TODAY" else (yesterday, yesterday)
    if word in ("LAST_7_DAYS", "LAST_14_DAYS", "LAST_30_DAYS"):
        return today - dt.timedelta(days=int(word.split("_")[1])), yesterday
    if word == "THIS_MONTH":
        return today.replace(day=1), today
    if word == "LAST_MONTH":
        last = today.replace(day=1) - dt.timedelta(days=1)
        return last.replace(day=1), last
    raise query_error("INVALID_VALUE_WITH_DURING_OPERATOR", f"Invalid value with DURING: {word}.", "segments.date")


_COMPARED: dict[str, Callable[[Any, list[Any]], bool]] = {
    "=": lambda actual, wanted: bool(actual == wanted[0]),
    "!=": lambda actual, wanted: bool(actual != wanted[0]),
    "<": lambda actual, wanted: bool(actual < wanted[0]),
    "<=": lambda actual, wanted: bool(actual <= wanted[0]),
    ">": lambda actual, wanted: bool(actual > wanted[0]),
    ">=": lambda actual, wanted: bool(actual >= wanted[0]),
    "IN": lambda actual, wanted: actual in wanted,
    "NOT IN": lambda actual, wanted: actual not in wanted,
    "BETWEEN": lambda actual, wanted: bool(wanted[0] <= actual <= wanted[1]),
}


def _holds(row: Flat, condition: Condition) -> bool:
    if condition.operator not in _COMPARED:
        message = f"Operator {condition.operator} does not fit the field."
        raise query_error("OPERATOR_FIELD_MISMATCH", message, condition.field)
    actual = row[condition.field]
    return _COMPARED[condition.operator](actual, [_typed(v, actual, condition.field) for v in condition.values])


def _typed(text: str, like: Any, field: str) -> Any:
    if isinstance(like, bool):
        return text.upper() == "TRUE"
    if isinstance(like, str):
        return text
    try:
        return type(like)(text)
    except ValueError:
        raise query_error("BAD_NUMBER", f"Number {text} cannot be parsed.", field) from None


def _error(failure: Refused, version: int, request_id: str) -> Flat:
    error: Flat = {"errorCode": failure.code, "message": str(failure)}
    if failure.field:
        error["location"] = {"fieldPathElements": [{"fieldName": failure.field}]}
    summary = {
        400: "Request contains an invalid argument.",
        401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential.",
        403: "The caller does not have permission",
    }
    return {
        "error": {
            "code": failure.http,
            "message": summary[failure.http],
            "status": failure.status,
            "details": [
                {
                    "@type": f"type.googleapis.com/google.ads.googleads.v{version}.errors.GoogleAdsFailure",
                    "errors": [error],
                    "requestId": request_id,
                }
            ],
        }
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
