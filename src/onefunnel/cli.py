"""The command line: every step of a run, what is going on, and the few things that only a human decides.

stdout is data, stderr is what happens. Exit codes: 0 ok, 1 a gate or a step failed, 2 usage or configuration,
3 environment (a held lock, a full disk, a file still being written): only 3 is worth a retry.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Collection, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onefunnel import pipeline as steps
from onefunnel import status as _status
from onefunnel.errors import EnvironmentNotReady, OnefunnelError, StepFailed, UsageError, is_disk_trouble
from onefunnel.landing import TOKEN_KEY_VARIABLE
from onefunnel.pipeline import Installation
from onefunnel.sandbox import PUBLIC_TOKEN_KEY

# Telemetry of every dependency is off, before any of them is imported.
os.environ.update({"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "GX_ANALYTICS_ENABLED": "false"})

app = typer.Typer(
    name="onefunnel",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="One funnel and one set of numbers for sales and marketing: an audited revenue warehouse.\n\n"
    "A run goes [bold]extract → check raw → build → seal → check marts → publish → report[/bold]; readers only ever see audited data.",
    epilog='First steps: onefunnel demo · onefunnel status · onefunnel query "select * from marts.fct_ad_spend limit 5"',
)
check_app = typer.Typer(
    no_args_is_help=True, help="Quality gates: raw loads before the build, marts before the publish."
)
loads_app = typer.Typer(no_args_is_help=True, help="Landed loads: list them, accept or refuse one by hand.")
sandbox_app = typer.Typer(
    no_args_is_help=True, help="The sandbox company: a deterministic synthetic company with a clock."
)
app.add_typer(check_app, name="check")
app.add_typer(loads_app, name="loads")
app.add_typer(sandbox_app, name="sandbox")
err = Console(stderr=True, soft_wrap=True)
# A pipe gets whole lines: nothing is cut to the width of a terminal that is not there.
out = Console(width=None if sys.stdout.isatty() else 400)


class LogFormat(StrEnum):
    """How log lines are written to stderr."""

    text = "text"
    json = "json"


class OutputFormat(StrEnum):
    """How `query` prints rows."""

    table = "table"
    csv = "csv"
    json = "json"


RunId = Annotated[
    str,
    typer.Option(
        "--run-id", help="The run this step belongs to; every step of a run has the same.", show_default=False
    ),
]
ApproveRestatement = Annotated[
    bool,
    typer.Option(
        "--approve-restatement", help="Final days may differ from the published version; kept in the audit trail."
    ),
]
# Set while the sandbox's platforms answer; the steps of a DAG see it too.
_SANDBOX_VARIABLE = "ONEFUNNEL_SANDBOX"
Sandbox = Annotated[
    bool,
    typer.Option("--sandbox", help="The sandbox company's platforms answer meanwhile, and now is its clock's."),
]
AcceptDeletions = Annotated[
    str | None,
    typer.Option(
        "--accept-deletions",
        metavar="SOURCE",
        help="Of this source most known records may be gone: they were deleted; kept in the audit trail.",
        show_default=False,
    ),
]
Because = Annotated[str, typer.Option("--because", help="Why: it is kept in the audit trail.", show_default=False)]


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": record.getMessage(),
            },
            ensure_ascii=False,
        )


def _configure_logging(log_format: LogFormat) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonLines()
        if log_format is LogFormat.json
        else logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    )
    logger = logging.getLogger("onefunnel")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


@app.callback()
def _global(
    config: Annotated[
        Path | None, typer.Option(help="pipeline.yml of the installation. [env: ONEFUNNEL_CONFIG]", show_default=False)
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(help="State folder. [env: ONEFUNNEL_HOME; default: var/ in the project]", show_default=False),
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option(help="Log lines on stderr. [env: ONEFUNNEL_LOG_FORMAT]", show_default=False)
    ] = None,
) -> None:
    # The environment carries the choice on to the steps, which are processes of their own.
    if config:
        os.environ["ONEFUNNEL_CONFIG"] = str(config.resolve())
    if home:
        os.environ["ONEFUNNEL_HOME"] = str(home.resolve())
    if log_format:
        os.environ["ONEFUNNEL_LOG_FORMAT"] = log_format.value
    _sandbox_token_key()
    chosen = os.environ.get("ONEFUNNEL_LOG_FORMAT", "text")
    _configure_logging(LogFormat(chosen) if chosen in set(LogFormat) else LogFormat.text)


def _sandbox_token_key() -> None:
    from onefunnel.paths import Paths

    with contextlib.suppress(UsageError):  # said by the command, where it needs a project
        if (Paths.find().home / "sandbox.json").exists():
            os.environ.setdefault(TOKEN_KEY_VARIABLE, PUBLIC_TOKEN_KEY)


def _print_json(value: object) -> None:
    out.print_json(json.dumps(value, default=str)) if out.is_terminal else sys.stdout.write(steps.to_json(value) + "\n")


# -- a run and its steps ------------------------------------------------------------------------------------------------


@app.command()
def run(
    run_id: Annotated[
        str | None, typer.Option(help="A name for the run; by default made from the time.", show_default=False)
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(help="The instant the data is read at, ISO with zone; default: pipeline.yml.", show_default=False),
    ] = None,
    full_refresh: Annotated[bool, typer.Option(help="Rebuild the whole warehouse from the landing.")] = False,
    replay: Annotated[
        str | None, typer.Option(help="Build again from the loads of this earlier run.", show_default=False)
    ] = None,
    date_from: Annotated[
        str | None, typer.Option("--from", help="Backfill: first day (ISO).", show_default=False)
    ] = None,
    date_to: Annotated[str | None, typer.Option("--to", help="Backfill: last day (ISO).", show_default=False)] = None,
    approve_restatement: ApproveRestatement = False,
    accept_deletions: AcceptDeletions = None,
    sandbox: Sandbox = False,
) -> None:
    """All steps of one run, in order; stops at the first that is red."""
    if (date_from is None) != (date_to is None):
        raise UsageError("--from and --to go together.", do="Give both, or neither.")
    here = Installation.open()
    date_range = (date_from, date_to) if date_from and date_to else None
    chosen = run_id or steps.new_run_id()
    if replay:
        past = here.ledger.run(replay)
        if past is None:
            raise UsageError(f"There is no run {replay!r}.", do="onefunnel status")
        as_of = as_of or past.as_of.replace(" ", "T") + "Z"
    with _sandbox_beside(here, sandbox):
        code = _drive(
            here,
            chosen,
            as_of or _sandbox_now(here, chosen),
            kind="backfill" if date_range else "replay" if replay else "daily",
            full_refresh=full_refresh,
            date_range=date_range,
            replay=replay,
            approve_restatement=approve_restatement,
            accept_deletions=accept_deletions,
        )
    if code:
        raise typer.Exit(code)
    _print_json({"run_id": chosen, "published": str(here.paths.current), "page": str(here.paths.site / "index.html")})


def _drive(here: Installation, run_id: str, as_of: str | None, **options: Any) -> int:
    """Run all steps with a live line on a terminal and plain lines elsewhere."""
    logger = logging.getLogger("onefunnel")
    if not err.is_terminal:
        return steps.run_all(
            here, run_id, as_of=as_of, on_step=lambda name, state: logger.info("%s: %s", name, state), **options
        )
    with err.status(f"run {run_id}") as spinner:

        def show(name: str, state: str) -> None:
            spinner.update(f"{name} …") if state == "start" else err.print(
                f"[{'green' if state == 'ok' else 'red'}]{state:>6}[/] {name}"
            )

        return steps.run_all(here, run_id, as_of=as_of, on_step=show, **options)


@app.command()
def start(
    run_id: RunId,
    as_of: Annotated[
        str | None, typer.Option(help="The instant the data is read at, ISO with zone.", show_default=False)
    ] = None,
    date_from: Annotated[
        str | None, typer.Option("--from", help="Backfill: first day (ISO).", show_default=False)
    ] = None,
    date_to: Annotated[str | None, typer.Option("--to", help="Backfill: last day (ISO).", show_default=False)] = None,
) -> None:
    """Open a run (an orchestrator calls this first) and print its sources as JSON."""
    here = Installation.open()
    date_range = (date_from, date_to) if date_from and date_to else None
    kind, now = "backfill" if date_range else "daily", as_of or _sandbox_now(here, run_id)
    opened = steps.begin(here, run_id, kind=kind, as_of=now, date_range=date_range)
    _print_json({"run_id": run_id, "as_of": opened.as_of, "sources": list(here.settings.sources)})


@app.command()
def extract(
    run_id: RunId,
    source: Annotated[str | None, typer.Option(help="Only this source.", show_default=False)] = None,
    accept_deletions: AcceptDeletions = None,
) -> None:
    """Land what changed since the last accepted load: one immutable load per stream."""
    _print_json(steps.extract(Installation.open(), run_id, source, accept_deletions=accept_deletions))


@check_app.command("raw")
def check_raw(run_id: RunId) -> None:
    """Judge every load that is not judged yet: accepted or refused."""
    _print_json(steps.check_raw(Installation.open(), run_id))


@app.command()
def build(
    run_id: RunId,
    full_refresh: Annotated[bool, typer.Option(help="Rebuild the whole warehouse from the landing.")] = False,
    replay: Annotated[
        str | None, typer.Option(help="Build from the loads of this earlier run.", show_default=False)
    ] = None,
) -> None:
    """One dbt build over exactly the accepted loads, on a copy of the warehouse."""
    _print_json(steps.build(Installation.open(), run_id, full_refresh=full_refresh, replay=replay))


@app.command()
def seal(run_id: RunId) -> None:
    """Copy the published schemas into a fresh file, close it, hash it."""
    manifest = steps.seal(Installation.open(), run_id)
    _print_json({k: manifest[k] for k in ("run_id", "sha256", "bytes", "tables")})


@check_app.command("marts")
def check_marts(run_id: RunId, approve_restatement: ApproveRestatement = False) -> None:
    """Judge the sealed file, read-only; the verdict is written beside it."""
    _print_json(steps.check_marts(Installation.open(), run_id, approve_restatement=approve_restatement))


@app.command()
def publish(run_id: RunId) -> None:
    """Make the audited file what readers see, by one rename."""
    _print_json(steps.publish_run(Installation.open(), run_id))


@app.command()
def report(run_id: RunId) -> None:
    """Render the review page of a published version."""
    _print_json(steps.report(Installation.open(), run_id))


# -- what is going on ---------------------------------------------------------------------------------------------------


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False) -> None:
    """Runs, loads, what readers see and since when, the first failing check and its SQL, and what to run next."""
    found = _status.status(Installation.open())
    if as_json:
        _print_json(found)
    else:
        _status.show(found, out)


@app.command()
def sources(as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False) -> None:
    """The declared sources and streams: what was loaded last, how fresh it is, and what a connector read to get it."""
    rows = _status.sources(Installation.open())
    if as_json:
        _print_json(rows)
        return
    of_connectors = ("read", "totals", "quota") if any(row["read"] for row in rows) else ()
    _table(
        (
            "source", "stream", "contract", "required", "owner", "loads", "rows", "last load", "data until", "fresh within",
            "late since", "state", *of_connectors,
        ),
        rows,
    )  # fmt: skip


@app.command()
def validate() -> None:
    """Read pipeline.yml and the expectations and print every problem with its file and line."""
    from onefunnel.paths import Paths

    problems = steps.validate(Paths.find())
    for problem in problems:
        sys.stderr.write(problem + "\n")
    if problems:
        raise typer.Exit(2)
    err.print("pipeline.yml and expectations are valid")


@app.command()
def doctor(prod: Annotated[bool, typer.Option("--prod", help="Also what production needs.")] = False) -> None:
    """Examine the installation: every landed, sealed and published byte against its hash, links, locks, disk, settings."""
    rows = _status.doctor(Installation.open(), prod)
    _table(("state", "what", "detail", "do"), rows)
    if any(r["state"] == "red" for r in rows):
        raise typer.Exit(1)


@app.command()
def query(
    sql: Annotated[
        str | None, typer.Argument(help="One SQL statement over the published marts.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="A file that holds the statement, such as one of docs/sql.", show_default=False),
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How rows are printed.")] = OutputFormat.table,
) -> None:
    """Ask the published warehouse, read-only and locked, as a BI tool would."""
    import duckdb

    from onefunnel.engines.duckdb import reader
    from onefunnel.paths import Paths

    asked = _statement(sql, file)
    database = Paths.find().current
    if not database.exists():
        raise UsageError("Nothing is published yet.", where=str(database), do="onefunnel demo, or onefunnel run")
    with reader(database.resolve()) as db:
        try:
            cursor = db.execute(asked)
            names = [d[0] for d in cursor.description or []]
            rows = [dict(zip(names, r, strict=True)) for r in cursor.fetchall()]
        except duckdb.Error as error:
            raise UsageError(
                f"The query failed: {str(error).splitlines()[0]}", do="Tables: select * from duckdb_tables()"
            ) from None
    if output is OutputFormat.json:
        _print_json(rows)
    elif output is OutputFormat.csv:
        _status.write_csv(names, rows, sys.stdout)
    else:
        _table(tuple(names), rows)


def _statement(sql: str | None, file: Path | None) -> str:
    """The SQL of a query: said on the command line, or kept in a file."""
    if (sql is None) == (file is None):
        raise UsageError("Say what to ask: a statement, or --file with one.", do='onefunnel query "select 1"')
    if file is None:
        return str(sql)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            "This file cannot be read.", where=str(file), do="Give a text file with one SQL statement."
        ) from None


# -- what only a human decides ------------------------------------------------------------------------------------------


@loads_app.command("list")
def loads_list(
    state: Annotated[str | None, typer.Option(help="landed, accepted or refused.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """All loads, oldest first, with their state and why."""
    found = [_status.load_row(x) for x in Installation.open().ledger.loads(state=state)]
    if as_json:
        _print_json(found)
    else:
        _table(("seq", "load_id", "state", "rows", "rejected", "judged_by", "because"), found)


@loads_app.command("accept")
def loads_accept(load_id: str, because: Because) -> None:
    """Accept a load that a check refused; the next run builds from it."""
    _judge_by_hand(load_id, "accepted", because)


@loads_app.command("refuse")
def loads_refuse(load_id: str, because: Because) -> None:
    """Refuse a load; the next run rebuilds without it, and reads its files again once they, or their declaration, change.

    A load whose landed bytes are damaged is landed again from its unchanged files. What came from an API is asked for again by the
    next run, and comes back as a new load as long as the vendor says the same.
    """
    _judge_by_hand(load_id, "refused", because)


def _judge_by_hand(load_id: str, state: str, because: str) -> None:
    if not because.strip():
        raise UsageError("A reason is needed.", do="--because 'the vendor confirmed the drop'")
    here = Installation.open()
    load = here.ledger.load(load_id)
    here.ledger.judge(load.load_id, state, steps.BY_HAND, because)
    here.ledger.audit(f"load {state}", load.load_id, because)
    err.print(f"load {load.load_id} is {state}; now: onefunnel run")


@app.command()
def rollback(
    because: Because,
    to: Annotated[
        str | None,
        typer.Option("--to", help="The run to go back to; by default the version before.", show_default=False),
    ] = None,
) -> None:
    """Make an older kept version what readers see; its page goes with it."""
    from onefunnel import publish as publishing

    here = Installation.open()
    manifest = publishing.rollback(here.paths, here.ledger, to, because)
    _print_json({"run_id": manifest["run_id"], "as_of": manifest["as_of"], "path": str(here.paths.current)})


@app.command()
def unlock() -> None:
    """Take the lease from a run that is dead for certain; refused while one of its steps lives."""
    holder = Installation.open().ledger.unlock()
    err.print(f"run {holder} no longer holds the lease" if holder else "nobody holds the lease")


# -- the sandbox company --------------------------------------------------------------------------------------------------


@sandbox_app.command("next-day")
def sandbox_next_day(
    seed: Annotated[int, typer.Option(help="Another seed is another company.")] = 7,
    scale: Annotated[float, typer.Option(help="1 is a few thousand rows.")] = 1.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="Plant a fault that a gate must catch; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Let a day pass: write what the company's platforms deliver that morning, and print the day and its as-of instant."""
    from onefunnel.sandbox import clock

    here = Installation.open()
    _refuse_among_other_data(here)
    served = bool(_served(here))
    _print_json(clock.next_day(here.paths.home, seed=seed, scale=scale, faults=fault or [], served=served))


@sandbox_app.command("serve")
def sandbox_serve(
    day: Annotated[int, typer.Option(min=1, help="The company's day; `POST /_sandbox/day` moves it on.")] = 1,
    seed: Annotated[int, typer.Option(help="Another seed is another company.")] = 7,
    scale: Annotated[float, typer.Option(help="1 is a few thousand rows.")] = 1.0,
) -> None:
    """Serve the demo's company as its vendors' APIs would, on this machine alone, until Ctrl-C; prints where each one is, and
    the Airflow connection (with invented credentials) that reaches it."""
    from onefunnel.sandbox.company import Company
    from onefunnel.sandbox.servers import connection, serve_all

    for stop in (signal.SIGINT, signal.SIGTERM):  # also where a shell in the background ignores Ctrl-C
        signal.signal(stop, signal.default_int_handler)
    with serve_all(Company(seed=seed, scale=scale, business=True, served=True), day) as found:
        _print_json({v: {"url": base, "connection": json.loads(connection(v, base))} for v, base in found.items()})
        sys.stdout.flush()
        err.print("Serving; Ctrl-C ends it.")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


def _refuse_among_other_data(here: Installation) -> None:
    """What is invented never comes to lie among what is not.

    Raises:
        UsageError: the installation has loads, and no sandbox company.
    """
    from onefunnel.sandbox import clock

    if clock.today(here.paths.home) is None and here.ledger.loads():
        raise UsageError(
            "This installation holds other data than the sandbox company's.",
            where=str(here.paths.home),
            do="Choose another ONEFUNNEL_HOME for the sandbox company.",
        )


def _served(here: Installation) -> dict[str, tuple[str, str]]:
    """Of each source that the sandbox can serve: the connector, and the variable of its connection."""
    from onefunnel.sandbox.servers import VENDORS
    from onefunnel.sources.connections import variable

    return {
        name: (source.connector, variable(str(source.connection)))
        for name, source in here.settings.sources.items()
        if source.connector in VENDORS
    }


@contextlib.contextmanager
def _sandbox_platforms(here: Installation, served: dict[str, tuple[str, str]]) -> Iterator[None]:
    """While the block runs, the sandbox company's platforms answer on this machine, and the environment has the connections
    with which they are reached. Without a sandbox company, or where it delivers files alone, nothing is served."""
    from onefunnel.sandbox import clock
    from onefunnel.sandbox.servers import connection, following, serve_all

    now = clock.today(here.paths.home)
    if now is None or not served or not now.company.served:
        yield
        return
    with serve_all(now.company, now.day, [vendor for vendor, _ in served.values()]) as bases:
        os.environ.update({name: connection(vendor, bases[vendor]) for vendor, name in served.values()})
        os.environ[_SANDBOX_VARIABLE] = "1"
        # `sandbox next-day` beside Airflow's UI is their next day too.
        with following(bases, now.day, lambda: (clock.today(here.paths.home) or now).day):
            yield


@contextlib.contextmanager
def _sandbox_beside(here: Installation, wanted: bool, stored: Collection[str] = ()) -> Iterator[None]:
    """The sandbox's platforms beside a command that is not about the sandbox, where somebody asked for them.

    A connection that is in the environment, or `stored` where Airflow finds it, is left alone.
    """
    from onefunnel.sandbox import clock

    now = clock.today(here.paths.home)
    held = {f"AIRFLOW_CONN_{name.upper()}" for name in stored} | {name for name, text in os.environ.items() if text}
    served = {source: of for source, of in _served(here).items() if of[1] not in held}
    say = logging.getLogger("onefunnel").warning
    if now is None:
        if wanted:
            raise UsageError(
                "There is no sandbox company in this installation.",
                where=str(here.paths.home),
                do="onefunnel demo, or onefunnel sandbox next-day",
            )
    elif not now.company.served:
        pass
    elif wanted:
        answered = ", ".join(served) or "no source: all connections are there"
        say("The sandbox company stands at day %s; its platforms answer on this machine for %s.", now.day, answered)
    elif served:
        say(
            "The sandbox company's platforms do not answer: --sandbox lets them. For your own data take another ONEFUNNEL_HOME."
        )
    with _sandbox_platforms(here, served if wanted else {}):
        yield


def _sandbox_now(here: Installation, run_id: str) -> str | None:
    """What a new run takes as now while the sandbox's platforms answer: they know nothing of later days."""
    from onefunnel.sandbox import clock

    if not os.environ.get(_SANDBOX_VARIABLE) or here.settings.as_of != "now" or here.ledger.run(run_id) is not None:
        return None
    now = clock.today(here.paths.home)
    return None if now is None else now.company.as_of(now.day).isoformat()


@app.command()
def demo(
    scale: Annotated[
        float | None, typer.Option(help="Size of the company on its first day; 1 where nothing is said.")
    ] = None,
) -> None:
    """The next day of the sandbox company through one run of the DAG revenue_daily, in real Airflow without a server."""
    from onefunnel import orchestrator
    from onefunnel.sandbox import clock

    here = Installation.open()
    _refuse_among_other_data(here)
    if not (here.paths.airflow / "airflow.db").exists():
        err.print("Preparing Airflow's database, once …")
        orchestrator.migrate(here.paths)
    now = clock.today(here.paths.home)
    scale = scale or (now.company.scale if now else 1.0)
    served = _served(here)
    day = clock.next_day(here.paths.home, scale=scale, served=bool(served))
    _sandbox_token_key()
    platforms = f"{len(served)} platforms answer on this machine, " if served else ""
    err.print(
        f"Day {day['day']} of the sandbox company, as of {day['as_of']}: {platforms}{len(day['files'])} files were delivered."
        " Running revenue_daily …"
    )
    with _sandbox_platforms(here, served):
        run_id, log = orchestrator.test_run(
            here.paths, here.ledger, "revenue_daily", json.dumps({"as_of": day["as_of"]}), err.print
        )
    if run_id is None:
        raise StepFailed("The DAG run ended without a run of ours.", where=str(log))
    _status.show_run(here, run_id, out)


@app.command()
def airflow(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8080,
    sandbox: Sandbox = False,
) -> None:
    """Airflow's UI over this installation's state, on 127.0.0.1 (for a laptop); it says where the password is."""
    from onefunnel import orchestrator

    here = Installation.open()
    orchestrator.migrate(here.paths)
    with _sandbox_beside(here, sandbox, orchestrator.stored_connections(here.paths)):
        orchestrator.serve(here.paths, port, lambda text: err.print(text, highlight=False, soft_wrap=True))


def _table(names: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    table = Table(*names, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*("" if row.get(n) is None else escape(str(row.get(n))) for n in names))
    out.print(table)


def _fail(error: OnefunnelError) -> NoReturn:
    logging.getLogger("onefunnel").error("%s", error)
    sys.exit(error.exit_code)


def main() -> NoReturn:
    """Run the command line with this project's exit codes, and leave at once.

    An orderly shutdown of the interpreter would print pages about objects that DuckDB's bindings still hold.
    """
    code = 1
    try:
        code = _invoke()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _invoke() -> int:
    try:
        code = app(standalone_mode=False)
    except OnefunnelError as error:
        _fail(error)
    except typer.Exit as stop:
        code = stop.exit_code
    except (typer.Abort, KeyboardInterrupt, BrokenPipeError):
        return 1
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "format_message"):
            sys.stderr.write(f"{error.format_message()}\nSee: onefunnel --help\n")
            return 2
        if is_disk_trouble(error):
            _fail(EnvironmentNotReady(f"The disk refused: {error}", do="Make room, then repeat."))
        raise
    return code if isinstance(code, int) else 0
