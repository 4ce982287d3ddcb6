"""How the page writes what the data says: names, amounts, rates, days and deadlines, for people."""

from __future__ import annotations

import datetime as dt
import unicodedata
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MAX_TEXT = 48
NOTHING = "–"


def text(value: object, longest: int = MAX_TEXT) -> str:
    """A name from the data, without control and direction characters and at a bearable length (escaping is Jinja's)."""
    if value is None:
        return NOTHING
    clean = "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") else " " for c in str(value)
    )
    clean = " ".join(clean.split()) or NOTHING
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def money(value: Decimal | float | None, decimals: int = 0) -> str:
    """An amount with thousands separators and a real minus sign; a dash where there is none."""
    if value is None:
        return NOTHING
    written = f"{Decimal(value):,.{decimals}f}"
    if not written.strip("-0.,"):
        written = written.lstrip("-")
    return written.replace("-", "−")


def signed(value: Decimal | float | None, decimals: int = 0) -> str:
    """A difference: always with its sign, a dash where there is none."""
    written = money(value, decimals)
    return f"+{written}" if value is not None and value > 0 and written.strip("0.,") else written


def percent(value: Decimal | float | None, decimals: int = 0) -> str:
    """A share of 0 to 1 as `40 %`."""
    return NOTHING if value is None else f"{money(Decimal(value) * 100, decimals)} %"


def signed_percent(value: Decimal | float | None, decimals: int = 0) -> str:
    """A relative difference as `+4.2 %`."""
    return NOTHING if value is None else f"{signed(Decimal(value) * 100, decimals)} %"


def count(value: Decimal | float | None) -> str:
    """A whole number with thousands separators."""
    return money(value)


def day(value: dt.date | dt.datetime | None) -> str:
    """A day as `5 Jan 2026`."""
    return NOTHING if value is None else f"{value.day} {value:%b %Y}"


def months(first: dt.date, until: dt.date) -> str:
    """The months from one first day to the day before another: `Mar 2026`, `Jan to Mar 2026`, `Dec 2025 to Feb 2026`."""
    last = until - dt.timedelta(days=1)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%b %Y}"
    return f"{first:%b} to {last:%b %Y}" if first.year == last.year else f"{first:%b %Y} to {last:%b %Y}"


def deadline(business_minutes: int | None, days: int | None) -> str:
    """What a step promises, in words."""
    promises = []
    if business_minutes is not None:
        hours, minutes = divmod(business_minutes, 60)
        length = f"{minutes or business_minutes} business minute{'' if business_minutes == 1 else 's'}"
        if hours:
            length = f"{hours} business hour{'' if hours == 1 else 's'}" + (f" {minutes} min" if minutes else "")
        promises.append(f"first response within {length}")
    if days is not None:
        promises.append(f"expires after {days} day{'' if days == 1 else 's'}")
    return ", ".join(promises) or NOTHING


def moment(value: object, zone: str | None) -> str:
    """An instant (naive means UTC) as day and time in the reporting time zone."""
    if value is None:
        return NOTHING
    try:
        instant = (
            value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        )
    except ValueError:
        return text(value)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=dt.UTC)
    try:
        local, name = instant.astimezone(ZoneInfo(zone or "UTC")), zone or "UTC"
    except (ZoneInfoNotFoundError, ValueError, OSError):
        local, name = instant.astimezone(dt.UTC), "UTC"
    return f"{day(local)}, {local:%H:%M} ({name})"
