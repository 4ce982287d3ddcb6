"""Microsoft Advertising: reports of every account below a customer, made to order, downloaded as zipped CSV.

Sources, pages of Microsoft's documentation: *SubmitGenerateReport*, *PollGenerateReport* (by REST), *Request and Download a
Report*, *Reporting Service Model* (header and footer lines, `Rows`, Potential Incomplete Data, Time Zones in Reporting),
*ReportRequest* (ReturnOnlyCompleteData), *ReportRequestStatus* (no address: no data; an address lives for five minutes),
*CampaignPerformanceReportColumn* and its neighbours, *Reporting Data Retention Time Periods*, *Reporting Error Codes*,
*Handle Service Errors and Exceptions*, *SearchAccounts* (exactly one predicate), *Authentication with OAuth*.

A day whose books are open is only partly there, and without being asked Microsoft does not say so. So complete data is asked
for; of yesterday, where there is none yet, and of today what there is. Days are those of UTC, by *Time Zones in Reporting*.
"""

from __future__ import annotations

import csv
import datetime as dt
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pyarrow as pa

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
    kept_since,
    none_is_lost,
    pieces,
    totals,
)
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.connections import Connection
from onefunnel.sources.http import Again, Api, Stopped, Usage, quoted
from onefunnel.sources.inbox import Inbox, Records
from onefunnel.sources.oauth import AccessToken
from onefunnel.sources.pages import Field, lacking

REPORTING, CUSTOMERS = "https://reporting.api.bingads.microsoft.com", "https://clientcenter.api.bingads.microsoft.com"
TOKEN = "https://login.microsoftonline.com/common/oauth2/v2.0/token"  # noqa: S105
SCOPE = "https://ads.microsoft.com/msads.manage offline_access"
# Where reports are downloaded from; nothing secret is sent there. Microsoft may move them: then `download_host` names it.
DOWNLOAD_HOSTS = ("bingadsappsstorageprod.blob.core.windows.net", "download.api.bingads.microsoft.com")
HOT_DAYS, MONTHLY_DAYS = 30, 90
HISTORY_MONTHS = 36
DAYS_A_REPORT = 92
AT_ONCE = 4
PAGE_SIZE = 100
ROUNDED = ("spend_amount",)  # every figure of spend by itself, that of an account as well
TRIES = 3
FIRST_LOOK_SECONDS, SLOWEST_LOOK_SECONDS = 0.25, 30.0
REPORT_SECONDS = 3_600.0  # all that is waited for the reports of a fetch
_BLOCK_BYTES = 1024 * 1024
# No zone of a report is UTC. In London it is never an earlier day.
_ZONE = "GreenwichMeanTimeDublinEdinburghLisbonLondon"

_NAMED = {
    "day": "TimePeriod",
    "account_id": "AccountId",
    "currency": "CurrencyCode",
    "campaign_id": "CampaignId",
    "campaign_type": "CampaignType",
    "ad_group_id": "AdGroupId",
    "ad_id": "AdId",
    "spend": "Spend",
    "impressions": "Impressions",
    "clicks": "Clicks",
    "conversions": "ConversionsQualified",
    "conversions_value": "Revenue",
    "name": "CampaignName",
    "status": "CampaignStatus",
}
_FIGURES = ("spend", "impressions", "clicks", "conversions", "conversions_value")
# Stream: the report, and what names its rows within an account's day.
_LEVELS = {
    "performance_daily": ("Campaign", ("campaign_id", "campaign_type")),
    "ad_group_performance_daily": ("AdGroup", ("campaign_id", "campaign_type", "ad_group_id")),
    "ad_performance_daily": ("Ad", ("campaign_id", "campaign_type", "ad_group_id", "ad_id")),
}


class _OpenBooks(StepFailed):
    """Some of the data that is asked for is not complete yet."""


class _Broken(Exception):
    """A report that is not whole."""


@dataclass(frozen=True)
class _Order:
    """A report that is wanted, and how to wait for its number at Microsoft if it was ordered; its books may be open."""

    report: str
    names: Sequence[str]
    days: Days
    complete: bool
    daily: bool = True
    number: Callable[[], str | _OpenBooks] | None = None


@dataclass
class _Reports:
    """Reports of the same columns: their records, and of which days they say, or must be taken to be, unfinished."""

    pages: list[Path] = field(default_factory=list)
    preliminary: list[str] = field(default_factory=list)


def connect(where: str, connection: Connection, accounts: Sequence[str]) -> MicrosoftAds:
    """The connector for one source.

    Args:
        connection: login is the application's id, the password its secret where it has one; extra: `refresh_token`,
            `developer_token`, `customer_id` (the customer, also a manager's, whose accounts are read), and `token_url` and
            `download_host` where they are not Microsoft's usual ones.
        accounts: only these account ids; all of the customer where empty.
    """
    return MicrosoftAds(where, connection, accounts)


class MicrosoftAds:
    """The accounts of one customer."""

    def __init__(self, where: str, connection: Connection, accounts: Sequence[str]) -> None:
        self.where, self.wanted = where, list(accounts)
        self.customer = connection.extra.get("customer_id", "")
        if not self.customer.isdigit():
            raise ConfigError(
                f"the connection {connection.connection_id} has no customer_id",
                where,
                "give the customer's id, digits alone, in `extra` (docs/how-to/connect-microsoft-ads.md)",
            )
        form = {
            "grant_type": "refresh_token",
            "client_id": connection.login,
            "refresh_token": connection.secret("refresh_token"),
            "scope": SCOPE,
        }
        if connection.password:
            form["client_secret"] = connection.secret("password")
        also = {"DeveloperToken": connection.secret("developer_token"), "CustomerId": self.customer}
        deadline = connection.deadline_seconds
        self.token = AccessToken(where, connection.token_url(TOKEN), form, also, deadline)
        self.api, self.customers = (
            Api(where, connection.base_url(host), self.token, explain=_explained, deadline=deadline)
            for host in (REPORTING, CUSTOMERS)
        )
        moved = connection.extra.get("download_host")
        self.download_hosts = (*DOWNLOAD_HOSTS, *([moved] if moved else []))
        self._accounts: list[AdAccount] | None = None
        self._until = 0.0

    def close(self) -> None:
        """Close the connections."""
        for each in (self.api, self.customers, self.token):
            each.close()

    def fetch(self, asked: Asked, inbox: Inbox) -> None:
        """Fetch one stream of all accounts."""
        self.where = self.api.where = self.customers.where = asked.where
        self.api.usage = self.customers.usage = Usage()
        none_is_lost(asked, self.accounts())
        self._until = time.monotonic() + REPORT_SECONDS
        if asked.stream == "ad_accounts":
            deliver_accounts(inbox, self.accounts(), self.api.usage)
        elif asked.stream == "campaigns":
            self._fetch_campaigns(asked, inbox)
        else:
            self._fetch_performance(asked, inbox, *_LEVELS[asked.stream])

    # -- streams -------------------------------------------------------------------------------------------------------

    def _fetch_campaigns(self, asked: Asked, inbox: Inbox) -> None:
        """The campaigns that did anything in the days that are read; those from before are known already."""
        names = ("account_id", "campaign_id", "name", "campaign_type", "status")
        days = self._days(asked)
        order = _Order("Campaign", (*names, "impressions"), days, complete=False, daily=False)
        page = self._report(order, inbox.pages / "campaigns")[0] if days[0] <= days[1] else None
        inbox.deliver(
            {"records": Records([page] if page else [], [Field(name, _NAMED[name]) for name in names])},
            covered=None,
            totals=TOTALS.empty_table(),
            about={"requests": self.api.usage.requests},
        )

    def _fetch_performance(self, asked: Asked, inbox: Inbox, report: str, names: Sequence[str]) -> None:
        days, today = self._days(asked), asked.as_of.astimezone(dt.UTC).date()
        spans = dict.fromkeys(self.accounts(), days) if days[0] <= days[1] else {}
        columns = ("day", "account_id", "currency", *names, *_FIGURES)
        # Only campaigns are sure to hold all that an account spent.
        over = finished(spans, asked.as_of) if report == "Campaign" else {}
        until = min(days[1], today - dt.timedelta(days=1)) if over else days[0] - dt.timedelta(days=1)
        measures = ("day", "account_id", "spend", "impressions", "clicks")
        unfinished: set[str] = set()  # figures that are still coming in are not the same in two calls

        def pages(reports: Iterable[_Reports]) -> Iterator[Path]:
            for each in reports:
                unfinished.update(each.preliminary)
                yield from each.pages

        def told() -> pa.Table:
            read = list(pages(of_accounts))  # until then it is not known what is unfinished
            return totals(_said_of_accounts(read, asked.where), over, ROUNDED, but=unfinished)

        with Together(AT_ONCE, self.api.stopping) as together:
            ordered = [
                self._ordered(together, report, columns, days, today),
                self._ordered(together, "Account", measures, (days[0], until), today),
            ]
            figures, of_accounts = (
                together.each(lambda each: self._closed(each, today, inbox.pages), some) for some in ordered
            )
            inbox.deliver(
                {"records": Records(pages(figures), [Field(name, _NAMED[name]) for name in columns])},
                covered=cells(spans),
                totals=told,
                about=lambda: {**about(spans, self.api.usage), "preliminary": sorted(unfinished)},
            )

    # -- requests ------------------------------------------------------------------------------------------------------

    def accounts(self) -> list[AdAccount]:
        """The accounts that are read.

        Raises:
            ConfigError: there is none, or one that was asked for is not among them.
            StepFailed: the search gives the same page twice.
        """
        if self._accounts is None:
            found: dict[str, AdAccount] = {}
            for index in range(1_000):
                body = {
                    "Predicates": [{"Field": "CustomerId", "Operator": "Equals", "Value": self.customer}],
                    "PageInfo": {"Index": index, "Size": PAGE_SIZE},
                }
                answer = self.customers.json("POST", "CustomerManagement/v13/Accounts/Search", json=body)
                page = [
                    AdAccount(str(a["Id"]), a.get("Name") or "", a["CurrencyCode"], "UTC")
                    for a in _said(answer, "Accounts", self.where) or ()
                ]
                if any(account.id in found for account in page):
                    raise StepFailed(
                        f"The API gives the same page again, after {index} others.",
                        where=f"{self.where}: account search",
                        do="Run again; if it stays so, please report it as an issue.",
                    )
                found |= {account.id: account for account in page}
                if len(page) < PAGE_SIZE:
                    break
            self._accounts = chosen(found.values(), self.wanted, self.where)
        return self._accounts

    def _days(self, asked: Asked) -> Days:
        """The days to read, the present one included. A report is about all accounts: one that is new takes the others along."""
        windows = [asked.window(HOT_DAYS, HOT_DAYS, MONTHLY_DAYS, account.id) for account in self.accounts()]
        first, last = min(first for first, _ in windows), max(last for _, last in windows)
        oldest = kept_since(asked.as_of, HISTORY_MONTHS)
        if last < oldest:
            raise ConfigError(
                f"Microsoft keeps {HISTORY_MONTHS} months, nothing from before {oldest}",
                asked.where,
                "ask for later days, or deliver the older ones as files",
            )
        return max(first, oldest), min(last, asked.as_of.astimezone(dt.UTC).date())

    def _ordered(
        self, together: Together, report: str, names: Sequence[str], days: Days, today: dt.date
    ) -> list[_Order]:
        """Order reports by day: complete ones of the days that are over, and of today, where it is among them, what there is.

        All wait at Microsoft together; each is looked at in its turn.
        """

        def ordered(request: dict[str, Any]) -> str | _OpenBooks:
            try:
                return self._submitted(request)
            except _OpenBooks as error:
                return error

        yesterday = today - dt.timedelta(days=1)
        wanted = [(piece, True) for piece in pieces((days[0], min(days[1], yesterday)), DAYS_A_REPORT)]
        wanted += [((today, today), False)] if days[0] <= today <= days[1] else []
        orders = [_Order(report, names, *each) for each in wanted]
        return [replace(each, number=together.begin(ordered, self._request(each))) for each in orders]

    def _closed(self, order: _Order, today: dt.date, folder: Path) -> _Reports:
        """A report of days; where the books of yesterday are open, one of the days before it and one of what there is of it.

        Raises:
            EnvironmentNotReady: the books of an older day are open.
        """
        days, yesterday = order.days, today - dt.timedelta(days=1)
        try:
            page, is_incomplete = self._report(order, folder / f"{order.report}-{days[0]}-{days[1]}")
        except _OpenBooks:
            if days[1] != yesterday:
                raise EnvironmentNotReady(
                    f"Microsoft has not closed its books of {days[1]} or before.",
                    where=f"{self.where}, {order.report} report",
                    do="Run again in some hours; nothing was lost.",
                ) from None
            before = (days[0], yesterday - dt.timedelta(days=1))
            parts = [(before, True)] if before[0] <= before[1] else []
            found = [
                self._closed(_Order(order.report, order.names, *part), today, folder)
                for part in (*parts, ((yesterday, yesterday), False))
            ]
            return _Reports([p for each in found for p in each.pages], [d for each in found for d in each.preliminary])
        return _Reports([page] if page else [], [str(days[1])] if is_incomplete or not order.complete else [])

    def _request(self, order: _Order) -> dict[str, Any]:
        days = order.days
        first, last = ({"Day": day.day, "Month": day.month, "Year": day.year} for day in days)
        return {
            "Type": f"{order.report}PerformanceReportRequest",
            "ReportName": f"onefunnel {order.report} {days[0]} {days[1]} {len(order.names)}",
            "Format": "Csv",
            "FormatVersion": "2.0",
            "ReturnOnlyCompleteData": order.complete,
            "Aggregation": "Daily" if order.daily else "Summary",
            "Columns": [_NAMED[name] for name in order.names],
            "Scope": {"AccountIds": [int(account.id) for account in self.accounts()]},
            "Time": {"CustomDateRangeStart": first, "CustomDateRangeEnd": last, "ReportTimeZone": _ZONE},
        }

    def _submitted(self, request: dict[str, Any]) -> str:
        answer = self.api.json("POST", "Reporting/v13/GenerateReport/Submit", json={"ReportRequest": request})
        return str(_said(answer, "ReportRequestId", self.where))

    def _report(self, order: _Order, stem: Path) -> tuple[Path | None, bool]:
        """Wait for a report and save it: (CSV with its column names, None without data; may it be incomplete).

        It is ordered where it is not yet, and where it could not be made.
        """
        request, number = self._request(order), order.number() if order.number else None
        for _ in range(TRIES):
            if isinstance(number, _OpenBooks):
                raise number
            state = self._ready(number or self._submitted(request))
            number = None
            if state["Status"] == "Success":
                url = state.get("ReportDownloadUrl")
                return self._downloaded(str(url), stem, request["ReportName"]) if url else (None, False)
        raise StepFailed(
            f"Microsoft could not make a report ({request['Type']}, {TRIES} times asked for).",
            where=self.where,
            do="Run again later; if it stays so, leave the stream of this level out of pipeline.yml.",
        )

    def _ready(self, number: str) -> dict[str, Any]:
        """The status of a report that is not pending any more."""
        pause = FIRST_LOOK_SECONDS
        while True:
            answer = self.api.json("POST", "Reporting/v13/GenerateReport/Poll", json={"ReportRequestId": number})
            state = _said(answer, "ReportRequestStatus", self.where)
            if isinstance(state, dict) and state.get("Status") in ("Success", "Error"):
                return state
            if time.monotonic() > self._until:
                raise EnvironmentNotReady(
                    f"Microsoft's reports are not ready after {REPORT_SECONDS / 60:,.0f} minutes.",
                    where=self.where,
                    do="Run again later; nothing was lost.",
                )
            if self.api.stopping.wait(pause):
                raise Stopped
            pause = min(SLOWEST_LOOK_SECONDS, pause * 1.5)

    def _downloaded(self, url: str, stem: Path, name: str) -> tuple[Path, bool]:
        """Save a report, from Microsoft's storage or the reporting service's own host.

        Raises:
            StepFailed: another host is named, or what is there is not the whole report, however often it is asked for.
        """
        parts, ours = urlsplit(url), urlsplit(self.api.base_url)
        of_the_service = (parts.scheme, parts.hostname, parts.port) == (ours.scheme, ours.hostname, ours.port)
        of_the_storage = parts.scheme == "https" and parts.hostname in self.download_hosts and parts.port in (None, 443)
        if not (of_the_service or of_the_storage):
            raise StepFailed(
                f"A report is to be downloaded from a host that is not known: {parts.hostname}.",
                where=self.where,
                do="Nothing was asked of it. If Microsoft has moved its reports, name the host as `download_host` in the"
                " connection's extra.",
            )
        archive, page = stem.with_name(f"{stem.name}.zip"), stem.with_name(f"{stem.name}.csv")
        origin = f"{parts.scheme}://{parts.netloc}"
        # No token is sent: the address itself is the permission.
        with Api(
            f"{self.where}, download",
            origin,
            lambda _: {},
            explain=_expired,
            usage=self.api.usage,
            stopping=self.api.stopping,
            deadline=self.api.deadline,
        ) as api:
            for _ in range(TRIES):
                api.save("GET", url, archive)
                try:
                    return page, _unpacked(archive, page, name)
                except (_Broken, zipfile.BadZipFile, zlib.error, EOFError) as error:
                    broken = str(error)
                finally:
                    archive.unlink(missing_ok=True)
        raise StepFailed(
            f"A report is not whole: {broken}",
            where=self.where,
            do="Run again; if it stays so, please report it as an issue.",
        )


def _expired(response: httpx.Response, _: Any) -> OnefunnelError | None:
    if response.status_code in (401, 403, 404):
        return StepFailed("The address of a report has expired.", do="Run again; nothing was lost.")
    return None


def _unpacked(archive: Path, to: Path, name: str) -> bool:
    """Write the column names and records of a report; whether it says that its data may be incomplete.

    A report is lines about it, a blank line, the column names, records, a blank line and a copyright.

    Raises:
        _Broken: it ends early, is another report, or has another number of records than it says.
        BadZipFile, zlib.error, EOFError: the archive is damaged.
    """
    with zipfile.ZipFile(archive) as zipped, zipped.open(zipped.namelist()[0]) as report, to.open("wb") as out:
        said: dict[str, str] = {}
        for line in report:
            key, _, value = line.decode("utf-8-sig").strip().strip('"').partition(": ")
            if not key:
                break
            said[key.removesuffix(":")] = value
        lines, rest = _lines(report, out)
        if not (rest + report.read(3)).startswith(b'"@'):
            raise _Broken("it breaks off.")
        while report.read(_BLOCK_BYTES):  # at its end the archive's check sum is looked at
            pass
    records = lines - 1  # the first of them is the column names
    if said.get("Report Name") != name:
        raise _Broken("it is another one than was asked for.")
    if said.get("Rows") != str(records):
        raise _Broken(f"it has {records:,} records and says that it has {said.get('Rows', 'an unknown number of')}.")
    return said.get("Potential Incomplete Data") != "false"


def _lines(report: IO[bytes], out: IO[bytes]) -> tuple[int, bytes]:
    """Write lines up to a blank one: how many, and what was read behind it. A value in quotes may hold line breaks.

    Raises:
        _Broken: there is no blank line.
    """
    number, rest, is_open = 0, b"", False
    while block := report.read(_BLOCK_BYTES):
        block = rest + block
        whole, rest = block[: (end := block.rfind(b"\n") + 1)], block[end:]
        data = np.frombuffer(whole, dtype=np.uint8)
        quotes, breaks = (np.flatnonzero(data == ord(sign)) for sign in '"\n')
        ends = breaks[np.searchsorted(quotes, breaks) % 2 == is_open] + 1
        short = np.flatnonzero(np.diff(ends, prepend=0) <= len("\r\n"))
        for line in short.tolist():
            begin = int(ends[line - 1]) if line else 0
            if not (is_open and line == 0) and not whole[begin : ends[line]].strip():
                out.write(whole[:begin])
                return number + line, whole[ends[line] :] + rest
        out.write(whole)
        number += ends.size
        is_open ^= quotes.size % 2 == 1
    raise _Broken("it breaks off.")


def _said_of_accounts(pages: Sequence[Path], where: str) -> Iterator[tuple[str, str, Mapping[str, str | None]]]:
    """What Microsoft says an account spent on a day, by a report that knows no campaigns."""
    measures = {"spend_amount": "Spend", "impressions": "Impressions", "clicks": "Clicks"}
    for page in pages:
        with page.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = sorted({"AccountId", "TimePeriod", *measures.values()} - set(rows.fieldnames or ()))
            if missing:
                raise lacking(missing, where)
            for row in rows:
                yield row["AccountId"], row["TimePeriod"], {m: row[name] or None for m, name in measures.items()}


def _said(answer: Any, name: str, where: str) -> Any:
    """A value that every answer of its kind has."""
    if not isinstance(answer, Mapping) or name not in answer:
        raise StepFailed(
            f"An answer has no `{name}`.", where=where, do="Run again; if it stays so, please report it as an issue."
        )
    return answer[name]


def _explained(response: httpx.Response, body: Any) -> OnefunnelError | Again | None:
    """What an AdApiFaultDetail (credentials) or an ApiFaultDetail means."""
    if not isinstance(body, Mapping):
        return None
    errors = [*(body.get("Errors") or ()), *(body.get("OperationErrors") or ()), *(body.get("BatchErrors") or ())]
    if not errors:
        return None
    codes = {int(error.get("Code", -1)) for error in errors if isinstance(error, Mapping)}
    said = quoted("; ".join(f"{error.get('ErrorCode')}: {error.get('Message')}" for error in errors))
    if 117 in codes:
        return Again("too many calls in a minute", 60.0)
    if {0, 207} & codes:
        return Again("the service asks to wait")
    if {105, 109} & codes:
        return ConfigError(
            "Microsoft Advertising accepts neither the user nor the developer token",
            do="correct developer_token and refresh_token in the connection's extra; the user must be one of Microsoft"
            " Advertising",
        )
    if {106, 2003} & codes:
        return StepFailed(
            f"An account cannot be read: {said}",
            do="Give the user of the connection access to all accounts of the customer (viewer is enough), or name those that"
            " it may see under `accounts` in pipeline.yml.",
        )
    if 2004 in codes:
        return _OpenBooks(f"Data is not complete yet: {said}")
    return StepFailed(f"Microsoft Advertising refused: {said}")
