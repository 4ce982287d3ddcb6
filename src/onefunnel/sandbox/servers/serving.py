"""An application on a free port of 127.0.0.1, for tests and the demo."""

from __future__ import annotations

import importlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from onefunnel.sandbox.company import Company

_STARTS_WITHIN_SECONDS = 30.0
_STOPS_WITHIN_SECONDS = 10.0
_LOOKS_EVERY_SECONDS = 1.0


VENDORS = ("salesforce", "hubspot", "google_ads", "meta_ads", "linkedin_ads", "microsoft_ads")


@contextmanager
def serve_all(company: Company, day: int, vendors: Sequence[str] = VENDORS) -> Iterator[dict[str, str]]:
    """Serve a company as each of its vendors does while the block runs; yields vendor -> base URL."""
    with ExitStack() as stack:
        yield {
            vendor: stack.enter_context(serve(_module(vendor).make_app(company, day)))
            for vendor in VENDORS
            if vendor in vendors
        }


@contextmanager
def following(bases: Mapping[str, str], day: int, today: Callable[[], int]) -> Iterator[None]:
    """While the block runs, servers that stand at `day` move on with what `today` says, a second or two later.

    What fails, be it a day that cannot be read or a server that refuses it, is tried again. A day that has not changed is not
    said again: a server whose clock is set forgets its jobs.
    """
    over = threading.Event()
    stands_at = dict.fromkeys(bases, day)

    def follow() -> None:
        while not over.wait(_LOOKS_EVERY_SECONDS):
            for vendor, stood in stands_at.items():
                with suppress(Exception):
                    if (now := today()) != stood:
                        order = {"day": now}
                        httpx.post(f"{bases[vendor]}/_sandbox/day", json=order, timeout=60).raise_for_status()
                        stands_at[vendor] = now

    thread = threading.Thread(target=follow, name="sandbox-clock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_STOPS_WITHIN_SECONDS)


def connection(vendor: str, base: str) -> str:
    """The Airflow connection with which a client reaches a vendor's server at `base`, as JSON."""
    return json.dumps(_module(vendor).connection(base))


def _module(vendor: str) -> Any:
    return importlib.import_module(f"onefunnel.sandbox.servers.{vendor}")


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Serve an application while the block runs; yields its base URL, `http://127.0.0.1:<port>`.

    The application itself writes the Date header: it says the company's clock.

    Raises:
        RuntimeError: the server did not start.
    """
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="critical",
        access_log=False,
        date_header=False,
        server_header=False,
        lifespan="off",
        # Both in pure Python: `faults` needs a real socket below the transport to reset a connection.
        loop="asyncio",
        http="h11",
        timeout_graceful_shutdown=1,
        # Longer than clients sleep between two looks at a job: simple-salesforce's five seconds met uvicorn's five.
        timeout_keep_alive=75,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="sandbox-server", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the sandbox's server did not start on 127.0.0.1")
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(_STOPS_WITHIN_SECONDS)
