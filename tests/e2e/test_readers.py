"""Readers of four kinds, working without a pause, through many publishes of which some are killed at chosen system calls."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import PROJECT, Home, sealed_candidate
from kills import calls_of, command, killed_at, needs_strace, readers_of

from onefunnel import publish
from onefunnel.landing import sha256_of
from onefunnel.ledger import Ledger
from onefunnel.paths import Paths
from onefunnel.pipeline import Installation, publish_run
from onefunnel.settings import load_settings


def publish_command(run_id: str) -> list[str]:
    return command("publish", "--run-id", run_id)


@needs_strace
@pytest.mark.parametrize(("publishes", "kills"), [(6, 2), pytest.param(50, 10, marks=pytest.mark.long)])
def test_readers_never_see_an_error_or_a_mixture_through_publishes_and_kills(
    home: Home, tmp_path: Path, publishes: int, kills: int
) -> None:
    paths = Paths(home.path, home.project)
    ledger = Ledger(paths.ledger, paths.locks)
    home.declare(retention={"versions": 2, "min_age_minutes": 1})
    sealed_candidate(home, "r000")
    home.ok("publish", "--run-id", "r000")
    sealed_candidate(home, "count")
    calls = calls_of(publish_command("count"), home.environment, tmp_path / "calls.txt")
    assert len(calls) > kills

    kinds = {"pooled": sys.executable, "reconnecting": sys.executable, "transaction": sys.executable}
    client = PROJECT / ".venv-client" / "bin" / "python"
    if client.exists():
        kinds["client of DuckDB 1.x"] = str(client)

    killed_in = {n * publishes // kills: calls[n * len(calls) // kills] for n in range(kills)}
    here = Installation(paths, load_settings(home.config, paths.dbt_project), ledger)
    killed = 0
    with readers_of(paths.current, kinds, tmp_path) as reports:
        for n in range(publishes):
            run_id = f"r{n + 1:03d}"
            sealed_candidate(home, run_id)
            before = publish.current_run(paths)
            if n in killed_in:
                killed += killed_at(killed_in[n], publish_command(run_id), home.environment)
                now = publish.current_run(paths)
                assert now in (before, run_id), "a killed publish shows the old version or the new one"
                version = paths.version(str(now))
                assert sha256_of(version / "revenue.duckdb") == publish.read_manifest(version)["sha256"]
            publish_run(here, run_id)  # for a killed one: once more
            assert publish.current_run(paths) == run_id
    assert killed == kills, "the kills must really have killed"
    for kind, report in reports.items():
        assert report["errors"] == [], (kind, report)
        assert report["mixed"] == 0, (kind, report)
        assert report["answers"] > publishes, (kind, report)
        assert report["runs"] >= 3, (kind, report)  # one may miss some: they come as fast as the machine makes them
    assert len([v for v in ledger.versions() if v["state"] == "current"]) == 1
    if "client of DuckDB 1.x" not in reports:
        pytest.skip("make test installs the DuckDB 1.x client; the other three readers passed")
    assert reports["client of DuckDB 1.x"]["version"].startswith("1.")
