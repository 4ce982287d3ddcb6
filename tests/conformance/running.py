"""A platform of the conformance suite with its servers running, and a small landing behind its connector."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from platforms import CANARY, COMPANY, SINCE, Platform

from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError
from onefunnel.sandbox.servers import serve
from onefunnel.settings import read_yaml
from onefunnel.sources.base import Asked, Fetched
from onefunnel.sources.connections import Connection
from onefunnel.sources.connections import connection as connection_of
from onefunnel.sources.inbox import RECORDS, Inbox, fetched

Row = dict[str, Any]
SOURCE = "crm_or_ads"
HTTP = httpx.Client()
EXIT_CODES = {ConfigError: 2, EnvironmentNotReady: 3}


class Running:
    """One platform: its servers, each begun once, and the fetches that the cases compare with each other."""

    def __init__(self, platform: Platform, folder: Path, stack: ExitStack) -> None:
        self.platform, self.folder, self._stack = platform, folder, stack
        self.accounts = platform.accounts
        self._urls: dict[int, str] = {}
        self._usual: list[Row] = []
        self._landed: dict[str, Landed] = {}
        self._whole: dict[tuple[str, int], list[Row]] = {}
        self.declared = read_yaml(Path(str(platform.connector.__file__)).with_suffix(".yml"))["streams"]
        self.url = self.at(1)

    # -- the server ------------------------------------------------------------------------------------------------

    def at(self, day: int) -> str:
        """The server that stands at the end of a day; of a day below 0 another one that a case may change."""
        if day not in self._urls:
            app = self.platform.server.make_app(COMPANY, abs(day))
            self._urls[day] = self._stack.enter_context(serve(app))
        return self._urls[day]

    def hand(self, path: str, body: Any, url: str = "") -> None:
        """Steer the server."""
        HTTP.post(f"{url or self.url}/_sandbox/{path}", json=dict(body)).raise_for_status()

    def spoil(self, *faults: Mapping[str, Any]) -> None:
        """Script faults, where they do not say otherwise at the answers that hold the bulk's records."""
        self.hand("faults", {"faults": [{**self.platform.page, **fault} for fault in faults]})

    def journal(self) -> list[Row]:
        """The requests since the last `clean`."""
        return list(HTTP.get(f"{self.url}/_sandbox/faults").json()["requests"])

    def pages(self) -> list[Row]:
        """Those of them that were for the bulk's records."""
        at = self.platform.page
        return [
            r for r in self.journal() if r["path"].startswith(at["path"]) and at.get("method") in (None, r["method"])
        ]

    def clean(self) -> None:
        """No faults, no journal."""
        HTTP.delete(f"{self.url}/_sandbox/faults").raise_for_status()

    # -- the connector -----------------------------------------------------------------------------------------------

    def given(self, url: str = "", **changed: Any) -> Connection:
        """The connection as a step gets it: in the environment, as Airflow writes it."""
        server, url = self.platform.server, url or self.url
        said = server.connection(url)
        extra = dict(said.get("extra") or {})
        if self.platform.name == "hubspot":  # an app that is signed in, so that there is a token to renew
            said |= {"login": server.CLIENT_ID, "password": server.CLIENT_SECRET}
            extra = {"refresh_token": server.REFRESH_TOKEN, "token_url": f"{url}/oauth/v1/token"}
        for name, value in changed.items():
            (said if name in said and name != "extra" else extra)[name] = value
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AIRFLOW_CONN_SUITE", json.dumps({**said, "extra": extra}))
            return connection_of("suite")

    def connect(self, url: str = "", **changed: Any) -> Any:
        """The connector."""
        given = self.given(url, **changed)
        return self.platform.connector.connect(f"source {SOURCE}", given, self.accounts)

    def cell(self, stream: str) -> dict[str, str]:
        """The contract's columns of a stream's cell, each with its name in the records."""
        said = self.declared[stream]
        names = said["partition"] if said["replaces"] == "partition" else said["key"]
        return {name: str(said["columns"][name]["from"]) for name in names}

    def asked(self, stream: str, as_of: dt.datetime | None = None, **more: Any) -> Asked:
        """What a run asks for; by default the first load."""
        since = dt.date(2020, 1, 1) if self.platform.is_crm else SINCE
        given = {"last": None, "before": {}, "since": since, "dates": None, "known": None, **more}
        return Asked(SOURCE, stream, "suite", as_of or COMPANY.as_of(1), accounts=self.accounts, **given)

    def fetch(
        self, asked: Asked, url: str = "", connector: Any = None, **changed: Any
    ) -> tuple[list[Row], Fetched | None]:
        """The records of a delivery and what stands beside them; none where there was no news."""
        folder = self.folder / "inbox"
        shutil.rmtree(folder, ignore_errors=True)
        ours = connector or self.connect(url, **changed)
        try:
            ours.fetch(asked, Inbox(folder, asked, self.cell(asked.stream)))
        finally:
            if connector is None:
                ours.close()
        found = [*folder.glob(f"*/*{RECORDS}")]
        return (pq.read_table(found[0]).to_pylist(), fetched(found[0])) if found else ([], None)

    def load(self, stream: str = "", **changed: Any) -> list[Row]:
        """The records of a first load, in one order."""
        rows, _ = self.fetch(self.asked(stream or self.platform.bulk), **changed)
        return ordered(rows)

    def usual(self) -> list[Row]:
        """The requests of a load of the bulk by tiny pages that nothing disturbs."""
        if not self._usual:
            self.clean()
            self.load()
            self._usual = self.journal()
        return self._usual

    def whole(self, stream: str = "", day: int = 1) -> list[Row]:
        """What a first load brings that nothing disturbs, with pages as large as they are in life."""
        stream = stream or self.platform.bulk
        if (stream, day) not in self._whole:
            rows, _ = self.fetch(self.asked(stream, COMPANY.as_of(day)), url=self.at(day))
            assert rows, "there is something to lose"
            self._whole[stream, day] = ordered(rows)
        return self._whole[stream, day]

    def landed(self, stream: str) -> Landed:
        """What a first load that nothing disturbs has left, to go on from."""
        if stream not in self._landed:
            self._landed[stream] = Landed(self, stream)
            self._landed[stream].fetch(COMPANY.as_of(1))
        first = self._landed[stream]
        return replace(first, **{n: dict(getattr(first, n)) for n in ("records", "hashes", "totals", "before")})

    # -- what is expected ----------------------------------------------------------------------------------------------

    def told(self, error: BaseException, kind: type[OnefunnelError], says: str, stream: str = "") -> None:
        """Hold an error against what a user must learn of it: where, what to do, which exit code; and no more than that."""
        text = str(error)
        assert isinstance(error, kind), repr(error)
        assert re.search(says, text), text
        assert f"source {SOURCE}" in text
        assert f"stream {stream or self.platform.bulk}" in text or "token endpoint" in text, text
        assert error.do and error.exit_code == EXIT_CODES.get(kind, 1)
        self.keeps_secrets(text)
        assert not [*(self.folder / "inbox").glob(f"*/*{RECORDS}")], "nothing is delivered"

    def keeps_secrets(self, text: str) -> None:
        """Neither a secret nor anybody's address is in a text."""
        given = self.given()
        values = {
            given.password,
            *(value for name, value in given.extra.items() if "token" in name or "secret" in name),
        }
        for value in (*(v for v in values if v and not v.startswith("http")), CANARY, "s3cr3t", "Bearer "):
            assert value not in text, f"it says {value}"

    def recovers(self) -> None:
        """The cause is gone: one plain fetch brings what one brings that never failed."""
        self.clean()
        assert self.load() == self.whole()


@dataclass
class Landed:
    """What the deliveries of a stream have left, as the landing keeps it."""

    running: Running
    stream: str
    records: dict[tuple[str, ...], list[Row]] = field(default_factory=dict)
    hashes: dict[tuple[str, ...], str] = field(default_factory=dict)
    totals: dict[tuple[str, str, str], str] = field(default_factory=dict)
    last: dt.datetime | None = None
    before: dict[str, Any] = field(default_factory=dict)

    def fetch(self, as_of: dt.datetime, url: str = "", connector: Any = None, **more: Any) -> list[Row]:
        """One fetch, accepted; returns what it brought."""
        cell = self.running.cell(self.stream)
        known = None
        if self.hashes:
            rows = [{**dict(zip(cell, key, strict=True)), "content_hash": h} for key, h in self.hashes.items()]
            known = pa.Table.from_pylist(rows)
        asked = self.running.asked(
            self.stream, as_of, **{"last": self.last, "before": self.before, "known": known, **more}
        )
        found, beside = self.running.fetch(asked, url, connector)
        if beside is None:
            return []
        for row in beside.cells.to_pylist():
            key = tuple(row[name] for name in cell)
            self.hashes[key] = row["content_hash"]
            self.records.pop(key, None)
        for row in found:
            self.records.setdefault(tuple(row[name] for name in cell.values()), []).append(row)
        # Of each the newest, as `metadata.source_totals` has it.
        self.totals |= {(t["part"], t["day"], t["measure"]): t["value"] for t in beside.totals.to_pylist()}
        self.last, self.before = as_of, beside.about
        return found

    def summed(self, measures: tuple[str, ...]) -> dict[tuple[str, str, str], Decimal]:
        """What the records of each account-day that is over add up to, in the units of the control totals."""
        columns = self.running.declared[self.stream]["columns"]
        sums: dict[tuple[str, str, str], Decimal] = {}
        for account, day in self.hashes:
            for measure in measures if self.last and day < str(self.last.date()) else ():
                values = [Decimal(row[columns[measure]["from"]]) for row in self.records.get((account, day), ())]
                sums[account, day, measure] = sum(values, Decimal()).scaleb(-6 * ("unit" in columns[measure]))
        return sums

    @property
    def rows(self) -> list[Row]:
        """All records, in one order."""
        return ordered([row for rows in self.records.values() for row in rows])


def ordered(rows: list[Row]) -> list[Row]:
    """The same records in one order."""
    return sorted(rows, key=repr)
