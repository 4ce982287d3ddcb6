"""The append-only log of everything that happens in the business, in integers: seconds, milliseconds, micros.

A story (one company, one visitor) is written into the log whole when it begins, with what will happen later. A reader
at the end of a day sees the entries up to then, and no reader can tell that the others are already decided.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from onefunnel.sandbox.world import Campaign

Value = str | int | bool | dt.date | None
Fields = dict[str, Value]
MICRO = 1_000_000


class Change(NamedTuple):
    """A record of `table` was made or changed.

    Attributes:
        at: seconds since 1970 UTC.
        table: the contract that the record belongs to.
        key: the record's id, unique within its table.
        fields: what was set: amounts and percentages in micros, times in seconds, days as dates.
        by: the user who did it, or empty for a machine.
    """

    at: int
    table: str
    key: str
    fields: Fields
    by: str = ""


class Touch(NamedTuple):
    """One contact of a person with marketing, as its system wrote it down.

    Attributes:
        at_ms: milliseconds since 1970 UTC.
        channel_kind: which system saw it: web, mail or event.
        campaign: the ad campaign that brought a visit; `tag` says how the link names it.
        tag: "id" (utm_id), "name" (its name at that time), "old_name" (its first name) or "" (not at all).
    """

    at_ms: int
    channel_kind: str
    touch_id: str
    touch_type: str
    visitor_id: str | None = None
    email: str | None = None
    lead_id: str | None = None
    contact_id: str | None = None
    crm_campaign_id: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    campaign: Campaign | None = None
    tag: str = ""
    click_id_kind: str | None = None
    referrer: str | None = None
    landing_page: str | None = None
    is_bot: bool = False
    is_automated: bool = False
    experiment_id: str | None = None
    variant: str | None = None


@dataclass
class Log:
    """What was decided so far. Ids are counted in the order of the stories, so that later days never change them."""

    seed: int
    changes: dict[str, dict[str, list[Change]]] = field(default_factory=lambda: defaultdict(dict))
    touches: list[Touch] = field(default_factory=list)
    situations: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _counters: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _decks: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def set(self, at: int, table: str, key: str, by: str = "", **fields: Value) -> None:
        """Write one entry."""
        self.changes[table].setdefault(key, []).append(Change(at, table, key, fields, by))

    def touch(self, touch: Touch) -> None:
        """Write one touch."""
        self.touches.append(touch)

    def note(self, situation: str, at: int) -> None:
        """Remember that a situation with a name occurs at this second."""
        self.situations[situation].append(at)

    def number(self, what: str) -> int:
        """The next number of its kind, from 0."""
        number = self._counters[what]
        self._counters[what] += 1
        return number

    def card(self, deck: str, cards: tuple[tuple[str, int], ...]) -> str:
        """The next card of an endless deck: each round of it holds every card as often as stated, shuffled."""
        size = sum(count for _, count in cards)
        round_, index = divmod(self.number(f"deck {deck}"), size)
        if (deck, round_) not in self._decks:
            order = list(range(size))
            random.Random(f"{self.seed}/deck/{deck}/{round_}").shuffle(order)  # noqa: S311  (not a secret)
            self._decks[deck, round_] = order
        place = self._decks[deck, round_][index]
        for name, count in cards:
            if place < count:
                return name
            place -= count
        raise AssertionError(deck)

    def copy(self) -> Log:
        """What was decided so far; nothing that is written later is in it."""
        changes = {table: {key: [*entries] for key, entries in found.items()} for table, found in self.changes.items()}
        situations = {situation: [*seconds] for situation, seconds in self.situations.items()}
        copied = Log(self.seed, touches=[*self.touches])
        copied.changes.update(changes)
        copied.situations.update(situations)
        return copied

    def settle(self) -> None:
        """Put the entries of each record in order of time; entries of one second stay in the order of writing."""
        for records in self.changes.values():
            for entries in records.values():
                entries.sort(key=lambda change: change.at)

    def records(self, table: str, until: int) -> Iterator[tuple[str, list[Change]]]:
        """Each record of a table that exists before second `until`, with its entries up to then."""
        for key, entries in self.changes[table].items():
            if entries[0].at < until:
                yield key, entries if entries[-1].at < until else [c for c in entries if c.at < until]

    def states(self, table: str, until: int) -> dict[str, Fields]:
        """Each record of a table as it stands just before second `until`."""
        return {key: state_of(entries) for key, entries in self.records(table, until)}


def state_of(entries: list[Change]) -> Fields:
    """The record that these entries leave."""
    if len(entries) == 1:
        return entries[0].fields
    state: Fields = {}
    for change in entries:
        state.update(change.fields)
    return state


def midnight(day: dt.date) -> int:
    """The first second of a UTC day."""
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp())


def day_of(second: int) -> dt.date:
    """The UTC day of a second."""
    return dt.date(1970, 1, 1) + dt.timedelta(days=second // 86_400)


def month_of(second: int) -> str:
    """The UTC month of a second, YYYY-MM."""
    return f"{day_of(second):%Y-%m}"
