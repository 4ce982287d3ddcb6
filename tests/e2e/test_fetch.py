"""What a connector fetches takes the way of any file: only what changed is landed, and whatever happens in between, the cells
that count in the end are those of the platform."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import httpx
import pyarrow.parquet as pq
import pytest
import world
from conftest import Home

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import connection, serve
from onefunnel.sandbox.servers.google_ads import make_app
from onefunnel.sandbox.world import PLATFORMS, SEARCH

Spend = dict[tuple[str, str, str], int]
STREAM = "performance_daily"


@dataclass
class Platform:
    """The company's search ads behind their API, and an installation that reads them."""

    company: Company
    url: str
    root: Path

    def home(self, name: str = "home", **source: object) -> Home:
        """A fresh installation."""
        home = Home(self.root / name, extra={"AIRFLOW_CONN_SEARCH_ADS": connection("google_ads", self.url)})
        first = str(self.company.simulation.first_day)
        declared = {"connector": "google_ads", "owner": "marketing", "since": first, "streams": [STREAM], **source}
        home.declare(sources={"search_ads": declared})
        return home

    def go_to(self, day: int) -> str:
        """Let days pass; returns the instant of a run on that morning."""
        httpx.post(f"{self.url}/_sandbox/day", json={"day": day}).raise_for_status()
        return world.instant(self.company, day)

    def permit(self, account: str, granted: bool) -> None:
        body = {"account": account, "granted": granted}
        httpx.post(f"{self.url}/_sandbox/permission", json=body).raise_for_status()

    def spent(self, day: int) -> Spend:
        """The truth: micros by account, day and campaign as the platform tells them on a day."""
        found: Spend = {}
        until = self.company.simulation.date_of(day)
        for number, account in enumerate(PLATFORMS[SEARCH].accounts):
            at = self.company.simulation.first_day
            while at <= until:
                for row in self.company.simulation.cell(PLATFORMS[SEARCH], number, at).state(until):
                    key = (account.account_id.replace("-", ""), str(at), row.campaign.campaign_id)
                    found[key] = row.figures.spend_micro
                at += dt.timedelta(days=1)
        return {key: micros for key, micros in found.items() if micros}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    company = Company(seed=5, scale=0.1)
    with serve(make_app(company, 1)) as url:
        yield Platform(company, url, tmp_path)


def morning(home: Home, platform: Platform, day: int, verdict: str = "accepted") -> list[dict[str, object]]:
    """The extract of a day, judged."""
    said = world.extract(home, f"day{day}", platform.go_to(day))
    world.judge(home, verdict)
    world.abandon(home)
    return said


def counts(home: Home) -> Spend:
    """Of every cell the records of the newest accepted load that covers it."""
    accepted = [x for x in world.loads(home) if x.state == "accepted"]
    parts = {
        part: " union all ".join(
            f"select {x.seq} as seq, * from read_parquet('{home.path}/landing/{x.path}/{part}.parquet')"
            for x in accepted
        )
        for part in ("records", "cells")
    }
    with duckdb.connect() as db:
        rows = db.execute(
            f"with cells as ({parts['cells']}), records as ({parts['records']}),"
            " newest as (select ad_account_id, spend_date, max(seq) as seq from cells group by all)"
            " select ad_account_id, spend_date, campaign_id, spend_amount::bigint from records"
            " semi join newest using (ad_account_id, spend_date, seq)"
        ).fetchall()
    return {(a, d, c): micros for a, d, c, micros in rows if micros}


def rows_of_the_last_load(home: Home) -> int:
    return pq.ParquetFile(home.path / "landing" / world.loads(home)[-1].path / "records.parquet").metadata.num_rows


def receipts(home: Home) -> list[dict[str, object]]:
    return [json.loads((home.path / "landing" / x.path / "receipt.json").read_text()) for x in world.loads(home)]


def test_days_one_by_one_end_where_one_reading_of_everything_ends(platform: Platform) -> None:
    home = platform.home()
    for day in range(1, 5):
        morning(home, platform, day)
        assert counts(home) == platform.spent(day)
    whole = platform.home("whole")
    morning(whole, platform, 4)
    assert counts(whole) == counts(home)
    first, *later = [r["rows"]["landed"] for r in receipts(home)]
    assert sum(later) < first / 4, "of sixty days that were read again each morning only what changed was landed"


def test_nothing_new_is_no_load(platform: Platform) -> None:
    home = platform.home()
    morning(home, platform, 1)
    [again] = world.extract(home, "again", world.instant(platform.company, 1, hours=1))
    assert (again["load_id"], again["note"]) == (None, "nothing new")


def test_what_was_refused_is_asked_for_again(platform: Platform) -> None:
    home = platform.home()
    morning(home, platform, 1)
    morning(home, platform, 2, verdict="refused")
    # The platform has nothing new about some of what was refused: without asking from before it, that would be lost.
    for day in (3, 4):
        morning(home, platform, day)
    assert counts(home) == platform.spent(4)
    states = [(r["fetched"][0]["read_from"], x.state) for r, x in zip(receipts(home), world.loads(home), strict=True)]
    first = world.loads(home)[0].known_at
    assert states[1:3] == [(first, "refused"), (first, "accepted")]
    assert states[3][0] > first, "once it has been read again, nothing is open any more"


def test_a_human_may_refuse_what_was_accepted_long_ago(platform: Platform) -> None:
    home = platform.home()
    for day in (1, 2, 3):
        morning(home, platform, day)
    second = world.loads(home)[1]
    home.ok("loads", "refuse", second.load_id, "--because", "a test")
    assert counts(home) != platform.spent(3)
    morning(home, platform, 4)
    assert counts(home) == platform.spent(4)


def test_a_backfill_in_any_order_ends_where_forward_runs_end(platform: Platform) -> None:
    forward = platform.home("forward")
    morning(forward, platform, 5)
    home = platform.home()
    first, last = platform.company.simulation.first_day, platform.company.simulation.date_of(5)
    thirds = [first + dt.timedelta(days=n) for n in (0, 20, 40)]
    ranges = [(thirds[1], thirds[2]), (thirds[2], last), (thirds[0], thirds[1])]
    for number, days in enumerate(ranges):
        world.extract(
            home,
            f"backfill{number}",
            world.instant(platform.company, 5, hours=number),
            date_range=(str(days[0]), str(days[1])),
        )
        world.judge(home)
        world.abandon(home)
    assert counts(home) == counts(forward) == platform.spent(5)


def test_a_backfill_is_not_taken_for_a_reading_of_the_days_around_it(platform: Platform) -> None:
    """Neither where it is the first load, nor where it came while the daily runs had stopped."""
    first = platform.company.simulation.first_day
    homes = [platform.home("alone"), platform.home("pause")]
    morning(homes[1], platform, 1)
    as_of = platform.go_to(40)
    for home in homes:
        world.extract(home, "backfill", as_of, date_range=(str(first), str(first + dt.timedelta(days=3))))
        world.judge(home)
        world.abandon(home)
    for home in homes:
        morning(home, platform, 41)
        assert counts(home) == platform.spent(41)


def test_an_account_that_is_reached_later_and_an_earlier_beginning_are_read_whole(platform: Platform) -> None:
    accounts = [a.account_id.replace("-", "") for a in PLATFORMS[SEARCH].accounts]
    middle = platform.company.simulation.first_day + dt.timedelta(days=20)
    home = platform.home(accounts=accounts[:1], since=str(middle))
    morning(home, platform, 1)
    assert {key[0] for key in counts(home)} == {accounts[0]} and min(key[1] for key in counts(home)) == str(middle)
    home = platform.home(accounts=accounts, since=str(middle))
    morning(home, platform, 2)
    assert counts(home) == {key: micros for key, micros in platform.spent(2).items() if key[1] >= str(middle)}
    home = platform.home()
    morning(home, platform, 3)
    assert counts(home) == platform.spent(3)


def test_a_source_that_another_connector_read_is_refused(platform: Platform) -> None:
    home = platform.home()
    morning(home, platform, 1)
    declared = {**json.loads(home.config.read_text())["sources"]["search_ads"], "connector": "linkedin_ads"}
    home.declare(sources={"search_ads": declared})
    home.extra["AIRFLOW_CONN_SEARCH_ADS"] = connection("linkedin_ads", platform.url)
    done = home.extract("day2", platform.go_to(2))
    assert done.returncode == 2 and "was read by `google_ads` until now" in done.stderr
    assert "a name of its own" in done.stderr


def test_an_account_that_may_not_be_read_any_more_is_red_and_loses_nothing(platform: Platform) -> None:
    home = platform.home()
    morning(home, platform, 1)
    before, account = counts(home), next(iter(platform.spent(1)))[0]
    platform.permit(account, False)
    declared = [a.account_id.replace("-", "") for a in PLATFORMS[SEARCH].accounts]
    again = platform.home("home", accounts=declared)
    done = again.extract("day2", platform.go_to(2))
    assert (
        done.returncode == 2 and f"reach no ad account {account}" in done.stderr and "correct `accounts`" in done.stderr
    )
    assert counts(home) == before
    platform.permit(account, True)
    assert again.extract("day2-again", platform.go_to(2)).returncode == 0
    world.judge(home)
    assert counts(home) == platform.spent(2)


@pytest.mark.parametrize(("required", "code"), [(True, 3), (False, 0)])
def test_a_platform_that_is_down(platform: Platform, required: bool, code: int) -> None:
    home = platform.home(required=required)
    dead = json.loads(connection("google_ads", "http://127.0.0.1:9"))  # the discard port: nobody answers
    home.extra["AIRFLOW_CONN_SEARCH_ADS"] = json.dumps({**dead, "extra": {**dead["extra"], "deadline_seconds": "1"}})
    done = home.extract("day1", platform.go_to(1))
    assert done.returncode == code, done.stderr
    assert "search_ads" in done.stderr and "No answer could be had in 1 seconds" in done.stderr


@pytest.mark.parametrize(("required", "code"), [(True, 2), (False, 0)])
def test_without_its_connection_the_source_says_where_to_put_it(platform: Platform, required: bool, code: int) -> None:
    home = platform.home(required=required)
    home.extra.clear()
    done = home.extract("day1", platform.go_to(1))
    assert done.returncode == code, done.stderr
    assert "there is no connection search_ads" in done.stderr and "AIRFLOW_CONN_SEARCH_ADS" in done.stderr


def test_rows_that_are_lost_on_the_way_are_missed_by_the_platforms_own_count(platform: Platform) -> None:
    """An answer that reads well and has lost its rows: those of an account's campaigns."""
    home = platform.home()
    account = next(iter(platform.spent(1)))[0]
    lost = {'"results":[{"campaign":': '"lost":[{"campaign":'}
    fault = {"kind": "rewrite", "path": f"/v26/customers/{account}", "texts": lost, "times": None}
    httpx.post(f"{platform.url}/_sandbox/faults", json={"faults": [fault]}).raise_for_status()
    assert home.extract("day1", platform.go_to(1)).returncode == 0
    done = home.cli("check", "raw", "--run-id", "day1")

    assert done.returncode == 1
    failed = {c["check_id"] for c in world.checks(home, "day1") if c["state"] == "failed"}
    assert "performance_daily_accounts_agree" in failed
    httpx.delete(f"{platform.url}/_sandbox/faults").raise_for_status()
    morning(home, platform, 2)
    assert counts(home) == platform.spent(2)


@pytest.mark.long
def test_rows_of_which_the_platform_counts_nothing_are_missed_as_well(platform: Platform) -> None:
    home, again = platform.home(), platform.home("again")
    account = next(iter(platform.spent(1)))[0]
    faults, path = f"{platform.url}/_sandbox/faults", f"/v26/customers/{account}"
    assert home.extract("day1", platform.go_to(1)).returncode == 0
    asked = [r for r in httpx.get(faults).json()["requests"] if r["path"].startswith(path)]
    # The last question of an account is what it spent as a whole.
    fault = {"kind": "error_200", "path": path, "start": len(asked), "body": [{"fieldMask": "segments.date"}]}
    httpx.post(faults, json={"faults": [fault]}).raise_for_status()
    assert again.extract("day1", platform.go_to(1)).returncode == 0
    assert len(set(map(rows_of_the_last_load, (home, again)))) == 1, "the rows are there"
    assert home.cli("check", "raw", "--run-id", "day1").returncode == 0
    assert again.cli("check", "raw", "--run-id", "day1").returncode == 1
    failed = {c["check_id"] for c in world.checks(again, "day1") if c["state"] == "failed"}
    assert failed == {"performance_daily_accounts_agree"}


def test_sources_do_not_wait_for_each_other(platform: Platform) -> None:
    home = platform.home()
    declared = json.loads(home.config.read_text())
    declared["sources"]["other_ads"] = {**declared["sources"]["search_ads"], "required": False}
    home.config.write_text(json.dumps(declared))
    with serve(make_app(platform.company, 1)) as other:
        home.extra["AIRFLOW_CONN_OTHER_ADS"] = connection("google_ads", other)
        assert home.extract("day1", platform.go_to(1)).returncode == 0
        at = [[r["at"] for r in httpx.get(f"{u}/_sandbox/faults").json()["requests"]] for u in (platform.url, other)]
    assert max(map(min, at)) < min(map(max, at))
    assert {x.source for x in world.loads(home)} == {"search_ads", "other_ads"}
