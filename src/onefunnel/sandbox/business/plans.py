"""What was planned: budgets of campaigns, quotas, targets and the two teams' plans, in versions.

A plan value counts from its `valid_as_of` day and is in the file from that day on. Values are micros: of EUR where a
currency is named, of one piece where it is a count.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import NamedTuple

from onefunnel.sandbox.business.log import MICRO
from onefunnel.sandbox.business.staff import QUOTA_CARRIERS, SELLING, Staff
from onefunnel.sandbox.simulation import Simulation
from onefunnel.sandbox.world import PLATFORMS


class PlanValue(NamedTuple):
    """One value of a plan; the period is half-open."""

    metric: str
    owner_type: str
    owner_id: str
    period_start: dt.date
    period_end: dt.date
    scenario: str
    version: str
    valid_as_of: dt.date
    value_micro: int
    currency: str | None
    approved_by: str | None


class Budget(NamedTuple):
    """What a campaign may spend in a month, in micros of its account's currency."""

    ad_account_id: str
    campaign_id: str
    period_start: dt.date
    period_end: dt.date
    budget_micro: int
    currency: str


def budgets(simulation: Simulation, known_on: dt.date) -> list[Budget]:
    """The budgets of all months that have begun by a day."""
    found, month = [], simulation.first_day.replace(day=1)
    while month <= known_on:
        end = _next_month(month)
        for platform in PLATFORMS.values():
            if platform.has_dimensions:
                for a, account in enumerate(platform.accounts):
                    for c in simulation.campaigns(platform, a):
                        amount = c.budget_micro * (end - month).days // 10**7 * 10**7
                        found.append(Budget(account.account_id, c.campaign_id, month, end, amount, account.currency))
        month = end
    return found


def plan_values(seed: int, scale_percent: int, staff: Staff, known_on: dt.date) -> list[PlanValue]:
    """Every plan value that is in the file on a day."""
    return [v for v in _all_values(seed, scale_percent, staff, known_on) if v.valid_as_of <= known_on]


def _all_values(seed: int, scale_percent: int, staff: Staff, known_on: dt.date) -> Iterator[PlanValue]:
    start = staff.first_day.replace(month=(staff.first_day.month - 1) // 3 * 3 + 1, day=1)
    while start <= known_on + dt.timedelta(days=31):
        end = _next_month(_next_month(_next_month(start)))
        first, second = start - dt.timedelta(days=21), start + dt.timedelta(days=40)
        rng = random.Random(f"{seed}/plan/{start.isoformat()}")  # noqa: S311  (not a secret)

        def value(
            metric: str,
            owner_type: str,
            owner_id: str,
            scenario: str,
            version: str,
            whole: int,
            currency: str | None = "EUR",
            signed: str | None = "U0001",
            period: tuple[dt.date, dt.date] = (start, end),
            dates: tuple[dt.date, dt.date] = (first, second),
        ) -> PlanValue:
            as_of = dates[0] if version == "1" else dates[1]
            micro = whole * MICRO + (250_000 if currency and scenario == "quota" else 0)
            return PlanValue(metric, owner_type, owner_id, *period, scenario, version, as_of, micro, currency, signed)

        company = 0
        for territory in SELLING:
            target = max(1, rng.randint(90, 180) * scale_percent // 100) * 1_000
            company += target
            yield value("bookings", "territory", territory, "target", "1", target)
            for version in ("1", "2"):
                sales, marketing = target * rng.randint(90, 115) // 100, target * rng.randint(85, 110) // 100
                yield value("bookings", "territory", territory, "plan_sales", version, sales, signed="U0002")
                yield value("bookings", "territory", territory, "plan_marketing", version, marketing, signed="U0016")
                if version == "2" or rng.randrange(2):
                    yield value("bookings", "territory", territory, "agreed", version, (sales + marketing) // 2)
        yield value("bookings", "company", "company", "target", "1", company * 95 // 100)
        for user in QUOTA_CARRIERS:
            hired, left = staff.on(user.hired), staff.on(user.left)
            if hired is not None and hired < end and (left is None or left > start):
                quota = max(1, rng.randint(50, 110) * scale_percent // 100) * 1_000
                known = max(first, hired)
                yield value("bookings", "rep", user.user_id, "quota", "1", quota, dates=(known, known))
        month = start
        for n in range(3):
            following = _next_month(month)
            count = rng.randint(110, 150) * scale_percent // 100
            yield value(
                "leads", "company", "company", "quota", "1", count, None, "U0016" if n else None, (month, following)
            )
            month = following
        start = end


def _next_month(day: dt.date) -> dt.date:
    return (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
