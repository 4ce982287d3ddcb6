"""What the connectors of advertising platforms share: which accounts, which of their days, in which pieces."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

from onefunnel.errors import ConfigError, StepFailed
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.http import Usage
from onefunnel.sources.inbox import Inbox, Records
from onefunnel.sources.pages import Field

Thing = TypeVar("Thing")
Made = TypeVar("Made")
Days = tuple[dt.date, dt.date]  # both inclusive
MEASURES = ("spend_amount", "impressions", "clicks")  # what a platform counts of an account's day
# What platforms count in whole units; all else has hundredths (*Currency Codes* of Meta's Marketing API, offset 1).
WHOLE_UNITS = frozenset({"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"})


@dataclass(frozen=True)
class AdAccount:
    """An account that spends: the vendor's id as its records write it, currency, and the zone of its days (IANA)."""

    id: str
    name: str
    currency: str
    time_zone: str

    def today(self, as_of: dt.datetime) -> dt.date:
        """The account's own day at an instant; that of UTC for a zone that is not known here."""
        try:
            return as_of.astimezone(ZoneInfo(self.time_zone)).date()
        except (ZoneInfoNotFoundError, ValueError):
            return as_of.astimezone(dt.UTC).date()


def chosen(found: Iterable[AdAccount], wanted: Sequence[str], where: str) -> list[AdAccount]:
    """The wanted accounts, all that were found where none is named.

    Raises:
        ConfigError: there is none, or one that is wanted is not among them: no proof that nobody spent anything.
    """
    reached = {account.id: account for account in found}
    missing = sorted(set(wanted) - set(reached))
    if missing or not reached:
        raise ConfigError(
            f"the credentials reach no ad account{' ' + ', '.join(missing) if missing else ''}",
            where,
            "give their owner access to the account, or correct `accounts` in pipeline.yml",
        )
    return [reached[name] for name in sorted(set(wanted) or reached)]


def none_is_lost(asked: Asked, accounts: Iterable[AdAccount]) -> None:
    """An account that was read before and is not listed any more has not stopped to spend: the permission is gone.

    Raises:
        StepFailed: there is such an account. One that is really gone is left out by naming the others in pipeline.yml.
    """
    if asked.known is None or asked.accounts:
        return
    known = {row["ad_account_id"] for row in asked.known.to_pylist() if row["content_hash"]}
    lost = sorted(known - {account.id for account in accounts})
    if lost:
        raise StepFailed(
            f"Ad accounts that were read before are not reached any more: {', '.join(lost)}.",
            where=asked.where,
            do="Give the owner of the credentials access to them again. If they are really gone, name the other accounts"
            " under `accounts` in pipeline.yml.",
        )


def pieces(days: Days, size: int) -> list[Days]:
    """Days in pieces of at most `size`; none where the last lies before the first."""
    first, last = days
    starts = (first + dt.timedelta(days=n) for n in range(0, (last - first).days + 1, size))
    return [(start, min(last, start + dt.timedelta(days=size - 1))) for start in starts]


def halves(days: Days) -> list[Days]:
    """Two or more days in two pieces."""
    return pieces(days, ((days[1] - days[0]).days + 2) // 2)


def kept_since(as_of: dt.datetime, months: int) -> dt.date:
    """The first of the oldest month that lies wholly within what a vendor keeps."""
    year, month = divmod(as_of.year * 12 + as_of.month - months, 12)
    return dt.date(year, month + 1, 1)


def finished(spans: Mapping[AdAccount, Days], as_of: dt.datetime) -> dict[AdAccount, Days]:
    """The days of spans that are over: of the present one two calls do not say the same."""
    over = {a: (first, min(last, a.today(as_of) - dt.timedelta(days=1))) for a, (first, last) in spans.items()}
    return {account: days for account, days in over.items() if days[0] <= days[1]}


def _account_days(spans: Mapping[AdAccount, Days]) -> list[tuple[str, str]]:
    return [(account.id, str(day)) for account, days in spans.items() for day, _ in pieces(days, 1)]


def cells(spans: Mapping[AdAccount, Days]) -> pa.Table:
    """The account-days of spans."""
    listed = _account_days(spans)
    return pa.table({"ad_account_id": [a for a, _ in listed], "spend_date": [d for _, d in listed]})


def totals(
    said: Iterable[tuple[str, str, Mapping[str, str | None]]],
    over: Mapping[AdAccount, Days],
    rounded: Collection[str] = (),
    but: Collection[str] = (),
) -> pa.Table:
    """Control totals (`base.TOTALS`) of the account-days that are over: what the platform says of them, else zero.

    A platform is silent about a day without figures. Without the zero the total of a day that was taken back would stay what
    it was, and rows of a day about which the platform is silent would be compared with nothing.

    Args:
        said: account, ISO day, and the `MEASURES` by the contract's names.
        over: the days that were asked for (`finished`).
        rounded: the measures that the vendor rounds in each record, to what is the smallest amount of the account's currency.
        but: ISO days of which nothing is told: they are still being counted.
    """
    told: dict[tuple[str, str], Mapping[str, str | None]] = {cell: {} for cell in _account_days(over)}
    told |= {(account, day): measures for account, day, measures in said}
    units = {account.id: "1" if account.currency in WHOLE_UNITS else "0.01" for account in over}
    rows = [
        (
            account,
            day,
            measure,
            _plain(measures.get(measure) or "0", account, day),
            units.get(account) if measure in rounded else None,
        )
        for (account, day), measures in told.items()
        if day not in but
        for measure in MEASURES
    ]
    return pa.table([[row[n] for row in rows] for n in range(len(TOTALS))], TOTALS)


def _plain(value: str, account: str, day: str) -> str:
    try:
        return format(Decimal(value), "f")
    except InvalidOperation:
        raise StepFailed(
            "The API gives no number where there must be one.",
            f"control total of {account}, {day}",
            "Has the vendor changed the type of a field? See the changelog; the connector may need an upgrade.",
        ) from None


class Together:
    """What a fetch asks for side by side, some at a time: figures, and control totals while the figures are read.

    What fails first ends all of it, and so does leaving the block: nothing further is begun.

    Args:
        most: how many things are done at a time.
        stopping: set as long as it ends, for what its things wait for (`Api.stopping`).
    """

    def __init__(self, most: int, stopping: threading.Event) -> None:
        self._pool, self._stopping, self._errors = ThreadPoolExecutor(most), stopping, list[Exception]()

    def __enter__(self) -> Together:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)
        self._stopping.clear()

    def begin(self, do: Callable[[Thing], Made], thing: Thing) -> Callable[[], Made]:
        """Do a thing, behind those that were begun before; calling what is returned waits for it.

        Raises, when it is called, what the first failure raised, be it of this thing or of another.
        """
        begun = self._pool.submit(self._unless_failed, do, thing)

        def made() -> Made:
            found = begun.result()
            if not found:
                raise self._errors[0]
            return found[0]

        return made

    def each(self, do: Callable[[Thing], Made], things: Iterable[Thing]) -> Iterator[Made]:
        """Begin things; what was made, in the order of the things and each as soon as it is there. Raises as `begin`."""
        begun = deque(self.begin(do, thing) for thing in things)

        def made() -> Iterator[Made]:
            while begun:
                yield begun.popleft()()

        return made()

    def _unless_failed(self, do: Callable[[Thing], Made], thing: Thing) -> list[Made]:
        if not self._errors:
            try:
                return [do(thing)]
            except Exception as error:
                self._errors.append(error)
                self._stopping.set()
        return []


def some_at_once(
    do: Callable[[Thing], Made], things: Iterable[Thing], most: int, stopping: threading.Event
) -> Iterator[Made]:
    """Do things, at most so many at once, and nothing beside them (`Together`)."""
    with Together(most, stopping) as together:
        yield from together.each(do, things)


def about(spans: Mapping[AdAccount, Days], usage: Usage) -> dict[str, object]:
    """What is said of every fetch of figures: the days that were asked for, accounts, requests, limits."""
    return {
        "first_day": str(min(first for first, _ in spans.values())) if spans else None,
        "last_day": str(max(last for _, last in spans.values())) if spans else None,
        "account_ids": [account.id for account in spans],
        "requests": usage.requests,
        "retries": usage.retries,
        "limits": usage.limits,
    }


def deliver_accounts(inbox: Inbox, accounts: Iterable[AdAccount], usage: Usage) -> None:
    """The stream `ad_accounts`: `account_id`, `name`, `currency`, `time_zone`."""
    page = inbox.pages / "accounts.json"
    rows = [{"account_id": a.id, "name": a.name, "currency": a.currency, "time_zone": a.time_zone} for a in accounts]
    page.write_text(json.dumps({"accounts": rows}), encoding="utf-8")
    fields = [Field(name) for name in ("account_id", "name", "currency", "time_zone")]
    inbox.deliver(
        {"records": Records([page], fields, "$.accounts[*]")},
        covered=None,
        totals=TOTALS.empty_table(),
        about={"requests": usage.requests},
    )
