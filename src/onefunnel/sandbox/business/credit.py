"""Touches and what they get credit for, as it must come out: persons, channels, paths, weights, cents."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from onefunnel.sandbox.business.identity import Identity
from onefunnel.sandbox.business.log import Touch
from onefunnel.sandbox.business.money import Money, apportioned
from onefunnel.sandbox.business.names import Names
from onefunnel.sandbox.business.visits import CLICK_IDS, PAIRS, REFERRERS
from onefunnel.sandbox.world import Campaign

MODELS = ("first", "last", "linear")
ALL = 1_000_000
LOOKBACK_DAYS = {"lead": 90, "won": 180}
GRACE_SECONDS = 300
_RANKS = {"visit": 10, "form": 20, "click": 30, "reply": 40, "registered": 50, "attended": 60}
BOOKINGS = ("new", "expansion", "renewal", "reversal")
_MINUTE = 60  # finance writes no seconds


class SeenTouch(NamedTuple):
    """A touch as it must come out; `at_ms` in milliseconds.

    Attributes:
        campaign: `<source>/<ad account>/<campaign id>`, `crm/<crm campaign id>` or None.
        reason: bot or internal, when it is excluded.
    """

    touch_id: str
    touch_type: str
    at_ms: int
    person: str | None
    account_id: str | None
    channel: str
    campaign: str | None
    is_excluded: bool
    reason: str | None

    @property
    def order(self) -> tuple[int, int, str]:
        """Its place in a path."""
        return self.at_ms, _RANKS[self.touch_type], self.touch_id


class Conversion(NamedTuple):
    """Something that touches get credit for; times in seconds.

    Attributes:
        unit: the person of a lead, the account of a won opportunity; None: nobody knows it.
        began_at: when its journey began.
        is_taken_back: the opportunity was opened again after this win.
    """

    conversion_id: str
    conversion_type: str
    unit: str | None
    at: int
    began_at: int
    is_taken_back: bool = False


class CreditRow(NamedTuple):
    """The credit of one touch for one conversion by one model; a conversion's weights add up to 1,000,000.

    Attributes:
        touch_id: None: nobody gets it, because of `reason` (no_touch, outside_lookback, no_identity).
        eur_cents: its part of what was booked for the conversion; None for a lead.
    """

    conversion_id: str
    model: str
    touch_id: str | None
    reason: str | None
    weight_micro: int
    eur_cents: int | None


class BookingCredit(NamedTuple):
    """The credit of one touch for one booking by one model: the weights are those of the win that it belongs to.

    Attributes:
        month: UTC month of the booking, YYYY-MM.
        eur_cents: its part of the booking; those of a booking add up to it in every model.
    """

    event_id: str
    month: str
    conversion_id: str
    model: str
    touch_id: str | None
    reason: str | None
    weight_micro: int
    eur_cents: int


@dataclass(frozen=True)
class Credit:
    """Who brought whom."""

    identity: Identity
    money: Money
    names: Names

    @cached_property
    def touches(self) -> dict[str, SeenTouch]:
        """Every touch by id."""
        found = {}
        for touch in self.identity.touches:
            person = self.identity.person(touch)
            reason = "bot" if touch.is_bot else "internal" if touch.utm_source == "internal" else None
            channel, campaign = self._came_by(touch)
            found[touch.touch_id] = SeenTouch(
                touch.touch_id,
                touch.touch_type,
                touch.at_ms,
                person,
                self.identity.account_of_person(person),
                channel,
                campaign,
                reason is not None,
                reason,
            )
        return found

    def _came_by(self, touch: Touch) -> tuple[str, str | None]:
        """(channel, campaign): the first rule that fits."""
        if touch.channel_kind != "web":
            campaign = f"crm/{touch.crm_campaign_id}" if touch.crm_campaign_id else None
            return "email" if touch.channel_kind == "mail" else "event", campaign
        if touch.campaign is not None and touch.tag == "id":
            return self.names.simulation.channel(touch.campaign), _name(touch.campaign)
        called = self.names.in_link(touch)
        bearers = self.names.called(called, touch.at_ms // 1_000) if called is not None else []
        channels = {self.names.simulation.channel(c) for c in bearers}
        if len(channels) == 1:
            return channels.pop(), _name(bearers[0]) if len(bearers) == 1 else None
        pair = PAIRS.get((touch.utm_source or "", touch.utm_medium or ""))
        by_click = CLICK_IDS.get(touch.click_id_kind or "")
        return pair or by_click or REFERRERS.get(touch.referrer or "") or "direct", None

    @cached_property
    def conversions(self) -> dict[str, Conversion]:
        """Every lead that was created and every opportunity that is won, without test and deleted records."""
        found = {}
        for lead_id, lead in self.identity.leads.items():
            if not (lead["is_test"] or lead["is_deleted"]):
                created = int(str(lead["created_at"]))
                person = self.identity.person_of_lead(lead_id)
                found[f"lead:{lead_id}"] = Conversion(f"lead:{lead_id}", "lead", person, created, created)
        return found | {key: win for key, win in self.wins.items() if not win.is_taken_back}

    @cached_property
    def wins(self) -> dict[str, Conversion]:
        """Every time that an opportunity was won, without test and deleted ones; the second time has `#2` in its id."""
        found = {}
        for key, deal in self.money.opportunities.items():
            if not (deal.is_test or deal.is_deleted):
                for nth, win in enumerate(self.money.wins[key], start=1):
                    name = f"won:{key}#{nth}" if nth > 1 else f"won:{key}"
                    is_taken_back = win.taken_back_at is not None
                    found[name] = Conversion(name, "won", deal.account_id, win.at, deal.created_at, is_taken_back)
        return found

    @cached_property
    def _win_of(self) -> dict[str, str]:
        """Booking -> the win that it belongs to: the last one before it; a reversal to that of what it reverses."""
        found = {}
        for booking in self.money.bookings.values():
            wins = self.money.wins[booking.opportunity_id]
            nth = sum(win.at - _MINUTE < booking.sold_at for win in wins)
            suffix = f"#{nth}" if nth > 1 else ""
            found[booking.event_id] = f"won:{booking.opportunity_id}{suffix}"
        return found

    @cached_property
    def _by_unit(self) -> dict[tuple[str, str], list[SeenTouch]]:
        """(conversion type, unit) -> the touches that can be in a path, in order."""
        found: dict[tuple[str, str], list[SeenTouch]] = defaultdict(list)
        for touch in self.touches.values():
            if touch.touch_type in _RANKS and not touch.is_excluded and touch.person is not None:
                found["lead", touch.person].append(touch)
                if touch.account_id is not None:
                    found["won", touch.account_id].append(touch)
        for touches in found.values():
            touches.sort(key=lambda touch: touch.order)
        return found

    @cached_property
    def _times(self) -> dict[tuple[str, str | None], list[int]]:
        found: dict[tuple[str, str | None], list[int]] = defaultdict(list)
        for conversion in self.conversions.values():
            found[conversion.conversion_type, conversion.unit].append(conversion.at)
        return found

    def path(self, conversion: Conversion) -> tuple[list[SeenTouch], str | None]:
        """The touches of a conversion's path in order; when there are none, the reason."""
        if conversion.unit is None:
            return [], "no_identity"
        kind = conversion.conversion_type
        start = max((at for at in self._times[kind, conversion.unit] if at < conversion.began_at), default=None)
        end_ms = conversion.at * 1_000
        candidates = [
            touch
            for touch in self._by_unit.get((kind, conversion.unit), [])
            if (start is None or touch.at_ms > start * 1_000)
            and (
                touch.at_ms <= end_ms
                or (kind == "lead" and touch.touch_type == "form" and touch.at_ms <= end_ms + GRACE_SECONDS * 1_000)
            )
        ]
        oldest_ms = end_ms - LOOKBACK_DAYS[kind] * 86_400_000
        inside = [touch for touch in candidates if touch.at_ms >= oldest_ms]
        if not inside:
            return [], "outside_lookback" if candidates else "no_touch"
        once: dict[tuple[str | None, str, str | None, int], SeenTouch] = {}
        for touch in inside:
            once.setdefault((touch.person, touch.channel, touch.campaign, touch.at_ms // 86_400_000), touch)
        return [*once.values()], None

    def _weights(self, conversion: Conversion) -> dict[str, tuple[dict[str | None, int], str | None]]:
        """Model -> the weight of each touch of a conversion's path, and why there is none."""
        path, reason = self.path(conversion)
        if not path:
            return {model: ({None: ALL}, reason) for model in MODELS}
        touches: list[str | None] = [touch.touch_id for touch in path]
        chosen = {"first": touches[:1], "last": touches[-1:], "linear": touches}
        return {model: (apportioned(ALL, dict.fromkeys(chosen[model], 1)), None) for model in MODELS}

    @cached_property
    def _weights_of_wins(self) -> dict[str, dict[str, tuple[dict[str | None, int], str | None]]]:
        return {key: self._weights(win) for key, win in self.wins.items()}

    @cached_property
    def booking_rows(self) -> list[BookingCredit]:
        """The credit of every booking by every model, also of those that were taken back."""
        found = []
        for booking in self.money.bookings.values():
            if booking.event_type in BOOKINGS:
                win = self._win_of[booking.event_id]
                for model, (weights, reason) in self._weights_of_wins[win].items():
                    for touch_id, cents in apportioned(booking.eur_cents or 0, weights).items():
                        row = (booking.event_id, booking.month, win, model, touch_id, reason, weights[touch_id], cents)
                        found.append(BookingCredit(*row))
        return found

    @cached_property
    def rows(self) -> list[CreditRow]:
        """The credit of every conversion by every model."""
        cents: Counter[tuple[str, str, str | None]] = Counter()
        for row in self.booking_rows:
            cents[row.conversion_id, row.model, row.touch_id] += row.eur_cents
        found = []
        for key, conversion in self.conversions.items():
            is_lead = conversion.conversion_type == "lead"
            of_models = self._weights(conversion) if is_lead else self._weights_of_wins[key]
            for model, (weights, reason) in of_models.items():
                found += [
                    CreditRow(key, model, touch_id, reason, weight, None if is_lead else cents[key, model, touch_id])
                    for touch_id, weight in weights.items()
                ]
        return found


def _name(campaign: Campaign) -> str:
    return f"{campaign.source}/{campaign.account_id}/{campaign.campaign_id}"
