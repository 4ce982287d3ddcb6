"""Who buys advertising: platforms, their accounts in three currencies and zones, their campaigns and trade shows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

SEARCH, SOCIAL, VIDEO, SHOWS, FX = "search_ads", "social_ads", "video_ads", "trade_shows", "fx"


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a platform. Its spend days are days of `time_zone`, its amounts are in `currency`."""

    account_id: str
    name: str
    currency: str
    time_zone: str
    tracks_leads: bool = True


@dataclass(frozen=True, slots=True)
class Platform:
    """A seller of advertising.

    Attributes:
        unit_micro: smallest amount that its files can show, in micros of the account's currency.
        campaigns: campaigns per account at scale 1 (for the trade shows: shows at the same time).
        networks: the platform's own word for where the money went -> the channel it means.
        report_lag_days: days between a spend day and its first report.
        keyed: its files replace single keys; the others replace whole account-days.
        first_line: the line (of Parquet: the ordinal) of the first record of a file.
    """

    source: str
    unit_micro: int
    campaigns: int
    networks: dict[str, str]
    accounts: tuple[Account, ...]
    report_lag_days: int = 0
    keyed: bool = False
    has_dimensions: bool = True
    first_line: int = 2


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as it was first called; `budget_micro` is its usual spend of a day in its account's currency."""

    source: str
    account_id: str
    campaign_id: str
    first_name: str
    network: str
    goal: str
    started_on: dt.date
    ended_on: dt.date | None
    budget_micro: int


PLATFORMS: dict[str, Platform] = {
    platform.source: platform
    for platform in (
        Platform(
            SEARCH,
            1_000,
            12,
            {"SEARCH": "paid_search", "SHOPPING": "shopping", "PARTNERS": "display"},
            (
                Account("571-204-8830", "Search DE", "EUR", "Europe/Berlin"),
                Account("571-204-8831", "Search US, East", "USD", "America/New_York"),
                Account("571-204-8832", "Search UK", "GBP", "Europe/London"),
            ),
        ),
        Platform(
            SOCIAL,
            10_000,
            10,
            {"Feed": "paid_social", "Story": "paid_social", "Netzwerk": "display"},
            (
                Account("0001009", "Soziale Medien Köln", "EUR", "Europe/Berlin"),
                Account("0001010", "Social UK", "GBP", "Europe/London", tracks_leads=False),
            ),
        ),
        Platform(
            VIDEO,
            1,
            8,
            {"instream": "video", "bumper": "video"},
            (
                Account("YV-us", "Video US", "USD", "America/New_York"),
                Account("YV-eu", "Video EU", "EUR", "Europe/Berlin"),
            ),
            first_line=1,
        ),
        Platform(
            SHOWS,
            10_000,
            1,
            {"fair": "event"},
            (Account("trade_shows", "Trade shows", "EUR", "Europe/Berlin"),),
            report_lag_days=3,
            keyed=True,
            has_dimensions=False,
        ),
    )
}

# Names that a pipeline must carry unharmed: separators, quotes, formulas, markup, accents, emoji.
_SEARCH_NAMES = (
    'Brand, "exact" match',
    "=SUM(A1:A9) promo",
    "<script>alert(1)</script> retargeting",
    "Generic | broad",
    "🚀 Launch",
    "O'Neill & Sons",
    "Competitors; all",
    "  padded  ",
    "Zürich/Genève",
    "100 % off",
    "Düsseldorf – Messe",
    "Always on",
)
_SOCIAL_NAMES = (
    "Frühjahrsaktion Köln",
    "Été à Genève",
    'Größe "XL"; Restposten',
    "Niño São Paulo",
    "Ærø Sommer",
    "Lookalike 1 %",
    "Übermorgen",
    "Señal & Ruido",
    "Rückgewinnung",
    "Café crème",
)
_CITIES = ("Hannover", "Köln", "London", "Chicago", "Lyon", "Utrecht", "München")
_GOALS = ("leads", "sales", "awareness")
_SHOW_EVERY_DAYS, _SHOW_DAYS = 4, 2


def campaigns_of(platform: Platform, account_number: int, count: int, founded: dt.date) -> tuple[Campaign, ...]:
    """The campaigns of one account, in the order in which its reports list them."""
    account = platform.accounts[account_number]
    networks = tuple(platform.networks)
    return tuple(
        Campaign(
            platform.source,
            account.account_id,
            _campaign_id(platform.source, account_number * count + k),
            _campaign_name(platform.source, k),
            networks[k % len(networks)],
            _GOALS[k % len(_GOALS)],
            founded - dt.timedelta(days=k % 90),
            None,
            (40 + 37 * (k * 7919 % 101)) * 1_000_000,
        )
        for k in range(count)
    )


def shows_on(day: dt.date, parallel: int, founded: dt.date) -> tuple[Campaign, ...]:
    """The trade shows that run on `day`: every fourth day some start, each lasts two days."""
    slot, day_of_show = divmod((day - founded).days, _SHOW_EVERY_DAYS)
    if slot < 0 or day_of_show >= _SHOW_DAYS:
        return ()
    opened = day - dt.timedelta(days=day_of_show)
    return tuple(
        Campaign(
            SHOWS,
            "trade_shows",
            f"TS-{slot:04d}-{k:04d}",
            f"{_CITIES[(slot + k) % len(_CITIES)]} Expo {slot + 1}",
            "fair",
            "leads",
            opened,
            opened + dt.timedelta(days=_SHOW_DAYS - 1),
            (1_500 + 613 * ((slot + 3 * k) % 17)) * 1_000_000,
        )
        for k in range(parallel)
    )


def _campaign_id(source: str, number: int) -> str:
    """Ids that break when read as numbers or without regard to case."""
    if source == SEARCH:
        return str(9_007_199_254_740_993 + 2 * number)  # above 2^53: a float loses the last digit
    if source == SOCIAL:
        return f"{4_711 + number:012d}"  # leading zeros
    return f"{'vA' if number % 2 else 'Va'}{number // 2:06d}"  # pairs that differ by case only


def _campaign_name(source: str, number: int) -> str:
    if source == VIDEO:
        return f"Spot {number + 1:03d} – 20″"
    names = _SEARCH_NAMES if source == SEARCH else _SOCIAL_NAMES
    round_, index = divmod(number, len(names))
    return names[index] if round_ == 0 else f"{names[index]} {round_ + 1}"
