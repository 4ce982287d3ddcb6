"""A red day in real Airflow: the task's log says why, readers keep what they have, and the DAG revenue_backfill mends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import world
from conftest import Home

from onefunnel import orchestrator, publish
from onefunnel.errors import StepFailed
from onefunnel.pipeline import Installation
from onefunnel.sandbox.company import Company

COMPANY = Company()
FIRST, SECOND = world.instant(COMPANY, 1), world.instant(COMPANY, 2)
WRONG = "amounts_are_possible"


def run_dag(here: Installation, dag_id: str, **conf: str) -> None:
    orchestrator.test_run(here.paths, here.ledger, dag_id, json.dumps(conf), print)


def task_log(home: Home, dag_id: str, task_id: str) -> str:
    """What a task of the DAG's only run wrote into its log."""
    (found,) = home.path.glob(f"airflow/logs/dag_id={dag_id}/run_id=*/task_id={task_id}/attempt=1.log")
    return "\n".join(json.loads(line)["event"] for line in found.read_text().splitlines())


@pytest.mark.long
@pytest.mark.airflow
def test_a_backfill_in_airflow_ends_where_a_never_red_history_ends(tmp_path: Path) -> None:
    home = world.sandbox_home(tmp_path / "home")
    world.deliver(home, COMPANY, 1)
    assert home.cli("run", "--run-id", "day1", "--as-of", FIRST).returncode == 0
    never_red = world.copy_of(home, tmp_path / "never_red")
    world.deliver(never_red, COMPANY, 2)
    assert never_red.cli("run", "--as-of", SECOND).returncode == 0

    world.deliver(home, COMPANY, 2, ["micros_as_units:search_ads"])
    with world.installation(home) as here:
        orchestrator.migrate(here.paths)
        with pytest.raises(StepFailed, match=f"DAG run is red: .*{WRONG}"):
            run_dag(here, "revenue_daily", as_of=SECOND)
        failed = {c["check_id"]: c for c in here.ledger.checks() if c["state"] == "failed"}
        assert failed.keys() == {WRONG, "performance_daily_amounts_are_usual"}
        check = failed[WRONG]
        said = task_log(home, "revenue_daily", "check_raw")
        for words in (WRONG, check["fix"], "performance_20260401.csv", "readers keep the last audited version"):
            assert words in said
        assert publish.current_run(here.paths) == "day1"

        world.deliver(home, COMPANY, 2)
        run_dag(here, "revenue_backfill", first_day="2026-04-01", last_day="2026-04-01", as_of=SECOND)
        (filled,) = [r for r in here.ledger.runs() if r.kind == "backfill"]
        assert publish.current_run(here.paths) == filled.run_id
        assert (filled.state, filled.range_from, filled.range_to) == ("published", "2026-04-01", "2026-04-01")
    published = (h.path / "published" / "revenue.duckdb" for h in (never_red, home))
    world.assert_same(*(world.export(database) for database in published))
