"""The ledger: who may write, which loads count, what is remembered."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from onefunnel import ledger as module
from onefunnel.errors import EnvironmentNotReady, StepFailed, Superseded, UsageError
from onefunnel.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite", tmp_path / "locks")


def begin(ledger: Ledger, run_id: str, driven: bool = False) -> None:
    ledger.begin_run(run_id, "daily", "2026-01-05 06:00:00", "0", "0", driven)


def receipt(load_id: str, **more: object) -> dict:
    return {
        "load_id": load_id,
        "source": "s",
        "stream": "t",
        "contract": "c",
        "run_id": "a",
        "known_at": "2026-01-05 06:00:00",
        "extracted_at": "x",
        "content_fingerprint": load_id,
        "declaration_fingerprint": "d",
        "rows": {"extracted": 1, "landed": 1, "rejected": 0},
        "files": [{"path": "a.csv", "sha256": load_id, "bytes": 1}],
        **more,
    }


def test_a_lease_is_reentrant_for_its_run_and_closed_to_others(ledger):
    begin(ledger, "a")
    begin(ledger, "b")
    first = ledger.acquire_lease("a")
    assert ledger.acquire_lease("a") == first
    with pytest.raises(EnvironmentNotReady, match="Run a is writing"):
        ledger.acquire_lease("b")
    ledger.finish_run("a", "failed", "build", "red")
    assert ledger.acquire_lease("b") == first + 1


def test_a_run_that_lost_its_lease_never_writes_again(ledger):
    begin(ledger, "a")
    begin(ledger, "b")
    ledger.acquire_lease("a")
    ledger.release_lease("a")
    ledger.acquire_lease("b")
    ledger.finish_run("b", "published")
    with pytest.raises(Superseded):
        ledger.acquire_lease("a")
    with pytest.raises(Superseded):
        ledger.record_publish("a", "hash")


CHECK = {"check_id": "c", "subject": "one", "severity": "block", "owner": "data", "state": "passed"}
COUNTS = {"load_id": "one", "extracted": 1, "loaded": 1, "deduplicated": 0, "quarantined": 0, "rejected": 0}
WRITES_OF_A_RUN = {
    "add_load": lambda ledger: ledger.add_load("a", receipt("two"), "p"),
    "judge": lambda ledger: ledger.judge("one", "accepted", "gate", "fine", run_id="a"),
    "set_run_extract": lambda ledger: ledger.set_run_extract("a", "s", "t", "one", "1 file"),
    "set_run_loads": lambda ledger: ledger.set_run_loads("a", ["one"]),
    "record_checks": lambda ledger: ledger.record_checks("a", "raw", [CHECK]),
    "record_row_ledger": lambda ledger: ledger.record_row_ledger("a", [COUNTS]),
    "record_publish": lambda ledger: ledger.record_publish("a", "hash"),
}


def content(ledger: Ledger) -> list[str]:
    with sqlite3.connect(ledger.path) as db:
        return list(db.iterdump())


@pytest.mark.parametrize("write", WRITES_OF_A_RUN.values(), ids=WRITES_OF_A_RUN)
def test_a_process_that_wakes_up_in_a_superseded_run_writes_nothing(ledger, write):
    for run in ("a", "b"):
        begin(ledger, run)
    ledger.acquire_lease("a")
    ledger.add_load("a", receipt("one"), "p")
    before = content(ledger)
    write(ledger)
    assert content(ledger) != before, "while the run has the lease, this writes"

    ledger.release_lease("a")
    ledger.acquire_lease("b")
    before = content(ledger)
    with pytest.raises(Superseded, match="Run a was superseded"):
        write(ledger)
    assert content(ledger) == before
    ledger.finish_run("b", "published")  # nobody holds the lease now, and it is not a's for all that
    before = content(ledger)
    with pytest.raises(Superseded):
        write(ledger)
    assert content(ledger) == before


def test_a_human_judges_whoever_runs(ledger):
    for run in ("a", "b"):
        begin(ledger, run)
    ledger.acquire_lease("a")
    ledger.add_load("a", receipt("one"), "p")
    ledger.release_lease("a")
    ledger.acquire_lease("b")
    assert ledger.judge("one", "refused", "by hand", "recalled")
    assert ledger.judge("one", "accepted", "by hand", "it was right")
    assert ledger.load("one").state == "accepted"


def test_a_superseded_run_stays_superseded_however_it_ends(ledger):
    for run in ("a", "b"):
        begin(ledger, run)
    ledger.acquire_lease("a")
    ledger.start_step("a", "build")  # and killed
    ledger.acquire_lease("b")
    ledger.finish_run("a", "failed", "build", "red")
    assert ledger.run("a").state == "superseded"
    assert ledger.lease()["run_id"] == "b"


def test_a_run_may_resume_when_nobody_ran_in_between(ledger):
    begin(ledger, "a")
    token = ledger.acquire_lease("a")
    ledger.finish_run("a", "failed", "build", "red")
    begin(ledger, "a")
    assert ledger.acquire_lease("a") == token


def test_a_killed_step_frees_its_lease_at_once_but_a_pause_between_steps_does_not(ledger, monkeypatch):
    begin(ledger, "a")
    begin(ledger, "b")
    ledger.acquire_lease("a")
    step = ledger.start_step("a", "build")
    ledger.end_step(step, "ok")
    with pytest.raises(EnvironmentNotReady, match="between two steps"):
        ledger.acquire_lease("b")
    ledger.start_step("a", "seal")  # and killed: it never ends, and holds no lock
    assert ledger.acquire_lease("b") == 2
    assert ledger.run("a").state == "superseded"


def test_a_silent_run_loses_its_lease_after_the_grace(ledger, monkeypatch):
    begin(ledger, "a")
    begin(ledger, "b")
    ledger.acquire_lease("a")
    monkeypatch.setattr(module, "LEASE_GRACE", dt.timedelta(0))
    assert ledger.acquire_lease("b") == 2


def hold(path: Path, locks: Path, ready, stop) -> None:
    with Ledger(path, locks).lock("a", "build"):
        ready.set()
        stop.wait(30)


def test_a_live_step_keeps_its_lease_whatever_the_clock_says(ledger, monkeypatch):
    begin(ledger, "a")
    begin(ledger, "b")
    ledger.acquire_lease("a")
    ledger.start_step("a", "build")
    monkeypatch.setattr(module, "LEASE_GRACE", dt.timedelta(0))
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    process = context.Process(target=hold, args=(ledger.path, ledger.locks, ready, stop))
    process.start()
    assert ready.wait(30)
    with pytest.raises(EnvironmentNotReady, match="build, pid"):
        ledger.acquire_lease("b")
    with pytest.raises(EnvironmentNotReady, match="already running"), ledger.lock("a", "build"):
        pass
    with pytest.raises(EnvironmentNotReady, match="alive"):
        ledger.unlock()
    process.kill()  # the kernel frees the lock of a dead process
    process.join()
    assert ledger.acquire_lease("b") == 2


def test_unlock_is_recorded(ledger):
    begin(ledger, "a")
    ledger.acquire_lease("a")
    assert ledger.unlock() == "a"
    assert ledger.unlock() is None
    assert [x["action"] for x in ledger.audits()] == ["unlock"]


def test_the_cursor_follows_accepted_loads_only(ledger):
    begin(ledger, "a")
    ledger.acquire_lease("a")
    for name in ("one", "two"):
        ledger.add_load("a", receipt(name), "p")
    assert ledger.accepted_files("s", "t") == {}
    ledger.judge("one", "accepted", "gate", "fine")
    ledger.judge("two", "refused", "gate", "bad")
    assert ledger.accepted_files("s", "t") == {"a.csv": "one"}
    ledger.judge("two", "accepted", "by hand", "it is right")
    assert ledger.accepted_files("s", "t") == {"a.csv": "two"}


def test_a_load_is_recorded_once(ledger):
    begin(ledger, "a")
    ledger.acquire_lease("a")
    assert ledger.add_load("a", receipt("one"), "p") == ledger.add_load("a", receipt("one"), "p")
    assert len(ledger.loads()) == 1
    with pytest.raises(UsageError, match="no load 'x'"):
        ledger.load("x")


def test_a_publish_after_a_rollback_needs_a_new_run(ledger):
    for run in ("a", "b", "c"):
        begin(ledger, run)
    for run in ("a", "b"):
        ledger.acquire_lease(run)
        ledger.record_publish(run, run)
        ledger.finish_run(run, "published")
    ledger.acquire_lease("c")
    ledger.record_rollback("a", "b")
    assert {v["run_id"]: v["state"] for v in ledger.versions()} == {"a": "current", "b": "rolled_back"}
    with pytest.raises(Superseded):
        ledger.record_publish("c", "c")
    with pytest.raises(Superseded):
        ledger.acquire_lease("c")


def test_a_newer_ledger_is_not_touched(ledger):
    with sqlite3.connect(ledger.path) as db:
        db.execute("pragma user_version = 99")
    with pytest.raises(StepFailed, match="schema version 99"):
        Ledger(ledger.path, ledger.locks)


def write_many(path: Path, locks: Path, n: int) -> None:
    own = Ledger(path, locks)
    for i in range(25):
        own.add_load("a", receipt(f"{n}-{i}"), "p")


def test_many_processes_write_at_once(ledger):
    begin(ledger, "a")
    ledger.acquire_lease("a")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(ledger.path, ledger.locks, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert len(ledger.loads()) == 100


def test_a_gate_does_not_overrule_a_human_who_was_faster(ledger):
    begin(ledger, "a")
    ledger.acquire_lease("a")
    ledger.add_load("a", receipt("one"), "p")
    ledger.judge("one", "refused", "by hand", "recalled")
    assert not ledger.judge("one", "accepted", "gate", "fine", run_id="a")
    assert ledger.load("one").state == "refused"


def test_nobody_starts_while_a_step_of_a_failed_run_still_works(ledger):
    begin(ledger, "a")
    begin(ledger, "b")
    ledger.acquire_lease("a")
    with ledger.lock("a", "extract-two"):
        ledger.finish_run("a", "failed", "extract one", "red")
        with pytest.raises(EnvironmentNotReady, match="is ending"):
            ledger.acquire_lease("b")
    assert ledger.acquire_lease("b") == 2
