"""The company's clock: what each platform delivers on each day, what was renamed, which flaws are planted where."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from onefunnel.sandbox.events import SETTLED_AFTER_DAYS, Cell, Event, Row, spend_cell
from onefunnel.sandbox.plan import CORRECTED_NEXT_DAY, Delivery, Flaw, RowKey, can_have
from onefunnel.sandbox.rates import Rates
from onefunnel.sandbox.world import PLATFORMS, SEARCH, SHOWS, SOCIAL, VIDEO, Campaign, Platform, campaigns_of, shows_on

FLAWED_SHARE_PER_MILLE = 3
COMPLETE_AT_HOUR = 6  # UTC, of the next morning: then a day is over in every zone
_CACHED_ROWS = 300_000
_SELLERS_BUDGET_DIVISOR = 40
# The history's flaws, as many as the share allows, in this order. Later, every third day has the next of the cycle.
_HISTORY_FLAWS = (
    (SEARCH, "unparseable_amount"),
    (SOCIAL, "unparseable_amount"),
    (VIDEO, "unknown_currency"),
    (SEARCH, "exact_duplicate"),
    (SOCIAL, "conflicting_key"),
    (SEARCH, "conflicting_key"),
    (SEARCH, "ragged"),
    (SEARCH, "undeclared_quote"),
    (SEARCH, "missing_campaign_id"),
    (VIDEO, "missing_account_id"),
    (SOCIAL, "stray_quote"),
)
_DAILY_FLAWS = (
    (SEARCH, "unknown_currency"),
    (SOCIAL, "unparseable_amount"),
    (VIDEO, "exact_duplicate"),
    (SEARCH, "ragged"),
    (VIDEO, "conflicting_key"),
    (SEARCH, "unparseable_amount"),
    (SOCIAL, "missing_campaign_id"),
    (VIDEO, "unknown_currency"),
)


class Rename(NamedTuple):
    """A campaign got another name; full lists and later performance rows show the new one."""

    delivered_on: dt.date
    campaign: Campaign
    before: str
    after: str


@dataclass(frozen=True)
class Simulation:
    """A company by seed and size. Day 1 is `start`, delivering `history_days` of history, day n is n - 1 days later.

    Attributes:
        sells: the company has customers too: budgets are a fortieth, in proportion to what it earns, and campaigns of
            the search and social accounts beyond the first are named after their account, so that a name in a link
            means one campaign.
        served: sources that are read through an API; flaws are planted in files alone.
    """

    seed: int
    scale: float
    start: dt.date
    history_days: int
    sells: bool = False
    served: tuple[str, ...] = ()
    _cells: dict[tuple[str, int, dt.date], Cell] = field(default_factory=dict, init=False, repr=False, compare=False)
    _flaws: dict[int, tuple[Flaw, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _campaigns: dict[tuple[str, int], tuple[Campaign, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _row_count: list[int] = field(default_factory=lambda: [0], init=False, repr=False, compare=False)

    @property
    def first_day(self) -> dt.date:
        """The first spend day."""
        return self.start - dt.timedelta(days=self.history_days - 1)

    @property
    def rates(self) -> Rates:
        """The exchange rates as published; the late one belongs to the days after the history."""
        return Rates(self.seed, self.first_day, self.start + dt.timedelta(days=1))

    def date_of(self, number: int) -> dt.date:
        """The date of day `number` (1 = start)."""
        return self.start + dt.timedelta(days=number - 1)

    def campaigns(self, platform: Platform, account_number: int) -> tuple[Campaign, ...]:
        """The campaigns of an account (not of the trade shows, which come and go)."""
        key = (platform.source, account_number)
        if key not in self._campaigns:
            count = max(3, round(platform.campaigns * self.scale))
            self._campaigns[key] = self._of_seller(
                campaigns_of(platform, account_number, count, self.first_day),
                f" ({platform.accounts[account_number].name})" if account_number and platform.source != VIDEO else "",
            )
        return self._campaigns[key]

    def _of_seller(self, campaigns: tuple[Campaign, ...], suffix: str = "") -> tuple[Campaign, ...]:
        if not self.sells:
            return campaigns
        return tuple(
            replace(c, first_name=c.first_name + suffix, budget_micro=c.budget_micro // _SELLERS_BUDGET_DIVISOR)
            for c in campaigns
        )

    def cell(self, platform: Platform, account_number: int, spend_date: dt.date) -> Cell:
        """The log of one account-day."""
        key = (platform.source, account_number, spend_date)
        found = self._cells.get(key)
        if found is None:
            if platform.source == SHOWS:
                campaigns = self._of_seller(shows_on(spend_date, max(1, round(self.scale)), self.first_day))
            else:
                campaigns = self.campaigns(platform, account_number)
            found = spend_cell(self.seed, platform, platform.accounts[account_number], campaigns, spend_date)
            if self._row_count[0] > _CACHED_ROWS:
                self._cells.clear()
                self._row_count[0] = 0
            self._row_count[0] += len(campaigns)
            self._cells[key] = found
        return found

    def cells(self, platform: Platform, first: dt.date, last: dt.date) -> Iterator[Cell]:
        """The cells of the spend days `first` to `last` that have campaigns at all, oldest first."""
        for n in range((last - max(first, self.first_day)).days + 1):
            for account_number in range(len(platform.accounts)):
                cell = self.cell(platform, account_number, max(first, self.first_day) + dt.timedelta(days=n))
                if cell.campaigns:
                    yield cell

    def known_cells(self, platform: Platform, number: int) -> Iterator[Cell]:
        """Every cell that was delivered at least once up to day `number`."""
        return self.cells(platform, self.first_day, self.date_of(number) - dt.timedelta(days=platform.report_lag_days))

    def deliveries_of(self, cell: Cell, number: int) -> list[int]:
        """The days up to `number` whose file holds this cell, in order."""
        last = self.date_of(number)
        days = {
            max(1, (on - self.start).days + 1)
            for on in (cell.reported_on, *(e.delivered_on for e in cell.events))
            if on <= last
        }
        days |= {day + 1 for day in days if day < number and self._is_corrected_after(cell, day)}
        return sorted(days)

    def delivery(self, source: str, number: int, extra: tuple[Flaw, ...] = ()) -> Delivery:
        """The performance file of `source` on day `number`, with the planted flaws and `extra` ones."""
        platform = PLATFORMS[source]
        flaws: dict[RowKey, tuple[str, ...]] = {}
        for flaw in (*self.flaws(number), *extra):
            if flaw.source == source:
                key = (flaw.account_id, flaw.spend_date, flaw.campaign_id)
                flaws[key] = (*flaws.get(key, ()), flaw.kind)
        names = {
            (r.campaign.account_id, r.campaign.campaign_id): r.after
            for r in self.renames(number)
            if r.campaign.source == source
        }
        return Delivery(platform, self.date_of(number), lambda: self._delivered(platform, number), names, flaws)

    def channel(self, campaign: Campaign) -> str:
        """The agreed channel of a campaign. Meta's API does not tell figures of campaigns by where they were shown: there it is
        the channel of the platform."""
        networks = PLATFORMS[campaign.source].networks
        return (
            next(iter(networks.values()))
            if campaign.source in {SOCIAL} & {*self.served}
            else networks[campaign.network]
        )

    def has_delivery(self, source: str, number: int) -> bool:
        """Whether `source` delivers a performance file on this day at all."""
        return next(self._delivered(PLATFORMS[source], number), None) is not None

    def events(self, number: int) -> Iterator[Event]:
        """The log of day `number`: what its files bring. Day 1 holds everything up to `start`."""
        day = self.date_of(number)
        for platform in PLATFORMS.values():
            for cell, _ in self._delivered(platform, number):
                if cell.reported_on == day or number == 1:
                    yield from cell.first_report()
                yield from (e for e in cell.events if e.delivered_on == day or (number == 1 and e.delivered_on < day))
                if number > 1 and self._is_corrected_after(cell, number - 1):
                    yield Event(day, "corrected", platform.source, cell.account.account_id, "", cell.spend_date)

    def renames(self, number: int) -> list[Rename]:
        """All renames up to day `number`: on day 3 and every fourth day after it one campaign gets another name."""
        names: dict[Campaign, str] = {}
        renames = []
        for n in range(3, number + 1, 4):
            rng = random.Random(f"{self.seed}/rename/{n}")  # noqa: S311  (not a secret)
            platform = PLATFORMS[(SEARCH, SOCIAL, VIDEO)[n // 4 % 3]]
            campaign = rng.choice(self.campaigns(platform, rng.randrange(len(platform.accounts))))
            before = names.get(campaign, campaign.first_name)
            names[campaign] = f"{campaign.first_name} (since {self.date_of(n).isoformat()})"
            renames.append(Rename(self.date_of(n), campaign, before, names[campaign]))
        return renames

    def flaws(self, number: int) -> tuple[Flaw, ...]:
        """The flaws planted by default on day `number`."""
        if number not in self._flaws:
            wanted: tuple[tuple[str, str], ...] = ()
            if number == 1:
                rows = sum(
                    len(self.campaigns(p, a)) for p in PLATFORMS.values() if not p.keyed for a in range(len(p.accounts))
                )
                wanted = _HISTORY_FLAWS[: rows * self.history_days * FLAWED_SHARE_PER_MILLE // 1_000]
            elif number % 3 == 2:
                wanted = (_DAILY_FLAWS[number // 3 % len(_DAILY_FLAWS)],)
            self._flaws[number] = self.place(number, tuple(each for each in wanted if each[0] not in self.served))
        return self._flaws[number]

    def place(self, number: int, wanted: tuple[tuple[str, str], ...], taken: tuple[Flaw, ...] = ()) -> tuple[Flaw, ...]:
        """Choose a row for each (source, kind): the smallest amount left of an account-day reported on this day.

        Raises:
            ValueError: the platform's files cannot have such a flaw, or it reports nothing on this day.
        """
        placed = list(taken)
        rng = random.Random(f"{self.seed}/flaws/{number}/{len(taken)}")  # noqa: S311  (not a secret)
        for source, kind in wanted:
            platform = PLATFORMS[source]
            if not can_have(platform, kind):
                raise ValueError(f"the files of {source} cannot have the flaw {kind}")
            newest = self.date_of(number) - dt.timedelta(days=platform.report_lag_days)
            oldest = max(self.first_day, newest - dt.timedelta(days=SETTLED_AFTER_DAYS - 1)) if number == 1 else newest
            cells = [(d, a) for d in range((newest - oldest).days + 1) for a in range(len(platform.accounts))]
            rng.shuffle(cells)
            for days, account_number in cells:
                row = self._free_row(
                    self.cell(platform, account_number, oldest + dt.timedelta(days=days)), number, placed
                )
                if row is not None:
                    placed.append(Flaw(source, kind, *row))
                    break
            else:
                raise ValueError(f"{source} reports no row on day {number} that could have the flaw {kind}")
        return tuple(placed[len(taken) :])

    def _free_row(self, cell: Cell, number: int, placed: list[Flaw]) -> RowKey | None:
        taken = {(f.source, f.account_id, f.spend_date, f.campaign_id) for f in placed}
        spent = {(f.source, f.account_id, f.spend_date) for f in placed}
        rows = sorted(cell.state(self.date_of(number)), key=lambda row: abs(row.figures.spend_micro))
        if number == 1 and (cell.platform.source, cell.account.account_id, cell.spend_date) in spent:
            return None
        for row in rows:
            key = (cell.account.account_id, cell.spend_date, row.campaign.campaign_id)
            if (cell.platform.source, *key) not in taken:
                return key
        return None

    def _is_corrected_after(self, cell: Cell, number: int) -> bool:
        """Whether the platform delivers the cell again on the next day because of a flaw of day `number`."""
        here = (cell.platform.source, cell.account.account_id, cell.spend_date)
        return any(
            (f.source, f.account_id, f.spend_date) == here and f.kind in CORRECTED_NEXT_DAY for f in self.flaws(number)
        )

    def _delivered(self, platform: Platform, number: int) -> Iterator[tuple[Cell, list[Row]]]:
        day = self.date_of(number)
        newest = day - dt.timedelta(days=platform.report_lag_days)
        oldest = self.first_day if number == 1 else newest - dt.timedelta(days=SETTLED_AFTER_DAYS + 1)
        if number == 1:
            for cell in self.cells(platform, oldest, newest):
                yield cell, cell.state(day)
            return
        corrected = {
            (f.account_id, f.spend_date)
            for f in self.flaws(number - 1)
            if f.source == platform.source and f.kind in CORRECTED_NEXT_DAY
        }
        for cell in self.cells(platform, oldest, newest):
            here = (cell.account.account_id, cell.spend_date) in corrected
            if here or cell.reported_on == day or any(e.delivered_on == day for e in cell.events):
                rows = cell.state(day)
                yield cell, [row for row in rows if row.changed_on == day] if platform.keyed else rows
