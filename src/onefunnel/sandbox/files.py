"""A day's files in each platform's own dialect, written whole and renamed into place.

Writing a day again writes the same bytes; a file that already holds them is left untouched. Only the full lists
(campaigns, ad accounts) are ever written over with other content.
"""

from __future__ import annotations

import csv
import datetime as dt
import filecmp
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from onefunnel.sandbox.plan import Delivery, Record
from onefunnel.sandbox.rates import DECIMALS, NANO, Rate
from onefunnel.sandbox.world import SEARCH, SHOWS, SOCIAL, VIDEO, Account, Campaign

FILE_FAULTS: dict[str, str] = {
    "half_rows": "two of five records are there, the others are missing",
    "wrong_dialect": "another delimiter and decimal mark than declared",
    "truncated_file": "the file ends in the middle of its last record (Parquet: in the middle of its footer)",
    "missing_column": "the amount column is missing",
    "undeclared_column": "one more column than declared, with a person's address in it",
    "unknown_currency_many": "every third row is in XXQ",
    "unrated_currency": "every third row is in CHF, for which there is no rate",
    "hundredfold": "every amount is a hundred times too large",
    "micros_as_units": "every amount is a million times too large",
    "empty_file": "a header and no record",
    "zero_bytes": "a file of 0 bytes",
    "renamed_copy": "the same file once more under another name",
    "missing_fx": "the rates file has no USD (on day 1: not for the last ten days); repeat it for eight days",
}
CANARY = "canary.person@example.com"
_MARKS = {",": ";", ";": ","}


@dataclass(frozen=True)
class TextShape:
    """How a platform writes a text file: its header, how a record becomes fields, what its amount and name are called.

    `spoiled` turns an amount into one that does not read in this dialect.
    """

    header: tuple[str, ...]
    fields: Callable[[Record], tuple[str, ...]]
    amount_column: str
    name_column: str
    delimiter: str = ","
    encoding: str = "utf-8"
    newline: str = "\n"
    spoiled: Callable[[str], str] = field(default=lambda amount: f"{amount}.5")


def write_performance(delivery: Delivery, folder: Path, faults: frozenset[str]) -> list[Path]:
    """Write the performance file of a platform's day, with file-level faults; the paths written."""
    path = folder / delivery.file_name

    def fill(temporary: Path) -> None:
        records = _faulty(delivery.records(), faults)
        if "zero_bytes" in faults:
            temporary.write_bytes(b"")
        elif delivery.platform.source == VIDEO:
            _write_parquet(temporary, records, faults)
        else:
            _write_text(temporary, _SHAPES[delivery.platform.source], records, faults)

    replace_file(path, fill)
    if "renamed_copy" in faults:
        copy = path.with_stem(f"{path.stem}_copy")
        replace_file(copy, lambda temporary: temporary.write_bytes(path.read_bytes()))
        return [path, copy]
    return [path]


def write_campaigns(source: str, campaigns: Iterable[tuple[Campaign, str]], folder: Path) -> Path:
    """Write a platform's full list of campaigns with their present names."""
    german = source == SOCIAL
    day = german_date if german else dt.date.isoformat
    header = (
        ("Konto", "Kampagne-ID", "Kampagne", "Platzierung", "Ziel", "Beginn", "Ende")
        if german
        else ("account_id", "campaign_id", "campaign", "network", "goal", "started_on", "ended_on")
    )
    rows = (
        (c.account_id, c.campaign_id, name, c.network, c.goal, day(c.started_on), day(c.ended_on) if c.ended_on else "")
        for c, name in campaigns
    )
    return _write_list(folder / "campaigns.csv", source, header, rows)


def write_accounts(source: str, accounts: Iterable[Account], folder: Path) -> Path:
    """Write a platform's full list of ad accounts."""
    header = (
        ("Konto", "Name", "Währung", "Zeitzone")
        if source == SOCIAL
        else ("account_id", "account", "currency", "time_zone")
    )
    return _write_list(
        folder / "ad_accounts.csv", source, header, ((a.account_id, a.name, a.currency, a.time_zone) for a in accounts)
    )


def write_rates(day: dt.date, rates: Iterable[Rate], folder: Path) -> Path:
    """Write the rates published on `day`: 1 unit of the base currency = rate units of the quote currency."""
    rows = ((r.rate_date.isoformat(), r.currency, "EUR", rate_text(r)) for r in rates)
    return _write_list(folder / f"fx_{day:%Y%m%d}.csv", "fx", ("date", "base", "quote", "rate"), rows)


def rate_text(rate: Rate) -> str:
    """The rate with its currency's usual number of decimals, exactly."""
    decimals = DECIMALS[rate.currency]
    return f"{rate.nano // NANO}.{rate.nano % NANO // 10 ** (9 - decimals):0{decimals}d}"


def german_date(day: dt.date) -> str:
    """dd.mm.yyyy"""
    return f"{day.day:02d}.{day.month:02d}.{day.year:04d}"


@lru_cache(maxsize=4096)
def changed_at(changed_on: dt.date, zone: str) -> dt.datetime:
    """The platform's time of change: 00:30 UTC after the delivery day, local (in autumn, in an hour that repeats)."""
    after = changed_on + dt.timedelta(days=1)
    return dt.datetime(after.year, after.month, after.day, 0, 30, tzinfo=dt.UTC).astimezone(ZoneInfo(zone))


def _plain(micro: int, decimals: int) -> str:
    """Micros with a dot and a fixed number of decimals."""
    whole, rest = divmod(abs(micro), 1_000_000)
    return f"{'-' if micro < 0 else ''}{whole}.{rest // 10 ** (6 - decimals):0{decimals}d}"


def _grouped(micro: int) -> str:
    """Micros as cents with grouping comma and decimal dot: -1,234.56."""
    whole, rest = divmod(abs(micro), 1_000_000)
    return f"{'-' if micro < 0 else ''}{whole:,}.{rest // 10_000:02d}"


def _swap_marks(text: str) -> str:
    """1,234.56 <-> 1.234,56"""
    return text.translate({44: ".", 46: ","})


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _search_fields(r: Record) -> tuple[str, ...]:
    f = r.figures
    return (
        r.spend_date.isoformat(),
        r.account_id,
        r.campaign_id,
        r.name,
        r.network,
        r.currency,
        _plain(f.spend_micro, 3),
        str(f.impressions),
        str(f.clicks),
        _count(f.leads),
        _plain(f.conversions_micro, 2),
        _plain(f.value_micro, 2),
        changed_at(r.changed_on, "Europe/Berlin").strftime("%Y-%m-%d %H:%M:%S"),
        "",
    )


def _social_fields(r: Record) -> tuple[str, ...]:
    f = r.figures
    return (
        german_date(r.spend_date),
        r.account_id,
        r.campaign_id,
        r.name,
        r.network,
        r.currency,
        _swap_marks(_grouped(f.spend_micro)),
        _swap_marks(f"{f.impressions:,}"),
        _swap_marks(f"{f.clicks:,}"),
        _count(f.leads),
        _swap_marks(_grouped(f.conversions_micro)),
        _swap_marks(_grouped(f.value_micro)),
        changed_at(r.changed_on, "Europe/London").strftime("%d.%m.%Y %H:%M:%S"),
    )


def _show_fields(r: Record) -> tuple[str, ...]:
    return (
        r.spend_date.isoformat(),
        r.campaign_id,
        r.name,
        f"€ {_grouped(r.figures.spend_micro)}",
        _count(r.figures.leads),
        "per invoice",
    )


_SHAPES = {
    SEARCH: TextShape(
        tuple(
            "day,account_id,campaign_id,campaign,network,currency,cost,impressions,clicks,leads,conversions,"  # noqa: SIM905
            "conversion_value,changed_at,comment".split(",")
        ),
        _search_fields,
        amount_column="cost",
        name_column="campaign",
    ),
    SOCIAL: TextShape(
        tuple(
            "Datum;Konto;Kampagne-ID;Kampagne;Platzierung;Währung;Ausgaben;Impressionen;Klicks;Leads;Conversions;"  # noqa: SIM905
            "Wert;Geändert am".split(";")
        ),
        _social_fields,
        amount_column="Ausgaben",
        name_column="Kampagne",
        delimiter=";",
        encoding="latin-1",
        newline="\r\n",
        spoiled=_swap_marks,
    ),
    SHOWS: TextShape(
        ("date", "show_id", "show", "costs", "leads", "remark"),
        _show_fields,
        amount_column="costs",
        name_column="show",
        spoiled=lambda amount: amount.replace("€", "$"),
    ),
}


def _faulty(records: Iterator[Record], faults: frozenset[str]) -> Iterator[Record]:
    """The records under the file-level faults that concern their content."""
    if "empty_file" in faults:
        return iter(())
    if "half_rows" in faults:
        records = (record for n, record in enumerate(records) if n % 5 < 2)
    for fault, currency in (("unknown_currency_many", "XXQ"), ("unrated_currency", "CHF")):
        if fault in faults:
            records = _every_third_in(records, currency)
    for fault, times in (("hundredfold", 100), ("micros_as_units", 1_000_000)):
        if fault in faults:
            records = _times(records, times)
    return records


def _times(records: Iterator[Record], times: int) -> Iterator[Record]:
    return (r._replace(figures=r.figures._replace(spend_micro=r.figures.spend_micro * times)) for r in records)


def _every_third_in(records: Iterator[Record], currency: str) -> Iterator[Record]:
    return (record._replace(currency=currency) if n % 3 == 0 else record for n, record in enumerate(records))


def _write_text(path: Path, shape: TextShape, records: Iterator[Record], faults: frozenset[str]) -> None:
    delimiter = _MARKS[shape.delimiter] if "wrong_dialect" in faults else shape.delimiter
    adapt = _column_fault(shape, faults)
    with path.open("w", encoding=shape.encoding, newline="") as handle:
        writer = csv.writer(handle, delimiter=delimiter, lineterminator=shape.newline)
        header = [*shape.header, "contact_email"] if "undeclared_column" in faults else list(shape.header)
        writer.writerow([name for name in header if not ("missing_column" in faults and name == shape.amount_column)])
        for deformed, run in itertools.groupby(records, key=lambda record: record.deformed != ""):
            if not deformed:
                rows = map(shape.fields, run)
                writer.writerows(rows if adapt is None else map(adapt, rows))
                continue
            for record in run:
                fields, readable = _deform(shape, record)
                fields = adapt(fields) if adapt else fields
                if readable:
                    writer.writerow(fields)
                else:
                    handle.write(delimiter.join(fields) + shape.newline)
    if "truncated_file" in faults:
        _truncate(path, 9)


def _column_fault(shape: TextShape, faults: frozenset[str]) -> Callable[[tuple[str, ...]], tuple[str, ...]] | None:
    """How a fault of the whole file changes the fields of a record; None: not at all."""
    at = shape.header.index(shape.amount_column)
    if "missing_column" in faults:
        return lambda fields: (*fields[:at], *fields[at + 1 :])
    if "undeclared_column" in faults:
        return lambda fields: (*fields, CANARY)
    if "wrong_dialect" in faults:
        return lambda fields: (*fields[:at], _swap_marks(fields[at]), *fields[at + 1 :])
    return None


def _deform(shape: TextShape, record: Record) -> tuple[tuple[str, ...], bool]:
    """The fields of a record whose text is spoiled, and whether it can still be read as a record."""
    fields = list(shape.fields(record))
    if record.deformed == "amount":
        at = shape.header.index(shape.amount_column)
        return (*fields[:at], shape.spoiled(fields[at]), *fields[at + 1 :]), True
    fields = [value.replace(shape.delimiter, " ").replace('"', "") for value in fields]
    if record.deformed == "ragged":
        return tuple(fields[: len(fields) // 2]), False
    at = shape.header.index(shape.name_column)
    fields[at] = (
        f"'North{shape.delimiter} South'" if record.deformed == "undeclared_quote" else 'Screens of 32" and more'
    )
    return tuple(fields), False


def _write_parquet(path: Path, records: Iterator[Record], faults: frozenset[str]) -> None:
    """Typed columns: date32, text, decimal(18, 6), int64. Missing ids are null."""
    schema = pa.schema(
        [
            ("day", pa.date32()),
            ("account", pa.string()),
            ("campaign_id", pa.string()),
            ("campaign_name", pa.string()),
            ("placement", pa.string()),
            ("currency", pa.string()),
            ("spend", pa.decimal128(18, 6)),
            ("impressions", pa.int64()),
            ("clicks", pa.int64()),
            ("conversions", pa.decimal128(18, 6)),
            ("conversion_value", pa.decimal128(18, 6)),
        ]
    )
    if "undeclared_column" in faults:
        schema = schema.append(pa.field("contact_email", pa.string()))
    if "wrong_dialect" in faults:
        schema = schema.set(0, pa.field("day", pa.string()))
    wanted = pa.schema([f for f in schema if not ("missing_column" in faults and f.name == "spend")])
    with pq.ParquetWriter(path, wanted, compression="zstd") as writer:
        for block in iter(lambda: list(itertools.islice(records, 100_000)), []):
            writer.write_table(_table(block, schema).select(wanted.names))
    if "truncated_file" in faults:
        _truncate(path, 64)


def _table(block: list[Record], schema: pa.Schema) -> pa.Table:
    figures = [record.figures for record in block]
    days = [r.spend_date for r in block]
    columns: dict[str, object] = {
        "day": days if schema.field("day").type == pa.date32() else [german_date(d) for d in days],
        "account": [r.account_id or None for r in block],
        "campaign_id": [r.campaign_id or None for r in block],
        "campaign_name": [r.name for r in block],
        "placement": [r.network for r in block],
        "currency": [r.currency for r in block],
        "spend": _decimals([f.spend_micro for f in figures]),
        "impressions": [f.impressions for f in figures],
        "clicks": [f.clicks for f in figures],
        "conversions": _decimals([f.conversions_micro for f in figures]),
        "conversion_value": _decimals([f.value_micro for f in figures]),
        "contact_email": [CANARY] * len(block),
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _decimals(micros: list[int]) -> pa.Array:
    """Integers of micros as decimal(18, 6), by setting the scale: no division, no rounding."""
    whole = pa.array(micros, pa.int64()).cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(pa.decimal128(18, 6), len(whole), whole.buffers())


def _write_list(path: Path, source: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Path:
    shape = _SHAPES.get(source, _SHAPES[SEARCH])

    def fill(temporary: Path) -> None:
        with temporary.open("w", encoding=shape.encoding, newline="") as handle:
            writer = csv.writer(handle, delimiter=shape.delimiter, lineterminator=shape.newline)
            writer.writerow(header)
            writer.writerows(rows)

    replace_file(path, fill)
    return path


def _truncate(path: Path, cut: int) -> None:
    with path.open("r+b") as handle:
        handle.truncate(max(0, path.stat().st_size - cut))


def replace_file(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` write a hidden temporary file and rename it to `path`, unless `path` already holds the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        fill(temporary)
        if path.exists() and filecmp.cmp(temporary, path, shallow=False):
            return
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
