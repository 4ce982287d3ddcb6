"""Two days of a company whose truth was kept before any file was written: what comes out is that truth, to the micro."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
import world
from conftest import Home
from published import SCALE, Published, published

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.events import Figures
from onefunnel.sandbox.files import CANARY
from onefunnel.sandbox.rates import Converted
from onefunnel.sandbox.truth import Cell, SpendKey

__all__ = ["published"]  # the fixture
MILLION, BILLION = 1_000_000, 1_000_000_000
# The sandbox plants what must not arrive and says why in words of its own; these are the pipeline's words for it.
REASONS = {
    "unreadable_value": r"{column}: not an? .+",
    "unknown_currency": r"{column}: not a currency code of ISO 4217",
    "missing_value": r"{column}: missing",
    "conflicting_key": r"conflicting_key",
    "identical": r"identical",
    "superseded": r"superseded",
    "unreadable_record": r"\d+ fields instead of \d+|broken quoting",
}


class Key(NamedTuple):
    """Where a record stands in the drop folder."""

    source: str
    stream: str
    file: str
    line: int


@dataclass(frozen=True)
class TwoDays:
    """The company, its installation after two whole runs, and what readers saw in between."""

    company: Company
    home: Home
    first: dict[str, world.Rows]

    @property
    def published(self) -> Path:
        return self.home.path / "published" / "revenue.duckdb"

    @property
    def warehouse(self) -> Path:
        return world.warehouse(self.home)


@pytest.fixture(scope="module")
def days(published: Published) -> TwoDays:
    return TwoDays(
        Company(scale=SCALE, business=True), published.home, {"spend": world.current_spend(published.version(1))}
    )


# -- marts -----------------------------------------------------------------------------------------------------------


def micro(value: Decimal | None) -> int | None:
    return None if value is None else int(value.scaleb(6).to_integral_exact())


def spend_known(database: Path, condition: str, *parameters: object) -> dict[SpendKey, tuple[Figures, Converted]]:
    """Spend per key with its figures and its conversion, from the mart, as integers."""
    rows = world.ask(
        database,
        "select source_system, ad_account_id, campaign_id, spend_date, currency, spend_amount, impressions, clicks,"
        " claimed_leads, claimed_conversions, claimed_value_amount, spend_amount_rc, fx_rate, fx_date, is_fx_carried"
        f" from marts.fct_ad_spend where {condition}",
        parameters,
    )
    found = {}
    for row in rows:
        key = SpendKey(*row[:5])
        assert key not in found, f"twice in the mart: {key}"
        spend, impressions, clicks, leads, conversions, value, spend_rc, rate, rate_date, is_carried = row[5:]
        found[key] = (
            Figures(
                int(spend.scaleb(6)),
                impressions,
                clicks,
                None if leads is None else int(leads),
                micro(conversions),
                micro(value),
            ),
            Converted(micro(spend_rc), int(rate.scaleb(9)), rate_date, is_carried),
        )
    return found


def as_delivered(key: SpendKey, figures: Figures) -> Figures:
    """The company's figures as far as the platform's files have columns for them; what a file cannot say is null."""
    if key.source == "trade_shows":
        return Figures(figures.spend_micro, None, None, figures.leads, None, None)  # type: ignore[arg-type]
    if key.source == "video_ads":
        return figures._replace(leads=None)
    return figures


def assert_is_the_truth(found: dict[SpendKey, tuple[Figures, Converted]], truth: Any) -> None:
    expected = {k: (as_delivered(k, f), truth.converted[k]) for k, f in truth.figures.items()}
    assert found.keys() == expected.keys()
    wrong = {k: (found[k], expected[k]) for k in expected if found[k] != expected[k]}
    assert not wrong, f"{len(wrong)} rows differ; one of them: {next(iter(wrong.items()))}"


def test_current_spend_and_its_conversion_are_the_truth_of_the_second_day(days: TwoDays) -> None:
    assert_is_the_truth(spend_known(days.published, "is_current"), days.company.truth(2))


def test_spend_as_it_was_known_on_the_first_day_is_the_truth_of_the_first_day(days: TwoDays) -> None:
    then = days.company.as_of(1).replace(tzinfo=None)
    known_then = spend_known(days.published, "known_from <= ? and ? < known_to", then, then)
    assert_is_the_truth(known_then, days.company.truth(1))
    assert days.company.truth(2).spend_as_known(1) == {k: f.spend_micro for k, (f, _) in known_then.items()}
    assert known_then != spend_known(days.published, "is_current")


def test_asking_the_second_day_for_the_first_gives_what_readers_saw_then(days: TwoDays) -> None:
    then = days.company.as_of(1).replace(tzinfo=None)
    again = world.ask(
        days.published,
        "select source_system, ad_account_id, campaign_id, spend_date, channel, currency, spend_amount, spend_amount_rc, fx_rate,"
        " impressions, clicks, claimed_leads, claimed_conversions, claimed_value_amount from marts.fct_ad_spend"
        " where known_from <= ? and ? < known_to order by all",
        [then, then],
    )
    assert again == days.first["spend"]


def test_spend_by_channel_and_month_is_the_truth(days: TwoDays) -> None:
    rows = world.ask(
        days.published,
        "select channels.channel, strftime(spend_date, '%Y-%m'), sum(spend_amount_rc) from marts.fct_ad_spend spend"
        " join marts.dim_channel channels using (channel_key) where is_current group by all",
    )
    assert {(channel, month): micro(amount) for channel, month, amount in rows} == days.company.truth(
        2
    ).by_channel_month


def test_campaigns_have_their_present_names(days: TwoDays) -> None:
    rows = world.ask(
        days.published,
        "select source_system, ad_account_id, campaign_id, campaign_name from marts.dim_campaign where is_current and is_described",
    )
    assert {(s, a, c): name for s, a, c, name in rows} == days.company.truth(2).campaign_names


# -- receipts --------------------------------------------------------------------------------------------------------


def day_of(text: str) -> dt.date:
    return dt.date(*reversed([int(p) for p in text.split(".")])) if "." in text else dt.date.fromisoformat(text)


def cell_of(row: dict[str, Any]) -> Cell:
    """A cell as the receipt's covers name it, in the company's words."""
    if "rate_date" in row:
        return Cell("", day_of(row["rate_date"]), row["base_currency"])
    if "campaign_id" in row:
        return Cell("", day_of(row["spend_date"]), row["campaign_id"])
    if "spend_date" in row:
        return Cell(row["ad_account_id"] or "", day_of(row["spend_date"]))
    return Cell("", dt.date.min)


@pytest.mark.parametrize("day", [1, 2])
def test_receipts_equal_the_companys_change_log(days: TwoDays, day: int) -> None:
    deliveries = days.company.truth(day).deliveries
    receipts = {k: r for k, r in world.receipts(days.home, f"day{day}").items() if k[0] in _DECLARED}
    assert receipts.keys() == deliveries.keys(), "only what changed has a load"
    for stream, delivery in deliveries.items():
        receipt = receipts[stream]
        assert [f["path"] for f in receipt["files"]] == list(delivery.files)
        assert receipt["rows"] == {
            "extracted": delivery.extracted,
            "landed": delivery.landed,
            "rejected": delivery.outcomes["rejected"],
        }
        covers = pq.read_table(
            days.home.path / "landing" / stream[0] / stream[1] / f"load={receipt['load_id']}" / "covers.parquet"
        )
        rows: Counter[Cell] = Counter()
        spend: Counter[Cell] = Counter()
        for row in covers.to_pylist():
            rows[cell_of(row)] += row["control_rows"]
            spend[cell_of(row)] += micro(row.get("control_spend_amount")) or 0
        assert rows == delivery.cells
        assert receipt["covers"]["cells"] == len(delivery.cells)
        assert {c: s for c, s in spend.items() if s} == {c: s for c, s in delivery.cell_spend_micro.items() if s}
        for column, control in delivery.controls.items():
            found = receipt["control"]["columns"][column]
            unit = {"rate": BILLION, "integer": 1}.get(found["type"], MILLION)
            assert (found["valid"], found["invalid"], found["null"], Decimal(found["sum"] or 0) * unit) == (
                control.valid,
                control.invalid,
                control.null,
                control.total,
            ), (stream, column)


def test_the_second_days_log_holds_every_kind_of_change(days: TwoDays) -> None:
    kinds = {event.kind for day in (1, 2) for event in days.company.truth(day).events}
    assert {"reported", "late", "restated", "withdrawn", "redelivered", "corrected"} <= kinds


def test_freshness_is_the_same_wherever_it_is_said(days: TwoDays) -> None:
    """A cost sheet with days between its shows is not late; file, command line and check agree on every source."""
    streams: dict[str, list[dict[str, Any]]] = {}
    for row in days.home.ok("sources", "--json"):
        if row["fresh within"] is not None:
            streams.setdefault(row["source"], []).append(row)
    published = days.home.query(
        "select distinct source_system, source_max_date::varchar, stale_since::varchar from metadata.dq_status"
        " where fresh_within_days is not null"
    )
    assert {source: tuple(rest) for source, *rest in published} == {
        source: (
            max(row["data until"] or "" for row in rows),
            min((row["late since"] for row in rows if row["late since"]), default=None),
        )
        for source, rows in streams.items()
    }
    assert streams.keys() > _DECLARED.keys()
    assert [row["stream"] for source in _DECLARED for row in streams[source] if row["late since"]] == []
    with world.installation(days.home) as here:
        [check] = [c for c in here.ledger.checks("day2") if c["check_id"] == "fct_ad_spend_every_source_is_fresh"]
    assert check["state"] == "passed"


# -- rows ------------------------------------------------------------------------------------------------------------

_DECLARED = {
    "search_ads": (
        "utf-8",
        ",",
        {"spend_date": "day", "ad_account_id": "account_id", "campaign_id": "campaign_id", "spend_amount": "cost"},
    ),
    "social_ads": (
        "latin-1",
        ";",
        {"spend_date": "Datum", "ad_account_id": "Konto", "campaign_id": "Kampagne-ID", "spend_amount": "Ausgaben"},
    ),
    "trade_shows": ("utf-8", ",", {"spend_date": "date", "campaign_id": "show_id", "spend_amount": "costs"}),
    "video_ads": (
        "utf-8",
        ",",
        {"spend_date": "day", "ad_account_id": "account", "campaign_id": "campaign_id", "spend_amount": "spend"},
    ),
    "fx": ("utf-8", ",", {"rate_date": "date", "base_currency": "base", "rate": "rate"}),
}
_LISTS = {
    "search_ads": {"campaign_id": "campaign_id", "ad_account_id": "account_id", "campaign_name": "campaign"},
    "social_ads": {"campaign_id": "Kampagne-ID", "ad_account_id": "Konto", "campaign_name": "Kampagne"},
    "video_ads": {"campaign_id": "campaign_id", "ad_account_id": "account_id", "campaign_name": "campaign"},
}


def stream_of(path: Path) -> str:
    name = path.name.split("_2")[0].split(".")[0]
    return {"performance": "performance_daily", "costs": "performance_daily", "fx": "fx_rates"}.get(name, name)


def input_rows(drop: Path) -> Iterator[tuple[Key, str, dict[str, str] | None]]:
    """Every record of every file by a reader of its own: key, raw text, and the declared columns where it can be read."""
    for path in sorted(p for source in _DECLARED for p in (drop / source).iterdir() if p.is_file()):
        source, stream = path.parent.name, stream_of(path)
        encoding, delimiter, columns = _DECLARED[source]
        if stream == "campaigns":
            columns = _LISTS[source]
        elif stream == "ad_accounts":
            columns = {}
        if path.suffix == ".parquet":
            for line, row in enumerate(pq.read_table(path).to_pylist(), start=1):
                yield (
                    Key(source, stream, path.name, line),
                    str(row),
                    {c: str(row[f]) if row[f] is not None else "" for c, f in columns.items()},
                )
            continue
        lines = path.read_bytes().decode(encoding).split("\n")
        assert lines.pop() == ""
        header = next(csv.reader([lines[0].rstrip("\r")], delimiter=delimiter))
        for line, text in enumerate(lines[1:], start=2):
            raw = text.rstrip("\r")
            try:
                values = next(csv.reader([raw], delimiter=delimiter, strict=True))
            except csv.Error:
                values = []
            row = dict(zip(header, values, strict=True)) if len(values) == len(header) else None
            yield Key(source, stream, path.name, line), raw, row and {c: row[f] for c, f in columns.items()}


@pytest.fixture(scope="module")
def given(days: TwoDays) -> dict[Key, tuple[str, dict[str, str] | None]]:
    return {key: (raw, row) for key, raw, row in input_rows(days.home.path / "drop")}


def landed(days: TwoDays, pattern: str) -> Iterator[Path]:
    """The landed files of the platforms."""
    for source in _DECLARED:
        yield from (days.home.path / "landing" / source).glob(pattern)


def outcomes(days: TwoDays) -> list[tuple[str, Key, str | None, str | None]]:
    """Every row that has an outcome: which, where it stood, why, and its original text where it was not loaded."""
    found: list[tuple[str, Key, str | None, str | None]] = []
    key = "source_system, stream, _file, _line"
    for contract in ("performance_daily", "campaigns", "ad_accounts", "fx_rates"):
        for outcome, sql in (
            ("accepted", f"select {key}, null, null from staging.stg_files__{contract}"),
            ("quarantined", f"select {key}, reject_reason, original_text from staging.stg_files__{contract}__rejected"),
            (
                "deduplicated",
                f"select {key}, _reason, null from staging.stg_files__{contract}__outcomes where _outcome = 'deduplicated'",
            ),
        ):
            found += [(outcome, Key(*r[:4]), r[4], r[5]) for r in world.ask(days.warehouse, sql)]
    for path in landed(days, "*/load=*/rejects.parquet"):
        for row in pq.read_table(path).to_pylist():
            found.append(
                (
                    "rejected",
                    Key(row["_source"], row["_stream"], row["_file"], row["_line"]),
                    row["reason"],
                    row["original_text"],
                )
            )
    return found


def test_every_input_row_has_exactly_one_outcome(
    days: TwoDays, given: dict[Key, tuple[str, dict[str, str] | None]]
) -> None:
    found = Counter(key for _, key, _, _ in outcomes(days))
    assert given.keys() - found.keys() == set(), "rows of the files that are nowhere"
    assert found.keys() - given.keys() == set(), "rows that no file has"
    assert {k: n for k, n in found.items() if n != 1} == {}, "rows with more than one outcome"
    assert len(given) > 4_000


def test_rows_that_did_not_arrive_are_those_that_were_planted_and_say_why(days: TwoDays) -> None:
    planted = {
        Key(f.source, f.stream, f.file, f.line): (f.outcome, REASONS[f.reason].format(column=f.column))
        for day in (1, 2)
        for f in days.company.truth(day).fates
    }
    found = {key: (outcome, str(reason)) for outcome, key, reason, _ in outcomes(days) if outcome != "accepted"}
    assert found.keys() == planted.keys()
    for key, (outcome, reason) in planted.items():
        assert found[key][0] == outcome, key
        assert re.fullmatch(reason, found[key][1]), (key, found[key])
    assert {outcome for outcome, _ in planted.values()} == {"quarantined", "deduplicated", "rejected"}


def test_rows_that_did_not_arrive_keep_their_original_text(
    days: TwoDays, given: dict[Key, tuple[str, dict[str, str] | None]]
) -> None:
    checked = Counter[str]()
    for outcome, key, _, text in outcomes(days):
        raw, row = given[key]
        if outcome == "rejected":
            assert text == raw, key
        elif outcome == "quarantined":
            assert row is not None and text is not None, key
            kept = json.loads(text)
            assert {c: kept[c] or "" for c in row} == row, key
        checked[outcome] += 1
    assert checked["rejected"] and checked["quarantined"]


def test_the_landing_holds_every_readable_row_as_the_source_wrote_it(
    days: TwoDays, given: dict[Key, tuple[str, dict[str, str] | None]]
) -> None:
    rows = 0
    for path in landed(days, "*/load=*/records.parquet"):
        for row in pq.read_table(path).to_pylist():
            _, original = given[Key(row["_source"], row["_stream"], row["_file"], row["_line"])]
            assert original is not None
            assert {c: row[c] or "" for c in original} == original
            rows += 1
    assert rows > 1_000


def test_the_row_ledger_balances_and_agrees_with_the_company(days: TwoDays) -> None:
    rows = world.ask(
        days.published,
        "select load_id, rows_extracted, rows_loaded, rows_deduplicated, rows_quarantined, rows_rejected, row_difference"
        " from metadata.row_ledger where list_contains(?, source_system)",
        [list(_DECLARED)],
    )
    found = {
        load_id: Counter(accepted=a, deduplicated=d, quarantined=q, rejected=r) for load_id, _, a, d, q, r, _ in rows
    }
    assert all(row[-1] == 0 and row[1] == sum(row[2:6]) for row in rows)
    for day in (1, 2):
        for stream, receipt in world.receipts(days.home, f"day{day}").items():
            if stream[0] not in _DECLARED:
                continue
            assert found.pop(receipt["load_id"]) == days.company.truth(day).deliveries[stream].outcomes, (day, stream)
    assert not found


# -- what readers get ------------------------------------------------------------------------------------------------


def test_no_person_is_in_the_published_file(days: TwoDays) -> None:
    personal = [
        t for p in days.home.path.glob("landing/*/*/*/personal.parquet") for t in pq.read_table(p)["_extra"].to_pylist()
    ]
    assert any(CANARY in text for text in personal if text), "the planted address must be where personal data is kept"
    assert world.text_columns_with(days.published, re.escape(CANARY)) == []
    assert world.text_columns_with(days.published, r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}") == []
    assert "metadata.run_info.company" in world.text_columns_with(days.published, "Sandbox"), (
        "the scan finds what is there"
    )
    site = (days.home.path / "published" / "site").resolve()
    assert all(CANARY not in p.read_text(encoding="utf-8") for p in site.rglob("*.html"))


def test_the_page_shows_the_companys_total(days: TwoDays) -> None:
    page = (days.home.path / "published" / "site" / "index.html").read_text(encoding="utf-8")
    total = Decimal(sum(days.company.truth(2).by_channel_month.values())).scaleb(-6)
    assert f"{total:,.0f}" in page
    assert "Audit passed" in page
