"""Where a connector leaves what it fetched: files like any other's, complete or not there.

Behind it everything is as for files: a delivery is landed, judged, refused, replaced and replayed in the same way. What an
API sends again without a change is left out here, by the hash of each cell, so a load holds what changed and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from onefunnel.engines.duckdb import BULK_MEMORY, identifier, literal, scratch
from onefunnel.errors import StepFailed
from onefunnel.formats import utc_text
from onefunnel.sources.base import TOTALS as TOTALS_SCHEMA
from onefunnel.sources.base import Asked, Fetched
from onefunnel.sources.pages import Field, rows_of, write_csv_records, write_records

EVERYTHING = "select * from records"
RECORDS, CELLS, TOTALS, ABOUT = ".records.parquet", ".cells.parquet", ".totals.parquet", ".about.json"


@dataclass(frozen=True)
class Records:
    """Saved pages, and what of each record becomes a column: pages of JSON with the JSON path of their records
    (`$.results[*]`, `pages.LINES`), or of CSV, without a path. They may be on their way: each is read when it is there."""

    pages: Iterable[Path]
    fields: Sequence[Field]
    path: str | None = None


class Inbox:
    """The folder of one stream. What an earlier fetch left there is gone: it was landed, or is fetched again.

    Args:
        root: the folder of the source.
        asked: what is fetched.
        cell: the contract's columns that name a cell, each with its name in the records.
    """

    def __init__(self, root: Path, asked: Asked, cell: dict[str, str]) -> None:
        self.asked, self.cell = asked, cell
        self.folder = root / asked.stream
        shutil.rmtree(self.folder, ignore_errors=True)
        self.pages = self.folder / ".pages"
        self.pages.mkdir(parents=True)

    def deliver(
        self,
        records: Mapping[str, Records | Path],
        *,
        covered: pa.Table | None,
        totals: pa.Table | Callable[[], pa.Table],
        about: dict[str, Any] | Callable[[], dict[str, Any]],
        select: str = EVERYTHING,
    ) -> int:
        """Write one delivery: the records of every cell whose content is not the one that is known.

        Args:
            records: what was fetched, by name; each becomes a relation of texts, or is one in Parquet files (a pattern).
            covered: the cells that were asked for, by contract column, as text: one of them without a record is empty now.
                None: only the cells that have records.
            totals: control totals (`base.TOTALS`), all of them in each delivery.
            about: for the receipt. This and the totals are asked for when the records are there, where they are functions.
            select: SQL over the named relations that makes the records of the stream. It places texts; what they mean is
                for staging to say.

        Returns:
            The number of records that are delivered.
        """
        name = f"{self.asked.as_of:%Y%m%dT%H%M%SZ}"
        kept, changed = self.pages / "kept.parquet", self.pages / "cells.parquet"
        relations = {name: each if isinstance(each, Path) else self._relation(name) for name, each in records.items()}
        fetched = sum(
            self._write(each, relations[name]) if isinstance(each, Records) else rows_of(each)
            for name, each in records.items()
        )
        told = cache(totals if callable(totals) else lambda: totals)  # asked for late: they may be on their way
        everything = relations[next(iter(relations))]
        if select != EVERYTHING:
            everything = self.pages / "everything.parquet"
            with scratch(self.folder, BULK_MEMORY) as db:
                for relation, files in relations.items():
                    read = f"read_parquet({literal(files)})"
                    db.execute(f"create temp view {identifier(relation)} as select * from {read}")  # noqa: S608
                try:
                    db.execute(f"copy ({select}) to {literal(everything)} (format parquet, compression zstd)")
                except duckdb.DataError as error:  # the value is not told, it may be anybody's
                    said = re.sub(r"""(["']).*?\1""", "…", str(error).splitlines()[0])[:200]
                    raise StepFailed(
                        f"A record holds what it cannot: {said}",
                        self.asked.where,
                        "Has the vendor changed the type of a field? See the changelog; the connector may need an upgrade.",
                    ) from None
        cells = self._changed(everything, kept, changed, covered, told)
        counts = told()
        about = {
            **(about() if callable(about) else about),
            "records_fetched": fetched,
            "cells_changed": cells,
            "since": str(self.asked.since),
            "dates": [str(day) for day in self.asked.dates or ()],
            "read_from": utc_text(self.asked.last) if self.asked.last else None,
            "totals_hash": hashlib.sha256(repr(sorted(map(str, counts.to_pylist()))).encode()).hexdigest(),
        }
        delivered = int(pq.ParquetFile(kept).metadata.num_rows)
        counted = counts.num_rows > 0 and about["totals_hash"] != self.asked.before.get("totals_hash")
        # Without news there is no delivery; what the source counts is news as well. The first one says that it was asked.
        if cells or counted or self.asked.last is None:
            changed.replace(self.folder / f"{name}{CELLS}")
            pq.write_table(counts.cast(TOTALS_SCHEMA), self.folder / f"{name}{TOTALS}")
            (self.folder / f"{name}{ABOUT}").write_text(json.dumps(about, sort_keys=True), encoding="utf-8")
            kept.replace(self.folder / f"{name}{RECORDS}")  # last: a delivery is what has its records
        shutil.rmtree(self.pages)
        return delivered

    def _relation(self, name: str) -> Path:
        return self.pages / f"{name}.relation.*.parquet"

    def _write(self, records: Records, to: Path) -> int:
        name = to.name.partition(".")[0]
        where = f"{self.asked.where}: {name} of {self.asked.as_of:%Y-%m-%dT%H:%M:%SZ}"
        if records.path is None:
            return write_csv_records(records.pages, records.fields, self.pages, to, where)
        return write_records(records.pages, records.path, records.fields, self.pages, to, where)

    def _changed(
        self,
        everything: Path,
        kept: Path,
        changed: Path,
        covered: pa.Table | None,
        told: Callable[[], pa.Table],
    ) -> int:
        """How many cells are new, changed or empty now: they, with their hashes, go to `changed`, their records to `kept`."""
        read = f"read_parquet({literal(everything)}) as records"
        listed = ", ".join(map(identifier, self.cell))
        columns = ", ".join(f"records.{identifier(there)} as {identifier(name)}" for name, there in self.cell.items())
        # A part of a key may be missing: then it is for staging to say so, and not for a join to lose it.
        there = " and ".join(
            f"records.{identifier(r)} is not distinct from {identifier(c)}" for c, r in self.cell.items()
        )
        same = " and ".join(f"asked.{c} is not distinct from known.{c}" for c in map(identifier, self.cell))
        none = pa.table({name: pa.array([], pa.string()) for name in (*self.cell, "content_hash")})
        # The sum of the records' hashes (96 bits of each) is the same in any order, and of no size.
        hashed = "md5(concat_ws(':', count(*), sum((md5_number(text) >> 32)::hugeint)))"
        with scratch(self.folder, BULK_MEMORY) as db:
            db.register("covered", none if covered is None else covered)
            db.register("known", none if self.asked.known is None else self.asked.known)
            db.execute(f"""
                create temp table found as
                with texts as (select {columns}, to_json(records)::varchar as text from {read})
                select {listed}, {hashed} as content_hash from texts group by all
            """)  # noqa: S608
            db.register("totals", told())
            said = "select part, day from totals where cast(value as decimal(38, 9)) <> 0"
            names_days = {"ad_account_id", "spend_date"} <= self.cell.keys()
            counted = f"(asked.ad_account_id, asked.spend_date) in ({said})" if names_days else "false"
            # What never was there and is not there now is no news, unless the source counts something there.
            db.execute(f"""
                create temp table changed as
                with asked as (
                    select * from found
                    union all
                    select distinct {listed}, '' from covered anti join found using ({listed})
                )
                select asked.* from asked left join known on {same}
                where asked.content_hash <> coalesce(known.content_hash, '') or (known.content_hash is null and {counted})
            """)  # noqa: S608
            (found, all_of_them) = db.execute(
                "select (select count(*) from found), (select count(*) from changed where content_hash <> '')"
            ).fetchall()[0]
            selects = {changed: f"select * from changed order by {listed}"}  # noqa: S608
            if found == all_of_them and everything.is_file():
                everything.replace(kept)
            else:
                news = "" if found == all_of_them else f"where exists (select 1 from changed where {there})"  # noqa: S608
                selects[kept] = f"select records.* from {read} {news}"  # noqa: S608
            for to, select in selects.items():
                db.execute(f"copy ({select}) to {literal(to)} (format parquet, compression zstd)")
            return int(db.execute("select count(*) from changed").fetchall()[0][0])


def fetched(records: Path) -> Fetched | None:
    """What a connector left beside a file of records; None for a file of somebody else's."""
    if not records.name.endswith(RECORDS):
        return None
    stem = records.name.removesuffix(RECORDS)
    about = records.with_name(f"{stem}{ABOUT}")
    if not about.is_file():
        return None
    return Fetched(
        records.with_name(f"{stem}{CELLS}"),
        pq.read_table(records.with_name(f"{stem}{TOTALS}")),
        dict(json.loads(about.read_text(encoding="utf-8"))),
    )


class Connector(Protocol):
    """What a module of a connector makes of a connection (`connect(asked_by, connection, accounts)`), for one source and one run.

    `fetch` reads everything of one stream that it is asked for and delivers it into the inbox: once, with `deliver`.
    """

    def fetch(self, asked: Asked, inbox: Inbox) -> None:
        """Fetch one stream.

        Raises:
            ConfigError: the credentials, an account or a scope is wrong.
            StepFailed: the API refuses for good, or its answer is not what its documentation says.
            EnvironmentNotReady: a later try may succeed.
        """
        ...

    def close(self) -> None:
        """Give back what the connection holds."""
        ...
