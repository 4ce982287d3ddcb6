"""Opportunities, bookings and plans as they must come out, in micros and cents."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple, TypeVar

from onefunnel.sandbox.business.deals import LOST, WON
from onefunnel.sandbox.business.identity import Identity
from onefunnel.sandbox.business.log import Fields, day_of, month_of
from onefunnel.sandbox.business.plans import PlanValue
from onefunnel.sandbox.business.staff import Staff
from onefunnel.sandbox.rates import convert, half_away

_Name = TypeVar("_Name")


class Opportunity(NamedTuple):
    """An opportunity as it stands; amount in micros of its currency, times in seconds.

    Attributes:
        account_id: the surviving account; None: nobody knows it.
        state: open, won or lost.
        won_at: the last time it was won, while it is won.
        closed_at: since when it is won or lost.
        reopen_count: entries after lost or won.
    """

    opportunity_id: str
    account_id: str | None
    owner_id: str
    amount_micro: int | None
    currency: str
    state: str
    created_at: int
    won_at: int | None
    closed_at: int | None
    reopen_count: int
    is_test: bool
    is_deleted: bool


class Win(NamedTuple):
    """An opportunity was won, and lost its win again at `taken_back_at`; None: it is won."""

    at: int
    taken_back_at: int | None


class Booking(NamedTuple):
    """A revenue event; `amount_micro` in its currency, `eur_micro` by the rate of its UTC day, `eur_cents` booked.

    Attributes:
        sold_at: when it was booked; of a reversal, when what it reverses was.
        month: UTC month of the booking, YYYY-MM.
        territory_id: of the opportunity's owner on that day; a reversal takes that of what it reverses.
        shares_micro: user (in order of id) -> part of `eur_micro` by the revenue split, adding up to it.
    """

    event_id: str
    event_type: str
    opportunity_id: str
    account_id: str | None
    booked_at: int
    sold_at: int
    amount_micro: int
    currency: str
    eur_micro: int | None
    eur_cents: int | None
    month: str
    owner_id: str
    territory_id: str | None
    shares_micro: dict[str, int]


@dataclass(frozen=True)
class Money:
    """What was sold. `rates`: (currency, date) -> nanos of EUR, as known."""

    identity: Identity
    staff: Staff
    rates: dict[tuple[str, dt.date], int]

    @cached_property
    def opportunities(self) -> dict[str, Opportunity]:
        """Every opportunity by id, test and deleted ones included."""
        found = {}
        for key, entries in self.identity.log.records("opportunities", self.identity.until):
            stages = [(c.at, c.fields["stage"]) for c in entries if "stage" in c.fields]
            closed = [stage in (WON, LOST) for _, stage in stages]
            state: Fields = {name: value for c in entries for name, value in c.fields.items()}
            last_at, last = stages[-1]
            found[key] = Opportunity(
                key,
                self.identity.account(state["account_id"]),
                str(state["owner_id"]),
                _integer(state["amount"]),
                str(state["currency"]),
                "won" if last == WON else "lost" if last == LOST else "open",
                _integer(state["created_at"]) or 0,
                last_at if last == WON else None,
                last_at if last in (WON, LOST) else None,
                sum(closed[:-1]),
                bool(state["is_test"]),
                bool(state["is_deleted"]),
            )
        return found

    @cached_property
    def wins(self) -> dict[str, list[Win]]:
        """Opportunity -> every time it was won, in order."""
        found: dict[str, list[Win]] = {}
        for key, entries in self.identity.log.records("opportunities", self.identity.until):
            stages = [(c.at, c.fields["stage"]) for c in entries if "stage" in c.fields]
            afterwards = [at for at, _ in stages[1:]]
            found[key] = [Win(at, after) for (at, stage), after in zip_longest(stages, afterwards) if stage == WON]
        return found

    @cached_property
    def splits(self) -> dict[str, dict[str, int]]:
        """Opportunity -> user -> percent of the revenue in micros; they add up to 100,000,000."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for split in self.identity.log.states("opportunity_splits", self.identity.until).values():
            if split["split_type"] == "revenue" and not split["is_deleted"]:
                found[str(split["opportunity_id"])][str(split["user_id"])] = _integer(split["split_percent"]) or 0
        return {key: dict(sorted(shares.items())) for key, shares in found.items()}

    @cached_property
    def bookings(self) -> dict[str, Booking]:
        """Every revenue event by id."""
        found: dict[str, Booking] = {}
        for key, entries in self.identity.log.records("revenue_events", self.identity.until):
            event = entries[0].fields
            opportunity_id, at = str(event["opportunity_id"]), entries[0].at
            amount, currency = _integer(event["amount"]) or 0, str(event["currency"])
            eur = convert(amount, currency, day_of(at), self.rates).amount_micro
            owner, sold_at = self._owner(opportunity_id, at), at
            territory = self.staff.territory(owner, day_of(at))
            original = found.get(str(event["reverses_event_id"]))
            if original is not None:
                owner, territory, sold_at = original.owner_id, original.territory_id, original.sold_at
            found[key] = Booking(
                key,
                str(event["event_type"]),
                opportunity_id,
                self.identity.account(event["account_id"]),
                at,
                sold_at,
                amount,
                currency,
                eur,
                None if eur is None else half_away(eur, 10_000),
                month_of(at),
                owner,
                territory,
                {} if eur is None else apportioned(eur, self.splits[opportunity_id]),
            )
        return found

    def _owner(self, opportunity_id: str, at: int) -> str:
        owner = ""
        for change in self.identity.log.changes["opportunities"][opportunity_id]:
            if "owner_id" in change.fields and (change.at <= at or not owner):
                owner = str(change.fields["owner_id"])
        return owner

    @cached_property
    def cents_by_month(self) -> dict[tuple[str, str], int]:
        """(event type, month) -> booked cents of EUR."""
        totals: Counter[tuple[str, str]] = Counter()
        for booking in self.bookings.values():
            totals[booking.event_type, booking.month] += booking.eur_cents or 0
        return dict(totals)


def apportioned(amount: int, weights: dict[_Name, int]) -> dict[_Name, int]:
    """An integer amount by weights, exactly: largest remainders first, ties to the earlier; the sign is kept."""
    total, sign = sum(weights.values()), -1 if amount < 0 else 1
    parts = {name: abs(amount) * weight // total for name, weight in weights.items()}
    missing = abs(amount) - sum(parts.values())
    order = sorted(weights, key=lambda name: -(abs(amount) * weights[name] % total))
    for name in order[:missing]:
        parts[name] += 1
    return {name: sign * part for name, part in parts.items()}


def current_plan(values: list[PlanValue]) -> dict[tuple[str, str, str, dt.date, str], int]:
    """(metric, owner type, owner, period start, scenario) -> the value of its last version, in micros."""
    newest = sorted(values, key=lambda value: value.version)
    return {(v.metric, v.owner_type, v.owner_id, v.period_start, v.scenario): v.value_micro for v in newest}


def _integer(value: object) -> int | None:
    assert value is None or isinstance(value, int)  # noqa: S101
    return value
