"""Google Ads, by REST: `googleAds:searchStream` of every account that a manager account reaches.

Sources, pages of the Google Ads API documentation: *Method: customers.googleAds.searchStream* (an array of batches),
*Google Ads Query Language*, *REST authorization and headers*, *JSON mappings* (int64 as text, doubles as numbers),
*Zero metrics* (a row whose metrics are all zero is left out), *Segmentation* (cost has no conversion action),
*ConversionAction*, *GoogleAdsFailure*; Google Ads Help, *About data freshness*.

How far back Google still corrects: clicks and cost for a month, conversions for as long as the longest conversion window
of an account, adjustments for 145 days. Whole account-days are read again and replaced.
"""

# ruff: noqa: S608  (queries in the vendor's language, of constants, dates and the vendor's own ids)

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sources.ad_accounts import AdAccount, none_is_lost, some_at_once
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.connections import Connection
from onefunnel.sources.http import Again, Api, Usage, quoted
from onefunnel.sources.inbox import Inbox, Records
from onefunnel.sources.oauth import AccessToken
from onefunnel.sources.pages import Field

VERSION = "v26"
API, TOKEN = "https://googleads.googleapis.com", "https://oauth2.googleapis.com/token"
HOT_DAYS, WEEKLY_DAYS, MONTHLY_DAYS = 30, 90, 145
DAYS_A_QUERY = 31
AT_ONCE = 4
# What Google calls a conversion action of somebody who gives their name, as against one who bought something.
LEADS = (
    "SUBMIT_LEAD_FORM",
    "SIGNUP",
    "REQUEST_QUOTE",
    "BOOK_APPOINTMENT",
    "CONTACT",
    "PHONE_CALL_LEAD",
    "IMPORTED_LEAD",
)

_NAMED = {
    "account_id": "customer.id",
    "currency": "customer.currencyCode",
    "day": "segments.date",
    "campaign_id": "campaign.id",
    "channel_type": "campaign.advertisingChannelType",
    "ad_group_id": "adGroup.id",
    "ad_id": "adGroupAd.ad.id",
    "cost_micros": "metrics.costMicros",
    "impressions": "metrics.impressions",
    "clicks": "metrics.clicks",
    "conversions": "metrics.conversions",
    "conversions_value": "metrics.conversionsValue",
}
_FIGURES = ("cost_micros", "impressions", "clicks", "conversions", "conversions_value")
# Stream: what it is read from, and what names its rows within an account's day.
_LEVELS = {
    "performance_daily": ("campaign", ("campaign_id", "channel_type")),
    "ad_group_performance_daily": ("ad_group", ("campaign_id", "channel_type", "ad_group_id")),
    "ad_performance_daily": ("ad_group_ad", ("campaign_id", "channel_type", "ad_group_id", "ad_id")),
}


@dataclass(frozen=True)
class _Account(AdAccount):
    """An account that spends; also the longest conversion window in days, and whether it counts leads."""

    conversion_days: int
    counts_leads: bool


def connect(where: str, connection: Connection, accounts: Sequence[str]) -> GoogleAds:
    """The connector for one source.

    Args:
        connection: login and password are the OAuth client's id and secret; extra: `refresh_token`, `developer_token`,
            `login_customer_id` (the manager account, digits alone), and `token_url` where it is not Google's.
        accounts: only these customer ids; all that the manager reaches where empty.
    """
    return GoogleAds(where, connection, accounts)


class GoogleAds:
    """The accounts below one manager account."""

    def __init__(self, where: str, connection: Connection, accounts: Sequence[str]) -> None:
        self.where, self.wanted = where, [a.replace("-", "") for a in accounts]
        self.manager = connection.extra.get("login_customer_id", "").replace("-", "")
        if not self.manager.isdigit():
            raise ConfigError(
                f"the connection {connection.connection_id} has no login_customer_id",
                where,
                "give the manager account's id in `extra` (docs/how-to/connect-google-ads.md)",
            )
        form = {
            "grant_type": "refresh_token",
            "client_id": connection.login,
            "client_secret": connection.secret("password"),
            "refresh_token": connection.secret("refresh_token"),
        }
        also = {"developer-token": connection.secret("developer_token"), "login-customer-id": self.manager}
        deadline = connection.deadline_seconds
        self.token = AccessToken(where, connection.token_url(TOKEN), form, also, deadline)
        self.api = Api(where, connection.base_url(API), self.token, explain=_explained, deadline=deadline)
        self._accounts: list[_Account] | None = None

    def close(self) -> None:
        """Close the connections."""
        self.api.close()
        self.token.close()

    def fetch(self, asked: Asked, inbox: Inbox) -> None:
        """Fetch one stream of all accounts."""
        self.where = self.api.where = asked.where
        self.api.usage = Usage()
        none_is_lost(asked, self.accounts())
        if asked.stream == "ad_accounts":
            self._fetch_accounts(inbox)
        elif asked.stream == "campaigns":
            self._fetch_campaigns(inbox)
        else:
            self._fetch_performance(asked, inbox, *_LEVELS[asked.stream])

    # -- streams -------------------------------------------------------------------------------------------------------

    def _fetch_accounts(self, inbox: Inbox) -> None:
        page = inbox.pages / "accounts.json"
        rows = [
            {"account_id": a.id, "name": a.name, "currency": a.currency, "time_zone": a.time_zone}
            for a in self.accounts()
        ]
        page.write_text(json.dumps({"accounts": rows}), encoding="utf-8")
        fields = [Field(name) for name in ("account_id", "name", "currency", "time_zone")]
        inbox.deliver(
            {"records": Records([page], fields, "$.accounts[*]")},
            covered=None,
            totals=TOTALS.empty_table(),
            about={"requests": self.api.usage.requests},
        )

    def _fetch_campaigns(self, inbox: Inbox) -> None:
        query = (
            "SELECT customer.id, campaign.id, campaign.name, campaign.advertising_channel_type, campaign.status"
            " FROM campaign"
        )
        pages = self._pages(inbox, "campaigns", [(a, query) for a in self.accounts()])
        fields = [
            Field("account_id", "customer.id"),
            Field("campaign_id", "campaign.id"),
            Field("name", "campaign.name"),
            Field("channel_type", "campaign.advertisingChannelType"),
            Field("status", "campaign.status"),
        ]
        inbox.deliver(
            {"records": Records(pages, fields, "$[*].results[*]")},
            covered=None,
            totals=TOTALS.empty_table(),
            about=lambda: {"requests": self.api.usage.requests},
        )

    def _fetch_performance(self, asked: Asked, inbox: Inbox, resource: str, names: Sequence[str]) -> None:
        accounts = self.accounts()
        spans = {a: asked.window(max(HOT_DAYS, a.conversion_days), WEEKLY_DAYS, MONTHLY_DAYS) for a in accounts}
        chunks = [(a, *chunk) for a, span in spans.items() for chunk in _chunks(*span)]
        columns = ("account_id", "currency", "day", *names)
        selected = ", ".join(_gaql(_NAMED[name]) for name in (*columns, *_FIGURES))
        pages = self._pages(
            inbox, "figures", [(a, f"SELECT {selected} FROM {resource} WHERE {_between(*days)}") for a, *days in chunks]
        )
        # Who gave their name is counted per conversion action, and what has an action has no cost: a query of its own.
        keys = [name for name in ("account_id", "day", "campaign_id", "ad_group_id", "ad_id") if name in columns]
        by_action = ", ".join(_gaql(_NAMED[name]) for name in keys)
        categories = ", ".join(f"'{category}'" for category in LEADS)
        leads = self._pages(
            inbox,
            "leads",
            [
                (
                    a,
                    f"SELECT {by_action}, segments.conversion_action_category, metrics.all_conversions FROM {resource}"
                    f" WHERE {_between(*days)} AND segments.conversion_action_category IN ({categories})",
                )
                for a, *days in chunks
                if a.counts_leads
            ],
        )
        count = Field("leads", "metrics.allConversions")
        listed = ", ".join(keys)
        counting = ", ".join(f"'{a.id}'" for a in accounts if a.counts_leads) or "''"
        select = f"""
            with leads_by_row as (
                select {listed}, sum(cast(leads as decimal(38, 9))) as leads from leads group by {listed}
            )
            select
                records.*,
                case when account_id in ({counting}) then cast(coalesce(leads_by_row.leads, 0) as varchar) end as leads
            from records
            left join leads_by_row using ({listed})
        """
        inbox.deliver(
            {
                "records": Records(
                    pages, [Field(name, _NAMED[name]) for name in (*columns, *_FIGURES)], "$[*].results[*]"
                ),
                "leads": Records(leads, [*(Field(name, _NAMED[name]) for name in keys), count], "$[*].results[*]"),
            },
            select=select,
            covered=_days(spans),
            # Shopping has no groups and no ads: only campaigns hold all that an account spent.
            totals=lambda: self._totals(spans) if resource == "campaign" else TOTALS.empty_table(),
            about=lambda: {
                "first_day": str(min(first for first, _ in spans.values())),
                "last_day": str(max(last for _, last in spans.values())),
                "accounts": len(accounts),
                "requests": self.api.usage.requests,
                "retries": self.api.usage.retries,
            },
        )

    def _totals(self, spans: Mapping[_Account, tuple[dt.date, dt.date]]) -> pa.Table:
        """What Google says an account spent on a day, by a query that knows no campaigns."""
        selected = "segments.date, metrics.cost_micros, metrics.impressions, metrics.clicks"
        rows: list[dict[str, str]] = []
        queries = [
            (account.id, f"SELECT {selected} FROM customer WHERE {_between(*days)}") for account, days in spans.items()
        ]
        found = some_at_once(lambda asked: self._query(*asked), queries, AT_ONCE)
        for account, said_of_account in zip(spans, found, strict=True):
            for row in said_of_account:
                metrics = row["metrics"]
                said = {
                    "spend_amount": format(Decimal(metrics.get("costMicros", "0")).scaleb(-6), "f"),
                    "impressions": str(metrics.get("impressions", "0")),
                    "clicks": str(metrics.get("clicks", "0")),
                }
                cell = {"part": account.id, "day": row["segments"]["date"]}
                rows += [{**cell, "measure": measure, "value": value} for measure, value in said.items()]
        return pa.Table.from_pylist(rows, TOTALS)

    # -- requests ------------------------------------------------------------------------------------------------------

    def accounts(self) -> list[_Account]:
        """The accounts below the manager that spend, closed ones included: what they spent stays true.

        Raises:
            ConfigError: there is none, or one that was asked for is not among them.
        """
        if self._accounts is None:
            query = (
                "SELECT customer_client.id, customer_client.descriptive_name, customer_client.currency_code,"
                " customer_client.time_zone FROM customer_client WHERE customer_client.manager = FALSE"
            )
            found = {row["customerClient"]["id"]: row["customerClient"] for row in self._query(self.manager, query)}
            missing = sorted(set(self.wanted) - set(found))
            if missing or not found:
                # An empty answer is no proof that nobody spent anything.
                raise ConfigError(
                    f"the manager account reaches no account{' ' + ', '.join(missing) if missing else ''}",
                    self.where,
                    "link the account to the manager account, or correct `accounts` in pipeline.yml",
                )
            wanted = [found[account] for account in sorted(self.wanted or found)]
            self._accounts = list(some_at_once(self._account, wanted, AT_ONCE))
        return self._accounts

    def _account(self, client: Mapping[str, str]) -> _Account:
        query = (
            "SELECT conversion_action.category, conversion_action.click_through_lookback_window_days"
            " FROM conversion_action"
        )
        actions = [row["conversionAction"] for row in self._query(client["id"], query)]
        return _Account(
            client["id"],
            client.get("descriptiveName", ""),
            client["currencyCode"],
            client["timeZone"],
            max((int(a.get("clickThroughLookbackWindowDays", 0)) for a in actions), default=0),
            any(a.get("category") in LEADS for a in actions),
        )

    def _query(self, customer: str, query: str) -> list[dict[str, Any]]:
        """The rows of a short answer."""
        batches = self.api.json("POST", _path(customer), json={"query": query})
        if not isinstance(batches, list):
            raise StepFailed(
                "An answer is no array of batches.", self.where, "Run again; if it stays so, please report it."
            )
        return [row for batch in batches for row in batch.get("results", ())]

    def _pages(self, inbox: Inbox, name: str, queries: Iterable[tuple[_Account, str]]) -> Iterator[Path]:
        """Save the answers of queries, some at a time; in the order of the queries, each as soon as it is there."""

        def save(numbered: tuple[int, tuple[_Account, str]]) -> Path:
            number, (account, query) = numbered
            page = inbox.pages / f"{name}-{number:05d}.json"
            self.api.save("POST", _path(account.id), page, begins=b"[", json={"query": query})
            return page

        return some_at_once(save, enumerate(queries), AT_ONCE)


def _path(customer: str) -> str:
    return f"{VERSION}/customers/{customer}/googleAds:searchStream"


def _gaql(path: str) -> str:
    """The name that a query uses for a field of the answer (`adGroup.id` -> `ad_group.id`)."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in path)


def _between(first: dt.date, last: dt.date) -> str:
    return f"segments.date BETWEEN '{first}' AND '{last}'"


def _chunks(first: dt.date, last: dt.date) -> list[tuple[dt.date, dt.date]]:
    starts = range(0, (last - first).days + 1, DAYS_A_QUERY)
    days = [first + dt.timedelta(days=start) for start in starts]
    return [(day, min(last, day + dt.timedelta(days=DAYS_A_QUERY - 1))) for day in days]


def _days(spans: Mapping[_Account, tuple[dt.date, dt.date]]) -> pa.Table:
    """The account-days that are asked for."""
    cells = [
        (account.id, str(first + dt.timedelta(days=n)))
        for account, (first, last) in spans.items()
        for n in range((last - first).days + 1)
    ]
    return pa.table({"ad_account_id": [a for a, _ in cells], "spend_date": [d for _, d in cells]})


def _explained(response: httpx.Response, body: Any) -> OnefunnelError | Again | None:
    """What a GoogleAdsFailure means; the stream is an array, also when its only element is an error."""
    answer = body[0] if isinstance(body, list) and body else body
    error = answer.get("error") if isinstance(answer, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    failures = [e for d in error.get("details", ()) for e in d.get("errors", ())]
    codes = {code for failure in failures for code in failure.get("errorCode", {}).values()}
    said = "; ".join(str(failure.get("message", "")) for failure in failures) or str(error.get("message", ""))
    waits = {"RESOURCE_TEMPORARILY_EXHAUSTED", "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION"}
    if waits & codes or response.status_code in (500, 503, 504):
        return Again("the service asks to wait")
    if {"RESOURCE_EXHAUSTED", "EXCESSIVE_LONG_TERM_QUERY_RESOURCE_CONSUMPTION"} & codes:
        return EnvironmentNotReady(
            "The developer token's operations of the day are used up.",
            do="Run again later (they are counted over 24 hours), or apply for a higher access level; nothing was lost.",
        )
    if {"USER_PERMISSION_DENIED", "CUSTOMER_NOT_ENABLED"} & codes:
        return StepFailed(
            f"An account cannot be read: {', '.join(sorted(codes))}.",
            do="Give the user of the connection read access below the manager account, or name the other accounts under"
            " `accounts` in pipeline.yml.",
        )
    if "UNSUPPORTED_VERSION" in codes or "is deprecated" in said:  # *Sunset dates*; the code may be UNKNOWN as well
        return StepFailed(f"Google has switched off version {VERSION} of its API.", do="Upgrade onefunnel.")
    if {"DEVELOPER_TOKEN_INVALID", "DEVELOPER_TOKEN_PARAMETER_MISSING", "DEVELOPER_TOKEN_NOT_APPROVED"} & codes:
        return ConfigError(
            "the developer token is not accepted", do="correct developer_token in the connection's extra"
        )
    if response.status_code == 401:
        return None
    return StepFailed(f"Google Ads refused: {', '.join(sorted(codes)) or response.status_code}: {quoted(said)}")
