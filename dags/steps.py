"""What every DAG of this project shares: a step is one process of the command line, and its exit code says what to do.

Exit codes 1 (a gate or a step failed) and 2 (usage, configuration) fail the task at once: trying again cannot help.
Exit code 3 (environment: a held lock, a full disk, a file still being written) is retried with backoff.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from airflow.sdk import Asset, Connection, Param, conf, get_current_context, task
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowTaskTimeout,
)

from onefunnel.settings import declared_connection

log = logging.getLogger("onefunnel")
ENVIRONMENT = 3
MARTS = Asset(name="marts/revenue", uri="onefunnel://marts/revenue", group="onefunnel")


APPROVE_RESTATEMENT = Param(
    False,
    type="boolean",
    title="Approve restatement",
    description="Days that are final may differ from the published version by more than the gate allows. Kept in the audit trail.",
)


ACCEPT_DELETIONS = Param(
    None,
    type=["null", "string"],
    title="Accept deletions",
    description="A source of which most known records may be gone, because they were deleted. Kept in the audit trail.",
)


def explain_failure(context: dict[str, Any]) -> None:
    """Failure callback: what broke, what readers see, what to do next, in the failed task's log."""
    task = context["task_instance"]
    status = subprocess.run(
        [sys.executable, "-m", "onefunnel", "status"], check=False, capture_output=True, text=True, timeout=120
    ).stdout
    log.info("::endgroup::")  # of Airflow's "Post Execute", which the UI folds away
    with _task_log(task) as say:
        say(f"{task.dag_id}.{task.task_id} failed; readers keep the last audited version.", "error")
        say(status.rstrip())


DEFAULT_ARGS = {
    "owner": "data",
    "retries": 3,
    "retry_delay": dt.timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": dt.timedelta(minutes=10),
    "on_failure_callback": explain_failure,
}


def audited_run(*, first: Any, longest: dt.timedelta, build_with: tuple[str, ...] = ()) -> None:
    """The tasks of a run, wired: extract per source, judge, build, seal, judge, publish, report.

    Args:
        first: the task that opened the run; its result is the list of sources.
        longest: how long an extract or a build may take.
        build_with: further arguments of the build.
    """

    @task(execution_timeout=longest, map_index_template="{{ source }}")
    def extract(source: str, params: dict) -> None:
        accepted = params.get(
            "accept_deletions"
        )  # each step is told, so that a name that is none does not go unnoticed
        consent = ["--accept-deletions", accepted] if accepted else []
        step("extract", "--source", source, *consent, secrets=connection_of(source))

    @task(execution_timeout=dt.timedelta(hours=1))
    def check_raw() -> None:
        step("check", "raw")

    @task(execution_timeout=longest)
    def build() -> None:
        step("build", *build_with)

    @task(execution_timeout=dt.timedelta(hours=1))
    def seal() -> None:
        step("seal")

    @task(execution_timeout=dt.timedelta(hours=1))
    def check_marts(params: dict) -> None:
        step("check", "marts", *(["--approve-restatement"] if params.get("approve_restatement") else []))

    @task(execution_timeout=dt.timedelta(minutes=15), outlets=[MARTS])
    def publish() -> None:
        step("publish")

    @task(execution_timeout=dt.timedelta(minutes=15))
    def report() -> None:
        step("report")

    extract.expand(source=first) >> check_raw() >> build() >> seal() >> check_marts() >> publish() >> report()


def run_id_of(context: dict[str, Any]) -> str:
    """The DAG run's id as the id of our run: the same for all its tasks and for their retries."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", context["dag_run"].run_id)


def connection_of(source: str) -> dict[str, str]:
    """The connection that a source's connector needs, as the environment variable that the step reads; none for files.

    It comes from wherever Airflow keeps it: a secrets backend, the environment, its database. Only this step gets it.
    """
    wanted = declared_connection(source)
    if wanted is None:
        return {}
    try:
        return {f"AIRFLOW_CONN_{wanted.upper()}": Connection.get(wanted).as_json()}
    except AirflowNotFoundException as error:
        raise AirflowFailException(
            f"There is no connection {wanted}, which the source {source} needs: add it under Admin, Connections, in the"
            " secrets backend or in the environment."
        ) from error


def environment_of_step(secrets: dict[str, str], *, last_try: bool) -> dict[str, str]:
    """What a step's process sees: of all connections that this environment may hold those in `secrets` alone."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN_")},
        "ONEFUNNEL_LAST_TRY": "1" if last_try else "",
        "ONEFUNNEL_LOG_FORMAT": "json",  # says which lines are warnings and errors
        **secrets,
    }


def step(*arguments: str, secrets: dict[str, str] | None = None) -> Any:
    """Run one step in its own process, its log lines in this task's log; returns what it printed, read as JSON.

    Args:
        secrets: further environment variables of that process alone.

    Raises:
        AirflowFailException: exit code 1 or 2; the task is not tried again.
        AirflowException: exit code 3; the task is tried again.
    """
    context = get_current_context()
    task = context["ti"]
    last_try = task.try_number > task.max_tries
    command = [sys.executable, "-m", "onefunnel", *arguments, "--run-id", run_id_of(context)]
    environment = environment_of_step(secrets or {}, last_try=last_try)
    with _task_log(task) as say, tempfile.TemporaryFile("w+") as out:
        say("$ onefunnel " + " ".join(command[3:]))
        with subprocess.Popen(
            command, stdout=out, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        ) as process:
            try:
                for line in process.stderr or ():
                    say(*_message(line))
                code = process.wait()
            except BaseException as stop:  # no step outlives its task
                os.killpg(process.pid, signal.SIGTERM)
                if isinstance(stop, AirflowTaskTimeout):
                    raise AirflowFailException(f"onefunnel {arguments[0]} took longer than its task may") from stop
                raise
        out.seek(0)
        text = out.read()
        if code == 0:
            result = json.loads(text) if text.strip() else None
            say(_summary(result))
            return result
        say(f"exit code {code}", "error")
    message = f"onefunnel {arguments[0]} ended with exit code {code}; its last lines above say what to do"
    raise AirflowException(message) if code == ENVIRONMENT else AirflowFailException(message)


def _message(line: str) -> tuple[str, str]:
    """Text and level of a line that a step wrote to stderr; what is not of our own logger (dbt) is information."""
    try:
        entry = json.loads(line)
        return entry["message"], entry["level"]
    except (ValueError, KeyError, TypeError):
        return line.rstrip(), "info"


def _summary(result: Any) -> str:
    """A step's result without its lists: what they hold stands in the lines above, one each, as it happened."""
    if not isinstance(result, dict):
        return ""
    return json.dumps({k: v for k, v in result.items() if not isinstance(v, list)}, indent=2, ensure_ascii=False)


class _task_log:
    """Writes to the task's log; where no worker keeps one (`airflow dags test`), into the file the UI looks for."""

    ours: ClassVar[set[Path]] = set()

    def __init__(self, task: Any) -> None:
        parts = [f"dag_id={task.dag_id}", f"run_id={task.run_id}", f"task_id={task.task_id}"]
        if task.map_index >= 0:
            parts.append(f"map_index={task.map_index}")
        self.path = Path(conf.get("logging", "base_log_folder")).joinpath(*parts, f"attempt={task.try_number}.log")
        self.handle: Any = None

    def __enter__(self) -> Any:
        if self.path in self.ours or not self.path.exists():
            self.ours.add(self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.handle = self.path.open("a", encoding="utf-8")
        return self.say

    def __exit__(self, *_: object) -> None:
        if self.handle:
            self.handle.close()

    def say(self, text: str, level: str = "info") -> None:
        """One or several lines."""
        for line in text.splitlines():
            log.log(logging.getLevelName(level.upper()), "%s", line)
            if self.handle:
                now = dt.datetime.now(dt.UTC).isoformat()
                self.handle.write(json.dumps({"timestamp": now, "level": level, "event": line}) + "\n")
                self.handle.flush()
