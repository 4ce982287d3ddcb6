"""Readers of four kinds, working without a pause, through many publishes of which some are killed at chosen system calls."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import PROJECT, Home, sealed_candidate

from onefunnel import publish
from onefunnel.landing import sha256_of
from onefunnel.ledger import Ledger
from onefunnel.paths import Paths
from onefunnel.pipeline import Installation, publish_run
from onefunnel.settings import load_settings

PUBLISHES, KILLED = 50, 10
CALLS = "rename,renameat,renameat2,symlink,symlinkat,fsync,fdatasync,unlink,unlinkat,chmod,fchmodat,pwrite64"

# Every answer must come from ONE run: each row of each table carries the run that wrote it.
READER = """
import json, sys, time, duckdb
path, kind, stop = sys.argv[1:]
SQL = "select min(run_id), max(run_id), (select run_id from metadata.run_info), count(*) from marts.facts"
config = {"enable_external_access": False, "lock_configuration": True}
import pathlib
answers, mixed, errors, runs = 0, 0, [], set()
def ask(con):
    global answers, mixed
    low, high, info, count = con.execute(SQL).fetchall()[0]
    answers += 1
    mixed += not (low == high == info and count == 50)
    runs.add(info)
    return info
pooled = None
while not pathlib.Path(stop).exists():
    try:
        if kind == "pooled":
            if pooled is None or answers % 40 == 0:
                if pooled: pooled.close()
                pooled = duckdb.connect(path, read_only=True, config=config)
            ask(pooled)
        else:
            with duckdb.connect(path, read_only=True, config=config) as con:
                if kind == "transaction":
                    con.execute("begin")
                    first = {ask(con) for _ in range(5)}
                    con.execute("commit")
                    mixed += len(first) != 1
                else:
                    ask(con)
    except Exception as error:
        errors.append(repr(error))
    time.sleep(0.01)
print(json.dumps({"version": duckdb.__version__, "answers": answers, "mixed": mixed, "errors": errors[:3], "runs": len(runs)}))
"""


def publish_command(run_id: str) -> list[str]:
    return [sys.executable, "-m", "onefunnel", "publish", "--run-id", run_id]


def calls_of_a_publish(home: Home, run_id: str, log: Path) -> list[tuple[str, int]]:
    """The interesting system calls of a publish's main thread, each with its number among those of its name (as strace counts)."""
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={CALLS}", *publish_command(run_id)]
    subprocess.run(command, env=home.environment, check=True, capture_output=True)
    found = re.findall(rf"^(\d+) +({CALLS.replace(',', '|')})\(", log.read_text(), re.M)
    main = Counter(pid for pid, _ in found).most_common(1)[0][0]
    numbered: list[tuple[str, int]] = []
    for name in (name for pid, name in found if pid == main):
        numbered.append((name, 1 + sum(1 for n, _ in numbered if n == name)))
    return numbered


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace")
def test_readers_never_see_an_error_or_a_mixture_through_publishes_and_kills(home: Home, tmp_path: Path) -> None:
    paths = Paths(home.path, home.project)
    ledger = Ledger(paths.ledger, paths.locks)
    home.declare(retention={"versions": 2, "min_age_minutes": 1})
    sealed_candidate(home, "r000")
    subprocess.run(publish_command("r000"), env=home.environment, check=True, capture_output=True)
    sealed_candidate(home, "count")
    calls = calls_of_a_publish(home, "count", tmp_path / "calls.txt")
    assert len(calls) > KILLED

    stop = tmp_path / "stop"
    program = tmp_path / "reader.py"
    program.write_text(READER)
    kinds = {"pooled": sys.executable, "reconnecting": sys.executable, "transaction": sys.executable}
    client = PROJECT / ".venv-client" / "bin" / "python"
    if client.exists():
        kinds["client of DuckDB 1.x"] = str(client)
    readers = {
        k: subprocess.Popen([python, str(program), str(paths.current), k, str(stop)], stdout=subprocess.PIPE, text=True)
        for k, python in kinds.items()
    }

    killed_at = {n * PUBLISHES // KILLED: calls[n * len(calls) // KILLED] for n in range(KILLED)}
    here = Installation(paths, load_settings(home.config, paths.dbt_project), ledger)
    killed = 0
    for n in range(PUBLISHES):
        run_id = f"r{n + 1:03d}"
        sealed_candidate(home, run_id)
        before = publish.current_run(paths)
        if n in killed_at:
            name, when = killed_at[n]
            died = subprocess.run(
                [
                    "strace",
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    f"trace={name}",
                    "-e",
                    f"inject={name}:signal=SIGKILL:when={when}",
                    *publish_command(run_id),
                ],
                env=home.environment,
                capture_output=True,
                check=False,
            )
            killed += died.returncode != 0
            now = publish.current_run(paths)
            assert now in (before, run_id), "a killed publish shows the old version or the new one"
            version = paths.version(str(now))
            assert sha256_of(version / "revenue.duckdb") == publish.read_manifest(version)["sha256"]
        publish_run(here, run_id)  # for a killed one: once more
        assert publish.current_run(paths) == run_id
    time.sleep(0.5)
    stop.touch()
    reports = {k: json.loads(p.communicate(timeout=60)[0]) for k, p in readers.items()}
    assert killed == KILLED, "the kills must really have killed"
    for kind, report in reports.items():
        assert report["errors"] == [], (kind, report)
        assert report["mixed"] == 0, (kind, report)
        assert report["answers"] > PUBLISHES, (kind, report)
        assert report["runs"] > 5, (kind, report)
    assert len([v for v in ledger.versions() if v["state"] == "current"]) == 1
    if "client of DuckDB 1.x" not in reports:
        pytest.skip("make test installs the DuckDB 1.x client; the other three readers passed")
    assert reports["client of DuckDB 1.x"]["version"].startswith("1.")
