"""Starts Airflow for people: the demo's one DAG run, and the UI. Airflow runs as a process; nothing here imports it."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from onefunnel.errors import EnvironmentNotReady, StepFailed
from onefunnel.ledger import Ledger
from onefunnel.paths import Paths

POLL_SECONDS = 0.3
# The log servers would listen on every interface; on one machine the UI reads the files.
PARTS = (("api-server",), ("scheduler", "--skip-serve-logs"), ("dag-processor",), ("triggerer", "--skip-serve-logs"))


def environment(paths: Paths, port: int = 8080) -> dict[str, str]:
    """The environment in which Airflow runs over this installation: SQLite, local executor, loopback only, no telemetry."""
    return {
        **os.environ,
        # Airflow starts its own parts by name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "ONEFUNNEL_HOME": str(paths.home),
        "ONEFUNNEL_PROJECT": str(paths.project),
        "ONEFUNNEL_CONFIG": str(paths.config),
        "AIRFLOW_HOME": str(paths.airflow),
        "AIRFLOW__CORE__DAGS_FOLDER": str(paths.project / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{paths.airflow / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(paths.airflow / "logs"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        # Where the workers report to; left alone, it stays on the default port.
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
        "PYTHONWARNINGS": "ignore",
    }


def airflow(*arguments: str) -> list[str]:
    """The command line of the Airflow that is installed beside this Python."""
    return [str(Path(sys.executable).with_name("airflow")), *arguments]


def stored_connections(paths: Paths) -> set[str]:
    """The ids of the connections that somebody has stored in Airflow's own database."""
    with closing(sqlite3.connect(f"{(paths.airflow / 'airflow.db').as_uri()}?mode=ro", uri=True)) as db:
        return {str(row[0]) for row in db.execute("select conn_id from connection")}


def migrate(paths: Paths) -> None:
    """Make Airflow's metadata database ready (a few seconds the first time).

    Raises:
        StepFailed: the migration failed.
    """
    paths.airflow.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(airflow("db", "migrate"), env=environment(paths), capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepFailed(
            "Airflow's database could not be made.", where=str(paths.airflow), do=(done.stderr or done.stdout)[-2000:]
        )


def test_run(
    paths: Paths, ledger: Ledger, dag_id: str, conf: str, say: Callable[[str], None]
) -> tuple[str | None, Path]:
    """Run a DAG once in this machine's Airflow, without a server, saying each step of ours as it ends.

    Returns:
        Our run's id (None when it did not come so far) and the log file.

    Raises:
        StepFailed: the DAG run is red.
    """
    before = {r.run_id for r in ledger.runs()}
    log = paths.airflow / f"{dag_id}.log"
    said: set[int] = set()
    run_id = None
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            airflow("dags", "test", dag_id, "--conf", conf),
            env=environment(paths),
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=paths.project,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                run_id = run_id or next((r.run_id for r in ledger.runs(limit=5) if r.run_id not in before), None)
                _say_new_steps(ledger, run_id, said, say)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    run_id = run_id or next((r.run_id for r in ledger.runs(limit=5) if r.run_id not in before), None)
    _say_new_steps(ledger, run_id, said, say)
    if process.returncode:
        run = ledger.run(run_id) if run_id else None
        raise StepFailed(
            f"The DAG run is red{': ' + run.message if run and run.message else '.'}",
            where=f"{dag_id}, log {log}",
            do="onefunnel status",
        )
    return run_id, log


def _say_new_steps(ledger: Ledger, run_id: str | None, said: set[int], say: Callable[[str], None]) -> None:
    for step in ledger.steps(run_id) if run_id else []:
        if step["state"] != "running" and step["step_id"] not in said:
            said.add(step["step_id"])
            say(f"{step['step']}: {step['state']}")


@contextmanager
def running(paths: Paths, port: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Airflow's parts as processes, each with its log `airflow/<part>.log`; they end, children included, with the block.

    Not `airflow standalone`: its log servers listen on every interface of the machine.
    """
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for part, *options in PARTS:
            with (paths.airflow / f"{part}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        airflow(part, *options),
                        env=environment(paths, port),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        cwd=paths.project,
                        start_new_session=True,
                    )
                )
        yield processes
    finally:
        for end in (signal.SIGTERM, signal.SIGKILL):
            for process in processes:
                with suppress(ProcessLookupError):  # the group lives as long as one of its processes
                    os.killpg(process.pid, end)
            for process in processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=20)


def serve(paths: Paths, port: int, say: Callable[[str], None]) -> None:
    """Airflow's UI, scheduler and DAG processor on 127.0.0.1, until Ctrl-C or SIGTERM.

    Raises:
        EnvironmentNotReady: the port is taken.
        StepFailed: a part of Airflow ended by itself.
    """
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise EnvironmentNotReady(
                f"Port {port} on 127.0.0.1 is in use.", do="Stop what uses it, or: onefunnel airflow --port …"
            )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), running(paths, port) as processes:
        say(f"Airflow starts on http://127.0.0.1:{port} (half a minute); Ctrl-C stops it.")
        say(f"  password  {paths.airflow / 'simple_auth_manager_passwords.json.generated'}")
        say(f"  logs      {paths.airflow}/*.log")
        while all(process.poll() is None for process in processes):
            time.sleep(1)
        ended = next(part for (part, *_), process in zip(PARTS, processes, strict=True) if process.poll() is not None)
        raise StepFailed(f"Airflow's {ended} ended.", where=str(paths.airflow / f"{ended}.log"), do="See its log.")
