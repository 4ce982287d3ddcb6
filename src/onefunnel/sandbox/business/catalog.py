"""What the company sells and to whom: products, names that break pipelines, marketing's own campaigns and mailings."""

from __future__ import annotations

import datetime as dt
import random
from functools import lru_cache
from typing import NamedTuple

from onefunnel.sandbox.business.calendars import open_spans
from onefunnel.sandbox.business.log import MICRO, midnight
from onefunnel.sandbox.world import shows_on


class Product(NamedTuple):
    """A product; `launched` and `retired` are days since the company's first day, `list_micro` its price of a unit."""

    product_id: str
    name: str
    family: str
    is_service: bool
    is_recurring: bool
    launched: int
    retired: int | None
    list_micro: int


class CrmCampaign(NamedTuple):
    """A campaign in the CRM: a mailing, an event or a content campaign."""

    crm_campaign_id: str
    name: str
    channel: str
    ad_campaign_id: str | None
    started_on: dt.date
    ended_on: dt.date
    budget_micro: int
    owner_id: str


PRODUCTS = (
    Product("007", "Platform", "Software", False, True, -900, None, 12_000 * MICRO),
    Product("0010", 'Connector "Pro"', "Software", False, True, -900, None, 3_600 * MICRO),
    Product("P-100", "Onboarding; 3 days", "Services", True, False, -900, None, 4_500 * MICRO),
    Product("p-100", "Workshop", "Services", True, False, -600, None, 1_900 * MICRO),
    Product("P-200", "Legacy Suite", "Software", False, True, -900, 300, 8_000 * MICRO),
    Product("P-300", "Analytics 2.0", "Software", False, True, 200, None, 9_500 * MICRO),
    Product("P-301", "Datenbox Größe XL", "Hardware", False, False, -900, 737, 2_750 * MICRO),
    Product("P-400", "Assistant ✨", "Software", False, True, 733, None, 6_000 * MICRO),
)

_FIRST = (
    "Ada",
    "Björn",
    "Chloé",
    "Dmitri",
    "Élodie",
    "François",
    "Grażyna",
    "Hồ",
    "İpek",
    "João",
    "Karin",
    "Łukasz",
    "Mia",
    "Nuño",
    "Ole",
    "Priya",
)
_LAST = (
    "Albers",
    "O'Hara",
    "Díaz",
    "Ekström",
    "van der Berg",
    "García, jr.",
    "Hößler",
    "Iñiguez",
    "Jensen; Koch",
    "Kowalczyk",
    "Ly",
    "Müller",
    "Nagy",
    "Østergård",
    'Pike "Pip"',
    "Quispe",
    "Rossi",
    "Şahin",
    "Thomsen",
)
_HEADS = ("Alpen", "Nord", "Delta", "Mosel", "Quer", "Rhein", "Sund", "Tal", "Union", "Vogel", "Zeta", "Aurora", "Brio")
_TAILS = ("technik", "werk", "soft", "labs", "logistik", "media", "pharma", "bau", "data", "energie", "foods")
_FORMS = ("GmbH", "Ltd.", "Inc.", "AB", "B.V.", "SE & Co. KG", "AG", "LLC")
# Names that a pipeline must carry unharmed; every tenth company has one of them as its beginning.
_HOSTILE = (
    'Müller & "Söhne"',
    "Acme, Inc.; Europe",
    "=HYPERLINK(A1)",
    "<b>Bold</b> Systems",
    "🚀 Rocket",
    "Zeile 1\nZeile 2",
    "O'Neill",
    "100 % Null",
    "+49 Phone",
    "Ælfræd | Partner",
    "Ｆullwidth",
    "NULL",
)
SEGMENTS = (("enterprise", 1), ("mid_market", 3), ("small", 6))
INDUSTRIES = ("Manufacturing", "Retail", "Software", "Health; Pharma", "Logistics", "Public")
ROLES = ("Economic buyer", "Champion", "User", "Procurement", "IT")
COMPETITORS = ("Globex", "Initech", "No decision", "In-house")
LOSS_REASONS = ("Price", "No budget", "Timing", "Feature missing", "Chose competitor")
_CITIES = ("Hannover", "Köln", "London", "Chicago", "Lyon", "Utrecht", "München")


def person_name(rng: random.Random) -> tuple[str, str]:
    """First and last name."""
    return rng.choice(_FIRST), rng.choice(_LAST)


def company_name(rng: random.Random, number: int) -> tuple[str, str]:
    """The name of the company with a number, and its web domain (which no other company has)."""
    stem = rng.choice(_HEADS) + rng.choice(_TAILS)
    domain = f"{stem.lower()}-{number}.example"
    name = f"{stem} {rng.choice(_FORMS)}"
    return (f"{_HOSTILE[number // 10 % len(_HOSTILE)]} {name}" if number % 10 == 3 else name), domain


def address(first: str, last: str, number: int, domain: str) -> str:
    """An e-mail address that belongs to one person only."""
    plain = "".join(c for c in f"{first}.{last.split()[0]}".lower() if c.isascii() and (c.isalnum() or c == "."))
    return f"{plain}{number}@{domain}"


def mixed_case_pair(letters: str, number: int) -> str:
    """Ids of which two at a time differ by case only: Ab0000001 and aB0000001."""
    capital = letters.capitalize()
    return f"{capital if number % 2 == 0 else capital.swapcase()}{number // 2:07d}"


@lru_cache(maxsize=4096)
def mailing_of(year: int, month: int, half: int) -> CrmCampaign:
    """The newsletter that goes out in a half of a month (0 or 1): on a Tuesday."""
    day = dt.date(year, month, 1 + 14 * half)
    day += dt.timedelta(days=(1 - day.weekday()) % 7)
    campaign_id = f"70{year % 100:02d}{month:02d}{half}"
    name = f"Newsletter {year}-{month:02d}{'ab'[half]}; “News”"
    return CrmCampaign(campaign_id, name, "email", None, day, day + dt.timedelta(days=7), 250 * MICRO, "U0017")


def mailings_between(first: dt.date, last: dt.date) -> list[CrmCampaign]:
    """The newsletters that go out on the days `first` to `last`."""
    found, year, month = [], first.year, first.month
    while (year, month) <= (last.year, last.month):
        found += [m for half in (0, 1) if first <= (m := mailing_of(year, month, half)).started_on <= last]
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found


def sent_at(mailing: CrmCampaign) -> int:
    """The second at which a newsletter goes out: 09:00 UTC."""
    return midnight(mailing.started_on) + 9 * 3_600


@lru_cache(maxsize=4096)
def event_number(number: int, first_day: dt.date) -> CrmCampaign:
    """The company's events: every 28 days at a trade show, or a webinar when no show is on."""
    day = first_day + dt.timedelta(days=20 + 28 * number)
    while not open_spans("berlin", day):
        day += dt.timedelta(days=1)
    shows = shows_on(day, 1, first_day)
    city = _CITIES[number % len(_CITIES)]
    return CrmCampaign(
        f"E{number:04d}",
        f"{city} Expo: booth {number}" if shows else f"Webinar #{number}, “{city}”",
        "event",
        shows[0].campaign_id if shows else None,
        day,
        day + dt.timedelta(days=1),
        5_000 * MICRO,
        "U0018" if (day - first_day).days > 150 else "U0017",
    )


def next_event(day: dt.date, first_day: dt.date) -> CrmCampaign:
    """The first event that starts after a day."""
    number = max(0, ((day - first_day).days - 20) // 28 - 1)
    while event_number(number, first_day).started_on <= day:
        number += 1
    return event_number(number, first_day)


def crm_campaigns(first_day: dt.date, known_on: dt.date) -> list[CrmCampaign]:
    """All CRM campaigns that a reader of a day knows: what starts within four weeks is planned already."""
    horizon = known_on + dt.timedelta(days=28)
    events, number = [], 0
    while (event := event_number(number, first_day)).started_on <= horizon:
        events.append(event)
        number += 1
    return [*mailings_between(first_day, horizon), *events]
