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

import json
import mmap
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import httpx

from onefunnel.engines.duckdb import literal
from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sources.ad_accounts import (
    AdAccount,
    Days,
    Together,
    about,
    cells,
    chosen,
    deliver_accounts,
    finished,
    none_is_lost,
    pieces,
    some_at_once,
    totals,
)
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.connections import Connection
from onefunnel.sources.http import FIRST_BYTES, Again, Api, Usage, quoted
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
            deliver_accounts(inbox, self.accounts(), self.api.usage)
        elif asked.stream == "campaigns":
            self._fetch_campaigns(inbox)
        else:
            self._fetch_performance(asked, inbox, *_LEVELS[asked.stream])

    # -- streams -------------------------------------------------------------------------------------------------------

    def _fetch_campaigns(self, inbox: Inbox) -> None:
        query = (
            "SELECT customer.id, campaign.id, campaign.name, campaign.advertising_channel_type, campaign.status"
            " FROM campaign"
        )
        fields = [
            Field("account_id", "customer.id"),
            Field("campaign_id", "campaign.id"),
            Field("name", "campaign.name"),
            Field("channel_type", "campaign.advertisingChannelType"),
            Field("status", "campaign.status"),
        ]
        with Together(AT_ONCE, self.api.stopping) as together:
            pages = self._pages(together, inbox, "campaigns", [(a, query) for a in self.accounts()])
            inbox.deliver(
                {"records": Records(pages, fields, "$[*].results[*]")},
                covered=None,
                totals=TOTALS.empty_table(),
                about=lambda: {"requests": self.api.usage.requests},
            )

    def _fetch_performance(self, asked: Asked, inbox: Inbox, resource: str, names: Sequence[str]) -> None:
        spans = self._spans(asked)
        # Shopping has no groups and no ads: only campaigns hold all that an account spent.
        over = finished(spans, asked.as_of) if resource == "campaign" else {}
        parts = [(account, piece) for account, days in spans.items() for piece in pieces(days, DAYS_A_QUERY)]
        columns = ("account_id", "currency", "day", *names)
        selected = ", ".join(_gaql(_NAMED[name]) for name in (*columns, *_FIGURES))
        figures = [(a, f"SELECT {selected} FROM {resource} WHERE {_between(days)}") for a, days in parts]
        # Who gave their name is counted per conversion action, and what has an action has no cost: a query of its own.
        keys = [name for name in ("account_id", "day", "campaign_id", "ad_group_id", "ad_id") if name in columns]
        by_action = ", ".join(_gaql(_NAMED[name]) for name in keys)
        counting = {account.id for account in self.accounts() if account.counts_leads}
        categories = ", ".join(f"'{category}'" for category in LEADS)
        leads = [
            (
                a,
                f"SELECT {by_action}, segments.conversion_action_category, metrics.all_conversions FROM {resource}"
                f" WHERE {_between(days)} AND segments.conversion_action_category IN ({categories})",
            )
            for a, days in parts
            if a.id in counting
        ]
        fields = [Field(name, _NAMED[name]) for name in (*columns, *_FIGURES)]
        counts = [*(Field(name, _NAMED[name]) for name in keys), Field("leads", "metrics.allConversions")]
        listed = ", ".join(keys)
        counted = ", ".join(map(literal, sorted(counting))) or "''"
        select = f"""
            with leads_by_row as (
                select {listed}, sum(cast(leads as decimal(38, 9))) as leads from leads group by {listed}
            )
            select
                records.*,
                case when account_id in ({counted}) then cast(coalesce(leads_by_row.leads, 0) as varchar) end as leads
            from records
            left join leads_by_row using ({listed})
        """
        with Together(AT_ONCE, self.api.stopping) as together:
            pages = {
                name: self._pages(together, inbox, name, queries)
                for name, queries in (("records", figures), ("leads", leads))
            }
            said = together.each(self._said_of_account, over.items())
            inbox.deliver(
                {
                    name: Records(pages[name], named, "$[*].results[*]")
                    for name, named in (("records", fields), ("leads", counts))
                },
                select=select,
                covered=cells(spans),
                totals=lambda: totals(chain.from_iterable(said), over),
                about=lambda: about(spans, self.api.usage),
            )

    def _said_of_account(self, asked: tuple[AdAccount, Days]) -> list[tuple[str, str, Mapping[str, str | None]]]:
        """What Google says an account spent on each day, by a query that knows no campaigns."""
        account, days = asked
        selected = "segments.date, metrics.cost_micros, metrics.impressions, metrics.clicks"
        rows = self._query(account.id, f"SELECT {selected} FROM customer WHERE {_between(days)}")
        return [
            (
                account.id,
                row["segments"]["date"],
                {
                    "spend_amount": format(Decimal(row["metrics"].get("costMicros", "0")).scaleb(-6), "f"),
                    "impressions": row["metrics"].get("impressions"),
                    "clicks": row["metrics"].get("clicks"),
                },
            )
            for row in rows
        ]

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
            found = [
                AdAccount(c["id"], c.get("descriptiveName", ""), c["currencyCode"], c["timeZone"])
                for c in (row["customerClient"] for row in self._query(self.manager, query))
            ]
            self._accounts = list(
                some_at_once(self._account, chosen(found, self.wanted, self.where), AT_ONCE, self.api.stopping)
            )
        return self._accounts

    def _account(self, account: AdAccount) -> _Account:
        query = (
            "SELECT conversion_action.category, conversion_action.click_through_lookback_window_days"
            " FROM conversion_action"
        )
        actions = [row["conversionAction"] for row in self._query(account.id, query)]
        return _Account(
            **vars(account),
            conversion_days=max((int(a.get("clickThroughLookbackWindowDays", 0)) for a in actions), default=0),
            counts_leads=any(a.get("category") in LEADS for a in actions),
        )

    def _spans(self, asked: Asked) -> dict[AdAccount, Days]:
        """The days to read of each account, none that has not begun there."""
        spans: dict[AdAccount, Days] = {}
        for account in self.accounts():
            hot = max(HOT_DAYS, account.conversion_days)
            first, last = asked.window(hot, WEEKLY_DAYS, MONTHLY_DAYS, account.id)
            spans[account] = first, min(last, account.today(asked.as_of))
        return {account: days for account, days in spans.items() if days[0] <= days[1]}

    def _query(self, customer: str, query: str) -> list[dict[str, Any]]:
        """The rows of a short answer."""
        batches = self.api.json("POST", _path(customer), json={"query": query})
        if not isinstance(batches, list):
            raise StepFailed(
                "An answer is no array of batches.", self.where, "Run again; if it stays so, please report it."
            )
        return [row for batch in batches for row in batch.get("results", ())]

    def _pages(
        self, together: Together, inbox: Inbox, name: str, queries: Iterable[tuple[AdAccount, str]]
    ) -> Iterator[Path]:
        """Save the answers of queries, some at a time; in the order of the queries, each as soon as it is there."""

        def save(numbered: tuple[int, tuple[AdAccount, str]]) -> Path:
            number, (account, query) = numbered
            page = inbox.pages / f"{name}-{number:05d}.json"
            self.api.save("POST", _path(account.id), page, begins=b"[", error_in=_error_in, json={"query": query})
            return page

        return together.each(save, enumerate(queries))


def _path(customer: str) -> str:
    return f"{VERSION}/customers/{customer}/googleAds:searchStream"


def _gaql(path: str) -> str:
    """The name that a query uses for a field of the answer (`adGroup.id` -> `ad_group.id`)."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in path)


def _between(days: Days) -> str:
    return f"segments.date BETWEEN '{days[0]}' AND '{days[1]}'"


def _error_in(page: Path) -> Any:
    """The element of a saved answer that is an error; None where all are batches.

    A stream that fails has begun with status 200 and perhaps with rows: the error is an element of the array behind them.
    """
    with page.open("rb") as body, mmap.mmap(body.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        # Within a text the quotes would be escaped; no batch and no resource has a field of this name.
        found = re.search(rb'[{,]\s*"error"\s*:\s*', mapped)
        if found is None:
            return None
        said = mapped[found.end() : found.end() + FIRST_BYTES].decode("utf-8", "replace")
    try:
        return {"error": json.JSONDecoder().raw_decode(said)[0]}
    except (ValueError, RecursionError):
        return {"error": said}


def _explained(response: httpx.Response, body: Any) -> OnefunnelError | Again | None:
    """What a GoogleAdsFailure means: the answer, or the element of the stream behind whatever came before it."""
    answers = body if isinstance(body, list) else [body]
    error = next((each["error"] for each in answers if isinstance(each, Mapping) and "error" in each), None)
    if not isinstance(error, Mapping):
        return None if error is None or response.is_error else Again("an answer that ends in an error")
    # A stream has begun with 200; what became of it is said in the error.
    status = str(response.status_code if response.is_error else error.get("code"))
    failures = [e for d in error.get("details", ()) for e in d.get("errors", ())]
    codes = {code for failure in failures for code in failure.get("errorCode", {}).values()}
    said = "; ".join(str(failure.get("message", "")) for failure in failures) or str(error.get("message", ""))
    waits = {"RESOURCE_TEMPORARILY_EXHAUSTED", "EXCESSIVE_SHORT_TERM_QUERY_RESOURCE_CONSUMPTION"}
    if waits & codes or status in ("500", "503", "504"):
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
    return StepFailed(f"Google Ads refused: {', '.join(sorted(codes)) or status}: {quoted(said)}")
