"""Kills, full disks, two runs at once: readers keep the last audited version, and one plain re-run mends everything."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import HEADER, Home, sealed_candidate
from kills import calls_of, command, killed_at, needs_strace, readers_of

from onefunnel import publish
from onefunnel.landing import sha256_of
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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    """The marts of a day with which nothing went wrong."""
    home = Home(tmp_path_factory.mktemp("undisturbed") / "home")
    home.declare()
    home.drop("d1.csv", day(1))
    done = home.cli("run", "--as-of", AS_OF)
    assert done.returncode == 0, done.stderr[-2000:]
    return marts(home)


@pytest.mark.long
def test_a_run_killed_in_every_step_ends_like_one_that_never_was(home: Home, undisturbed: dict[str, Any]) -> None:
    killed = home
    killed.drop("d1.csv", day(1))
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
    assert marts(killed) == undisturbed
    assert killed.cli("doctor").returncode == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("moment", "count"),
    [
        ("Running with dbt=", 1),  # while it parses the project
        ("START sql ", 10),  # ten models on, what is there looks like a warehouse
    ],
)
def test_an_interrupted_build_is_red_and_a_plain_run_mends_it(
    home: Home, undisturbed: dict[str, Any], tmp_path: Path, moment: str, count: int
) -> None:
    paths, ledger = paths_of(home)
    if count == 1:
        home.extra["ONEFUNNEL_PARSED"] = str(tmp_path / "parsed")  # of its own, so that there is something to parse
    home.drop("d1.csv", day(1))
    home.ok("start", "--run-id", "r1", "--as-of", AS_OF)
    home.ok("extract", "--run-id", "r1")
    home.ok("check", "raw", "--run-id", "r1")
    process = subprocess.Popen(
        command("build", "--run-id", "r1"),
        env=home.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    log = paths.dbt / "logs" / "dbt.log"
    while process.poll() is None and (not log.exists() or log.read_text().count(moment) < count):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)  # as Ctrl-C does
    assert process.wait(120) == 1
    assert ("START sql " in log.read_text()) == (count > 1)
    run = ledger.run("r1")
    assert (run.state, run.failed_step) == ("failed", "build")
    assert "dbt was interrupted: KeyboardInterrupt" in run.message
    assert not paths.warehouse.exists()
    assert home.cli("seal", "--run-id", "r1").returncode == 1, "half a warehouse is not sealed"
    assert publish.current_run(paths) is None

    again = home.cli("run", "--as-of", AS_OF)
    assert again.returncode == 0, again.stderr[-2000:]
    assert marts(home) == undisturbed


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


def a_version(home: Home, run_id: str) -> None:
    """Publish a version with a page that says which it is."""
    paths, ledger = paths_of(home)
    sealed_candidate(home, run_id)
    publish.publish(paths, ledger, run_id)
    ledger.finish_run(run_id, "published")
    (paths.version(run_id) / "site").mkdir()
    (paths.version(run_id) / "site" / "index.html").write_text(run_id)
    publish.flip_site(paths, run_id)


@needs_strace
@pytest.mark.long
@pytest.mark.parametrize("every", [4, 1])
def test_a_rollback_killed_at_any_call_is_finished_by_the_next_command(home: Home, tmp_path: Path, every: int) -> None:
    paths, ledger = paths_of(home)
    for run_id in ("r000", "r001", "r002"):
        a_version(home, run_id)
    rollback = command("rollback", "--because", "wrong numbers")
    calls = calls_of(rollback, home.environment, tmp_path / "calls.txt", since=paths.warehouse.name)
    chosen = [call for call in calls if every == 1 or call[0] != "pwrite64"][::-every]
    assert len(chosen) > 5
    ends = {"before its record": 0, "before its flip": 0, "done": 0}
    with readers_of(paths.current, {"reconnecting": sys.executable}, tmp_path) as reports:
        for n, call in enumerate(chosen):
            target, run_id = str(publish.current_run(paths)), f"r{n + 100}"
            a_version(home, run_id)
            assert killed_at(call, rollback, home.environment), call
            shown = publish.current_run(paths)
            recorded = next(v["run_id"] for v in ledger.versions() if v["state"] == "current")
            ends["done" if shown == target else "before its flip" if recorded == target else "before its record"] += 1
            assert shown in (run_id, target)
            if n % 2 and shown != target:  # whoever gave the command gives it again …
                assert home.ok(*rollback[3:])["run_id"] == target
            else:  # … or nobody does, and the next run (which finds no file here) mends the links first
                assert "No file matches" in home.cli("run", "--as-of", AS_OF).stderr
                target = recorded
            assert publish.current_run(paths) == target
            assert (paths.site / "index.html").read_text() == target
            assert [v["run_id"] for v in ledger.versions() if v["state"] == "current"] == [target]
            version = paths.version(target)
            assert sha256_of(version / publish.DATABASE) == publish.read_manifest(version)["sha256"]
    assert all(ends.values()), ends
    assert (reports["reconnecting"]["errors"], reports["reconnecting"]["mixed"]) == ([], 0)
    assert reports["reconnecting"]["runs"] > len(chosen) // 2


def test_a_second_run_is_told_who_writes(home: Home) -> None:
    _, ledger = paths_of(home)
    home.drop("d1.csv", day(1))
    home.ok("start", "--run-id", "first", "--as-of", AS_OF)
    assert home.cli("extract", "--run-id", "first").returncode == 0
    for asked in (("run",), ("run", "--from", "2026-01-01", "--to", "2026-01-31"), ("extract", "--run-id", "second")):
        second = home.cli(*asked)
        assert second.returncode == 3, second.stderr
        assert "Run first is writing" in second.stderr
        assert "onefunnel unlock" in second.stderr
    assert home.cli("unlock").returncode == 0
    assert home.cli("extract", "--run-id", "second").returncode == 0
    resumed = home.cli("check", "raw", "--run-id", "first")
    assert resumed.returncode == 1
    assert ledger.run("first").state == "failed" or "superseded" in resumed.stderr


def stop_outside_of_the_ledger(process: subprocess.Popen[str], ledger: Ledger) -> None:
    """SIGSTOP a process when it is not in the middle of a write to the ledger, where it would keep everyone out."""
    while True:
        process.send_signal(signal.SIGSTOP)
        try:
            with sqlite3.connect(ledger.path, timeout=0.5) as db:
                db.execute("begin immediate")
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            time.sleep(0.001)


def test_a_process_that_wakes_up_in_a_superseded_run_writes_nothing(home: Home) -> None:
    """A zombie: stopped in its step, its lock is lost (somebody cleared the lock folder), and a newer run goes first."""
    paths, ledger = paths_of(home)
    home.drop("d1.csv", day(1, rows=60_000))
    home.ok("start", "--run-id", "older", "--as-of", AS_OF)
    process = subprocess.Popen(
        command("extract", "--run-id", "older"),
        env=home.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not ledger.steps("older"):
        time.sleep(0.001)
    stop_outside_of_the_ledger(process, ledger)
    try:
        assert ledger.loads() == [], "it must be stopped before it records what it found"
        shutil.rmtree(paths.locks)
        paths.locks.mkdir()
        a_version(home, "newer")
    finally:
        process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Run older was superseded" in said
    assert ledger.loads() == []
    assert ledger.run_extracts("older") == []
    assert ledger.run("older").state == "superseded"
    assert publish.current_run(paths) == "newer"


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


@pytest.mark.parametrize(
    ("step", "size"),
    [
        (("extract",), 300_000),
        pytest.param(("build",), 700_000, marks=pytest.mark.long),
        pytest.param(("seal",), 300_000, marks=pytest.mark.long),
    ],
)
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
