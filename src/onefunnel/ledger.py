"""The ledger: runs, load states, lease and fencing tokens, verdicts, row ledger, audit. One SQLite file in WAL mode.

The landing and the ledger are the only truth; everything else can be rebuilt from them.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import getpass
import os
import socket
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onefunnel.errors import EnvironmentNotReady, StepFailed, Superseded, UsageError
from onefunnel.formats import utc_now

SCHEMA_VERSION = 1
# An Airflow run holds no lock between two of its tasks; for so long nobody takes its lease.
LEASE_GRACE = dt.timedelta(minutes=10)

_SCHEMA = """
create table runs (
    run_id text primary key, kind text not null, as_of text not null, started_at text not null, finished_at text,
    state text not null check (state in ('running', 'published', 'failed', 'superseded')),
    failed_step text, message text, code_version text not null, config_sha256 text not null, driven integer not null default 0,
    range_from text, range_to text, token integer
) strict;
create table steps (
    step_id integer primary key, run_id text not null references runs, step text not null, started_at text not null,
    finished_at text, state text not null check (state in ('running', 'ok', 'failed', 'environment')), message text, pid integer not null
) strict;
create table loads (
    seq integer primary key autoincrement, load_id text not null unique, source text not null, stream text not null,
    contract text not null, run_id text not null, known_at text not null, extracted_at text not null,
    content_fingerprint text not null, declaration_fingerprint text not null,
    rows_extracted integer not null, rows_landed integer not null, rows_rejected integer not null, path text not null,
    state text not null check (state in ('landed', 'accepted', 'refused')), judged_at text, judged_by text, because text
) strict;
create index loads_by_stream on loads (source, stream, state, seq);
create table files (
    load_id text not null references loads (load_id), file_seq integer not null, path text not null, sha256 text not null,
    bytes integer not null, primary key (load_id, file_seq)
) strict;
create table run_extracts (
    run_id text not null, source text not null, stream text not null, load_id text, note text not null, primary key (run_id, source, stream)
) strict;
create table run_loads (run_id text not null, load_id text not null, primary key (run_id, load_id)) strict;
create table checks (
    run_id text not null, gate text not null, check_id text not null, subject text not null, severity text not null,
    owner text not null, state text not null, observed text, because text, fix text, sql text, checked_at text not null,
    primary key (run_id, gate, check_id, subject)
) strict;
create table row_ledger (
    load_id text primary key, extracted integer not null, loaded integer not null, deduplicated integer not null,
    quarantined integer not null, rejected integer not null
) strict;
create table versions (
    run_id text primary key, token integer not null, published_at text not null, sha256 text not null,
    replaced_at text, state text not null check (state in ('current', 'kept', 'rolled_back', 'collected'))
) strict;
create table lease (
    only_one integer primary key check (only_one = 1), run_id text, token integer not null, acquired_at text, renewed_at text
) strict;
insert into lease values (1, null, 0, null, null);
create table audit (
    audit_id integer primary key, at text not null, who text not null, action text not null, subject text not null, because text
) strict;
"""


@dataclass(frozen=True)
class Load:
    """One load as the ledger knows it; `seq` is the order in which loads were committed."""

    seq: int
    load_id: str
    source: str
    stream: str
    contract: str
    run_id: str
    known_at: str
    extracted_at: str
    content_fingerprint: str
    declaration_fingerprint: str
    rows_extracted: int
    rows_landed: int
    rows_rejected: int
    path: str
    state: str
    judged_at: str | None
    judged_by: str | None
    because: str | None


@dataclass(frozen=True)
class Run:
    """One run as the ledger knows it."""

    run_id: str
    kind: str
    as_of: str
    started_at: str
    finished_at: str | None
    state: str
    failed_step: str | None
    message: str | None
    code_version: str
    config_sha256: str
    driven: int
    range_from: str | None
    range_to: str | None
    token: int | None


class Ledger:
    """Access to the ledger file; every method is one transaction."""

    def __init__(self, path: Path, locks: Path) -> None:
        self.path, self.locks = path, locks
        path.parent.mkdir(parents=True, exist_ok=True)
        locks.mkdir(parents=True, exist_ok=True)
        with self._transaction() as db:
            version = db.execute("pragma user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"pragma user_version = {SCHEMA_VERSION}")
            elif version > SCHEMA_VERSION:
                raise StepFailed(
                    f"The ledger has schema version {version}; this code knows {SCHEMA_VERSION}.",
                    where=str(path),
                    do="Use the newer onefunnel that wrote it; older code never touches a newer ledger.",
                )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")
            db.execute("pragma foreign_keys = on")
            db.execute("begin immediate")
            try:
                yield db
            except BaseException:
                db.execute("rollback")
                raise
            db.execute("commit")
        except sqlite3.OperationalError as error:
            # The second is what SQLite says after some seconds of a process that hangs while it opens or closes the log.
            if "locked" in str(error) or "locking protocol" in str(error):
                raise EnvironmentNotReady(
                    "The ledger is locked: another process is in the middle of a write.",
                    where=str(self.path),
                    do="Wait for it; if a process hangs (see `ps`), end it. The run can be repeated.",
                ) from error
            raise EnvironmentNotReady(
                f"The ledger cannot be written: {error}",
                where=str(self.path),
                do="Check free space and permissions; the run can be repeated.",
            ) from error
        finally:
            db.close()

    @contextmanager
    def _transaction_of(self, run_id: str) -> Iterator[sqlite3.Connection]:
        """A transaction in which a run writes: refused inside it, not before it, once a newer run has the lease.

        Raises:
            Superseded: the run's token is not the newest.
        """
        with self._transaction() as db:
            newest = db.execute("select token from lease").fetchone()["token"]
            mine = db.execute("select state, token from runs where run_id = ?", (run_id,)).fetchone()
            if mine is None or mine["state"] == "superseded" or mine["token"] != newest:
                raise _superseded(run_id)
            yield db

    def _rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[sqlite3.Row]:
        with self._transaction() as db:
            return db.execute(sql, tuple(parameters)).fetchall()

    # -- runs and steps -------------------------------------------------------------------------------------------

    def begin_run(
        self,
        run_id: str,
        kind: str,
        as_of: str,
        code_version: str,
        config_sha256: str,
        driven: bool,
        date_range: tuple[str, str] | None = None,
    ) -> Run:
        """The run `run_id`, created when it is new. A run that failed may be resumed; a published one may not."""
        with self._transaction() as db:
            row = db.execute("select * from runs where run_id = ?", (run_id,)).fetchone()
            if row is None:
                db.execute(
                    "insert into runs (run_id, kind, as_of, started_at, state, code_version, config_sha256, driven, range_from, range_to)"
                    " values (?, ?, ?, ?, 'running', ?, ?, ?, ?, ?)",
                    (
                        run_id,
                        kind,
                        as_of,
                        utc_now(),
                        code_version,
                        config_sha256,
                        int(driven),
                        *(date_range or (None, None)),
                    ),
                )
            elif row["state"] == "failed":
                db.execute(
                    "update runs set state = 'running', finished_at = null, failed_step = null, message = null,"
                    " driven = ? where run_id = ?",
                    (int(driven), run_id),
                )
            return _run(db.execute("select * from runs where run_id = ?", (run_id,)).fetchone())

    def run(self, run_id: str) -> Run | None:
        """The run, or None when there is none of this name."""
        rows = self._rows("select * from runs where run_id = ?", (run_id,))
        return _run(rows[0]) if rows else None

    def runs(self, limit: int = 1000) -> list[Run]:
        """Newest first."""
        return [_run(r) for r in self._rows("select * from runs order by started_at desc limit ?", (limit,))]

    def finish_run(self, run_id: str, state: str, failed_step: str | None = None, message: str | None = None) -> None:
        """Set a run's final state and give its lease back; a superseded run stays what it is."""
        with self._transaction() as db:
            db.execute(
                "update runs set state = ?, finished_at = ?, failed_step = ?, message = ? where run_id = ? and state <> 'superseded'",
                (state, utc_now(), failed_step, message, run_id),
            )
            db.execute("update lease set run_id = null where run_id = ?", (run_id,))

    def start_step(self, run_id: str, step: str) -> int:
        """Record that a step began; a step of the run that never ended was killed, and is closed as such."""
        with self._transaction() as db:
            db.execute(
                "update steps set state = 'failed', finished_at = ?, message = 'killed' where run_id = ? and step = ?"
                " and state = 'running'",
                (utc_now(), run_id, step),
            )
            cursor = db.execute(
                "insert into steps (run_id, step, started_at, state, pid) values (?, ?, ?, 'running', ?)",
                (run_id, step, utc_now(), os.getpid()),
            )
            return int(cursor.lastrowid or 0)

    def end_step(self, step_id: int, state: str, message: str | None = None) -> None:
        """Record how a step ended."""
        self._rows(
            "update steps set state = ?, finished_at = ?, message = ? where step_id = ?",
            (state, utc_now(), message, step_id),
        )

    def steps(self, run_id: str) -> list[dict[str, Any]]:
        """The steps of a run in the order in which they began."""
        return [dict(r) for r in self._rows("select * from steps where run_id = ? order by step_id", (run_id,))]

    # -- lease, tokens, locks -------------------------------------------------------------------------------------

    def acquire_lease(self, run_id: str) -> int:
        """Make `run_id` the only run that may write, and return its fencing token.

        Re-entrant for the steps of one run. Another run's lease is taken over only when none of its steps holds a
        lock and it failed, was killed in a step, lost its driver, or has been silent for LEASE_GRACE.

        Raises:
            EnvironmentNotReady: another run holds the lease; names it.
            Superseded: this run once had the lease and lost it to a newer run.
        """
        with self._transaction() as db:
            lease = db.execute("select * from lease").fetchone()
            mine = db.execute("select state, token from runs where run_id = ?", (run_id,)).fetchone()
            if mine["state"] == "superseded" or (mine["token"] is not None and mine["token"] != lease["token"]):
                raise _superseded(run_id)
            if mine["token"] is not None:  # one of this run's steps, or the run resumed with nobody in between
                db.execute("update lease set run_id = ?, renewed_at = ?", (run_id, utc_now()))
                return int(lease["token"])
            last = db.execute("select run_id from runs where token = ?", (lease["token"],)).fetchone()
            if lease["run_id"] is None and last is not None and self.held_locks(last["run_id"]):
                # It failed in one step and gave the lease back, while another step of it still works.
                raise EnvironmentNotReady(
                    f"Run {last['run_id']} is ending: {self.held_locks(last['run_id'])[0]}.", do="Wait for it to end."
                )
            if lease["run_id"] is not None:
                self._refuse_unless_abandoned(db, lease)
                # Killed between its publish and its last note, a run is published all the same.
                db.execute(
                    "update runs set state = case when exists (select 1 from versions v where v.run_id = runs.run_id)"
                    " then 'published' else 'superseded' end, finished_at = ?, message = ? where run_id = ? and state = 'running'",
                    (utc_now(), f"lease taken over by {run_id}", lease["run_id"]),
                )
            token = int(lease["token"]) + 1
            db.execute(
                "update lease set run_id = ?, token = ?, acquired_at = ?, renewed_at = ?",
                (run_id, token, utc_now(), utc_now()),
            )
            db.execute("update runs set token = ? where run_id = ?", (token, run_id))
            return token

    def _refuse_unless_abandoned(self, db: sqlite3.Connection, lease: sqlite3.Row) -> None:
        holder = lease["run_id"]
        held = self.held_locks(holder)
        run = db.execute("select state, driven from runs where run_id = ?", (holder,)).fetchone()
        last = db.execute(
            "select step, state from steps where run_id = ? order by step_id desc limit 1", (holder,)
        ).fetchone()
        killed = last is not None and last["state"] == "running"
        renewed = dt.datetime.strptime(lease["renewed_at"], "%Y-%m-%d %H:%M:%S.%f")  # noqa: DTZ007 (UTC by construction)
        silent = dt.datetime.now(dt.UTC).replace(tzinfo=None) - renewed > LEASE_GRACE
        abandoned = run is None or run["state"] != "running" or run["driven"] or killed or silent
        if held or not abandoned:
            detail = held[0] if held else f"step {last['step'] if last else 'none'}, between two steps"
            raise EnvironmentNotReady(
                f"Run {holder} is writing: {detail}, since {lease['acquired_at']} UTC.",
                where=str(self.path),
                do="Wait for it, or when it is dead for certain: onefunnel unlock",
            )

    def renew_lease(self, run_id: str) -> None:
        """Note that the run is alive (a step of it just ended)."""
        self._rows("update lease set renewed_at = ? where run_id = ?", (utc_now(), run_id))

    def release_lease(self, run_id: str) -> None:
        """Give the lease back, keeping the token count."""
        self._rows("update lease set run_id = null where run_id = ?", (run_id,))

    def lease(self) -> dict[str, Any]:
        """Who holds the lease (run_id may be None) and the newest token."""
        return dict(self._rows("select * from lease")[0])

    def unlock(self) -> str | None:
        """Take the lease from a dead run; returns its id, or None when nobody held it.

        Raises:
            EnvironmentNotReady: one of its steps is alive.
        """
        holder = self.lease()["run_id"]
        if holder is None:
            return None
        held = self.held_locks(holder)
        if held:
            raise EnvironmentNotReady(f"Run {holder} is alive: {held[0]}.", do="Stop that process first.")
        self.finish_run(holder, "failed", "unlock", "unlocked by hand")
        self.audit("unlock", holder)
        return str(holder)

    @contextmanager
    def lock(self, run_id: str, name: str) -> Iterator[None]:
        """Hold `<run>.<name>` for the life of this process or block; the kernel frees it when the process dies.

        Raises:
            EnvironmentNotReady: another live process holds it.
        """
        path = self.locks / f"{run_id}~{name}.lock"
        handle = path.open("a+", encoding="utf-8")
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                raise EnvironmentNotReady(
                    f"{name} of run {run_id} is already running: {handle.read().strip() or 'unknown process'}.",
                    where=str(path),
                    do="Wait for it to end.",
                ) from None
            handle.truncate(0)
            handle.write(f"{name}, pid {os.getpid()} on {socket.gethostname()} since {utc_now()} UTC")
            handle.flush()
            yield
        finally:
            handle.close()

    def held_locks(self, run_id: str) -> list[str]:
        """What the live processes of a run say of themselves; empty when none lives."""
        held = []
        for path in sorted(self.locks.glob(f"{run_id}~*.lock")):
            with path.open("r+", encoding="utf-8") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(handle.read().strip() or path.name)
        return held

    def drop_locks(self, run_id: str) -> None:
        """Remove the lock files of a finished run."""
        for path in self.locks.glob(f"{run_id}~*.lock"):
            path.unlink(missing_ok=True)

    # -- loads ----------------------------------------------------------------------------------------------------

    def add_load(self, run_id: str, receipt: dict[str, Any], path: str) -> Load:
        """Record a committed load; a load that is recorded already is returned as it stands.

        Args:
            run_id: the run that records it. An earlier one may have landed it and been killed: that is in the receipt.

        Raises:
            Superseded: a newer run has the lease.
        """
        with self._transaction_of(run_id) as db:
            known = db.execute("select * from loads where load_id = ?", (receipt["load_id"],)).fetchone()
            if known is None:
                db.execute(
                    "insert into loads (load_id, source, stream, contract, run_id, known_at, extracted_at, content_fingerprint,"
                    " declaration_fingerprint, rows_extracted, rows_landed, rows_rejected, path, state)"
                    " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'landed')",
                    (
                        receipt["load_id"],
                        receipt["source"],
                        receipt["stream"],
                        receipt["contract"],
                        receipt["run_id"],
                        receipt["known_at"],
                        receipt["extracted_at"],
                        receipt["content_fingerprint"],
                        receipt["declaration_fingerprint"],
                        receipt["rows"]["extracted"],
                        receipt["rows"]["landed"],
                        receipt["rows"]["rejected"],
                        path,
                    ),
                )
                db.executemany(
                    "insert into files values (?, ?, ?, ?, ?)",
                    [
                        (receipt["load_id"], i, f["path"], f["sha256"], f["bytes"])
                        for i, f in enumerate(receipt["files"])
                    ],
                )
                known = db.execute("select * from loads where load_id = ?", (receipt["load_id"],)).fetchone()
            return Load(**dict(known))

    def loads(self, *, source: str | None = None, stream: str | None = None, state: str | None = None) -> list[Load]:
        """Loads in the order of their commit."""
        rows = self._rows(
            "select * from loads where (?1 is null or source = ?1) and (?2 is null or stream = ?2) and (?3 is null or state = ?3)"
            " order by seq",
            (source, stream, state),
        )
        return [Load(**dict(r)) for r in rows]

    def load(self, load_id: str) -> Load:
        """One load.

        Raises:
            UsageError: there is none of this id.
        """
        rows = self._rows("select * from loads where load_id = ?", (load_id,))
        if not rows:
            raise UsageError(f"There is no load {load_id!r}.", do="List them: onefunnel loads list")
        return Load(**dict(rows[0]))

    def accepted_files(self, source: str, stream: str) -> dict[str, str]:
        """The cursor of a file stream: path -> sha256 of the version in the latest accepted load."""
        rows = self._rows(
            "select f.path, f.sha256 from files f join loads l using (load_id) where l.source = ? and l.stream = ?"
            " and l.state = 'accepted' order by l.seq, f.file_seq",
            (source, stream),
        )
        return {r["path"]: r["sha256"] for r in rows}

    def files_of(self, load_id: str) -> dict[str, str]:
        """path -> sha256 of the files in a load."""
        return {
            r["path"]: r["sha256"] for r in self._rows("select path, sha256 from files where load_id = ?", (load_id,))
        }

    def judge(self, load_id: str, state: str, judged_by: str, because: str, *, run_id: str | None = None) -> bool:
        """Accept or refuse a load. A verdict is sticky: only a human's later word changes it.

        Args:
            run_id: the run whose gate says so; it leaves a load alone that somebody has judged meanwhile. A human
                speaks outside of any run (None).

        Returns:
            Whether the verdict was taken.

        Raises:
            Superseded: a newer run has the lease.
        """
        with self._transaction_of(run_id) if run_id else self._transaction() as db:
            cursor = db.execute(
                "update loads set state = ?, judged_at = ?, judged_by = ?, because = ? where load_id = ? and (? or state = 'landed')",
                (state, utc_now(), judged_by, because, load_id, int(run_id is None)),
            )
            return cursor.rowcount == 1

    def set_run_extract(self, run_id: str, source: str, stream: str, load_id: str | None, note: str) -> None:
        """Record what a run's extract found for a stream: a load, or why there is none.

        Raises:
            Superseded: a newer run has the lease.
        """
        with self._transaction_of(run_id) as db:
            db.execute(
                "insert or replace into run_extracts values (?, ?, ?, ?, ?)", (run_id, source, stream, load_id, note)
            )

    def run_extracts(self, run_id: str) -> list[dict[str, Any]]:
        """What the extract of a run found, per stream."""
        return [
            dict(r)
            for r in self._rows("select * from run_extracts where run_id = ? order by source, stream", (run_id,))
        ]

    def set_run_loads(self, run_id: str, load_ids: Iterable[str]) -> None:
        """Keep the list of loads that a run builds from, so that it can be replayed.

        Raises:
            Superseded: a newer run has the lease.
        """
        with self._transaction_of(run_id) as db:
            db.execute("delete from run_loads where run_id = ?", (run_id,))
            db.executemany("insert into run_loads values (?, ?)", [(run_id, x) for x in load_ids])

    def run_loads(self, run_id: str) -> list[Load]:
        """The loads that a run built from, in order."""
        return [
            Load(**dict(r))
            for r in self._rows(
                "select l.* from loads l join run_loads r using (load_id) where r.run_id = ? order by l.seq", (run_id,)
            )
        ]

    # -- verdicts and the row ledger --------------------------------------------------------------------------------

    def record_checks(self, run_id: str, gate: str, rows: Iterable[dict[str, Any]], subject: str | None = None) -> None:
        """Replace what a gate of a run found (for one subject, when named).

        Raises:
            Superseded: a newer run has the lease.
        """
        with self._transaction_of(run_id) as db:
            db.execute(
                "delete from checks where run_id = ?1 and gate = ?2 and (?3 is null or subject = ?3)",
                (run_id, gate, subject),
            )
            db.executemany(
                "insert or replace into checks values (:run_id, :gate, :check_id, :subject, :severity, :owner, :state, :observed,"
                " :because, :fix, :sql, :checked_at)",
                [
                    {
                        "fix": None,
                        "sql": None,
                        "observed": None,
                        "because": None,
                        **row,
                        "run_id": run_id,
                        "gate": gate,
                        "checked_at": utc_now(),
                    }
                    for row in rows
                ],
            )

    def checks(self, run_id: str | None = None) -> list[dict[str, Any]]:
        """What the gates found, in the order of the run."""
        return [
            dict(r)
            for r in self._rows(
                "select * from checks where ?1 is null or run_id = ?1 order by checked_at, check_id", (run_id,)
            )
        ]

    def record_row_ledger(self, run_id: str, rows: Iterable[dict[str, Any]]) -> None:
        """Store extracted = loaded + deduplicated + quarantined + rejected, per load, as a run's build counted it.

        Raises:
            Superseded: a newer run has the lease.
        """
        with self._transaction_of(run_id) as db:
            db.executemany(
                "insert or replace into row_ledger values (:load_id, :extracted, :loaded, :deduplicated, :quarantined, :rejected)",
                list(rows),
            )

    def row_ledger(self) -> dict[str, dict[str, Any]]:
        """The row ledger by load id."""
        return {r["load_id"]: dict(r) for r in self._rows("select * from row_ledger")}

    # -- published versions -----------------------------------------------------------------------------------------

    def record_publish(self, run_id: str, sha256: str) -> int:
        """Make `run_id` the current version; the caller holds the publish lock. Returns its token.

        Raises:
            Superseded: a newer run has the lease, or had it.
        """
        with self._transaction_of(run_id) as db:
            token = int(db.execute("select token from lease").fetchone()["token"])
            db.execute(
                "update versions set state = 'kept', replaced_at = ? where state = 'current' and run_id <> ?",
                (utc_now(), run_id),
            )
            db.execute(
                "insert into versions (run_id, token, published_at, sha256, state) values (?, ?, ?, ?, 'current')"
                " on conflict (run_id) do nothing",
                (run_id, token, utc_now(), sha256),
            )
            return token

    def record_rollback(self, run_id: str, from_run: str | None) -> int:
        """Make an older version current again under a new token, so that a run that is under way cannot publish over it."""
        with self._transaction() as db:
            lease = db.execute("select * from lease").fetchone()
            token = int(lease["token"]) + 1
            db.execute(
                "update runs set state = 'superseded', finished_at = ?, message = 'rolled back meanwhile' where run_id = ?"
                " and state = 'running'",
                (utc_now(), lease["run_id"]),
            )
            db.execute("update lease set run_id = null, token = ?", (token,))
            db.execute(
                "update versions set state = case when run_id = ? then 'rolled_back' else 'kept' end, replaced_at = ?"
                " where state = 'current'",
                (from_run, utc_now()),
            )
            db.execute(
                "update versions set state = 'current', token = ?, replaced_at = null where run_id = ?", (token, run_id)
            )
            return token

    def versions(self) -> list[dict[str, Any]]:
        """Published versions, newest token first."""
        return [dict(r) for r in self._rows("select * from versions order by token desc")]

    def mark_collected(self, run_id: str) -> None:
        """Record that the files of an old version are gone."""
        self._rows("update versions set state = 'collected' where run_id = ?", (run_id,))

    # -- audit --------------------------------------------------------------------------------------------------------

    def audit(self, action: str, subject: str, because: str | None = None) -> None:
        """Append who did what by hand, and why."""
        self._rows(
            "insert into audit (at, who, action, subject, because) values (?, ?, ?, ?, ?)",
            (utc_now(), _who(), action, subject, because),
        )

    def audits(self) -> list[dict[str, Any]]:
        """Everything done by hand, oldest first."""
        return [dict(r) for r in self._rows("select * from audit order by audit_id")]

    def export(self) -> dict[str, list[dict[str, Any]]]:
        """The tables that marts about runs are built from."""
        return {
            "runs": [
                dict(r)
                for r in self._rows(
                    "select run_id, kind, as_of, started_at, finished_at, state, failed_step from runs order by started_at, run_id"
                )
            ],
            "loads": [
                dict(r)
                for r in self._rows(
                    "select load_id, seq, source, stream, contract, state, known_at, extracted_at, run_id, rows_extracted, rows_landed,"
                    " rows_rejected, judged_at, judged_by, because from loads order by seq"
                )
            ],
            "checks": [
                dict(r)
                for r in self._rows(
                    "select run_id, gate, check_id, severity, owner, subject, state, observed, because, checked_at from checks"
                    " order by checked_at, run_id, gate, check_id, subject"
                )
            ],
            "versions": [
                dict(r)
                for r in self._rows("select run_id, token, published_at, sha256, state from versions order by token")
            ],
        }


def _superseded(run_id: str) -> Superseded:
    return Superseded(
        f"Run {run_id} was superseded by a newer run and must not write.", do="Start a new run: onefunnel run"
    )


def _run(row: sqlite3.Row) -> Run:
    return Run(**dict(row))


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
