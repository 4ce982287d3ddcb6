"""Runs dbt once over an explicit list of loads and reads back what it did."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from onefunnel.engines.duckdb import literal
from onefunnel.errors import EnvironmentNotReady, StepFailed, is_disk_trouble
from onefunnel.formats import canonical_json
from onefunnel.landing import read_receipt
from onefunnel.ledger import Load
from onefunnel.paths import Paths
from onefunnel.settings import Settings

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunnerResult
    from dbt.contracts.graph.manifest import Manifest

# A tick that selects nothing or a test without a model must never pass for a green build.
_ON_WARNINGS = ("--warn-error-options", json.dumps({"error": ["NoNodesForSelectionCriteria", "NothingToDo"]}))
RED = ("error", "fail", "runtime error")
_HASHED_SUFFIXES = {".sql", ".yml", ".yaml", ".csv", ".py", ".toml"}


@dataclass(frozen=True)
class NodeResult:
    """One dbt node of a build: its name, kind, status, seconds, message and compiled SQL (tests)."""

    name: str
    kind: str
    status: str
    seconds: float
    message: str
    sql: str
    severity: str


@dataclass(frozen=True)
class BuildResult:
    """What a dbt build did."""

    nodes: tuple[NodeResult, ...]
    full_refresh: bool

    @property
    def failures(self) -> tuple[NodeResult, ...]:
        """Nodes that make the build red."""
        return tuple(n for n in self.nodes if n.status in RED)


def code_fingerprint(paths: Paths, settings: Settings) -> str:
    """sha256 over the models, the agreement's seeds and the declared finality: a base built under another one is not extended."""
    digest = hashlib.sha256(_project_fingerprint(paths).encode())
    finality = {f"{n}.{k}": x.final_after_days for n, s in settings.sources.items() for k, x in s.streams.items()}
    digest.update(canonical_json([settings.reporting.model_dump(), settings.company, finality]).encode())
    return digest.hexdigest()


def _project_fingerprint(paths: Paths) -> str:
    """sha256 over the dbt project's files."""
    digest = hashlib.sha256()
    for path in sorted(
        p
        for p in paths.dbt_project.rglob("*")
        if p.suffix in _HASHED_SUFFIXES
        and p.is_file()
        and not {"target", "logs", "dbt_packages"} & set(p.relative_to(paths.dbt_project).parts)
    ):
        digest.update(path.relative_to(paths.dbt_project).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def base_state(warehouse: Path) -> dict[str, Any] | None:
    """What the base warehouse was built from, or None when there is none that can be extended."""
    if not warehouse.is_file():
        return None
    try:
        with duckdb.connect(str(warehouse), read_only=True) as db:
            row = db.execute("select state from onefunnel.base").fetchone()
    except duckdb.Error:
        return None
    return dict(json.loads(row[0])) if row else None


def build_vars(
    paths: Paths,
    settings: Settings,
    loads: Sequence[Load],
    run: dict[str, str | None],
    built: Iterable[str],
    ledger_export: Path | None,
) -> dict[str, Any]:
    """The variables of one dbt build: the loads are an explicit input, so a run can be replayed from its list."""
    known = set(built)
    dialects: dict[str, dict[str, Any]] = {}
    entries = []
    for load in loads:
        receipt = read_receipt(paths.landing / load.path)
        declaration = receipt["declaration"]
        name = f"{load.source}__{load.stream}__{receipt['declaration_fingerprint'][:8]}"
        source = settings.sources.get(load.source)
        stream = source.streams.get(load.stream) if source else None
        dialects[name] = _dialect(
            load, declaration, stream.final_after_days if stream else declaration["final_after_days"]
        )
        entries.append(
            {
                "source": load.source,
                "stream": load.stream,
                "contract": load.contract,
                "load_id": load.load_id,
                "seq": load.seq,
                "known_at": load.known_at,
                "path": str(paths.landing / load.path),
                "dialect": name,
                "is_new": load.load_id not in known,
                "required": source.required if source else False,
                "rows_landed": load.rows_landed,
                "rows_rejected": load.rows_rejected,
                "has_totals": "totals.parquet" in receipt["parts"],
            }
        )
    return {
        **run,
        "company": settings.company,
        "reporting_currency": settings.reporting.currency,
        "reporting_time_zone": settings.reporting.time_zone,
        "loads": entries,
        "dialects": dialects,
        "ledger_export": str(ledger_export) if ledger_export else None,
        "source_status": [
            {
                "source": name,
                "owner": s.owner,
                "required": s.required,
                "final_after_days": max(x.final_after_days for x in s.streams.values()),
                "streams": [
                    {"stream": k, "contract": x.contract, "fresh_within_days": x.fresh_within_days}
                    for k, x in s.streams.items()
                ],
            }
            for name, s in settings.sources.items()
        ],
    }


def _dialect(load: Load, declaration: dict[str, Any], final_after_days: int) -> dict[str, Any]:
    text = declaration["dialect"]
    csv = declaration["format"] == "csv"
    return {
        "source": load.source,
        "stream": load.stream,
        "contract": load.contract,
        "format": declaration["format"],
        "decimal": text["decimal"] if csv else ".",
        "grouping": text["grouping"] if csv else "",
        "null_words": text["null_words"],
        "replaces": declaration["replaces"],
        "partition": declaration["partition"],
        "key": declaration["key"],
        "order_by": declaration["order_by"],
        "final_after_days": final_after_days,
        "columns": declaration["columns"],
    }


def prepare_base(paths: Paths, target: Path, fresh: bool) -> None:
    """Build on a copy: a red build must never become the base of the next one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(f"{target.name}*"):
        leftover.unlink()
    if not fresh:
        try:
            shutil.copyfile(paths.warehouse, target)
        except OSError as error:
            raise EnvironmentNotReady(
                f"The warehouse could not be copied: {error.strerror}.",
                where=str(target),
                do="Check free disk space, then repeat the run.",
            ) from error


def run_dbt(
    paths: Paths, warehouse: Path, variables: dict[str, Any], full_refresh: bool, target_path: Path
) -> BuildResult:
    """One `dbt build` into `warehouse`. dbt writes its log to a file and to stderr.

    Raises:
        StepFailed: dbt could not even start (the project does not parse), or was interrupted.
    """
    os.environ.update(
        {"ONEFUNNEL_WAREHOUSE": str(warehouse), "DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    )
    from dbt.cli.main import dbtRunner  # slow to import

    target_path.mkdir(parents=True, exist_ok=True)
    (target_path / "run_results.json").unlink(missing_ok=True)
    manifest = parsed_project(paths, target_path)
    with contextlib.redirect_stdout(_Stderr()):
        outcome = dbtRunner(manifest=manifest).invoke(
            [
                *_ON_WARNINGS,
                "build",
                *_locations(paths, target_path),
                "--vars",
                json.dumps(variables),
                "--exclude-resource-type",
                "unit_test",
                *(["--full-refresh"] if full_refresh else _only_what_can_change(manifest, variables)),
            ]
        )
    _close_database()
    results = target_path / "run_results.json"
    found = json.loads(results.read_text(encoding="utf-8"))["results"] if results.is_file() else None
    nodes = tuple(_node(r, manifest, warehouse) for r in found or ())
    failing = any(n.status in RED for n in nodes)
    # A red node is a result. An exception says that dbt did not come to its end, whatever is red by then.
    if outcome.exception is not None or found is None or not (outcome.success or failing):
        raise _unfinished(outcome, "dbt could not run" if found is None else "dbt was interrupted", paths)
    if not nodes:
        raise StepFailed("dbt built nothing.", where=str(paths.dbt_project), do="Check the project's selection.")
    return BuildResult(nodes, full_refresh)


def _only_what_can_change(manifest: Manifest, variables: dict[str, Any]) -> list[str]:
    """What an incremental build leaves out: views whose SQL is the same in every run, and the staged rows of contracts
    that got no new load. Tests are never left out (`empty`: leaving out a model does not leave out what tests it)."""
    delivered = {f"stg_files__{load['contract']}__outcomes" for load in variables["loads"] if load["is_new"]}
    staged = {node.name for node in manifest.nodes.values() if node.name.endswith("__outcomes")}
    return ["--indirect-selection", "empty", "--exclude", "tag:same_in_every_run", *sorted(staged - delivered)]


def parsed_project(paths: Paths, target_path: Path) -> Manifest:
    """The parsed dbt project. dbt parses anew whenever the variables differ, and ours differ in every run; as no
    ref and no configuration hangs on them, one parse serves until a file of the project changes.

    Raises:
        StepFailed: the project does not parse.
    """
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder
    from dbt.version import __version__ as dbt_version

    project = hashlib.sha256(f"{dbt_version} {paths.dbt_project} {_project_fingerprint(paths)}".encode()).hexdigest()
    kept = paths.parsed / f"{project[:16]}.msgpack"
    if kept.is_file():
        # A damaged file is no reason to stop: parsing again mends it.
        with contextlib.suppress(Exception):
            return Manifest.from_msgpack(kept.read_bytes(), decoder=extended_mashumuro_decoder)
    with contextlib.redirect_stdout(_Stderr()):
        outcome = dbtRunner().invoke([*_ON_WARNINGS, "parse", "--no-partial-parse", *_locations(paths, target_path)])
    if not isinstance(outcome.result, Manifest):
        raise _unfinished(outcome, "dbt cannot parse the project", paths)
    paths.parsed.mkdir(parents=True, exist_ok=True)
    partial = kept.with_name(f".{kept.name}.{os.getpid()}")
    partial.write_bytes(outcome.result.to_msgpack(extended_mashumaro_encoder))
    partial.replace(kept)
    for older in sorted(paths.parsed.glob("*.msgpack"), key=lambda p: p.stat().st_mtime)[:-3]:
        older.unlink(missing_ok=True)
    return outcome.result


def _unfinished(outcome: dbtRunnerResult, what: str, paths: Paths) -> Exception:
    """What to raise for a dbt that did not come to its end; an interrupt has no text, so its type speaks for it."""
    error = outcome.exception
    reason = str(error or "").strip() or (type(error).__name__ if error else "it wrote no results")
    if is_disk_trouble(reason):
        return OSError(errno.ENOSPC, reason, str(paths.dbt))
    interrupted = isinstance(error, (KeyboardInterrupt, SystemExit))
    return StepFailed(
        f"{'dbt was interrupted' if interrupted else what}: {reason}",
        where=str(paths.dbt_project),
        do="Repeat the run." if interrupted else f"Correct what it names; see {paths.dbt / 'logs' / 'dbt.log'}",
    )


def _locations(paths: Paths, target_path: Path) -> list[str]:
    return [
        "--project-dir",
        str(paths.dbt_project),
        "--profiles-dir",
        str(paths.dbt_project),
        "--target-path",
        str(target_path),
        "--log-path",
        str(paths.dbt / "logs"),
        "--log-level",
        "warn",
        "--log-level-file",
        "info",
    ]


def _close_database() -> None:
    """dbt keeps its database open for the life of the process; the steps after it need the file closed."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()


class _Stderr:
    """dbt prints to stdout; stdout is for data."""

    def write(self, text: str) -> int:
        import sys

        return sys.stderr.write(text)

    def flush(self) -> None:
        import sys

        sys.stderr.flush()


def _node(result: dict[str, Any], manifest: Manifest, warehouse: Path) -> NodeResult:
    node = manifest.nodes.get(result["unique_id"])
    message = str(result.get("message") or "")
    sql = str(result.get("compiled_code") or "")
    if result["status"] == "fail":  # dbt only counts the rows that a test found; the first of them say what is wrong
        message = f"{message}: {_first_rows(warehouse, sql)}"
    return NodeResult(
        name=node.name if node else str(result["unique_id"]),
        kind=str(result["unique_id"]).split(".")[0],
        status=str(result["status"]),
        seconds=float(result["execution_time"]),
        message=message,
        sql=sql,
        severity=str(getattr(node.config, "severity", "error") if node else "error").lower(),
    )


def _first_rows(warehouse: Path, sql: str, limit: int = 3) -> str:
    with duckdb.connect(str(warehouse), read_only=True) as db:
        db.execute("set TimeZone = 'UTC'")
        found = db.execute(f"select * from ({sql}\n) as found limit {limit}")
        names = [column[0] for column in found.description or ()]
        return "; ".join(", ".join(f"{n} = {v}" for n, v in zip(names, row, strict=True)) for row in found.fetchall())


def stamp_base(warehouse: Path, state: dict[str, Any]) -> None:
    """Write into the private warehouse what it was built from; never published."""
    with duckdb.connect(str(warehouse)) as db:
        db.execute("create schema if not exists onefunnel")
        db.execute(f"create or replace table onefunnel.base as select {literal(canonical_json(state))} as state")
        db.execute("checkpoint")


def table_rows(warehouse: Path) -> dict[str, int]:
    """Rows of each table of the warehouse, by name (from the catalogue: the adapter does not report them)."""
    with duckdb.connect(str(warehouse), read_only=True) as db:
        return {
            str(n): int(r) for n, r in db.execute("select table_name, estimated_size from duckdb_tables()").fetchall()
        }


def row_ledger(warehouse: Path) -> list[dict[str, int | str]]:
    """The row ledger as the build computed it: per load, extracted = loaded + deduplicated + quarantined + rejected."""
    names = ("load_id", "extracted", "loaded", "deduplicated", "quarantined", "rejected")
    columns = ("load_id", *(f"rows_{n}" for n in names[1:]))
    with duckdb.connect(str(warehouse), read_only=True) as db:
        return [
            dict(zip(names, row, strict=True))
            for row in db.execute(f"select {', '.join(columns)} from metadata.row_ledger").fetchall()
        ]
