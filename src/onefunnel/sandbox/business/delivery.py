"""The files of a day: which there are, what is in them record by record, and writing them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from onefunnel.sandbox.business import flaws, writing
from onefunnel.sandbox.business.business import Business
from onefunnel.sandbox.business.flaws import Entry
from onefunnel.sandbox.business.log import Value
from onefunnel.sandbox.business.records import Records
from onefunnel.sandbox.business.streams import SOURCES, STREAMS, Stream
from onefunnel.sandbox.files import replace_file


class Fate(NamedTuple):
    """A record that must not arrive as it is, or that must be flagged (`unknown_lead`), and where it stands."""

    source: str
    stream: str
    file: str
    line: int
    outcome: flaws.Outcome
    reason: str
    column: str
    kind: str


@dataclass(frozen=True)
class File:
    """One file of a day.

    Attributes:
        records: all of them, flaws included.
        outcomes: how many records end how; the values sum to `records`.
        fates: the records that a flaw made.
    """

    source: str
    stream: str
    name: str
    records: int
    outcomes: Counter[str]
    fates: tuple[Fate, ...]


@dataclass
class Files:
    """The files of a business, day by day.

    Attributes:
        sources: those that are files; the others are read through an API.
        translated: makes of a record of a stream one with the ids of the platforms behind those.
    """

    business: Business
    sources: tuple[str, ...] = SOURCES
    translated: Callable[[Stream, tuple[Value, ...]], tuple[Value, ...]] = lambda _, record: record
    _cache: dict[tuple[str, int, tuple[str, ...]], list[Entry]] = field(default_factory=dict, repr=False)

    def entries(self, stream: Stream, number: int, extra: tuple[str, ...] = ()) -> list[Entry]:
        """The records of a stream's file, default flaws and `extra` ones included; empty: there is no file.

        Raises:
            ValueError: the stream has no file on this day, or its files cannot have such a flaw.
        """
        key = (stream.name, number, extra)
        if key not in self._cache:
            if len(self._cache) > 4 * len(STREAMS):
                self._cache.clear()
            self._cache[key] = self._entries(stream, number, extra)
        return self._cache[key]

    def _entries(self, stream: Stream, number: int, extra: tuple[str, ...]) -> list[Entry]:
        impossible = [kind for kind in extra if kind not in flaws.possible(stream)]
        if impossible:
            raise ValueError(f"the files of {stream.full_name} cannot have the flaw {impossible[0]}")
        records = Records(self.business).of(stream, number)
        if extra and not records:
            raise ValueError(f"no file of {stream.full_name} on day {number} to plant a fault in")
        rows = [writing.cells_of(stream, self.translated(stream, record)) for record in records]
        seed = self.business.simulation.seed
        usual = flaws.planned(seed, stream, number, len(rows)) if stream.source in self.sources else ()
        kinds = [*usual, *extra]
        return flaws.plant(stream, rows, kinds, seed, number) if rows else []

    def file(self, stream: Stream, number: int, extra: tuple[str, ...] = ()) -> File | None:
        """What is in a stream's file of a day; None: there is none."""
        entries = self.entries(stream, number, extra)
        if not entries:
            return None
        name = writing.file_name(stream, self.business.simulation.date_of(number))
        places = zip(writing.lines(stream, entries), entries, strict=True)
        fates = tuple(
            Fate(stream.source, stream.name, name, line, e.outcome, e.reason, e.column, e.kind)
            for line, e in places
            if e.kind
        )
        return File(stream.source, stream.name, name, len(entries), Counter(e.outcome for e in entries), fates)

    def write(
        self,
        number: int,
        drop_root: Path,
        planted: Mapping[str, tuple[str, ...]],
        faults: Mapping[str, frozenset[str]],
    ) -> list[Path]:
        """Write a day's files; `planted` flaws of records and `faults` of whole files by stream.

        A full list is also written when it is not there yet.
        """
        written = []
        day = self.business.simulation.date_of(number)
        for stream in STREAMS.values():
            if stream.source not in self.sources:
                continue
            entries = self.entries(stream, number, planted.get(stream.name, ()))
            path = drop_root / stream.source / writing.file_name(stream, day)
            if not entries and not stream.daily and not path.exists():
                records = Records(self.business).full_list(stream, number)
                entries = [Entry(writing.cells_of(stream, self.translated(stream, r))) for r in records]
            if not entries:
                if faults.get(stream.name):
                    raise ValueError(f"no file of {stream.full_name} on day {number} to plant a fault in")
                continue
            _write(path, writing.content(stream, entries, faults.get(stream.name, frozenset())))
            written.append(path)
        return written


def _write(path: Path, data: bytes) -> None:
    replace_file(path, lambda temporary: temporary.write_bytes(data))
