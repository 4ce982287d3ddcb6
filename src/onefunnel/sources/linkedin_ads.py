"""LinkedIn: adAnalytics of every ad account that a member may see.

Sources, pages of LinkedIn's documentation: *Reporting* (finders, pivots, no pagination, 15,000 elements at most, an empty
answer also without permission), *Metrics Available*, *Ad Accounts*, *Create and Manage Campaigns*, *Cursor Based Pagination
For Search APIs*, *Protocol Version* (Rest.li 2.0), *Query Tunneling* (4 KB), *LinkedIn Marketing API Versioning*, *API Rate
Limiting* (a day's quota ends at midnight UTC), *Refresh Tokens with OAuth 2.0*.

An answer of adAnalytics is cut off at its largest size without a word. So one of that size is thrown away, and half of the
days are asked for, or of one day half of the campaigns. An answer without elements counts once the account itself could be
read. Days are those of UTC, whatever the company's zone.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa

from onefunnel.errors import EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sources.ad_accounts import (
    AdAccount,
    Days,
    Together,
    about,
    cells,
    chosen,
    deliver_accounts,
    finished,
    halves,
    none_is_lost,
    pieces,
    totals,
)
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.connections import Connection
from onefunnel.sources.http import Again, Api, Usage, parse, quoted
from onefunnel.sources.inbox import Inbox, Records
from onefunnel.sources.oauth import AccessToken
from onefunnel.sources.pages import LINES, Field, lines_of

VERSION = "202606"  # a month; LinkedIn switches each off after about a year
API, TOKEN = "https://api.linkedin.com", "https://www.linkedin.com/oauth/v2/accessToken"
HOT_DAYS, MONTHLY_DAYS = 30, 90
DAYS_A_QUERY = 31
AT_ONCE = 4
MAX_ELEMENTS = 15_000
PAGE_SIZE = 500
LONGEST_QUERY = 3_500  # LinkedIn takes 4 KB; what is longer goes into the body of a POST

_FIGURES = {
    "cost": "costInLocalCurrency",
    "impressions": "impressions",
    "clicks": "clicks",
    "leads": "oneClickLeads",
    "conversions": "externalWebsiteConversions",
    "conversions_value": "conversionValueInLocalCurrency",
}
_RECORDS = "$.elements[*]"
_START = tuple(Field(part, f"dateRange.start.{part}") for part in ("year", "month", "day"))
_PIVOTS = Field("pivots", "pivotValues")
_URNS = {
    "account_id": "urn:li:sponsoredAccount:",
    "campaign_id": "urn:li:sponsoredCampaign:",
    "ad_id": "urn:li:sponsoredCreative:",
}
# Stream: how an element is told apart, and what names its rows within an account's day.
_LEVELS = {
    "performance_daily": (("ACCOUNT", "CAMPAIGN"), ("campaign_id",)),
    "ad_performance_daily": (("ACCOUNT", "CAMPAIGN", "CREATIVE"), ("campaign_id", "ad_id")),
}


def connect(where: str, connection: Connection, accounts: Sequence[str]) -> LinkedInAds:
    """The connector for one source.

    Args:
        connection: login and password are the app's client id and secret, extra: `refresh_token`; for an app without refresh
            tokens extra: `access_token` alone. Also in extra: `version`, another month of the API, and `token_url`.
        accounts: only these ad accounts; all that the member has a role in where empty.
    """
    return LinkedInAds(where, connection, accounts)


class LinkedInAds:
    """The ad accounts of one member."""

    def __init__(self, where: str, connection: Connection, accounts: Sequence[str]) -> None:
        self.where, self.wanted = where, [a.removeprefix(_URNS["account_id"]) for a in accounts]
        also = {
            "LinkedIn-Version": connection.extra.get("version") or VERSION,
            "X-Restli-Protocol-Version": "2.0.0",
        }
        deadline = connection.deadline_seconds
        self.token: AccessToken | None = None
        if connection.extra.get("access_token"):
            also["Authorization"] = f"Bearer {connection.secret('access_token')}"
        else:
            form = {
                "grant_type": "refresh_token",
                "client_id": connection.login,
                "client_secret": connection.secret("password"),
                "refresh_token": connection.secret("refresh_token"),
            }
            self.token = AccessToken(where, connection.token_url(TOKEN), form, also, deadline)
        headers = self.token or (lambda _: also)
        self.api = Api(where, connection.base_url(API), headers, explain=_explained, deadline=deadline)
        self._accounts: list[AdAccount] | None = None

    def close(self) -> None:
        """Close the connections."""
        self.api.close()
        if self.token:
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
        pages: list[Path] = []

        def save(address: str) -> Any:
            pages.append(inbox.pages / f"{len(pages):05d}.json")
            return self.api.page("GET", address, pages[-1])

        for account in self.accounts():
            for _ in self._searched(f"rest/adAccounts/{account.id}/adCampaigns", save):
                pass
        fields = [Field("account"), Field("campaign_id", "id"), Field("name"), Field("status")]
        inbox.deliver(
            {"records": Records(pages, fields, _RECORDS)},
            select=f"select replace(account, '{_URNS['account_id']}', '') as account_id, * exclude (account) from records",  # noqa: S608
            covered=None,
            totals=TOTALS.empty_table(),
            about={"requests": self.api.usage.requests},
        )

    def _fetch_performance(self, asked: Asked, inbox: Inbox, pivots: tuple[str, ...], names: Sequence[str]) -> None:
        spans = self._spans(asked)
        # Only campaigns are sure to hold all that an account spent.
        over = finished(spans, asked.as_of) if asked.stream == "performance_daily" else {}
        currencies = inbox.pages / "currencies.json"
        listed = [{"account_id": account.id, "currency": account.currency} for account in spans]
        currencies.write_text(json.dumps({"accounts": listed}), encoding="utf-8")
        fields = [*_START, _PIVOTS, *(Field(name, path) for name, path in _FIGURES.items())]
        ids = ", ".join(_id(name) for name in ("account_id", *names))
        select = f"""
            with elements as (
                select
                    {ids}, year || '-' || lpad(month, 2, '0') || '-' || lpad(day, 2, '0') as day, {", ".join(_FIGURES)}
                from records
            )
            select elements.*, currency from elements left join currencies using (account_id)
        """  # noqa: S608
        with Together(AT_ONCE, self.api.stopping) as together:
            figures = self._pages(together, inbox, spans, pivots)
            of_accounts = self._pages(together, inbox, over, ("ACCOUNT",))

            def said() -> pa.Table:
                found = totals(_said_of_accounts(of_accounts), over)
                # The proof that nothing means nothing. It comes last, so what was taken away in between is noticed as well.
                for _ in together.each(lambda a: self.api.json("GET", f"rest/adAccounts/{a.id}", has="id"), spans):
                    pass
                return found

            inbox.deliver(
                {
                    "records": Records(figures, fields, LINES),
                    "currencies": Records([currencies], [Field("account_id"), Field("currency")], "$.accounts[*]"),
                },
                select=select,
                covered=cells(spans),
                totals=said,
                about=lambda: about(spans, self.api.usage),
            )

    # -- requests ------------------------------------------------------------------------------------------------------

    def accounts(self) -> list[AdAccount]:
        """The ad accounts that are read, test accounts left out: what they say was never spent.

        Raises:
            ConfigError: there is none, or one that was asked for is not among them.
        """
        if self._accounts is None:
            found = [
                AdAccount(str(a["id"]), a.get("name", ""), a["currency"], "UTC")
                for body in self._searched("rest/adAccounts", self._read, "&search=(test:false)")
                for a in body["elements"]
            ]
            self._accounts = chosen(found, self.wanted, self.where)
        return self._accounts

    def _read(self, address: str) -> Any:
        return self.api.json("GET", address)

    def _searched(self, path: str, read: Callable[[str], Any], more: str = "") -> Iterator[dict[str, Any]]:
        """The pages of a search.

        Raises:
            StepFailed: a page is none, or names a token that was followed before.
        """
        seen: set[str] = set()
        token = ""
        while True:
            body = _elements(read(f"{path}?q=search{more}&pageSize={PAGE_SIZE}{token}"), self.where, path)
            yield body
            following = str((body.get("metadata") or {}).get("nextPageToken") or "")
            if not following:
                return
            if following in seen:
                raise StepFailed(
                    f"The API gives the same page again, after {len(seen)} others.",
                    where=f"{self.where}: {path}",
                    do="Run again; if it stays so, please report it as an issue.",
                )
            seen.add(following)
            token = f"&pageToken={quote(following, safe='')}"

    def _spans(self, asked: Asked) -> dict[AdAccount, Days]:
        """The days to read of each account."""
        today = asked.as_of.astimezone(dt.UTC).date()
        windows = {a: asked.window(HOT_DAYS, HOT_DAYS, MONTHLY_DAYS, a.id) for a in self.accounts()}
        spans = {account: (first, min(last, today)) for account, (first, last) in windows.items()}
        return {account: days for account, days in spans.items() if days[0] <= days[1]}

    def _pages(
        self, together: Together, inbox: Inbox, spans: Mapping[AdAccount, Days], pivots: tuple[str, ...]
    ) -> Iterator[Path]:
        """Save the figures of accounts by day; in the order of accounts and days, each page as soon as it is there."""
        wanted = [(account, piece) for account, days in spans.items() for piece in pieces(days, DAYS_A_QUERY)]
        found = together.each(lambda each: self._figures(each[0], each[1], pivots, (), inbox.pages), wanted)
        return (page for pages in found for page in pages)

    def _figures(
        self, account: AdAccount, days: Days, pivots: tuple[str, ...], campaigns: Sequence[str], folder: Path
    ) -> list[Path]:
        """Save the figures of an account, or of some of its campaigns, in as many answers as it takes.

        Raises:
            StepFailed: an answer is not about what was asked for, or one campaign and day is too much.
        """
        first, last = days
        facet = _urns("campaign_id", campaigns) if campaigns else _urns("account_id", [account.id])
        query = (
            f"q=statistics&pivots=List({','.join(pivots)})&timeGranularity=DAILY&dateRange=({_date('start', first)},"
            f"{_date('end', last)})&{'campaigns' if campaigns else 'accounts'}={facet}"
            f"&fields=dateRange,pivotValues,{','.join(_FIGURES.values())}"
        )
        part = f"-{campaigns[0]}-{len(campaigns)}" if campaigns else ""
        page = folder / f"{'-'.join(pivots)}-{account.id}-{first}-{last}{part}.json"
        _elements(self._asked(query, page), self.where, "adAnalytics")
        of_the_account = f"contains(pivots, '\"{_URNS['account_id']}{account.id}\"')"
        start = ", ".join(f"try_cast({field.name} as bigint)" for field in _START)
        within = f"make_date({start}) between date '{first}' and date '{last}'"
        lines, (rows, ours) = lines_of(
            page, _RECORDS, (*_START, _PIVOTS), f"count(*), count(*) filter ({of_the_account} and {within})", self.where
        )
        if ours < rows:
            raise StepFailed(
                f"An answer is not about ad account {account.id} from {first} to {last}, which were asked for.",
                where=f"{self.where}: adAnalytics",
                do="Run again; if it stays so, please report it as an issue.",
            )
        if rows < MAX_ELEMENTS:
            return [lines]
        lines.unlink()  # it may have been cut off
        if first < last:
            parts = [self._figures(account, half, pivots, campaigns, folder) for half in halves(days)]
        else:
            known = campaigns or self._campaigns(account)
            if len(known) < 2:
                raise StepFailed(
                    f"Ad account {account.id} has more ads on {first} than LinkedIn tells at once ({MAX_ELEMENTS:,}).",
                    where=f"{self.where}: adAnalytics",
                    do="Leave the stream of this level out of pipeline.yml.",
                )
            middle = len(known) // 2
            halved = (known[:middle], known[middle:])
            parts = [self._figures(account, days, pivots, half, folder) for half in halved]
        return [page for pages in parts for page in pages]

    def _campaigns(self, account: AdAccount) -> list[str]:
        bodies = self._searched(f"rest/adAccounts/{account.id}/adCampaigns", self._read)
        return sorted(str(campaign["id"]) for body in bodies for campaign in body["elements"])

    def _asked(self, query: str, page: Path) -> Any:
        if len(query) <= LONGEST_QUERY:
            return self.api.page("GET", f"rest/adAnalytics?{query}", page, without="elements")
        tunnelled = {"X-HTTP-Method-Override": "GET", "Content-Type": "application/x-www-form-urlencoded"}
        return self.api.page("POST", "rest/adAnalytics", page, without="elements", content=query, headers=tunnelled)


def _said_of_accounts(pages: Iterable[Path]) -> Iterator[Any]:
    """What LinkedIn says an account spent on a day, by calls that know no campaigns."""
    for page in pages:
        with page.open(encoding="utf-8") as lines:
            for element in (parse(line) for line in lines if line.strip()):
                measures = {"spend_amount": "cost", "impressions": "impressions", "clicks": "clicks"}
                said = {measure: element.get(_FIGURES[name]) for measure, name in measures.items()}
                account = str(element["pivotValues"][0]).removeprefix(_URNS["account_id"])
                yield account, str(_day(element)), said


def _urns(name: str, ids: Sequence[str]) -> str:
    """A list of URNs, whose colons are encoded (*Protocol Version*)."""
    return f"List({','.join(quote(f'{_URNS[name]}{each}', safe='') for each in ids)})"


def _date(name: str, day: dt.date) -> str:
    return f"{name}:(year:{day.year},month:{day.month},day:{day.day})"


def _day(element: Mapping[str, Any]) -> dt.date:
    start = element["dateRange"]["start"]
    return dt.date(int(start["year"]), int(start["month"]), int(start["day"]))


def _id(name: str) -> str:
    """SQL of an id of an element: the URN of its kind among the pivots, whatever their order, without what all have."""
    listed = f"list_filter(from_json(pivots, '[\"VARCHAR\"]'), lambda urn: starts_with(urn, '{_URNS[name]}'))"
    return f"replace({listed}[1], '{_URNS[name]}', '') as {name}"


def _elements(body: Any, where: str, what: str) -> dict[str, Any]:
    if not isinstance(body, dict) or not isinstance(body.get("elements"), list):
        raise StepFailed(
            "An answer has no `elements`.",
            where=f"{where}: {what}",
            do="Run again; if it stays so, please report it as an issue.",
        )
    return body


def _explained(response: httpx.Response, body: Any) -> OnefunnelError | Again | None:
    """What LinkedIn's error object (status, code, serviceErrorCode, message) means."""
    if not isinstance(body, Mapping) or "elements" in body:
        return None
    code, message = str(body.get("code", "")), quoted(body.get("message", ""))
    if response.status_code == 426 or code == "NONEXISTENT_VERSION":
        return StepFailed(
            f"LinkedIn has switched off the version of its API that is asked for: {message}",
            do="Upgrade onefunnel; until then name a later month as `version` in the connection's extra, for example 202609.",
        )
    if response.status_code == 429 and ("throttle limit" in message or "DAY limit" in message):
        return EnvironmentNotReady(
            "The app's calls of the day are used up.", do="Run again after midnight UTC; nothing was lost."
        )
    if response.status_code == 403:
        return StepFailed(
            f"LinkedIn refuses to show this: {message}",
            do="Give the member of the connection a role in the ad account (viewer is enough) and its token the scopes r_ads and"
            " r_ads_reporting, or name the other accounts under `accounts` in pipeline.yml.",
        )
    if response.status_code in (400, 404, 405, 414):
        return StepFailed(f"LinkedIn refused: {code}: {message}")
    return None
