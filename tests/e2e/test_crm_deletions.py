"""That most records of a CRM are gone is a lost permission until a person says otherwise, of one source and one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import httpx
import pytest
import world
from conftest import Home, ledger_of

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import connection, serve
from onefunnel.sandbox.servers.salesforce import make_app

COMPANY = Company(seed=3, scale=0.05, business=True)


@dataclass
class Crm:
    """The company's CRM behind its API, and an installation that reads the products of it."""

    url: str
    home: Home

    def extract(self, run_id: str, *options: str, span: tuple[str, ...] = ()) -> tuple[int, str]:
        """The exit code and the messages of an extract on the second morning."""
        self.home.ok("start", "--run-id", run_id, "--as-of", world.instant(COMPANY, 2), *span)
        done = self.home.cli("extract", "--run-id", run_id, *options)
        world.abandon(self.home)
        return done.returncode, done.stderr

    def known(self) -> list[tuple[str, str]]:
        """The cells of the newest load: id, and the hash of its content, empty where it was closed."""
        load = world.loads(self.home)[-1]
        with duckdb.connect() as db:
            return db.execute(
                f"select product_id, content_hash from read_parquet('{self.home.path}/landing/{load.path}/cells.parquet')"
            ).fetchall()


@pytest.fixture
def crm(tmp_path: Path) -> Iterator[Crm]:
    with serve(make_app(COMPANY, 1)) as url:
        home = Home(tmp_path / "home", extra={"AIRFLOW_CONN_CRM": connection("salesforce", url)})
        home.declare(
            sources={
                "crm": {"connector": "salesforce", "owner": "sales", "since": "2024-01-01", "streams": ["products"]}
            }
        )
        world.extract(home, "day1", world.instant(COMPANY, 1))
        world.judge(home)
        world.abandon(home)
        yield Crm(url, home)


def test_only_a_person_s_word_for_the_source_closes_most_of_its_records(crm: Crm) -> None:
    known = crm.known()
    for product, _ in known:
        httpx.post(f"{crm.url}/_sandbox/hard_delete", json={"id": product}).raise_for_status()
    code, said = crm.extract("day2")
    assert code == 1 and "onefunnel run --accept-deletions crm" in said
    code, said = crm.extract("backfill", span=("--from", "2026-03-28", "--to", "2026-03-30"))
    assert code == 1 and "are known" in said, "who backfills days of advertising says nothing of the CRM"
    code, said = crm.extract("typo", "--accept-deletions", "crn")
    assert code == 2 and "There is no source 'crn'" in said
    code, said = crm.extract("accepted", "--accept-deletions", "crm")
    assert code == 0, said
    assert sorted(crm.known()) == sorted((product, "") for product, _ in known)
    [audit] = [a for a in ledger_of(crm.home).audits() if a["action"] != "unlock"]
    assert (audit["action"], audit["subject"], audit["because"]) == (
        "accept deletions",
        "accepted",
        "--accept-deletions crm",
    )


@pytest.mark.long
def test_a_run_hands_the_consent_to_its_extract(crm: Crm) -> None:
    for product, _ in crm.known():
        httpx.post(f"{crm.url}/_sandbox/hard_delete", json={"id": product}).raise_for_status()
    as_of = world.instant(COMPANY, 2)
    done = crm.home.cli("run", "--as-of", as_of, "--run-id", "typo", "--accept-deletions", "crn")
    assert done.returncode == 2 and ledger_of(crm.home).run("typo") is None, "no run is begun"
    crm.home.cli("run", "--as-of", as_of, "--run-id", "day2", "--accept-deletions", "crm")  # there is nothing to build
    assert [s["state"] for s in ledger_of(crm.home).steps("day2") if s["step"] == "extract"] == ["ok"]


def test_a_refused_load_of_an_api_says_that_the_next_run_asks_again(crm: Crm) -> None:
    httpx.post(f"{crm.url}/_sandbox/hard_delete", json={"id": crm.known()[0][0]}).raise_for_status()
    crm.home.ok("start", "--run-id", "day2", "--as-of", world.instant(COMPANY, 2))
    [landed] = crm.home.ok("extract", "--run-id", "day2")
    ledger_of(crm.home).judge(landed["load_id"], "refused", "test", "a test")
    done = crm.home.cli("check", "raw", "--run-id", "day2")
    assert done.returncode == 1
    assert "Correct it at the vendor. The next run asks for the same again" in done.stderr
    assert "file is read again" not in done.stderr and "Correct the file" not in done.stderr
    assert f"onefunnel loads accept {landed['load_id']}" in done.stderr
    assert json.loads(crm.home.cli("loads", "list", "--json").stdout)[-1]["state"] == "refused"
