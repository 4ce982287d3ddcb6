"""The DAGs: what they are made of, and one real run each way: `dags test`, and over REST in a real Airflow."""

from __future__ import annotations

import ast
import itertools
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from conftest import PROJECT, Home, ledger_of

from onefunnel.orchestrator import airflow, environment, running
from onefunnel.paths import Paths
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import connection, serve_all

SCALE = 0.1  # of the company
CHAIN = ["start", "extract", "check_raw", "build", "seal", "check_marts", "publish", "report"]
INSPECT = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
sys.path.insert(0, sys.argv[1])  # as a DAG bundle does
bag = DagBag(sys.argv[1])
def valid(param):  # without a value of its own
    try:
        param.resolve()
    except ValueError:
        return False
    return True
print(json.dumps({"errors": bag.import_errors, "dags": {d.dag_id: {
    "tasks": {t.task_id: {"retries": t.retries, "timeout": t.execution_timeout is not None, "owner": t.owner, "callback": bool(t.on_failure_callback),
              "backoff": bool(t.retry_exponential_backoff), "outlets": [o.name for o in t.outlets], "down": sorted(t.downstream_task_ids),
              "mapped": t.is_mapped} for t in d.tasks},
    "doc": d.doc_md or "", "tags": sorted(d.tags), "params": sorted(d.params),
    "asked": sorted(k for k in d.params if not valid(d.params.get_param(k))), "catchup": d.catchup, "schedule": str(d.schedule)} for d in bag.dags.values()}}))
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An installation of the sandbox company, with the project's own pipeline.yml."""
    home = Home(tmp_path_factory.mktemp("airflow") / "home")
    home.path.mkdir()
    home.config.write_text((PROJECT / "pipeline.yml").read_text())
    return home


def airflow_environment(home: Home, port: int = 8080) -> dict[str, str]:
    os.environ.update({k: v for k, v in home.environment.items() if k.startswith("ONEFUNNEL_")})
    return {**environment(Paths(home.path, home.project), port), "ONEFUNNEL_CONFIG": str(home.config)}


def test_dag_files_import_only_what_they_may() -> None:
    allowed = {"airflow.sdk", "airflow.sdk.exceptions", "onefunnel.settings", "steps", *sys.stdlib_module_names}
    for path in (PROJECT / "dags").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert {n for n in names if n not in allowed and n.split(".")[0] not in allowed} == set(), path


def inspected(home: Home) -> dict[str, Any]:
    """What Airflow makes of the DAG files."""
    done = subprocess.run(
        [sys.executable, "-c", INSPECT, str(PROJECT / "dags")],
        env=airflow_environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found["errors"] == {}
    return found


@pytest.mark.airflow
def test_the_dags_are_wired_as_documented(sandbox: Home) -> None:
    found = inspected(sandbox)
    assert set(found["dags"]) == {"revenue_daily", "revenue_backfill"}
    for dag in found["dags"].values():
        assert sorted(dag["tasks"]) == sorted(CHAIN)
        for here, after in itertools.pairwise(CHAIN):
            assert dag["tasks"][here]["down"] == [after]
        for task in dag["tasks"].values():
            assert (task["retries"], task["timeout"], task["callback"], task["backoff"], task["owner"]) == (
                3,
                True,
                True,
                True,
                "data",
            )
        assert dag["tasks"]["extract"]["mapped"]
        assert dag["tasks"]["publish"]["outlets"] == ["marts/revenue"]
        assert dag["doc"].strip().startswith("# revenue_")
        assert "onefunnel" in dag["tags"]
        assert not dag["catchup"]
    assert found["dags"]["revenue_backfill"]["params"] == [
        "accept_deletions",
        "approve_restatement",
        "as_of",
        "first_day",
        "last_day",
    ]
    assert found["dags"]["revenue_backfill"]["asked"] == ["first_day", "last_day"], "no range that nobody chose"
    # The sandbox company has a clock of its own: a DAG that is unpaused must not start a run for the real date.
    assert {d["schedule"] for d in found["dags"].values()} == {"None"}


@pytest.mark.airflow
def test_a_declared_schedule_reaches_the_daily_dag_and_no_other(sandbox: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    home.config.write_text(re.sub(r"(?m)^schedule: null$", 'schedule: "20 4 * * *"', sandbox.config.read_text()))
    found = inspected(home)["dags"]
    assert {k: d["schedule"] for k, d in found.items()} == {"revenue_daily": "20 4 * * *", "revenue_backfill": "None"}


@pytest.mark.airflow
def test_a_step_sees_the_connection_of_its_own_source_alone(sandbox: Home) -> None:
    show = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import steps; found = {s: steps.environment_of_step("
        "steps.connection_of(s), last_try=False) for s in ('search_ads', 'trade_shows')};"
        " print(json.dumps({s: sorted(k for k in e if k.startswith('AIRFLOW_CONN_')) for s, e in found.items()}))"
    )
    held = {f"AIRFLOW_CONN_{n}": '{"conn_type": "http", "password": "of-a-test"}' for n in ("SEARCH_ADS", "CRM")}
    done = subprocess.run(
        [sys.executable, "-c", show, str(PROJECT / "dags")],
        env={**airflow_environment(sandbox), **held},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {"search_ads": ["AIRFLOW_CONN_SEARCH_ADS"], "trade_shows": []}


@pytest.fixture(scope="module")
def demo(sandbox: Home) -> str:
    """Day 1 through `onefunnel demo`: a DAG run in real Airflow over the platforms' APIs; what it printed."""
    done = sandbox.cli("demo", "--scale", str(SCALE), timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.airflow
def test_the_demo_says_what_it_loaded_checked_and_published(sandbox: Home, demo: str) -> None:
    for words in ("Loaded", "Checked raw", "Checked build", "Checked marts", "Readers see", "index.html", "search_ads"):
        assert words in demo
    assert (sandbox.path / "published" / "site" / "index.html").is_file()
    assert sandbox.query("select count(*) from marts.fct_ad_spend")[0][0] > 1000
    said = "select count(distinct source_system), sum(abs(difference)) from metadata.source_totals"
    assert sandbox.query(said) == [(5, 0)], "what five of the six platforms count of their own has arrived"
    shown = {(row["source"], row["stream"]): row for row in sandbox.ok("sources", "--json")}
    for source in ("search_ads", "partner_search_ads", "social_ads", "video_ads"):
        row = shown[source, "performance_daily"]
        assert row["totals"].endswith("agree") and "requests" in row["quota"] and " … " in row["read"]
    assert "api-usage" in shown["crm", "leads"]["quota"]
    assert "requests" in shown["events", "event_touches"]["quota"]
    came = "select count(*) filter (where person_key <> '-1') * 1.0 / count(*), count(*) from marts.fct_touch where channel = 'event'"
    [(known, touches)] = sandbox.query(came)
    assert known > 0.9 and touches > 20, "HubSpot's participants are Salesforce's people"


# The task keeps everyone out of the ledger, so the step that it starts waits, until the task's time is over.
SLOW = """
import contextlib, datetime as dt, os, sqlite3
from airflow.sdk import dag, task
from steps import DEFAULT_ARGS, step

@dag(schedule=None, default_args={**DEFAULT_ARGS, "retry_delay": dt.timedelta(0)})
def slow():
    @task(execution_timeout=dt.timedelta(seconds=3))
    def start():
        with contextlib.closing(sqlite3.connect(os.environ["ONEFUNNEL_HOME"] + "/ledger.sqlite")) as ledger:
            ledger.execute("begin immediate")
            step("start")
    start()

slow()
"""


@pytest.mark.airflow
@pytest.mark.long
def test_a_step_that_takes_longer_than_its_task_may_is_ended_and_not_tried_again(
    sandbox: Home, demo: str, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    done = subprocess.run(
        airflow("dags", "test", "slow"),
        env={
            **airflow_environment(sandbox),
            "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(PROJECT / "dags"), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode != 0, done.stdout[-3000:]
    with sqlite3.connect(sandbox.path / "airflow" / "airflow.db") as db:
        tries = db.execute("select run_id, state, try_number from task_instance where dag_id = 'slow'").fetchall()
    ((run_id, state, tried),) = tries
    assert (state, tried) == ("failed", 1)
    (log,) = sandbox.path.glob("airflow/logs/dag_id=slow/run_id=*/task_id=start/attempt=*.log")
    assert "slow.start failed; readers keep the last audited version" in log.read_text()
    ours = re.sub(r"[^A-Za-z0-9._-]", "-", run_id)
    assert not [p for p in psutil.process_iter(["cmdline"]) if ours in (p.info["cmdline"] or [])], "no step outlives it"
    assert ledger_of(sandbox).run(ours) is None, "it was still waiting when it was ended"


@pytest.mark.airflow
@pytest.mark.long
def test_a_consent_to_deletions_reaches_each_extract(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.declare(schedule=None)
    env = airflow_environment(home)
    subprocess.run(airflow("db", "migrate"), env=env, capture_output=True, check=True)
    said = json.dumps({"accept_deletions": "nobody"})
    done = subprocess.run(
        airflow("dags", "test", "revenue_daily", "--conf", said), env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    (log,) = home.path.glob("airflow/logs/dag_id=revenue_daily/run_id=*/task_id=extract/map_index=0/attempt=*.log")
    assert "--source spend --accept-deletions nobody" in log.read_text()
    assert "There is no source 'nobody'" in log.read_text()


class Api:
    """Airflow's REST API, logged in."""

    def __init__(self, home: Home, port: int, processes: list[subprocess.Popen[bytes]]) -> None:
        self.port, self.processes = port, processes
        self.base = f"http://127.0.0.1:{port}"
        passwords = json.loads((home.path / "airflow" / "simple_auth_manager_passwords.json.generated").read_text())
        user, password = next(iter(passwords.items()))
        reply = requests.post(f"{self.base}/auth/token", json={"username": user, "password": password}, timeout=30)
        reply.raise_for_status()
        self.headers = {"Authorization": f"Bearer {reply.json()['access_token']}"}

    def call(self, method: str, path: str, **body: Any) -> Any:
        reply = requests.request(
            method, f"{self.base}/api/v2/{path}", headers=self.headers, json=body or None, timeout=60
        )
        assert reply.ok, (path, reply.status_code, reply.text[:500])
        return reply.json()

    def log_of(self, run_id: str, task: str, map_index: int = -1) -> str:
        text = self.call(
            "GET",
            f"dags/revenue_daily/dagRuns/{run_id}/taskInstances/{task}/logs/1?map_index={map_index}&full_content=true",
        )
        return json.dumps(text)


@contextmanager
def platforms(home: Home, day: int) -> Iterator[None]:
    """The company's platforms answer, and this environment has the connections to them."""
    sources = yaml.safe_load(home.config.read_text())["sources"]
    vendors = {name: source["connector"] for name, source in sources.items() if source["connector"] != "files"}
    company = Company(scale=SCALE, business=True, served=True)
    with serve_all(company, day, list(vendors.values())) as bases:
        os.environ.update({f"AIRFLOW_CONN_{n.upper()}": connection(v, bases[v]) for n, v in vendors.items()})
        yield


@pytest.fixture(scope="module")
def api(sandbox: Home, demo: str) -> Iterator[Api]:
    """Airflow over the demo's state, as `make up` starts it, on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    airflow_environment(sandbox)
    paths = Paths(sandbox.path, sandbox.project)
    with platforms(sandbox, day=2), running(paths, port) as processes:
        deadline = time.monotonic() + 180
        while True:
            try:
                health = requests.get(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=5).json()
                if all(health[part]["status"] == "healthy" for part in ("scheduler", "dag_processor", "triggerer")):
                    break
            except (requests.RequestException, ValueError, KeyError):
                pass
            said = "".join(log.read_text()[-2000:] for log in paths.airflow.glob("*.log"))
            assert time.monotonic() < deadline, said
            assert [p.poll() for p in processes] == [None] * len(processes), said
            time.sleep(1)
        yield Api(sandbox, port, processes)
    assert not [
        p
        for p in psutil.process_iter(["environ"])
        if (p.info["environ"] or {}).get("AIRFLOW_HOME") == str(paths.airflow)
    ]


@pytest.mark.airflow
@pytest.mark.long
def test_airflow_listens_on_the_loopback_only(api: Api) -> None:
    family = [
        f for p in api.processes for f in (psutil.Process(p.pid), *psutil.Process(p.pid).children(recursive=True))
    ]
    listening = {c.laddr for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert {(a.ip, a.port) for a in listening} == {("127.0.0.1", api.port)}


@pytest.mark.airflow
@pytest.mark.long
def test_the_dag_runs_green_over_rest_and_the_ui_shows_the_demo_too(sandbox: Home, api: Api) -> None:
    deadline = time.monotonic() + 120
    while not any(d["dag_id"] == "revenue_daily" for d in api.call("GET", "dags?limit=50")["dags"]):
        assert time.monotonic() < deadline, "the DAG was not found"
        time.sleep(1)
    dag = api.call("GET", "dags/revenue_daily")
    assert dag["is_paused"], "DAGs start paused"

    first = api.call("GET", "dags/revenue_daily/dagRuns")["dag_runs"]
    assert [r["state"] for r in first] == ["success"], "the demo's run is visible"
    assert "fct_ad_spend" in api.log_of(first[0]["dag_run_id"], "build"), "with its log and the per-model table"
    assert "search_ads" in api.log_of(first[0]["dag_run_id"], "extract", map_index=0), "and its mapped extracts"

    unasked = requests.post(
        f"{api.base}/api/v2/dags/revenue_backfill/dagRuns",
        headers=api.headers,
        json={"logical_date": None, "conf": {"first_day": "2026-04-01"}},
        timeout=60,
    )
    assert unasked.status_code == 400, unasked.text[:500]
    assert "last_day" in unasked.text, "a backfill needs both days"

    day = sandbox.ok("sandbox", "next-day", "--scale", str(SCALE))
    api.call("PATCH", "dags/revenue_daily", is_paused=False)
    triggered = api.call("POST", "dags/revenue_daily/dagRuns", logical_date=None, conf={"as_of": day["as_of"]})[
        "dag_run_id"
    ]
    deadline = time.monotonic() + 400
    while (state := api.call("GET", f"dags/revenue_daily/dagRuns/{triggered}")["state"]) in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(2)
    tasks = api.call("GET", f"dags/revenue_daily/dagRuns/{triggered}/taskInstances")["task_instances"]
    assert state == "success", {t["task_id"]: t["state"] for t in tasks}
    assert len([t for t in tasks if t["task_id"] == "extract"]) == 12
    assert sandbox.ok("status", "--json")["readers_see"]["as_of"] == day["as_of"].replace("T", " ").replace("Z", "")
    assert any(a["name"] == "marts/revenue" for a in api.call("GET", "assets")["assets"])
