"""Where stories play: the log they are written into, the staff on duty, the ads that run, the experiments under way."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass, field
from typing import NamedTuple

from onefunnel.sandbox.business.calendars import in_hours
from onefunnel.sandbox.business.catalog import address, company_name, person_name
from onefunnel.sandbox.business.log import Log, day_of, midnight
from onefunnel.sandbox.business.staff import MARKETS, Market, Staff
from onefunnel.sandbox.business.visits import Ads

_MARKET_WEIGHTS = (30, 5, 6, 18, 4, 6, 6, 14, 11)


class Experiment(NamedTuple):
    """A test on the web site: [first, end) in days since the first one; the true chance of a form in percent."""

    experiment_id: str
    first: int
    end: int
    chance_a: int
    chance_b: int


FORM_CHANCE = 38
EXPERIMENTS = (
    Experiment("EXP-01 shorter form", 300, 430, 34, 46),
    Experiment("EXP-02 “new” hero", 640, 790, FORM_CHANCE, FORM_CHANCE),
)


@dataclass
class Person:
    """Somebody who may buy: one e-mail address and at most one web visitor."""

    first: str
    last: str
    email: str
    company: str
    domain: str
    market: Market
    visitor_id: str | None = None

    @property
    def full_name(self) -> str:
        """First and last name."""
        return f"{self.first} {self.last}"


@dataclass
class Cluster:
    """A company in the CRM: its account and the people known in it."""

    account_id: str
    market: Market
    owner: str
    people: list[Person] = field(default_factory=list)
    contact_ids: list[str] = field(default_factory=list)
    kind: str = "plain"


@dataclass
class Scene:
    """All that a story needs besides its own random numbers.

    Attributes:
        colleagues: (second, company) from which somebody else will come forward; the story that made it tells it.
    """

    log: Log
    staff: Staff
    ads: Ads
    first_day: dt.date
    colleagues: list[tuple[int, Cluster]] = field(default_factory=list)

    def market(self, rng: random.Random) -> Market:
        """A country by its weight."""
        return rng.choices(MARKETS, _MARKET_WEIGHTS)[0]

    def person(self, rng: random.Random, market: Market | None = None, like: Person | None = None) -> Person:
        """A new person, of a new company or of the same company as another one."""
        first, last = person_name(rng)
        number = self.log.number("person")
        if like is not None:
            company, domain, market = like.company, like.domain, like.market
        else:
            company, domain = company_name(rng, self.log.number("company"))
        email = address(first, last, number, domain)
        return Person(first, last, email, company, domain, market or self.market(rng))

    def touch_id(self, kind: str) -> str:
        """The next id of a touch of this kind."""
        return f"{kind}-{self.log.number(f'{kind} touch'):08d}"

    def visitor_id(self) -> str:
        """The next visitor's cookie."""
        return f"v{self.log.number('visitor') * 7919 % 100_000_007:09d}.x"

    def rep(self, rng: random.Random, market: Market, at: int) -> str:
        """A rep of the country's territory at a time."""
        return rng.choice(self.staff.reps(market.territory_id, day_of(at)))

    def present(self, rng: random.Random, user: str, market: Market, at: int) -> str:
        """The user, or a colleague when the user has handed over by then."""
        handed_over = self._handed_over(user)
        return user if handed_over is None or at < handed_over else self.rep(rng, market, at)

    def owners(self, rng: random.Random, owner: str, market: Market, start: int) -> list[tuple[int, str]]:
        """Who owns a record from `start` on: a rep who leaves hands over the day before, at 08:00 UTC."""
        owners = [(start, owner)]
        while (handed_over := self._handed_over(owners[-1][1])) is not None and handed_over > owners[-1][0]:
            others = [r for r in self.staff.reps(market.territory_id, day_of(handed_over)) if r != owners[-1][1]]
            owners.append((handed_over, rng.choice(others)))
        return owners

    def _handed_over(self, user: str) -> int | None:
        left = self.staff.leaves(user)
        return None if left is None else midnight(left) - 16 * 3_600

    def experiment(self, second: int) -> Experiment | None:
        """The experiment that runs at a time."""
        number = self.staff.number(day_of(second))
        return next((e for e in EXPERIMENTS if e.first <= number < e.end), None)


def after(rng: random.Random, calendar: str, at: int, fewest: int, most: int) -> int:
    """A working moment `fewest` to `most` days after `at`, and always later than `at`."""
    day = day_of(at) + dt.timedelta(days=rng.randint(fewest, most))
    moment = in_hours(rng, calendar, day)
    while moment <= at:
        day += dt.timedelta(days=1)
        moment = in_hours(rng, calendar, day)
    return moment


def owner_at(owners: list[tuple[int, str]], at: int) -> str:
    """The owner at a time."""
    return next((user for since, user in reversed(owners) if since <= at), owners[0][1])
