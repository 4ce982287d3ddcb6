"""The sandbox company, held against its own files: a reader that knows only the dialects reads them again."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from onefunnel.sandbox.company import FAULTS, Company
from onefunnel.sandbox.plan import FLAWS
from onefunnel.sandbox.rates import Converted, convert, half_away
from onefunnel.sandbox.truth import SpendKey
from onefunnel.settings import Stream, load_settings

PROJECT = Path(__file__).resolve().parents[2]
MILLION = 1_000_000
CURRENCIES = {"EUR", "USD", "GBP"}


class Read(NamedTuple):
    """One record as this test reads it; `spend` in micros, None where it is no amount of the dialect."""

    line: int
    source: str
    account: str
    campaign: str
    day: dt.date
    currency: str
    spend: int | None
    changed_at: str
    text: str


class Dialect(NamedTuple):
    delimiter: str
    encoding: str
    amount: str
    columns: tuple[str, str, str, str, str, str]


DIALECTS = {
    "search_ads": Dialect(
        ",",
        "utf-8",
        r"-?\d+(\.\d+)?",
        ("day", "account_id", "campaign_id", "currency", "cost", "changed_at"),
    ),
    "social_ads": Dialect(
        ";",
        "latin-1",
        r"-?\d{1,3}(\.\d{3})*(,\d+)?",
        ("Datum", "Konto", "Kampagne-ID", "Währung", "Ausgaben", "Geändert am"),
    ),
    "trade_shows": Dialect(",", "utf-8", r"€ -?\d{1,3}(,\d{3})*(\.\d+)?", ("date", "", "show_id", "", "costs", "")),
}


def micros(text: str, source: str) -> int | None:
    if not re.fullmatch(DIALECTS[source].amount, text):
        return None
    text = text.removeprefix("€ ")
    text = text.replace(".", "").replace(",", ".") if source == "social_ads" else text.replace(",", "")
    return int(Decimal(text) * MILLION)


def read_text(path: Path, source: str) -> Iterator[Read | int]:
    """The records of a CSV file, or just the line number of one that is no record."""
    dialect = DIALECTS[source]
    field = f'("(?:[^"]|"")*"|[^"{dialect.delimiter}]*)'
    well_formed = re.compile(f"{field}(?:{dialect.delimiter}{field})*")
    lines = path.read_bytes().decode(dialect.encoding).splitlines()
    header = lines[0].split(dialect.delimiter)
    for number, line in enumerate(lines[1:], start=2):
        values = next(csv.reader([line], delimiter=dialect.delimiter))
        if not well_formed.fullmatch(line) or len(values) != len(header):
            yield number
            continue
        row = dict(zip(header, values, strict=True)) | {"": ""}
        day, account, campaign, currency, cost, changed = (row[c] for c in dialect.columns)
        if source == "trade_shows":
            account, currency = "trade_shows", "EUR"
        at = dt.date(*reversed([int(part) for part in day.split(".")])) if "." in day else dt.date.fromisoformat(day)
        if source == "social_ads":
            changed = f"{changed[6:10]}-{changed[3:5]}-{changed[:2]} {changed[11:]}"
        yield Read(number, source, account, campaign, at, currency, micros(cost, source), changed, line)


def read_parquet(path: Path) -> Iterator[Read]:
    for number, row in enumerate(pq.read_table(path).to_pylist(), start=1):
        spend = int(row["spend"] * MILLION)
        yield Read(
            number,
            "video_ads",
            row["account"] or "",
            row["campaign_id"] or "",
            row["day"],
            row["currency"],
            spend,
            "",
            repr(row),
        )


def judge(records: list[Read | int]) -> tuple[list[Read], dict[int, str]]:
    """The good records of one file, and the fate of the others by line."""
    fates: dict[int, str] = {r: "rejected" for r in records if isinstance(r, int)}
    by_key: dict[tuple[str, str, dt.date], list[Read]] = defaultdict(list)
    for record in records:
        if isinstance(record, int):
            continue
        if record.spend is None or record.currency not in CURRENCIES or not record.account or not record.campaign:
            fates[record.line] = "quarantined"
        else:
            by_key[record.account, record.campaign, record.day].append(record)
    good = []
    for rows in by_key.values():
        first: dict[str, Read] = {}
        for row in rows:
            if row.text in first:
                fates[row.line] = "deduplicated"
            first.setdefault(row.text, row)
        latest = max(row.changed_at for row in first.values()) if rows[0].source == "social_ads" else ""
        winners = [row for row in first.values() if row.changed_at == latest or not latest]
        fates |= {row.line: "deduplicated" for row in first.values() if row not in winners}
        if len(winners) == 1:
            good += winners
        else:
            fates |= {row.line: "quarantined" for row in winners}
    return good, fates


class Reader:
    """Reads file after file as a warehouse must: a file replaces the account-days (or keys) that it names."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, ...], dict[str, tuple[str, int]]] = {}
        self.fates: dict[tuple[str, str, int], str] = {}
        self.records: dict[tuple[str, str], list[Read | int]] = {}

    def take(self, path: Path) -> None:
        source = path.parent.name
        records = [*(read_parquet(path) if path.suffix == ".parquet" else read_text(path, source))]
        good, fates = judge(records)
        self.records[source, path.name] = records
        self.fates |= {(source, path.name, line): fate for line, fate in fates.items()}
        for record in records:
            if isinstance(record, Read):
                self.cells[self._cell(record)] = {}
        for row in good:
            self.cells[self._cell(row)][row.campaign] = (row.currency, row.spend or 0)

    @staticmethod
    def _cell(row: Read) -> tuple[str, ...]:
        return (row.source, row.account, row.day.isoformat(), row.campaign if row.source == "trade_shows" else "")

    def spend(self) -> dict[SpendKey, int]:
        return {
            SpendKey(source, account, campaign, dt.date.fromisoformat(day), currency): spend
            for (source, account, day, _), rows in self.cells.items()
            for campaign, (currency, spend) in rows.items()
        }


def is_performance(path: Path) -> bool:
    return path.name.startswith(("performance_", "costs_"))


def hashes(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def assert_files_tell_the_truth(company: Company, root: Path, days: int) -> Reader:
    reader = Reader()
    for day in range(1, days + 1):
        for path in company.write_day(day, root):
            if is_performance(path):
                reader.take(path)
        truth = company.truth(day)
        assert reader.spend() == truth.spend
        today = {(f.source, f.file, f.line): f.outcome for f in truth.fates}
        files = {(d.source, name) for d in truth.deliveries.values() for name in d.files}
        assert {k: v for k, v in reader.fates.items() if k[:2] in files} == today
        assert_controls(reader, company, day)
    return reader


def assert_controls(reader: Reader, company: Company, day: int) -> None:
    for (source, stream), delivery in company.truth(day).deliveries.items():
        assert sum(delivery.outcomes.values()) == delivery.extracted
        assert sum(delivery.cells.values()) == delivery.landed
        if stream != "performance_daily":
            continue
        records = reader.records[source, delivery.files[0]]
        landed = [r for r in records if isinstance(r, Read)]
        control = delivery.controls["spend_amount"]
        assert (len(records), len(landed)) == (delivery.extracted, delivery.landed)
        assert (
            control.total
            == sum(r.spend for r in landed if r.spend is not None)
            == sum(delivery.cell_spend_micro.values())
        )
        assert (control.valid, control.invalid) == (
            sum(r.spend is not None for r in landed),
            sum(r.spend is None for r in landed),
        )
        if source != "trade_shows":
            assert Counter((c.account_id, c.spend_date) for c in delivery.cells.elements()) == Counter(
                (r.account, r.day) for r in landed
            )


def test_files_read_again_by_hand_give_the_truth(tmp_path: Path) -> None:
    reader = assert_files_tell_the_truth(Company(), tmp_path, 15)
    assert set(reader.fates.values()) == {"rejected", "quarantined", "deduplicated"}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(0.05, 0.6),
    st.integers(1, 25),
    st.dates(dt.date(2024, 1, 1), dt.date(2027, 12, 31)),
)
def test_any_small_company_tells_the_truth(
    tmp_path_factory: pytest.TempPathFactory, seed: int, scale: float, history: int, start: dt.date
) -> None:
    assert_files_tell_the_truth(Company(seed, scale, start, history), tmp_path_factory.mktemp("drop"), 5)


def test_the_same_company_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        company = Company(seed=seed, scale=0.3)
        for day in (1, 2, 3):
            company.write_day(day, tmp_path / name)
    a, b, c = (hashes(tmp_path / name) for name in "abc")
    assert a == b
    assert all(a[name] != c[name] for name in a if name in c and is_performance(Path(name)) and "trade" not in name)


def test_writing_a_day_again_touches_nothing(tmp_path: Path) -> None:
    company = Company(scale=0.3)
    files = company.write_day(1, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in files}
    assert company.write_day(1, tmp_path) == files
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]


def test_later_days_alter_only_the_full_lists(tmp_path: Path) -> None:
    company = Company(scale=0.3)
    company.write_day(1, tmp_path)
    first = hashes(tmp_path)
    for day in range(2, 13):
        company.write_day(day, tmp_path)
    last = hashes(tmp_path)
    assert {name for name in first if last[name] != first[name]} == {
        f"{s}_ads/campaigns.csv" for s in ("search", "social", "video")
    }


def test_a_day_can_be_asked_for_without_the_days_before(tmp_path: Path) -> None:
    walked, jumped = Company(), Company()
    for day in range(1, 9):
        walked.write_day(day, tmp_path / "walked")
    jumped.write_day(8, tmp_path / "jumped")
    assert hashes(tmp_path / "jumped").items() <= hashes(tmp_path / "walked").items()
    assert jumped.truth(8).spend == walked.truth(8).spend


def test_everything_that_happens_to_spend_happens() -> None:
    company = Company()
    kinds = Counter(event.kind for day in range(2, 31) for event in company.truth(day).events)
    assert kinds.keys() == {"reported", "late", "restated", "withdrawn", "redelivered", "corrected"}
    assert any(spend < 0 for spend in company.truth(1).spend.values()), "no credit"
    changed = [e for day in range(2, 31) for e in company.truth(day).events if e.kind == "restated"]
    assert all(e.before != e.after for e in changed)
    assert max((e.delivered_on - e.spend_date).days for e in changed) > 14
    assert company.truth(2).spend.keys() - company.truth(30).spend.keys(), "no row vanished"


def test_what_was_known_is_not_rewritten() -> None:
    company = Company(scale=0.3)
    then = company.truth(3).spend
    later = company.truth(20)
    assert later.spend_as_known(3) == then
    assert any(later.spend.get(key) != spend for key, spend in then.items())


def test_planted_flaws_are_few() -> None:
    company = Company()
    flawed = sum(len(company.truth(day).fates) for day in range(1, 31))
    extracted = sum(
        d.extracted
        for day in range(1, 31)
        for d in company.truth(day).deliveries.values()
        if d.stream == "performance_daily"
    )
    assert 0 < flawed <= 0.003 * extracted
    assert len(company.truth(1).fates) <= 0.003 * sum(d.extracted for d in company.truth(1).deliveries.values())
    assert {kind for day in range(1, 31) for _, kind, *_ in company.simulation.flaws(day)} == set(FLAWS)


def test_a_weekend_carries_friday_and_the_late_rate_counts_once_it_is_known() -> None:
    company = Company()
    late = company.simulation.rates.late()
    day = (late.rate_date - company.start).days + 1
    key = next(k for k in company.truth(day).spend if k.spend_date == late.rate_date and k.currency == "USD")
    before, after = company.truth(day).converted[key], company.truth(day + 2).converted[key]
    assert before.is_carried and before.rate_date == late.rate_date - dt.timedelta(days=1)
    assert not after.is_carried and after.rate_nano == late.nano
    sunday = next(
        (k, c) for k, c in company.truth(1).converted.items() if k.currency == "GBP" and k.spend_date.weekday() == 6
    )
    assert sunday[1].rate_date == sunday[0].spend_date - dt.timedelta(days=2)


def test_rates_are_never_assumed_and_halves_round_away_from_zero() -> None:
    day = dt.date(2026, 3, 10)
    known = {("USD", day - dt.timedelta(days=7)): 918_500_000}
    assert convert(12_345_000, "USD", day, known) == Converted(
        11_338_883, 918_500_000, day - dt.timedelta(days=7), True
    )
    assert convert(-12_345_000, "USD", day, known).amount_micro == -11_338_883
    assert convert(1, "USD", day + dt.timedelta(days=1), known).amount_micro is None
    assert convert(1, "EUR", day, {}).amount_micro == 1
    assert [half_away(n, 2) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
    truth = Company().truth(1)
    ties = [k for k, c in truth.converted.items() if c.rate_nano and truth.spend[k] * c.rate_nano % 10**9 == 5 * 10**8]
    assert ties, "no amount falls on a half"


def test_channel_totals_are_the_sum_of_rounded_rows() -> None:
    truth = Company(scale=0.3).truth(5)
    assert sum(truth.by_channel_month.values()) == sum(c.amount_micro or 0 for c in truth.converted.values())
    assert {channel for channel, _ in truth.by_channel_month} == {
        "paid_search",
        "shopping",
        "paid_social",
        "display",
        "video",
        "event",
    }


def test_files_of_a_day_are_complete_next_morning() -> None:
    company = Company(start=dt.date(2026, 3, 28))
    assert company.as_of(1) == dt.datetime(2026, 3, 29, 6, tzinfo=dt.UTC)
    assert company.as_of(3) - company.as_of(1) == dt.timedelta(days=2)


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind not in FLAWS])
@pytest.mark.parametrize("source", ["search_ads", "social_ads", "video_ads"])
def test_a_faulty_file_differs_and_writing_the_day_again_mends_it(tmp_path: Path, kind: str, source: str) -> None:
    company = Company(scale=0.3)
    company.write_day(1, tmp_path)
    company.write_day(2, tmp_path)
    good = hashes(tmp_path)
    company.write_day(2, tmp_path, faults=[f"{kind}:{source}", "missing_fx"])
    bad = hashes(tmp_path)
    touched = {name for name in bad if bad[name] != good.get(name)} - {"fx/fx_20260401.csv"}
    assert touched == set() if kind == "missing_fx" else {name.split("/")[0] for name in touched} == {source}
    company.write_day(2, tmp_path)
    assert hashes(tmp_path).items() >= good.items()


@pytest.mark.parametrize("kind", sorted(FLAWS))
def test_a_flaw_on_demand_has_the_fate_that_the_truth_names(tmp_path: Path, kind: str) -> None:
    company, reader, faults = Company(scale=0.3), Reader(), [f"{kind}:social_ads", "undeclared_column:search_ads"]
    for day, planted in ((1, []), (2, faults)):
        for path in filter(is_performance, company.write_day(day, tmp_path, planted)):
            reader.take(path)
    truth = company.truth(2, faults)
    assert reader.spend() == truth.spend
    planted_fates = {(f.source, f.file, f.line): f.outcome for f in truth.fates}
    assert len(planted_fates) > len(company.truth(2).fates)
    assert planted_fates.items() <= reader.fates.items()


def test_rates_can_be_withheld_until_nothing_carries(tmp_path: Path) -> None:
    company = Company(scale=0.3)
    company.write_day(1, tmp_path, faults=["missing_fx"])
    last = max(
        line.split(",")[0] for line in (tmp_path / "fx/fx_20260331.csv").read_text().splitlines() if ",USD," in line
    )
    assert dt.date.fromisoformat(last) < company.start - dt.timedelta(days=7)


def test_impossible_wishes_are_refused(tmp_path: Path) -> None:
    company = Company(scale=0.3)
    for fault in ("nonsense", "ragged:video_ads", "half_rows:nobody", "half_rows:fx"):
        with pytest.raises(ValueError):
            company.write_day(1, tmp_path, faults=[fault])
    with pytest.raises(ValueError, match="day before"):
        company.truth(2, ["half_rows"])
    with pytest.raises(ValueError, match="numbered from 1"):
        company.as_of(0)


def header_of(path: Path, stream: Stream) -> list[str]:
    """The names of a file's columns, by the standard library and pyarrow."""
    if stream.format == "parquet":
        return pq.read_schema(path).names
    if stream.format == "ndjson":
        return list(json.loads(path.read_text().splitlines()[0]))
    if stream.format == "xlsx":
        sheet = load_workbook(path, read_only=True)[str(stream.sheet)]
        return [str(cell.value) for cell in next(sheet.iter_rows())]
    return path.read_bytes().decode(stream.dialect.encoding).splitlines()[0].split(stream.dialect.delimiter)


def test_pipeline_yml_declares_what_the_sandbox_writes(tmp_path: Path) -> None:
    Company(scale=0.2, business=True).write_day(1, tmp_path / "drop")
    sources = load_settings(PROJECT / "examples" / "sandbox_files" / "pipeline.yml", PROJECT / "dbt_project").sources
    for source in sources.values():
        for stream in source.streams.values():
            (path,) = (tmp_path / source.root).glob(stream.files)
            declared = {c.from_ for c in stream.columns.values() if c.from_} | set(stream.ignore)
            assert sorted(header_of(path, stream)) == sorted(declared), path.name
    written = {(p.parent.name, p.name) for p in (tmp_path / "drop").rglob("*.*")}
    declared = {
        (Path(s.root).name, p.name)
        for s in sources.values()
        for t in s.streams.values()
        for p in (tmp_path / s.root).glob(t.files)
    }
    assert written == declared
