"""Where a connector leaves what it fetched: files like any other's, complete or not there.

Behind it everything is as for files: a delivery is landed, judged, refused, replaced and replayed in the same way. What an
API sends again without a change is left out here, by the hash of each cell, so a load holds what changed and nothing else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onefunnel.engines.duckdb import identifier, literal, scratch
from onefunnel.sources.base import Asked, Fetched
from onefunnel.sources.pages import Field, write_records

RECORDS, CELLS, TOTALS, ABOUT = ".records.parquet", ".cells.parquet", ".totals.parquet", ".about.json"


class Inbox:
    """The folder of one stream. What an earlier fetch left there is gone: it was landed, or is fetched again.

    Args:
        root: the folder of the source.
        asked: what is fetched.
        cell: the columns of a record that name its cell, by their names in the file.
    """

    def __init__(self, root: Path, asked: Asked, cell: dict[str, str]) -> None:
        self.asked, self.cell = asked, cell
        self.folder = root / asked.stream
        shutil.rmtree(self.folder, ignore_errors=True)
        self.pages = self.folder / ".pages"
        self.pages.mkdir(parents=True)

    def deliver(
        self,
        pages: Sequence[Path],
        records: str,
        fields: Sequence[Field],
        *,
        covered: pa.Table | None,
        totals: pa.Table,
        about: dict[str, Any],
    ) -> int:
        """Write one delivery: the records of every cell whose content is not the one that is known.

        Args:
            pages, records, fields: as `write_records` takes them.
            covered: the cells that were asked for, by contract column, as text: one of them without a record is empty now.
                None: only the cells that have records.
            totals: the columns of the cell, `measure`, `value`.
            about: for the receipt.

        Returns:
            The number of records that are delivered.
        """
        where = f"{self.asked.where}: {self.asked.as_of:%Y-%m-%dT%H:%M:%SZ}"
        name = f"{self.asked.as_of:%Y%m%dT%H%M%SZ}"
        everything = self.pages / "everything.parquet"
        found = write_records(pages, records, fields, self.pages, everything, where)
        kept = self.pages / "kept.parquet"
        cells = self._changed(everything, kept, covered)
        pq.write_table(cells, self.folder / f"{name}{CELLS}")
        pq.write_table(totals, self.folder / f"{name}{TOTALS}")
        about = {**about, "records_fetched": found, "cells_changed": cells.num_rows}
        (self.folder / f"{name}{ABOUT}").write_text(json.dumps(about, sort_keys=True), encoding="utf-8")
        delivered = int(pq.ParquetFile(kept).metadata.num_rows)
        if cells.num_rows:
            kept.replace(self.folder / f"{name}{RECORDS}")  # last: a delivery is what has its records
        shutil.rmtree(self.pages)
        return delivered

    def _changed(self, everything: Path, kept: Path, covered: pa.Table | None) -> pa.Table:
        """The cells that are new, changed or empty now, with their hashes; their records go to `kept`."""
        names = [identifier(name) for name in self.cell]
        read = f"read_parquet({literal(str(everything))}) as records"
        listed = ", ".join(names)
        columns = ", ".join(f"records.{identifier(there)} as {identifier(name)}" for name, there in self.cell.items())
        same = " and ".join(f"records.{identifier(there)} = {identifier(name)}" for name, there in self.cell.items())
        none = pa.table({name: pa.array([], pa.string()) for name in (*self.cell, "content_hash")})
        with scratch(self.folder) as db:
            db.register("covered", none if covered is None else covered)
            db.register("known", none if self.asked.known is None else self.asked.known)
            # What never was there and is not there now is no news.
            changed = f"""
                create temp table changed as
                with texts as (select {columns}, to_json(records)::varchar as text from {read}),
                found as (select {listed}, md5(string_agg(text, chr(10) order by text)) as content_hash from texts group by all),
                asked as (
                    select * from found
                    union all
                    select distinct {listed}, '' from covered anti join found using ({listed})
                )
                select asked.* from asked left join known using ({listed})
                where asked.content_hash <> coalesce(known.content_hash, '')
            """  # noqa: S608
            db.execute(changed)
            records = f"select records.* from {read} where exists (select 1 from changed where {same})"  # noqa: S608
            db.execute(f"copy ({records}) to {literal(str(kept))} (format parquet, compression zstd)")
            return db.sql(f"select * from changed order by {listed}").to_arrow_table()  # noqa: S608


def fetched(records: Path) -> Fetched | None:
    """What a connector left beside a file of records; None for a file of somebody else's."""
    if not records.name.endswith(RECORDS):
        return None
    stem = records.name.removesuffix(RECORDS)
    about = records.with_name(f"{stem}{ABOUT}")
    if not about.is_file():
        return None
    return Fetched(
        pq.read_table(records.with_name(f"{stem}{CELLS}")),
        pq.read_table(records.with_name(f"{stem}{TOTALS}")),
        dict(json.loads(about.read_text(encoding="utf-8"))),
    )
