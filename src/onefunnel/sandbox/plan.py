"""What a day's file will say, record by record, and what must become of each: fixed before anything is written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from onefunnel.sandbox.events import Cell, Figures, Row
from onefunnel.sandbox.world import SHOWS, SOCIAL, VIDEO, Platform

Outcome = Literal["accepted", "deduplicated", "quarantined", "rejected"]
Deformation = Literal["", "amount", "ragged", "undeclared_quote", "stray_quote"]
CellKey = tuple[str, dt.date]
RowKey = tuple[str, dt.date, str]

FLAWS: dict[str, str] = {
    "unparseable_amount": "a row's amount is no amount in the declared dialect",
    "unknown_currency": "a row's currency is XXQ",
    "conflicting_key": "a second record has the key of a row and other figures",
    "exact_duplicate": "a record stands twice in the file",
    "missing_campaign_id": "an additional record has no campaign id",
    "missing_account_id": "an additional record has no account id",
    "ragged": "an additional record stops in the middle",
    "undeclared_quote": "an additional record quotes a name with ' instead of \", and the name holds a delimiter",
    "stray_quote": "an additional record has one quote in the middle of a name",
}
LOSES_ITS_ROW = frozenset({"unparseable_amount", "unknown_currency", "conflicting_key"})
CORRECTED_NEXT_DAY = frozenset({"unparseable_amount", "conflicting_key"})
_EXTRA = Figures(1_230_000, 12, 3, 0, 0, 0)


class Flaw(NamedTuple):
    """A planted flaw of one record: in the file of `source`, at the row of this account, day and campaign."""

    source: str
    kind: str
    account_id: str
    spend_date: dt.date
    campaign_id: str


class Record(NamedTuple):
    """One record of a performance file.

    Attributes:
        line: physical line (Parquet: ordinal) in the file.
        changed_on: the delivery day that brought these figures; written as the platform's own time of change.
        deformed: how the writer spoils the record's text.
        outcome, reason, column: what must become of it, why, and the contract column that is to blame.
    """

    line: int
    account_id: str
    campaign_id: str
    name: str
    network: str
    currency: str
    spend_date: dt.date
    figures: Figures
    changed_on: dt.date
    deformed: Deformation = ""
    outcome: Outcome = "accepted"
    reason: str = ""
    column: str = ""


@dataclass(frozen=True)
class Delivery:
    """The performance file of one platform on one day.

    Attributes:
        cells: gives (cell, its rows in this file), oldest spend day first; a fresh iterator at each call.
        names: (account, campaign) -> name, for the campaigns that were renamed.
        flaws: what is planted, by the row it is planted at.
    """

    platform: Platform
    day: dt.date
    cells: Callable[[], Iterator[tuple[Cell, list[Row]]]]
    names: Mapping[tuple[str, str], str]
    flaws: Mapping[RowKey, tuple[str, ...]]

    @property
    def file_name(self) -> str:
        """Name of the file below the platform's folder."""
        stem = "costs" if self.platform.keyed else "performance"
        return f"{stem}_{self.day:%Y%m%d}.{'parquet' if self.platform.source == VIDEO else 'csv'}"

    def records(self) -> Iterator[Record]:
        """The records in file order, flaws included, numbered by line."""
        line = self.platform.first_line
        for cell, rows in self.cells():
            for row in rows:
                campaign = row.campaign
                name = self.names.get((campaign.account_id, campaign.campaign_id), campaign.first_name)
                record = Record(
                    line,
                    campaign.account_id,
                    campaign.campaign_id,
                    name,
                    campaign.network,
                    cell.account.currency,
                    cell.spend_date,
                    row.figures,
                    row.changed_on,
                )
                kinds = self.flaws.get((campaign.account_id, cell.spend_date, campaign.campaign_id))
                if kinds is None:
                    yield record
                    line += 1
                    continue
                for flawed in _plant(record, kinds, self.platform):
                    yield flawed._replace(line=line)
                    line += 1

    def loses(self, cell: Cell, row: Row) -> bool:
        """Whether a flaw keeps this row out of the warehouse until its cell is delivered again."""
        kinds = self.flaws.get((row.campaign.account_id, cell.spend_date, row.campaign.campaign_id), ())
        return any(
            kind in LOSES_ITS_ROW and not (kind == "conflicting_key" and latest_wins(self.platform)) for kind in kinds
        )


def latest_wins(platform: Platform) -> bool:
    """Whether the platform's stream declares `order_by`, so that the latest of equal keys wins."""
    return platform.source == SOCIAL


def can_have(platform: Platform, kind: str) -> bool:
    """Whether a platform's files can have a flaw: typed columns hold no bad text, the trade shows no account."""
    if platform.source == VIDEO:
        return kind not in ("unparseable_amount", "ragged", "undeclared_quote", "stray_quote")
    return platform.source != SHOWS or kind not in ("unknown_currency", "missing_account_id")


def _plant(record: Record, kinds: tuple[str, ...], platform: Platform) -> list[Record]:
    """The record as it is written under these flaws, and the records that they add after it."""
    extras: list[Record] = []
    for kind in kinds:
        if kind == "unparseable_amount":
            record = record._replace(
                deformed="amount", outcome="quarantined", reason="unreadable_value", column="spend_amount"
            )
        elif kind == "unknown_currency":
            record = record._replace(
                currency="XXQ", outcome="quarantined", reason="unknown_currency", column="currency"
            )
        elif kind == "conflicting_key" and latest_wins(platform):
            older = record.changed_on - dt.timedelta(days=1)
            extras.append(
                record._replace(figures=_EXTRA, changed_on=older, outcome="deduplicated", reason="superseded")
            )
        elif kind == "conflicting_key":
            record = record._replace(outcome="quarantined", reason="conflicting_key")
            extras.append(record._replace(figures=_EXTRA))
        elif kind == "exact_duplicate":
            extras.append(record._replace(outcome="deduplicated", reason="identical"))
        else:
            extras.append(_additional(record, kind))
    return [record, *extras]


def _additional(record: Record, kind: str) -> Record:
    extra = record._replace(figures=_EXTRA, outcome="quarantined", reason="missing_value", deformed="", column="")
    if kind == "missing_campaign_id":
        return extra._replace(campaign_id="", column="campaign_id")
    if kind == "missing_account_id":
        return extra._replace(account_id="", column="ad_account_id")
    deformed: Deformation = (
        "ragged" if kind == "ragged" else "undeclared_quote" if kind == "undeclared_quote" else "stray_quote"
    )
    return extra._replace(outcome="rejected", reason="unreadable_record", deformed=deformed)
