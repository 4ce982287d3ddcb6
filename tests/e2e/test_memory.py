"""Two million records through a connector and into the landing: the memory is that of a few hundred thousand."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pytest
from conftest import PROJECT, Home

from benchmarks.answers import running
from benchmarks.cost import cost_of
from onefunnel.sandbox import PUBLIC_TOKEN_KEY
from onefunnel.sandbox.servers import connection

FEW, MANY = 500_000, 2_000_000
MOST_MB = 500
STREAMS = [("google_ads", "performance_daily"), ("salesforce", "leads")]


def landed(vendor: str, stream: str, records: int, home: Home) -> float:
    """Fetch and land so many records in a process of its own; returns its peak memory in megabytes."""
    with running(vendor, "--records", str(records)) as base:
        home.extra |= {"AIRFLOW_CONN_MANY": connection(vendor, base), "ONEFUNNEL_TOKEN_KEY": PUBLIC_TOKEN_KEY}
        declared = {"connector": vendor, "owner": "marketing", "since": "2026-01-01", "streams": [stream]}
        home.declare(sources={"many": declared})
        home.ok("start", "--run-id", "r1", "--as-of", "2026-04-10T06:00:00Z")
        step = [sys.executable, "-m", "onefunnel", "extract", "--run-id", "r1"]
        cost = cost_of(step, home.environment, PROJECT)
    (file,) = home.path.glob("landing/many/*/*/records.parquet")
    with duckdb.connect() as db:
        assert db.execute(f"select count(*) from read_parquet('{file}')").fetchall() == [(records,)]
    return cost.peak_mb


@pytest.mark.long
@pytest.mark.parametrize(("vendor", "stream"), STREAMS, ids=[vendor for vendor, _ in STREAMS])
def test_memory_is_flat_in_the_number_of_records(vendor: str, stream: str, tmp_path: Path) -> None:
    few, many = (landed(vendor, stream, n, Home(tmp_path / str(n))) for n in (FEW, MANY))
    print(f"{vendor}: {few:,.0f} MB for {FEW:,} records, {many:,.0f} MB for {MANY:,}")
    assert many < MOST_MB
    assert many < 1.35 * few
