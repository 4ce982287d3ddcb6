"""The text forms in which instants and records are stored, compared and hashed."""

from __future__ import annotations

import datetime as dt
import json


def utc_now() -> str:
    """Now, as UTC text with microseconds: the one format of instants in the ledger."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def utc_text(value: dt.datetime) -> str:
    """An aware instant as `YYYY-MM-DD HH:MM:SS` in UTC."""
    return value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def canonical_json(value: object) -> str:
    """JSON with sorted keys: equal values give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
