"""The connector of Microsoft Advertising against the sandbox's server: what arrives is what the company spent."""

from __future__ import annotations

import datetime as dt
import io
import json
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI, Request, Response

from onefunnel.errors import ConfigError, EnvironmentNotReady, StepFailed
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.ad_records import AdRecords
from onefunnel.sandbox.servers.microsoft_ads import connection, make_app
from onefunnel.sandbox.world import SEARCH
from onefunnel.sources import microsoft_ads
from onefunnel.sources.base import Asked, Fetched
from onefunnel.sources.connections import Connection
from onefunnel.sources.connections import connection as connection_of
from onefunnel.sources.inbox import RECORDS, Inbox, fetched

COMPANY = Company(seed=3, scale=0.05)
HTTP = httpx.Client()  # the hand that steers the server
CELL = {"ad_account_id": "account_id", "spend_date": "day"}
FIRST, LAST = COMPANY.simulation.first_day, COMPANY.simulation.date_of(1)
TODAY = str(LAST + dt.timedelta(days=1))
ACCOUNT = "5712048830"
SUBMIT, POLL = "/Reporting/v13/GenerateReport/Submit", "/Reporting/v13/GenerateReport/Poll"
Rows = list[dict[str, Any]]
Key = tuple[str, str, str]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve(make_app(COMPANY, day=1)) as base:
        yield base


@pytest.fixture(autouse=True)
def reports_are_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microsoft_ads, "FIRST_LOOK_SECONDS", 0.01)


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """The server without faults."""
    HTTP.delete(f"{server}/_sandbox/faults").raise_for_status()
    yield server
    HTTP.delete(f"{server}/_sandbox/faults").raise_for_status()
    HTTP.post(f"{server}/_sandbox/books", json={"open_from": None}).raise_for_status()


def given(url: str, **extra: str) -> Connection:
    """The connection as a step gets it: in the environment, as Airflow writes it."""
    said = connection(url)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_BING", json.dumps({**said, "extra": {**said["extra"], **extra}}))
        return connection_of("bing")


def asked(stream: str, last: dt.datetime | None = None, **more: Any) -> Asked:
    given = {"before": {}, "since": FIRST, "accounts": (), "dates": None, "known": None}
    return Asked("bing", stream, "bing", COMPANY.as_of(1), last, **{**given, **more})


def fetch(url: str, folder: Path, ask: Asked, cell: dict[str, str] = CELL, **extra: str) -> tuple[Rows, Fetched]:
    connector = microsoft_ads.connect("source bing", given(url, **extra), ask.accounts)
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


def truth(first: dt.date = FIRST, day: int = 1, last: dt.date | None = None) -> dict[Key, tuple[int, ...]]:
    """What the company knows: (account, campaign, day) -> micros and counts."""
    records = AdRecords(COMPANY, SEARCH, day, tokens=set(), lasting=True)
    return {
        (account.vendor_id, row.campaign.vendor_id, str(row.day)): (
            row.figures.spend_micro,
            row.figures.impressions,
            row.figures.clicks,
            row.figures.conversions_micro,
            row.figures.value_micro,
        )
        for account in records.accounts()
        for row in records.rows(account, first, last or COMPANY.simulation.date_of(day))
    }


def said(rows: Rows) -> dict[Key, tuple[int, ...]]:
    """Rows of any level, summed by campaign and day."""
    sums: dict[Key, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 5)
    names = ("spend", "impressions", "clicks", "conversions", "conversions_value")
    for row in rows:
        total = sums[row["account_id"], row["campaign_id"], row["day"]]
        for place, name in enumerate(names):
            total[place] += Decimal(row[name]) * (1 if name in ("impressions", "clicks") else 1_000_000)
    return {key: tuple(map(int, total)) for key, total in sums.items()}


@pytest.mark.parametrize(
    ("stream", "rows_each"),
    [("performance_daily", 1), ("ad_group_performance_daily", 2), ("ad_performance_daily", 2)],
)
def test_every_level_holds_what_was_spent(url: str, tmp_path: Path, stream: str, rows_each: int) -> None:
    rows, beside = fetch(url, tmp_path, asked(stream))
    assert said(rows) == truth() and len(rows) == len(truth()) * rows_each
    assert {row["currency"] for row in rows} == {"EUR", "USD", "GBP"}
    assert {row["campaign_type"] for row in rows} == {"Search & content", "Shopping", "Audience"}
    assert rows_each == 1 or all(row["ad_group_id"].startswith(row["campaign_id"]) for row in rows)
    spent: dict[tuple[str, str], int] = defaultdict(int)
    for (account, _, day), figures in truth().items():
        spent[account, day] += figures[0]
    totals = [t for t in beside.totals.to_pylist() if t["measure"] == "spend_amount"]
    assert {(t["part"], t["day"]): Decimal(t["value"]) * 1_000_000 for t in totals} == (
        spent if stream == "performance_daily" else {}
    )
    assert beside.about["last_day"] == TODAY and beside.about["preliminary"] == [TODAY]


def test_a_run_reads_thirty_days_and_a_new_month_ninety(url: str, tmp_path: Path) -> None:
    as_of = COMPANY.as_of(1)
    rows, beside = fetch(url, tmp_path, asked("performance_daily", as_of - dt.timedelta(hours=1)))
    first = as_of.date() - dt.timedelta(days=30)
    assert beside.about["first_day"] == str(first) and said(rows) == truth(first)
    ask = asked("performance_daily", as_of - dt.timedelta(days=1), since=dt.date(2025, 1, 1))
    assert fetch(url, tmp_path, ask)[1].about["first_day"] == str(as_of.date() - dt.timedelta(days=90))


def test_microsoft_forgets_after_three_years(url: str, tmp_path: Path) -> None:
    long_ago = (dt.date(2020, 1, 1), dt.date(2020, 1, 31))
    with pytest.raises(ConfigError, match="36 months"):
        fetch(url, tmp_path, asked("performance_daily", since=dt.date(2020, 1, 1), dates=long_ago))


def test_lists_of_accounts_and_campaigns(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microsoft_ads, "PAGE_SIZE", 1)
    accounts, _ = fetch(url, tmp_path, asked("ad_accounts"), {"ad_account_id": "account_id"})
    assert {row["account_id"] for row in accounts} == {key[0] for key in truth()} and len(accounts) == 3
    assert {row["time_zone"] for row in accounts} == {"UTC"}
    cell = {"ad_account_id": "account_id", "campaign_id": "campaign_id"}
    campaigns, _ = fetch(url, tmp_path, asked("campaigns"), cell)
    assert {(row["account_id"], row["campaign_id"]) for row in campaigns} == {key[:2] for key in truth()}
    assert all(row["name"] and row["campaign_type"] for row in campaigns)


def test_open_books_of_yesterday_are_preliminary(url: str, tmp_path: Path) -> None:
    HTTP.post(f"{url}/_sandbox/books", json={"open_from": str(LAST)}).raise_for_status()
    rows, beside = fetch(url, tmp_path, asked("performance_daily"))
    before = {key: row for key, row in said(rows).items() if key[2] < str(LAST)}
    assert before == truth(last=LAST - dt.timedelta(days=1))
    yesterday = {key: row for key, row in said(rows).items() if key[2] == str(LAST)}
    assert yesterday.keys() == truth(LAST).keys() and yesterday != truth(LAST), "half of it"
    assert beside.about["preliminary"] == [str(LAST), TODAY]
    assert str(LAST) not in {t["day"] for t in beside.totals.to_pylist()}
    HTTP.post(f"{url}/_sandbox/books", json={"open_from": None}).raise_for_status()
    ask = asked("performance_daily", COMPANY.as_of(1), known=beside.cells)
    rows, beside = fetch(url, tmp_path, ask)
    assert said(rows) == truth(LAST) and beside.about["preliminary"] == [TODAY], "the books are closed"


def test_open_books_of_older_days_are_waited_for(url: str, tmp_path: Path) -> None:
    HTTP.post(f"{url}/_sandbox/books", json={"open_from": str(LAST - dt.timedelta(days=4))}).raise_for_status()
    with pytest.raises(EnvironmentNotReady, match="has not closed its books of 2026-03-30"):
        fetch(url, tmp_path, asked("performance_daily"))


def test_an_account_that_is_not_there_is_no_empty_answer(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reach no ad account 777"):
        fetch(url, tmp_path, asked("performance_daily", accounts=("777",)))


def test_a_connection_without_a_customer_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="no customer_id"):
        microsoft_ads.connect("source bing", given(url, customer_id=""), ())


def test_a_report_that_could_not_be_made_is_ordered_again(url: str, tmp_path: Path) -> None:
    script(url, {"path": POLL, "kind": "error_200", "body": {"ReportRequestStatus": {"Status": "Error"}}})
    rows, _ = fetch(url, tmp_path, asked("performance_daily", COMPANY.as_of(1) - dt.timedelta(hours=1)))
    assert said(rows) == truth(COMPANY.as_of(1).date() - dt.timedelta(days=30))
    assert "error_200" in {request["fault"] for request in journal(url)}


def elsewhere(host: str) -> dict[str, Any]:
    status = {"Status": "Success", "ReportDownloadUrl": f"{host}/report.zip?sig=secret-signature"}
    return {"path": POLL, "kind": "error_200", "times": None, "body": {"ReportRequestStatus": status}}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"path": SUBMIT, "kind": "error_200"}, "no `ReportRequestId`"),
        (elsewhere("http://bingadsappsstorageprod.blob.core.windows.net"), "host that is not known"),
        (elsewhere("https://evil.blob.core.windows.net"), "host that is not known"),
        ({**elsewhere("x"), "body": {"ReportRequestStatus": {"Status": "Error"}}}, "could not make a report"),
    ],
    ids=["error", "plain http", "another store", "failed"],
)
def test_what_nobody_can_mend_ends_in_words(url: str, tmp_path: Path, fault: dict[str, Any], message: str) -> None:
    script(url, fault)
    with pytest.raises(StepFailed, match=message) as caught:
        fetch(url, tmp_path, asked("performance_daily"))
    assert "secret-signature" not in str(caught.value) and "M.sandbox" not in str(caught.value)


def test_a_report_that_is_never_ready_ends_in_words(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microsoft_ads, "REPORT_SECONDS", 0.05)
    pending = {"ReportRequestStatus": {"Status": "Pending", "ReportDownloadUrl": None}}
    script(url, {"path": POLL, "kind": "error_200", "times": None, "body": pending})
    with pytest.raises(EnvironmentNotReady, match="not ready"):
        fetch(url, tmp_path, asked("performance_daily"))


def test_all_reports_of_figures_and_control_totals_wait_together(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microsoft_ads, "FIRST_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(microsoft_ads, "DAYS_A_REPORT", 30)
    rows, beside = fetch(url, tmp_path, asked("performance_daily"))
    paths = [request["path"] for request in journal(url)]
    assert paths.count(SUBMIT) == 5, "two of days that are over, today, two of accounts"
    assert SUBMIT not in paths[next(n for n, path in enumerate(paths) if path.startswith("/download")) :]
    assert said(rows) == truth() and beside.totals.num_rows


def test_a_report_that_is_refused_ends_the_waiting_for_the_others(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microsoft_ads, "FIRST_LOOK_SECONDS", 30.0)
    script(url, {"path": SUBMIT, "kind": "error_200", "start": 3})
    began = time.monotonic()
    with pytest.raises(StepFailed, match="no `ReportRequestId`"):
        fetch(url, tmp_path, asked("performance_daily"))
    assert time.monotonic() - began < 5


def test_no_token_goes_to_the_storage(tmp_path: Path) -> None:
    """The address of a report is its permission; a proxy of the storage sees nothing of ours."""
    seen: list[dict[str, str]] = []
    storage = FastAPI()

    @storage.get("/report.zip")
    async def report(request: Request) -> Response:
        seen.append(dict(request.headers))
        return Response(
            archive('"Report Name: n"', '"Potential Incomplete Data: false"', '"Rows: 0"', "", '"A"', "", '"@"')
        )

    with serve(make_app(COMPANY, day=1)) as base, serve(storage) as store:
        connector = microsoft_ads.connect("source bing", given(base), ())
        connector.api.base_url = store  # as if the reporting service itself kept its reports there
        connector._downloaded(f"{store}/report.zip", tmp_path / "report", "n")
    assert seen and not {"authorization", "developertoken", "customerid"} & set(seen[0])


def archive(*lines: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("report.csv", "\r\n".join((*lines, "")).encode("utf-8-sig"))
    return out.getvalue()


HEAD = ('"Report Name: n"', '"Potential Incomplete Data: true"')


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((*HEAD, '"Rows: 2"', "", '"A","B"', '"1","2"', "", '"@2026"'), "says that it has 2"),
        ((*HEAD, '"Rows: 1"', "", '"A","B"', '"1","2"'), "breaks off"),
        ((*HEAD, '"Rows: 1"', "", '"A","B"', '"1","2"', ""), "breaks off"),
        ((*HEAD, "", '"A","B"', '"1","2"', "", '"@2026"'), "an unknown number"),
        (('"Report Name: m"', '"Rows: 1"', "", '"A"', '"1"', "", '"@2026"'), "another one"),
    ],
)
def test_a_report_that_is_not_whole_is_not_taken(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    (tmp_path / "r.zip").write_bytes(archive(*lines))
    with pytest.raises(microsoft_ads._Broken, match=message):
        microsoft_ads._unpacked(tmp_path / "r.zip", tmp_path / "r.csv", "n")


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1024])
def test_a_name_may_hold_line_breaks_and_blank_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(microsoft_ads, "_BLOCK_BYTES", block_bytes)
    name = '"a ""b""\r\n\r\nc"'
    (tmp_path / "r.zip").write_bytes(
        archive(*HEAD, '"Rows: 2"', "", '"A","B"', f'"1",{name}', '"2","d"', "", '"@2026"')
    )
    assert microsoft_ads._unpacked(tmp_path / "r.zip", tmp_path / "r.csv", "n"), "and its data may be incomplete"
    assert (tmp_path / "r.csv").read_bytes() == f'"A","B"\r\n"1",{name}\r\n"2","d"\r\n'.encode()
