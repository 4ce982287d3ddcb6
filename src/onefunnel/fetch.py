"""What a run asks of a connector: everything that may have changed behind the last load that counts."""

from __future__ import annotations

import datetime as dt
import importlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pyarrow as pa

from onefunnel.engines.duckdb import BULK_MEMORY, identifier, literal, scratch
from onefunnel.errors import EnvironmentNotReady
from onefunnel.landing import read_receipt
from onefunnel.ledger import Ledger, Load, Run
from onefunnel.paths import Paths
from onefunnel.settings import Source, Stream, parse_instant
from onefunnel.sources.base import Asked
from onefunnel.sources.connections import connection
from onefunnel.sources.inbox import Connector, Inbox

CELLS = "cells.parquet"


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
        known=known_cells(paths, [x for x in loads if x.state == "accepted"], stream),
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

    A load that was read from before the refused one has it, or what has become of it.
    """
    accepted = [x for x in loads if x.state == "accepted"]
    refused = [x for x in loads if x.state == "refused"]
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
    about = (read_receipt(paths.landing / load.path).get("fetched") or [{}])[-1]
    return about.get("read_from")


def known_cells(paths: Paths, accepted: Sequence[Load], stream: Stream) -> pa.Table | None:
    """Of each cell that is landed the hash of its newest accepted content."""
    parts = [(x.seq, paths.landing / x.path / CELLS) for x in accepted]
    parts = [(seq, path) for seq, path in parts if path.is_file()]
    if not parts:
        return None
    listed = ", ".join(identifier(name) for name in cell_of(stream))
    read = " union all ".join(
        f"select {listed}, content_hash, {seq} as seq from read_parquet({literal(path)})"  # noqa: S608
        for seq, path in parts
    )
    with scratch(paths.home, BULK_MEMORY) as db:
        newest = f"select {listed}, arg_max(content_hash, seq) as content_hash from ({read}) group by {listed}"  # noqa: S608
        return db.sql(newest).to_arrow_table()
