"""Seal, publish, roll back, collect."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys

import duckdb
import pytest
from conftest import PROJECT, Home, sealed_candidate

from onefunnel import publish
from onefunnel.engines.duckdb import reader
from onefunnel.errors import GateFailed, StepFailed, Superseded, UsageError
from onefunnel.ledger import Ledger
from onefunnel.paths import Paths


@pytest.fixture
def place(home: Home) -> tuple[Home, Paths, Ledger]:
    paths = Paths(home.path, home.project)
    return home, paths, Ledger(paths.ledger, paths.locks)


def publish_new(place, run_id: str) -> None:
    home, paths, ledger = place
    sealed_candidate(home, run_id)
    publish.publish(paths, ledger, run_id)
    ledger.finish_run(run_id, "published")


def seen(paths: Paths) -> str:
    with reader(paths.current.resolve()) as db:
        return db.execute("select any_value(run_id) from marts.facts").fetchall()[0][0]


def test_a_sealed_file_holds_the_published_schemas_their_comments_and_nothing_else(place):
    home, paths, _ = place
    manifest = sealed_candidate(home, "r1")
    assert manifest["tables"] == {"marts.facts": 50, "metadata.run_info": 1}
    file = paths.candidate("r1") / "revenue.duckdb"
    assert not file.with_name("revenue.duckdb.wal").exists()
    with reader(file) as db:
        assert db.execute("select comment from duckdb_tables() where table_name = 'facts'").fetchall() == [
            ("Rows. Grain: one row.",)
        ]
        assert db.execute(
            "select comment from duckdb_columns() where table_name = 'facts' and column_name = 'i'"
        ).fetchall() == [("A number.",)]
        assert db.execute("select count(*) from duckdb_tables() where table_name = 'secret'").fetchall() == [(0,)]


def test_what_is_published_is_what_was_audited(place):
    home, paths, ledger = place
    sealed_candidate(home, "r1")
    with (paths.candidate("r1") / "revenue.duckdb").open("r+b") as handle:
        handle.seek(-1, os.SEEK_END)
        handle.write(b"\x01")
    with pytest.raises(GateFailed, match="not the one that was audited"):
        publish.publish(paths, ledger, "r1")
    assert publish.current_run(paths) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"verdict": "fail"}, "verdict is fail"),
        ({"verdict": None}, "verdict is missing"),
        ({"checks": {"declared": 0, "executed": 0}}, "Expected 0 checks"),
        ({"checks": {"declared": 9, "executed": 8}}, "Expected 9 checks, ran 8"),
        ({"checks": {"declared": 1, "executed": 1, "sha256": "other"}}, "not the one that was audited"),
    ],
)
def test_a_candidate_without_a_whole_green_audit_is_not_published(place, change, says):
    home, paths, ledger = place
    sealed_candidate(home, "r1")
    publish.write_manifest(paths.candidate("r1"), {**publish.read_manifest(paths.candidate("r1")), **change})
    with pytest.raises(GateFailed, match=says):
        publish.publish(paths, ledger, "r1")
    assert not paths.current.exists()


def test_publishing_twice_is_publishing_once(place):
    publish_new(place, "r1")
    _, paths, ledger = place
    ledger.begin_run("r1", "daily", "x", "0", "0", driven=False)
    assert publish.publish(paths, ledger, "r1")["run_id"] == "r1"
    assert [v["run_id"] for v in ledger.versions()] == ["r1"]


def test_a_run_that_resumes_after_a_newer_one_published_is_refused(place):
    home, paths, ledger = place
    sealed_candidate(home, "old")
    ledger.release_lease("old")
    publish_new(place, "new")
    with pytest.raises(Superseded):
        publish.publish(paths, ledger, "old")
    assert seen(paths) == "new"


def test_rollback_takes_the_page_along_and_the_next_run_starts_clean(place):
    _, paths, ledger = place
    for run in ("r1", "r2"):
        publish_new(place, run)
        (paths.version(run) / "site").mkdir()
        (paths.version(run) / "site" / "index.html").write_text(run)
        publish.flip_site(paths, run)
    assert paths.warehouse.exists()
    publish.rollback(paths, ledger, None, "wrong numbers")
    assert (seen(paths), (paths.site / "index.html").read_text()) == ("r1", "r1")
    assert not paths.warehouse.exists()  # the next build starts from the landing, not from what was rolled back
    assert [(x["action"], x["because"]) for x in ledger.audits()] == [("rollback", "wrong numbers")]
    publish_new(place, "r3")
    assert seen(paths) == "r3"
    with pytest.raises(UsageError, match="no kept version r9"):
        publish.rollback(paths, ledger, "r9", "x")
    publish.rollback(paths, ledger, "r2", "it was right after all")  # only when it is asked for by name
    assert seen(paths) == "r2"


def test_a_damaged_version_is_not_rolled_back_to(place):
    _, paths, ledger = place
    for run in ("r1", "r2"):
        publish_new(place, run)
    file = paths.version("r1") / "revenue.duckdb"
    file.chmod(0o644)
    file.write_bytes(b"x" + file.read_bytes()[1:])
    with pytest.raises(StepFailed, match="damaged"):
        publish.rollback(paths, ledger, "r1", "x")
    assert seen(paths) == "r2"


def test_a_publish_killed_before_its_flip_is_finished_by_the_next_command(place):
    home, paths, ledger = place
    publish_new(place, "r1")
    sealed_candidate(home, "r2")
    paths.candidate("r2").rename(paths.version("r2"))
    ledger.record_publish("r2", "x")  # and killed here: the link still shows r1
    assert seen(paths) == "r1"
    assert publish.repair_links(paths, ledger) == "r2"
    assert seen(paths) == "r2"
    assert publish.repair_links(paths, ledger) is None


def test_a_publish_killed_before_its_flip_can_be_rolled_back(place):
    home, paths, ledger = place
    for run in ("r1", "r2"):
        publish_new(place, run)
    sealed_candidate(home, "r3")
    paths.candidate("r3").rename(paths.version("r3"))
    ledger.record_publish("r3", "x")  # and killed here: the link still shows r2
    publish.rollback(paths, ledger, None, "wrong numbers")
    assert {v["run_id"]: v["state"] for v in ledger.versions()} == {"r1": "kept", "r2": "current", "r3": "rolled_back"}
    assert ledger.audits()[-1]["subject"] == "r3 -> r2"
    assert publish.repair_links(paths, ledger) is None
    assert seen(paths) == "r2"
    publish.rollback(paths, ledger, None, "wrong as well")  # to r1, not to r3
    assert seen(paths) == "r1"


def test_old_versions_go_by_number_and_age_but_never_while_open(place):
    _, paths, ledger = place
    for n in range(5):
        publish_new(place, f"r{n}")
    hour = dt.timedelta(hours=1)
    assert publish.collect(paths, ledger, 2, hour) == []  # all were replaced moments ago
    program = f"import duckdb, time; c = duckdb.connect({str(paths.version('r1') / 'revenue.duckdb')!r}, read_only=True); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "1"
        assert publish.collect(paths, ledger, 2, dt.timedelta(0)) == ["r2", "r0"]
        process.kill()
    assert publish.collect(paths, ledger, 2, dt.timedelta(0)) == ["r1"]
    assert sorted(p.name for p in paths.versions.iterdir()) == ["r3", "r4"]
    assert seen(paths) == "r4"


def test_a_version_that_a_killed_publish_moved_and_never_recorded_is_collected(place):
    home, paths, ledger = place
    publish_new(place, "r1")
    for run in ("dead", "overtaken", "alive"):
        sealed_candidate(home, run)
        paths.candidate(run).rename(paths.version(run))  # and killed here
        if run == "dead":
            ledger.finish_run(run, "failed", "publish", "killed")
        else:
            ledger.start_step(run, "publish")  # the next run takes over from a step that died
    assert ledger.run("overtaken").state == "superseded"
    assert publish.collect(paths, ledger, 5, dt.timedelta(0)) == []  # none of them ever was a version
    assert sorted(p.name for p in paths.versions.iterdir()) == ["alive", "r1"]
    assert publish.publish(paths, ledger, "alive")["run_id"] == "alive"  # repeated, it finds what it had moved
    assert seen(paths) == "alive"


def test_a_reader_cannot_touch_anything_but_the_published_file(place, tmp_path):
    publish_new(place, "r1")
    _, paths, _ = place
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    with reader(paths.current.resolve()) as db:
        for statement in (
            f"select * from read_csv('{other}')",
            f"copy marts.facts to '{tmp_path}/x.csv'",
            f"attach '{tmp_path}/y.duckdb'",
            "create table marts.x (i int)",
            "delete from marts.facts",
            "set enable_external_access = true",
            "install httpfs",
            f"export database '{tmp_path}/z'",
            "select * from glob('/etc/*')",
            "pragma temp_directory='/tmp/q'",
        ):
            with pytest.raises(duckdb.Error):
                db.execute(statement)


def test_a_duckdb_1_client_reads_the_published_file(place):
    client = PROJECT / ".venv-client" / "bin" / "python"
    if not client.exists():
        pytest.skip("make test installs the DuckDB 1.x client")
    publish_new(place, "r1")
    _, paths, _ = place
    program = (
        "import duckdb, json; c = duckdb.connect(" + repr(str(paths.current)) + ", read_only=True,"
        " config={'enable_external_access': False, 'lock_configuration': True});"
        "print(json.dumps([duckdb.__version__, c.execute('select count(*) from marts.facts').fetchone()[0],"
        " c.execute(\"select comment from duckdb_tables() where table_name = 'facts'\").fetchone()[0]]))"
    )
    version, count, comment = json.loads(
        subprocess.run([client, "-c", program], capture_output=True, text=True, check=True).stdout
    )
    assert version.startswith("1.")
    assert (count, comment) == (50, "Rows. Grain: one row.")
