"""Who works in the company: territories, users, and which territory somebody had on which day.

Days are counted from the company's first day, so that who is hired does not depend on how long the history is.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

from onefunnel.sandbox.business.calendars import BERLIN, LONDON, NEW_YORK


class Territory(NamedTuple):
    """A sales territory; the root has no parent."""

    territory_id: str
    name: str
    parent_id: str | None
    region: str
    manager_id: str


class Market(NamedTuple):
    """A country as the company sells there."""

    country: str
    region: str
    territory_id: str
    currency: str
    calendar: str


class User(NamedTuple):
    """An employee; `hired`, `ramp_end` and `left` are days since the company's first day, left is the first day after.

    `territories` are (from day, territory) in order.
    """

    user_id: str
    full_name: str
    function: str
    role: str
    rep_type: str | None
    manager_id: str | None
    team: str
    calendar: str
    hired: int
    ramp_end: int | None
    left: int | None
    territories: tuple[tuple[int, str], ...]


WORLD, DACH, UKI, NORTH, US_EAST, US_WEST = "T-00", "T-10", "T-20", "T-30", "T-40", "T-50"
TERRITORIES = (
    Territory(WORLD, "Worldwide", None, "World", "U0001"),
    Territory(DACH, "DACH", WORLD, "Europe", "U0002"),
    Territory(UKI, "UK & Ireland", WORLD, "Europe", "U0002"),
    Territory(NORTH, "Nordics; Benelux", WORLD, "Europe", "U0002"),
    Territory(US_EAST, "US, East", WORLD, "Americas", "U0003"),
    Territory(US_WEST, "US, West", WORLD, "Americas", "U0003"),
)
SELLING = tuple(t.territory_id for t in TERRITORIES if t.parent_id)
MARKETS = (
    Market("DE", "Europe", DACH, "EUR", BERLIN),
    Market("AT", "Europe", DACH, "EUR", BERLIN),
    Market("CH", "Europe", DACH, "EUR", BERLIN),
    Market("GB", "Europe", UKI, "GBP", LONDON),
    Market("IE", "Europe", UKI, "EUR", LONDON),
    Market("NL", "Europe", NORTH, "EUR", BERLIN),
    Market("SE", "Europe", NORTH, "EUR", BERLIN),
    Market("US", "US-East", US_EAST, "USD", NEW_YORK),
    Market("US", "US-West", US_WEST, "USD", NEW_YORK),
)
# The first days after 24 months of history see a hire, somebody leaving and a change of territory.
_RAMP = 150


def _rep(
    number: int,
    name: str,
    manager: str,
    calendar: str,
    hired: int,
    *territories: tuple[int, str],
    left: int | None = None,
    rep_type: str = "account_executive",
) -> User:
    ramp = hired + _RAMP
    team = "Sales Europe" if manager == "U0002" else "Sales Americas"
    return User(
        f"U{number:04d}", name, "sales", "rep", rep_type, manager, team, calendar, hired, ramp, left, territories
    )


def _other(
    number: int,
    name: str,
    function: str,
    role: str,
    manager: str | None,
    team: str,
    calendar: str = BERLIN,
    hired: int = -900,
    left: int | None = None,
    territory: str = WORLD,
) -> User:
    return User(
        f"U{number:04d}",
        name,
        function,
        role,
        None,
        manager,
        team,
        calendar,
        hired,
        None,
        left,
        ((hired, territory),),
    )


USERS = (
    _other(1, "Ágnes Nagy", "sales", "head", None, "Sales"),
    _other(2, "Jürgen Groß", "sales", "manager", "U0001", "Sales Europe"),
    _other(3, 'Robert "Bob" Miller', "sales", "manager", "U0001", "Sales Americas", NEW_YORK),
    _rep(4, "Ana Müller", "U0002", BERLIN, -700, (-700, DACH)),
    _rep(5, "Ben Öztürk", "U0002", BERLIN, -500, (-500, DACH), left=410),
    _rep(6, "Cal O'Brien", "U0002", LONDON, -420, (-420, UKI), (736, NORTH)),
    _rep(7, "Dee Smith, PhD", "U0002", LONDON, -300, (-300, UKI), left=735),
    _rep(8, "Eva Ångström", "U0002", BERLIN, -200, (-200, NORTH)),
    _rep(9, "Fred 李", "U0003", NEW_YORK, -350, (-350, US_EAST)),
    _rep(10, "Gina García", "U0003", NEW_YORK, -280, (-280, US_EAST), (505, US_WEST)),
    _rep(11, "Hal <Hal> Jones", "U0003", NEW_YORK, -150, (-150, US_WEST)),
    _rep(12, "Ida Nuñez", "U0002", BERLIN, 380, (380, DACH)),
    _rep(13, "Jo Ng", "U0003", NEW_YORK, 640, (640, US_EAST)),
    _rep(14, "Kim Ek", "U0002", LONDON, 732, (732, UKI)),
    _rep(15, "Sam =Specialist", "U0001", BERLIN, -600, (-600, WORLD), rep_type="overlay"),
    _other(16, "Mara Head", "marketing", "head", None, "Marketing"),
    _other(17, "Niño Ads", "marketing", "marketer", "U0016", "Marketing"),
    _other(18, "Olga Events", "marketing", "marketer", "U0016", "Marketing", hired=120),
    _other(19, "Pía Success", "customer_success", "manager", "U0001", "Customer success"),
    _other(20, "Quentin Care", "customer_success", "csm", "U0019", "Customer success", LONDON, hired=60),
    _other(21, "Rita Gone", "customer_success", "csm", "U0019", "Customer success", hired=-400, left=300),
)
OVERLAY, MARKETER, EVENTS = "U0015", "U0017", "U0018"
QUOTA_CARRIERS = tuple(u for u in USERS if u.rep_type == "account_executive")


class Assignment(NamedTuple):
    """Somebody's territory in [valid_from, valid_to); None: still."""

    user_id: str
    territory_id: str
    valid_from: dt.date
    valid_to: dt.date | None


@dataclass(frozen=True)
class Staff:
    """The staff with real dates, as a reader of a given day may know them."""

    first_day: dt.date

    def on(self, days: int | None) -> dt.date | None:
        """The date of a day since the first one."""
        return None if days is None else self.first_day + dt.timedelta(days=days)

    def number(self, day: dt.date) -> int:
        """Days since the first one."""
        return (day - self.first_day).days

    def assignments(self, known_on: dt.date) -> list[Assignment]:
        """Every territory that somebody has had, as known on a day: an end that lies ahead is not known."""
        found = []
        for user in USERS:
            ends = [start for start, _ in user.territories[1:]] + [user.left]
            for (start, territory_id), end in zip(user.territories, ends, strict=True):
                starts_on, ends_on = self.first_day + dt.timedelta(days=start), self.on(end)
                if starts_on <= known_on:
                    known_end = ends_on if ends_on is not None and ends_on <= known_on else None
                    found.append(Assignment(user.user_id, territory_id, starts_on, known_end))
        return found

    def territory(self, user_id: str | None, day: dt.date) -> str | None:
        """The territory that a user had on a day."""
        days = self.number(day)
        user = next((u for u in USERS if u.user_id == user_id), None)
        if user is None or (user.left is not None and days >= user.left):
            return None
        return next((t for start, t in reversed(user.territories) if start <= days), None)

    def reps(self, territory_id: str, day: dt.date) -> list[str]:
        """Who sells in a territory on a day and for the next two days; its manager when nobody does."""
        later = day + dt.timedelta(days=2)
        found = [
            u.user_id
            for u in QUOTA_CARRIERS
            if self.territory(u.user_id, day) == territory_id == self.territory(u.user_id, later)
        ]
        return found or [next(t.manager_id for t in TERRITORIES if t.territory_id == territory_id)]

    def calendar(self, user_id: str) -> str:
        """A user's calendar."""
        return next(u.calendar for u in USERS if u.user_id == user_id)

    def leaves(self, user_id: str) -> dt.date | None:
        """The first day on which a user is gone."""
        return self.on(next(u.left for u in USERS if u.user_id == user_id))
