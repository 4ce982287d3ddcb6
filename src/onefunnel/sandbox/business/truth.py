"""What must come out of the pipeline after a day of business: one reading of the log, in integers, never from files."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from onefunnel.sandbox.business.credit import BookingCredit, Conversion, Credit, CreditRow, SeenTouch
from onefunnel.sandbox.business.delivery import File, Files
from onefunnel.sandbox.business.identity import Identity
from onefunnel.sandbox.business.journeys import Activity, Answer, Funnel, Handoff, Journey, StepRow
from onefunnel.sandbox.business.log import month_of
from onefunnel.sandbox.business.money import Booking, Money, Opportunity, current_plan
from onefunnel.sandbox.business.names import Names
from onefunnel.sandbox.business.plans import plan_values
from onefunnel.sandbox.business.scene import EXPERIMENTS
from onefunnel.sandbox.business.streams import STREAMS
from onefunnel.sandbox.truth import Truth


@dataclass
class Economics:
    """One channel in one month (of the conversion; spend: of the spend day; credit: of the booking), by one model.

    Spend is in micros of EUR, leads and wins in millionths of one, credit in cents of EUR.
    """

    spend_micro: int = 0
    leads_micro: int = 0
    won_micro: int = 0
    credited_cents: int = 0


class Arm(NamedTuple):
    """One variant of an experiment: visitors who saw it, those who filled a form, and the true chance in percent."""

    visitors: int
    forms: int
    true_chance: int


@dataclass(frozen=True)
class BusinessTruth:
    """The business as a reader of all files of days 1 to `day` must see it.

    Attributes:
        extra: flaws of single records that this day is written with besides the default ones, by stream.
    """

    files: Files
    day: int
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def identity(self) -> Identity:
        """Who is who."""
        business = self.files.business
        return Identity(business.log(self.day), business.until(self.day))

    @cached_property
    def funnel(self) -> Funnel:
        """Journeys, steps and answers."""
        return Funnel(self.identity, self.files.business.scene.staff)

    @cached_property
    def spend(self) -> Truth:
        """The truth about the advertising."""
        return Truth(self.files.business.simulation, self.day)

    @cached_property
    def money(self) -> Money:
        """Opportunities and bookings."""
        rates = {(rate.currency, rate.rate_date): rate.nano for rate in self.spend.rates}
        return Money(self.identity, self.files.business.scene.staff, rates)

    @cached_property
    def credit(self) -> Credit:
        """Touches and their credit."""
        return Credit(self.identity, self.money, Names(self.files.business.simulation, self.day))

    @property
    def journeys(self) -> dict[str, Journey]:
        """Journeys by id."""
        return self.funnel.journeys

    @cached_property
    def step_rows(self) -> list[StepRow]:
        """The step rows of all journeys."""
        return [row for journey in self.journeys.values() for row in journey.rows]

    @property
    def reached(self) -> dict[tuple[int, str], dict[int, int]]:
        """(entry step, cohort month) -> step -> journeys that reached it."""
        return self.funnel.reached

    @property
    def answers(self) -> dict[str, Answer]:
        """First responses by journey."""
        return self.funnel.answers

    @cached_property
    def handoffs(self) -> dict[tuple[str, int], Handoff]:
        """Hand-offs by journey and attempt, as of the moment at which the day's files are read."""
        return self.funnel.handoffs(self.files.business.as_of(self.day))

    @property
    def activity(self) -> dict[tuple[str, int], Activity]:
        """(UTC month, step) -> what happened."""
        return self.funnel.activity

    @property
    def opportunities(self) -> dict[str, Opportunity]:
        """Opportunities by id."""
        return self.money.opportunities

    @property
    def bookings(self) -> dict[str, Booking]:
        """Revenue events by id."""
        return self.money.bookings

    @property
    def touches(self) -> dict[str, SeenTouch]:
        """Touches by id."""
        return self.credit.touches

    @property
    def conversions(self) -> dict[str, Conversion]:
        """Conversions by id."""
        return self.credit.conversions

    @property
    def credit_rows(self) -> list[CreditRow]:
        """The credit of all conversions by all models."""
        return self.credit.rows

    @property
    def booking_rows(self) -> list[BookingCredit]:
        """The credit of all bookings by all models."""
        return self.credit.booking_rows

    @cached_property
    def economics(self) -> dict[tuple[str, str, str], Economics]:
        """(model, channel, month) -> spend and what it brought; `unattributed` has what no touch gets credit for."""
        found: dict[tuple[str, str, str], Economics] = {}

        def cell(model: str, touch_id: str | None, month: str) -> Economics:
            channel = self.touches[touch_id].channel if touch_id else "unattributed"
            return found.setdefault((model, channel, month), Economics())

        for row in self.credit_rows:
            conversion = self.conversions[row.conversion_id]
            part = cell(row.model, row.touch_id, month_of(conversion.at))
            if conversion.conversion_type == "lead":
                part.leads_micro += row.weight_micro
            else:
                part.won_micro += row.weight_micro
        for booked in self.booking_rows:
            cell(booked.model, booked.touch_id, booked.month).credited_cents += booked.eur_cents
        for model in {row.model for row in self.credit_rows}:
            for (channel, month), micro in self.spend.by_channel_month.items():
                found.setdefault((model, channel, month), Economics()).spend_micro = micro
        return found

    @cached_property
    def plan(self) -> dict[tuple[str, str, str, dt.date, str], int]:
        """(metric, owner type, owner, period start, scenario) -> micros of the newest version."""
        business = self.files.business
        simulation = business.simulation
        known_on = simulation.date_of(self.day)
        values = plan_values(simulation.seed, round(simulation.scale * 100), business.scene.staff, known_on)
        return current_plan(values)

    @cached_property
    def plan_sums(self) -> dict[tuple[str, str, dt.date, str], int]:
        """(metric, owner type, period start, scenario) -> sum over owners in micros."""
        sums: Counter[tuple[str, str, dt.date, str]] = Counter()
        for (metric, owner_type, _, start, scenario), value in self.plan.items():
            sums[metric, owner_type, start, scenario] += value
        return dict(sums)

    @cached_property
    def experiments(self) -> dict[tuple[str, str], Arm]:
        """(experiment, variant) -> its visitors; who fills a form later counts too."""
        seen: dict[tuple[str, str], set[str]] = {}
        forms = {t.visitor_id for t in self.identity.touches if t.touch_type == "form" and not t.is_bot}
        for touch in self.identity.touches:
            if touch.experiment_id and touch.variant and touch.visitor_id and not touch.is_bot:
                seen.setdefault((touch.experiment_id, touch.variant), set()).add(touch.visitor_id)
        chances = {(e.experiment_id, v): c for e in EXPERIMENTS for v, c in (("A", e.chance_a), ("B", e.chance_b))}
        return {arm: Arm(len(v), len(v & forms), chances[arm]) for arm, v in seen.items()}

    @cached_property
    def outside(self) -> Counter[str]:
        """Records outside the funnel: test and deleted leads and opportunities."""
        counts: Counter[str] = Counter()
        for lead in self.identity.leads.values():
            counts["deleted_leads"] += bool(lead["is_deleted"])
            counts["test_leads"] += bool(lead["is_test"])
        for deal in self.opportunities.values():
            counts["deleted_opportunities"] += deal.is_deleted
            counts["test_opportunities"] += deal.is_test
        return counts

    @cached_property
    def deliveries(self) -> dict[str, File]:
        """What the day's file of each stream holds; streams without a file on this day are missing."""
        found = {name: self.files.file(stream, self.day, self.extra.get(name, ())) for name, stream in STREAMS.items()}
        return {name: file for name, file in found.items() if file is not None}
