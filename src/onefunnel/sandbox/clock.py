"""The sandbox company's clock: which day it is in one installation."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from onefunnel.errors import UsageError
from onefunnel.sandbox.company import Company


class Now(NamedTuple):
    """The company of an installation, and its day."""

    company: Company
    day: int


def today(home: Path) -> Now | None:
    """The company of an installation and its day; None where no day of a sandbox company has passed."""
    clock = home / "sandbox.json"
    if not clock.exists():
        return None
    state = json.loads(clock.read_text(encoding="utf-8"))
    business, served = (bool(state.get(name)) for name in ("business", "served"))
    company = Company(seed=state["seed"], scale=state["scale"], business=business, served=served)
    return Now(company, int(state["day"]))


def next_day(
    home: Path,
    *,
    seed: int = 7,
    scale: float = 1.0,
    faults: Iterable[str] = (),
    business: bool = True,
    served: bool = False,
) -> dict[str, Any]:
    """Let a day pass: write its files to `home/drop`, then move the clock.

    The clock is moved last, so a day whose writing was interrupted is written again, with the same bytes.

    Args:
        business: whether the company also has customers (see `Company`).
        served: whether its platforms are read through their APIs.

    Returns:
        {day, as_of (ISO, UTC), files}

    Raises:
        UsageError: the installation's company is another one, or a fault is unknown.
    """
    clock = home / "sandbox.json"
    wanted: dict[str, Any] = {"seed": seed, "scale": scale}
    wanted |= {name: True for name, has in (("business", business), ("served", served)) if has}
    state = json.loads(clock.read_text(encoding="utf-8")) if clock.exists() else wanted | {"day": 0}
    if {name: state[name] for name in state if name != "day"} != wanted:
        kind = "with" if state.get("business") else "without"
        way = "through APIs" if state.get("served") else "as files"
        raise UsageError(
            f"This installation's company has seed {state['seed']} and scale {state['scale']}, {kind} a business, {way}.",
            where=str(clock),
            do="Use another ONEFUNNEL_HOME for another company.",
        )
    company = Company(seed=seed, scale=scale, business=business, served=served)
    day = int(state["day"]) + 1
    try:
        files = company.write_day(day, home / "drop", faults)
    except ValueError as error:
        raise UsageError(str(error)) from None
    home.mkdir(parents=True, exist_ok=True)
    partial = clock.with_suffix(".partial")
    partial.write_text(json.dumps({**state, "day": day}), encoding="utf-8")
    partial.rename(clock)
    as_of: dt.datetime = company.as_of(day)
    return {"day": day, "as_of": as_of.strftime("%Y-%m-%dT%H:%M:%SZ"), "files": [str(f) for f in files]}
