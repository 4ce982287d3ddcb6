"""The connector of Meta against the sandbox's server: what arrives is what the company spent, to the micro."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from onefunnel.errors import ConfigError, EnvironmentNotReady, StepFailed
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.events import Figures
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.meta_ads import connection, make_app
from onefunnel.sandbox.world import PLATFORMS, SOCIAL
from onefunnel.sources import meta_ads
from onefunnel.sources.base import Asked, Fetched
from onefunnel.sources.connections import Connection
from onefunnel.sources.connections import connection as connection_of
from onefunnel.sources.inbox import RECORDS, Inbox, fetched

COMPANY = Company(seed=3, scale=0.05)
HTTP = httpx.Client()  # the hand that steers the server
CELL = {"ad_account_id": "account_id", "spend_date": "day"}
PLATFORM = PLATFORMS[SOCIAL]
FIRST, LAST = COMPANY.simulation.first_day, COMPANY.simulation.date_of(1)
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve(make_app(COMPANY, day=1)) as base:
        yield base


@pytest.fixture(autouse=True)
def jobs_are_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_ads, "FIRST_LOOK_SECONDS", 0.01)


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """The server without faults."""
    HTTP.delete(f"{server}/_sandbox/faults").raise_for_status()
    yield server
    HTTP.delete(f"{server}/_sandbox/faults").raise_for_status()


def given(url: str, **changed: Any) -> Connection:
    """The connection as a step gets it: in the environment, as Airflow writes it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_META", json.dumps({**connection(url), **changed}))
        return connection_of("meta")


def asked(stream: str, last: dt.datetime | None = None, **more: Any) -> Asked:
    given = {"before": {}, "since": FIRST, "accounts": (), "dates": None, "known": None}
    return Asked("social_ads", stream, "meta", COMPANY.as_of(1), last, **{**given, **more})


def fetch(url: str, folder: Path, ask: Asked, cell: dict[str, str] = CELL) -> tuple[Rows, Fetched]:
    connector = meta_ads.connect("source social_ads", given(url), ask.accounts)
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


def truth(first: dt.date = FIRST, last: dt.date = LAST, day: int = 1) -> dict[tuple[str, str, str], Figures]:
    """What the company knows: (account, campaign, day) -> figures."""
    found = {}
    for number, account in enumerate(PLATFORM.accounts):
        for n in range((last - first).days + 1):
            when = first + dt.timedelta(days=n)
            for row in COMPANY.simulation.cell(PLATFORM, number, when).state(COMPANY.simulation.date_of(day)):
                found[account.account_id, row.campaign.campaign_id, str(when)] = row.figures
    return found


def said(rows: Rows) -> dict[tuple[str, str, str], Figures]:
    """Rows of any level, summed by campaign and day."""
    sums: dict[tuple[str, str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 6)
    names = ("spend", "impressions", "clicks", "leads", "conversions", "conversions_value")
    for row in rows:
        total = sums[row["account_id"], row["campaign_id"], row["day"]]
        for place, name in enumerate(names):
            total[place] += Decimal(row[name]) * (1 if name in ("impressions", "clicks", "leads") else 1_000_000)
    return {key: Figures(*map(int, total)) for key, total in sums.items()}


def counted(figures: dict[tuple[str, str, str], Figures]) -> dict[tuple[str, str, str], Figures]:
    """No leads are the same to Meta as leads that are not counted."""
    return {key: each._replace(leads=each.leads or 0) for key, each in figures.items()}


@pytest.mark.parametrize(
    ("stream", "names"),
    [("performance_daily", []), ("ad_group_performance_daily", ["adset_id"]), ("ad_performance_daily", ["ad_id"])],
)
def test_every_level_holds_what_was_spent(url: str, tmp_path: Path, stream: str, names: list[str]) -> None:
    rows, beside = fetch(url, tmp_path, asked(stream))
    assert said(rows) == counted(truth())
    assert len(rows) == len(truth()) * (2 if names else 1) and all(row[name] for row in rows for name in names)
    spent: dict[tuple[str, str], int] = defaultdict(int)
    for (account, _, day), figures in truth().items():
        spent[account, day] += figures.spend_micro
    totals = [t for t in beside.totals.to_pylist() if t["measure"] == "spend_amount"]
    assert {(t["part"], t["day"]): Decimal(t["value"]) * 1_000_000 for t in totals} == (
        spent if stream == "performance_daily" else {}
    )
    assert any(request["method"] == "POST" for request in journal(url)), "two months are asked for as jobs"
    assert beside.about["limits"]["x-app-usage"] in ("0 %", "1 %"), "the server counts on from test to test"
    assert beside.about["last_day"] == str(LAST + dt.timedelta(days=1)), "today has begun"


def test_of_a_limit_the_highest_share_is_told() -> None:
    said = '{"8800": [{"type": "ads_insights", "call_count": 12, "total_cputime": 31, "total_time": 7, "estimated_time_to_regain_access": 99}]}'
    assert meta_ads._used({"x-business-use-case-usage": said, "x-ad-account-usage": '{"acc_id_util_pct": 9.67}'}) == {
        "x-business-use-case-usage": "31 %",
        "x-ad-account-usage": "9.67 %",
    }


def test_a_run_reads_four_weeks_at_once_and_a_new_month_ninety_days(url: str, tmp_path: Path) -> None:
    as_of = COMPANY.as_of(1)
    rows, beside = fetch(url, tmp_path, asked("performance_daily", as_of - dt.timedelta(hours=1)))
    first = as_of.date() - dt.timedelta(days=28)
    assert beside.about["first_day"] == str(first) and said(rows) == counted(truth(first))
    assert not any(request["method"] == "POST" for request in journal(url))
    ask = asked("performance_daily", as_of - dt.timedelta(days=1), since=dt.date(2025, 1, 1))
    assert fetch(url, tmp_path, ask)[1].about["first_day"] == str(as_of.date() - dt.timedelta(days=90))


def test_meta_forgets_after_three_years(url: str, tmp_path: Path) -> None:
    connector = meta_ads.connect("source social_ads", given(url), ())
    spans = connector._spans(asked("performance_daily", since=dt.date(2020, 1, 1)))
    assert {first for first, _ in spans.values()} == {dt.date(2023, 4, 1)}
    long_ago = (dt.date(2020, 1, 1), dt.date(2020, 1, 31))
    with pytest.raises(ConfigError, match="37 months"):
        fetch(url, tmp_path, asked("performance_daily", since=dt.date(2020, 1, 1), dates=long_ago))


def test_lists_of_accounts_and_campaigns(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_ads, "PAGE_ROWS", 1)
    accounts, _ = fetch(url, tmp_path, asked("ad_accounts"), {"ad_account_id": "account_id"})
    expected = {(a.account_id, a.name, a.currency, a.time_zone) for a in PLATFORM.accounts}
    assert {tuple(row.values()) for row in accounts} == expected
    campaigns, _ = fetch(
        url, tmp_path, asked("campaigns"), {"ad_account_id": "account_id", "campaign_id": "campaign_id"}
    )
    assert {(row["account_id"], row["campaign_id"]) for row in campaigns} == {key[:2] for key in truth()}


def test_no_token_is_kept_in_a_page(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_ads, "PAGE_ROWS", 7)
    connector = meta_ads.connect("source social_ads", given(url), ())
    params = {"level": "campaign", "time_increment": 1, "fields": "campaign_id,spend"}
    pages = connector._pages("v25.0/act_0001009/insights", params, tmp_path / "page")
    assert len(pages) > 3 and not any(b"EAAsandbox" in page.read_bytes() for page in pages)
    assert "EAAsandbox" not in "".join(request["query"] for request in journal(url))


@pytest.mark.parametrize("outcome", ["Job Failed", "Job Skipped", "stuck"])
def test_a_job_that_fails_is_asked_for_again_in_halves(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    monkeypatch.setattr(meta_ads, "JOB_SECONDS", 0.4 if outcome == "stuck" else 60.0)
    HTTP.post(f"{url}/_sandbox/jobs", json={"outcome": outcome, "times": 3}).raise_for_status()
    rows, _ = fetch(url, tmp_path, asked("performance_daily"))
    assert said(rows) == counted(truth())


def test_jobs_that_always_fail_end_in_words(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(make_app(COMPANY, day=1)) as base:
        HTTP.post(f"{base}/_sandbox/jobs", json={"outcome": "Job Failed", "times": 200}).raise_for_status()
        with pytest.raises(StepFailed, match=r"no insights of ad account 00010(09|10) on .*`Job Failed`"):
            fetch(base, tmp_path, asked("performance_daily"))
    with serve(make_app(COMPANY, day=1)) as base:
        monkeypatch.setattr(meta_ads, "JOB_SECONDS", 0.05)
        monkeypatch.setattr(meta_ads, "FETCH_SECONDS", 0.1)
        HTTP.post(f"{base}/_sandbox/jobs", json={"outcome": "stuck", "times": 200}).raise_for_status()
        with pytest.raises(EnvironmentNotReady, match="not ready"):
            fetch(base, tmp_path, asked("performance_daily"))


def test_too_much_data_is_asked_for_in_smaller_ranges(tmp_path: Path) -> None:
    since = COMPANY.as_of(1) - dt.timedelta(hours=1)
    expected = counted(truth(COMPANY.as_of(1).date() - dt.timedelta(days=28)))
    with serve(make_app(COMPANY, day=1, sync_rows=5)) as base:
        rows, _ = fetch(base, tmp_path, asked("performance_daily", since))
        assert said(rows) == expected
    with serve(make_app(COMPANY, day=1, sync_rows=0)) as base:
        days = (LAST - dt.timedelta(days=2), LAST)
        rows, _ = fetch(base, tmp_path, asked("performance_daily", since, dates=days))
        assert said(rows) == counted(truth(days[0]))
        assert any(request["method"] == "POST" for request in journal(base)), "a day that is too much is a job"


def test_an_account_that_is_not_there_is_no_empty_answer(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="reach no ad account 777"):
        fetch(url, tmp_path, asked("performance_daily", accounts=("act_777",)))


@pytest.mark.parametrize("code", [1, 2, 4, 17])
def test_what_meta_asks_to_try_again_is_tried_again(url: str, tmp_path: Path, code: int) -> None:
    HTTP.post(f"{url}/_sandbox/errors", json={"code": code, "times": 1}).raise_for_status()
    connector = meta_ads.connect("source social_ads", given(url), ())
    if code == 1:  # too much data: of a list there are no halves
        with pytest.raises(StepFailed, match="too much data"):
            connector.accounts()
    assert len(connector.accounts()) == 2


def test_a_quota_that_is_used_up_says_when_it_is_open_again() -> None:
    used = {"x-business-use-case-usage": '{"1": [{"estimated_time_to_regain_access": 19}]}'}
    answer = httpx.Response(400, headers=used)
    again = meta_ads._explained(answer, {"error": {"code": 80000, "message": "x"}})
    assert getattr(again, "after", None) == 19 * 60


def test_jobs_wait_at_meta_together_and_no_more_than_so_many(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meta_ads, "JOBS_AT_ONCE", 3)
    rows, _ = fetch(url, tmp_path, asked("performance_daily", since=FIRST - dt.timedelta(days=100)))
    assert said(rows) == counted(truth())
    waiting, most = 0, 0
    for request in journal(url):
        of_a_job = "/act_" not in request["path"] and request["path"].endswith("/insights")
        waiting += (request["method"] == "POST") - of_a_job
        most = max(most, waiting)
    assert (waiting, most) == (0, 3)
