"""What a connector fetched becomes a delivery of the cells that changed, and of nothing else."""

import datetime as dt
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onefunnel.errors import StepFailed
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.inbox import RECORDS, Inbox, Records, fetched
from onefunnel.sources.pages import Field

CELL = {"ad_account_id": "account", "spend_date": "day"}
FIELDS = [Field("account"), Field("day"), Field("cost")]
NO_TOTALS = TOTALS.empty_table()
Row = tuple[str, str, str]


def asked(known: pa.Table | None = None, day: int = 2, **more: object) -> Asked:
    last = None if known is None else dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    given = {"last": last, "before": {}, "since": dt.date(2026, 1, 1), "accounts": (), "dates": None, "known": known}
    return Asked("ads", "performance_daily", "ads", dt.datetime(2026, 1, day, tzinfo=dt.UTC), **{**given, **more})


def cells(*names: tuple[str, str]) -> pa.Table:
    columns = list(zip(*names, strict=True)) or [(), ()]
    return pa.table({n: pa.array(c, pa.string()) for n, c in zip(CELL, columns, strict=True)})


def deliver(root: Path, ask: Asked, rows: list[Row], covered: pa.Table | None) -> tuple[list[Row], pa.Table | None]:
    """The delivered records and cells; no cells where nothing was delivered."""
    inbox = Inbox(root, ask, CELL)
    page = inbox.pages / "0.json"
    page.write_text(json.dumps({"rows": [dict(zip(("account", "day", "cost"), row, strict=True)) for row in rows]}))
    count = inbox.deliver(
        {"records": Records([page], FIELDS, "$.rows[*]")}, covered=covered, totals=NO_TOTALS, about={"requests": 1}
    )
    files = list(inbox.folder.glob(f"*{RECORDS}"))
    if not files:
        assert count == 0
        return [], None
    beside = fetched(files[0])
    assert beside is not None and beside.about["records_fetched"] == len(rows)
    found = [tuple(row.values()) for row in pq.read_table(files[0]).to_pylist()]
    assert len(found) == count
    return found, beside.cells


def test_only_cells_that_changed_are_delivered_and_emptied_ones_are_named(tmp_path: Path):
    days = [("a", "2026-01-01"), ("a", "2026-01-02"), ("b", "2026-01-01")]
    first: list[Row] = [("a", "2026-01-01", "1.50"), ("a", "2026-01-01", "2.00"), ("b", "2026-01-01", "7")]
    found, known = deliver(tmp_path, asked(), first, cells(*days))
    assert sorted(found) == sorted(first)
    assert known is not None and known.num_rows == 2, "a day without a record that never had one is no news"

    random.Random(1).shuffle(first)
    assert deliver(tmp_path, asked(known), first, cells(*days)) == ([], None)

    second: list[Row] = [("a", "2026-01-01", "1.50"), ("a", "2026-01-01", "2.01")]
    found, changed = deliver(tmp_path, asked(known), second, cells(*days))
    assert sorted(found) == second
    assert changed is not None
    assert {(r["ad_account_id"], r["spend_date"], r["content_hash"] == "") for r in changed.to_pylist()} == {
        ("a", "2026-01-01", False),
        ("b", "2026-01-01", True),
    }


def test_a_cell_that_was_not_asked_for_is_not_emptied(tmp_path: Path):
    _, known = deliver(tmp_path, asked(), [("a", "2026-01-01", "1"), ("b", "2026-01-01", "2")], None)
    assert deliver(tmp_path, asked(known), [("a", "2026-01-01", "1")], cells(("a", "2026-01-01"))) == ([], None)


def test_an_account_that_is_asked_again_after_it_was_emptied_is_no_news(tmp_path: Path):
    empty = pa.table({"ad_account_id": ["b"], "spend_date": ["2026-01-01"], "content_hash": [""]})
    assert deliver(tmp_path, asked(empty), [], cells(("b", "2026-01-01"))) == ([], None)


def test_a_value_that_cannot_be_what_it_is_ends_in_words_that_do_not_tell_it(tmp_path: Path):
    inbox = Inbox(tmp_path, asked(), CELL)
    page = inbox.pages / "0.json"
    page.write_text('{"rows": [{"account": "a", "day": "2026-01-01", "cost": "anna@example.com"}]}')
    with pytest.raises(StepFailed, match="A record holds what it cannot: Conversion Error") as caught:
        inbox.deliver(
            {"records": Records([page], FIELDS, "$.rows[*]")},
            covered=None,
            totals=NO_TOTALS,
            about={},
            select="select account, day, cost::decimal(18, 2)::varchar as cost from records",
        )
    assert "anna" not in str(caught.value) and "stream performance_daily" in str(caught.value)


def test_what_an_earlier_fetch_left_is_gone(tmp_path: Path):
    deliver(tmp_path, asked(), [("a", "2026-01-01", "1")], None)
    deliver(tmp_path, asked(day=3), [("a", "2026-01-01", "2")], None)
    assert [p.name for p in sorted((tmp_path / "performance_daily").iterdir()) if p.name.endswith(RECORDS)] == [
        f"20260103T000000Z{RECORDS}"
    ]


def test_the_window_reads_what_may_be_corrected_and_what_a_pause_left_out():
    def window(last: tuple[int, int, int] | None, today: tuple[int, int, int], **more: object) -> tuple[str, str]:
        ask = asked(last=dt.datetime(*last, tzinfo=dt.UTC) if last else None, **{"since": dt.date(2025, 1, 1), **more})
        ask = Asked(**{**ask.__dict__, "as_of": dt.datetime(*today, tzinfo=dt.UTC)})
        return tuple(day.isoformat() for day in ask.window(30, 90, 145))  # type: ignore[return-value]

    assert window(None, (2026, 3, 31)) == ("2025-01-01", "2026-03-31"), "the first fetch reads everything"
    assert window((2026, 3, 30), (2026, 3, 31)) == ("2026-02-28", "2026-03-31"), "the day before, and its 30"
    assert window((2026, 3, 22), (2026, 3, 23)) == ("2025-12-23", "2026-03-23"), "a new week: 90"
    assert window((2026, 3, 31), (2026, 4, 1)) == ("2025-11-07", "2026-04-01"), "a new month: 145"
    assert window((2025, 6, 1), (2026, 3, 31)) == ("2025-05-02", "2026-03-31"), "ten months of silence"
    assert window((2026, 3, 30), (2026, 3, 31), since=dt.date(2026, 3, 20)) == ("2026-03-20", "2026-03-31")
    backfill = (dt.date(2024, 12, 1), dt.date(2025, 2, 1))
    assert window((2026, 3, 30), (2026, 3, 31), dates=backfill) == ("2025-01-01", "2025-02-01")


def test_a_record_with_an_empty_part_of_its_key_is_delivered_and_then_known(tmp_path: Path):
    rows = [("a", "2026-01-01", "1"), ("a", None, "2")]
    _, known = deliver(tmp_path, asked(), [rows[0]], None)
    found, beside = deliver(tmp_path, asked(known), rows, None)
    assert found == [rows[1]] and beside is not None
    known = pa.concat_tables([known, beside], promote_options="default")
    assert deliver(tmp_path, asked(known), rows, None) == ([], None), "it is no news for ever"
