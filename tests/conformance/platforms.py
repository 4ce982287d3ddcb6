"""What the conformance suite knows of each connector: a declaration per platform, and why a case is none of it.

The table in docs/reference/connectors.md is made of these declarations and of the cases of test_conformance.py.
"""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sandbox.company import Company

COMPANY = Company(seed=3, scale=0.05, business=True)
SINCE = COMPANY.simulation.date_of(1) - dt.timedelta(days=4)
CANARY = "canary.person@example.com"  # in every error body of the vendor that a case makes up
# Texts that somebody may write into a name.
HOSTILE = (
    "a\x00b", "lone \ud83d half", "\udc00", "\u202eright to left\u202c", "👩‍👩‍👧‍👦 e\u0301 \ufeff", "line\r\nbreak\ttab", "x" * 1_000_000,
    "\"quoted\" 'and' `so`", "back\\slash \\u0041 \\ud83d", "'; drop table records; --", "=cmd|' /C calc'!A0", "{{ env_var('X') }}",
)  # fmt: skip


@dataclass(frozen=True)
class Spoiled:
    """What goes wrong, and what must become of it.

    Attributes:
        fault: of the answers at `Platform.page`, beside its place.
        error, says: what is raised, and a pattern of its message; None: nothing, the records are the same.
    """

    fault: Mapping[str, Any]
    says: str = ""
    error: type[OnefunnelError] | None = StepFailed


def refused(status: int, body: Any, says: str, error: type[OnefunnelError] = StepFailed, **more: Any) -> Spoiled:
    """An answer in the vendor's own words."""
    return Spoiled(
        {"kind": "status" if status >= 400 else "error_200", "status": max(status, 400), "body": body, **more},
        says,
        error,
    )


@dataclass(frozen=True)
class Platform:
    """One connector.

    Attributes:
        bulk, listed: the streams that most cases fetch: the one with many records, and a list.
        moving: the streams whose records change, in days of the company's.
        page: which answers hold the bulk's records, as a fault names them; `start` is one in the middle.
        tiny, settings: what makes pages tiny: constants of the connector, settings of the server.
        quick: what makes its pauses short.
        unknown: the texts of a `rewrite` that put an unknown field into every record.
        named: a stream with ids and texts: its columns of the id and the text, and how a text stands in an answer.
        number: stream, column and how its value stands in an answer.
        secrets: what the connection holds that must be right.
        token, with_token: the path of the token endpoint, and one that a token goes to where no page's is.
        takes_away: how the permission is taken away and given back: path and two bodies of the server's hand.
        spoiled: by case, what the vendor says.
        paged: how a stream comes to its end.
        counted: measures of the control totals of the last of `moving`.
        reasons: by case, why it is none of this platform.
    """

    name: str
    bulk: str
    listed: str
    moving: tuple[str, ...]
    page: Mapping[str, Any]
    named: tuple[str, str, str]
    number: tuple[str, str, str]
    secrets: tuple[str, ...]
    takes_away: tuple[str, Mapping[str, Any], Mapping[str, Any]]
    spoiled: Mapping[str, Spoiled]
    paged: str
    counted: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    accounts: tuple[str, ...] = ()
    tiny: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    token: str = ""
    with_token: str = ""
    unknown: Mapping[str, str] = field(default_factory=lambda: {'{"': '{"unknown": {"a": [1.5]}, "'})
    is_crm: bool = False

    @property
    def connector(self) -> ModuleType:
        """The module of the connector."""
        return importlib.import_module(f"onefunnel.sources.{self.name}")

    @property
    def server(self) -> ModuleType:
        """The module of the sandbox's server."""
        return importlib.import_module(f"onefunnel.sandbox.servers.{self.name}")


def google(code: str, message: str, kind: str = "queryError") -> list[dict[str, Any]]:
    """GoogleAdsFailure, as searchStream answers it."""
    failure = {"errors": [{"errorCode": {kind: code}, "message": f"{message} {CANARY}"}]}
    return [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": [failure]}}]


def meta(code: int, message: str = "no", **more: Any) -> dict[str, Any]:
    """Meta's error object."""
    return {"error": {"code": code, "message": f"(#{code}) {message} {CANARY}", "type": "OAuthException", **more}}


def linkedin(status: int, code: str, message: str) -> dict[str, Any]:
    """LinkedIn's error object."""
    return {"status": status, "code": code, "message": f"{message} {CANARY}"}


def microsoft(code: int, name: str, message: str) -> dict[str, Any]:
    """ApiFaultDetail."""
    return {"OperationErrors": [{"Code": code, "ErrorCode": name, "Message": f"{message} {CANARY}"}], "BatchErrors": []}


def salesforce(code: str, message: str = "no") -> list[dict[str, str]]:
    """Salesforce's list of errors."""
    return [{"errorCode": code, "message": f"{message} {CANARY}"}]


def hubspot(category: str, message: str = "no", **more: Any) -> dict[str, Any]:
    """HubSpot's error object."""
    return {"status": "error", "category": category, "message": f"{message} {CANARY}", **more}


_NO_CRM = {
    "equal_cursors": "days are read again as a whole; there is no cursor",
    "moving_records": "days are read again as a whole; a row that moves while it is read comes with the next run",
    "deleted_records": "figures are not deleted; rows that are withdrawn are in `restated`",
    "search_window": "nothing is searched",
}
_NO_ADDRESS = "pages are named by tokens, never by addresses"
_ONE_BY_ONE = "the stream that is tested has one request under way at a time"
_NO_WINDOW = "an answer may be as long as it likes"

PLATFORMS = (
    Platform(
        "google_ads",
        "performance_daily",
        "campaigns",
        ("performance_daily",),
        paged="one streamed answer for an account and 31 days",
        counted=("clicks", "impressions", "spend_amount"),
        page={"path": "/v26/customers/5712048831/", "start": 3},
        named=("campaigns", "campaign_id", "name"),
        number=("performance_daily", "clicks", '"clicks":"{}"'),
        secrets=("refresh_token", "developer_token"),
        takes_away=("permission", {"account": "5712048831", "granted": False}, {"account": "5712048831", "granted": True}),
        accounts=("5712048831",),
        tiny={"DAYS_A_QUERY": 2, "AT_ONCE": 1},
        token="/token",
        spoiled={
            "too_many": refused(429, google("RESOURCE_TEMPORARILY_EXHAUSTED", "wait", "quotaError"), ""),
            "quota": refused(429, google("RESOURCE_EXHAUSTED", "Too many", "quotaError"), "counted over 24 hours", EnvironmentNotReady),
            "forbidden": refused(403, google("USER_PERMISSION_DENIED", "no", "authorizationError"), "read access"),
            "lost_field": refused(400, google("UNRECOGNIZED_FIELD", "Unrecognized field metrics.clicks"), "metrics.clicks"),
            "sunset": refused(400, google("UNSUPPORTED_VERSION", "Version v26 is deprecated.", "requestError"), "v26(?s:.)*Upgrade"),
            "error_200": refused(200, google("INTERNAL", "An error.")[0], "INTERNAL"),
        },
        reasons={
            **_NO_CRM,
            "repeated_page": "each query has one streamed answer; nothing leads to a next page",
            "expired_page": "each query has one streamed answer; there is no token to expire",
            "foreign_address": "each query has one streamed answer; no address is named",
        },
    ),
    Platform(
        "meta_ads",
        "performance_daily",
        "campaigns",
        ("performance_daily",),
        paged="the address of the next page, 500 rows each; more than 31 days as jobs, halved where they are too much",
        counted=("clicks", "impressions", "spend_amount"),
        page={"path": "/v25.0/act_0001009/insights", "start": 2},
        named=("campaigns", "campaign_id", "name"),
        number=("performance_daily", "clicks", '"clicks":"{}"'),
        secrets=("password",),
        takes_away=("permission", {"account": "0001009", "granted": False}, {"account": "0001009", "granted": True}),
        accounts=("act_0001009",),
        tiny={"PAGE_ROWS": 4, "AT_ONCE": 1},
        spoiled={
            "too_many": refused(400, meta(17, "User request limit reached"), ""),
            "quota": refused(
                400,
                meta(80000, "too many calls"),
                "open again at",
                EnvironmentNotReady,
                headers={"x-business-use-case-usage": '{"1": [{"estimated_time_to_regain_access": 19}]}'},
            ),
            "forbidden": refused(403, meta(200), "ads_read"),
            "lost_field": refused(400, meta(100, "clicks is not valid for fields param"), "clicks is not valid"),
            "sunset": refused(400, meta(2635, "You are calling a deprecated version of the Ads API"), "v25.0(?s:.)*Upgrade"),
            "error_200": refused(200, meta(100, "Invalid parameter"), "refused \\(100\\)"),
            "expired_page": refused(400, meta(100, "Invalid cursors values"), "Invalid cursors"),
            "foreign_address": refused(200, {"data": [], "paging": {"next": "https://elsewhere.invalid/x"}}, "another host"),
        },
        reasons=_NO_CRM,
    ),
    Platform(
        "linkedin_ads",
        "performance_daily",
        "campaigns",
        ("performance_daily",),
        paged="one answer for an account and 31 days, halved where it may have been cut off; searches by a token",
        counted=("clicks", "impressions", "spend_amount"),
        page={"path": "/rest/adAnalytics", "start": 2},
        named=("campaigns", "campaign_id", "name"),
        number=("performance_daily", "clicks", '"clicks":{}'),
        secrets=("refresh_token",),
        takes_away=("permission", {"account": "507000001", "granted": False}, {"account": "507000001", "granted": True}),
        accounts=("507000001",),
        tiny={"DAYS_A_QUERY": 2, "PAGE_SIZE": 2, "AT_ONCE": 1},
        token="/oauth/v2/accessToken",
        spoiled={
            "too_many": refused(429, linkedin(429, "TOO_MANY_REQUESTS", "Too many requests"), ""),
            "quota": refused(429, linkedin(429, "", "Resource level throttle limit is reached."), "midnight UTC", EnvironmentNotReady),
            "forbidden": refused(403, linkedin(403, "ACCESS_DENIED", "Not enough permissions"), "r_ads_reporting"),
            "lost_field": refused(400, linkedin(400, "QUERY_PARAM_NOT_ALLOWED", "Unknown field clicks"), "Unknown field clicks"),
            "sunset": refused(426, linkedin(426, "NONEXISTENT_VERSION", "Requested version is not active"), "Upgrade.*`version`"),
            "error_200": refused(200, linkedin(500, "INTERNAL", "An error"), "no `elements`"),
        },
        reasons={
            **_NO_CRM,
            "expired_page": "figures have no pages; the searches before them hold some hundred names",
            "foreign_address": _NO_ADDRESS,
        },
    ),
    Platform(
        "microsoft_ads",
        "performance_daily",
        "campaigns",
        ("performance_daily",),
        paged="a report of 92 days made to order, looked at until it is there; account search by numbered pages",
        counted=("clicks", "impressions", "spend_amount"),
        page={"path": "/download", "start": 2},
        named=("campaigns", "campaign_id", "name"),
        number=("performance_daily", "impressions", ',"{}",'),
        secrets=("refresh_token", "developer_token"),
        takes_away=("permission", {"account": "5712048831", "granted": False}, {"account": "5712048831", "granted": True}),
        accounts=("5712048831",),
        tiny={"DAYS_A_REPORT": 2, "PAGE_SIZE": 2, "AT_ONCE": 1},
        quick={"FIRST_LOOK_SECONDS": 0.01},
        token="/common/oauth2/v2.0/token",
        with_token="/Reporting/v13/GenerateReport/Submit",
        unknown={'\n"TimePeriod",': '\n"Unknown","TimePeriod",', '\n"20': '\n"x","20'},
        spoiled={
            "too_many": refused(429, microsoft(117, "CallRateExceeded", "wait"), ""),
            "quota": Spoiled(
                {"path": "/Reporting", "kind": "too_many", "body": microsoft(117, "CallRateExceeded", "wait")},
                "open again at",
                EnvironmentNotReady,
            ),
            "forbidden": refused(400, microsoft(106, "UserIsNotAuthorized", "no"), "viewer is enough", path="/Reporting"),
            "lost_field": Spoiled({"kind": "rewrite", "texts": {'"Clicks"': '"Klicks"'}}, "lacks the column Clicks"),
            "sunset": Spoiled({"path": "/Reporting", "kind": "status", "status": 404}, "may need an upgrade"),
            "error_200": refused(200, microsoft(2007, "Invalid", "no"), "refused", path="/Reporting"),
            "expired_page": refused(403, "AuthenticationFailed", "has expired"),
            "foreign_address": refused(
                200,
                {"ReportRequestStatus": {"Status": "Success", "ReportDownloadUrl": "https://elsewhere.invalid/r?sig=s3cr3t-signature"}},
                "elsewhere.invalid",
                path="/Reporting/v13/GenerateReport/Poll",
            ),
        },
        reasons={**_NO_CRM, "order": "a report is one file, and a page is one report: there is no list to turn round"},
    ),
    Platform(
        "salesforce",
        "contacts",
        "users",
        ("leads", "opportunities"),
        paged="the address of the next 2,000 rows; from 50,000 rows on a bulk job with a locator",
        counted=("amount", "rows"),
        page={"path": "/services/data/v66.0/query/01g", "start": 2},
        named=("contacts", "Id", "Name"),
        number=("opportunities", "Amount", '"Amount":{}'),
        secrets=("password", "refresh_token"),
        takes_away=("settings", {"forbidden": ["Contact"]}, {"forbidden": []}),
        settings={"batch_size": 10},
        token="/services/oauth2/token",
        is_crm=True,
        spoiled={
            "too_many": refused(429, salesforce("SERVER_UNAVAILABLE"), ""),
            "quota": refused(403, salesforce("REQUEST_LIMIT_EXCEEDED"), "last 24 hours are used up", EnvironmentNotReady),
            "forbidden": refused(403, salesforce("INSUFFICIENT_ACCESS"), "permission set"),
            "lost_field": Spoiled({"settings": {"hidden": ["Contact.Email"]}}, "Contact has no field Email"),
            "sunset": refused(410, salesforce("GONE"), "v66.0(?s:.)*Upgrade"),
            "error_200": refused(200, salesforce("UNKNOWN"), "Salesforce refused: UNKNOWN"),
            "expired_page": refused(400, salesforce("INVALID_QUERY_LOCATOR"), "", times=1),
            "foreign_address": refused(
                200,
                {"totalSize": 45, "done": False, "nextRecordsUrl": "https://elsewhere.invalid/x", "records": []},
                "elsewhere.invalid",
            ),
        },
        reasons={"search_window": _NO_WINDOW, "side_by_side": _ONE_BY_ONE},
    ),
    Platform(
        "hubspot",
        "accounts",
        "users",
        ("leads", "opportunities"),
        paged="lists by a token, 100 records each (50 with histories); searches behind the last id; batches by id",
        counted=("rows",),
        page={"path": "/crm/v3/objects/companies", "method": "GET", "start": 2},
        named=("accounts", "id", "name"),
        number=("opportunities", "amount", '"amount":"{}"'),
        secrets=("password", "refresh_token"),
        takes_away=("settings", {"forbidden": ["companies"]}, {"forbidden": []}),
        quick={"SEARCH_EVERY_SECONDS": 0.0},
        settings={"page_size": 6},
        token="/oauth/v1/token",
        is_crm=True,
        spoiled={
            "too_many": refused(429, {"policyName": "TEN_SECONDLY_ROLLING", "message": CANARY}, ""),
            "quota": refused(429, {"policyName": "DAILY", "message": CANARY}, "midnight of the portal", EnvironmentNotReady),
            "forbidden": refused(403, hubspot("MISSING_SCOPES"), "lacks a scope", ConfigError),
            "lost_field": refused(
                200, {"results": [{"name": "name", "type": "string"}]}, "domain is missing", path="/crm/v3/properties/companies"
            ),
            "sunset": refused(404, hubspot("OBJECT_NOT_FOUND", "resource not found"), "may need an upgrade"),
            "error_200": refused(200, hubspot("INTERNAL"), "no page of records"),
        },
        reasons={
            "side_by_side": _ONE_BY_ONE,
            "expired_page": "the token of a page is the last id; it does not expire",
            "foreign_address": _NO_ADDRESS,
        },
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Platform] = {platform.name: platform for platform in PLATFORMS}
Hand = Callable[[str, Mapping[str, Any]], None]
