"""What tests share: an installation of its own per test, driven through the real command line."""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import hypothesis
import pytest

# Before anything of Airflow, dbt or GX is imported.
os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
)

# How fast examples are made says something of the machine, and nothing of the code.
hypothesis.settings.register_profile("here", suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("here")

_exit_status = 0


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember the verdict for pytest_unconfigure."""
    global _exit_status
    _exit_status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave as the command line does: an orderly shutdown prints pages about what DuckDB's bindings still hold."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_exit_status)


PROJECT = Path(__file__).resolve().parents[1]
# Every test has an installation of its own; the project that they parse is one.
os.environ.setdefault("ONEFUNNEL_PARSED", str(PROJECT / ".pytest_cache" / "parsed"))

DAILY_SPEND: dict[str, Any] = {
    "contract": "performance_daily",
    "files": "*.csv",
    "key": ["spend_date", "ad_account_id", "campaign_id"],
    "replaces": "partition",
    "partition": ["ad_account_id", "spend_date"],
    "usual_rows": "off",
    "columns": {
        "spend_date": {"from": "day", "format": "%Y-%m-%d"},
        "ad_account_id": {"from": "account"},
        "campaign_id": {"from": "campaign"},
        "level": {"value": "campaign"},
        "channel": {"value": "paid_search"},
        "currency": {"from": "currency"},
        "spend_amount": {"from": "cost"},
        "clicks": {"from": "clicks"},
    },
}
HEADER = "day,account,campaign,currency,cost,clicks\n"


@dataclass
class Home:
    """One installation: its state folder, its pipeline.yml, its drop folder `drop/spend`."""

    path: Path
    extra: dict[str, str] = field(default_factory=dict)
    project: Path = PROJECT

    @property
    def config(self) -> Path:
        return self.path / "pipeline.yml"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ONEFUNNEL_HOME": str(self.path),
            "ONEFUNNEL_CONFIG": str(self.config),
            "ONEFUNNEL_PROJECT": str(self.project),
            **self.extra,
        }

    def declare(self, stream: dict[str, Any] | None = None, **settings: Any) -> None:
        """Write pipeline.yml with one source `spend`; JSON is YAML."""
        self.path.mkdir(parents=True, exist_ok=True)
        source = {"connector": "files", "root": "drop/spend", "streams": {"performance_daily": stream or DAILY_SPEND}}
        self.config.write_text(
            json.dumps(
                {
                    "version": 1,
                    "company": "Test",
                    "reporting": {"currency": "EUR"},
                    "sources": {"spend": source},
                    **settings,
                }
            )
        )
        (self.path / "drop" / "spend").mkdir(parents=True, exist_ok=True)

    def drop(self, name: str, content: str | bytes) -> Path:
        """Put a file into the drop folder, complete and settled (two minutes old)."""
        path = self.path / "drop" / "spend" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        age = path.stat().st_mtime - 120
        os.utime(path, (age, age))
        return path

    def cli(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `onefunnel …` as a user would."""
        return subprocess.run(
            [sys.executable, "-m", "onefunnel", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=self.project,
        )

    def ok(self, *arguments: str) -> Any:
        """Run a command that must succeed; returns its JSON."""
        done = self.cli(*arguments)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout) if done.stdout.strip() else None

    def extract(self, run_id: str = "r1", as_of: str = "2026-01-05T06:00:00Z") -> subprocess.CompletedProcess[str]:
        """Open a run and extract."""
        self.ok("start", "--run-id", run_id, "--as-of", as_of)
        return self.cli("extract", "--run-id", run_id)

    def loads(self) -> list[dict[str, Any]]:
        return self.ok("loads", "list", "--json")

    def parquet(self, part: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """Rows of one part over all loads, in order of file and line."""
        pattern = f"{self.path}/landing/spend/*/*/{part}.parquet"
        order = "" if part == "covers" else " order by _file_seq, _line"
        with duckdb.connect() as db:
            return db.execute(
                f"select {columns} from read_parquet('{pattern}', union_by_name = true){order}"
            ).fetchall()

    def receipt(self) -> dict[str, Any]:
        """The newest receipt."""
        paths = sorted(self.path.glob("landing/spend/*/*/receipt.json"), key=lambda p: p.stat().st_mtime_ns)
        return json.loads(paths[-1].read_text())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the published warehouse."""
        with duckdb.connect(str((self.path / "published" / "revenue.duckdb").resolve()), read_only=True) as db:
            return db.execute(sql).fetchall()


# What takes longest begins first, so that no worker is left alone with it at the end.
_LONGEST = ("test_dags", "test_planted_faults", "test_crash", "test_sql_book", "test_bad_input", "test_history")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files by how long they take; the order within a file stays."""

    def place(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.stem
        return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST), item.path.parent.name == "unit"

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many of the shipped checks were proven able to fail (tests/e2e/test_planted_faults.py)."""
    passed = terminalreporter.stats.get("passed", [])
    proven = {value for report in passed for name, value in report.user_properties if name == "proven check"}
    if proven:
        from onefunnel.quality.suites import load_suites

        suites = load_suites(PROJECT / "expectations")
        declared = {*suites.declared("raw"), *suites.declared("marts")}
        terminalreporter.write_line(f"checks proven able to fail: {len(proven & declared)} of {len(declared)}")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that is made by whichever process of the test run needs it first. Nobody writes into it after that."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / "made_once" / name
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            folder.mkdir()  # what failed half-way is not tried again: everyone is told
            make(folder)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole project built without any load, its data tests and its unit tests; the compiled SQL is in `target`."""
    from warehouse import Warehouse

    return made_once(tmp_path_factory, "empty", lambda folder: Warehouse(folder / "warehouse.duckdb", folder).build({}))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A fresh installation with one declared source of daily spend."""
    fresh = Home(tmp_path / "home")
    fresh.declare()
    yield fresh


def ledger_of(home: Home) -> Any:
    """The installation's ledger."""
    from onefunnel.ledger import Ledger
    from onefunnel.paths import Paths

    paths = Paths(home.path, home.project)
    return Ledger(paths.ledger, paths.locks)


def sealed_candidate(home: Home, run_id: str, rows: int = 50) -> dict[str, Any]:
    """Open a run and give it an audited candidate in which every row says which run wrote it."""
    from onefunnel import publish
    from onefunnel.landing import sha256_of
    from onefunnel.ledger import Ledger
    from onefunnel.paths import Paths

    paths = Paths(home.path, home.project)
    ledger = Ledger(paths.ledger, paths.locks)
    ledger.begin_run(run_id, "daily", "2026-01-05 06:00:00", "0", "0", driven=False)
    ledger.acquire_lease(run_id)
    warehouse = paths.run(run_id) / "warehouse.duckdb"
    warehouse.parent.mkdir(parents=True, exist_ok=True)
    warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(warehouse)) as db:
        db.execute("create schema marts; create schema metadata; create schema staging")
        db.execute("create table marts.facts as select ? as run_id, i from range(?) t(i)", [run_id, rows])
        db.execute("create table metadata.run_info as select ? as run_id", [run_id])
        db.execute("create table staging.secret as select 'anna@example.com' as email")
        db.execute("comment on table marts.facts is 'Rows. Grain: one row.'")
        db.execute("comment on column marts.facts.i is 'A number.'")
    manifest = publish.seal(warehouse, paths.candidate(run_id), {"run_id": run_id, "as_of": "2026-01-05 06:00:00"})
    checks = {
        "declared": 1,
        "executed": 1,
        "passed": 1,
        "warned": 0,
        "failed": 0,
        "sha256": sha256_of(paths.candidate(run_id) / "revenue.duckdb"),
    }
    publish.write_manifest(paths.candidate(run_id), {**manifest, "verdict": "pass", "checks": checks})
    return manifest
