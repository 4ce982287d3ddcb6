"""What a run asks of a connector: everything that may have changed behind the last load that counts."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onefunnel.engines.duckdb import BULK_MEMORY, identifier, literal, scratch
from onefunnel.errors import ConfigError, EnvironmentNotReady
from onefunnel.landing import read_receipt
from onefunnel.ledger import Ledger, Load, Run
from onefunnel.paths import Paths
from onefunnel.settings import Source, Stream, parse_instant
from onefunnel.sources.base import Asked
from onefunnel.sources.connections import connection
from onefunnel.sources.inbox import Connector, Inbox

CELLS = "cells.parquet"
CELLS_AT_A_TIME = 250_000


@contextmanager
def connected(source_name: str, source: Source) -> Iterator[Connector | None]:
    """The source's connector while the block runs; None where its files are delivered by somebody else.

    Raises:
        ConfigError: there is no such connection, or it lacks something.
    """
    if source.is_files:
        yield None
        return
    module = importlib.import_module(f"onefunnel.sources.{source.connector}")
    credentials = connection(str(source.connection))
    connector: Connector = module.connect(f"source {source_name}", credentials, source.accounts)
    with closing(connector):
        yield connector


def fetch(
    connector: Connector,
    paths: Paths,
    ledger: Ledger,
    run: Run,
    source_name: str,
    source: Source,
    stream_name: str,
    *,
    accept_deletions: bool = False,
) -> None:
    """Have one stream fetched into its inbox, from where it is landed as any file.

    Args:
        accept_deletions: a person says that most of the source's records may be gone.

    Raises:
        ConfigError: the credentials, an account or a scope is wrong.
        StepFailed: the API refuses for good.
        EnvironmentNotReady: a later try may succeed.
    """
    stream = source.streams[stream_name]
    loads = ledger.loads(source=source_name, stream=stream_name)
    _refuse_another_connector(paths, loads, source_name, source)
    last = last_complete(paths, loads)
    receipt = read_receipt(paths.landing / last.path) if last else {}
    days = None
    if run.range_from and run.range_to:
        days = (dt.date.fromisoformat(run.range_from), dt.date.fromisoformat(run.range_to))
    asked = Asked(
        source=source_name,
        stream=stream_name,
        connection=str(source.connection),
        as_of=parse_instant(run.as_of + "+00:00"),
        last=parse_instant(last.known_at + "+00:00") if last else None,
        before=(receipt.get("fetched") or [{}])[-1],
        since=source.since or dt.date.min,
        accounts=source.accounts,
        dates=days,
        known=known_cells(
            paths, [x for x in loads if x.state == "accepted"], stream, paths.home / source.root / stream_name
        ),
        accept_deletions=accept_deletions,
    )
    try:
        connector.fetch(asked, Inbox(paths.home / source.root, asked, cell_of(stream)))
    except EnvironmentNotReady as error:
        error.where = error.where or asked.where
        raise


def cell_of(stream: Stream) -> dict[str, str]:
    """The contract's columns that name a cell of a stream, each with its name in the records."""
    names = stream.partition if stream.replaces == "partition" else stream.key or ()
    return {name: str(stream.columns[name].from_) for name in names}


def last_complete(paths: Paths, loads: Sequence[Load]) -> Load | None:
    """The newest accepted load behind which nothing is missing: what a refused load brought must have been read again since.

    A load that was read from before the refused one has it, or what has become of it. A backfill is a person's: nothing is known
    of the days around those that it was asked for.
    """
    accepted = [x for x in loads if x.state == "accepted" and not _about(paths, x).get("dates")]
    refused = [x for x in loads if x.state == "refused" and not _about(paths, x).get("dates")]
    if not refused:
        return accepted[-1] if accepted else None
    read_from = {x.load_id: _read_from(paths, x) for x in accepted}
    open_ones = [
        r for r in refused if not any(a.seq > r.seq and (read_from[a.load_id] or "") < r.known_at for a in accepted)
    ]
    if not open_ones:
        return accepted[-1] if accepted else None
    first = min(r.seq for r in open_ones)
    return next((a for a in reversed(accepted) if a.seq < first), None)


def _read_from(paths: Paths, load: Load) -> str | None:
    """The instant from which a load was read; None: from the beginning."""
    return _about(paths, load).get("read_from")


def _about(paths: Paths, load: Load) -> dict[str, Any]:
    """What the connector said of a load."""
    return dict((read_receipt(paths.landing / load.path).get("fetched") or [{}])[-1])


def _refuse_another_connector(paths: Paths, loads: Sequence[Load], source_name: str, source: Source) -> None:
    """What another connector has loaded would stay beside what this one brings, under other ids: everything would count twice."""
    before = next((x for x in reversed(loads) if x.state == "accepted"), None)
    was = read_receipt(paths.landing / before.path).get("connector", source.connector) if before else source.connector
    if was != source.connector:
        raise ConfigError(
            f"the source {source_name} was read by `{was}` until now, and not by `{source.connector}`",
            "pipeline.yml",
            "give the new source a name of its own; where both hold the same records, refuse the loads of the old one"
            " (onefunnel loads refuse)",
        )


def known_cells(paths: Paths, accepted: Sequence[Load], stream: Stream, work: Path) -> pa.Table | None:
    """Of each cell that is landed the hash of its newest accepted content.

    Args:
        work: where DuckDB spills; each stream has a folder of its own.
    """
    parts = [(x.seq, paths.landing / x.path / CELLS) for x in accepted]
    parts = [(seq, path) for seq, path in parts if path.is_file()]
    if not parts:
        return None
    listed = ", ".join(identifier(name) for name in cell_of(stream))
    read = " union all ".join(
        f"select {listed}, content_hash, {seq} as seq from read_parquet({literal(path)})"  # noqa: S608
        for seq, path in parts
    )
    # Groups do not spill well: so many cells at a time fit into the memory that there is.
    slices = 1 + sum(pq.ParquetFile(path).metadata.num_rows for _, path in parts) // CELLS_AT_A_TIME
    newest = f"select {listed}, arg_max(content_hash, seq) as content_hash from ({read})"  # noqa: S608
    work.mkdir(parents=True, exist_ok=True)
    with scratch(work, BULK_MEMORY) as db:
        return pa.concat_tables(
            db.sql(f"{newest} where hash({listed}) % {slices} = {n} group by {listed}").to_arrow_table()
            for n in range(slices)
        )
