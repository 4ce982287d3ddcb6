"""Meta (Facebook, Instagram): the Marketing API's insights of every ad account that a system user may read.

Sources, pages of Meta's documentation: *Ad Account Insights* and *Ads Insights API* (level, time_range, time_increment, what
happens to deleted objects, which attribution holds), *Ads Action Stats* (the values per attribution window), *Insights API,
Asynchronous Jobs*, *Insights API, Limits & Best Practices* (too much data: 100/1487534; x-fb-ads-insights-throttle), *Manage
Your Ad Object's Status* (without a filter `level=ad` leaves out what was deleted), *Marketing API Error Codes*, *Rate
Limits* (the headers; minutes until access is regained), *Paginated Results*; blog of 16 October 2025 (7d_view and 28d_view
are gone).

A conversion is what happened within fixed windows, seven days after a click or one after a view, whatever an ad set is
optimised for. Meta counts one conversion under several action types; of each kind one is read (`_LEAD`, `_PURCHASE`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sources.ad_accounts import (
    AdAccount,
    Days,
    about,
    cells,
    chosen,
    deliver_accounts,
    finished,
    halves,
    kept_since,
    none_is_lost,
    pieces,
    some_at_once,
    totals,
)
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.connections import Connection
from onefunnel.sources.http import Again, Api, Usage, parse, quoted
from onefunnel.sources.inbox import Inbox, Records
from onefunnel.sources.pages import Field

VERSION, API = "v25.0", "https://graph.facebook.com"
HOT_DAYS, MONTHLY_DAYS = 28, 90
HISTORY_MONTHS = 37
DAYS_AT_ONCE = 31  # more days than these are asked for as jobs, in pieces of so many
AT_ONCE = 4
JOBS_AT_ONCE = 24  # two years of an account; Meta names no limit, only one of calls
PAGE_ROWS = 500
ROUNDED = ("spend_amount",)  # every figure of spend by itself, that of an account as well
FIRST_LOOK_SECONDS, SLOWEST_LOOK_SECONDS = 0.25, 30.0
# A job may take up to an hour at Meta. One that is not ready after ten minutes is mostly stuck: its halves are asked for.
JOB_SECONDS, FETCH_SECONDS = 600.0, 3_600.0

_WINDOWS = ("7d_click", "1d_view")
# Each stands for all channels (site, app, in the network itself); the others of its kind are parts of it or say it again.
_LEAD, _PURCHASE = "lead", "omni_purchase"
_STATUSES = (
    "ACTIVE", "PAUSED", "DELETED", "ARCHIVED", "IN_PROCESS", "WITH_ISSUES", "CAMPAIGN_PAUSED", "ADSET_PAUSED",
    "DISAPPROVED", "PENDING_REVIEW", "PENDING_BILLING_INFO", "PREAPPROVED",
)  # fmt: skip
_OF_LEVEL = {"campaign": _STATUSES[:6], "adset": _STATUSES[:7], "ad": _STATUSES}
_LISTED = tuple(status for status in _OF_LEVEL["campaign"] if status != "DELETED")  # what is deleted is in no list
# Stream: level, and what names its rows within an account's day.
_LEVELS = {
    "performance_daily": ("campaign", ("campaign_id",)),
    "ad_group_performance_daily": ("adset", ("campaign_id", "adset_id")),
    "ad_performance_daily": ("ad", ("campaign_id", "adset_id", "ad_id")),
}
_FIGURES = ("spend", "impressions", "clicks")
_SHARE = re.compile(r'"(?:call_count|total_cputime|total_time|[a-z_]+_util_pct)": *([0-9.]+)')
_LIMITS = ("x-app-usage", "x-business-use-case-usage", "x-ad-account-usage", "x-fb-ads-insights-throttle")


_Read = Callable[[str, Mapping[str, Any] | None], Any]
_Part = tuple[str, AdAccount, Days]  # of insights: level, account, days


class _TooMuch(StepFailed):
    """Meta cannot answer for so many days at once."""


@dataclass(eq=False)
class _Job:
    """Insights that Meta prepares: which, its run there (none before it is asked for), when it is looked at next."""

    part: _Part
    run: str = ""
    began: float = 0.0
    pause: float = 0.0
    look_at: float = 0.0


def connect(where: str, connection: Connection, accounts: Sequence[str]) -> MetaAds:
    """The connector for one source.

    Args:
        connection: the password is the access token of a system user with `ads_read`.
        accounts: only these ad accounts, with or without `act_`; all that the user is assigned to where empty.
    """
    return MetaAds(where, connection, accounts)


class MetaAds:
    """The ad accounts of one access token."""

    def __init__(self, where: str, connection: Connection, accounts: Sequence[str]) -> None:
        self.where, self.wanted = where, [a.removeprefix("act_") for a in accounts]
        self.token = connection.secret("password")
        headers = {"Authorization": f"Bearer {self.token}"}
        self.api = Api(
            where,
            connection.base_url(API),
            lambda _: headers,
            explain=_explained,
            limits=_LIMITS,
            deadline=connection.deadline_seconds,
        )
        self._accounts: list[AdAccount] | None = None
        self._until = 0.0

    def close(self) -> None:
        """Close the connections."""
        self.api.close()

    def fetch(self, asked: Asked, inbox: Inbox) -> None:
        """Fetch one stream of all accounts."""
        self.where = self.api.where = asked.where
        self.api.usage = Usage()
        none_is_lost(asked, self.accounts())
        self._until = time.monotonic() + FETCH_SECONDS
        if asked.stream == "ad_accounts":
            deliver_accounts(inbox, self.accounts(), self.api.usage)
        elif asked.stream == "campaigns":
            self._fetch_campaigns(inbox)
        else:
            self._fetch_performance(asked, inbox, *_LEVELS[asked.stream])

    # -- streams -------------------------------------------------------------------------------------------------------

    def _fetch_campaigns(self, inbox: Inbox) -> None:
        params = {"fields": "id,account_id,name,effective_status", "effective_status": json.dumps(_LISTED)}
        pages = [
            page
            for account in self.accounts()
            for page in self._pages(f"{VERSION}/act_{account.id}/campaigns", params, inbox.pages / account.id)
        ]
        fields = [Field("account_id"), Field("campaign_id", "id"), Field("name"), Field("status", "effective_status")]
        inbox.deliver(
            {"records": Records(pages, fields, "$.data[*]")},
            covered=None,
            totals=TOTALS.empty_table(),
            about={"requests": self.api.usage.requests, "limits": _used(self.api.usage.limits)},
        )

    def _fetch_performance(self, asked: Asked, inbox: Inbox, level: str, names: Sequence[str]) -> None:
        spans = self._spans(asked)
        # What is deleted may be missing below the campaigns: only they are sure to hold all that an account spent.
        over = finished(spans, asked.as_of) if level == "campaign" else {}
        columns = ("account_currency", *names, *_FIGURES, "actions", "action_values")
        wanted = {level: (spans, columns), "account": (over, _FIGURES)}
        of_accounts: list[Path] = []

        def figures() -> Iterator[Path]:
            """The pages of the level; those of accounts, which come among them, are put aside."""
            for part, pages in self._insights(inbox, wanted):
                if part[0] == level:
                    yield from pages
                else:
                    of_accounts.extend(pages)

        fields = [
            Field("account_id"),
            Field("currency", "account_currency"),
            Field("day", "date_start"),
            *(Field(name) for name in (*names, *_FIGURES, "actions", "action_values")),
        ]
        select = f"""
            select
                account_id, currency, day, {", ".join((*names, *_FIGURES))},
                {_within_windows("actions", _LEAD)} as leads,
                {_within_windows("actions", _PURCHASE)} as conversions,
                {_within_windows("action_values", _PURCHASE)} as conversions_value
            from records
        """  # noqa: S608
        inbox.deliver(
            {"records": Records(figures(), fields, "$.data[*]")},
            select=select,
            covered=cells(spans),
            totals=lambda: totals(_said_of_accounts(of_accounts), over, ROUNDED),
            about=lambda: {**about(spans, self.api.usage), "limits": _used(self.api.usage.limits)},
        )

    # -- requests ------------------------------------------------------------------------------------------------------

    def accounts(self) -> list[AdAccount]:
        """The ad accounts that are read.

        Raises:
            ConfigError: there is none, or one that was asked for is not among them.
        """
        if self._accounts is None:
            params = {"fields": "account_id,name,currency,timezone_name", "limit": PAGE_ROWS}
            bodies = self._walk(
                f"{VERSION}/me/adaccounts", lambda path, q: self.api.json("GET", path, params=q), params
            )
            found = [
                AdAccount(a["account_id"], a.get("name", ""), a["currency"], a["timezone_name"])
                for body in bodies
                for a in body["data"]
            ]
            self._accounts = chosen(found, self.wanted, self.where)
        return self._accounts

    def _spans(self, asked: Asked) -> dict[AdAccount, Days]:
        """The days to read of each account: none that has not begun there, none that Meta has forgotten."""
        windows = {a: asked.window(HOT_DAYS, HOT_DAYS, MONTHLY_DAYS, a.id) for a in self.accounts()}
        oldest = kept_since(asked.as_of, HISTORY_MONTHS)
        if all(last < oldest for _, last in windows.values()):
            raise ConfigError(
                f"Meta keeps {HISTORY_MONTHS} months, nothing from before {oldest}",
                asked.where,
                "ask for later days, or deliver the older ones as files",
            )
        spans = {a: (max(first, oldest), min(last, a.today(asked.as_of))) for a, (first, last) in windows.items()}
        return {account: days for account, days in spans.items() if days[0] <= days[1]}

    def _insights(
        self, inbox: Inbox, wanted: Mapping[str, tuple[Mapping[AdAccount, Days], Sequence[str]]]
    ) -> Iterator[tuple[_Part, list[Path]]]:
        """Save the insights of accounts by day, of one level beside the other; the pages of each part as soon as they are there.

        Args:
            wanted: by level, the accounts with their days, and the fields.
        """
        params = {level: _params(level, fields) for level, (_, fields) in wanted.items()}

        def at_once(part: _Part) -> tuple[_Part, list[Path], list[_Job]]:
            """The pages of some days, and the jobs of those that are too much for an answer."""
            level, account, days = part
            query = {**params[level], **_range(days)}
            try:
                return part, self._pages(self._insights_path(account), query, stem(part)), []
            except _TooMuch:
                if days[0] == days[1]:
                    return part, [], [_Job(part)]
                found = [at_once((level, account, half)) for half in halves(days)]
                return part, [page for _, pages, _ in found for page in pages], [j for *_, jobs in found for j in jobs]

        def stem(part: _Part) -> Path:
            level, account, (since, until) = part
            return inbox.pages / f"{level}-{account.id}-{since}-{until}"

        few: list[_Part] = []
        many: list[_Part] = []
        for level, (spans, _) in wanted.items():
            for account, days in spans.items():
                is_long = (days[1] - days[0]).days >= DAYS_AT_ONCE
                (many if is_long else few).extend((level, account, piece) for piece in pieces(days, DAYS_AT_ONCE))
        jobs = [_Job(part) for part in many]
        for part, pages, too_much in some_at_once(at_once, few, AT_ONCE, self.api.stopping):
            yield part, pages
            jobs += too_much
        yield from self._by_jobs(jobs, params, stem)

    def _by_jobs(
        self, jobs: list[_Job], params: Mapping[str, Mapping[str, Any]], stem: Callable[[_Part], Path]
    ) -> Iterator[tuple[_Part, list[Path]]]:
        """Save insights by jobs: many wait at Meta at a time, each is looked at in its turn and read when it is done."""

        def advanced(job: _Job) -> tuple[_Part, list[Path], list[_Job]]:
            """What a job gives, and the jobs that are left: itself, or those of the halves of its days."""
            level, account, days = job.part
            try:
                if not job.run:
                    query = {**params[level], **_range(days)}
                    path = self._insights_path(account)
                    job.run = self.api.json("POST", path, has="report_run_id", data=query)["report_run_id"]
                    job.began, job.pause = time.monotonic(), FIRST_LOOK_SECONDS
                elif self._is_done(job):
                    return job.part, self._pages(f"{VERSION}/{job.run}/insights", {}, stem(job.part)), []
                else:
                    job.pause = min(SLOWEST_LOOK_SECONDS, job.pause * 1.5)
                job.look_at = time.monotonic() + job.pause
                return job.part, [], [job]
            except _TooMuch as error:
                if days[0] < days[1]:
                    return job.part, [], [_Job((level, account, half)) for half in halves(days)]
                raise StepFailed(
                    f"Meta gives no insights of ad account {account.id} on {days[0]}: {error.what}",
                    where=f"{self.where}, level {level}",
                    do="Run again later. If it stays so, leave the stream of this level out of pipeline.yml.",
                ) from None

        under_way: set[Future[tuple[_Part, list[Path], list[_Job]]]] = set()
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            while jobs or under_way:
                jobs.sort(key=lambda job: not job.run)  # those that have begun keep their place
                now, room = time.monotonic(), JOBS_AT_ONCE - len(under_way)
                due = [job for job in jobs[:room] if job.look_at <= now]
                jobs = [job for job in jobs if job not in due]
                under_way |= {pool.submit(advanced, job) for job in due}
                next_look = min((job.look_at for job in jobs[: room - len(due)]), default=None)
                if not under_way and next_look is not None:
                    time.sleep(max(0.0, next_look - now))
                    continue
                pause = None if next_look is None else max(0.0, next_look - now)
                ended, under_way = wait(under_way, pause, FIRST_COMPLETED)
                for each in ended:
                    part, pages, left = each.result()
                    yield part, pages
                    jobs += left
        finally:
            self.api.stopping.set()
            pool.shutdown(cancel_futures=True)
            self.api.stopping.clear()

    def _is_done(self, job: _Job) -> bool:
        """Whether a job is done.

        Raises:
            _TooMuch: it failed, was skipped, or does not come to its end.
            EnvironmentNotReady: nor did those before it, for an hour in all.
        """
        fields = {"fields": "async_status,async_percent_completion"}
        state = self.api.json("GET", f"{VERSION}/{job.run}", has="async_status", params=fields)
        status, percent = str(state.get("async_status")), str(state.get("async_percent_completion"))
        if status == "Job Completed" and percent == "100":
            return True
        if status in ("Job Failed", "Job Skipped"):
            raise _TooMuch(f"its job ended as `{status}`.")
        now = time.monotonic()
        if now > self._until:
            raise EnvironmentNotReady(
                f"Meta's reports are not ready after {FETCH_SECONDS / 60:,.0f} minutes.",
                where=self.where,
                do="Run again later; nothing was lost.",
            )
        if now - job.began > min(JOB_SECONDS, self.api.deadline):
            raise _TooMuch(f"its job stays at {percent} per cent.")
        return False

    def _insights_path(self, account: AdAccount) -> str:
        return f"{VERSION}/act_{account.id}/insights"

    def _pages(self, path: str, params: Mapping[str, Any], stem: Path) -> list[Path]:
        """Save all pages of a list. `next` repeats the access token, which is not kept."""
        pages: list[Path] = []

        def save(path: str, params: Mapping[str, Any] | None) -> Any:
            page = stem.with_name(f"{stem.name}-{len(pages):05d}.json")
            body = self.api.page("GET", path, page, without="data", params=params)
            page.write_bytes(page.read_bytes().replace(self.token.encode(), b""))
            pages.append(page)
            return body

        for _ in self._walk(path, save, {"limit": PAGE_ROWS, **params}):
            pass
        return pages

    def _walk(self, path: str, read: _Read, params: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
        """The pages of a list, by the address of the next one that each of them names.

        Raises:
            StepFailed: a page is no list, or the one that is named was read before.
        """
        seen: set[str] = set()
        while True:
            body = read(path, params)
            if not isinstance(body, dict) or not isinstance(body.get("data"), list):
                raise StepFailed(
                    "A page has no `data`.",
                    where=f"{self.where}: {path.partition('?')[0]}",
                    do="Run again; if it stays so, please report it as an issue.",
                )
            yield body
            following = body.get("paging", {}).get("next")
            if not following:
                return
            path, params = str(httpx.URL(following).copy_remove_param("access_token")), None
            if path in seen:
                raise StepFailed(
                    f"The API gives the same page again, after {len(seen)} others.",
                    where=f"{self.where}: {path.partition('?')[0]}",
                    do="Run again; if it stays so, please report it as an issue.",
                )
            seen.add(path)


def _said_of_accounts(pages: Iterable[Path]) -> Iterator[Any]:
    """What Meta says an account spent on a day, by calls that know no campaigns."""
    for page in pages:
        for row in parse(page.read_text(encoding="utf-8"))["data"]:
            measures = {"spend_amount": "spend", "impressions": "impressions", "clicks": "clicks"}
            said = {measure: row.get(name) for measure, name in measures.items()}
            yield row["account_id"], row["date_start"], said


def _params(level: str, fields: Sequence[str]) -> dict[str, Any]:
    """What is asked of insights, but for their days."""
    params: dict[str, Any] = {"level": level, "time_increment": 1, "fields": ",".join(("account_id", *fields))}
    if level != "account":
        only = {"field": f"{level}.effective_status", "operator": "IN", "value": _OF_LEVEL[level]}
        params |= {"filtering": json.dumps([only]), "action_attribution_windows": json.dumps(_WINDOWS)}
    return params


def _range(days: Days) -> dict[str, str]:
    return {"time_range": json.dumps({"since": str(days[0]), "until": str(days[1])})}


def _within_windows(actions: str, kind: str) -> str:
    """SQL of what an action of one kind counts within the fixed windows, as text; what is not listed did not happen."""
    shape = json.dumps([dict.fromkeys(("action_type", *_WINDOWS), "VARCHAR")])
    counted = " + ".join(f'coalesce(cast(action."{window}" as decimal(38, 9)), 0)' for window in _WINDOWS)
    listed = f"list_filter(from_json({actions}, '{shape}'), lambda action: action.action_type = '{kind}')"
    return f"cast(coalesce(list_sum(list_transform({listed}, lambda action: {counted})), 0) as varchar)"


def _explained(response: httpx.Response, body: Any) -> OnefunnelError | Again | None:
    """What Meta's error object means."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    code, subcode = int(error.get("code", 0)), int(error.get("error_subcode") or 0)
    said = f"Meta refused ({code}{f'/{subcode}' if subcode else ''}): {quoted(error.get('message', ''))}"
    if subcode in (1487534, 1504018) or (code, subcode) == (1, 99):
        return _TooMuch("it is too much data for one answer.")
    if code in (4, 17, 32, 613) or 80000 <= code < 80015:
        return Again("too many calls", _regained(response))
    if code in (102, 190):
        return ConfigError(
            "the access token is not accepted",
            do="make a new one for the system user, with `ads_read`, and store it as the connection's password",
        )
    if code in (3, 10) or 200 <= code < 300 or (code, subcode) == (100, 33):
        return StepFailed(
            f"An ad account cannot be read ({code}).",
            do="Assign the system user to the ad account (view performance) and give its token `ads_read`, or name the other"
            " accounts under `accounts` in pipeline.yml.",
        )
    if code == 2635:
        return StepFailed(f"Meta has switched off version {VERSION} of its API.", do="Upgrade onefunnel.")
    if error.get("is_transient") or code in (1, 2) or response.status_code >= 500:
        return Again(f"Meta asks to try again ({code})")
    return StepFailed(said)


def _used(limits: Mapping[str, str]) -> dict[str, str]:
    """How much of each limit is used: the highest of the shares that its header tells, all of them per cent (*Rate Limits*)."""
    return {name: f"{max(map(float, _SHARE.findall(said)), default=0):g} %" for name, said in limits.items()}


def _regained(response: httpx.Response) -> float | None:
    """Seconds until calls are taken again, by the usage headers (*Rate Limits*); None where they do not say."""
    try:
        of_businesses = json.loads(response.headers.get("x-business-use-case-usage", "{}")).values()
        minutes = max(
            (int(use["estimated_time_to_regain_access"]) for uses in of_businesses for use in uses), default=0
        )
        account = json.loads(response.headers.get("x-ad-account-usage", "{}"))
        return max(minutes * 60.0, float(account.get("reset_time_duration", 0))) or None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
