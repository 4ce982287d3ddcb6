"""The synthetic company as its users see it: write a day's files, ask what must come out of them.

The caller keeps the clock: days are numbered from 1 and are written in order. Everything follows from the seed, the
scale and the start, so two companies with the same three write the same bytes and know the same truth.

With `business=True` the company also sells: CRM, web log, mailings, events and finance are written too, and
`business_truth` says what must come out of them.

Example:
    company = Company(seed=7)
    company.write_day(1, drop_root)         # sixty days of history
    company.as_of(1)                        # 2026-04-01 06:00 UTC: pass it to the run
    company.truth(1).by_channel_month       # what the mart must say, in micros of EUR
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from onefunnel.sandbox import files
from onefunnel.sandbox.business import flaws as business_flaws
from onefunnel.sandbox.business.business import Business
from onefunnel.sandbox.business.delivery import Files
from onefunnel.sandbox.business.streams import CRM, EVENTS, SOURCES, STREAMS
from onefunnel.sandbox.business.truth import BusinessTruth
from onefunnel.sandbox.business.writing import FILE_FAULTS as BUSINESS_FILE_FAULTS
from onefunnel.sandbox.plan import FLAWS, Flaw
from onefunnel.sandbox.rates import Rate
from onefunnel.sandbox.simulation import COMPLETE_AT_HOUR, Simulation
from onefunnel.sandbox.truth import Truth
from onefunnel.sandbox.vendor_ids import SERVED, VendorIds
from onefunnel.sandbox.world import FX, PLATFORMS, SEARCH

# The quarter's last day, so that the history crosses month ends and the clock changes of both continents.
DEFAULT_START = dt.date(2026, 3, 31)
FAULTS: dict[str, str] = FLAWS | files.FILE_FAULTS
BUSINESS_FAULTS: dict[str, str] = business_flaws.KINDS | BUSINESS_FILE_FAULTS
SPEND_HISTORY_DAYS, BUSINESS_HISTORY_DAYS = 60, 730
_TOLERATED = frozenset({"undeclared_column"})  # the file is read all the same


@dataclass(frozen=True)
class Company:
    """A company by seed, scale (1 = 72 rows of spend a day) and start (the last spend day of day 1's history).

    Attributes:
        history_days: days that day 1 delivers at once; None: 60 of spend alone, 730 of a whole business.
        business: whether the company also has customers, and not only costs.
        served: its CRM, its ad platforms and what knows who came to its events are read through their APIs (`servers`), and
            only the others write files.
    """

    seed: int = 7
    scale: float = 1.0
    start: dt.date = DEFAULT_START
    history_days: int | None = None
    business: bool = False
    served: bool = False

    def __post_init__(self) -> None:
        if self.scale <= 0 or (self.history_days is not None and self.history_days < 1):
            raise ValueError("scale must be above 0 and history_days at least 1")

    @cached_property
    def simulation(self) -> Simulation:
        """What happens in the company, day by day."""
        usual = BUSINESS_HISTORY_DAYS if self.business else SPEND_HISTORY_DAYS
        days, served = self.history_days or usual, SERVED if self.served else ()
        return Simulation(self.seed, self.scale, self.start, days, sells=self.business, served=served)

    @property
    def platforms_in_files(self) -> tuple[str, ...]:
        """The sources of spend that write files."""
        return tuple(source for source in PLATFORMS if not (self.served and source in SERVED))

    @cached_property
    def business_files(self) -> Files:
        """The files of CRM, web log, mailings, events, finance and calendars."""
        business = Business(self.simulation)
        if not self.served:
            return Files(business)
        return Files(
            business, tuple(s for s in SOURCES if s not in (CRM, EVENTS)), VendorIds(self.simulation).translated
        )

    def as_of(self, day_number: int) -> dt.datetime:
        """When the files of a day are complete: 06:00 UTC of the next morning, when the day is over in every zone."""
        morning = self.simulation.date_of(_day(day_number)) + dt.timedelta(days=1)
        return dt.datetime(morning.year, morning.month, morning.day, COMPLETE_AT_HOUR, tzinfo=dt.UTC)

    def truth(self, day_number: int, faults: Iterable[str] = ()) -> Truth:
        """What a reader of the files of days 1 to `day_number` must see.

        `faults` are those that the last of these days was written with: flaws of single records, or an undeclared
        column, which changes nothing.

        Raises:
            ValueError: a fault of a whole file: it must be refused, so the truth is that of the day before.
        """
        flaws, whole = self._planted(_day(day_number), faults)
        refused = sorted({kind for kinds in whole.values() for kind in kinds} - _TOLERATED)
        if refused:
            raise ValueError(f"{', '.join(refused)} must be refused: ask for the truth of the day before")
        return Truth(self.simulation, day_number, flaws)

    def business_truth(self, day_number: int, faults: Iterable[str] = ()) -> BusinessTruth:
        """What a reader of the files of days 1 to `day_number` must see of the business.

        `faults` are flaws of single records that the last of these days was written with.

        Raises:
            ValueError: the company has no business, or a fault of a whole file: it must be refused.
        """
        if not self.business:
            raise ValueError("this company has costs only: make it with business=True")
        _, records, whole = self._by_side(faults)
        refused = sorted({kind for kinds in whole.values() for kind in kinds} - _TOLERATED)
        if refused:
            raise ValueError(f"{', '.join(refused)} must be refused: ask for the truth of the day before")
        return BusinessTruth(self.business_files, _day(day_number), records)

    def write_day(self, day_number: int, drop_root: Path, faults: Iterable[str] = ()) -> list[Path]:
        """Write what the platforms deliver on a day into `drop_root/<source>/`; the files of this day.

        Args:
            day_number: 1 for the history, then one by one.
            drop_root: folder that holds one folder per source.
            faults: what is planted in addition, as `kind` or `kind:source` (default search_ads; see `FAULTS`). Writing
                the day again without them mends it.

        Raises:
            ValueError: an unknown fault, or a source that has no file on this day to plant it in.
        """
        spend_faults, planted, file_faults = self._by_side(faults)
        flaws, whole = self._planted(_day(day_number), spend_faults)
        written: list[Path] = []
        for source in self.platforms_in_files:
            if self.simulation.has_delivery(source, day_number):
                delivery = self.simulation.delivery(source, day_number, flaws)
                written += files.write_performance(delivery, drop_root / source, frozenset(whole.pop(source, ())))
        written += self._write_rates(day_number, drop_root, whole.pop(FX, set()))
        if whole:
            raise ValueError(f"no file of {', '.join(sorted(whole))} on day {day_number} to plant a fault in")
        written += self._write_full_lists(day_number, drop_root)
        if self.business:
            written += self.business_files.write(day_number, drop_root, planted, file_faults)
        return written

    def _by_side(
        self, faults: Iterable[str]
    ) -> tuple[list[str], dict[str, tuple[str, ...]], dict[str, frozenset[str]]]:
        """The faults of the spend side, and those of the business: flaws of records and faults of files by stream.

        A fault of the business is written as `kind:source.stream`.
        """
        spend: list[str] = []
        records: dict[str, tuple[str, ...]] = {}
        whole: dict[str, frozenset[str]] = {}
        for fault in faults:
            kind, _, where = fault.partition(":")
            source, dot, name = where.partition(".")
            if not dot:
                spend.append(fault)
            elif not self.business or name not in STREAMS or STREAMS[name].source != source:
                raise ValueError(f"unknown fault {fault!r}: no stream {where} is written")
            elif kind in business_flaws.KINDS:
                records[name] = (*records.get(name, ()), kind)
            elif kind in BUSINESS_FILE_FAULTS:
                whole[name] = whole.get(name, frozenset()) | {kind}
            else:
                raise ValueError(f"unknown fault {fault!r}: known are {', '.join(BUSINESS_FAULTS)}")
        return spend, records, whole

    def _write_rates(self, day_number: int, drop_root: Path, faults: set[str]) -> list[Path]:
        day = self.simulation.date_of(day_number)
        rates = (
            self.simulation.rates.published_until(day) if day_number == 1 else self.simulation.rates.published_on(day)
        )
        if "missing_fx" in faults:
            rates = [rate for rate in rates if not _is_withheld(rate, day)]
        return [files.write_rates(day, rates, drop_root / FX)] if rates else []

    def _write_full_lists(self, day_number: int, drop_root: Path) -> list[Path]:
        """Lists that changed on this day, and lists that are not there yet."""
        truth = Truth(self.simulation, day_number)
        changed = {rename.campaign.source for rename in truth.renames}
        written = []
        for platform in (PLATFORMS[source] for source in self.platforms_in_files):
            folder = drop_root / platform.source
            if not platform.has_dimensions:
                continue
            if platform.source in changed or not (folder / "campaigns.csv").exists() or day_number == 1:
                campaigns = [c for a in range(len(platform.accounts)) for c in self.simulation.campaigns(platform, a)]
                named = ((c, truth.campaign_names[c.source, c.account_id, c.campaign_id]) for c in campaigns)
                written.append(files.write_campaigns(platform.source, named, folder))
            if day_number == 1 or not (folder / "ad_accounts.csv").exists():
                written.append(files.write_accounts(platform.source, platform.accounts, folder))
        return written

    def _planted(self, day_number: int, faults: Iterable[str]) -> tuple[tuple[Flaw, ...], dict[str, set[str]]]:
        """The faults as flaws of single records, and by source as faults of whole files."""
        wanted: list[tuple[str, str]] = []
        whole: dict[str, set[str]] = {}
        for fault in faults:
            kind, _, source = fault.partition(":")
            if kind not in FAULTS or source not in ("", FX, *PLATFORMS):
                raise ValueError(f"unknown fault {fault!r}: known are {', '.join(FAULTS)}, each also as kind:source")
            source = FX if kind == "missing_fx" else source or SEARCH
            if kind in FLAWS:
                wanted.append((source, kind))
            elif source == FX and kind != "missing_fx":
                raise ValueError(f"the rates file cannot have the fault {kind}")
            else:
                whole.setdefault(source, set()).add(kind)
        return self.simulation.place(day_number, tuple(wanted), self.simulation.flaws(day_number)), whole


def _is_withheld(rate: Rate, day: dt.date) -> bool:
    """Whether the fault `missing_fx` keeps this rate back in the file of `day`."""
    return rate.currency == "USD" and rate.rate_date > day - dt.timedelta(days=10)


def _day(number: int) -> int:
    if number < 1:
        raise ValueError("days are numbered from 1")
    return number
