"""The services of docker-compose.yml, by their own commands, against a real PostgreSQL: one audited run over REST."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from compose import Machine, services
from conftest import HEADER, PROJECT, Home

AS_OF = "2026-01-05T06:00:00Z"
COSTS = [Decimal(i) + Decimal("0.25") for i in range(40)]
VENV = PROJECT / ".venv-containers"
PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps them out of the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    return max((p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")), default=None)


pytestmark = [
    pytest.mark.airflow,
    pytest.mark.long,
    pytest.mark.skipif(postgres_programs() is None, reason="PostgreSQL is not installed: apt-get install postgresql"),
    pytest.mark.skipif(
        not (VENV / ".installed").exists(),
        reason="what the image holds is not installed: make .venv-containers/.installed",
    ),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, ready: Callable[[], Any], seconds: float, said: Callable[[], str] = str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, f"{what} took too long\n{said()}"
        time.sleep(1)
    return found


@contextmanager
def postgres(machine: Machine, folder: Path, port: int) -> Iterator[None]:
    """A cluster as the image of PostgreSQL makes one from its environment, run by the service's own command."""
    programs = postgres_programs()
    assert programs
    declared_as = machine.environment("postgres")
    # PostgreSQL refuses to run as root, and its user may not look into pytest's folders.
    user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    try:
        password = folder / "password"
        password.write_text(declared_as["POSTGRES_PASSWORD"])
        if user:
            for path in (folder, password):
                shutil.chown(path, user["user"])
        cluster = ["--pgdata", f"{folder}/data", "--username", declared_as["POSTGRES_USER"], "--pwfile", str(password)]
        subprocess.run(
            [programs / "initdb", *cluster, "--auth=scram-sha-256", "--no-sync"],
            check=True,
            capture_output=True,
            **user,
        )
        program, *options = services()["postgres"]["command"]
        local = ["-D", f"{folder}/data", "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        with (machine.root / "postgres.log").open("wb") as log:
            server = subprocess.Popen([programs / program, *options, *local], stdout=log, stderr=log, **user)
        try:
            wait_for("PostgreSQL", lambda: machine.healthy("postgres"), 60, (machine.root / "postgres.log").read_text)
            subprocess.run(
                [programs / "createdb", "--username", declared_as["POSTGRES_USER"], declared_as["POSTGRES_DB"]],
                env={**declared_as, "PGPASSWORD": declared_as["POSTGRES_PASSWORD"]},
                check=True,
                capture_output=True,
            )
            yield
        finally:
            server.send_signal(signal.SIGINT)  # do not wait for clients
            server.wait(60)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """The machine with its secrets and a small configuration instead of the sandbox company's; nothing runs yet."""
    root = tmp_path_factory.mktemp("machine")
    given = {
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW_JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW_SECRET_KEY": secrets.token_hex(32),
        "ONEFUNNEL_TOKEN_KEY": secrets.token_hex(32),
    }
    api, database = free_port(), free_port()
    small = Home(root / "small")
    small.declare()
    moved = {
        "@postgres:5432/": f"@127.0.0.1:{database}/",
        "http://api-server:8080": f"http://127.0.0.1:{api}",
        "http://127.0.0.1:8080": f"http://127.0.0.1:{api}",
        "0.0.0.0": "127.0.0.1",
    }
    folder = Path(tempfile.mkdtemp(prefix="onefunnel-postgres-"))
    instead = {
        "onefunnel": {
            "PATH": f"{VENV}/bin{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW__API__PORT": str(api),
            "ONEFUNNEL_CONFIG": str(small.config),
        },
        "postgres": {
            "PATH": f"{postgres_programs()}{os.pathsep}{os.environ['PATH']}",
            "PGHOST": str(folder),
            "PGPORT": str(database),
        },
    }
    found = Machine(root, given, moved, instead)
    found.mount()
    (root / "volumes" / "state" / "published").mkdir()  # as the Dockerfile does
    drop = Path(found.place("scheduler", "/var/lib/onefunnel/drop/spend"))
    drop.mkdir(parents=True)
    file = drop / "d1.csv"
    file.write_text(HEADER + "".join(f"2026-01-04,a1,c{i},EUR,{cost},{i}\n" for i, cost in enumerate(COSTS)))
    os.utime(file, (time.time() - 120, time.time() - 120))
    with postgres(found, folder, database):
        yield found


@pytest.fixture(scope="module")
def running(machine: Machine) -> Iterator[dict[str, list[str]]]:
    """All services that stay, healthy; the command that each service was started with."""
    ran = {"postgres": services()["postgres"]["command"]}
    init = machine.run("init", services()["init"]["command"])
    assert init.returncode == 0, init.stderr[-3000:]
    ran["init"] = services()["init"]["command"]
    # As docs/how-to/run-in-containers.md says: the password is asked for, it is no argument.
    boss = "airflow users create --username boss --role Admin --email boss@example.com --firstname B --lastname B"
    made = machine.run("scheduler", boss.split(), input="correct horse battery\n" * 2)
    assert made.returncode == 0, made.stderr[-3000:]
    started: dict[str, subprocess.Popen[bytes]] = {}
    logs = lambda: "\n".join(p.read_text()[-3000:] for p in machine.root.glob("*.log"))  # noqa: E731
    try:
        for name in PARTS:
            started[name] = machine.start(name)
            ran[name] = services()[name]["command"]
        for name in PARTS:
            wait_for(name, lambda name=name: machine.healthy(name), 180, logs)
            assert started[name].poll() is None, logs()
        yield ran
    finally:
        for end in (signal.SIGTERM, signal.SIGKILL):
            for process in started.values():
                try:
                    os.killpg(process.pid, end)
                    process.wait(30)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
    left = [p for p in psutil.process_iter(["environ"]) if str(machine.root) in str(p.info["environ"] or {})]
    assert [p for p in left if p.pid != os.getpid()] == []


def test_the_services_run_the_daily_dag_and_readers_see_it(machine: Machine, running: dict[str, list[str]]) -> None:
    before = project_files()
    base = machine.translated("api-server", services()["api-server"]["environment"]["AIRFLOW__API__BASE_URL"])
    login = {"username": "boss", "password": "correct horse battery"}
    assert requests.post(f"{base}/auth/token", json={**login, "password": "wrong"}, timeout=30).status_code == 401
    assert requests.get(f"{base}/api/v2/dags", timeout=30).status_code == 401, "nobody is let in without a password"
    token = requests.post(f"{base}/auth/token", json=login, timeout=30).json()["access_token"]

    def call(method: str, path: str, **body: Any) -> Any:
        reply = requests.request(
            method, f"{base}/api/v2/{path}", headers={"Authorization": f"Bearer {token}"}, json=body or None, timeout=60
        )
        assert reply.ok, (path, reply.status_code, reply.text[:500])
        return reply.json()

    wait_for("the DAG", lambda: any(d["dag_id"] == "revenue_daily" for d in call("GET", "dags")["dags"]), 120)
    call("PATCH", "dags/revenue_daily", is_paused=False)
    run_id = call("POST", "dags/revenue_daily/dagRuns", logical_date=None, conf={"as_of": AS_OF})["dag_run_id"]
    path = f"dags/revenue_daily/dagRuns/{run_id}"
    wait_for("the run", lambda: call("GET", path)["state"] not in ("queued", "running"), 300)
    tasks = call("GET", f"{path}/taskInstances")["task_instances"]
    assert call("GET", path)["state"] == "success", {t["task_id"]: t["state"] for t in tasks}
    log = json.dumps(call("GET", f"{path}/taskInstances/build/logs/1?full_content=true"))
    assert "fct_ad_spend" in log, "the API server reads the logs from their volume"

    # A reader has published/ only, and asks by the command of its service.
    read = machine.run("reader", services()["reader"]["command"])
    assert read.returncode == 0, read.stderr[-2000:]
    assert "spend" in read.stdout
    running["reader"] = services()["reader"]["command"]
    question = "select cast(sum(spend_amount) as varchar) as total from marts.fct_ad_spend where is_current"
    total = machine.run("reader", ["onefunnel", "query", question, "--format", "json"])
    assert total.returncode == 0, total.stderr
    assert Decimal(json.loads(total.stdout)[0]["total"]) == sum(COSTS)

    # In the environment of the file itself everything is fit for production.
    doctor = machine.run("scheduler", ["onefunnel", "doctor", "--prod"])
    assert doctor.returncode == 0, doctor.stdout
    assert "AIRFLOW__CORE__FERNET_KEY" in doctor.stdout

    assert running == {n: s["command"] for n, s in services().items()}, "every command of the file was run"
    assert project_files() == before, "the project is read-only in the image: nothing writes there"
    absent = [n for n in PARTS if n != "scheduler" and Path(machine.place(n, "/var/lib/onefunnel")).exists()]
    assert absent == [], "nobody else needs the state"
    for secret in machine.given.values():
        for file in machine.root.rglob("*.log"):
            assert secret not in file.read_text(errors="replace"), f"a secret stands in {file.name}"


def project_files() -> dict[str, int]:
    """What the image would have of the project, with the time of its last change."""
    folders = (PROJECT / n for n in ("dags", "dbt_project", "expectations"))
    return {str(p): p.stat().st_mtime_ns for f in folders for p in f.rglob("*") if p.is_file()}
