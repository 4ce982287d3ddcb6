"""The connector of Google Ads against the sandbox's server: what arrives is what the company spent, to the micro."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pyarrow.parquet as pq
import pytest

from onefunnel.errors import ConfigError, StepFailed
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.google_ads import connection, make_app
from onefunnel.sandbox.world import PLATFORMS, SEARCH
from onefunnel.sources import google_ads
from onefunnel.sources.base import Asked, Fetched
from onefunnel.sources.connections import Connection
from onefunnel.sources.connections import connection as connection_of
from onefunnel.sources.inbox import RECORDS, Inbox, fetched

COMPANY = Company(seed=3, scale=0.05)
HTTP = httpx.Client()  # the hand that steers the server
CELL = {"ad_account_id": "account_id", "spend_date": "day"}
FIRST = COMPANY.simulation.first_day


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(make_app(COMPANY, day=1)) as base:
        yield base


def given(url: str, **extra: str) -> Connection:
    """The connection as a step gets it: in the environment, as Airflow writes it."""
    said = connection(url)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_GOOGLE", json.dumps({**said, "extra": {**said["extra"], **extra}}))
        return connection_of("google")


def asked(stream: str, last: dt.datetime | None = None, **more: Any) -> Asked:
    as_of = COMPANY.as_of(1)
    given = {"before": {}, "since": FIRST, "accounts": (), "dates": None, "known": None}
    return Asked("search_ads", stream, "google", as_of, last, **{**given, **more})


def fetch(url: str, folder: Path, ask: Asked, cell: dict[str, str]) -> tuple[list[dict[str, Any]], Fetched]:
    connector = google_ads.connect("source search_ads", given(url), ask.accounts)
    connector.fetch(ask, Inbox(folder, ask, cell))
    connector.close()
    (file,) = (folder / ask.stream).glob(f"*{RECORDS}")
    beside = fetched(file)
    assert beside is not None
    return pq.read_table(file).to_pylist(), beside


@pytest.mark.parametrize("stream", ["performance_daily", "ad_group_performance_daily", "ad_performance_daily"])
def test_every_level_holds_what_was_spent(url: str, tmp_path: Path, stream: str):
    rows, beside = fetch(url, tmp_path, asked(stream), CELL)
    spent: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    of_campaigns: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    leads = 0
    platform = PLATFORMS[SEARCH]
    for number, account in enumerate(platform.accounts):
        day = FIRST
        while day <= COMPANY.simulation.date_of(1):
            for row in COMPANY.simulation.cell(platform, number, day).state(COMPANY.simulation.date_of(1)):
                cell = (account.account_id.replace("-", ""), str(day))
                spent[cell] += row.figures.spend_micro
                if row.campaign.network != "SHOPPING" or stream == "performance_daily":
                    of_campaigns[cell] += row.figures.spend_micro
                    leads += row.figures.leads or 0
            day += dt.timedelta(days=1)
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        found[row["account_id"], row["day"]] += Decimal(row["cost_micros"])
    assert found == {cell: micros for cell, micros in of_campaigns.items() if micros}
    assert sum(Decimal(row["leads"] or 0) for row in rows) == leads > 0
    totals = {
        (t["part"], t["day"]): Decimal(t["value"]) for t in beside.totals.to_pylist() if t["measure"] == "spend_amount"
    }
    # Shopping has no groups and no ads, so only the level of campaigns holds all that an account spent.
    expected = {cell: micros / 1_000_000 for cell, micros in spent.items() if micros}
    assert totals == (expected if stream == "performance_daily" else {})


def test_a_run_reads_as_far_back_as_conversions_may_still_change(url: str, tmp_path: Path):
    as_of = COMPANY.as_of(1)
    _, beside = fetch(url, tmp_path, asked("performance_daily", as_of - dt.timedelta(hours=1)), CELL)
    assert beside.about["first_day"] == str(as_of.date() - dt.timedelta(days=60)), "the longest conversion window"


def test_lists_of_accounts_and_campaigns(url: str, tmp_path: Path):
    accounts, _ = fetch(url, tmp_path, asked("ad_accounts"), {"ad_account_id": "account_id"})
    expected = {(a.account_id.replace("-", ""), a.name, a.currency, a.time_zone) for a in PLATFORMS[SEARCH].accounts}
    assert {tuple(row.values()) for row in accounts} == expected
    cell = {"ad_account_id": "account_id", "campaign_id": "campaign_id"}
    campaigns, _ = fetch(url, tmp_path, asked("campaigns"), cell)
    wanted = sum(len(COMPANY.simulation.campaigns(PLATFORMS[SEARCH], n)) for n in range(len(accounts)))
    assert len(campaigns) == wanted


def test_an_account_that_is_not_there_is_no_empty_answer(url: str, tmp_path: Path):
    with pytest.raises(ConfigError, match="reach no ad account 1112223333"):
        fetch(url, tmp_path, asked("performance_daily", accounts=("111-222-3333",)), CELL)


def test_an_account_whose_day_has_not_begun_is_not_asked_about_it(url: str, tmp_path: Path):
    """At two in the morning UTC it is the day before in New York."""
    as_of = COMPANY.as_of(1).replace(hour=2)
    ask = dataclasses.replace(asked("performance_daily", dates=(as_of.date(), as_of.date())), as_of=as_of)
    _, beside = fetch(url, tmp_path, ask, CELL)
    zones = {a.account_id.replace("-", ""): ZoneInfo(a.time_zone) for a in PLATFORMS[SEARCH].accounts}
    begun = {account for account, zone in zones.items() if as_of.astimezone(zone).date() == as_of.date()}
    assert beside.about["accounts"] == len(begun) < len(zones)
    assert beside.totals.num_rows == 0, "and of a day under way two calls do not say the same"


BATCH = {"results": [{"customer": {"id": "1"}, "metrics": {"clicks": "1"}}], "fieldMask": "x"}


def failing(code: int, **more: Any) -> dict[str, Any]:
    """The element of a stream that says what became of it."""
    return {"error": {"code": code, "message": "An error has occurred.", **more}}


@pytest.mark.parametrize("before", [[BATCH], []], ids=["behind rows", "alone"])
@pytest.mark.parametrize("at", [1, 2, 12], ids=["accounts", "actions", "figures"])
def test_a_stream_that_ends_in_an_error_is_not_its_data(url: str, tmp_path: Path, before: list[Any], at: int):
    """Its status is 200, because that was said before anything failed."""
    ask = asked("performance_daily", COMPANY.as_of(1) - dt.timedelta(hours=1))
    whole, _ = fetch(url, tmp_path / "whole", ask, CELL)
    fault = {"kind": "error_200", "path": "/v26", "start": at}
    spoil(url, {**fault, "body": [*before, failing(500)]})
    rows, beside = fetch(url, tmp_path, ask, CELL)
    assert sorted(map(repr, rows)) == sorted(map(repr, whole)) and rows
    assert at < 3 or beside.about["retries"] == 1
    refused = {"errors": [{"errorCode": {"queryError": "BAD_VALUE"}, "message": "No."}]}
    spoil(url, {**fault, "times": None, "body": [*before, failing(400, details=[refused])]})
    with pytest.raises(StepFailed, match="BAD_VALUE"):
        fetch(url, tmp_path, ask, CELL)
    HTTP.delete(f"{url}/_sandbox/faults").raise_for_status()


def test_a_name_that_looks_like_an_error_is_a_name(tmp_path: Path):
    page = tmp_path / "page.json"
    for name in ('[{"error": {"code": 500}}]', "error", '{"', ',"error":'):
        page.write_text(
            json.dumps([{"results": [{"campaign": {"name": name, "error": name}}]}]).replace('"error": ', '"e": ')
        )
        assert google_ads._error_in(page) is None
    page.write_text(json.dumps([BATCH, {"requestId": "x", **failing(503)}]))
    assert google_ads._error_in(page) == failing(503)


def spoil(url: str, *faults: dict[str, Any]) -> None:
    HTTP.post(f"{url}/_sandbox/faults", json={"faults": list(faults)}).raise_for_status()
