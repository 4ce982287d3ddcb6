"""Thirty days of the whole company, one run a day and one of them red, are one build of the same loads from nothing.

Plain days are run in this process and without gates or dbt tests, because nobody reads them; the days around the red one
and the last go through the command line with every test and both gates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import test_company_truth
import world
from conftest import Home

from onefunnel.landing import sha256_of
from onefunnel.sandbox.company import Company

pytestmark = pytest.mark.long

COMPANY = Company(seed=11, scale=0.2, business=True)
DAYS, RED = 30, 12
AUDITED = (RED - 1, RED, DAYS)
# Every column that is not compared, and why: a build from nothing is another run, which extends no warehouse and finds
# every load new. Nothing else may differ, not even when a fact became known or what the gates said of earlier runs.
OF_THE_BUILD = {
    "metadata.run_info": {"run_id", "base_run_id", "new_loads"},
    "metadata.row_ledger": {"is_new"},
}


@dataclass(frozen=True)
class Month:
    """The company after thirty days, with the installation's base and the same loads built from nothing beside it."""

    home: Home
    loads_of_the_red_day: dict[str, str]


def run(home: Home, day: int, *, name: str = "", exit_code: int = 0) -> str:
    """A day through the command line, with both gates; what it said on stderr."""
    done = home.cli("run", "--run-id", name or f"day{day}", "--as-of", world.instant(COMPANY, day), timeout=900)
    assert done.returncode == exit_code, done.stderr[-3000:]
    return done.stderr


def red_day(home: Home) -> dict[str, str]:
    """Spend a hundred times too large: the raw gate refuses the load, readers and the base stay as they were."""
    published = (home.path / "published" / "revenue.duckdb").resolve()
    before = sha256_of(published), sha256_of(world.warehouse(home))
    world.deliver(home, COMPANY, RED, ["hundredfold"])
    said = run(home, RED, name=f"red{RED}", exit_code=1)
    assert "load(s) of required sources are refused" in said and "search_ads" in said
    assert (home.path / "published" / "revenue.duckdb").resolve() == published
    assert (sha256_of(published), sha256_of(world.warehouse(home))) == before
    assert home.query("select run_id, as_of from metadata.run_info") == [(f"day{RED - 1}", as_of(RED - 1))]
    return {x.load_id: x.state for x in world.loads(home) if x.run_id == f"red{RED}"}


def as_of(day: int) -> object:
    return COMPANY.as_of(day).replace(tzinfo=None)


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    home = world.company_home(tmp_path_factory.mktemp("month") / "home")
    found: dict[str, str] = {}
    for day in range(1, DAYS + 1):
        if day == RED:
            found = red_day(home)
        world.deliver(home, COMPANY, day)
        if day in AUDITED:
            run(home, day)
        else:
            with world.without_tests():
                done = world.run_without_gates(home, f"day{day}", world.instant(COMPANY, day))
            assert (done["full_refresh"], done["tests"] == 0) == (day == 1, day > 1)
    last = f"day{DAYS}"
    done = world.build(home, "full", world.instant(COMPANY, DAYS), adopt=False, full_refresh=True, replay=last)
    assert done["full_refresh"] and done["loads"] == done["new_loads"] > 200
    yield Month(home, found)


def test_a_refused_day_is_mended_and_leaves_its_refusal_in_the_ledger(month: Month) -> None:
    assert sorted(month.loads_of_the_red_day.values()).count("refused") == 1
    states = {x.load_id: x.state for x in world.loads(month.home)}
    assert {states[load_id] for load_id in month.loads_of_the_red_day} == {"accepted", "refused"}
    runs = month.home.query(
        "select run_id, count(*) filter (where state = 'failed') from metadata.dq_check_history group by all order by all"
    )
    assert [(name, failed) for name, failed in runs if failed] == [(f"red{RED}", runs[-1][1])]


def test_the_last_day_extended_the_warehouse_that_every_day_had_extended(month: Month) -> None:
    chain = dict(
        month.home.query("select run_id, base_run_id from metadata.run_info")
        + world.ask(world.warehouse(month.home, "full"), "select run_id, base_run_id from metadata.run_info")
    )
    assert chain == {f"day{DAYS}": f"day{DAYS - 1}", "full": None}
    assert month.home.query("select previous_run_id from metadata.run_info") == [(f"day{RED}",)]


def test_thirty_days_are_what_one_build_makes_of_their_loads(month: Month) -> None:
    """Every published mart, row by row; and readers have exactly what was built."""

    def strictly(database: object) -> dict[str, world.Rows]:
        return world.export(database, of_the_run=OF_THE_BUILD, about_runs=())  # type: ignore[arg-type]

    published = strictly(month.home.path / "published" / "revenue.duckdb")
    world.assert_same(published, strictly(world.warehouse(month.home, "full")))
    world.assert_same(published, strictly(world.warehouse(month.home)))
    # Files say no totals of their own; nothing is held back on the last day.
    empty = {name for name, rows in published.items() if not rows}
    assert empty <= {"metadata.quarantine_summary", "metadata.source_totals"}


def test_the_thirty_days_had_everything_that_days_bring(month: Month) -> None:
    """Otherwise the comparison above is one of easy days."""
    first_day = as_of(1)
    counts = month.home.query(
        f"""
        with first as (select cast('{first_day}' as timestamp) as seen),
        spend as (select *, count(*) filter (where is_current) over (
            partition by source_system, stream, ad_account_id, level, campaign_id, channel, currency, spend_date) as still
            from marts.fct_ad_spend)
        select
            (select count(*) from spend where known_to <= cast('{as_of(DAYS)}' as timestamp) and still = 1),
            (select count(*) from spend where not is_current and still = 0),
            (select count(*) from spend, first where known_from > seen + interval 1 day and spend_date < cast(seen as date) - 3),
            (select count(*) from marts.dim_campaign, first where not is_current and valid_to > seen),
            (select sum(rows_quarantined) from metadata.row_ledger, first where known_at > seen),
            (select sum(rows_deduplicated) from metadata.row_ledger, first where known_at > seen),
            (select sum(rows_rejected) from metadata.row_ledger, first where known_at > seen),
            (select count(*) from marts.fct_revenue, first where is_reversal and booked_at > seen),
            (select count(*) from marts.fct_revenue, first where event_type = 'churn' and booked_at > seen),
            (select count(*) from marts.fct_funnel_step, first where is_reopen and entered_at > seen),
            (select count(*) from marts.fct_journey, first where cycle_no > 1 and started_at > seen),
            (select count(*) from marts.dim_account_history, first where not is_current and valid_to > cast(seen as date))
        """
    )[0]
    what = (
        "restated withdrawn late renamed quarantined deduplicated rejected reversed churned reopened returned changed"
    )
    assert {name: n for name, n in zip(what.split(), counts, strict=True) if not n} == {}


@pytest.mark.parametrize(
    "holds", [f for name, f in vars(test_company_truth).items() if name.startswith("test_")], ids=lambda f: f.__name__
)
def test_after_thirty_days_too(month: Month, holds: Callable[[test_company_truth.World], None]) -> None:
    holds(test_company_truth.World(month.home, COMPANY.business_truth(DAYS)))
