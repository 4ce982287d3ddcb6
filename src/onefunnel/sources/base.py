"""What every source hands to the landing: files of readable records, and the records that could not be read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


class RecordError(Exception):
    """One record cannot be read; its message says why, without quoting the record."""


@dataclass(frozen=True)
class Reject:
    """A record that could not be read: where it stood, why, and its text as written."""

    file_seq: int
    file: str
    line: int
    reason: str
    original_text: str


# Control totals as text: of one account of the vendor or of all (null), of one day or of all days (null), in the contract's
# name and unit of the measure; `rows` counts records. `unit`: the vendor rounds each record to so much, so that their sum may
# be off by it as many times as there are records; null where it does not.
TOTALS = pa.schema([(name, pa.string()) for name in ("part", "day", "measure", "value", "unit")])


@dataclass(frozen=True)
class Fetched:
    """What a connector leaves beside the records of a delivery.

    Attributes:
        cells_file: Parquet file of the cells that the delivery stands for, those without a record included, each with the
            hash of its records (empty where it has none): the contract's columns of the cell as text, and `content_hash`.
        totals: control totals by a call of its own, shaped as `TOTALS`.
        about: how it was fetched, for the receipt: what was asked for, requests, limits.
    """

    cells_file: Path
    totals: pa.Table
    about: dict[str, Any]

    @property
    def cells(self) -> pa.Table:
        """The cells, all of them."""
        return pq.read_table(self.cells_file)

    @property
    def emptied(self) -> pa.Table:
        """The cells without a record."""
        return pq.read_table(self.cells_file, filters=[("content_hash", "=", "")])


@dataclass(frozen=True)
class Asked:
    """What a connector is asked to fetch: everything of a stream that may have changed since the last accepted load.

    Attributes:
        as_of: the instant of the run, UTC.
        last: the instant of the newest accepted load of the stream behind which nothing is missing; None for the first fetch.
        before: what the connector said about that load (`Fetched.about`), a cursor for example; empty for the first fetch.
        since: nothing older is wanted.
        accounts: only these accounts of the vendor; all that the credentials reach where empty.
        dates: exactly these days (a backfill), both inclusive. `last` and `before` are never of a backfill.
        known: of each cell that is landed, the hash of its newest accepted content: the columns of the cell, `content_hash`.
        accept_deletions: a person says of this source and run that most of its records may be gone.
    """

    source: str
    stream: str
    connection: str
    as_of: dt.datetime
    last: dt.datetime | None
    before: Mapping[str, Any]
    since: dt.date
    accounts: tuple[str, ...]
    dates: tuple[dt.date, dt.date] | None
    known: pa.Table | None
    accept_deletions: bool = False

    @property
    def where(self) -> str:
        """Source and stream, for messages."""
        return f"source {self.source}, stream {self.stream}"

    def window(
        self, hot_days: int, weekly_days: int, monthly_days: int, account: str | None = None
    ) -> tuple[dt.date, dt.date]:
        """The days to read, both inclusive: those that the vendor may still correct, and what a pause has left out.

        Args:
            hot_days: how far back every run reads.
            weekly_days, monthly_days: how far back the first run of an ISO week, and of a month, reads.
            account: whose days they are. One that was not read before (`account_ids` of `before`) is read from the beginning, as
                all of them are once an earlier beginning is wanted.
        """
        if self.dates:
            return max(self.dates[0], self.since), self.dates[1]
        today = self.as_of.date()
        is_new = account is not None and account not in self.before.get("account_ids", [account])
        if self.last is None or is_new or str(self.since) < self.before.get("since", ""):
            return self.since, today
        before = self.last.date()
        back = hot_days
        if before.isocalendar()[:2] != today.isocalendar()[:2]:
            back = weekly_days
        if (before.year, before.month) != (today.year, today.month):
            back = monthly_days
        return max(self.since, min(before - dt.timedelta(days=hot_days), today - dt.timedelta(days=back))), today


@dataclass(frozen=True)
class ReadableFile:
    """One file version, reduced to its readable records.

    Attributes:
        seq: order within the load; a later file supersedes an earlier one where both cover the same cell.
        path: name relative to the source's root.
        sha256: of the bytes as delivered.
        bytes: size as delivered.
        modified_at: UTC text.
        clean: CSV without header, UTF-8, LF, only well-formed records; or Parquet.
        lines: Parquet file with one BIGINT column `line`: the physical line of each record in `clean`; None where a
            record's ordinal is all there is (a Parquet file).
        header: the column names of the file in its order.
        records: number of records in `clean`.
        rejects: the records that could not be read.
        fetched: what a connector says of the file beside its records; None where somebody else delivered it.
    """

    seq: int
    path: str
    sha256: str
    bytes: int
    modified_at: str
    clean: Path
    lines: Path | None
    header: tuple[str, ...]
    records: int
    rejects: tuple[Reject, ...] = field(default=())
    fetched: Fetched | None = None

    @property
    def is_csv(self) -> bool:
        """Whether `clean` is CSV."""
        return self.clean.suffix == ".csv"
