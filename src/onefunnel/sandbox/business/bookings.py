"""What finance books for a deal: the sale, its reversal when the deal is re-opened, and what becomes of the contract.

Finance writes minutes, not seconds. Amounts are micros of the deal's currency, whole cents.
"""

from __future__ import annotations

import calendar
import datetime as dt
import random

from onefunnel.sandbox.business.deals import WON, Deal, Line
from onefunnel.sandbox.business.log import day_of, midnight
from onefunnel.sandbox.business.scene import Scene

_LATER = (("renewed", 4), ("expanded", 3), ("contracted", 2), ("churned", 3), ("quiet", 1))


def book(scene: Scene, rng: random.Random, deal: Deal) -> None:
    """Write every booking of a deal: one per line and event."""
    moments = deal.stages
    for n, (won_at, stage) in enumerate(moments):
        if stage != WON:
            continue
        taken_back = moments[n + 1][0] if n + 1 < len(moments) else None
        events = [(line, _new(scene, rng, deal, line, won_at)) for line in deal.lines]
        if taken_back is not None:
            for line, event_id in events:
                _reverse(scene, deal, line, taken_back, event_id)
        else:
            for line, _ in events:
                if line.product.is_recurring:
                    _later(scene, rng, deal, line, won_at)


def _new(scene: Scene, rng: random.Random, deal: Deal, line: Line, won_at: int) -> str:
    booked = won_at - won_at % 60
    ends_a_month = day_of(won_at + 86_400).day == 1
    if ends_a_month or rng.randrange(12) == 0:  # entered late in the evening: in Berlin another day, even month
        booked = max(booked, midnight(day_of(won_at)) + 23 * 3_600 + rng.randrange(0, 55) * 60)
        scene.log.note("booked_past_midnight_in_berlin", booked)
    starts = day_of(won_at) + dt.timedelta(days=1)
    return _event(scene, deal, line, "new", booked, line.net_micro, _yearly(line), starts)


def _reverse(scene: Scene, deal: Deal, line: Line, at: int, event_id: str) -> None:
    scene.log.note("revenue_reversal", at)
    _event(scene, deal, line, "reversal", at - at % 60, -line.net_micro, -_yearly(line), None, event_id)


def _later(scene: Scene, rng: random.Random, deal: Deal, line: Line, won_at: int) -> None:
    """A year at a time: the contract is renewed and changed until it ends, for at most four years."""
    starts, amount = day_of(won_at) + dt.timedelta(days=1), line.net_micro
    for _ in range(4):
        what = scene.log.card("contracts", _LATER)
        middle = midnight(starts) + rng.randint(60, 300) * 86_400 + rng.randint(8, 15) * 3_600
        if what in ("expanded", "contracted"):
            change = amount * rng.randint(10, 40) // 100 // 10_000 * 10_000
            change = change if what == "expanded" else -change
            kind = "expansion" if what == "expanded" else "contraction"
            _event(scene, deal, line, kind, middle, change, change, day_of(middle))
            scene.log.note(f"revenue_{kind}", middle)
            amount += change
        starts = _next_year(starts)
        end = midnight(starts) - 5 * 86_400 + rng.randint(8, 15) * 3_600
        if what == "churned":
            _event(scene, deal, line, "churn", end, -amount, -amount, starts)
            scene.log.note("revenue_churn", end)
            return
        _event(scene, deal, line, "renewal", end, amount, amount, starts)
        scene.log.note("revenue_renewal", end)


def _event(
    scene: Scene,
    deal: Deal,
    line: Line,
    kind: str,
    booked: int,
    amount: int,
    recurring: int,
    starts: dt.date | None,
    reverses: str | None = None,
) -> str:
    event_id = f"RE{scene.log.number('revenue event'):08d}"
    is_sale = kind in ("new", "reversal")
    sign = -1 if kind == "reversal" else 1
    scene.log.set(
        booked,
        "revenue_events",
        event_id,
        event_id=event_id,
        event_type=kind,
        opportunity_id=deal.opportunity_id,
        account_id=deal.account_id,
        product_id=line.product.product_id,
        booked_at=booked,
        amount=amount,
        currency=deal.currency,
        list_amount=sign * line.list_micro if is_sale else None,
        cost_amount=sign * line.cost_micro if is_sale else None,
        recurring_amount=recurring,
        starts_on=starts,
        ends_on=_next_year(starts) if starts and line.product.is_recurring and kind != "churn" else None,
        reverses_event_id=reverses,
    )
    return event_id


def _yearly(line: Line) -> int:
    return line.net_micro if line.product.is_recurring else 0


def _next_year(day: dt.date) -> dt.date:
    leap_day = (day.month, day.day) == (2, 29) and not calendar.isleap(day.year + 1)
    return day.replace(year=day.year + 1, day=28 if leap_day else day.day)
