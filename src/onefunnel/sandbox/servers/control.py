"""What all servers of the sandbox have beside the vendor's paths: the company's clock, and the hand that moves it.

| request | what it does |
|---|---|
| `GET /_sandbox/day` | `{"day": 1, "as_of": "2026-04-01T06:00:00Z"}` |
| `POST /_sandbox/day` with `{"day": 2}` | lets the company be at the end of that day |
| `POST /_sandbox/faults` | see `faults` |

Every answer's Date header says the company's clock: 06:00 UTC of the morning on which the files of the day are complete.
What a server shows ends, as the files do, with the midnight before. So on the next day records appear whose time of
change lies before the clock of the day before, as late ones do in life: a reader that goes on from the greatest time it
has seen misses none, one that goes on from the server's clock does.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers.faults import Faults


class DayOrder(BaseModel):
    """Where the clock is put."""

    model_config = ConfigDict(extra="forbid")

    day: int = Field(ge=1)


@dataclass
class Clock:
    """The day that a server stands at.

    Attributes:
        moved: what else happens when the clock moves.
    """

    company: Company
    day: int
    moved: list[Callable[[], None]] = field(default_factory=list)

    @property
    def now(self) -> dt.datetime:
        """The company's time."""
        return self.company.as_of(self.day)

    def move(self, day: int) -> None:
        """Be at the end of a day.

        Raises:
            ValueError: there is no such day, or what moves along refuses it.
        """
        self.company.as_of(day)  # raises ValueError for a day that cannot be
        before, self.day = self.day, day
        try:
            for act in self.moved:
                act()
        except ValueError:
            self.day = before
            raise

    def describe(self) -> dict[str, Any]:
        """{day, as_of}"""
        return {"day": self.day, "as_of": f"{self.now:%Y-%m-%dT%H:%M:%SZ}"}


class _DateHeader:
    """Writes the company's clock into each answer."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self.app, self.clock = app, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a Date."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["date"] = format_datetime(self.clock.now, usegmt=True)
            await send(message)

        await self.app(scope, receive, dated if scope["type"] == "http" else send)


def new_app(title: str, clock: Clock, bodies: Mapping[int, Any] | None = None) -> FastAPI:
    """An application with the control paths, the Date header and scripted faults.

    Args:
        bodies: by status, how the vendor words an error that a scripted fault makes.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Faults, now=lambda: clock.now, bodies=bodies)
    app.add_middleware(_DateHeader, clock=clock)

    @app.get("/_sandbox/day")
    async def day() -> dict[str, Any]:
        return clock.describe()

    @app.post("/_sandbox/day")
    async def move(order: DayOrder) -> dict[str, Any]:
        try:
            clock.move(order.day)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return clock.describe()

    return app
