"""Exchange rates of USD and GBP in EUR: published on working days, one of them days late, read as known at the time.

A rate is an integer of nanos (1 unit of the base currency = nanos / 10^9 EUR). A day without a rate uses the last
published one that is at most 7 days old; older ones are not used, and 1.0 is never assumed.
"""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from typing import NamedTuple

REPORTING_CURRENCY = "EUR"
NANO = 1_000_000_000
MAX_CARRY_DAYS = 7
# currency -> (middle and reach in steps, nanos per step): USD in four decimals, so that exact halves occur
_WALK = {"USD": (9_150, 250, 100_000), "GBP": (1_168_000, 21_000, 1_000)}
DECIMALS = {"USD": 4, "GBP": 6}
CURRENCIES = tuple(_WALK)


class Rate(NamedTuple):
    """One published rate: of `rate_date`, in the file of `published_on`, in nanos of EUR per unit of `currency`."""

    rate_date: dt.date
    currency: str
    nano: int
    published_on: dt.date


class Converted(NamedTuple):
    """An amount in micros of EUR with the rate that made it; amount None: no usable rate, never assumed."""

    amount_micro: int | None
    rate_nano: int | None
    rate_date: dt.date | None
    is_carried: bool


@dataclass(frozen=True)
class Rates:
    """The rates as published, from a week before `first_day`; the late one is of `late_from` or soon after."""

    seed: int
    first_day: dt.date
    late_from: dt.date

    def published_on(self, day: dt.date) -> list[Rate]:
        """What the rates file of `day` says: its own rates, and a rate that was late."""
        candidates = [day - dt.timedelta(days=age) for age in range(3, -1, -1)]
        return [rate for d in candidates for rate in self._of(d) if rate.published_on == day]

    def published_until(self, day: dt.date) -> list[Rate]:
        """Every rate that a reader of all files up to `day` has, in order of date."""
        first = self.first_day - dt.timedelta(days=MAX_CARRY_DAYS)
        days = (first + dt.timedelta(days=n) for n in range((day - first).days + 1))
        return [rate for d in days for rate in self._of(d) if rate.published_on <= day]

    def late(self) -> Rate:
        """The one rate that is published two days after its date."""
        day = self.late_from
        while day.weekday() > 2:  # a Monday to Wednesday, so that it arrives in the same working week
            day += dt.timedelta(days=1)
        return self._rate(day, "USD")._replace(published_on=day + dt.timedelta(days=2))

    def _of(self, day: dt.date) -> list[Rate]:
        if day.weekday() > 4 or day < self.first_day - dt.timedelta(days=MAX_CARRY_DAYS):
            return []
        late = self.late()
        rates = [self._rate(day, currency) for currency in CURRENCIES]
        return [late if (r.rate_date, r.currency) == (late.rate_date, late.currency) else r for r in rates]

    def _rate(self, day: dt.date, currency: str) -> Rate:
        middle, reach, nano = _WALK[currency]
        rng = random.Random(f"{self.seed}/fx/{currency}/{day.isoformat()}")  # noqa: S311  (not a secret)
        return Rate(day, currency, (middle + rng.randint(-reach, reach)) * nano, day)


def convert(spend_micro: int, currency: str, day: dt.date, known: dict[tuple[str, dt.date], int]) -> Converted:
    """The amount in EUR by `known` ((currency, date) -> nanos), rounded once to the micro, half away from zero."""
    if currency == REPORTING_CURRENCY:
        return Converted(spend_micro, NANO, day, False)
    for age in range(MAX_CARRY_DAYS + 1):
        rate_date = day - dt.timedelta(days=age)
        nano = known.get((currency, rate_date))
        if nano is not None:
            return Converted(half_away(spend_micro * nano, NANO), nano, rate_date, age > 0)
    return Converted(None, None, None, False)


def half_away(numerator: int, denominator: int) -> int:
    """The quotient rounded to an integer, halves away from zero."""
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) + denominator) // (2 * denominator))
