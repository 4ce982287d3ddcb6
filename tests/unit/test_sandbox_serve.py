"""`onefunnel sandbox serve`: every vendor answers, on loopback alone, and Ctrl-C ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import httpx
import psutil

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import VENDORS, connection, following, serve_all


def test_every_vendor_answers_on_loopback_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "onefunnel", "sandbox", "serve", "--scale", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            said = ""
            while not said.endswith("\n}\n"):
                line = process.stdout.readline() if process.stdout else ""
                assert line, "it ended before it served"
                said += line
            found = json.loads(said)
            assert list(found) == list(VENDORS)
            for vendor, there in found.items():
                today = httpx.get(f"{there['url']}/_sandbox/day").json()
                assert today == {"day": 1, "as_of": "2026-04-01T06:00:00Z"}
                assert there["connection"] == json.loads(connection(vendor, there["url"]))
            listening = [c for c in psutil.Process(process.pid).net_connections("tcp") if c.status == "LISTEN"]
            assert {c.laddr.ip for c in listening} == {"127.0.0.1"} and len(listening) == len(VENDORS)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            finally:
                process.kill()
    assert process.returncode == 0


def test_servers_follow_the_company_s_clock() -> None:
    """Also when it moved before they were looked at, it cannot be read for a while, and another server does not answer."""
    days: list[int | Exception] = [2]

    def today() -> int:
        if isinstance(said := days[-1], Exception):
            raise said
        return said

    def stand_at(bases: dict[str, str], day: int) -> bool:
        return {httpx.get(f"{base}/_sandbox/day").json()["day"] for base in bases.values()} == {day}

    with serve_all(Company(scale=0.05, business=True), 1, ["hubspot", "meta_ads"]) as bases:
        with following({"gone": "http://127.0.0.1:9", **bases}, 1, today):
            for day in (2, KeyError("day"), 3):
                days.append(day)
                deadline = time.monotonic() + 20
                while not isinstance(day, Exception) and not stand_at(bases, day):
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
        days.append(4)
        time.sleep(1.2)
        assert stand_at(bases, 3)
