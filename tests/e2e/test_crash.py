"""Kills, full disks, two runs at once: readers keep the last audited version, and one plain re-run mends everything."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import HEADER, Home, sealed_candidate

from onefunnel import publish
from onefunnel.ledger import Ledger
from onefunnel.paths import Paths

STEPS = (("extract",), ("check", "raw"), ("build",), ("seal",), ("check", "marts"), ("publish",), ("report",))
AS_OF = "2026-01-05T06:00:00Z"


def day(n: int, cost: int = 100, rows: int = 20) -> str:
    return HEADER + "".join(f"2026-01-{n:02d},a{i % 3},c{i},EUR,{cost + i}.25,{i}\n" for i in range(rows))


def paths_of(home: Home) -> tuple[Paths, Ledger]:
    paths = Paths(home.path, home.project)
    return paths, Ledger(paths.ledger, paths.locks)


def marts(home: Home) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every mart, sorted."""
    with duckdb.connect(str((home.path / "published" / "revenue.duckdb").resolve()), read_only=True) as db:
        names = [
            n
            for (n,) in db.execute(
                "select table_name from duckdb_tables() where schema_name = 'marts' order by 1"
            ).fetchall()
        ]
        return {n: db.execute(f"select * from marts.{n} order by all").fetchall() for n in names}


def start_and_kill(home: Home, ledger: Ledger, run_id: str, step: tuple[str, ...], after: float) -> bool:
    """Start a step, kill -9 it `after` seconds into its work; whether it was still alive then."""
    process = subprocess.Popen(
        [sys.executable, "-m", "onefunnel", *step, "--run-id", run_id],
        env=home.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    name = " ".join(step)
    while process.poll() is None and not any(
        s["step"] == name and s["state"] == "running" for s in ledger.steps(run_id)
    ):
        time.sleep(0.005)
    time.sleep(after)
    alive = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL) if alive else None
    process.wait()
    return alive


def test_a_run_killed_in_every_step_ends_like_one_that_never_was(tmp_path: Path) -> None:
    undisturbed, killed = Home(tmp_path / "undisturbed"), Home(tmp_path / "killed")
    for home in (undisturbed, killed):
        home.declare()
        home.drop("d1.csv", day(1))
    assert undisturbed.cli("run", "--as-of", AS_OF).returncode == 0

    paths, ledger = paths_of(killed)
    sealed_candidate(killed, "before")
    publish.publish(paths, ledger, "before")
    ledger.finish_run("before", "published")
    paths.warehouse.unlink()
    killed.ok("start", "--run-id", "r1", "--as-of", AS_OF)
    chance = random.Random(11)
    hit = []
    for step in STEPS:
        if start_and_kill(
            killed,
            ledger,
            "r1",
            step,
            chance.uniform(0.0, 0.05 if step[0] in ("seal", "publish", "report", "extract") else 1.5),
        ):
            hit.append(step)
        if step[0] not in ("publish", "report"):
            assert publish.current_run(paths) == "before"
        done = killed.cli(*step, "--run-id", "r1")
        # what had finished before the kill came says that it is done already (exit 2), the rest is simply done again
        assert done.returncode == 0 or (step[0] == "publish" and ledger.run("r1").state == "published"), done.stderr[
            -2000:
        ]
    assert len(hit) >= 5, hit
    assert publish.current_run(paths) == "r1"
    assert marts(killed) == marts(undisturbed)
    assert killed.cli("doctor").returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_a_whole_run_killed_anywhere_is_mended_by_a_plain_run(tmp_path: Path, seed: int) -> None:
    home = Home(tmp_path / "home")
    home.declare()
    home.drop("d1.csv", day(1))
    process = subprocess.Popen(
        [sys.executable, "-m", "onefunnel", "run", "--as-of", AS_OF],
        env=home.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(random.Random(seed).uniform(1, 30))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = home.cli("run", "--as-of", AS_OF)
    assert done.returncode == 0, done.stderr[-2000:]
    assert home.query("select sum(spend_amount) from marts.fct_ad_spend where is_current")[0][0] == sum(
        100 + i + 0.25 for i in range(20)
    )


def test_a_second_run_is_told_who_writes(home: Home) -> None:
    _, ledger = paths_of(home)
    home.drop("d1.csv", day(1))
    home.ok("start", "--run-id", "first", "--as-of", AS_OF)
    assert home.cli("extract", "--run-id", "first").returncode == 0
    for command in (("run",), ("run", "--from", "2026-01-01", "--to", "2026-01-31"), ("extract", "--run-id", "second")):
        second = home.cli(*command)
        assert second.returncode == 3, second.stderr
        assert "Run first is writing" in second.stderr
        assert "onefunnel unlock" in second.stderr
    assert home.cli("unlock").returncode == 0
    assert home.cli("extract", "--run-id", "second").returncode == 0
    resumed = home.cli("check", "raw", "--run-id", "first")
    assert resumed.returncode == 1
    assert ledger.run("first").state == "failed" or "superseded" in resumed.stderr


def test_a_late_publisher_is_refused(home: Home) -> None:
    """A run that resumes after a newer one has published (a zombie) cannot put its older data over it."""
    paths, _ = paths_of(home)
    sealed_candidate(home, "older")
    home.ok("unlock")
    sealed_candidate(home, "newer")
    home.ok("publish", "--run-id", "newer")
    late = home.cli("publish", "--run-id", "older")
    assert late.returncode == 1
    assert "superseded" in late.stderr
    assert publish.current_run(paths) == "newer"


def test_a_stopped_publisher_keeps_everyone_else_out(home: Home) -> None:
    """A process that hangs (SIGSTOP) still holds its lock: nobody takes its lease, and nothing is published twice."""
    paths, ledger = paths_of(home)
    sealed_candidate(home, "slow")
    process = subprocess.Popen(
        [sys.executable, "-m", "onefunnel", "publish", "--run-id", "slow"],
        env=home.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    while not ledger.held_locks("slow") and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        if ledger.held_locks("slow"):
            other = home.cli("run")
            assert other.returncode == 3, other.stderr
            # stopped in the middle of a ledger write, it shows as the ledger's lock instead
            assert "Run slow is writing" in other.stderr or "ledger is locked" in other.stderr
    finally:
        os.killpg(process.pid, signal.SIGCONT)
    assert process.wait(60) == 0
    assert publish.current_run(paths) == "slow"


def limited(size: int) -> Any:
    """No file of the child may grow beyond `size` bytes: to it, the disk is full."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(("step", "size"), [(("extract",), 300_000), (("build",), 700_000), (("seal",), 300_000)])
def test_a_full_disk_is_an_environment_error_and_leaves_nothing_behind(
    tmp_path: Path, step: tuple[str, ...], size: int
) -> None:
    home = Home(tmp_path / "home")
    home.declare()
    home.drop("d1.csv", day(1, rows=60_000))
    paths, ledger = paths_of(home)
    home.ok("start", "--run-id", "r1", "--as-of", AS_OF)
    for earlier in STEPS:
        if earlier == step:
            break
        if earlier == ("check", "raw"):  # judged by hand: this test is about the disk
            for load in ledger.loads():
                ledger.judge(load.load_id, "accepted", "test", "test")
        else:
            assert home.cli(*earlier, "--run-id", "r1").returncode == 0
    full = subprocess.run(
        [sys.executable, "-m", "onefunnel", *step, "--run-id", "r1"],
        env=home.environment,
        capture_output=True,
        text=True,
        preexec_fn=limited(size),
        check=False,
    )
    assert full.returncode == 3, full.stderr[-1500:]
    assert "do:" in full.stderr
    assert not list(paths.landing.glob("spend/*/.work-*"))
    assert not list(paths.candidates.glob(".*.partial"))
    again = home.cli(*step, "--run-id", "r1")
    assert again.returncode == 0, again.stderr[-1500:]
