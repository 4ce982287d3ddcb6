"""What the end-to-end proofs share: homes of the sandbox company, runs without gates, and exports to compare.

Where a proof is about what a build makes of the loads, and not about a gate, loads are accepted through the ledger and
the steps are called in this process; where it is about gates, messages or exit codes, it goes through the command line.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from conftest import PROJECT, Home

from onefunnel import pipeline
from onefunnel.ledger import Load
from onefunnel.sandbox import PUBLIC_TOKEN_KEY
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.world import FX, PLATFORMS

Rows = list[tuple[Any, ...]]
# The sandbox company with everything as files.
FILES = PROJECT / "examples" / "sandbox_files" / "pipeline.yml"
# What names the run itself, or speaks of runs: it must differ between two runs over the same data.
OF_THE_RUN = {
    "metadata.run_info": {"run_id", "base_run_id", "loads", "new_loads"},
    "metadata.row_ledger": {"is_new", "load_seq"},
    "metadata.dq_status": {"judged_run_id", "judged_at", "checks_passed", "checks_warned", "checks_failed"},
}
ABOUT_RUNS = ("metadata.dq_check_history",)


def settle(files: Iterable[Path]) -> None:
    """Give files an age at which nobody asks whether they are still being written."""
    then = time.time() - 120
    for path in files:
        os.utime(path, (then, then))


def sandbox_home(path: Path) -> Home:
    """A fresh installation that reads the advertising of the sandbox company as the project declares it."""
    path.mkdir(parents=True)
    home = Home(path)
    declared = yaml.safe_load((FILES).read_text())
    declared["sources"] = {name: declared["sources"][name] for name in (*PLATFORMS, FX)}
    home.config.write_text(yaml.safe_dump(declared, sort_keys=False))
    return home


def company_home(path: Path) -> Home:
    """A fresh installation that reads the whole sandbox company as the project declares it."""
    path.mkdir(parents=True)
    home = Home(path, extra={"ONEFUNNEL_TOKEN_KEY": PUBLIC_TOKEN_KEY})
    shutil.copyfile(FILES, home.config)
    return home


def copy_of(home: Home, path: Path) -> Home:
    """The same installation once more, to go on from where it stands."""
    shutil.copytree(home.path, path, symlinks=True)
    return Home(path, extra=home.extra)


def deliver(home: Home, company: Company, day: int, faults: Collection[str] = ()) -> None:
    """Let the platforms deliver a day into the drop folder."""
    settle(company.write_day(day, home.path / "drop", faults))


def instant(company: Company, day: int, hours: int = 0) -> str:
    """The as-of instant of a day, or some hours later, as the command line takes it."""
    at = company.as_of(day)
    return at.replace(hour=at.hour + hours).isoformat()


@contextmanager
def installation(home: Home) -> Iterator[pipeline.Installation]:
    """The installation for steps that are called in this process."""
    before = dict(os.environ)
    os.environ.update({k: v for k, v in home.environment.items() if k.startswith(("ONEFUNNEL_", "AIRFLOW_CONN_"))})
    try:
        yield pipeline.Installation.open()
    finally:
        os.environ.clear()
        os.environ.update(before)


def extract(home: Home, run_id: str, as_of: str, *, date_range: tuple[str, str] | None = None) -> list[dict[str, Any]]:
    """Open a run and land what is new."""
    with installation(home) as here:
        kind = "backfill" if date_range else "daily"
        pipeline.open_run(here, run_id, kind=kind, as_of=as_of, date_range=date_range)
        return pipeline.extract(here, run_id)


def start(home: Home, run_id: str, as_of: str) -> None:
    """Open a run and take its lease."""
    with installation(home) as here:
        pipeline.open_run(here, run_id, as_of=as_of)
        here.ledger.acquire_lease(run_id)


def loads(home: Home) -> list[Load]:
    """Every load that the ledger knows."""
    with installation(home) as here:
        return here.ledger.loads()


def checks(home: Home, run_id: str) -> list[dict[str, Any]]:
    """What the gates of a run found."""
    with installation(home) as here:
        return here.ledger.checks(run_id)


def abandon(home: Home) -> None:
    """What a human does about a run that died between two steps."""
    with installation(home) as here:
        here.ledger.unlock()


def judge(home: Home, verdict: str = "accepted", *, only: Collection[str] | None = None) -> list[Load]:
    """Accept or refuse every load that waits for a verdict, or some of them."""
    with installation(home) as here:
        waiting = [x for x in here.ledger.loads(state="landed") if only is None or x.load_id in only]
        for load in waiting:
            here.ledger.judge(load.load_id, verdict, "test", "as the test says")
        return waiting


def build(
    home: Home, run_id: str, as_of: str, *, adopt: bool = True, finish: bool = True, **options: Any
) -> dict[str, Any]:
    """Build from the accepted loads; with `adopt` the warehouse becomes the next run's base, as after a publish."""
    with installation(home) as here:
        pipeline.open_run(here, run_id, as_of=as_of)
        done = pipeline.build(here, run_id, **options)
        if adopt:
            here.paths.run(run_id).joinpath("warehouse.duckdb").replace(here.paths.warehouse)
        if finish:
            here.ledger.finish_run(run_id, "published")
        return done


def run_without_gates(home: Home, run_id: str, as_of: str, **options: Any) -> dict[str, Any]:
    """Extract, accept everything, build, adopt."""
    extract(home, run_id, as_of)
    judge(home)
    return build(home, run_id, as_of, **options)


@contextmanager
def without_tests() -> Iterator[None]:
    """Incremental builds run no dbt tests: for days that nobody reads, where a later day's tests see the same tables."""
    from onefunnel import transform

    selected = transform._only_what_can_change
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            transform, "_only_what_can_change", lambda *of: [*selected(*of), "--exclude-resource-type", "test"]
        )
        yield


def warehouse(home: Home, run_id: str | None = None) -> Path:
    """The adopted warehouse, or the one of a run that was built and not adopted."""
    return home.path / "warehouse.duckdb" if run_id is None else home.path / "runs" / run_id / "warehouse.duckdb"


def ask(database: Path, sql: str, parameters: Iterable[Any] = ()) -> Rows:
    """Rows of a query, read-only."""
    with duckdb.connect(str(database.resolve()), read_only=True) as db:
        db.execute("set TimeZone = 'UTC'")
        return db.execute(sql, list(parameters)).fetchall()


def text_columns_with(database: Path, pattern: str) -> list[str]:
    """The text columns of a database in which a pattern occurs, by SQL: compressed bytes would hide it from a search."""
    columns = defaultdict(list)
    for schema, table, column in ask(
        database,
        "select schema_name, table_name, column_name from duckdb_columns() where data_type = 'VARCHAR' and not internal",
    ):
        columns[f'"{schema}"."{table}"'].append(column)
    assert columns
    found = []
    for (
        table,
        names,
    ) in columns.items():  # a table at a time: many are views, which are worked out whenever they are read
        hits = ", ".join(f'count_if(regexp_matches("{name}", $1))' for name in names)
        [counts] = ask(database, f"select {hits} from {table}", [pattern])
        found += [f"{table}.{name}".replace('"', "") for name, count in zip(names, counts, strict=True) if count]
    return found


def tables(database: Path) -> list[str]:
    """The published tables as schema.name."""
    found = ask(
        database,
        "select schema_name || '.' || table_name from duckdb_tables() where schema_name in ('marts', 'metadata')"
        " order by all",
    )
    return [name for (name,) in found]


def export(
    database: Path,
    *,
    without: Collection[str] = (),
    where: str = "true",
    of_the_run: Mapping[str, Collection[str]] = OF_THE_RUN,
    about_runs: Collection[str] = ABOUT_RUNS,
) -> dict[str, Rows]:
    """Every mart, sorted, but for what names the run itself, the columns in `without` and the tables `about_runs`."""
    found = {}
    for table in tables(database):
        if table in about_runs:
            continue
        schema, name = table.split(".")
        columns = [
            f'"{c}"'
            for (c,) in ask(
                database,
                "select column_name from duckdb_columns() where schema_name = ? and table_name = ? order by column_index",
                [schema, name],
            )
            if c not in of_the_run.get(table, ()) and c not in without
        ]
        condition = where if name == "fct_ad_spend" else "true"
        found[table] = ask(database, f"select {', '.join(columns)} from {table} where {condition} order by all")
    return found


def assert_same(left: dict[str, Rows], right: dict[str, Rows]) -> None:
    """Two exports are equal; the first rows that are not are named."""
    assert left.keys() == right.keys()
    for table, rows in left.items():
        if rows != right[table]:
            only_left = [r for r in rows if r not in right[table]][:3]
            only_right = [r for r in right[table] if r not in rows][:3]
            raise AssertionError(
                f"{table}: {len(rows)} and {len(right[table])} rows; only left {only_left}; only right {only_right}"
            )


def current_spend(database: Path) -> Rows:
    """What is spent, by the source's own names and without surrogate keys."""
    return ask(
        database,
        "select source_system, ad_account_id, campaign_id, spend_date, channel, currency, spend_amount, spend_amount_rc, fx_rate,"
        " impressions, clicks, claimed_leads, claimed_conversions, claimed_value_amount from marts.fct_ad_spend"
        " where is_current order by all",
    )


def receipts(home: Home, run_id: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The receipts that a run's extract wrote, by source and stream."""
    found = (json.loads(p.read_text(encoding="utf-8")) for p in home.path.glob("landing/*/*/load=*/receipt.json"))
    return {(r["source"], r["stream"]): r for r in found if r["run_id"] == run_id}
