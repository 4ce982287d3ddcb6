"""What must come out of the pipeline after a day: computed from the event log, never from files, in integers.

Amounts are micros of their currency (`*_micro`), rates nanos. `quarantined`, `rejected` and `deduplicated` rows are
named by file and line; control totals count every record that can be read, quarantined ones included.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from onefunnel.sandbox.events import Event, Figures
from onefunnel.sandbox.plan import Delivery, Flaw, Outcome, Record
from onefunnel.sandbox.rates import CURRENCIES, Converted, Rate, convert
from onefunnel.sandbox.simulation import Rename, Simulation
from onefunnel.sandbox.world import FX, PLATFORMS, SHOWS, VIDEO, Platform


class SpendKey(NamedTuple):
    """The grain of spend: one campaign of one account on one day in one currency."""

    source: str
    account_id: str
    campaign_id: str
    spend_date: dt.date
    currency: str


class RowFate(NamedTuple):
    """A record that must not arrive, where it stands, and why; `column` is the contract column to blame or empty."""

    source: str
    stream: str
    file: str
    line: int
    outcome: Outcome
    reason: str
    column: str
    account_id: str
    campaign_id: str
    spend_date: dt.date


class Cell(NamedTuple):
    """What is replaced as one: an account-day, or a trade show on a day or a rate (unused parts are empty)."""

    account_id: str
    spend_date: dt.date
    key: str = ""


@dataclass
class Control:
    """Control total of one numeric contract column; `total`: micros (counts: units, rates: nanos) of what reads."""

    valid: int = 0
    invalid: int = 0
    null: int = 0
    total: int = 0

    def add(self, value: int | None) -> None:
        """Count one value that reads, or a null."""
        if value is None:
            self.null += 1
        else:
            self.valid += 1
            self.total += value


@dataclass
class StreamDelivery:
    """What one stream's load of the day must hold.

    Attributes:
        files: names below the source's folder.
        extracted: records in the files; `landed` = without the rejected ones.
        outcomes: every record's fate; the four sum to `extracted`.
        cells: control rows (landed) by cell; for the full lists one cell, the file.
        controls: contract column -> control total.
        cell_spend_micro: control total of spend_amount by cell.
    """

    source: str
    stream: str
    files: tuple[str, ...]
    extracted: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    cells: Counter[Cell] = field(default_factory=Counter)
    controls: dict[str, Control] = field(default_factory=dict)
    cell_spend_micro: Counter[Cell] = field(default_factory=Counter)

    @property
    def landed(self) -> int:
        """Records that can be read."""
        return self.extracted - self.outcomes["rejected"]


@dataclass(frozen=True)
class Truth:
    """The company as a reader of all files of days 1 to `day` must see it. `extra` flaws exist on that day only."""

    simulation: Simulation
    day: int
    extra: tuple[Flaw, ...] = ()

    @cached_property
    def figures(self) -> dict[SpendKey, Figures]:
        """The current figures of every row of spend that must arrive."""
        return {key: row for key, row, _ in self._rows()}

    @cached_property
    def spend(self) -> dict[SpendKey, int]:
        """Current spend in micros of its currency."""
        return {key: figures.spend_micro for key, figures in self.figures.items()}

    def spend_as_known(self, day: int) -> dict[SpendKey, int]:
        """Spend as the files of days 1 to `day` told it."""
        return Truth(self.simulation, day).spend

    @cached_property
    def rates(self) -> list[Rate]:
        """Every rate published so far."""
        return self.simulation.rates.published_until(self.simulation.date_of(self.day))

    @cached_property
    def converted(self) -> dict[SpendKey, Converted]:
        """Every row in EUR by the rates known on this day, rounded once per row."""
        known = {(rate.currency, rate.rate_date): rate.nano for rate in self.rates}
        return {key: convert(micro, key.currency, key.spend_date, known) for key, micro in self.spend.items()}

    @cached_property
    def by_channel_month(self) -> dict[tuple[str, str], int]:
        """EUR micros by (channel, YYYY-MM), the sum of the rounded rows."""
        totals: Counter[tuple[str, str]] = Counter()
        for key, _, channel in self._rows():
            amount = self.converted[key].amount_micro
            if amount is not None:
                totals[channel, f"{key.spend_date:%Y-%m}"] += amount
        return dict(totals)

    @cached_property
    def campaign_names(self) -> dict[tuple[str, str, str], str]:
        """(source, account, campaign) -> present name, of all campaigns in the full lists."""
        names = {
            (c.source, c.account_id, c.campaign_id): c.first_name
            for p in PLATFORMS.values()
            if p.has_dimensions
            for a in range(len(p.accounts))
            for c in self.simulation.campaigns(p, a)
        }
        return names | {
            (r.campaign.source, r.campaign.account_id, r.campaign.campaign_id): r.after
            for r in self.simulation.renames(self.day)
        }

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The log of this day: what its performance files bring."""
        return tuple(self.simulation.events(self.day))

    @cached_property
    def renames(self) -> tuple[Rename, ...]:
        """The campaigns that got another name on this day."""
        return tuple(
            r for r in self.simulation.renames(self.day) if r.delivered_on == self.simulation.date_of(self.day)
        )

    @cached_property
    def fates(self) -> tuple[RowFate, ...]:
        """The records of this day's files that must not arrive."""
        return tuple(
            RowFate(
                source,
                "performance_daily",
                delivery.file_name,
                r.line,
                r.outcome,
                r.reason,
                r.column,
                r.account_id,
                r.campaign_id,
                r.spend_date,
            )
            for source, delivery in self._deliveries()
            for r in delivery.records()
            if r.outcome != "accepted"
        )

    @cached_property
    def deliveries(self) -> dict[tuple[str, str], StreamDelivery]:
        """What each (source, stream) with a new or changed file on this day must land."""
        found = [_performance(delivery) for _, delivery in self._deliveries()]
        found += self._full_lists()
        rates = self.simulation.rates.published_on(self.simulation.date_of(self.day)) if self.day > 1 else self.rates
        if rates:
            found.append(_rates(rates, self.simulation.date_of(self.day)))
        return {(d.source, d.stream): d for d in found}

    def _deliveries(self) -> Iterator[tuple[str, Delivery]]:
        for source in PLATFORMS:
            if self.simulation.has_delivery(source, self.day):
                yield source, self.simulation.delivery(source, self.day, self.extra)

    def _full_lists(self) -> Iterator[StreamDelivery]:
        renamed = {rename.campaign.source for rename in self.renames}
        the_file = Cell("", dt.date.min)
        for platform in PLATFORMS.values():
            if not platform.has_dimensions:
                continue
            if self.day == 1 or platform.source in renamed:
                rows = sum(len(self.simulation.campaigns(platform, a)) for a in range(len(platform.accounts)))
                yield StreamDelivery(
                    platform.source,
                    "campaigns",
                    ("campaigns.csv",),
                    rows,
                    Counter(accepted=rows),
                    Counter({the_file: rows}),
                )
            if self.day == 1:
                rows = len(platform.accounts)
                yield StreamDelivery(
                    platform.source,
                    "ad_accounts",
                    ("ad_accounts.csv",),
                    rows,
                    Counter(accepted=rows),
                    Counter({the_file: rows}),
                )

    def _rows(self) -> Iterator[tuple[SpendKey, Figures, str]]:
        """Every row that must arrive, with its channel: the last delivery of its cell, without what its flaws lose."""
        for platform in PLATFORMS.values():
            planned: dict[int, Delivery] = {}
            for cell in self.simulation.known_cells(platform, self.day):
                number = self.simulation.deliveries_of(cell, self.day)[-1]
                if number not in planned:
                    extra = self.extra if number == self.day else ()
                    planned[number] = self.simulation.delivery(platform.source, number, extra)
                for row in cell.state(self.simulation.date_of(number)):
                    if not planned[number].loses(cell, row):
                        key = SpendKey(
                            platform.source,
                            cell.account.account_id,
                            row.campaign.campaign_id,
                            cell.spend_date,
                            cell.account.currency,
                        )
                        yield key, row.figures, self.simulation.channel(row.campaign)


def _performance(delivery: Delivery) -> StreamDelivery:
    found = StreamDelivery(delivery.platform.source, "performance_daily", (delivery.file_name,))
    controls: dict[str, Control] = defaultdict(Control)
    for record in delivery.records():
        found.extracted += 1
        found.outcomes[record.outcome] += 1
        if record.outcome == "rejected":
            continue
        cell = _cell(record, delivery.platform)
        found.cells[cell] += 1
        if record.deformed == "amount":
            controls["spend_amount"].invalid += 1
            found.cell_spend_micro[cell] += 0
        else:
            controls["spend_amount"].add(record.figures.spend_micro)
            found.cell_spend_micro[cell] += record.figures.spend_micro
        for column, value in _other_numbers(record, delivery.platform):
            controls[column].add(value)
    found.controls = dict(controls)
    return found


def _cell(record: Record, platform: Platform) -> Cell:
    return (
        Cell("", record.spend_date, record.campaign_id)
        if platform.keyed
        else Cell(record.account_id, record.spend_date)
    )


def _other_numbers(record: Record, platform: Platform) -> Iterator[tuple[str, int | None]]:
    """The numeric contract columns besides spend that the platform's files have."""
    figures = record.figures
    if platform.source != VIDEO:
        leads = figures.leads
        yield "claimed_leads", None if leads is None else leads * 1_000_000
    if platform.source != SHOWS:
        yield "impressions", figures.impressions
        yield "clicks", figures.clicks
        yield "claimed_conversions", figures.conversions_micro
        yield "claimed_value_amount", figures.value_micro


def _rates(rates: list[Rate], day: dt.date) -> StreamDelivery:
    assert set(CURRENCIES) >= {rate.currency for rate in rates}  # noqa: S101  (what the file is made of)
    control = Control()
    for rate in rates:
        control.add(rate.nano)
    return StreamDelivery(
        FX,
        "fx_rates",
        (f"fx_{day:%Y%m%d}.csv",),
        len(rates),
        Counter(accepted=len(rates)),
        Counter(Cell("", rate.rate_date, rate.currency) for rate in rates),
        {"rate": control},
    )
