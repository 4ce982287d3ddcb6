"""The sandbox's HubSpot portal and the hand that steers it: what the tests of the connector share."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.crm_records import CrmState
from onefunnel.sandbox.servers.hubspot import connection, make_app
from onefunnel.sandbox.servers.hubspot_objects import Portal
from onefunnel.settings import Stream, load_settings
from onefunnel.sources import hubspot
from onefunnel.sources.base import Asked, Fetched
from onefunnel.sources.connections import Connection
from onefunnel.sources.connections import connection as connection_of
from onefunnel.sources.inbox import RECORDS, Inbox, fetched

COMPANY = Company(seed=3, scale=0.15, business=True)
HTTP = httpx.Client()  # the hand that steers the server
WEDNESDAY = COMPANY.as_of(1)
SINCE = dt.date(2024, 4, 1)
CELLS = {
    "users": {"user_id": "id"},
    "accounts": {"account_id": "id"},
    "contacts": {"contact_id": "id"},
    "leads": {"lead_id": "id"},
    "lead_changes": {"change_id": "change_id"},
    "opportunities": {"opportunity_id": "id"},
    "opportunity_changes": {"change_id": "change_id"},
    "opportunity_contacts": {"opportunity_id": "deal_id", "contact_id": "contact_id"},
    "opportunity_splits": {"opportunity_id": "deal_id", "user_id": "owner_id", "split_type": "split_type"},
    "opportunity_lines": {"line_id": "id"},
    "products": {"product_id": "id"},
    "activities": {"activity_id": "id"},
    "email_touches": {"touch_id": "touch_id"},
    "event_touches": {"touch_id": "touch_id"},
    "email_sendings": {"crm_campaign_id": "id"},
    "marketing_events": {"crm_campaign_id": "event_id"},
}
ROOT = Path(__file__).parents[2]
Row = dict[str, Any]
First = Callable[[str], tuple[list[Row], Fetched | None]]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve(make_app(COMPANY, day=1)) as base:
        yield base


@pytest.fixture
def url(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server on day 1, without faults; what a test changes is changed back."""
    monkeypatch.setattr(hubspot, "SEARCH_EVERY_SECONDS", 0.0)
    settings = HTTP.get(f"{server}/_sandbox/settings").json()
    yield server
    post(server, "settings", **settings)
    if HTTP.get(f"{server}/_sandbox/day").json()["day"] != 1:
        post(server, "day", day=1)
    post(server, "hold_back")
    forget(server)


@pytest.fixture(scope="module")
def first_load(server: str, tmp_path_factory: pytest.TempPathFactory) -> First:
    """What the first load of a stream brings on the first day; each is read once."""
    return lru_cache(lambda stream: fetch(server, tmp_path_factory.mktemp(stream), ask(stream)))


@lru_cache
def portal(day: int, company: Company = COMPANY) -> Portal:
    """The truth at the end of a day."""
    return Portal(CrmState(company, day))


def post(url: str, what: str, /, **order: Any) -> None:
    HTTP.post(f"{url}/_sandbox/{what}", json=order).raise_for_status()


def faults(url: str, *script: Row) -> None:
    post(url, "faults", faults=[*script])


def journal(url: str) -> list[Row]:
    """The requests since it was cleared."""
    found: list[Row] = HTTP.get(f"{url}/_sandbox/faults").json()["requests"]
    return found


def forget(url: str) -> None:
    """Clear journal and faults."""
    HTTP.delete(f"{url}/_sandbox/faults").raise_for_status()


def get(url: str, path: str, **query: str) -> httpx.Response:
    """An answer of the API, as any client gets it."""
    return HTTP.get(f"{url}{path}", params=query, headers={"Authorization": f"Bearer {connection(url)['password']}"})


def properties(url: str, of: str, change: dict[str, str | None]) -> Row:
    """The answer with the properties of an object, some of them of another type or not there."""
    path = f"/crm/v3/properties/{of}"
    left = [{**p, "type": change.get(p["name"], p["type"])} for p in get(url, path).json()["results"]]
    return {"kind": "error_200", "path": path, "times": None, "body": {"results": [p for p in left if p["type"]]}}


def merged_into(left: str, one: str) -> dict[str, str]:
    """Rewrites the answer about a record: it was merged into another one just now."""
    nobody = '"hs_merged_object_ids":null'
    return {f'"id":"{one}"': f'"id":"{left}"', nobody: nobody.replace("null", f'"{one}"')}


def declared_streams(folder: Path, events: str = "{}") -> dict[str, Stream]:
    """The streams of an installation; what it says itself is about event touches and the events."""
    (folder / "pipeline.yml").write_text(
        "{version: 1, company: Test, schedule: null, as_of: now, reporting: {currency: EUR, time_zone: UTC},"
        " retention: {versions: 2, min_age_minutes: 60}, sources: {hub: {connector: hubspot, since: 2024-04-01, owner: sales,"
        f" without: [], streams: {{event_touches: {events}, marketing_events: {events}}}}}}}}}",
        encoding="utf-8",
    )
    return load_settings(folder / "pipeline.yml", ROOT / "dbt_project").sources["hub"].streams


def given(url: str, extra: dict[str, str] | None = None, **said: str) -> Connection:
    """The connection as a step gets it: in the environment, as Airflow writes it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_PORTAL", json.dumps({**connection(url), **said, "extra": extra or {}}))
        return connection_of("portal")


def ask(stream: str, as_of: dt.datetime = WEDNESDAY, last: dt.datetime | None = None, **more: Any) -> Asked:
    given = {"before": {}, "since": SINCE, "accounts": (), "dates": None, "known": None}
    return Asked("crm", stream, "portal", as_of, last, **{**given, **more})


def fetch(
    url: str, folder: Path, asked: Asked, extra: dict[str, str] | None = None
) -> tuple[list[Row], Fetched | None]:
    """The records of a delivery, and what stands beside them; None: there was no news."""
    connector = hubspot.connect("source crm", given(url, extra), ())
    connector.fetch(asked, Inbox(folder, asked, CELLS[asked.stream]))
    connector.close()
    found = [*(folder / asked.stream).glob(f"*{RECORDS}")]
    return (pq.read_table(found[0]).to_pylist(), fetched(found[0])) if found else ([], None)


@dataclass
class Landed:
    """What a stream's deliveries have left, as the landing keeps it: by cell, the records of the last load that covers it."""

    url: str
    folder: Path
    stream: str
    records: dict[tuple[str, ...], Row] = field(default_factory=dict)
    hashes: dict[tuple[str, ...], str] = field(default_factory=dict)
    last: dt.datetime | None = None
    before: Row = field(default_factory=dict)
    counted: int = 0

    def fetch(self, as_of: dt.datetime, **more: Any) -> list[Row]:
        """One fetch; returns what it brought."""
        names = [*CELLS[self.stream]]
        known = None
        if self.hashes:
            rows = [{**dict(zip(names, c, strict=True)), "content_hash": h} for c, h in self.hashes.items()]
            known = pa.Table.from_pylist(rows)
        asked = ask(self.stream, as_of, self.last, before=self.before, known=known, **more)
        rows, beside = fetch(self.url, self.folder, asked)
        if beside is None:
            return []
        for cell in beside.cells.to_pylist():
            key = tuple(cell[name] for name in names)
            self.hashes[key] = cell["content_hash"]
            self.records.pop(key, None)
        for row in rows:
            key = tuple(row[name] for name in CELLS[self.stream].values())
            assert key not in self.records, "twice"
            self.records[key] = row
        self.counted = sum(int(total["value"]) for total in beside.totals.to_pylist())
        self.last, self.before = as_of, beside.about
        return rows

    @property
    def all(self) -> list[Row]:
        """The records in the order of their cells."""
        return [self.records[key] for key in sorted(self.records)]


def by_id(rows: list[Row], name: str = "id") -> dict[str, Row]:
    found = {row[name]: row for row in rows}
    assert len(found) == len(rows), "twice"
    return found


def moment(second: Any) -> str | None:
    return f"{dt.datetime.fromtimestamp(second, dt.UTC):%Y-%m-%dT%H:%M:%SZ}" if isinstance(second, int) else None
