"""Records of named texts, kept as Parquet: what formats without a CSV body are reduced to."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_RECORDS = 50_000
_LINES = pa.schema([("line", pa.int64())])


class TextTable:
    """Collects records whose names may differ from one to the next; memory is bounded by one batch.

    Args:
        work: folder for the files.
        seq: number of the file within its load.
        names: columns that are there even when no record has them (a header).
    """

    def __init__(self, work: Path, seq: int, names: tuple[str, ...] = ()) -> None:
        self.clean, self.lines = work / f"{seq:06d}.parquet", work / f"{seq:06d}.lines.parquet"
        self.names: dict[str, None] = dict.fromkeys(names)
        self.records = 0
        self._batch: list[dict[str, str | None]] = []
        self._numbers: list[int] = []
        self._parts: list[Path] = []

    def add(self, line: int, values: dict[str, str | None]) -> None:
        """Add one record and the line it stands on."""
        self.names.update(dict.fromkeys(values))
        self._batch.append(values)
        self._numbers.append(line)
        self.records += 1
        if len(self._batch) >= BATCH_RECORDS:
            self._flush()

    def _flush(self) -> None:
        part = self.clean.with_name(f"{self.clean.stem}.part{len(self._parts):04d}")
        columns = {n: pa.array([r.get(n) for r in self._batch], pa.string()) for n in self.names}
        pq.write_table(pa.table({**columns, "line": pa.array(self._numbers, pa.int64())}), part)
        self._parts.append(part)
        self._batch, self._numbers = [], []

    def close(self) -> None:
        """Write `clean`, whose columns are all names that occurred, and `lines`."""
        if self._batch:
            self._flush()
        schema = pa.schema([(n, pa.string()) for n in self.names])
        with pq.ParquetWriter(self.clean, schema) as out, pq.ParquetWriter(self.lines, _LINES) as numbers:
            for part in self._parts:
                table = pq.read_table(part)
                there = set(table.column_names)
                nulls = pa.nulls(table.num_rows, pa.string())
                out.write_table(pa.table([table[n] if n in there else nulls for n in self.names], schema=schema))
                numbers.write_table(table.select(["line"]))
                part.unlink()
