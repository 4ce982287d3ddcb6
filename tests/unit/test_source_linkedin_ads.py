"""The connector of LinkedIn against the sandbox's server: what arrives is what the company spent, to the micro."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onefunnel.errors import ConfigError, StepFailed
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.ad_records import AdRecords
from onefunnel.sandbox.servers.linkedin_ads import connection, make_app
from onefunnel.sandbox.world import VIDEO
from onefunnel.sources import linkedin_ads
from onefunnel.sources.base import Asked, Fetched
from onefunnel.sources.connections import Connection
from onefunnel.sources.connections import connection as connection_of
from onefunnel.sources.inbox import RECORDS, Inbox, fetched

COMPANY = Company(seed=3, scale=0.05)
HTTP = httpx.Client()  # the hand that steers the server
CELL = {"ad_account_id": "account_id", "spend_date": "day"}
FIRST, LAST = COMPANY.simulation.first_day, COMPANY.simulation.date_of(1)
ACCOUNT = "507000001"
Rows = list[dict[str, Any]]
Key = tuple[str, str, str]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve(make_app(COMPANY, day=1)) as base:
        yield base


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """The server without faults."""
    HTTP.delete(f"{server}/_sandbox/faults").raise_for_status()
    yield server
    HTTP.delete(f"{server}/_sandbox/faults").raise_for_status()


def given(url: str, **extra: str) -> Connection:
    """The connection as a step gets it: in the environment, as Airflow writes it."""
    said = connection(url)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_LINKEDIN", json.dumps({**said, "extra": {**said["extra"], **extra}}))
        return connection_of("linkedin")


def asked(stream: str, last: dt.datetime | None = None, **more: Any) -> Asked:
    given = {"before": {}, "since": FIRST, "accounts": (), "dates": None, "known": None}
    return Asked("video_ads", stream, "linkedin", COMPANY.as_of(1), last, **{**given, **more})


def fetch(url: str, folder: Path, ask: Asked, cell: dict[str, str] = CELL) -> tuple[Rows, Fetched]:
    connector = linkedin_ads.connect("source video_ads", given(url), ask.accounts)
    try:
        connector.fetch(ask, Inbox(folder, ask, cell))
    finally:
        connector.close()
    (file,) = (folder / ask.stream).glob(f"*{RECORDS}")
    beside = fetched(file)
    assert beside is not None
    return pq.read_table(file).to_pylist(), beside


def script(url: str, *faults: dict[str, Any]) -> None:
    HTTP.post(f"{url}/_sandbox/faults", json={"faults": list(faults)}).raise_for_status()


def journal(url: str) -> list[dict[str, Any]]:
    return list(HTTP.get(f"{url}/_sandbox/faults").json()["requests"])


def truth(first: dt.date = FIRST, day: int = 1) -> dict[Key, tuple[int, ...]]:
    """What the company knows, conversions whole: (account, campaign, day) -> micros, counts."""
    records = AdRecords(COMPANY, VIDEO, day, tokens=set(), lasting=True)
    return {
        (account.vendor_id, row.campaign.vendor_id, str(row.day)): (
            row.figures.spend_micro,
            row.figures.impressions,
            row.figures.clicks,
            row.figures.leads or 0,
            row.figures.conversions_micro // 1_000_000,
            row.figures.value_micro,
        )
        for account in records.accounts()
        for row in records.rows(account, first, COMPANY.simulation.date_of(day))
    }


def said(rows: Rows) -> dict[Key, tuple[int, ...]]:
    """Rows of any level, summed by campaign and day."""
    sums: dict[Key, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 6)
    names = ("cost", "impressions", "clicks", "leads", "conversions", "conversions_value")
    for row in rows:
        total = sums[row["account_id"], row["campaign_id"], row["day"]]
        for place, name in enumerate(names):
            total[place] += Decimal(row[name]) * (1_000_000 if name in ("cost", "conversions_value") else 1)
    return {key: tuple(map(int, total)) for key, total in sums.items()}


@pytest.mark.parametrize(("stream", "rows_each"), [("performance_daily", 1), ("ad_performance_daily", 2)])
def test_every_level_holds_what_was_spent(url: str, tmp_path: Path, stream: str, rows_each: int) -> None:
    rows, beside = fetch(url, tmp_path, asked(stream))
    assert said(rows) == truth() and len(rows) == len(truth()) * rows_each
    assert {(row["account_id"], row["currency"]) for row in rows} == {(ACCOUNT, "USD"), ("507000002", "EUR")}
    assert rows_each == 1 or all(row["ad_id"].startswith(row["campaign_id"]) for row in rows)
    spent: dict[tuple[str, str], int] = defaultdict(int)
    for (account, _, day), figures in truth().items():
        spent[account, day] += figures[0]
    totals = [t for t in beside.totals.to_pylist() if t["measure"] == "spend_amount"]
    assert {(t["part"], t["day"]): Decimal(t["value"]) * 1_000_000 for t in totals} == (
        spent if stream == "performance_daily" else {}
    )


def test_a_run_reads_thirty_days_and_a_new_month_ninety(url: str, tmp_path: Path) -> None:
    as_of = COMPANY.as_of(1)
    rows, beside = fetch(url, tmp_path, asked("performance_daily", as_of - dt.timedelta(hours=1)))
    first = as_of.date() - dt.timedelta(days=30)
    assert beside.about["first_day"] == str(first) and said(rows) == truth(first)
    ask = asked("performance_daily", as_of - dt.timedelta(days=1), since=dt.date(2025, 1, 1))
    assert fetch(url, tmp_path, ask)[1].about["first_day"] == str(as_of.date() - dt.timedelta(days=90))


def test_lists_of_accounts_and_campaigns(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linkedin_ads, "PAGE_SIZE", 1)
    accounts, _ = fetch(url, tmp_path, asked("ad_accounts"), {"ad_account_id": "account_id"})
    assert {tuple(row.values()) for row in accounts} == {
        (ACCOUNT, "Video US", "USD", "UTC"),
        ("507000002", "Video EU", "EUR", "UTC"),
    }
    cell = {"ad_account_id": "account_id", "campaign_id": "campaign_id"}
    campaigns, _ = fetch(url, tmp_path, asked("campaigns"), cell)
    assert {(row["account_id"], row["campaign_id"]) for row in campaigns} == {key[:2] for key in truth()}
    assert all(row["name"] for row in campaigns)


@pytest.mark.parametrize("most", [50, 2])
def test_an_answer_that_may_be_cut_off_is_asked_for_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Of 50 elements by fewer days; of two, which is fewer than a day's campaigns, by lists of campaigns as well."""
    monkeypatch.setattr(linkedin_ads, "MAX_ELEMENTS", most)
    monkeypatch.setattr(linkedin_ads, "LONGEST_QUERY", 365)
    dates = (LAST - dt.timedelta(days=40 if most == 50 else 2), LAST)
    with serve(make_app(COMPANY, day=1, max_elements=most)) as base:
        rows, _ = fetch(base, tmp_path, asked("performance_daily", dates=dates))
        assert said(rows) == truth(dates[0])
        analytics = [r for r in journal(base) if r["path"] == "/rest/adAnalytics"]
    assert {r["method"] for r in analytics} == ({"GET"} if most == 50 else {"GET", "POST"}), "what is long is tunnelled"
    assert len(analytics) > 8


def test_what_is_too_much_for_one_campaign_and_day_ends_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linkedin_ads, "MAX_ELEMENTS", 2)
    with (
        serve(make_app(COMPANY, day=1, max_elements=2)) as base,
        pytest.raises(StepFailed, match="more ads on 2026-03-31"),
    ):
        fetch(base, tmp_path, asked("ad_performance_daily", dates=(LAST, LAST)))


def test_an_account_that_is_not_there_is_no_empty_answer(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reach no ad account 777"):
        fetch(url, tmp_path, asked("performance_daily", accounts=("777",)))


def test_an_empty_answer_without_permission_is_red(url: str, tmp_path: Path) -> None:
    ask = asked("performance_daily")
    connector = linkedin_ads.connect("source video_ads", given(url), ())
    connector.accounts()
    HTTP.post(f"{url}/_sandbox/permission", json={"account": ACCOUNT, "granted": False}).raise_for_status()
    try:
        with pytest.raises(StepFailed, match="Not enough permissions") as caught:
            connector.fetch(ask, Inbox(tmp_path, ask, CELL))
        assert ACCOUNT in str(caught.value) and "r_ads_reporting" in str(caught.value)
        known = pa.table({"ad_account_id": [ACCOUNT], "spend_date": ["2026-03-01"], "content_hash": ["x"]})
        with pytest.raises(StepFailed, match=f"not reached any more: {ACCOUNT}"):
            fetch(url, tmp_path, asked("performance_daily", known=known))
    finally:
        HTTP.post(f"{url}/_sandbox/permission", json={"account": ACCOUNT, "granted": True}).raise_for_status()


def test_an_access_token_alone_is_enough(url: str) -> None:
    connector = linkedin_ads.connect("source video_ads", given(url, access_token="AQVsandbox", refresh_token=""), ())
    assert len(connector.accounts()) == 2


@pytest.mark.parametrize("secret", ["refresh_token", "access_token"])
def test_a_wrong_secret_is_named_and_not_shown(url: str, secret: str) -> None:
    connector = linkedin_ads.connect("source video_ads", given(url, **{secret: "wrong-secret-0815"}), ())
    with pytest.raises(ConfigError) as caught:
        connector.accounts()
    assert "connection" in str(caught.value) and "wrong-secret" not in str(caught.value)


def test_a_version_that_is_switched_off_says_what_to_do(url: str) -> None:
    connector = linkedin_ads.connect("source video_ads", given(url, version="202401"), ())
    with pytest.raises(StepFailed, match="switched off") as caught:
        connector.accounts()
    assert "`version`" in str(caught.value)


def test_a_search_that_goes_in_circles_ends_in_words(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linkedin_ads, "PAGE_SIZE", 1)
    script(url, {"path": "/rest/adAccounts", "kind": "repeat", "start": 2, "times": None})
    connector = linkedin_ads.connect("source video_ads", given(url), ())
    with pytest.raises(StepFailed, match="same page again"):
        connector.accounts()
