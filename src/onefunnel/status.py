"""What is going on, for people: runs, loads, what readers see, what failed and what to do next; and the doctor."""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import IO, Any

import duckdb
from rich.console import Console
from rich.table import Table

from onefunnel import __version__, production, publish
from onefunnel.errors import OnefunnelError
from onefunnel.landing import TOKEN_KEY_VARIABLE, read_receipt, sha256_of, verify_load
from onefunnel.ledger import Load, Run
from onefunnel.pipeline import Installation
from onefunnel.settings import load_contracts

# What a spreadsheet would run as a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_GREEN, _RED, _WARN = "ok", "red", "warn"


def status(here: Installation) -> dict[str, Any]:
    """Runs, loads by state, what readers see, the first failing check with its SQL, and the command to run next."""
    runs = here.ledger.runs(limit=10)
    versions = [v for v in here.ledger.versions() if v["state"] != "collected"]
    current = publish.current_run(here.paths)
    seen = next((v for v in versions if v["run_id"] == current), None)
    last = runs[0] if runs else None
    red = last if last is not None and last.state == "failed" else None
    loads = here.ledger.loads()
    return {
        "readers_see": None
        if seen is None
        else {
            "run_id": current,
            "published_at": seen["published_at"],
            "as_of": publish.read_manifest(here.paths.version(str(current)))["as_of"],
            "path": str(here.paths.current),
            "page": str(here.paths.site / "index.html"),
        },
        "last_run": _run_row(last) if last else None,
        "first_failure": _first_failure(here, red) if red else None,
        "runs": [_run_row(r) for r in runs],
        "loads": {s: sum(1 for x in loads if x.state == s) for s in ("landed", "accepted", "refused")},
        "refused": [load_row(x) for x in loads if x.state == "refused"][-5:],
        "versions": versions,
        "lease": here.ledger.lease(),
        "next": _next(here, last, seen),
    }


def _run_row(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "kind": run.kind,
        "state": run.state,
        "as_of": run.as_of,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "failed_step": run.failed_step,
        "message": run.message,
    }


def _first_failure(here: Installation, run: Run) -> dict[str, Any] | None:
    gate = {"check raw": "raw", "build": "build", "check marts": "marts"}.get(run.failed_step or "")
    red = [c for c in here.ledger.checks(run.run_id) if c["gate"] == gate and c["state"] in ("failed", "error")]
    if not red:
        return None
    check = red[0]
    database = {
        "marts": here.paths.candidate(run.run_id) / publish.DATABASE,
        "build": here.paths.run(run.run_id) / "warehouse.duckdb",
    }.get(str(gate))
    return {
        **{
            k: check[k]
            for k in ("gate", "check_id", "severity", "owner", "subject", "observed", "because", "fix", "sql")
        },
        "database": str(database) if database else None,
        "red": len(red),
    }


def _next(here: Installation, last: Run | None, seen: dict[str, Any] | None) -> str:
    if last is None:
        return "onefunnel demo"
    if last.state == "running":
        held = here.ledger.held_locks(last.run_id)
        return "wait: a run is under way" if held else "onefunnel run  (the last run was killed; a new one takes over)"
    if last.state == "failed":
        return "correct the cause above, then: onefunnel run"
    return 'onefunnel query "select * from metadata.dq_status"' if seen else "onefunnel run"


def _plain_table(*names: str) -> Table:
    """A table without frames whose cells are folded rather than cut."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def show(found: dict[str, Any], out: Console) -> None:
    """Print a status for people."""
    seen = found["readers_see"]
    if seen:
        out.print(
            f"[bold]Readers see[/] run {seen['run_id']}, data as of {seen['as_of']} UTC, published {seen['published_at'][:19]} UTC"
        )
        out.print(f"  warehouse  {seen['path']}\n  page       {seen['page']}", highlight=False, soft_wrap=True)
    else:
        out.print("[bold]Readers see[/] nothing yet")
    if found["runs"]:
        table = Table(
            "run", "state", "as of (UTC)", "started (UTC)", "failed step", box=None, header_style="bold", pad_edge=False
        )
        for run in found["runs"][:5]:
            table.add_row(run["run_id"], run["state"], run["as_of"], run["started_at"][:19], run["failed_step"] or "")
        out.print("\n[bold]Runs[/]")
        out.print(table)
    loads = found["loads"]
    out.print(
        f"\n[bold]Loads[/] {loads['accepted']} accepted, {loads['refused']} refused, {loads['landed']} not judged yet"
    )
    failure, last = found["first_failure"], found["last_run"]
    if last and last["state"] == "failed":
        out.print(f"\n[bold red]The last run failed[/] in step {last['failed_step']}:")
        out.print(last["message"] or "", markup=False, soft_wrap=True)
    if failure:
        out.print(
            f"\nFirst failing check: {failure['check_id']} on {failure['subject']} ({failure['severity']}, "
            f"owner {failure['owner']}), one of {failure['red']}",
            markup=False,
        )
        out.print(
            f"  because {failure['because']}\n  found   {failure['observed']}\n  do      {failure['fix'] or ''}",
            markup=False,
            soft_wrap=True,
        )
        if failure["sql"]:
            out.print(
                f"  reproduce with{' ' + failure['database'] if failure['database'] else ''}:",
                markup=False,
                soft_wrap=True,
            )
            out.print(
                "    " + failure["sql"].strip().replace("\n", "\n    "), markup=False, highlight=False, soft_wrap=True
            )
    out.print(f"\n[bold]Next[/] {found['next']}")


def show_run(here: Installation, run_id: str, out: Console) -> None:
    """Print what one run loaded, checked and published."""
    extracts = here.ledger.run_extracts(run_id)
    ledger = here.ledger.row_ledger()
    outcomes = ("extracted", "loaded", "deduplicated", "quarantined", "rejected")
    table = _plain_table("source.stream", *outcomes)
    quiet = []
    for item in extracts:
        name = f"{item['source']}.{item['stream']}".rstrip(".")
        row = ledger.get(item["load_id"] or "")
        if row is None:
            quiet.append(f"{name} ({item['note']})")
        else:
            table.add_row(name, *(f"{row[n]:,}" for n in outcomes))
    out.print(f"[bold]Loaded[/] by run {run_id}")
    out.print(table)
    if quiet:
        out.print("Without a new load: " + ", ".join(quiet), markup=False)
    checks = here.ledger.checks(run_id)
    for gate in ("raw", "build", "marts"):
        mine = [c for c in checks if c["gate"] == gate]
        count = {s: sum(1 for c in mine if c["state"] == s) for s in ("passed", "warned", "failed", "error")}
        out.print(
            f"[bold]Checked[/] {gate:<6} {len(mine)} checks: {count['passed']} passed, {count['warned']} warned, {count['failed'] + count['error']} failed"
        )
        for check in mine:
            if check["state"] != "passed":
                out.print(
                    f"    {check['state']}: {check['check_id']} on {check['subject']}: {check['observed']}",
                    markup=False,
                    soft_wrap=True,
                )
    show(status(here), out)


def load_row(load: Load) -> dict[str, Any]:
    """One load as a table row."""
    return {
        "seq": load.seq,
        "load_id": load.load_id,
        "source": load.source,
        "stream": load.stream,
        "state": load.state,
        "rows": load.rows_extracted,
        "rejected": load.rows_rejected,
        "known_at": load.known_at,
        "judged_by": load.judged_by,
        "because": load.because,
    }


def sources(here: Installation) -> list[dict[str, Any]]:
    """The declared streams with what was loaded last, how far the data reaches, and since when that is late.

    Of a connector also what was read last, how much of the vendor's quota that took, and whether the totals that the source
    tells of itself are those of what has arrived. Freshness and totals have one definition, the models' own: they are
    shown as the last adopted build found them.
    """
    contracts = load_contracts(here.paths.dbt_project)
    reached, totals = _freshness(here.paths.warehouse), _totals(here.paths.warehouse)
    rows = []
    for name, source in here.settings.sources.items():
        for stream_name, stream in source.streams.items():
            loads = here.ledger.loads(source=name, stream=stream_name)
            accepted = [x for x in loads if x.state == "accepted"]
            has_days = contracts[stream.contract].day is not None
            until, late = reached.get((name, stream_name), (None, None))
            rows.append(
                {
                    "source": name,
                    "stream": stream_name,
                    "contract": stream.contract,
                    "required": source.required,
                    "owner": source.owner,
                    "loads": len(accepted),
                    "rows": sum(x.rows_extracted for x in accepted),
                    "last load": accepted[-1].known_at if accepted else None,
                    "data until": until,
                    "fresh within": stream.fresh_within_days if has_days else None,
                    "late since": late,
                    **_fetched(here, accepted[-1] if accepted else None),
                    "totals": totals.get((name, stream_name)),
                    "state": loads[-1].state if loads else "never loaded",
                }
            )
    return rows


def _fetched(here: Installation, load: Load | None) -> dict[str, str | None]:
    """The window or the cursor of the last fetch that brought something, and the vendor's limits as it told them."""
    about = (read_receipt(here.paths.landing / load.path).get("fetched") or [{}])[-1] if load else {}
    window = f"{about['first_day']} … {about['last_day']}" if "first_day" in about else about.get("cursor")
    limits = ", ".join(f"{name} {value}" for name, value in (about.get("limits") or {}).items())
    requests = f"{about['requests']} requests" if "requests" in about else ""
    return {"read": window, "quota": "; ".join(text for text in (requests, limits) if text) or None}


def _totals(warehouse: Path) -> dict[tuple[str, str], str]:
    """Per stream how many totals of the source's own agree with what has arrived."""
    if not warehouse.is_file():
        return {}
    with duckdb.connect(str(warehouse), read_only=True) as db:
        found = db.execute(
            "select source_system, stream, count(*), count(*) filter (abs(difference) > tolerance) from metadata.source_totals group by all"
        ).fetchall()
    return {
        (source, stream): f"{n:,} agree" if not off else f"{off:,} of {n:,} differ" for source, stream, n, off in found
    }


def _freshness(warehouse: Path) -> dict[tuple[str, str], tuple[str | None, str | None]]:
    """Of each stream that has days: the last one, and since when it is late. Empty before the first published run."""
    if not warehouse.is_file():
        return {}
    with duckdb.connect(str(warehouse), read_only=True) as db:
        found = db.execute(
            "select source_system, stream, last_day::varchar, stale_since::varchar from intermediate.int_quality__freshness"
        ).fetchall()
    return {(source, stream): (last_day, late) for source, stream, last_day, late in found}


def write_csv(names: list[str], rows: list[dict[str, Any]], to: IO[str]) -> None:
    """Rows as CSV; a text cell that a spreadsheet would run as a formula gets a leading apostrophe."""
    writer = csv.writer(to)
    writer.writerow(map(_harmless, names))
    for row in rows:
        writer.writerow([_harmless(row[n]) for n in names])


def _harmless(value: object) -> object:
    return "'" + value if isinstance(value, str) and value.startswith(_FORMULA) else value


# -- the doctor -----------------------------------------------------------------------------------------------------------


def doctor(here: Installation, prod: bool) -> list[dict[str, str]]:
    """Examine every byte and setting that a run depends on; one row a finding, `red` when something must be done."""
    rows: list[dict[str, str]] = []

    def say(state: str, what: str, detail: str, do: str = "") -> None:
        rows.append({"state": state, "what": what, "detail": detail, "do": do})

    say(_GREEN, "versions", f"onefunnel {__version__}, Python {sys.version.split()[0]}")
    _examine_ledger(here, say)
    _examine_landing(here, say)
    _examine_published(here, say)
    _examine_disk(here, say)
    _examine_secrets(here, say)
    if prod:
        _examine_production(say)
    return rows


def _examine_ledger(here: Installation, say: Any) -> None:
    with sqlite3.connect(f"file:{here.paths.ledger}?mode=ro", uri=True) as db:
        result = db.execute("pragma integrity_check").fetchone()[0]
    say(
        _GREEN if result == "ok" else _RED,
        "ledger",
        str(result),
        "" if result == "ok" else "Restore ledger.sqlite from a backup.",
    )
    lease = here.ledger.lease()
    if lease["run_id"]:
        held = here.ledger.held_locks(lease["run_id"])
        say(
            _GREEN if held else _WARN,
            "lease",
            f"held by {lease['run_id']}" + ("" if held else ", no live step"),
            "" if held else "onefunnel unlock",
        )


def _examine_landing(here: Installation, say: Any) -> None:
    loads = here.ledger.loads()
    bad = 0
    for load in loads:
        try:
            verify_load(here.paths.landing / load.path)
        except OnefunnelError as error:
            bad += 1
            say(_RED, f"load {load.load_id}", error.what, error.do or "")
    if not bad:
        say(_GREEN, "landing", f"{len(loads)} loads, every file as its receipt says")
    known = {str(here.paths.landing / x.path) for x in loads}
    for folder in here.paths.landing.glob("*/*/load=*"):
        if str(folder) not in known:
            say(
                _WARN,
                "landing",
                f"{folder.name} is not in the ledger",
                "The next run of the same data adopts it; else it may be deleted.",
            )


def _examine_published(here: Installation, say: Any) -> None:
    current = publish.current_run(here.paths)
    recorded = next((v for v in here.ledger.versions() if v["state"] == "current"), None)
    if recorded is None:
        say(_WARN, "published", "nothing is published", "onefunnel run")
        return
    if current != recorded["run_id"]:
        say(
            _RED,
            "published",
            f"the link points at {current}, the ledger says {recorded['run_id']}",
            "onefunnel run (it repairs the link first)",
        )
    for version in (v for v in here.ledger.versions() if v["state"] != "collected"):
        path = here.paths.version(version["run_id"]) / publish.DATABASE
        name = f"version {version['run_id']}"
        if not path.is_file():
            say(_RED, name, "its file is missing", _rollback(version))
        elif sha256_of(path) != version["sha256"]:
            say(_RED, name, "its file is damaged: other bytes than were audited", _rollback(version))
        else:
            say(_GREEN, name, f"{version['state']}, as audited")


def _rollback(version: dict[str, Any]) -> str:
    return (
        "onefunnel rollback --because damaged"
        if version["state"] == "current"
        else "Delete the folder; readers do not see it."
    )


def _examine_disk(here: Installation, say: Any) -> None:
    free = shutil.disk_usage(here.paths.home).free
    need = 3 * here.paths.warehouse.stat().st_size if here.paths.warehouse.exists() else 0
    enough = free > max(need, 200_000_000)
    say(
        _GREEN if enough else _RED,
        "disk",
        f"{free / 1e9:,.1f} GB free",
        "" if enough else "A run needs about three times the warehouse's size.",
    )
    same = (
        len({p.stat().st_dev for p in (here.paths.home, here.paths.candidates, here.paths.published) if p.exists()})
        == 1
    )
    say(
        _GREEN if same else _RED,
        "file system",
        "candidates and published share one" if same else "candidates and published are on two",
        "" if same else "A publish is one rename: put both on one file system.",
    )


def _examine_secrets(here: Installation, say: Any) -> None:
    contracts = load_contracts(here.paths.dbt_project)
    personal = any(
        contracts[s.contract].columns[c].personal
        for source in here.settings.sources.values()
        for s in source.streams.values()
        for c in s.columns
    )
    if personal:
        set_up = len(os.environ.get(TOKEN_KEY_VARIABLE, "")) >= 32
        say(
            _GREEN if set_up else _RED,
            "token key",
            f"{TOKEN_KEY_VARIABLE} is {'set' if set_up else 'missing'}",
            "" if set_up else "Set it to a secret of at least 32 characters.",
        )
    mode = here.paths.ledger.stat().st_mode & 0o077
    say(
        _GREEN if not mode & 0o022 else _RED,
        "permissions",
        f"ledger.sqlite is {oct(here.paths.ledger.stat().st_mode & 0o777)}",
        "" if not mode & 0o022 else "chmod go-w",
    )


def _examine_production(say: Any) -> None:
    for name, fit, needs in production.examine(os.environ):
        detail = "fit for production" if fit else "missing or only fit for a laptop"
        say(_GREEN if fit else _RED, name, detail, "" if fit else f"Needs {needs}.")
