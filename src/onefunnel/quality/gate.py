"""The two gates: loads before they are built, and the sealed file before it is published.

A gate is a thing that says no, so most of this module is about not saying yes by accident: every declared check must
have been executed, a table without rows proves nothing, an exception is a failure, a table without expectations is a
hole in the fence, and the bytes that were judged must be the bytes that are there.
"""

# ruff: noqa: S608  (identifiers come from our own reviewed YAML and the catalogue; values are bound or quoted)

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from onefunnel.errors import StepFailed
from onefunnel.quality import raw_tables
from onefunnel.quality.pushdown import CannotOpen, Database, Judge, Judged, Planned, safe_message
from onefunnel.quality.raw_tables import LoadUnderJudgement
from onefunnel.quality.results import CheckResult, GateReport, State
from onefunnel.quality.suites import EVERY, Check, Suite, load_suites
from onefunnel.quality.violations import NAMED, literal, quoted
from onefunnel.settings import Contract

__all__ = ["CheckResult", "GateReport", "LoadUnderJudgement", "check_marts", "check_raw"]

DATABASE = "revenue.duckdb"
PUBLISHED_SCHEMAS = ("marts", "metadata")
SAMPLES = 5
_DEFAULTS = {"threads": 2, "TimeZone": "UTC", "autoinstall_known_extensions": False}
_LOCKED = {**_DEFAULTS, "enable_external_access": False, "lock_configuration": True}
_SHOWABLE = re.compile(r"[A-Za-z0-9_.:/ +-]{1,100}")


def check_raw(
    loads: Sequence[LoadUnderJudgement], expectations: Path, contracts: Mapping[str, Contract]
) -> dict[str, GateReport]:
    """Judge loads that are not judged yet; each has a report of its own, so one bad load refuses only itself.

    Raises:
        ConfigError: the expectations cannot be read, or those of every contract are missing.
    """
    suites = load_suites(expectations, contracts)
    judge = Judge()
    return {load.load_id: _check_load(judge, load, _raw_checks(suites.raw, load), contracts) for load in loads}


def check_marts(candidate: Path, expectations: Path, run: Mapping[str, Any]) -> GateReport:
    """Judge the sealed file of a run; it is opened read-only and locked, and its bytes do not change.

    Args:
        candidate: the folder that holds revenue.duckdb.
        expectations: the folder that holds marts/*.yml.
        run: `run_id`, which the file must carry in metadata.run_info; the tables of suites.FROM_RUN that checks ask
            for; and `approve_restatement` when a human approved one.

    Raises:
        ConfigError: the expectations cannot be read.
        StepFailed: there is no sealed file, or it is not closed.
    """
    suites = load_suites(expectations)
    sealed = candidate / DATABASE
    _refuse_unsealed(sealed)
    before = _sha256(sealed)
    work = _Work("marts", DATABASE)
    try:
        with Judge().database(str(sealed), read_only=True, config=_LOCKED) as database:
            _judge_file(work, database, suites.marts, run)
    except (duckdb.Error, CannotOpen) as error:
        work.finding("sealed_file_opens", DATABASE, safe_message(error), "A file that cannot be read is no warehouse.")
    if _sha256(sealed) != before or _wal(sealed).exists():
        work.finding("sealed_file_is_unchanged", DATABASE, "the bytes changed while they were judged", _AUDITED)
    return work.report(sum(len(suite.checks) for suite in suites.marts.values()), before)


_AUDITED = "The bytes audited must be the bytes published."
_VACUOUS = "A gate that checked nothing is red."


@dataclass
class _Work:
    """Results of one gate over one subject while they come in."""

    gate: str
    subject: str
    results: list[CheckResult] = field(default_factory=list)
    executed: set[str] = field(default_factory=set)

    def finding(self, check_id: str, subject: str, observed: str, because: str, fix: str = "") -> None:
        """Note what is wrong with the gate or its subject as a whole; always red."""
        fix = fix or "Find out what happened to the file or the expectations, then run the step again."
        self.results.append(CheckResult(check_id, "block", "data", subject, "error", observed, because, fix, ""))

    def report(self, declared: int, sha256: str | None) -> GateReport:
        """Close the books: what was declared must have been executed."""
        if declared == 0:
            self.finding("gate_has_checks", self.subject, "0 checks declared", _VACUOUS, "Restore the expectations.")
        return GateReport(self.gate, self.subject, tuple(self.results), declared, len(self.executed), sha256)


# --- the raw gate ----------------------------------------------------------------------------------------------------


def _raw_checks(raw: Mapping[str, Suite], load: LoadUnderJudgement) -> list[Check]:
    """The checks of every contract, then those of the load's contract and of its source."""
    names = dict.fromkeys([EVERY, load.receipt["contract"], load.receipt["source"]])
    checks = [check for name in names if name in raw for check in raw[name].checks]
    return [c.model_copy(update={"owner": load.owner}) if c.owner == "source" else c for c in checks]


def _check_load(
    judge: Judge, load: LoadUnderJudgement, checks: Sequence[Check], contracts: Mapping[str, Contract]
) -> GateReport:
    work = _Work("raw", load.load_id)
    _compare_parts(work, load)
    try:
        with judge.database(":memory:", read_only=False, config=_DEFAULTS) as database:
            contract = contracts[load.receipt["contract"]]
            made = raw_tables.lay_out(database, replace(load, folder=load.folder.resolve()), contract)
            _judge_load(work, database, load, checks, made)
    except (duckdb.Error, KeyError, TypeError, AttributeError) as error:
        observed = (
            safe_message(error) if isinstance(error, duckdb.Error) else "the receipt has another form than agreed"
        )
        work.finding("load_can_be_read", load.load_id, observed, "A load that cannot be read must not be built.")
    return work.report(len(checks), None)


def _compare_parts(work: _Work, load: LoadUnderJudgement) -> None:
    """The files are the ones that the receipt vouches for."""
    for name, expected in (load.receipt.get("parts") or {}).items():
        path = load.folder / name
        found = _sha256(path) if path.is_file() else "missing"
        if found != expected:
            observed = f"{name} is {'missing' if found == 'missing' else 'not the file that was landed'}"
            work.finding("load_files_match_receipt", load.load_id, observed, "Loads are immutable.", "Land it again.")


def _judge_load(
    work: _Work, database: Database, load: LoadUnderJudgement, checks: Sequence[Check], made: Mapping[str, str]
) -> None:
    allow_empty = database.rows("select allow_empty from raw.load_receipt")[0][0]
    plan = _plan(work, database, checks, load.load_id, "raw", "load_records", {})
    legal = {"load_records"} if allow_empty else set()
    _run(work, database, plan, legal, load.load_id, lambda sql: raw_tables.reproduce(sql, made))
    empty = database.rows("select count(*) from raw.load_records")[0][0] == 0
    if empty and not allow_empty and not any(result.is_red for result in work.results):
        work.finding("load_has_rows", load.load_id, "0 rows, and no check objected", _VACUOUS)


# --- the marts gate --------------------------------------------------------------------------------------------------


def _refuse_unsealed(sealed: Path) -> None:
    if not sealed.is_file():
        raise StepFailed("there is no sealed file to judge", sealed.name, "run `onefunnel seal` first")
    if _wal(sealed).exists():
        raise StepFailed("the file is not sealed: a .wal lies beside it", sealed.name, "run `onefunnel seal` again")


def _wal(sealed: Path) -> Path:
    return sealed.with_name(sealed.name + ".wal")


def _judge_file(work: _Work, database: Database, suites: Mapping[str, Suite], run: Mapping[str, Any]) -> None:
    schemas = ", ".join(literal(schema) for schema in PUBLISHED_SCHEMAS)
    found = database.rows(
        "select table_schema, table_name from information_schema.tables "
        f"where table_schema in ({schemas}) and table_catalog = current_database() order by all"
    )
    tables = {name: schema for schema, name in found}
    if not tables:
        work.finding("sealed_file_has_tables", DATABASE, "no table in marts or metadata", _VACUOUS)
    for name in sorted(set(tables) - set(suites)):
        subject, fix = name, f"Add or restore expectations/marts/{name}.yml."
        work.finding("published_table_has_expectations", subject, "no expectations file", _VACUOUS, fix)
    _compare_run(work, database, tables, run)
    unfed = _unfed(database, tables, suites)
    for suite in suites.values():
        schema = tables.get(suite.name)
        if schema is None:
            _all_errors(work, suite, f"the table {suite.name} is not in the sealed file")
            continue
        plan = _plan(work, database, suite.checks, suite.name, schema, suite.name, run)
        _run(work, database, plan, unfed, suite.name, lambda sql: sql)


def _unfed(database: Database, tables: Mapping[str, str], suites: Mapping[str, Suite]) -> set[str]:
    """Tables whose contracts nobody ever delivered a row of: that they are empty says nothing else."""
    if "row_ledger" not in tables:
        return set()
    rows = database.rows(f"select distinct contract from {tables['row_ledger']}.row_ledger where rows_extracted <> 0")
    delivered = {row[0] for row in rows}
    return {suite.name for suite in suites.values() if suite.fed_by and not delivered & set(suite.fed_by)}


def _compare_run(work: _Work, database: Database, tables: Mapping[str, str], run: Mapping[str, Any]) -> None:
    """The file belongs to the run that asks for the verdict."""
    if "run_info" not in tables or not run.get("run_id"):
        return
    rows = database.rows(f"select count(*) from {tables['run_info']}.run_info where run_id = ?", [run["run_id"]])
    if rows[0][0] != 1:
        work.finding("sealed_file_is_of_this_run", DATABASE, "run_info names another run", _AUDITED)


def _all_errors(work: _Work, suite: Suite, observed: str) -> None:
    work.results.extend(_error(check, suite.name, observed) for check in suite.checks)


def _error(check: Check, subject: str, observed: str) -> CheckResult:
    """A check that could not be run."""
    return CheckResult(check.id, check.severity, check.owner, subject, "error", observed, check.because, check.fix, "")


# --- running a suite -------------------------------------------------------------------------------------------------


def _plan(
    work: _Work,
    database: Database,
    checks: Sequence[Check],
    subject: str,
    schema: str,
    default_table: str,
    run: Mapping[str, Any],
) -> list[Planned]:
    searched = any("{text}" in (check.sql or "") for check in checks)
    text = _text_of(database, schema) if searched else {}  # the catalogue is slow to ask
    plan = []
    for check in checks:
        table = check.on or default_table
        if check.from_run is not None and check.from_run not in run:
            work.results.append(_error(check, subject, f"the run does not say {check.from_run}"))
            continue
        select = check.select(f"{schema}.{table}", text.get(table, "''"), run)
        approved = check.approval is not None and run.get(check.approval) is True
        plan.append(Planned(check, schema, table, select, approved))
    return plan


def _text_of(database: Database, schema: str) -> dict[str, str]:
    """Per table of a schema: the SQL that joins all its text columns into one searchable string."""
    rows = database.rows(
        "select table_name, column_name from duckdb_columns() where schema_name = ? "
        "and database_name = current_database() "
        "and regexp_matches(data_type, 'VARCHAR|JSON|ENUM') order by table_name, column_index",
        [schema],
    )
    columns: dict[str, list[str]] = {}
    for table, column in rows:
        columns.setdefault(table, []).append(f"{quoted(column)}::varchar")
    return {table: f"concat_ws(chr(10), {', '.join(names)})" for table, names in columns.items()}


def _run(
    work: _Work,
    database: Database,
    plan: Sequence[Planned],
    may_be_empty: set[str],
    subject: str,
    shown: Callable[[str], str],
) -> None:
    """Let GX judge the plan, then look behind every answer."""
    judged = database.judge(plan)
    work.executed |= set(judged)
    vacuous = _vacuous(database, plan, may_be_empty)
    for planned in plan:
        check = planned.check
        answer = judged.get(check.id, Judged("error", "the check was declared but not executed"))
        state, observed, samples = _look_behind(database, planned, answer, vacuous.get(check.id))
        work.results.append(
            CheckResult(
                check_id=check.id,
                severity=check.severity,
                owner=check.owner,
                subject=subject,
                state=state,
                observed=observed,
                because=check.because,
                fix=check.fix,
                sql=shown(planned.select),
                samples=samples,
            )
        )
    for stranger in sorted(set(judged) - {planned.check.id for planned in plan}):
        work.finding("executed_checks_are_declared", subject, f"{stranger} was executed but not declared", _VACUOUS)


def _vacuous(database: Database, plan: Sequence[Planned], may_be_empty: set[str]) -> dict[str, str]:
    """Checks that saw nothing: no rows, or no values in the columns they look at. One query per table."""
    plan = [p for p in plan if not p.check.empty_is_legal and p.table not in may_be_empty]
    found: dict[str, str] = {}
    for table in dict.fromkeys(planned.qualified for planned in plan):
        checks = [p for p in plan if p.qualified == table]
        columns = list(dict.fromkeys(column for planned in checks for column in _looked_at(planned)))
        try:
            counted = ", ".join(["count(*)", *(f"count({quoted(column)})" for column in columns)])
            row = database.rows(f"select {counted} from {table}")
        except duckdb.Error:
            continue  # the check itself fails on this with a better message
        counts = dict(zip(columns, row[0][1:], strict=True))
        for planned in checks:
            blind = [column for column in _looked_at(planned) if counts[column] == 0]
            if row[0][0] == 0:
                found[planned.check.id] = "checked nothing: the table has 0 rows"
            elif blind:
                found[planned.check.id] = f"checked nothing: no value in {', '.join(blind)}"
    return found


def _looked_at(planned: Planned) -> list[str]:
    named = NAMED.get(planned.check.expectation or "")
    return named.columns(planned.check.kwargs) if named and named.values else []


def _look_behind(
    database: Database, planned: Planned, answer: Judged, vacuous: str | None
) -> tuple[State, str, tuple[str, ...]]:
    """State, what was observed, and sample keys of one answered check."""
    if answer.outcome == "error":
        return "error", answer.error, ()
    if vacuous:
        return "failed", vacuous, ()
    if answer.outcome == "passed":
        return "passed", "no violations", ()
    try:
        count = database.rows(f"select count(*) from ({planned.select}\n) as violations")[0][0]
    except duckdb.Error as error:
        return "error", safe_message(error), ()
    if count == 0:
        return "error", "failed, but its SQL finds no violation", ()
    state: State = "failed" if planned.check.severity == "block" and not planned.approved else "warned"
    observed = f"{count:,} violation{'s' if count != 1 else ''}{', approved by hand' if planned.approved else ''}"
    return state, observed, _samples(database, planned)


def _samples(database: Database, planned: Planned) -> tuple[str, ...]:
    """Up to five keys of violating rows; a check that groups its rows may have none."""
    key = planned.check.key
    if key is None:
        return ()
    try:
        rows = database.rows(
            f"select distinct ({key})::varchar as sample from ({planned.select}\n) as violations "
            f"where sample is not null order by sample limit {SAMPLES}"
        )
    except duckdb.Error:
        return ()
    return tuple(_masked(row[0]) for row in rows)


def _masked(sample: str) -> str:
    """The key itself when it looks like one, else a fingerprint by which it can be found again."""
    if _SHOWABLE.fullmatch(sample):
        return sample
    return "sha256:" + hashlib.sha256(sample.encode()).hexdigest()[:12]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
