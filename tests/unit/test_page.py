"""The review page: right figures with their unit, date and query, and nothing in it that runs or calls home."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from onefunnel.report import queries
from onefunnel.report.page import channel_table, moment, money, month_range, render, text

MANIFEST = {
    "run_id": "run-1",
    "as_of": "2026-01-05 06:00:00",
    "published_at": "2026-01-05 06:04:11",
    "sha256": "ab" * 32,
    "verdict": "pass",
    "checks": {"declared": 65, "executed": 65, "passed": 65, "warned": 0, "failed": 0},
    "previous_run_id": None,
}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd",
    "x" * 500,
    'it\'s "quoted" & </svg><style>',
    "{{ 7 * 7 }}",
]

TABLES = """
create schema marts;
create schema metadata;
create table marts.dim_channel (channel_key varchar, channel varchar, channel_name varchar);
create table marts.fct_ad_spend (spend_date date, source_system varchar, channel varchar, channel_key varchar,
    spend_amount_rc decimal(18, 6), is_final boolean, is_current boolean);
create table metadata.run_info as select 'run-1' as run_id, timestamp '2026-01-05 06:00' as as_of, 'Sandbox GmbH' as company,
    'EUR' as reporting_currency, 'Europe/Berlin' as reporting_time_zone;
create table metadata.dq_status (mart varchar, source_system varchar, owner varchar, is_required boolean, source_max_date date,
    fresh_within_days integer, stale_since date, is_final_until date, is_never_delivered boolean);
create table metadata.reconciliation (source_system varchar, stream varchar, currency varchar, measure varchar, control_amount decimal(38, 6),
    fact_amount decimal(38, 6), held_amount decimal(38, 6), quarantined_amount decimal(38, 6), deduplicated_amount decimal(38, 6),
    repeated_by_level_amount decimal(38, 6), difference decimal(38, 6));
create table metadata.quarantine_summary (source_system varchar, stream varchar, reason varchar, quarantined_rows bigint,
    amount decimal(38, 6), currency varchar);
"""

USUAL = """
insert into marts.dim_channel values ('s', 'paid_search', 'Paid search');
insert into marts.fct_ad_spend values
    ('2025-11-01', 'search_ads', 'paid_search', 's', 1000, true, true),
    ('2025-12-01', 'search_ads', 'paid_search', 's', 1200.25, true, true),
    ('2025-12-31', 'social_ads', 'paid_social', 'none', 300.25, false, true),
    ('2025-12-31', 'social_ads', 'paid_social', 'none', 999, false, false),
    ('2026-01-01', 'search_ads', 'paid_search', 's', 7, false, true);
insert into metadata.dq_status values
    ('fct_ad_spend', 'search_ads', 'marketing', true, '2026-01-01', 4, null, '2025-12-05', false),
    ('fct_ad_spend', 'social_ads', 'marketing', true, '2025-12-31', 1, '2026-01-02', '2025-12-05', false),
    ('fct_ad_spend', 'lists', 'sales', true, null, null, null, null, false),
    ('fct_ad_spend', 'video_ads', 'marketing', false, null, null, null, null, true);
insert into metadata.reconciliation values
    ('search_ads', 'daily', 'EUR', 'spend_amount', 2210.25, 2207.25, 1, 2, 0, 0, 0),
    ('search_ads', 'daily', 'unknown', 'spend_amount', 7, 0, 0, 7, 0, 0, 0),
    ('social_ads', 'daily', 'USD', 'spend_amount', 300.250001, 300.25, 0, 0, 0, 0, 0.000001);
insert into metadata.quarantine_summary values ('search_ads', 'daily', 'missing_fx_rate', 1234, 1, 'CHF');
"""


class Page(HTMLParser):
    """What a browser would find: tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page_of(tmp_path: Path, sql: str = USUAL, **manifest: Any) -> tuple[Page, str]:
    tmp_path.mkdir(exist_ok=True, parents=True)
    database = tmp_path / "revenue.duckdb"
    with duckdb.connect(database) as db:
        db.execute(TABLES)
        db.execute(sql)
    before = database.read_bytes()
    html = render(database, MANIFEST | manifest, tmp_path / "site").read_text(encoding="utf-8")
    assert database.read_bytes() == before
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["index.html"]
    assert_inert(html)
    return Page(html), html


def assert_inert(html: str) -> None:
    """No script, handler, frame, form, link or address: the page opens from a disk and calls nobody."""
    page = Page(html)
    for tag, attributes in page.tags:
        assert tag not in {
            "script",
            "iframe",
            "object",
            "embed",
            "form",
            "link",
            "base",
            "img",
            "foreignobject",
            "use",
            "image",
        }
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in {"href", "src", "xlink:href", "srcdoc", "action"}, (tag, name)
            assert "javascript:" not in (value or "") or tag == "path", (tag, name)
            assert "url(" not in (value or "").replace(" ", "") or name == "clip-path", (tag, name)
    policies = [a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "url(" not in html.split("</style>")[0] and "@import" not in html


def test_headlines_carry_unit_date_and_query(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path)
    assert "Sandbox GmbH" in page.text and "As of 5 Jan 2026, 07:00 (Europe/Berlin)" in page.text
    assert (
        "Ad spend, December 2025 1,500 EUR +50.0 % against the month before. Days of it may still change." in page.text
    )
    assert "Ad spend, all days 2,508 EUR 1 Nov 2025 to 1 Jan 2026, 2 sources, 2 channels." in page.text
    assert "Of which may still change 307 EUR" in page.text
    for query in queries.ALL[1:]:
        assert f"Query {query.id} , as of 5 Jan 2026" in page.text
        assert " ".join(query.sql.split()) in page.text


def test_a_month_is_not_compared_with_half_a_month(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, USUAL.replace("2025-11-01", "2025-11-02"))
    assert "Ad spend, December 2025 1,500 EUR Days of it may still change." in page.text


def test_the_audit_is_stated(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path)
    assert "Audit passed 65 of 65 checks ran, 65 passed, 0 warned." in page.text
    assert "Published 5 Jan 2026, 07:04 (Europe/Berlin)." in page.text and "Run run-1" in page.text


def test_warnings_and_a_failed_audit_are_shown(tmp_path: Path) -> None:
    warning = {
        "check_id": "row_ledger_is_quiet",
        "because": "A missing row is missing money.",
        "observed": "3 violations",
    }
    warned, _ = page_of(tmp_path / "a", checks=MANIFEST["checks"] | {"passed": 64, "warned": 1}, warned=[warning])
    assert "Audit passed, 1 warning" in warned.text
    assert "To keep in mind today A missing row is missing money. row_ledger_is_quiet: 3 violations" in warned.text
    failed, _ = page_of(tmp_path / "b", verdict="fail")
    assert "Do not use these figures." in failed.text and "Audit: fail" in failed.text
    unknown, _ = page_of(tmp_path / "c", verdict=None, checks=None)
    assert "Audit: not audited" in unknown.text


def test_the_table_holds_the_numbers_of_the_chart(tmp_path: Path) -> None:
    page, html = page_of(tmp_path)
    assert (
        "Month Paid search paid_social Total, EUR Jan 2026, so far 7 – 7 Dec 2025 1,200 300 1,500 Nov 2025 1,000 – 1,000"
        in page.text
    )
    assert "Total 2,207 300 2,508" in page.text
    assert html.count("<svg") == 1 and "Nov 2025" in html.split("<svg")[1].split("</svg>")[0]


def test_health_is_shown_per_source(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path)
    assert "search_ads up to date 1 Jan 2026 4 4 5 Dec 2025 marketing" in page.text
    assert "social_ads late since 2 Jan 2026 31 Dec 2025 5 1" in page.text
    assert "lists delivered, without days – – – – sales" in page.text
    assert "video_ads never delivered – – –" in page.text
    assert "search_ads daily EUR 2,210.25 2,207.25 1.00 2.00 0.00 0.00" in page.text
    assert "search_ads daily unknown 7.00 0.00 0.00 7.00 0.00 0.00" in page.text
    assert "social_ads daily USD 300.25 300.25 0.00 0.00 0.00 0.000001" in page.text
    assert "2,217.25" not in page.text, "amounts of two currencies are not added"
    assert "search_ads daily missing fx rate 1,234 1.00 CHF" in page.text


def test_an_empty_warehouse_has_a_page(tmp_path: Path) -> None:
    page, html = page_of(tmp_path, "select 1")
    assert "No spend is recorded for the last full month." in page.text and "No spend has arrived yet." in page.text
    assert "There is no spend to show yet." in page.text and "<svg" not in html
    assert "Nothing: every row that arrived is in the reports." in page.text


def test_without_run_info_the_page_still_renders(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, "delete from metadata.run_info")
    assert "As of –" in page.text


def test_one_channel_and_forty(tmp_path: Path) -> None:
    one, _ = page_of(
        tmp_path / "one", "insert into marts.fct_ad_spend values ('2025-12-01', 's', 'only', 'k', 5, true, true)"
    )
    assert "1 source, 1 channel." in one.text and "Dec 2025 5 5" in one.text
    forty, html = page_of(
        tmp_path / "forty",
        "insert into marts.fct_ad_spend select date '2025-12-01', 's', 'channel ' || i, 'k', 100 - i, true, true from range(40) t(i)",
    )
    assert "33 other channels" in forty.text and "33 smaller channels are shown as one." in forty.text
    assert "channel 39" not in forty.text and len(html) < 400_000
    assert "3,220" in forty.text


def test_negative_and_missing_amounts(tmp_path: Path) -> None:
    page, html = page_of(
        tmp_path,
        "insert into marts.fct_ad_spend values ('2025-12-01', 's', 'refunds', 'k', -50, true, true),"
        " ('2025-12-01', 's', null, null, null, true, true), ('2025-11-01', 's', 'search', 'k', 0, true, true)",
    )
    assert "Ad spend, December 2025 −50 EUR" in page.text and "against the month before" not in page.text
    assert "NaN" not in html and "Infinity" not in html and "-0 " not in page.text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(tmp_path: Path, name: str) -> None:
    quoted = name.replace("'", "''")
    page, html = page_of(
        tmp_path,
        f"""update metadata.run_info set company = '{quoted}', reporting_time_zone = '{quoted}';
        insert into marts.dim_channel values ('k', 'c', '{quoted}');
        insert into marts.fct_ad_spend values ('2025-12-01', '{quoted}', 'c', 'k', 5, true, true);
        insert into metadata.dq_status values ('fct_ad_spend', '{quoted}', '{quoted}', true, null, null, null, null, true);
        insert into metadata.reconciliation values ('{quoted}', '{quoted}', '{quoted}', 'spend_amount', 1, 1, 0, 0, 0, 0, 0);
        insert into metadata.quarantine_summary values ('{quoted}', '{quoted}', '{quoted}', 1, 1, '{quoted}');""",
        run_id=name,
        warned=[{"check_id": name, "because": name, "observed": name}],
        verdict=name,
        published_at=name,
    )
    assert page.text.count(text(name)) >= 8
    assert "\u202e" not in html and "x" * 301 not in html and "49" not in page.text.split("Run ")[-1]


def test_a_long_history_is_cut_and_says_so(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        "insert into marts.fct_ad_spend select d::date, 's', 'c', 'k', 1, true, true"
        " from range(date '2020-01-15', date '2026-01-02', interval 1 month) t(d)",
    )
    assert "59 earlier months are not shown." in page.text


def test_figures_too_long_for_a_column_are_in_thousands(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path, "insert into marts.fct_ad_spend values ('2025-12-01', 's', 'only', 'k', 1234567890, true, true)"
    )
    assert "Month only Total, thousand EUR Dec 2025 1,234,568 1,234,568 Total 1,234,568 1,234,568" in page.text
    assert "Ad spend, all days 1,234,567,890 EUR" in page.text


def test_months_without_spend_are_on_the_axis() -> None:
    rows = [
        {"month_start_date": dt.date(2025, 10, 1), "channel_name": "a", "spend_amount_rc": Decimal(1)},
        {"month_start_date": dt.date(2025, 12, 1), "channel_name": "a", "spend_amount_rc": Decimal(2)},
    ]
    table = channel_table(rows, "EUR", None)
    assert table is not None
    assert [row[0] for row in table.rows] == ["Dec 2025", "Nov 2025", "Oct 2025"]
    assert table.rows[1][1] == [None]


def test_numbers_and_times_are_written_for_people() -> None:
    assert [money(v) for v in (None, Decimal("-0.2"), Decimal("1234567.5"), Decimal(-5))] == [
        "–",
        "0",
        "1,234,568",
        "−5",
    ]
    assert moment("2026-07-01T12:00:00Z", "Europe/Berlin") == "1 Jul 2026, 14:00 (Europe/Berlin)"
    assert moment("2026-07-01 12:00:00.5", "No/Where") == "1 Jul 2026, 12:00 (UTC)"
    assert moment("not a time", None) == "not a time"
    assert month_range(dt.date(2025, 11, 30), dt.date(2026, 1, 1)) == [
        dt.date(2025, 11, 1),
        dt.date(2025, 12, 1),
        dt.date(2026, 1, 1),
    ]
