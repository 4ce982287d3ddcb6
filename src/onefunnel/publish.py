"""Seal, verify, flip, roll back, collect: how one audited file becomes what every reader sees.

A version is a folder `published/v/<run>/`; `published/revenue.duckdb` is a link to the file in it. The link is replaced
by one rename, so a reader opens either the old version or the new one, and an open reader keeps its file.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from onefunnel.engines.duckdb import STORAGE_VERSION, identifier, literal, reader
from onefunnel.errors import EnvironmentNotReady, GateFailed, StepFailed, UsageError
from onefunnel.formats import utc_now
from onefunnel.landing import sha256_of
from onefunnel.ledger import Ledger
from onefunnel.paths import Paths

PUBLISHED_SCHEMAS = ("marts", "metadata")
DATABASE = "revenue.duckdb"
MANIFEST = "manifest.json"


def seal(warehouse: Path, folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Copy the published schemas into a fresh file, close it, hash it, and write its manifest beside it.

    A fresh file holds no bytes of tables that are not published. Comments, which carry the descriptions, are copied;
    rows are written in the order of the table's first columns, which keeps scans by key and date cheap.

    Returns:
        The manifest, with the file's sha256 and the rows of each table.

    Raises:
        StepFailed: the copy has other rows than the warehouse.
    """
    work = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    target = work / DATABASE
    try:
        tables = _copy_schemas(warehouse, target)
        _no_wal(target)
        _fsync(target)
        found = _count(target)
        if found != tables:
            raise StepFailed(
                "The sealed copy has other rows than the warehouse.",
                where=str(target),
                do="Check the disk, then repeat the run; the copy was not used.",
            )
        sealed = {
            **manifest,
            "sha256": sha256_of(target),
            "bytes": target.stat().st_size,
            "sealed_at": utc_now(),
            "tables": tables,
            "storage_version": STORAGE_VERSION,
            "duckdb": duckdb.__version__,
            "verdict": None,
        }
        write_manifest(work, sealed)
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
        _fsync(folder.parent)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return sealed


def _copy_schemas(warehouse: Path, target: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    with duckdb.connect() as db:
        db.execute("set TimeZone = 'UTC'")
        db.execute(f"attach {literal(warehouse)} as warehouse (read_only)")
        db.execute(f"attach {literal(target)} as revenue (storage_version {literal(STORAGE_VERSION)})")
        for schema in PUBLISHED_SCHEMAS:
            db.execute(f"create schema if not exists revenue.{identifier(schema)}")
        tables = db.execute(
            "select schema_name, table_name, comment from duckdb_tables() where database_name = 'warehouse'"
            " and list_contains(?, schema_name) order by all",
            [list(PUBLISHED_SCHEMAS)],
        ).fetchall()
        if not tables:
            raise StepFailed("The warehouse has no published table.", where=str(warehouse), do="Run: onefunnel run")
        for schema, name, comment in tables:
            full = f"{identifier(schema)}.{identifier(name)}"
            db.execute(f"create table revenue.{full} as select * from warehouse.{full} order by all")
            if comment:
                db.execute(f"comment on table revenue.{full} is {literal(comment)}")
            columns = db.execute(
                "select column_name, comment from duckdb_columns() where database_name = 'warehouse' and schema_name = ?"
                " and table_name = ? and comment is not null",
                [schema, name],
            ).fetchall()
            for column, text in columns:
                db.execute(f"comment on column revenue.{full}.{identifier(column)} is {literal(text)}")
            row = db.execute(f"select count(*) from warehouse.{full}").fetchone()
            counts[f"{schema}.{name}"] = int(row[0]) if row else 0
        db.execute("checkpoint revenue")
        db.execute("detach revenue")
    return counts


def _count(database: Path) -> dict[str, int]:
    with duckdb.connect(str(database), read_only=True) as db:
        names = db.execute(
            "select schema_name, table_name from duckdb_tables() where database_name = current_database() order by all"
        ).fetchall()
        counts = {}
        for schema, name in names:
            row = db.execute(f"select count(*) from {identifier(schema)}.{identifier(name)}").fetchone()
            counts[f"{schema}.{name}"] = int(row[0]) if row else 0
        return counts


def _no_wal(database: Path) -> None:
    wal = database.with_name(database.name + ".wal")
    if wal.exists():
        raise StepFailed(
            "The sealed file has a write-ahead log beside it: it is not complete.", where=str(wal), do="Repeat the run."
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a sealed or published version.

    Raises:
        StepFailed: there is none.
    """
    try:
        return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise StepFailed(
            "There is no sealed candidate (or its manifest is damaged).",
            where=str(folder),
            do="Repeat the run: onefunnel run",
        ) from None


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Replace the manifest by one rename."""
    partial = folder / f".{MANIFEST}.partial"
    partial.write_text(json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False), encoding="utf-8")
    _fsync(partial)
    partial.rename(folder / MANIFEST)
    _fsync(folder)


@contextmanager
def publish_lock(paths: Paths) -> Iterator[None]:
    """The one lock under which what readers see is changed."""
    paths.published.mkdir(parents=True, exist_ok=True)
    with (paths.published / ".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def publish(paths: Paths, ledger: Ledger, run_id: str) -> dict[str, Any]:
    """Make the sealed candidate of `run_id` what readers see.

    Safe to repeat after a kill at any point: the steps are move, record, flip, adopt, and each one notices that it is done.

    Returns:
        The manifest of the published version.

    Raises:
        GateFailed: the audit did not pass, or these are not the audited bytes.
        Superseded: the run no longer holds the lease.
    """
    candidate, version = paths.candidate(run_id), paths.version(run_id)
    with publish_lock(paths):
        folder = version if version.exists() else candidate
        manifest = read_manifest(folder)
        _require_audited(folder, manifest)
        ledger_token = ledger.acquire_lease(run_id)  # refuses a run that was superseded
        if folder is candidate:
            paths.versions.mkdir(parents=True, exist_ok=True)
            (candidate / DATABASE).chmod(0o444)
            candidate.rename(version)
            _fsync(paths.versions)
        ledger.record_publish(run_id, manifest["sha256"])
        _flip(paths.current, Path("v") / run_id / DATABASE)
        adopt(paths, run_id)
    return {**manifest, "token": ledger_token}


def _require_audited(folder: Path, manifest: dict[str, Any]) -> None:
    checks = manifest.get("checks") or {}
    if manifest.get("verdict") != "pass":
        raise GateFailed(
            f"The candidate's verdict is {manifest.get('verdict') or 'missing'}: it is not published.",
            where=str(folder),
            do="See what failed: onefunnel status",
        )
    if not checks.get("declared") or checks.get("declared") != checks.get("executed"):
        raise GateFailed(
            f"Expected {checks.get('declared', 0)} checks, ran {checks.get('executed', 0)}.",
            where=str(folder),
            do="Restore the expectations, then repeat the run.",
        )
    found = sha256_of(folder / DATABASE)
    if found != manifest["sha256"] or found != checks.get("sha256"):
        raise GateFailed(
            "The file is not the one that was audited: its hash differs.",
            where=str(folder / DATABASE),
            do="Nobody may write to a sealed file. Repeat the run.",
        )


def adopt(paths: Paths, run_id: str) -> None:
    """Make the private warehouse of a published run the base of the next one (nothing to do when that has happened)."""
    built = paths.run(run_id) / "warehouse.duckdb"
    if built.exists():
        built.replace(paths.warehouse)
    shutil.rmtree(paths.run(run_id), ignore_errors=True)


def _flip(link: Path, target: Path) -> None:
    """Point `link` at `target` by one rename."""
    fresh = link.with_name(f".{link.name}.next")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
    _fsync(link.parent)


def flip_site(paths: Paths, run_id: str) -> None:
    """Point `published/site` at the pages of a version."""
    _flip(paths.site, Path("v") / run_id / "site")


def current_run(paths: Paths) -> str | None:
    """The run that readers see, by the link itself; None when nothing is published."""
    if not paths.current.is_symlink():
        return None
    return paths.current.readlink().parent.name


def final_spend(paths: Paths) -> list[dict[str, Any]]:
    """Per source, stream and month: the spend of the days that are final in the version that readers see.

    Returns:
        Rows of source_system, stream, month, final_until, spend_amount_rc; none when nothing is published.

    Raises:
        StepFailed: the published file cannot be read.
    """
    if not paths.current.is_symlink():
        return []
    try:
        with reader(paths.current.resolve()) as db:
            if not db.execute("select 1 from duckdb_tables() where table_name = 'fct_ad_spend'").fetchall():
                return []
            cursor = db.execute(_FINAL_SPEND)
            names = [d[0] for d in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except duckdb.Error as error:
        raise StepFailed(
            f"The published version cannot be read: {str(error).splitlines()[0]}",
            where=str(paths.current.resolve()),
            do="onefunnel doctor says what is damaged; onefunnel rollback puts an older version in its place.",
        ) from error


_FINAL_SPEND = """
with final as (
    select source_system, stream, max(spend_date) as final_until
    from marts.fct_ad_spend where is_current and is_final group by all
)
select source_system, stream, cast(date_trunc('month', spend_date) as date) as month, final_until,
    sum(spend_amount_rc) as spend_amount_rc
from marts.fct_ad_spend join final using (source_system, stream)
where is_current and spend_date <= final_until group by all order by all
"""


def repair_links(paths: Paths, ledger: Ledger) -> str | None:
    """Finish a publish or a rollback that was killed between its record and its flip; returns the run when it did."""
    with publish_lock(paths):
        recorded = next((v["run_id"] for v in ledger.versions() if v["state"] == "current"), None)
        if recorded is None or not (paths.version(recorded) / DATABASE).is_file():
            return None
        repaired = None
        if current_run(paths) != recorded:
            _flip(paths.current, Path("v") / recorded / DATABASE)
            repaired = recorded
        if (paths.run(recorded) / "warehouse.duckdb").exists():
            adopt(paths, recorded)
            repaired = recorded
        if (paths.version(recorded) / "site").is_dir() and (
            not paths.site.is_symlink() or paths.site.readlink().parent.name != recorded
        ):
            flip_site(paths, recorded)
        return repaired


def rollback(paths: Paths, ledger: Ledger, to_run: str | None, because: str) -> dict[str, Any]:
    """Make an older kept version what readers see, under a new token; the page goes with it.

    The private warehouse is set aside: the next run rebuilds it from the landing, so it cannot build on what was
    rolled back. A rollback that was killed is finished by the same command, or by the next run.

    Raises:
        UsageError: there is no such kept version.
        EnvironmentNotReady: a step of a run is alive.
    """
    holder = ledger.lease()["run_id"]
    if holder is not None and ledger.held_locks(holder):
        raise EnvironmentNotReady(
            f"Run {holder} is writing: {ledger.held_locks(holder)[0]}.", do="Wait for it to end, then roll back."
        )
    with publish_lock(paths):
        if holder is not None and ledger.held_locks(holder):
            raise EnvironmentNotReady(f"Run {holder} is writing.", do="Wait for it to end, then roll back.")
        now = current_run(paths)
        there = [v for v in ledger.versions() if (paths.version(v["run_id"]) / DATABASE).is_file()]
        state = {v["run_id"]: v["state"] for v in there}
        # When the link shows what was rolled back, a rollback was killed before its flip: repeated, it goes on to the
        # same version, not to the one before.
        begun = [r for r, s in state.items() if s == "current" and state.get(str(now)) == "rolled_back"]
        # What is left is the recorded version: the link shows an older one when a publish was killed before its flip.
        recorded = next((v["run_id"] for v in ledger.versions() if v["state"] == "current"), None)
        left = now if begun else recorded
        kept = begun + [r for r, s in state.items() if s in ("kept", "rolled_back")]
        # Unasked, it never goes to a version that somebody has rolled back before.
        target = to_run or next((r for r in kept if state[r] != "rolled_back"), None)
        if target is None or target not in kept:
            raise UsageError(
                f"There is no kept version {target or 'to roll back to'}.",
                where=f"kept: {', '.join(kept) or 'none'}",
                do="List them: onefunnel status",
            )
        manifest = read_manifest(paths.version(target))
        if sha256_of(paths.version(target) / DATABASE) != manifest["sha256"]:
            raise StepFailed(
                "That version's file is damaged: its hash differs.",
                where=str(paths.version(target)),
                do=f"Choose another: {', '.join(k for k in kept if k != target) or 'none is kept'}",
            )
        # First what can be rebuilt or only remembers, then the record that makes it true; the link that readers open
        # comes last, so that it shows whether all of it is done.
        paths.warehouse.unlink(missing_ok=True)
        ledger.audit("rollback", f"{left} -> {target}", because)
        ledger.record_rollback(target, left)
        if (paths.version(target) / "site").is_dir():
            flip_site(paths, target)
        _flip(paths.current, Path("v") / target / DATABASE)
    return manifest


def collect(paths: Paths, ledger: Ledger, keep: int, min_age: dt.timedelta) -> list[str]:
    """Delete old versions: beyond the newest `keep`, replaced longer than `min_age` ago, and open in no process.

    Also removes candidates and work folders of runs that ended. Returns the runs whose version is gone.
    """
    gone = []
    young = (dt.datetime.now(dt.UTC) - min_age).strftime("%Y-%m-%d %H:%M:%S.%f")
    with publish_lock(paths):
        open_files = _open_files()
        present = [v for v in ledger.versions() if v["state"] != "collected"]
        for version in present[keep:]:
            folder = paths.version(version["run_id"])
            if version["state"] == "current" or current_run(paths) == version["run_id"]:
                continue
            if (version["replaced_at"] or young) >= young or _is_open(folder, open_files):
                continue
            shutil.rmtree(folder, ignore_errors=True)
            ledger.mark_collected(version["run_id"])
            gone.append(version["run_id"])
        recorded = {v["run_id"] for v in ledger.versions()}
        for folder in paths.versions.glob("*"):  # moved there by a publish that was killed before its record
            run = ledger.run(folder.name)
            if folder.name not in recorded and (run is None or run.state != "running"):
                shutil.rmtree(folder, ignore_errors=True)
        for folder in [*paths.runs.glob("*"), *paths.candidates.glob("*"), *paths.candidates.glob(".*.partial")]:
            run = ledger.run(folder.name.removeprefix(".").removesuffix(".partial"))
            if run is None or run.state != "running":
                shutil.rmtree(folder, ignore_errors=True)
    return gone


def _open_files() -> set[tuple[int, int]]:
    """(device, inode) of every file that a process of this machine, as far as it may be seen, has open."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            info = entry.stat()
        except OSError:
            continue
        found.add((info.st_dev, info.st_ino))
    return found


def _is_open(folder: Path, open_files: set[tuple[int, int]]) -> bool:
    info = (folder / DATABASE).stat() if (folder / DATABASE).exists() else None
    return info is not None and (info.st_dev, info.st_ino) in open_files


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
