"""Working hours and public holidays of three offices, and time counted in them."""

from __future__ import annotations

import datetime as dt
import random
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from onefunnel.sandbox.business.log import day_of

BERLIN, LONDON, NEW_YORK = "berlin", "london", "new_york"


class Hours(NamedTuple):
    """Opening hours of one weekday (1 = Monday), local, as HH:MM."""

    calendar: str
    weekday: int
    opens_at: str
    closes_at: str
    time_zone: str


_OFFICES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    BERLIN: ("Europe/Berlin", (("09:00", "17:30"),)),
    LONDON: ("Europe/London", (("09:00", "17:00"),)),
    NEW_YORK: ("America/New_York", (("09:00", "12:30"), ("13:30", "17:30"))),
}
CALENDARS = tuple(_OFFICES)
WORKING_HOURS = tuple(
    Hours(calendar, weekday, opens, closes, zone)
    for calendar, (zone, spans) in _OFFICES.items()
    for weekday in range(1, 6)
    for opens, closes in spans
)


def easter(year: int) -> dt.date:
    """Easter Sunday of the Gregorian calendar (Meeus, Jones and Butcher)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    j = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * j) // 451
    month, day = divmod(h + j - 7 * m + 114, 31)
    return dt.date(year, month, day + 1)


@lru_cache(maxsize=64)
def holidays(calendar: str, year: int) -> dict[dt.date, str]:
    """The public holidays of an office, day -> name."""
    sunday = easter(year)

    def after(days: int) -> dt.date:
        return sunday + dt.timedelta(days=days)

    if calendar == BERLIN:
        return {
            dt.date(year, 1, 1): "Neujahr",
            dt.date(year, 3, 8): "Frauentag",
            after(-2): "Karfreitag",
            after(1): "Ostermontag",
            dt.date(year, 5, 1): "Tag der Arbeit",
            after(39): "Christi Himmelfahrt",
            after(50): "Pfingstmontag",
            dt.date(year, 10, 3): "Tag der Deutschen Einheit",
            dt.date(year, 12, 25): "1. Weihnachtstag",
            dt.date(year, 12, 26): "2. Weihnachtstag",
        }
    if calendar == LONDON:
        christmas = [dt.date(year, 12, 25), dt.date(year, 12, 26)]
        shift = {4: (0, 2), 5: (2, 2), 6: (2, 0)}.get(christmas[0].weekday(), (0, 0))
        return {
            _from_weekend(dt.date(year, 1, 1)): "New Year's Day",
            after(-2): "Good Friday",
            after(1): "Easter Monday",
            _nth(year, 5, 0, 1): "Early May bank holiday",
            _last_monday(year, 5): "Spring bank holiday",
            _last_monday(year, 8): "Summer bank holiday",
            christmas[0] + dt.timedelta(days=shift[0]): "Christmas Day",
            christmas[1] + dt.timedelta(days=shift[1]): "Boxing Day",
        }
    fixed = {(1, 1): "New Year's Day", (6, 19): "Juneteenth", (7, 4): "Independence Day", (12, 25): "Christmas Day"}
    return {_observed(dt.date(year, *at)): name for at, name in fixed.items()} | {
        _nth(year, 1, 0, 3): "Martin Luther King Jr. Day",
        _nth(year, 2, 0, 3): "Presidents' Day",
        _last_monday(year, 5): "Memorial Day",
        _nth(year, 9, 0, 1): "Labor Day",
        _nth(year, 11, 3, 4): "Thanksgiving",
    }


def _nth(year: int, month: int, weekday: int, nth: int) -> dt.date:
    first = dt.date(year, month, 1)
    return first + dt.timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _last_monday(year: int, month: int) -> dt.date:
    last = dt.date(year, month, 31)
    return last - dt.timedelta(days=last.weekday())


def _from_weekend(day: dt.date) -> dt.date:
    return day + dt.timedelta(days=max(0, 7 - day.weekday()) if day.weekday() > 4 else 0)


def _observed(day: dt.date) -> dt.date:
    return day + dt.timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


@lru_cache(maxsize=16_384)
def open_spans(calendar: str, day: dt.date) -> tuple[tuple[int, int], ...]:
    """When an office is open on a local day: (from, to) in seconds UTC, half-open."""
    if day.weekday() > 4 or day in holidays(calendar, day.year):
        return ()
    zone, spans = _OFFICES[calendar]
    return tuple((_utc(day, opens, zone), _utc(day, closes, zone)) for opens, closes in spans)


def business_seconds(calendar: str, start: int, end: int) -> int:
    """Seconds of [start, end) within the office's working hours."""
    day, last, total = day_of(start) - dt.timedelta(days=1), day_of(end) + dt.timedelta(days=1), 0
    while day <= last:
        for opens, closes in open_spans(calendar, day):
            total += max(0, min(end, closes) - max(start, opens))
        day += dt.timedelta(days=1)
    return total


def business_deadline(calendar: str, start: int, minutes: int) -> int:
    """The first second at which the office has been open for so many minutes since `start`."""
    day, left = day_of(start) - dt.timedelta(days=1), minutes * 60
    while True:
        for opens, closes in open_spans(calendar, day):
            begins = max(start, opens)
            if closes - begins >= left:
                return begins + left
            left -= max(0, closes - begins)
        day += dt.timedelta(days=1)


def in_hours(rng: random.Random, calendar: str, day: dt.date) -> int:
    """A second in the working hours of `day`, or of the next day that has any."""
    while not (spans := open_spans(calendar, day)):
        day += dt.timedelta(days=1)
    opens, closes = spans[rng.randrange(len(spans))]
    return rng.randrange(opens, closes)


def _utc(day: dt.date, clock: str, zone: str) -> int:
    hour, minute = clock.split(":")
    return int(dt.datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=ZoneInfo(zone)).timestamp())
