"""What the CRM knows at the end of a company day: each record's state, when it was made and changed, and by whom.

A record's time of change is the second of its last entry in the log up to then. What follows from the calendar alone
(users, products, territories, campaigns) changes at the midnight that begins the day on which it does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from onefunnel.sandbox.business.business import Business
from onefunnel.sandbox.business.log import Change, Fields, Value, midnight, state_of
from onefunnel.sandbox.business.records import Records
from onefunnel.sandbox.business.streams import STREAMS
from onefunnel.sandbox.company import Company

_CAMPAIGNS_KNOWN_AHEAD = dt.timedelta(days=28)


class CrmRecord(NamedTuple):
    """A record as it stands.

    Attributes:
        key: the company's own id; of several columns, joined by `/`, days as YYYYMMDD.
        fields: amounts and percentages in micros, times in seconds since 1970 UTC, days as dates.
        created_by: the user who did it, or empty for a machine; `changed_by` likewise.
        entries: how it came to this state; none for what follows from the calendar.
    """

    key: str
    fields: Fields
    created_at: int
    changed_at: int
    created_by: str = ""
    changed_by: str = ""
    entries: tuple[Change, ...] = ()


class FieldChange(NamedTuple):
    """A field that an entry really changed."""

    at: int
    by: str
    field: str
    old: Value
    new: Value


@dataclass(frozen=True)
class CrmState:
    """The CRM of a company with a business at the end of day `day`, or before an earlier second of it.

    Attributes:
        before: entries from this second on are not seen; None: the end of the day, as its files are.
    """

    company: Company
    day: int
    before: int | None = None

    def __post_init__(self) -> None:
        if not self.company.business:
            raise ValueError("this company has costs only: make it with business=True")

    @property
    def business(self) -> Business:
        """The business that all of its servers and files share."""
        return self.company.business_files.business

    @cached_property
    def until(self) -> int:
        """The first second that is not seen."""
        end = self.business.until(self.day)
        return end if self.before is None else min(self.before, end)

    @cached_property
    def tables(self) -> dict[str, dict[str, CrmRecord]]:
        """Table of the log or of the calendar -> records by key."""
        log = self.business.log(self.day)
        found = {
            table: {key: _record(key, entries) for key, entries in log.records(table, self.until)}
            for table in (
                "accounts", "contacts", "leads", "opportunities", "opportunity_contacts", "opportunity_splits",
                "opportunity_lines", "activities", "campaign_members",
            )
        }  # fmt: skip
        for table in ("users", "products", "territories", "territory_assignments", "crm_campaigns"):
            found[table] = {record.key: record for record in self._listed(table)}
        return found

    def _listed(self, table: str) -> Iterator[CrmRecord]:
        stream, first = STREAMS[table], midnight(self.business.scene.first_day)
        for values in Records(self.business).full_list(stream, self.day):
            fields: Fields = dict(zip(stream.names, values, strict=True))
            days = sorted(self._days_of_change(table, fields))
            key = "/".join(_key_part(fields[name]) for name in stream.key)
            created, changed = (midnight(days[0]), midnight(days[-1])) if days else (first, first)
            if created < self.until:
                yield CrmRecord(key, fields, created, min(changed, self.until - 1))

    def _days_of_change(self, table: str, fields: Fields) -> Iterator[dt.date]:
        names = {
            "users": ("hired_on", "left_on"),
            "products": ("launched_on", "retired_on"),
            "territory_assignments": ("valid_from", "valid_to"),
        }.get(table, ())
        yield from (day for name in names if isinstance(day := fields[name], dt.date))
        if table == "users":
            known_on = self.business.simulation.date_of(self.day)
            assignments = self.business.scene.staff.assignments(known_on)
            yield from (a.valid_from for a in assignments if a.user_id == fields["user_id"])
        if table == "crm_campaigns":
            started_on = fields["started_on"]
            assert isinstance(started_on, dt.date)  # noqa: S101
            yield started_on - _CAMPAIGNS_KNOWN_AHEAD


def _key_part(value: Value) -> str:
    return f"{value:%Y%m%d}" if isinstance(value, dt.date) else str(value)


def _record(key: str, entries: list[Change]) -> CrmRecord:
    first, last, fields = entries[0], entries[-1], state_of(entries)
    created_at = fields.get("created_at", first.at)  # an account can be older than the log
    assert isinstance(created_at, int)  # noqa: S101
    return CrmRecord(key, fields, created_at, last.at, first.by, last.by, tuple(entries))


def field_changes(record: CrmRecord, names: Mapping[str, str] | tuple[str, ...]) -> Iterator[FieldChange]:
    """The changes of some fields since the record was made, in the order of the log."""
    state = dict(record.entries[0].fields)
    for entry in record.entries[1:]:
        for name, new in entry.fields.items():
            old = state.get(name)
            state[name] = new
            if name in names and new != old:
                yield FieldChange(entry.at, entry.by, name, old, new)
