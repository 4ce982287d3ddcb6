"""The records of each stream's file of a day, as values: what the log and the calendar say, without any flaw."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from onefunnel.sandbox.business.business import Business
from onefunnel.sandbox.business.calendars import CALENDARS, WORKING_HOURS, holidays
from onefunnel.sandbox.business.catalog import PRODUCTS, crm_campaigns
from onefunnel.sandbox.business.log import Change, Fields, Touch, Value, state_of
from onefunnel.sandbox.business.names import Names
from onefunnel.sandbox.business.plans import budgets, plan_values
from onefunnel.sandbox.business.staff import TERRITORIES, USERS
from onefunnel.sandbox.business.streams import Stream

Record = tuple[Value, ...]
# What the CRM keeps the history of: the log's field -> the word in the history.
_TRACKED = {
    "lead_changes": ("leads", {"status": "status", "owner_id": "owner"}),
    "opportunity_changes": (
        "opportunities",
        {
            "stage": "stage",
            "amount": "amount",
            "currency": "currency",
            "close_date": "close_date",
            "probability": "probability",
            "forecast_category": "forecast_category",
            "owner_id": "owner",
        },
    ),
}
_TOUCHES = {"web_touches": "web", "email_touches": "mail", "event_touches": "event"}


@dataclass(frozen=True)
class Records:
    """The records that a business delivers."""

    business: Business

    def of(self, stream: Stream, number: int) -> list[Record]:
        """The records of a stream's file of day `number`; none: no file is written."""
        if stream.name in _TOUCHES:
            return [*self._touches(stream, number)]
        if stream.name in _TRACKED:
            return [*self._history(stream, number)]
        if stream.daily:
            return [*self._changed(stream, number)]
        now = self.full_list(stream, number)
        return [] if number > 1 and now == self.full_list(stream, number - 1) else now

    def full_list(self, stream: Stream, number: int) -> list[Record]:
        """A full list as it is known on day `number`."""
        return [*getattr(self, f"_list_{stream.name}")(self.business.simulation.date_of(number))]

    def _changed(self, stream: Stream, number: int) -> Iterator[Record]:
        log, since = self.business.log(number), self.business.since(number)
        for _, entries in log.records(stream.name, self.business.until(number)):
            if entries[-1].at >= since:
                fields: Fields = {"modified_at": entries[-1].at, **state_of(entries)}
                yield tuple(fields.get(name) for name in stream.names)

    def _history(self, stream: Stream, number: int) -> Iterator[Record]:
        table, tracked = _TRACKED[stream.name]
        log, since = self.business.log(number), self.business.since(number)
        for key, entries in log.records(table, self.business.until(number)):
            if len(entries) > 1 and entries[-1].at >= since:
                for n, (change, field, old, new) in enumerate(_field_changes(entries, tracked), start=1):
                    if change.at >= since:
                        change_id = f"{key}-{n:03d}"
                        by = change.by or "system"
                        yield change_id, key, tracked[field], as_text(field, old), as_text(field, new), change.at, by

    def _touches(self, stream: Stream, number: int) -> Iterator[Record]:
        log, kind = self.business.log(number), _TOUCHES[stream.name]
        since, until = self.business.since(number) * 1_000, self.business.until(number) * 1_000
        names = Names(self.business.simulation, number)
        found = [t for t in log.touches if t.channel_kind == kind and since <= t.at_ms < until]
        found.sort(key=lambda touch: touch.at_ms)
        for touch in found:
            yield tuple(self._touch_value(touch, name, names) for name in stream.names)

    @staticmethod
    def _touch_value(touch: Touch, name: str, names: Names) -> Value:
        if name == "occurred_at":
            return touch.at_ms
        if name == "utm_id":
            return touch.campaign.campaign_id if touch.campaign and touch.tag == "id" else None
        if name == "utm_campaign":
            return names.in_link(touch)
        value = getattr(touch, name)
        assert value is None or isinstance(value, str | int | bool)  # noqa: S101
        return value

    def _list_users(self, known_on: dt.date) -> Iterator[Record]:
        staff = self.business.scene.staff
        for u in USERS:
            hired, left = staff.on(u.hired), staff.on(u.left)
            if hired is not None and hired <= known_on:
                days = staff.number(known_on)
                territory = next(t for start, t in reversed(u.territories) if start <= days)
                yield (
                    u.user_id,
                    u.full_name,
                    u.function,
                    u.role,
                    u.rep_type,
                    u.manager_id,
                    u.team,
                    territory,
                    u.calendar,
                    hired,
                    staff.on(u.ramp_end),
                    left if left is not None and left <= known_on else None,
                )

    def _list_products(self, known_on: dt.date) -> Iterator[Record]:
        staff = self.business.scene.staff
        for p in PRODUCTS:
            launched, retired = staff.on(p.launched), staff.on(p.retired)
            if launched is not None and launched <= known_on:
                gone = retired if retired is not None and retired <= known_on else None
                yield p.product_id, p.name, p.family, p.is_service, p.is_recurring, launched, gone

    def _list_territories(self, known_on: dt.date) -> Iterable[Record]:
        return TERRITORIES

    def _list_territory_assignments(self, known_on: dt.date) -> Iterable[Record]:
        return self.business.scene.staff.assignments(known_on)

    def _list_crm_campaigns(self, known_on: dt.date) -> Iterator[Record]:
        for c in crm_campaigns(self.business.scene.first_day, known_on):
            yield (
                c.crm_campaign_id,
                c.name,
                c.channel,
                c.ad_campaign_id,
                c.started_on,
                c.ended_on,
                c.budget_micro,
                "EUR",
                c.owner_id,
            )

    def _list_budgets(self, known_on: dt.date) -> Iterable[Record]:
        return budgets(self.business.simulation, known_on)

    def _list_plan_values(self, known_on: dt.date) -> Iterable[Record]:
        simulation = self.business.simulation
        return plan_values(simulation.seed, round(simulation.scale * 100), self.business.scene.staff, known_on)

    def _list_holidays(self, known_on: dt.date) -> Iterator[Record]:
        for calendar in CALENDARS:
            for year in range(self.business.scene.first_day.year, known_on.year + 2):
                for day, name in sorted(holidays(calendar, year).items()):
                    yield calendar, day, name

    def _list_working_hours(self, known_on: dt.date) -> Iterable[Record]:
        return WORKING_HOURS


def _field_changes(entries: list[Change], tracked: dict[str, str]) -> Iterator[tuple[Change, str, Value, Value]]:
    """(entry, field, old, new) of each tracked field that an entry really changed."""
    state = dict(entries[0].fields)
    for change in entries[1:]:
        for field, new in change.fields.items():
            old = state.get(field)
            state[field] = new
            if field in tracked and new != old:
                yield change, field, old, new


def as_text(field: str, value: Value) -> str | None:
    """A value as the CRM's history writes it: amounts with two decimals, days as ISO."""
    if value is None:
        return None
    if field in ("amount", "probability"):
        assert isinstance(value, int)  # noqa: S101
        return f"{value // 1_000_000}.{value % 1_000_000 // 10_000:02d}" if field == "amount" else str(value // 10**6)
    return value.isoformat() if isinstance(value, dt.date) else str(value)
