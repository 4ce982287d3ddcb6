"""The steps of a run, in order. The CLI calls them whole, a DAG one by one; each is its own process."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from onefunnel import __version__, publish
from onefunnel.errors import (
    ConfigError,
    EnvironmentNotReady,
    GateFailed,
    OnefunnelError,
    StepFailed,
    Superseded,
    UsageError,
    is_disk_trouble,
)
from onefunnel.fetch import connected, fetch
from onefunnel.formats import utc_text
from onefunnel.landing import LoadPlan, file_dates, is_intact, read_receipt, verify_load, write_load, write_tables
from onefunnel.ledger import Ledger, Load, Run
from onefunnel.paths import Paths
from onefunnel.settings import (
    FILES,
    Settings,
    Source,
    Stream,
    load_contracts,
    load_settings,
    parse_instant,
    source_root,
)
from onefunnel.sources.files import FoundFile, find_files, read_file
from onefunnel.sources.inbox import Connector

log = logging.getLogger("onefunnel")
RUN_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,180}$")
STEPS = ("extract", "check raw", "build", "seal", "check marts", "publish", "report")
# How the ledger names a human as the one who judged a load.
BY_HAND = "by hand"
# So many sources are asked at the same time, where one process extracts them all.
APIS_AT_ONCE = 4
# How many earlier receipts the volume checks look back on.
HISTORY = 28
_TEXT = pa.string()
_EXPORT = {
    "runs": pa.schema(
        [(n, _TEXT) for n in ("run_id", "kind", "as_of", "started_at", "finished_at", "state", "failed_step")]
    ),
    "loads": pa.schema(
        [
            (n, pa.int64() if n in ("seq", "rows_extracted", "rows_landed", "rows_rejected") else _TEXT)
            for n in (
                "load_id",
                "seq",
                "source",
                "stream",
                "contract",
                "state",
                "known_at",
                "extracted_at",
                "run_id",
                "rows_extracted",
                "rows_landed",
                "rows_rejected",
                "judged_at",
                "judged_by",
                "because",
            )
        ]
    ),
    "checks": pa.schema(
        [
            (n, _TEXT)
            for n in (
                "run_id",
                "gate",
                "check_id",
                "severity",
                "owner",
                "subject",
                "state",
                "observed",
                "because",
                "checked_at",
            )
        ]
    ),
    "versions": pa.schema(
        [(n, pa.int64() if n == "token" else _TEXT) for n in ("run_id", "token", "published_at", "sha256", "state")]
    ),
}


@dataclass(frozen=True)
class Installation:
    """One installation: its paths, its settings and its ledger."""

    paths: Paths
    settings: Settings
    ledger: Ledger

    @classmethod
    def open(cls) -> Installation:
        """The installation of this process's environment.

        Raises:
            ConfigError: pipeline.yml is wrong.
        """
        paths = Paths.find()
        return cls(paths, load_settings(paths.config, paths.dbt_project), Ledger(paths.ledger, paths.locks))


def new_run_id() -> str:
    """A sortable run id for runs started by hand."""
    return dt.datetime.now(dt.UTC).strftime("run-%Y%m%dT%H%M%S-%f")


def open_run(
    here: Installation,
    run_id: str,
    *,
    kind: str = "daily",
    as_of: str | None = None,
    driven: bool = False,
    date_range: tuple[str, str] | None = None,
) -> Run:
    """The run, created with its as-of instant when it is new.

    Raises:
        UsageError: the id cannot be a folder's name, the range is upside down, or the run is already published.
        ConfigError: `as_of` is no instant.
    """
    if not RUN_ID.match(run_id):
        raise UsageError(
            f"{run_id!r} cannot be a run id.",
            do="Use letters, digits, dot, dash and underscore; start with a letter or digit.",
        )
    if date_range:
        try:
            first, last = (dt.date.fromisoformat(d) for d in date_range)
        except ValueError:
            raise UsageError(
                f"{date_range} is not a range of ISO dates.", do="Write it like --from 2026-01-01 --to 2026-01-31."
            ) from None
        if first > last:
            raise UsageError(f"The range {first} … {last} is upside down.", do="Swap the two dates.")
    now = dt.datetime.now(dt.UTC)
    instant = parse_instant(as_of) if as_of else here.settings.resolved_as_of(now)
    run = here.ledger.begin_run(
        run_id, kind, utc_text(instant), __version__, _sha256_of_config(here.paths), driven, date_range
    )
    if as_of and run.as_of != utc_text(instant):
        raise UsageError(f"Run {run_id} already has as-of {run.as_of}.", do="Start another run for another instant.")
    return run


def begin(
    here: Installation,
    run_id: str,
    *,
    kind: str,
    as_of: str | None,
    driven: bool = False,
    date_range: tuple[str, str] | None = None,
) -> Run:
    """Open a run and take the lease for it; a new run that does not get the lease ends as failed.

    Raises:
        UsageError: the run exists as one of another kind or range.
        EnvironmentNotReady: another run holds the lease.
    """
    run = open_run(here, run_id, kind=kind, as_of=as_of, driven=driven, date_range=date_range)
    if (run.kind, run.range_from, run.range_to) != (kind, *(date_range or (None, None))):
        raise UsageError(f"Run {run_id} exists, as a {run.kind} run.", do="Choose another run id.")
    try:
        here.ledger.acquire_lease(run_id)
    except EnvironmentNotReady as error:
        if run.token is None:
            here.ledger.finish_run(run_id, "failed", "start", str(error))
        raise
    return run


@contextmanager
def step(here: Installation, run_id: str, name: str, part: str = "") -> Iterator[Run]:
    """Run one step: under the run's lease, under the step's own lock, recorded in the ledger.

    An error with exit code 3 leaves the run open, to be retried; any other fails it and gives the lease back.
    """
    label = f"{name} {part}".strip()
    _refuse_sibling_of_a_failure(here, run_id, name, label)
    run = open_run(here, run_id)
    if run.state == "published" and name not in ("report", "publish"):
        raise UsageError(f"Run {run_id} is published.", do="Start a new run: onefunnel run")
    with here.ledger.lock(run_id, label.replace(" ", "-")):
        if run.state != "published":
            here.ledger.acquire_lease(run_id)
        step_id = here.ledger.start_step(run_id, label)
        try:
            yield run
        except OnefunnelError as error:
            _end_red(here, run_id, step_id, label, error)
            raise
        except BaseException as error:
            if not is_disk_trouble(error):
                # The text of a library's error may quote data; it is in the process's own log only.
                _end_red(here, run_id, step_id, label, StepFailed(f"{type(error).__name__}; the step's log says more"))
                raise
            trouble = EnvironmentNotReady(
                f"The disk refused: {str(error).splitlines()[0]}",
                where=str(here.paths.home),
                do=f"{_free_space(here.paths.home)} Make room, then repeat the run; nothing half-written is kept, readers keep what they have.",
            )
            _end_red(here, run_id, step_id, label, trouble)
            raise trouble from error
        here.ledger.end_step(step_id, "ok")
        here.ledger.renew_lease(run_id)


def _refuse_sibling_of_a_failure(here: Installation, run_id: str, name: str, label: str) -> None:
    """A run that failed in one of several steps side by side stays failed, with its cause: the others do not revive it."""
    run = here.ledger.run(run_id)
    failed = (run.failed_step or "") if run is not None and run.state == "failed" else ""
    if failed != label and failed.split(" ")[0] == name == "extract":
        raise StepFailed(f"Run {run_id} failed in step {failed}; nothing more is done in it.", do="onefunnel status")


def _end_red(here: Installation, run_id: str, step_id: int, label: str, error: OnefunnelError) -> None:
    retried = error.exit_code == 3 and not os.environ.get("ONEFUNNEL_LAST_TRY")
    here.ledger.end_step(step_id, "environment" if error.exit_code == 3 else "failed", str(error))
    run = here.ledger.run(run_id)
    if not retried and run is not None and run.state == "running":
        here.ledger.finish_run(run_id, "failed", label, str(error))


def _free_space(folder: Path) -> str:
    return f"{shutil.disk_usage(folder).free / 1e6:,.0f} MB are free there."


def _sha256_of_config(paths: Paths) -> str:
    return hashlib.sha256(paths.config.read_bytes()).hexdigest()


# -- extract ----------------------------------------------------------------------------------------------------------


def extract(
    here: Installation, run_id: str, source: str | None = None, *, accept_deletions: str | None = None
) -> list[dict[str, Any]]:
    """Land what changed since the last accepted load, one load per stream.

    Args:
        source: only this source; all of them when None.
        accept_deletions: somebody says that most records of this source may be gone; it is kept in the audit trail.

    Returns:
        Per stream: source, stream, load_id (None when nothing is new), rows, note.
    """
    names = [source] if source else list(here.settings.sources)
    _refuse_unknown(here, [*names, accept_deletions])
    with step(here, run_id, "extract", source or "") as run, ThreadPoolExecutor(APIS_AT_ONCE) as pool:
        if accept_deletions in names:
            here.ledger.audit("accept deletions", run_id, f"--accept-deletions {accept_deletions}")
        # An API is mostly waited for; files are read by everything that this machine has.
        of_apis = {
            name: pool.submit(_extract_source, here, run, name, name == accept_deletions)
            for name in names
            if not here.settings.sources[name].is_files
        }
        return [
            row
            for name in names
            for row in (of_apis[name].result() if name in of_apis else _extract_source(here, run, name, False))
        ]


def _refuse_unknown(here: Installation, names: Sequence[str | None]) -> None:
    """Refuse the name of a source that is not declared.

    Raises:
        UsageError: it is none.
    """
    unknown = [n for n in names if n is not None and n not in here.settings.sources]
    if unknown:
        raise UsageError(f"There is no source {unknown[0]!r}.", do=f"Known: {', '.join(here.settings.sources)}")


def _extract_source(here: Installation, run: Run, name: str, accept_deletions: bool) -> list[dict[str, Any]]:
    """What became of each stream of a source."""
    declared = here.settings.sources[name]
    try:
        with connected(name, declared) as connector:
            return [
                _extract_stream(here, run, name, stream, connector, accept_deletions) for stream in declared.streams
            ]
    except (ConfigError, StepFailed, EnvironmentNotReady) as error:
        if declared.required or isinstance(error, Superseded) or not _given_up(declared, error):
            log.warning("source %s failed: %s", name, error.what)  # of several that fail, one can be raised
            raise
        log.warning("optional source %s failed; its marts go stale: %s", name, error)
        here.ledger.set_run_extract(run.run_id, name, "", None, f"failed: {error.what}")
        return [{"source": name, "stream": "", "load_id": None, "rows": 0, "note": f"failed: {error.what}"}]


def _given_up(source: Source, error: OnefunnelError) -> bool:
    """Whether a run goes on without a source that is not required: at once where a retry will not help, and without an API
    that is down when no further try will come."""
    return isinstance(error, (StepFailed, ConfigError)) or (
        not source.is_files and os.environ.get("ONEFUNNEL_LAST_TRY", "1") == "1"
    )


def _extract_stream(
    here: Installation,
    run: Run,
    source_name: str,
    stream_name: str,
    connector: Connector | None,
    accept_deletions: bool,
) -> dict[str, Any]:
    source = here.settings.sources[source_name]
    stream = source.streams[stream_name]
    where = f"source {source_name}, stream {stream_name}"
    root = source_root(source.root, here.paths.config, here.paths.home)
    cursor = here.ledger.accepted_files(source_name, stream_name)
    if connector is not None:
        paths, ledger = here.paths, here.ledger
        fetch(connector, paths, ledger, run, source_name, source, stream_name, accept_deletions=accept_deletions)
    found = find_files(root, stream, where)
    if not found and source.required and not here.ledger.loads(source=source_name, stream=stream_name):
        raise StepFailed(
            f"No file matches {stream.files!r}, and none ever did.",
            where=f"{where}: {root}",
            do="Correct `root` or `files` in pipeline.yml, or declare the source `required: false`.",
        )
    changed = _to_read(here, source_name, stream_name, stream, found, cursor)

    def done(load_id: str | None, rows: int, note: str) -> dict[str, Any]:
        here.ledger.set_run_extract(run.run_id, source_name, stream_name, load_id, note)
        log.info("%s: %s", where, note)
        return {"source": source_name, "stream": stream_name, "load_id": load_id, "rows": rows, "note": note}

    _warn_of_changed_declaration(here, source_name, stream_name, stream)
    if not changed:
        return done(None, 0, "nothing new")
    plan = LoadPlan(
        source_name,
        stream_name,
        stream,
        load_contracts(here.paths.dbt_project)[stream.contract],
        run.run_id,
        parse_instant(run.as_of + "+00:00"),
        cursor,
        [(f.path, f.sha256) for f in changed],
        source.connector,
    )
    same = [
        x
        for x in here.ledger.loads(source=source_name, stream=stream_name)
        if x.content_fingerprint == plan.fingerprint and x.state != "accepted"
    ]
    # A refusal says what the file is worth, unless what it judged is no longer there: then the file is read again.
    kept = [x for x in same if x.state != "refused" or is_intact(here.paths.landing / x.path)]
    if kept:
        return done(
            kept[-1].load_id, kept[-1].rows_extracted, f"unchanged since load {kept[-1].load_id} ({kept[-1].state})"
        )
    plan = _numbered(here, plan)
    load = _land(here, run, plan, changed, where)
    if load is None:
        return done(None, 0, "nothing in the range")
    return done(
        load.load_id,
        load.rows_extracted,
        f"{len(changed)} file(s), {load.rows_extracted:,} records, {load.rows_rejected:,} unreadable -> {load.load_id}",
    )


def _to_read(
    here: Installation,
    source_name: str,
    stream_name: str,
    stream: Stream,
    found: Sequence[FoundFile],
    cursor: dict[str, str],
) -> list[FoundFile]:
    """The files that this run must read: new or changed ones, and what must be read again with them.

    A file version that a human refused stays out until it changes (or its declaration does, or its load is damaged).
    A file that is read again after a refusal takes along the files that were accepted after it, so that it cannot
    overwrite what a later file has restated: within one load, the later file wins.
    """
    loads = here.ledger.loads(source=source_name, stream=stream_name)
    files_of = {x.load_id: here.ledger.files_of(x.load_id) for x in loads}
    by_hand = [x for x in loads if x.state == "refused" and x.judged_by == BY_HAND]
    recalled = {
        version
        for x in by_hand
        if x.declaration_fingerprint == stream.fingerprint() and is_intact(here.paths.landing / x.path)
        for version in files_of[x.load_id].items()
    }
    changed = {f.path for f in found if cursor.get(f.path) != f.sha256 and (f.path, f.sha256) not in recalled}
    accepted_at = {p: x.seq for x in loads if x.state == "accepted" for p in files_of[x.load_id]}
    refused = [
        x.seq
        for x in loads
        if x.state == "refused" and any(x.seq > accepted_at.get(p, 0) for p in changed & files_of[x.load_id].keys())
    ]
    if refused:
        later = {p for x in loads if x.state == "accepted" and x.seq > min(refused) for p in files_of[x.load_id]}
        changed |= {f.path for f in found if f.path in later and (f.path, f.sha256) not in recalled}
    return [f for f in found if f.path in changed]


def _numbered(here: Installation, plan: LoadPlan) -> LoadPlan:
    """The plan, counting the recorded loads of the same content: content that returns is a load of its own."""
    loads = here.ledger.loads(source=plan.source, stream=plan.stream_name)
    return replace(plan, again=sum(1 for x in loads if x.content_fingerprint == plan.fingerprint))


def _land(here: Installation, run: Run, plan: LoadPlan, changed: Sequence[FoundFile], where: str) -> Load | None:
    target = here.paths.load(plan.source, plan.stream_name, plan.load_id)
    if target.exists() and read_receipt(target)["content_fingerprint"] == plan.fingerprint:
        return here.ledger.add_load(
            run.run_id, read_receipt(target), str(target.relative_to(here.paths.landing))
        )  # killed before it was recorded
    target.parent.mkdir(parents=True, exist_ok=True)
    for leftover in target.parent.glob(".work-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=".work-", dir=target.parent))
    try:
        files = [read_file(f, i, plan.stream, work, where) for i, f in enumerate(changed)]
        if run.range_from and run.range_to and plan.connector == FILES:  # a connector was asked for the range itself
            inside = [f for f in files if _overlaps(file_dates(plan, f), run.range_from, run.range_to)]
            if not inside:
                return None
            if len(inside) < len(files):
                # What comes before the last file of the range is read as well: read later, it would overwrite it.
                narrowed = changed[: 1 + max(f.seq for f in inside)]
                if len(narrowed) < len(changed):
                    shutil.rmtree(work, ignore_errors=True)
                    plan = _numbered(here, replace(plan, files=[(f.path, f.sha256) for f in narrowed]))
                    return _land(here, run, plan, narrowed, where)
        _refuse_unwanted_empty(plan.stream, files, where)
        receipt = write_load(plan, files, work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return here.ledger.add_load(run.run_id, receipt, str(target.relative_to(here.paths.landing)))


def _overlaps(dates: tuple[str, str] | None, first: str, last: str) -> bool:
    """Whether a file has dates in the range; a file without dates (a list) always belongs to it."""
    return dates is None or (dates[0] <= last and dates[1] >= first)


def _refuse_unwanted_empty(stream: Stream, files: Sequence[Any], where: str) -> None:
    for file in files:
        if not stream.allow_empty and file.records == 0 and not file.rejects:
            raise StepFailed(
                "The file has a header and no record.",
                where=f"{where}, file {file.path}",
                do="Have it written again; if an empty file is legal here, declare `allow_empty: true`.",
            )


def _warn_of_changed_declaration(here: Installation, source: str, stream_name: str, stream: Stream) -> None:
    accepted = here.ledger.loads(source=source, stream=stream_name, state="accepted")
    if accepted and accepted[-1].declaration_fingerprint != stream.fingerprint():
        log.warning(
            "source %s, stream %s: its declaration changed since load %s; loads already accepted keep the way they were read."
            " To read them again: onefunnel loads refuse <id> --because 'declaration corrected'",
            source,
            stream_name,
            accepted[-1].load_id,
        )


# -- raw gate -----------------------------------------------------------------------------------------------------------


def check_raw(here: Installation, run_id: str) -> list[dict[str, Any]]:
    """Judge every load that is not judged yet: accepted or refused, for good.

    Raises:
        GateFailed: a required source has a load that is refused and not replaced.
    """
    with step(here, run_id, "check raw"):
        waiting = here.ledger.loads(state="landed")
        verdicts = _judge(here, run_id, waiting) if waiting else []
        _require_no_refused(here, run_id)
    return verdicts


def _judge(here: Installation, run_id: str, waiting: Sequence[Load]) -> list[dict[str, Any]]:
    from onefunnel.quality.gate import LoadUnderJudgement  # slow to import
    from onefunnel.quality.gate import check_raw as judge

    accepted = here.ledger.loads(state="accepted")
    owners = {name: source.owner for name, source in here.settings.sources.items()}
    for load in waiting:
        verify_load(here.paths.landing / load.path)

    def history(load: Load) -> list[dict[str, Any]]:
        earlier = [x for x in accepted if (x.source, x.stream) == (load.source, load.stream)]
        return [read_receipt(here.paths.landing / x.path) for x in reversed(earlier[-HISTORY:])]

    subjects = [
        LoadUnderJudgement(
            x.load_id,
            here.paths.landing / x.path,
            read_receipt(here.paths.landing / x.path),
            history(x),
            owners.get(x.source, "data"),
        )
        for x in waiting
    ]
    reports = judge(subjects, here.paths.expectations, load_contracts(here.paths.dbt_project))
    verdicts, unjudged = [], []
    for load in waiting:
        report = reports[load.load_id]
        here.ledger.record_checks(run_id, "raw", [_row(r) for r in report.to_dict()["results"]], load.load_id)
        first = report.first_failure
        broken = [r for r in report.results if r.state == "error"]
        if broken or report.executed != report.declared:
            # The gate itself failed: that says nothing about the load, so it stays unjudged until a gate has run.
            unjudged.append(
                f"{load.load_id}: {broken[0].check_id}: {broken[0].observed}"
                if broken
                else f"{load.load_id}: expected {report.declared} checks, ran {report.executed}"
            )
            continue
        state = "accepted" if report.verdict == "pass" else "refused"
        because = (
            "all checks passed"
            if state == "accepted"
            else f"{first.check_id}: {first.observed}"
            if first
            else "not all checks ran"
        )
        judge_id = f"{first.check_id if first else 'raw gate'}@{__version__}"
        if not here.ledger.judge(load.load_id, state, judge_id, because, run_id=run_id):
            stands = here.ledger.load(load.load_id)
            state, because = stands.state, f"{stands.because} (judged {stands.judged_by} meanwhile)"
        log.log(
            logging.INFO if state == "accepted" else logging.ERROR,
            "load %s %s: %s (%d checks)",
            load.load_id,
            state,
            because,
            report.executed,
        )
        verdicts.append({"load_id": load.load_id, "state": state, "because": because, "checks": report.counts})
    if unjudged:
        raise GateFailed(
            f"The raw gate could not judge {len(unjudged)} load(s); the first: {unjudged[0]}",
            where=str(here.paths.expectations),
            do="onefunnel validate, then repeat the run; the loads stay as they are.",
        )
    return verdicts


def _row(result: dict[str, Any]) -> dict[str, Any]:
    """A check's result as the ledger keeps it; the samples are surrogate keys and column names, never values."""
    names = ("check_id", "severity", "owner", "subject", "state", "observed", "because", "fix", "sql")
    samples = f" ({', '.join(result['samples'])})" if result.get("samples") else ""
    return {**{n: result[n] for n in names}, "observed": f"{result['observed']}{samples}"}


def _require_no_refused(here: Installation, run_id: str) -> None:
    refused = [here.ledger.load(x["load_id"]) for x in here.ledger.run_extracts(run_id) if x["load_id"]]
    red = [
        x
        for x in refused
        if x.state == "refused" and x.source in here.settings.sources and here.settings.sources[x.source].required
    ]
    if red:
        first = red[0]
        files = ", ".join(here.ledger.files_of(first.load_id))
        # The check may be of an earlier run: a refusal is sticky, and this run found the same file again.
        judge = ((first.judged_by or "").split("@")[0], first.load_id)
        fix = next((c["fix"] for c in here.ledger.checks() if (c["check_id"], c["subject"]) == judge), None)
        if here.settings.sources[first.source].is_files:
            again = f"{fix or 'Correct the file.'} A changed file is read again when the run is repeated"
        else:
            again = (
                f"{fix or 'Correct it at the vendor.'} The next run asks for the same again and judges what comes then"
            )
        raise GateFailed(
            f"{len(red)} load(s) of required sources are refused; the first: {first.because}",
            where=f"source {first.source}, stream {first.stream}, load {first.load_id}, files {files}",
            do=f"{again}; if it is right as it is: onefunnel loads accept {first.load_id} --because …",
        )


# -- build --------------------------------------------------------------------------------------------------------------


def build(here: Installation, run_id: str, *, full_refresh: bool = False, replay: str | None = None) -> dict[str, Any]:
    """One dbt build over exactly the accepted loads, on a copy of the base warehouse.

    Args:
        full_refresh: rebuild everything from the landing.
        replay: build from the loads of this earlier run instead.

    Raises:
        StepFailed: a model or a test is red.
    """
    from onefunnel import transform

    with step(here, run_id, "build") as run:
        publish.repair_links(here.paths, here.ledger)
        loads = here.ledger.run_loads(replay) if replay else here.ledger.loads(state="accepted")
        if replay and not loads:
            raise UsageError(f"Run {replay} has no list of loads.", do="Choose a run that was built: onefunnel status")
        here.ledger.set_run_loads(run_id, [x.load_id for x in loads])
        fingerprint = transform.code_fingerprint(here.paths, here.settings)
        base = transform.base_state(here.paths.warehouse)
        full = full_refresh or run.kind == "backfill" or not _extends(base, loads, fingerprint, run.as_of)
        for load in loads:
            if full or load.load_id not in (base or {}).get("loads", []):
                verify_load(here.paths.landing / load.path)
        export = here.paths.landing / "ledger" / f"load={run_id}"
        if not replay:
            shutil.rmtree(export, ignore_errors=True)
            write_tables(export, here.paths.run(run_id), here.ledger.export(), _EXPORT)
        elif not export.exists():  # a replay is built from what was known then, and can be replayed itself
            shutil.copytree(here.paths.landing / "ledger" / f"load={replay}", export)
        warehouse = here.paths.run(run_id) / "warehouse.duckdb"
        transform.prepare_base(here.paths, warehouse, fresh=full)
        variables = transform.build_vars(
            here.paths,
            here.settings,
            loads,
            {
                "run_id": run_id,
                "as_of": run.as_of,
                "code_version": __version__,
                "base_run_id": None if full or not base else base["run_id"],
                "base_as_of": None if full or not base else base["as_of"],
            },
            [] if full or not base else base["loads"],
            export,
        )
        result = transform.run_dbt(here.paths, warehouse, variables, full, here.paths.dbt / "target")
        here.ledger.record_checks(
            run_id,
            "build",
            [
                _node_check(n, warehouse)
                for n in sorted(result.nodes, key=lambda n: n.kind == "test")
                if n.kind == "test" or n in result.failures
            ],
        )
        if result.failures:
            first = result.failures[0]
            no_space = next((n for n in result.failures if is_disk_trouble(n.message)), None)
            if no_space is not None:
                raise OSError(errno.ENOSPC, f"{no_space.name}: {no_space.message}", str(warehouse))
            raise StepFailed(
                f"{len(result.failures)} of {len(result.nodes)} dbt nodes are red; the first is {first.kind} {first.name}: {first.message}",
                where=str(warehouse),
                do="See the check's SQL: onefunnel status",
            )
        transform.stamp_base(
            warehouse, {"run_id": run_id, "as_of": run.as_of, "code": fingerprint, "loads": [x.load_id for x in loads]}
        )
        here.ledger.record_row_ledger(run_id, transform.row_ledger(warehouse))
        rows = transform.table_rows(warehouse)
        models = [
            {"name": n.name, "status": n.status, "rows": rows.get(n.name), "seconds": round(n.seconds, 2)}
            for n in result.nodes
            if n.kind in ("model", "seed")
        ]
        for model in models:
            count = f"{model['rows']:,} rows" if model["rows"] is not None else "view"
            log.info("%-48s %-8s %14s %7.2f s", model["name"], model["status"], count, model["seconds"])
        return {
            "full_refresh": full,
            "loads": len(loads),
            "new_loads": sum(1 for v in variables["loads"] if v["is_new"]),
            "models": models,
            "tests": sum(1 for n in result.nodes if n.kind == "test"),
        }


def _extends(base: dict[str, Any] | None, loads: Sequence[Load], fingerprint: str, as_of: str) -> bool:
    """Whether the base warehouse can be extended: same code and agreement, no load withdrawn, order kept, time not turned back."""
    if base is None or base["code"] != fingerprint or as_of < base["as_of"]:
        return False
    return [x.load_id for x in loads][: len(base["loads"])] == base["loads"]


def _node_check(node: Any, warehouse: Path) -> dict[str, Any]:
    states = {"pass": "passed", "warn": "warned", "fail": "failed", "skipped": "skipped"}
    state = states.get(node.status, "error")
    return {
        "check_id": node.name,
        "severity": "block" if node.severity == "error" else "warn",
        "owner": "data",
        "subject": node.name,
        "state": state,
        "observed": node.message or node.status,
        "because": "a dbt test of the project" if node.kind == "test" else "a model that must build",
        "fix": f"Open {warehouse} with DuckDB and run the SQL." if state != "passed" else None,
        "sql": node.sql if state != "passed" else None,
    }


# -- seal, marts gate, publish, report --------------------------------------------------------------------------------------


def seal(here: Installation, run_id: str) -> dict[str, Any]:
    """Copy the published schemas of the run's warehouse into one fresh file with a manifest beside it.

    Raises:
        StepFailed: the run has no green build; what a red or interrupted one left is not sealed.
    """
    from onefunnel import transform

    with step(here, run_id, "seal") as run:
        warehouse = here.paths.run(run_id) / "warehouse.duckdb"
        if (transform.base_state(warehouse) or {}).get("run_id") != run_id:
            raise StepFailed(
                f"Run {run_id} has no green build.", where=str(warehouse), do=f"onefunnel build --run-id {run_id}"
            )
        return publish.seal(
            warehouse,
            here.paths.candidate(run_id),
            {
                "run_id": run_id,
                "as_of": run.as_of,
                "company": here.settings.company,
                "code_version": __version__,
                "config_sha256": run.config_sha256,
                "reporting_currency": here.settings.reporting.currency,
                "loads": [x.load_id for x in here.ledger.run_loads(run_id)],
                "previous_run_id": publish.current_run(here.paths),
            },
        )


def check_marts(here: Installation, run_id: str, *, approve_restatement: bool = False) -> dict[str, Any]:
    """Judge the sealed file, read-only, and write the verdict beside it.

    Args:
        approve_restatement: somebody says that final days may differ from the published version; it is kept in the
            audit trail.

    Raises:
        GateFailed: a block-level check is red, or not every declared check ran.
    """
    with step(here, run_id, "check marts") as run:
        from onefunnel.quality.gate import check_marts as judge
        from onefunnel.quality.report import write_html

        folder = here.paths.candidate(run_id)
        manifest = publish.read_manifest(folder)
        if approve_restatement:
            here.ledger.audit("approve restatement", run_id, "--approve-restatement")
        asked = {
            "run_id": run_id,
            "as_of": run.as_of,
            "previous_final_spend": publish.final_spend(here.paths),
            "approve_restatement": approve_restatement,
        }
        report = judge(folder, here.paths.expectations, asked)
        data = report.to_dict()
        here.ledger.record_checks(run_id, "marts", [_row(r) for r in data["results"]])
        same = report.sha256 == manifest["sha256"]
        verdict = "pass" if report.verdict == "pass" and same else "fail"
        publish.write_manifest(
            folder,
            {
                **manifest,
                "verdict": verdict,
                "checks": {**report.counts, "sha256": report.sha256},
                "warned": [
                    {k: r[k] for k in ("check_id", "because", "observed")}
                    for r in data["results"]
                    if r["state"] == "warned"
                ],
            },
        )
        write_html(report, folder / "checks.html")
        if verdict != "pass":
            first = report.first_failure
            raise GateFailed(
                f"{report.counts['failed']} of {report.declared} checks are red; the first is {first.check_id}: {first.observed}"
                if first
                else "The sealed file changed, or not every declared check ran.",
                where=f"{first.subject} in {folder / publish.DATABASE}" if first else str(folder),
                do=(first.fix + " " if first else "") + "The SQL that shows it: onefunnel status",
            )
        return {"verdict": verdict, "checks": report.counts}


def publish_run(here: Installation, run_id: str) -> dict[str, Any]:
    """Make the audited candidate what readers see, then collect old versions."""
    with step(here, run_id, "publish"):
        manifest = publish.publish(here.paths, here.ledger, run_id)
        here.ledger.finish_run(run_id, "published")
    gone = publish.collect(
        here.paths,
        here.ledger,
        here.settings.retention.versions,
        dt.timedelta(minutes=here.settings.retention.min_age_minutes),
    )
    return {"run_id": run_id, "path": str(here.paths.current), "sha256": manifest["sha256"], "collected": gone}


def report(here: Installation, run_id: str) -> dict[str, Any]:
    """Render the review page of a published version and point `published/site` at it."""
    from onefunnel.report.page import render

    with step(here, run_id, "report"):
        version = here.paths.version(run_id)
        manifest = publish.read_manifest(version)
        published = next((v for v in here.ledger.versions() if v["run_id"] == run_id), None)
        if published is None:
            raise StepFailed(f"Run {run_id} is not published.", do=f"onefunnel publish --run-id {run_id}")
        work = version / ".site.partial"
        shutil.rmtree(work, ignore_errors=True)
        page = render(version / publish.DATABASE, {**manifest, "published_at": published["published_at"]}, work)
        checks = version / "checks.html"
        if checks.is_file():
            shutil.copyfile(checks, work / "checks.html")
        shutil.rmtree(version / "site", ignore_errors=True)
        work.rename(version / "site")
        with publish.publish_lock(here.paths):
            if any(v["run_id"] == run_id and v["state"] == "current" for v in here.ledger.versions()):
                publish.flip_site(here.paths, run_id)
    return {"page": str(here.paths.site / page.name)}


# -- the whole run ------------------------------------------------------------------------------------------------------------


def run_all(
    here: Installation,
    run_id: str,
    *,
    as_of: str | None,
    kind: str = "daily",
    full_refresh: bool = False,
    date_range: tuple[str, str] | None = None,
    replay: str | None = None,
    approve_restatement: bool = False,
    accept_deletions: str | None = None,
    on_step: Callable[[str, str], None],
) -> int:
    """All steps in order, each as its own process; returns the exit code of the first that is red, else 0.

    The driver holds a lock for as long as it lives, so that a killed one can be told from a slow one.
    """
    _refuse_unknown(here, [accept_deletions])
    with here.ledger.lock(run_id, "driver"):
        begin(here, run_id, kind=kind, as_of=as_of, driven=True, date_range=date_range)
        publish.repair_links(here.paths, here.ledger)
        for name in STEPS if not replay else STEPS[2:]:
            extra = []
            if name == "extract" and accept_deletions:
                extra = ["--accept-deletions", accept_deletions]
            if name == "build":
                extra = [*(["--full-refresh"] if full_refresh else []), *(["--replay", replay] if replay else [])]
            if name == "check marts" and approve_restatement:
                extra = ["--approve-restatement"]
            on_step(name, "start")
            code = run_step(name, run_id, extra)
            on_step(name, "ok" if code == 0 else f"exit {code}")
            if code != 0:
                _close(here, run_id, name, code)
                return code
    here.ledger.drop_locks(run_id)
    return 0


def _close(here: Installation, run_id: str, name: str, code: int) -> None:
    """A driven run does not wait for a retry: whatever stopped it, it ends here."""
    run = here.ledger.run(run_id)
    if run is not None and run.state == "running":
        steps = here.ledger.steps(run_id)
        message = (steps[-1]["message"] if steps else None) or f"{name} ended with exit code {code}"
        here.ledger.finish_run(run_id, "failed", name, message)


def run_step(name: str, run_id: str, extra: Sequence[str] = ()) -> int:
    """One step as a process of its own; what it prints is in the ledger too, so only its log lines are shown."""
    command = [sys.executable, "-m", "onefunnel", *name.split(), "--run-id", run_id, *extra]
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode


def validate(paths: Paths) -> list[str]:
    """Every problem of pipeline.yml and of the expectations, each with file and line; empty when all is well."""
    problems: list[str] = []
    try:
        load_settings(paths.config, paths.dbt_project)
    except ConfigError as error:
        problems += [p if error.where is None else f"{error.where}: {p}" for p in error.problems]
    from onefunnel.quality.suites import load_suites

    try:
        load_suites(paths.expectations, load_contracts(paths.dbt_project))
    except ConfigError as error:
        problems += error.problems
    return problems


def to_json(value: object) -> str:
    """Indented JSON for stdout."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
