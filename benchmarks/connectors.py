"""Connectors against a bare client: how long the same answers take to be fetched, and to be downloaded and thrown away.

What a connector asks its vendor in the first fetch of one large stream is recorded once, from the sandbox's servers (those
of Google Ads and of Salesforce are made on the spot, `answers`). Then a process of its own answers again, from memory: once
as fast as it can, and once like a vendor that is far away (`FAR`). In turn, `RUNS` times:

* bare: an httpx client that sends the same requests, as many at a time as the connector does, and throws the bodies away; a
  page that is named by the one before it comes after it
* connector: `fetch` of the stream, to the delivered Parquet

The ratio is bare / connector, of the medians: 1 is a connector that costs nothing beside the network.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import os
import pickle
import statistics
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import httpx
import yaml
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.answers import BASE, PROJECT, Answer, running
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import connection, serve
from onefunnel.sources.base import Asked
from onefunnel.sources.connections import connection as connection_of
from onefunnel.sources.inbox import Inbox

RECORDS = 300_000
FAR = ("--seconds-per-answer", "0.1", "--bytes-per-second", "12500000")  # of each connection: 100 Mbit/s
# Vendor: stream, size of the company (None: made on the spot), days of figures, how many requests the connector has under way.
MEASURED: dict[str, tuple[str, float | None, int, int]] = {
    "google_ads": ("performance_daily", None, 100, 4),
    "meta_ads": ("performance_daily", 40.0, 60, 4),
    "linkedin_ads": ("performance_daily", 20.0, 730, 4),
    "microsoft_ads": ("performance_daily", 8.0, 1_060, 4),
    "salesforce": ("leads", None, 0, 1),
    "hubspot": ("contacts", 3.0, 0, 1),
}
CURSORS = ("after=", "locator=", "pageToken=")  # in the address of a page that another one named
Request = tuple[str, str, bytes, str]  # method, target, body, its type


class Recorder:
    """An application whose answers are kept: of each request the last one, so that a job is done when it is looked at."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.requests, self.answers = app, dict[Request, None](), dict[tuple[str, str, bytes], Answer]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        asked, body, said = bytearray(), bytearray(), dict[str, Any]()

        async def received() -> Message:
            message = await receive()
            asked.extend(message.get("body", b""))
            return message

        async def sent(message: Message) -> None:
            said.update(message)
            body.extend(message.get("body", b"") if message["type"] == "http.response.body" else b"")
            await send(message)

        await self.app(scope, received, sent)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        here = f"http://{headers['host']}".encode()
        target = scope["raw_path"].decode() + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        key = (scope["method"], target, bytes(asked).replace(here, BASE))
        told = {name.decode().lower(): value.decode() for name, value in said["headers"]}
        kind = told.pop("content-type", "text/plain")
        kept = tuple((n, v) for n, v in told.items() if n not in ("content-length", "transfer-encoding", "connection"))
        self.answers[key] = Answer(bytes(body).replace(here, BASE), kind, kept, said["status"])
        self.requests[(*key, headers.get("content-type", ""))] = None


@cache
def _cell(vendor: str, stream: str) -> dict[str, str]:
    """What names a cell of a stream, by its declaration, which a run reads once for all streams."""
    declared = yaml.safe_load((PROJECT / f"src/onefunnel/sources/{vendor}.yml").read_text())["streams"][stream]
    names = declared["partition"] if declared["replaces"] == "partition" else declared["key"]
    return {name: declared["columns"][name]["from"] for name in names}


def _fetch(vendor: str, stream: str, base: str, as_of: dt.datetime, since: dt.date) -> None:
    os.environ["AIRFLOW_CONN_MEASURED"] = connection(vendor, base)
    module = importlib.import_module(f"onefunnel.sources.{vendor}")
    asked = Asked(vendor, stream, "measured", as_of, None, {}, since, (), None, None)
    connector = module.connect(vendor, connection_of("measured"), ())
    try:
        with tempfile.TemporaryDirectory(prefix="onefunnel-bench-") as folder:
            connector.fetch(asked, Inbox(Path(folder), asked, _cell(vendor, stream)))
    finally:
        connector.close()


def _download(base: str, requests: list[Request], at_once: int) -> tuple[int, float]:
    """Send requests and throw the answers away; returns the bytes that came, and the seconds it took."""
    began = perf_counter()

    with httpx.Client(timeout=60, trust_env=False, headers={"Accept-Encoding": "gzip"}) as client:

        def one(request: Request) -> int:
            method, target, body, kind = request
            content = body.replace(BASE, base.encode())
            with client.stream(method, base + target, content=content, headers={"Content-Type": kind}) as response:
                return sum(map(len, response.iter_bytes()))

        with ThreadPoolExecutor(at_once) as pool:
            size = sum(pool.map(lambda chain: sum(map(one, chain)), _chains(requests)))
    return size, perf_counter() - began


def _chains(requests: list[Request]) -> list[list[Request]]:
    """Requests of which each names the next one; most are alone."""
    paged = {target.partition("?")[0] for _, target, _, _ in requests if any(name in target for name in CURSORS)}
    chains: dict[object, list[Request]] = {}
    for request in requests:
        path = request[1].partition("?")[0]
        chains.setdefault(path if path in paged else request, []).append(request)
    return list(chains.values())


@contextmanager
def _recorded(
    vendor: str, stream: str, scale: float, days: int
) -> Iterator[tuple[Path, list[Request], dt.datetime, dt.date]]:
    """A file of answers, the requests in their order, and what was asked: the instant and the first day."""
    company = Company(scale=scale, history_days=days or None, business=not days)
    as_of, since = company.as_of(1), company.as_of(1).date() - dt.timedelta(days=days)
    server = Recorder(importlib.import_module(f"onefunnel.sandbox.servers.{vendor}").make_app(company, 1))
    with serve(server) as base:
        _fetch(vendor, stream, base, as_of, since)
    with tempfile.TemporaryDirectory(prefix="onefunnel-bench-") as folder:
        file = Path(folder) / "answers"
        file.write_bytes(pickle.dumps(server.answers))
        yield file, list(server.requests), as_of, since


@contextmanager
def _made(vendor: str, stream: str) -> Iterator[tuple[str, list[Request], dt.datetime, dt.date]]:
    """The same of answers that are made on the spot; the requests are taken down in between."""
    as_of, since = dt.datetime(2026, 4, 10, 6, tzinfo=dt.UTC), dt.date(2026, 1, 1)
    with running(vendor, "--records", str(RECORDS)) as base:
        _fetch(vendor, stream, base, as_of, since)
        journal = json.loads(httpx.get(f"{base}/_journal").text)
    yield vendor, [(m, t, b.encode(), kind) for m, t, b, kind in journal], as_of, since


def _cpu_of(process: int) -> float:
    """CPU seconds of another process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(vendor: str, runs: int) -> list[dict[str, object]]:
    """Rows of one vendor: answered at once, and from far away."""
    stream, scale, days, at_once = MEASURED[vendor]
    rows: list[dict[str, object]] = []
    answered = _made(vendor, stream) if scale is None else _recorded(vendor, stream, scale, days)
    with answered as (what, requests, as_of, since):
        for name, pace in (("at once", ()), ("far away", FAR)):
            more = ("--records", str(RECORDS)) if scale is None else ()
            with running(str(what), *more, *pace) as base:
                pid = int(httpx.get(f"{base}/_pid").text)
                _download(base, requests, at_once)  # what is made on the spot is there from now on
                bare, fetched, cpu, served = [], [], [], []
                for _ in range(runs):
                    size, seconds = _download(base, requests, at_once)
                    bare.append(seconds)
                    began, spent, theirs = perf_counter(), process_time(), _cpu_of(pid)
                    _fetch(vendor, stream, base, as_of, since)
                    fetched.append(perf_counter() - began)
                    cpu.append(process_time() - spent)
                    served.append(_cpu_of(pid) - theirs)
            median = statistics.median
            rows.append(
                {
                    "connector": vendor,
                    "answers": name,
                    "requests": len(requests),
                    "megabytes": round(size / 1e6, 1),
                    "bare_s": round(median(bare), 2),
                    "connector_s": round(median(fetched), 2),
                    "ratio": round(median(bare) / median(fetched), 2),
                    "connector_cpu_s": round(median(cpu), 2),
                    "server_busy": round(median(s / f for s, f in zip(served, fetched, strict=True)), 2),
                }
            )
    return rows
