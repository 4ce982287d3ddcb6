"""A server that is faster than its clients: answers made beforehand, or from one page by replacing ids in it.

    python -m benchmarks.answers google_ads --records 2000000
    python -m benchmarks.answers salesforce --records 2000000
    python -m benchmarks.answers <file that `record` wrote> [--bytes-per-second N --seconds-per-answer N]

It prints its address and serves until it is stopped. It knows of HTTP/1.1 what httpx sends: whole requests with a length.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PROJECT = Path(__file__).resolve().parents[1]
BASE = b"http://the.server"  # stands in what was recorded for the address of the server


@dataclass(frozen=True)
class Answer:
    """A body, its type and further headers."""

    body: bytes
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200


Answering = Callable[[str, str, bytes], Answer]  # of method, target and body of a request


def answer(content: object, **headers: str) -> Answer:
    """An answer of JSON."""
    return Answer(json.dumps(content).encode(), headers=tuple(headers.items()))


# -- many records -----------------------------------------------------------------------------------------------------


def google_ads(records: int, *, campaigns: int = 500, days: int = 100) -> Answering:
    """Accounts that have `campaigns` campaigns on each of `days` days, as many accounts as `records` need."""
    accounts = [str(1_000_000_000 + n) for n in range(max(1, records // (campaigns * days)))]

    @cache
    def page(first: str, last: str, by_campaign: bool) -> bytes:
        """The figures of the account 0000000000."""
        since = dt.date.fromisoformat(first)
        rows = []
        for n in range((dt.date.fromisoformat(last) - since).days + 1):
            day = str(since + dt.timedelta(days=n))
            for campaign in range(campaigns if by_campaign else 1):
                times = 1 if by_campaign else campaigns
                figures = {
                    "clicks": str(3 * times),
                    "costMicros": str(12_340_000 * times),
                    "impressions": str(100 * times),
                    "conversions": 0.5,
                    "conversionsValue": 12.25,
                }
                of = {"resourceName": f"customers/0000000000/campaigns/{campaign}", "id": f"90000{campaign:05d}"}
                more = {"campaign": {**of, "advertisingChannelType": "SEARCH"}} if by_campaign else {}
                customer = {"resourceName": "customers/0000000000", "id": "0000000000", "currencyCode": "EUR"}
                rows.append({"customer": customer, **more, "metrics": figures, "segments": {"date": day}})
        return json.dumps([{"results": rows, "fieldMask": "metrics.clicks", "requestId": "r"}]).encode()

    def said(method: str, target: str, body: bytes) -> Answer:
        if target.endswith("/token"):
            return answer({"access_token": "a", "expires_in": 3600, "token_type": "Bearer"})
        query = json.loads(body)["query"]
        if "FROM customer_client" in query:
            clients = [
                {"customerClient": {"id": a, "descriptiveName": a, "currencyCode": "EUR", "timeZone": "Europe/Berlin"}}
                for a in accounts
            ]
            return answer([{"results": clients}])
        if "FROM conversion_action" in query:
            return answer([{"results": []}])
        found = re.search(r"BETWEEN '([0-9-]+)' AND '([0-9-]+)'", query)
        account = re.search(r"/customers/([0-9]+)/", target)
        assert found and account, query
        return Answer(page(found[1], found[2], "FROM campaign" in query).replace(b"0000000000", account[1].encode()))

    return said


LEAD = {
    "Id": "id", "MasterRecordId": "reference", "Name": "string", "Company": "string", "Email": "email",
    "Country": "string", "LeadSource": "picklist", "Status": "picklist", "OwnerId": "reference",
    "IsConverted": "boolean", "ConvertedDate": "date", "ConvertedAccountId": "reference",
    "ConvertedContactId": "reference", "ConvertedOpportunityId": "reference", "CreatedDate": "datetime",
    "SystemModstamp": "datetime", "IsDeleted": "boolean",
}  # fmt: skip


def salesforce(records: int, *, page_rows: int = 100_000) -> Answering:
    """An organisation with so many leads, by the Bulk API."""

    shown = {
        "Id": '"00Q{n:012d}AAA"',
        "Name": '"Lead Number{n}"',
        "Company": '"Company {firm}"',
        "Email": '"lead.{n}@company{firm}.example"',
        "Country": '"Germany"',
        "LeadSource": '"Web"',
        "Status": '"Open - Not Contacted"',
        "OwnerId": '"005{owner:012d}AAA"',
        "IsConverted": '"false"',
        "CreatedDate": '"2026-01-{day:02d}T09:30:00.000Z"',
        "SystemModstamp": '"2026-03-{day:02d}T09:30:00.000Z"',
        "IsDeleted": '"false"',
    }
    fields: list[str] = []

    @cache
    def rows(first: int, last: int) -> bytes:
        line = ",".join(shown.get(name, '""') for name in fields).format
        lines = [line(n=n, firm=n % 50_000, owner=n % 300, day=n % 28 + 1) for n in range(first, last)]
        return "\n".join([",".join(f'"{name}"' for name in fields), *lines, ""]).encode()

    def said(method: str, target: str, body: bytes) -> Answer:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.endswith("/token"):
            return answer({"access_token": "a", "instance_url": BASE.decode(), "token_type": "Bearer"})
        if parts.path.endswith("/describe"):
            listed = [{"name": name, "type": kind, "calculated": False} for name, kind in LEAD.items()]
            return answer({"fields": listed})
        if parts.path.endswith("/queryAll"):
            if "COUNT()" in query["q"]:
                return answer({"totalSize": records, "done": True, "records": []})
            return answer({"totalSize": 1, "done": True, "records": [{"total": records, "IsoCode": "EUR"}]})
        if method == "POST":
            asked = re.search("SELECT (.*) FROM", json.loads(body)["query"])
            assert asked
            fields[:] = asked[1].split(", ")
            return answer({"id": "750000000000001AAA", "state": "UploadComplete"})
        if not parts.path.endswith("/results"):
            return answer({"state": "JobComplete", "numberRecordsProcessed": records})
        first = int(query.get("locator", 0))
        last = min(records, first + page_rows)
        headers = (("Sforce-Locator", str(last) if last < records else "null"),)
        return Answer(rows(first, last), "text/csv", headers)

    return said


# -- what was recorded ------------------------------------------------------------------------------------------------


def recorded(file: Path) -> Answering:
    """Answers by request; the last one where a request was answered in several ways (a job that is done)."""
    answers: dict[tuple[str, str, bytes], Answer] = pickle.loads(file.read_bytes())
    return lambda method, target, body: answers[method, target, body]


class _Connection(asyncio.Protocol):
    """One connection: requests in, answers out, one after the other."""

    def __init__(self, said: Answering, pace: tuple[float, float], journal: list[list[str]]) -> None:
        self.said, self.pace, self.journal, self.buffer = said, pace, journal, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].decode("latin-1")
        found = re.search(r"(?im)^content-length: *([0-9]+)", head)
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(self.buffer) < whole:
            return
        method, target, _ = head.partition("\r\n")[0].split(" ")
        body = bytes(self.buffer[end + 4 : whole])
        del self.buffer[:whole]
        host, port = self.transport.get_extra_info("sockname")
        here = f"http://{host}:{port}".encode()
        kind = re.search(r"(?im)^content-type: *(.*?)\r?$", head)
        if target == "/_pid":
            said = answer(os.getpid())
        elif target == "/_journal":
            said = answer(self.journal)
        else:
            self.journal.append([method, target, body.decode(), kind[1] if kind else ""])
            said = self.said(method, target, body.replace(here, BASE))
        content = said.body.replace(BASE, here) if BASE in said.body[:4096] or BASE in said.body[-4096:] else said.body
        more = "".join(f"{name}: {value}\r\n" for name, value in said.headers)
        status = (
            f"HTTP/1.1 {said.status} X\r\nContent-Type: {said.kind}\r\nContent-Length: {len(content)}\r\n{more}\r\n"
        )
        wait = self.pace[0] + len(content) / self.pace[1]
        if wait > 0.001:
            asyncio.get_running_loop().call_later(wait, self._write, status.encode(), content)
        else:
            self._write(status.encode(), content)

    def _write(self, *parts: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.writelines(parts)


async def _serve(said: Answering, pace: tuple[float, float]) -> None:
    journal: list[list[str]] = []  # what was asked: method, target, body and its type
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(said, pace, journal), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """This server as a process of its own while the block runs; yields its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.answers", *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what")
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--bytes-per-second", type=float, default=float("inf"))
    parser.add_argument("--seconds-per-answer", type=float, default=0.0)
    given = parser.parse_args()
    many = {"google_ads": google_ads, "salesforce": salesforce}.get(given.what)
    said = many(given.records) if many else recorded(Path(given.what))
    asyncio.run(_serve(said, (given.seconds_per_answer, given.bytes_per_second)))


if __name__ == "__main__":
    main()
