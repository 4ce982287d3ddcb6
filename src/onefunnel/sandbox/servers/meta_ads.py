"""The company's social ads as Meta's Marketing API tells them: ad accounts, campaigns, insights at once and as jobs.

Sources, pages of Meta's documentation: *Ad Account Insights* and *Ads Insights* (fields, numeric strings, time_range,
time_increment), *Insights API, Asynchronous Jobs* (report_run_id, async_status), *Insights API, Limits & Best Practices*
(x-fb-ads-insights-throttle, 100/1487534), *Rate Limits* (x-app-usage, x-business-use-case-usage), *Marketing API Rate
Limiting* (4, 17/2446079), *Handle Errors* and *Marketing API Error Codes* (2, 100, 190, 200, 2635, 3018), *Paginated
Results* (cursors, an absolute `next` that repeats the access token).

Meta counts one conversion under several action types: each lead is a `lead` and an `offsite_conversion.fb_pixel_lead`,
each purchase is that thrice. Where attribution windows are asked for, an action has its part of each beside its value.
Amounts are decimal strings in the account's currency; an action that did not happen is not listed, and what a row has no
value for is not there.

Further endpoints outside the vendor's path: `POST /_sandbox/errors {"code": 17, "times": 2}` lets the next calls fail
as Meta does; `POST /_sandbox/jobs {"outcome": "Job Failed" | "Job Skipped" | "stuck", "times": 1}` spoils the next jobs.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.events import Figures
from onefunnel.sandbox.servers.ad_records import (
    AdAccount,
    AdCampaign,
    AdRecords,
    AdRow,
    bearer,
    decimal_text,
    new_ads_app,
)
from onefunnel.sandbox.world import SOCIAL

OLDEST_VERSION, LATEST_VERSION = 22, 26
PAGE_ROWS, LARGEST_PAGE = 25, 5_000
SYNC_ROWS = 20_000
HISTORY_MONTHS = 37
BUSINESS_ID = "880000000000001"
ACCESS_TOKEN = "EAAsandbox"  # noqa: S105  (of a system user: it does not expire, and the company does not exist)
OUTCOMES = ("Job Failed", "Job Skipped", "stuck")

_OBJECTIVES = {"leads": "OUTCOME_LEADS", "sales": "OUTCOME_SALES", "awareness": "OUTCOME_AWARENESS"}
_PLATFORMS = {"Feed": "facebook", "Story": "instagram", "Netzwerk": "audience_network"}
_DEFAULT_FIELDS = ("impressions", "spend")
_FIELDS = frozenset(
    {
        "account_id",
        "account_name",
        "account_currency",
        "campaign_id",
        "campaign_name",
        "adset_id",
        "ad_id",
        "objective",
        "impressions",
        "clicks",
        "spend",
        "actions",
        "action_values",
        "date_start",
        "date_stop",
    }
)
_ACCOUNT_FIELDS = ("id", "account_id", "name", "currency", "timezone_name", "account_status")
_CAMPAIGN_FIELDS = ("id", "account_id", "name", "objective", "status", "effective_status", "start_time")
_LEAD_TYPES = ("lead", "offsite_conversion.fb_pixel_lead")
_LEVELS = ("account", "campaign", "adset", "ad")
_WINDOWS = ("7d_click", "1d_view")
_PURCHASE_TYPES = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")

Flat = dict[str, Any]


class _GraphError(Exception):
    """An answer that is Meta's error object."""

    def __init__(self, http: int, code: int, message: str, *, subcode: int = 0, **more: Any) -> None:
        super().__init__(message)
        self.http, self.code, self.subcode, self.more = http, code, subcode, more

    def body(self, trace: str) -> Flat:
        error: Flat = {"message": str(self), "type": "OAuthException", "code": self.code, **self.more}
        if self.subcode:
            error["error_subcode"] = self.subcode
        return {"error": error | {"fbtrace_id": trace}}


def _on_demand(code: int) -> _GraphError:
    """What Meta answers when it limits the caller or is out of order."""
    match code:
        case 1:
            message = "Please reduce the amount of data you're asking for, then retry your request"
            return _GraphError(500, 1, message, subcode=99)
        case 2:
            message = "An unexpected error has occurred. Please retry your request later."
            return _GraphError(500, 2, message, is_transient=True)
        case 4:
            message = "There have been too many calls from this app. Wait a bit and try again."
            return _GraphError(403, 4, message, subcode=1504022, is_transient=True)
        case 17:
            return _GraphError(400, 17, "User request limit reached", subcode=2446079, is_transient=True)
        case 190:
            message = "Error validating access token: The session has been invalidated."
            return _GraphError(400, 190, message, subcode=460)
    raise KeyError(code)


@dataclass
class _Job:
    """An asynchronous report: what it will say and how far it is; each look at it brings it a step further."""

    id: str
    account: AdAccount
    rows: list[Flat]
    first: dt.date
    last: dt.date
    outcome: str
    asked: int = 0

    def state(self) -> tuple[str, int]:
        """(async_status, async_percent_completion) of this look."""
        self.asked += 1
        if self.asked == 1:
            return "Job Not Started", 0
        if self.asked == 2 or self.outcome == "stuck":
            return "Job Running", 99 if self.outcome == "stuck" else 40
        return (self.outcome, 100 if self.outcome == "Job Completed" else 40)


class _Server:
    """What the server remembers between calls."""

    def __init__(self, records: AdRecords, sync_rows: int) -> None:
        self.records, self.sync_rows = records, sync_rows
        self.calls = 0
        self.failing: list[int] = []
        self.outcomes: list[str] = []
        self.jobs: dict[str, _Job] = {}

    def usage(self, account: AdAccount | None, *, insights: bool) -> dict[str, str]:
        """The usage headers, per cent of what is allowed."""
        percent = min(100, self.calls // 50)
        of_business = {
            "type": "ads_insights" if insights else "ads_management",
            "call_count": percent,
            "total_cputime": percent,
            "total_time": percent,
            "estimated_time_to_regain_access": 0,
            "ads_api_access_tier": "standard_access",
        }
        headers: Flat = {
            "x-app-usage": {"call_count": percent, "total_cputime": percent, "total_time": percent},
            "x-business-use-case-usage": {BUSINESS_ID: [of_business]},
        }
        tier = {"ads_api_access_tier": "standard_access"}
        if account is not None:
            headers["x-ad-account-usage"] = {"acc_id_util_pct": percent, "reset_time_duration": 0} | tier
        if insights:
            headers["x-fb-ads-insights-throttle"] = {"app_id_util_pct": percent, "acc_id_util_pct": percent} | tier
        return {name: json.dumps(value) for name, value in headers.items()}


def connection(base: str) -> dict[str, Any]:
    """The Airflow connection with which a client reaches this server at `base`."""
    return {"conn_type": "generic", "host": base, "password": ACCESS_TOKEN}


def make_app(company: Company, day: int, *, sync_rows: int = SYNC_ROWS) -> FastAPI:
    """The Marketing API of a company on one of its days.

    Args:
        sync_rows: how many rows insights may have that are asked for without a job.
    """
    records = AdRecords(company, SOCIAL, day, tokens={ACCESS_TOKEN}, lasting=True)
    app = new_ads_app("Meta Marketing API", records)
    server = _Server(records, sync_rows)

    @app.post("/_sandbox/errors")
    async def fail(request: Request) -> JSONResponse:
        wanted = await request.json()
        try:
            _on_demand(wanted["code"])
        except KeyError:
            return JSONResponse({"error": "no such error"}, 400)
        server.failing += [wanted["code"]] * int(wanted.get("times", 1))
        return JSONResponse({"failing": server.failing})

    @app.post("/_sandbox/jobs")
    async def spoil(request: Request) -> JSONResponse:
        wanted = await request.json()
        if wanted.get("outcome") not in OUTCOMES:
            return JSONResponse({"error": f"an outcome is one of {', '.join(OUTCOMES)}"}, 400)
        server.outcomes += [wanted["outcome"]] * int(wanted.get("times", 1))
        return JSONResponse({"outcomes": server.outcomes})

    @app.api_route("/v{version}/{path:path}", methods=["GET", "POST"])
    async def graph(version: str, path: str, request: Request) -> JSONResponse:
        server.calls += 1
        trace = base64.b64encode(f"sandbox {server.calls:06d}".encode()).decode().rstrip("=")
        asked = {**request.query_params, **({} if request.method == "GET" else await _form(request))}
        headers = server.usage(_account_in(records, path), insights=path.endswith("insights"))
        try:
            _check(records, version, asked.get("access_token") or bearer(request))
            if server.failing:
                raise _on_demand(server.failing.pop(0))
            return JSONResponse(_answer(server, request, path.strip("/"), asked), headers=headers)
        except _GraphError as error:
            return JSONResponse(error.body(trace), error.http, headers=headers)

    return app


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, or of a JSON object."""
    if request.headers.get("content-type", "").startswith("application/json"):
        body = json.loads(await request.body() or b"{}")
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
    return {name: str(value) for name, value in (await request.form()).items()}


def _check(records: AdRecords, version: str, token: str) -> None:
    number = re.fullmatch(r"(\d+)\.0", version)
    if number is None or int(number[1]) > LATEST_VERSION:
        raise _GraphError(400, 2500, f"Unknown path components: /v{version}")
    if int(number[1]) < OLDEST_VERSION:
        message = "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest version"
        raise _GraphError(400, 2635, f"{message}: v{LATEST_VERSION}.0.")
    if not token:
        raise _GraphError(400, 2500, "An active access token must be used to query information about the current user.")
    if token not in records.tokens:
        raise _GraphError(400, 190, "Invalid OAuth access token - Cannot parse access token")


def _answer(server: _Server, request: Request, path: str, asked: dict[str, str]) -> Flat:
    """The answer to a call of the Graph API.

    Raises:
        _GraphError: the call is refused.
    """
    records = server.records
    if path == "me/adaccounts":
        nodes = ({"id": f"act_{a.vendor_id}", **_account_node(a)} for a in records.accounts())
        return _page(request, asked, [_chosen(node, asked, _ACCOUNT_FIELDS, ("account_id",)) for node in nodes])
    node, _, edge = path.partition("/")
    if node in server.jobs and edge in ("", "insights"):
        return _job(request, asked, server.jobs[node], results=edge == "insights")
    account = _account_in(records, path)
    if account is None or edge not in ("", "campaigns", "insights"):
        message = (
            f"Unsupported {request.method.lower()} request. Object with ID '{node}' does not exist, cannot be loaded "
            "due to missing permissions, or does not support this operation. Please read the Graph API documentation "
            "at https://developers.facebook.com/docs/graph-api"
        )
        raise _GraphError(400, 100, message, subcode=33, type="GraphMethodException")
    if account.vendor_id in records.withheld:
        message = "(#200) Ad account owner has NOT grant ads_management or ads_read permission"
        raise _GraphError(403, 200, message)
    if edge == "insights":
        return _insights(server, request, account, asked)
    if edge == "campaigns":
        campaigns = [_campaign_node(campaign) for campaign in records.campaigns(account)]
        return _page(request, asked, [_chosen(each, asked, _CAMPAIGN_FIELDS, ()) for each in campaigns])
    return _chosen(
        {"id": f"act_{account.vendor_id}", **_account_node(account)}, asked, _ACCOUNT_FIELDS, ("account_id",)
    )


def _insights(server: _Server, request: Request, account: AdAccount, asked: dict[str, str]) -> Flat:
    """Insights of an account: a page of rows, or with POST the id of a job."""
    records = server.records
    level = asked.get("level", "account")
    if level not in _LEVELS:
        message = f"(#100) level must be one of the following values: {', '.join(_LEVELS)} (not {level})"
        raise _GraphError(400, 100, message)
    fields = tuple(_fields(asked)) or _DEFAULT_FIELDS
    for field in fields:
        if field not in _FIELDS:
            message = (
                f"(#100) {field} is not valid for fields param. please check "
                "https://developers.facebook.com/docs/marketing-api/reference/ads-insights/ for all valid values"
            )
            raise _GraphError(400, 100, message)
    breakdowns = [b for b in asked.get("breakdowns", "").strip("[]").replace('"', "").split(",") if b]
    statuses = _statuses(asked, level)
    if set(breakdowns) - {"publisher_platform"} or statuses == []:
        raise _GraphError(400, 100, "(#100) Current combination of data breakdown columns or filtering is invalid")
    first, last = _time_range(records, asked)
    rows = list(
        _rows(
            records.rows(account, first, last) if statuses is None or "ACTIVE" in statuses else (),
            fields,
            level=level,
            by_platform=bool(breakdowns),
            windows=tuple(window for window in _WINDOWS if window in asked.get("action_attribution_windows", "")),
            periods=_periods(first, last, asked.get("time_increment", "all_days")),
        )
    )
    if request.method == "POST":
        number = f"60{len(server.jobs) + 1:013d}"
        outcome = server.outcomes.pop(0) if server.outcomes else "Job Completed"
        server.jobs[number] = _Job(number, account, rows, first, last, outcome)
        return {"report_run_id": number}
    if len(rows) > server.sync_rows:
        message = "Please reduce the amount of data you're asking for, then retry your request"
        raise _GraphError(400, 100, message, subcode=1487534)
    return _page(request, asked, rows)


def _statuses(asked: dict[str, str], level: str) -> list[str] | None:
    """The states that a filter names, `[]` for a filter of another kind, None without one. Every campaign here is active."""
    if "filtering" not in asked:
        return None
    match json.loads(asked["filtering"]):
        case [{"field": str(field), "operator": "IN", "value": [*values]}] if field == f"{level}.effective_status":
            return [str(value) for value in values]
    return []


def _job(request: Request, asked: dict[str, str], job: _Job, *, results: bool) -> Flat:
    if results:
        if job.asked < 3 or job.outcome != "Job Completed":
            raise _GraphError(400, 2601, "Error accessing adreport job.", subcode=1815107, is_transient=True)
        return _page(request, asked, job.rows)
    status, percent = job.state()
    return {
        "id": job.id,
        "account_id": job.account.vendor_id,
        "async_status": status,
        "async_percent_completion": percent,
        "date_start": job.first.isoformat(),
        "date_stop": job.last.isoformat(),
    }


def _rows(
    rows: Iterable[AdRow],
    fields: tuple[str, ...],
    *,
    level: str,
    by_platform: bool,
    windows: tuple[str, ...],
    periods: Mapping[dt.date, tuple[dt.date, dt.date]],
) -> Iterator[Flat]:
    """Rows per period, object of the level and platform that have any delivery; figures are summed as integers.

    A campaign is two ad sets with an ad each: the first has a third of every figure, the second the rest.
    """
    sums: dict[tuple[tuple[dt.date, dt.date], str, str, int], tuple[AdCampaign, list[int]]] = {}
    for row in rows:
        campaign = row.campaign
        platform = _PLATFORMS[campaign.campaign.network] if by_platform else ""
        for number in (1, 2) if level in ("adset", "ad") else (0,):
            key = (periods[row.day], "" if level == "account" else campaign.vendor_id, platform, number)
            _, total = sums.setdefault(key, (campaign, [0] * 6))
            for place, amount in enumerate(row.figures):
                whole = amount or 0
                total[place] += (whole, whole // 3, whole - whole // 3)[number]
    for ((start, stop), _, platform, number), (campaign, total) in sums.items():
        found: Flat = _account_fields(campaign.account)
        if level != "account":
            found |= {
                "campaign_id": campaign.vendor_id,
                "campaign_name": campaign.name,
                "objective": _OBJECTIVES[campaign.campaign.goal],
            }
        if number:
            found["adset_id"] = f"{campaign.vendor_id}{number}"
        if level == "ad":
            found["ad_id"] = f"{campaign.vendor_id}{number}0"
        found |= _metrics(Figures(*total), windows)
        chosen = {field: found[field] for field in fields if field in found}
        if by_platform:
            chosen["publisher_platform"] = platform
        yield chosen | {"date_start": start.isoformat(), "date_stop": stop.isoformat()}


def _metrics(figures: Figures, windows: tuple[str, ...]) -> Flat:
    """The metrics as numeric strings; actions and their values only when there are any."""
    leads = [_action(kind, (figures.leads or 0) * 1_000_000, 0, windows) for kind in _LEAD_TYPES if figures.leads]
    purchases = [
        _action(kind, figures.conversions_micro, 0, windows) for kind in _PURCHASE_TYPES if figures.conversions_micro
    ]
    clicks = [_action("link_click", figures.clicks * 1_000_000, 0, ())] if figures.clicks else []
    values = [_action(kind, figures.value_micro, 2, windows) for kind in _PURCHASE_TYPES if figures.value_micro]
    return {
        "spend": decimal_text(figures.spend_micro, 2),
        "impressions": str(figures.impressions),
        "clicks": str(figures.clicks),
        **({"actions": [*clicks, *leads, *purchases]} if clicks or leads or purchases else {}),
        **({"action_values": values} if values else {}),
    }


def _action(kind: str, micro: int, least: int, windows: tuple[str, ...]) -> Flat:
    """An action with its value, and the part of each attribution window that is asked for and has any (*Ads Action Stats*)."""
    viewed = micro // 4_000_000 * 1_000_000
    parts = {"7d_click": micro - viewed, "1d_view": viewed}
    told = {window: decimal_text(parts[window], least) for window in windows if parts[window]}
    return {"action_type": kind, "value": decimal_text(micro, least), **told}


def _time_range(records: AdRecords, asked: dict[str, str]) -> tuple[dt.date, dt.date]:
    """The days asked for; without a range the last 30 that are over (date_preset=last_30d)."""
    last = records.last_day()
    if "time_range" not in asked:
        preset = asked.get("date_preset", "last_30d")
        days = re.fullmatch(r"last_(\d+)d", preset)
        if preset not in ("yesterday", "maximum") and days is None:
            raise _GraphError(400, 100, f"(#100) date_preset must be a valid value (not {preset})")
        if preset == "maximum":
            return records.company.simulation.first_day, last
        return last - dt.timedelta(days=(int(days[1]) if days else 1) - 1), last
    try:
        wanted = json.loads(asked["time_range"].replace("'", '"'))
        since, until = dt.date.fromisoformat(wanted["since"]), dt.date.fromisoformat(wanted["until"])
    except (ValueError, KeyError, TypeError):
        raise _GraphError(400, 100, "(#100) param time_range must be a valid JSON object with since, until") from None
    if since > until:
        raise _GraphError(400, 100, "(#100) Invalid parameter: since is later than until", subcode=1487110)
    today = last + dt.timedelta(days=1)
    months = (today.year - since.year) * 12 + today.month - since.month - (today.day < since.day)
    if months >= HISTORY_MONTHS:
        message = "(#3018) The start date of the time range cannot be beyond 37 months from the current date"
        raise _GraphError(400, 3018, message)
    return since, until


def _periods(first: dt.date, last: dt.date, increment: str) -> dict[dt.date, tuple[dt.date, dt.date]]:
    """Each day's period: the whole range, or pieces of so many days."""
    whole = (last - first).days + 1
    if increment != "all_days" and not (increment.isdigit() and 1 <= int(increment) <= 90):
        raise _GraphError(400, 100, f"(#100) time_increment must be all_days or 1 to 90 (not {increment})")
    size = whole if increment == "all_days" else int(increment)
    found = {}
    for n in range(whole):
        start = first + dt.timedelta(days=n - n % size)
        found[first + dt.timedelta(days=n)] = (start, min(last, start + dt.timedelta(days=size - 1)))
    return found


def _page(request: Request, asked: dict[str, str], rows: list[Flat]) -> Flat:
    """A page after a cursor. `next` is an absolute address with all parameters, the access token too."""
    try:
        limit = int(asked.get("limit", PAGE_ROWS))
        start = int(base64.urlsafe_b64decode(asked["after"])) if asked.get("after") else 0
    except ValueError:
        raise _GraphError(400, 100, "(#100) Invalid cursors values", subcode=2642) from None
    if not 1 <= limit <= LARGEST_PAGE:
        raise _GraphError(400, 100, f"(#100) limit must be 1 to {LARGEST_PAGE}")
    page = rows[start : start + limit]
    if not page:
        return {"data": []}
    before, after = (base64.urlsafe_b64encode(str(n).encode()).decode() for n in (start, start + len(page)))
    paging: Flat = {"cursors": {"before": before, "after": after}}
    if start + len(page) < len(rows):
        token = {"access_token": asked.get("access_token") or bearer(request)}
        paging["next"] = f"{request.url.replace(query='')}?{urlencode({**asked, **token, 'after': after})}"
    return {"data": page, "paging": paging}


def _fields(asked: dict[str, str]) -> list[str]:
    """`fields` as clients write it: with commas, or as a JSON array (Meta's own SDK in the form of a job)."""
    said = asked.get("fields", "")
    if said.startswith("["):
        try:
            return [str(field) for field in json.loads(said)]
        except ValueError:
            raise _GraphError(400, 100, "(#100) param fields must be an array.") from None
    return [field for field in said.split(",") if field]


def _chosen(node: Flat, asked: dict[str, str], known: tuple[str, ...], default: tuple[str, ...]) -> Flat:
    """The fields of a node that are asked for; its id is always there."""
    wanted = _fields(asked) or list(default)
    for field in wanted:
        if field not in known:
            raise _GraphError(400, 100, f"(#100) Tried accessing nonexisting field ({field})")
    return {field: node[field] for field in known if field in wanted or field == "id"}


def _account_in(records: AdRecords, path: str) -> AdAccount | None:
    found = re.match(r"act_(\d+)(?:/|$)", path)
    return records.account(found[1]) if found else None


def _account_node(account: AdAccount) -> Flat:
    return {
        "account_id": account.vendor_id,
        "name": account.account.name,
        "currency": account.account.currency,
        "timezone_name": account.account.time_zone,
        "account_status": 1,
    }


def _account_fields(account: AdAccount) -> Flat:
    return {
        "account_id": account.vendor_id,
        "account_name": account.account.name,
        "account_currency": account.account.currency,
    }


def _campaign_node(campaign: AdCampaign) -> Flat:
    return {
        "id": campaign.vendor_id,
        "account_id": campaign.account.vendor_id,
        "name": campaign.name,
        "objective": _OBJECTIVES[campaign.campaign.goal],
        "status": "ACTIVE",
        "effective_status": "ACTIVE",
        "start_time": f"{campaign.campaign.started_on.isoformat()}T00:00:00+0000",
    }
