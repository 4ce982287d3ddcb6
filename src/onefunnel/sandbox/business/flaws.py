"""Records that must not arrive as they are: which are planted where, and what must become of each.

A flaw is always an additional record beside a good one, with an id of its own, so that it never changes what is true.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from onefunnel.sandbox.business.streams import Stream

Outcome = Literal["accepted", "deduplicated", "quarantined", "rejected"]
Deformed = Literal["", "ragged", "broken"]
Cell = object  # what a cell of the file holds: text, or in typed formats a value

KINDS: dict[str, str] = {
    "unreadable_timestamp": "an additional record has a time that is none",
    "unknown_code": "an additional record's currency is XXQ",
    "boolean_maybe": "an additional record has `maybe` where true or false belongs",
    "missing_required": "an additional record lacks a value that it must have",
    "duplicate": "a record stands twice in the file",
    "conflict": "two additional records have one key and different content",
    "ragged_record": "an additional record stops in the middle",
    "broken_line": "an additional line is no JSON",
    "unknown_lead": "an additional history entry is about a lead that nobody knows; it is kept and flagged",
}
# What each stream can have, and the column that is spoiled.
_POSSIBLE: dict[str, dict[str, str]] = {
    "leads": {"unreadable_timestamp": "created_at", "boolean_maybe": "is_test", "ragged_record": "", "duplicate": ""},
    "lead_changes": {
        "unknown_lead": "",
        "missing_required": "field",
        "conflict": "",
        "unreadable_timestamp": "changed_at",
    },
    "accounts": {"boolean_maybe": "is_target", "duplicate": "", "missing_required": "created_at"},
    "contacts": {"ragged_record": "", "missing_required": "created_at", "duplicate": ""},
    "opportunities": {"unknown_code": "currency", "unreadable_timestamp": "created_at"},
    "opportunity_changes": {"conflict": "", "missing_required": "changed_at", "duplicate": ""},
    "opportunity_contacts": {"duplicate": ""},
    "opportunity_splits": {"duplicate": ""},
    "opportunity_lines": {"unknown_code": "currency", "conflict": ""},
    "activities": {
        "unreadable_timestamp": "occurred_at",
        "boolean_maybe": "is_automated",
        "missing_required": "activity_type",
        "conflict": "",
        "ragged_record": "",
    },
    "campaign_members": {"missing_required": "crm_campaign_id", "duplicate": ""},
    "web_touches": {
        "broken_line": "",
        "unreadable_timestamp": "occurred_at",
        "boolean_maybe": "is_bot",
        "duplicate": "",
        "conflict": "",
    },
    "email_touches": {"missing_required": "touch_type", "duplicate": "", "conflict": ""},
    "event_touches": {"unreadable_timestamp": "occurred_at", "duplicate": "", "missing_required": "touch_type"},
    "revenue_events": {"unknown_code": "currency", "missing_required": "amount", "unreadable_timestamp": "booked_at"},
}
_SPOILED = {"unreadable_timestamp": "yesterday at noon", "unknown_code": "XXQ", "boolean_maybe": "maybe"}
_REASONS = {
    "unreadable_timestamp": "unreadable_value",
    "unknown_code": "unknown_currency",
    "boolean_maybe": "unreadable_value",
    "missing_required": "missing_value",
}
SHARE_PER_MILLE = 3
_FEWEST_RECORDS = 150  # a stream of fewer records has no flaw in the history


class Entry(NamedTuple):
    """One record of a file as it is written, and what must become of it.

    Attributes:
        column: the column that is to blame, or empty.
        kind: the flaw that made it, or empty.
    """

    cells: tuple[Cell, ...]
    outcome: Outcome = "accepted"
    reason: str = ""
    column: str = ""
    kind: str = ""
    deformed: Deformed = ""


def possible(stream: Stream) -> dict[str, str]:
    """The flaws that a stream's files can have, with the column that each spoils."""
    return _POSSIBLE.get(stream.name, {})


def planned(seed: int, stream: Stream, number: int, count: int) -> list[str]:
    """The flaws planted by default in a stream's file of `count` records: the history's, then one now and then."""
    kinds = [*possible(stream)]
    if not kinds or not count:
        return []
    if number == 1:
        wanted, records = count * SHARE_PER_MILLE // 1_000, 0
        found: list[str] = []
        while count >= _FEWEST_RECORDS and records < max(1, wanted):
            found.append(kinds[len(found) % len(kinds)])
            records += 2 if found[-1] == "conflict" else 1
        return found
    rng = random.Random(f"{seed}/flaws/{stream.name}/{number}")  # noqa: S311  (not a secret)
    return [rng.choice(kinds)] if rng.randrange(1_000) < SHARE_PER_MILLE * count else []


def plant(
    stream: Stream, rows: Sequence[tuple[Cell, ...]], kinds: Sequence[str], seed: int, number: int
) -> list[Entry]:
    """The records of a file with flaws among them, each after a good record that it resembles."""
    rng = random.Random(f"{seed}/places/{stream.name}/{number}")  # noqa: S311  (not a secret)
    places: dict[int, list[str]] = {}
    for kind in kinds:
        places.setdefault(rng.randrange(len(rows)), []).append(kind)
    entries = []
    for n, row in enumerate(rows):
        entries.append(Entry(row))
        for k, kind in enumerate(places.get(n, ())):
            entries += _additional(stream, row, kind, f"-x{k}")
    return entries


def _additional(stream: Stream, row: tuple[Cell, ...], kind: str, suffix: str) -> list[Entry]:
    if kind == "duplicate":
        return [Entry(row, "deduplicated", "identical", kind=kind)]
    cells = dict(zip(stream.names, row, strict=True))
    cells[stream.key[0]] = f"{cells[stream.key[0]]}{suffix}"
    if kind == "conflict":
        other = cells | {_free_text(stream): "another value"}
        return [Entry(tuple(c.values()), "quarantined", "conflicting_key", kind=kind) for c in (cells, other)]
    if kind in ("ragged_record", "broken_line"):
        deformed: Deformed = "ragged" if kind == "ragged_record" else "broken"
        return [Entry(tuple(cells.values()), "rejected", "unreadable_record", kind=kind, deformed=deformed)]
    if kind == "unknown_lead":
        cells["lead_id"] = "39999999999999999"
        return [Entry(tuple(cells.values()), kind=kind)]
    column = possible(stream)[kind]
    cells[column] = _SPOILED.get(kind)
    return [Entry(tuple(cells.values()), "quarantined", _REASONS[kind], column, kind)]


def _free_text(stream: Stream) -> str:
    """A text column outside the key that may hold any word."""
    preferred = ("purpose", "new_value", "landing_page", "product_id", "lead_id")
    return next(name for name in preferred if name in stream.names)
