"""What happened to every row of spend: an append-only log of integers, decided before any file is written.

A *cell* is one account on one spend day. Its log depends on (seed, source, account, day) and on nothing else, so any
day can be asked for in any order. Amounts are micros of the account's currency; conversions are micros too.
"""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from typing import Literal, NamedTuple

from onefunnel.sandbox.world import Account, Campaign, Platform

EventKind = Literal["reported", "late", "restated", "withdrawn", "redelivered", "corrected"]
SETTLED_AFTER_DAYS = 28
_WEEKDAY_PERCENT = (104, 110, 108, 105, 98, 61, 55)


class Figures(NamedTuple):
    """The figures of a row: micros of the currency, counts, micros of a conversion. `leads` None: not tracked."""

    spend_micro: int
    impressions: int
    clicks: int
    leads: int | None
    conversions_micro: int
    value_micro: int


class Row(NamedTuple):
    """A row as it stands at some time; `changed_on` is the delivery day that brought these figures."""

    campaign: Campaign
    figures: Figures
    changed_on: dt.date


class Event(NamedTuple):
    """One entry of the log. `campaign_id` is empty when the event concerns the whole cell.

    `before` is None for a row that was not there, `after` for a row that is gone.
    """

    delivered_on: dt.date
    kind: EventKind
    source: str
    account_id: str
    campaign_id: str
    spend_date: dt.date
    before: Figures | None = None
    after: Figures | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One account-day: the rows of its first report, and what became of them, oldest first."""

    platform: Platform
    account: Account
    spend_date: dt.date
    campaigns: tuple[Campaign, ...]
    reported: tuple[Row, ...]
    events: tuple[Event, ...]

    @property
    def reported_on(self) -> dt.date:
        """The day of the first report."""
        return self.spend_date + dt.timedelta(days=self.platform.report_lag_days)

    def state(self, on: dt.date) -> list[Row]:
        """The rows as the platform shows them at the end of day `on`, in campaign order."""
        if on < self.reported_on:
            return []
        if not self.events or self.events[0].delivered_on > on:
            return list(self.reported)
        rows = {row.campaign.campaign_id: row for row in self.reported}
        known = {campaign.campaign_id: campaign for campaign in self.campaigns}
        for event in self.events:
            if event.delivered_on > on:
                break
            if event.after is not None:
                rows[event.campaign_id] = Row(known[event.campaign_id], event.after, event.delivered_on)
            elif event.campaign_id:
                del rows[event.campaign_id]
        return [rows[campaign_id] for campaign_id in known if campaign_id in rows]

    def first_report(self) -> list[Event]:
        """The log entries of the first report."""
        return [
            Event(
                self.reported_on,
                "reported",
                self.platform.source,
                self.account.account_id,
                row.campaign.campaign_id,
                self.spend_date,
                None,
                row.figures,
            )
            for row in self.reported
        ]


def spend_cell(
    seed: int, platform: Platform, account: Account, campaigns: tuple[Campaign, ...], spend_date: dt.date
) -> Cell:
    """The log of one account-day. Its first campaign is never late and never withdrawn, so no cell is ever empty."""
    rng = random.Random(f"{seed}/{platform.source}/{account.account_id}/{spend_date.isoformat()}")  # noqa: S311  (not a secret)
    percent = _WEEKDAY_PERCENT[spend_date.weekday()]
    figures = [
        _first_figures(rng.getrandbits(64), campaign, account, platform.unit_micro, percent) for campaign in campaigns
    ]
    reported_on = spend_date + dt.timedelta(days=platform.report_lag_days)
    moments = sorted(_moments(rng, platform.keyed))
    late: dict[int, int] = {}
    for age, kind in moments:
        if kind == "late" and len(campaigns) > 1:
            late |= dict.fromkeys(_some(rng, range(1, len(campaigns)), 40), age)
    current = {i: row for i, row in enumerate(figures) if i not in late}
    reported = tuple(Row(campaigns[i], row, reported_on) for i, row in current.items())
    events: list[Event] = []
    for age, kind in moments:
        on = reported_on + dt.timedelta(days=age)

        def log(kind: EventKind, index: int, after: Figures | None, on: dt.date = on) -> None:
            events.append(
                Event(
                    on,
                    kind,
                    platform.source,
                    account.account_id,
                    campaigns[index].campaign_id,
                    spend_date,
                    current.get(index),
                    after,
                )
            )

        if kind == "late":
            for i in (i for i, due in late.items() if due == age and i not in current):
                log("late", i, figures[i])
                current[i] = figures[i]
        elif kind == "restated":
            for i in _some(rng, sorted(current), 7):
                restated = _restate(rng, current[i], platform.unit_micro)
                log("restated", i, restated)
                current[i] = restated
        elif kind == "withdrawn" and len(current) > 1:
            for i in _some(rng, sorted(current)[1:], 60):
                log("withdrawn", i, None)
                del current[i]
        elif kind == "redelivered":
            events.append(Event(on, "redelivered", platform.source, account.account_id, "", spend_date))
    return Cell(platform, account, spend_date, campaigns, reported, tuple(events))


def _moments(rng: random.Random, keyed: bool) -> list[tuple[int, EventKind]]:
    """At which ages, in days, something happens to a cell. About one cell in two is ever delivered again."""
    moments: list[tuple[int, EventKind]] = []
    for kind, one_in, youngest, oldest in (
        ("late", 7, 1, 5),
        ("restated", 4, 1, 5),
        ("restated", 5, 6, SETTLED_AFTER_DAYS),
        ("withdrawn", 12, 2, 14),
        ("redelivered", 12, 1, 10),
    ):
        happens, age = rng.randrange(one_in) == 0, rng.randint(youngest, oldest)
        if happens and (not keyed or kind == "restated"):
            moments.append((age, kind))  # type: ignore[arg-type]
    return moments


def _some(rng: random.Random, choices: range | list[int], one_in: int) -> list[int]:
    """At least one of the choices (if there are any), about one in `one_in`, in order."""
    return sorted(rng.sample(choices, min(len(choices), max(1, len(choices) // one_in))))


def _first_figures(bits: int, campaign: Campaign, account: Account, unit_micro: int, percent: int) -> Figures:
    """The first report of a row, drawn from 64 random bits. One row in 256 is a credit (negative spend)."""
    noise = 70 + (bits & 63)
    micro = campaign.budget_micro * percent * noise // 10_000 + (bits >> 6) % 1_000_000
    spend = micro // unit_micro * unit_micro
    clicks = spend // (400_000 + ((bits >> 26) & 0x1FFFFF))
    impressions = clicks * (20 + ((bits >> 47) & 63)) + ((bits >> 53) & 255)
    leads = clicks * ((bits >> 40) & 7) // 300
    conversions = leads * 250_000 * ((bits >> 43) & 3)
    value = conversions * (90 + ((bits >> 45) & 127)) // 10_000 * 10_000
    if (bits >> 56) == 7:
        return Figures(
            -max(unit_micro, spend // 20 // unit_micro * unit_micro), 0, 0, 0 if account.tracks_leads else None, 0, 0
        )
    return Figures(spend, impressions, clicks, leads if account.tracks_leads else None, conversions, value)


def _restate(rng: random.Random, old: Figures, unit_micro: int) -> Figures:
    """A correction: spend down (invalid clicks) or up, conversions up or down, or both; never the same figures."""
    what = rng.randrange(3)
    spend, clicks = old.spend_micro, old.clicks
    conversions, value = old.conversions_micro, old.value_micro
    if what != 1:
        step = max(unit_micro, abs(spend) * rng.randint(1, 60) // 1_000 // unit_micro * unit_micro)
        spend += step if rng.randrange(4) == 0 else -step
        clicks = max(0, clicks - rng.randint(0, 3))
    if what != 0:
        step = 250_000 * rng.randint(1, 8)
        down = rng.randrange(3) == 0 and conversions >= step
        conversions += -step if down else step
        value = max(0, value + (-step if down else step) * rng.randint(40, 180))
    return Figures(spend, old.impressions, clicks, old.leads, conversions, value)
