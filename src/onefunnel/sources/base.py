"""What every source hands to the landing: files of readable records, and the records that could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


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

    @property
    def is_csv(self) -> bool:
        """Whether `clean` is CSV."""
        return self.clean.suffix == ".csv"
