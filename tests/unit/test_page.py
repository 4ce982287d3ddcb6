"""The review page: right figures with their unit, date and query, and nothing in it that runs or calls home."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import pytest

from onefunnel.report import queries
from onefunnel.report.page import render
from onefunnel.report.sections import month_range
from onefunnel.report.written import deadline, moment, money, months, percent, signed, text

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
create table metadata.run_info as select 'run-1' as run_id, null::varchar as previous_run_id, null::timestamp as previous_as_of,
    timestamp '2026-01-05 06:00' as as_of, 'Sandbox GmbH' as company, 'EUR' as reporting_currency,
    'Europe/Berlin' as reporting_time_zone;
create table metadata.dq_status (mart varchar, source_system varchar, owner varchar, is_required boolean, source_max_date date,
    fresh_within_days integer, stale_since date, is_final_until date, is_never_delivered boolean);
create table metadata.reconciliation (source_system varchar, stream varchar, currency varchar, measure varchar, control_amount decimal(38, 6),
    fact_amount decimal(38, 6), held_amount decimal(38, 6), quarantined_amount decimal(38, 6), deduplicated_amount decimal(38, 6),
    repeated_by_level_amount decimal(38, 6), difference decimal(38, 6));
create table metadata.quarantine_summary (source_system varchar, stream varchar, reason varchar, quarantined_rows bigint,
    amount decimal(38, 6), currency varchar);
create table marts.dim_funnel_step (funnel_step_key varchar, step_order integer, step varchar, step_name varchar, entry_rule varchar,
    accountable_team varchar, responsible_role varchar, sla_business_minutes integer, expires_after_days integer,
    agreed_by_role varchar, agreed_on date, is_current boolean);
create table marts.rpt_funnel (cohort_step varchar, entry_step varchar, cohort_month date, step varchar, reached_journeys bigint,
    next_journeys bigint, open_journeys bigint);
create table marts.rpt_funnel_activity (activity_month date, step varchar, accepted_handoffs bigint, decided_handoffs bigint,
    sla_met_handoffs bigint, sla_due_handoffs bigint);
create table marts.fct_credit (conversion_type varchar, model varchar, path_unit varchar, lookback_days integer, is_primary_model boolean);
create table marts.rpt_unit_economics (month_start_date date, channel varchar, spend_amount_rc decimal(18, 6),
    credited_leads decimal(18, 6), credited_deals decimal(18, 6), credited_amount_rc decimal(18, 6));
create table marts.dim_territory (territory_key varchar, territory_name varchar);
create table marts.rpt_plan (period_type varchar, period_start date, period_end date, is_complete_period boolean, owner_type varchar,
    territory_key varchar, plan_sales_amount_rc decimal(18, 6), plan_marketing_amount_rc decimal(18, 6),
    agreed_amount_rc decimal(18, 6), target_amount_rc decimal(18, 6), quota_amount_rc decimal(18, 6), actual_amount_rc decimal(18, 6),
    attainment_numerator_rc decimal(18, 6), attainment_denominator_rc decimal(18, 6), attainment double, pace double,
    alignment_gap_amount_rc decimal(18, 6), alignment_gap_rate double, is_unsigned boolean, assigned_quota_amount_rc decimal(18, 6));
create table marts.fct_revenue (booked_date date, booked_amount_rc decimal(18, 6), is_booking boolean);
create table marts.fct_restatement (metric varchar, amount_date date, cause varchar, change_amount_rc decimal(18, 6));
"""

SPEND = "marts.fct_ad_spend (spend_date, source_system, channel, channel_key, spend_amount_rc, is_final, is_current)"

# Leads of four quarters, two teams that plan apart, and deals that nobody can be credited with.
COMPANY = """
insert into marts.dim_channel values ('s', 'paid_search', 'Paid search');
insert into marts.dim_funnel_step values
    ('l', 10, 'lead', 'Lead', 'Somebody is known', 'marketing', 'Demand manager', null, null, 'Head of marketing', '2024-03-15', true),
    ('m', 20, 'mql', 'Qualified', 'It is scored', 'marketing', 'Operations', 240, 30, 'Head of sales', '2024-03-15', true),
    ('s', 30, 'sal', 'Accepted', 'A rep takes it', 'sales', 'Development', null, null, 'Head of sales', '2024-03-15', true),
    ('-1', 0, 'unknown', 'Unknown', 'unknown', 'unknown', 'unknown', null, null, 'unknown', null, true);
insert into marts.rpt_funnel values
    ('lead', 'lead', '2025-12-01', 'lead', 40, 20, 5), ('lead', 'lead', '2025-10-01', 'lead', 60, 30, 1),
    ('lead', 'lead', '2025-09-01', 'lead', 50, 10, 0), ('lead', 'lead', '2026-01-01', 'lead', 900, 900, 0),
    ('lead', 'lead', '2025-12-01', 'mql', 777, 777, 0),
    ('mql', 'lead', '2025-12-01', 'mql', 20, 5, 3), ('mql', 'mql', '2025-12-01', 'mql', 9, 4, 0),
    ('sal', 'lead', '2025-12-01', 'sal', 9, null, 0);
insert into marts.rpt_funnel_activity values
    ('2025-12-01', 'mql', 10, 40, 3, 20), ('2025-08-01', 'mql', 5, 10, 5, 5), ('2026-01-01', 'mql', 99, 99, 99, 99);
insert into marts.fct_credit values ('lead', 'linear', 'person', 90, true), ('won', 'linear', 'account', 180, true), ('won', 'first', 'account', 180, false);
insert into marts.rpt_unit_economics values
    ('2025-12-01', 'paid_search', 1000, 40.5, 2.5, 5000), ('2025-12-01', 'email', 0, 4, 1, 700),
    ('2025-12-01', 'credit_note', -50, 0, 0, 0), ('2025-06-01', 'unattributed', 0, 9, 3, 9000),
    ('2026-01-01', 'paid_search', 77777, 0, 0, 0), ('2024-12-01', 'paid_search', 66666, 0, 0, 0);
insert into marts.dim_territory values ('n', 'North'), ('-1', 'unknown');
insert into marts.rpt_plan values
    ('month', '2025-12-01', '2026-01-01', true, 'company', '-1', null, null, null, 500, null, 250, 250, 500, 0.5, 0.5, null, null, false, null),
    ('month', '2025-11-01', '2025-12-01', true, 'company', '-1', null, null, null, null, null, -80, null, null, null, null, null, null, false, 90),
    ('month', '2026-01-01', '2026-02-01', false, 'company', '-1', null, null, null, null, 400, 40, 40, 400, 0.1, 0.8, null, null, false, null),
    ('month', '2026-02-01', '2026-03-01', false, 'company', '-1', null, null, null, 333, null, 0, 0, 333, 0, null, null, null, false, null),
    ('quarter', '2025-10-01', '2026-01-01', true, 'company', '-1', null, null, null, 1500, null, 600, 600, 1500, 0.4, 0.4, null, null, false, null),
    ('quarter', '2025-10-01', '2026-01-01', true, 'territory', 'n', 90, 110, 100, 120, null, 60, 60, 120, 0.5, 0.5, -20, -0.2, false, null),
    ('quarter', '2026-01-01', '2026-04-01', false, 'territory', 'n', 130, 110, null, 0, null, 5, 5, 0, null, null, 20, 0.1666, true, null),
    ('quarter', '2026-01-01', '2026-04-01', false, 'territory', '-1', 10, null, null, null, null, 0, null, null, null, null, null, null, false, 70);
"""

USUAL = """
insert into marts.dim_channel values ('s', 'paid_search', 'Paid search');
insert into SPEND values
    ('2025-11-01', 'search_ads', 'paid_search', 's', 1000, true, true),
    ('2025-12-01', 'search_ads', 'paid_search', 's', 1200.25, true, true),
    ('2025-12-31', 'social_ads', 'paid_social', 'none', 300.25, false, true),
    ('2025-12-31', 'social_ads', 'paid_social', 'none', 999, false, false),
    ('2026-01-01', 'search_ads', 'paid_search', 's', 7, false, true);
insert into metadata.dq_status values
    ('fct_ad_spend', 'search_ads', 'marketing', true, '2026-01-01', 4, null, '2025-12-05', false),
    ('fct_ad_spend', 'social_ads', 'marketing', true, '2025-12-31', 1, '2026-01-02', '2025-12-05', false),
    ('fct_ad_spend', 'lists', 'sales', true, null, null, null, null, false),
    ('fct_ad_spend', 'video_ads', 'marketing', false, null, null, null, null, true),
    ('fct_touch', 'web', 'marketing', true, '2026-01-04', 3, null, null, false),
    ('fct_touch', 'mailing', 'marketing', false, '2025-12-20', 3, '2025-12-24', null, false),
    ('fct_credit', 'mailing', 'marketing', false, '2025-12-20', 3, '2025-12-24', null, false);
insert into metadata.reconciliation values
    ('search_ads', 'daily', 'EUR', 'spend_amount', 2210.25, 2207.25, 1, 2, 0, 0, 0),
    ('search_ads', 'daily', 'unknown', 'spend_amount', 7, 0, 0, 7, 0, 0, 0),
    ('social_ads', 'daily', 'USD', 'spend_amount', 300.250001, 300.25, 0, 0, 0, 0, 0.000001),
    ('finance', 'events', 'EUR', 'booked_amount', 50, 50, 0, 0, 0, 0, 0);
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
        db.execute(sql.replace("into SPEND", f"into {SPEND}"))
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
    assert "Ad spend search_ads daily EUR 2,210.25 2,207.25 1.00 2.00 0.00 0.00" in page.text
    assert "Ad spend search_ads daily unknown 7.00 0.00 0.00 7.00 0.00 0.00" in page.text
    assert "Ad spend social_ads daily USD 300.25 300.25 0.00 0.00 0.00 0.000001" in page.text
    assert "Bookings finance events EUR 50.00 50.00 0.00 0.00 0.00 0.00" in page.text
    assert "2,217.25" not in page.text, "amounts of two currencies are not added"
    assert "search_ads daily missing fx rate 1,234 1.00 CHF" in page.text
    assert "web up to date 4 Jan 2026 1 3 – marketing" in page.text, "not the sources of spend alone"
    assert page.text.count("mailing late since 24 Dec 2025 20 Dec 2025 16 3") == 1, "once, however many tables it feeds"


def test_what_is_late_is_said_at_the_top(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path)
    top = page.text.split("At a glance")[0].split("The agreed funnel")[0]
    assert (
        "To keep in mind today mailing is late since 24 Dec 2025: what it has not delivered is missing from the reports."
        " feeds fct_credit, fct_touch" in top
    )
    assert "video_ads has never delivered: what it has not delivered" in top and "search_ads is" not in top
    well, _ = page_of(tmp_path / "well", "select 1")
    assert "To keep in mind today" not in well.text


def test_a_long_quarantine_is_cut_and_says_so(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        "insert into metadata.quarantine_summary select 's', 't', 'reason ' || i, 100 - i, null, null from range(17) t(i)",
    )
    assert "reason 14 86" in page.text and "reason 15" not in page.text
    assert "2 smaller groups are not shown; the query below lists them." in page.text


def test_an_empty_warehouse_has_a_page(tmp_path: Path) -> None:
    page, html = page_of(tmp_path, "select 1")
    assert (
        "Ad spend, " not in page.text
        and "There is no ad spend yet: no source delivers it." in page.text
        and "<svg" not in html
    )
    assert "No money has been delivered yet." in page.text
    assert "Nothing: every row that arrived is in the reports." in page.text


def test_without_run_info_the_page_still_renders(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, "delete from metadata.run_info")
    assert "As of –" in page.text


def test_one_channel_and_forty(tmp_path: Path) -> None:
    one, _ = page_of(tmp_path / "one", "insert into SPEND values ('2025-12-01', 's', 'only', 'k', 5, true, true)")
    assert "1 source, 1 channel." in one.text and "Dec 2025 5 5" in one.text
    forty, html = page_of(
        tmp_path / "forty",
        "insert into SPEND select date '2025-12-01', 's', 'channel ' || i, 'k', 100 - i, true, true from range(40) t(i)",
    )
    assert "33 other channels" in forty.text and "33 smaller channels are shown as one." in forty.text
    assert "channel 39" not in forty.text and len(html) < 400_000
    assert "3,220" in forty.text


def test_negative_and_missing_amounts(tmp_path: Path) -> None:
    page, html = page_of(
        tmp_path,
        "insert into SPEND values ('2025-12-01', 's', 'refunds', 'k', -50, true, true),"
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
        insert into SPEND values ('2025-12-01', '{quoted}', 'c', 'k', 5, true, true);
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
        "insert into SPEND select d::date, 's', 'c', 'k', 1, true, true"
        " from range(date '2020-01-15', date '2026-01-02', interval 1 month) t(d)",
    )
    assert "59 earlier months are not shown." in page.text


def test_figures_too_long_for_a_column_are_in_thousands(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, "insert into SPEND values ('2025-12-01', 's', 'only', 'k', 1234567890, true, true)")
    assert "Month only Total, thousand EUR Dec 2025 1,234,568 1,234,568 Total 1,234,568 1,234,568" in page.text
    assert "Ad spend, all days 1,234,567,890 EUR" in page.text


def test_months_without_spend_are_on_the_axis(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        "insert into SPEND values ('2025-10-01', 's', 'a', 'k', 1, true, true), ('2025-12-01', 's', 'a', 'k', 2, true, true)",
    )
    assert "Dec 2025 2 2 Nov 2025 – 0 Oct 2025 1 1 Total 3 3" in page.text


# -- the company ------------------------------------------------------------------------------------------------------


class Regions(HTMLParser):
    """The cards and panels of the page, each with what it holds."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[dict[str, Any]] = []
        self.open: list[tuple[str, dict[str, Any] | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kinds = (dict(attrs).get("class") or "").split()
        region = {"figures": 0, "shown": 0, "text": "", "after": ""} if {"card", "panel"} & set(kinds) else None
        if region is not None:
            self.found.append(region)
        inside = next((r for _, r in reversed(self.open) if r is not None), None) if region is None else None
        if inside is not None and (tag in ("table", "svg") or "figure" in kinds):
            inside["shown"] += 1
            inside["after"] = ""
        if tag not in ("meta", "br"):  # these are never closed
            self.open.append((tag, region))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, region in self.open:
            if region is not None:
                region["text"] += data
                region["after"] += data


def test_nothing_is_shown_without_its_definition_query_owner_and_date(tmp_path: Path) -> None:
    """In every card and panel the last figure, table or chart is followed by how it is computed."""
    _, html = page_of(
        tmp_path,
        USUAL
        + COMPANY.split(";", 1)[1]
        + BEFORE
        + "insert into marts.fct_restatement values ('spend', '2026-01-01', 'late', 1)",
    )
    regions = [r for r in Regions(html).found if r["shown"]]
    assert len(regions) >= 12
    definitions = {query.definition for query in queries.ALL}
    for region in regions:
        after = " ".join(region["after"].split())
        assert "How this is computed" in after, after[:200]
        assert "as of 5 Jan 2026, 07:00 (Europe/Berlin). Owner: " in after
        assert any(definition in after for definition in definitions)
        assert (
            "EUR" in region["text"]
            or "of 40" in region["text"]
            or "Data until" in region["text"]
            or "own currency" in region["text"]
        )


def test_every_figure_has_its_query_owner_and_date(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, USUAL + COMPANY.split(";", 1)[1])
    shown = [q for q in queries.ALL if q.id not in ("run", "changes_since_the_version_before")]
    for query in shown:
        assert f"Query {query.id} , as of 5 Jan 2026, 07:00 (Europe/Berlin). Owner: {query.owner}." in page.text
        assert " ".join(query.sql.split()) in page.text and query.definition in page.text


def test_tables_and_charts_can_be_read_aloud(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, USUAL + COMPANY.split(";", 1)[1])
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption") >= 8
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in page.tags if tag == "th")
    pictures = [attributes for tag, attributes in page.tags if attributes.get("role") == "img"]
    assert len(pictures) == tags.count("svg") == 2 and all(picture["aria-label"] for picture in pictures)


def test_the_funnel_counts_full_months_and_names_who_answers(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, COMPANY)
    assert "Journeys that reached each step in Oct to Dec 2025, and in Jul to Sep 2025 before" in page.text
    assert "Lead Somebody is known marketing Demand manager 100 50 % 50 of 100 6 50 20 % 10 of 50" in page.text, (
        "the running month is left out, and a step counts its own cohort only"
    )
    assert (
        "Qualified It is scored marketing Operations first response within 4 business hours, expires after 30 days"
        " 29 31 % few 9 of 29 3 0 –" in page.text
    )
    assert "Accepted A rep takes it sales Development 9 last step – 0 last step" in page.text
    assert "Unknown" not in page.text.split("The agreed funnel")[1].split("Spent and returned")[0]


def test_the_handoff_shows_both_numbers_of_each_rate(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, COMPANY)
    assert "Oct to Dec 2025 25 % 10 of 40 15 % few 3 of 20" in page.text
    assert "Jul to Sep 2025 50 % few 5 of 10 100 % few 5 of 5" in page.text
    assert "Jan to Dec 2025 twelve full months 30 % 15 of 50 32 % few 8 of 25" in page.text
    assert "Leads accepted, Oct to Dec 2025 25 % 10 of 40 hand-offs that sales decided on." in page.text


def test_spent_and_returned_shows_what_nobody_is_credited_with(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, COMPANY)
    assert (
        "Leads: model linear, touches of the person in the 90 days before;"
        " Won deals: model linear, touches of the account in the 180 days before." in page.text
    )
    year, quarter = page.text.split("The agreed funnel")[1].split("spend by the day it was spent, leads")[1:3]
    assert "Paid search 1,000 40.5 25 2.5 5,000 5.00 few email 0 4.0 – 1.0 700 – credit_note −50 0.0 – 0.0 0 –" in year
    assert "Unattributed no touch to credit 0 9.0 – 3.0 9,000 – Total 950 53.5 18 6.5 14,700 15.47 few" in year
    assert "Total 950 44.5 21 3.5 5,700 6.00 few" in quarter and "Unattributed" not in quarter
    assert "Last full month, Dec 2025 950 EUR spent, 5,700 EUR booked" in page.text
    assert "77,777" not in page.text and "66,666" not in page.text, "full months only, and twelve of them"


def test_deals_without_bookings_are_not_worth_nothing_in_silence(tmp_path: Path) -> None:
    said = "The won deals carry no amount: a deal is worth what finance booked for it"
    booked, _ = page_of(tmp_path / "booked", COMPANY)
    unbooked, _ = page_of(
        tmp_path / "unbooked", COMPANY + "update marts.rpt_unit_economics set credited_amount_rc = 0;"
    )
    assert said not in booked.text and said in unbooked.text


def test_forty_channels_are_folded_and_nothing_is_lost(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        COMPANY
        + "insert into marts.rpt_unit_economics select '2025-12-01', 'channel ' || i, 100 + i, 1, 0, 10 from range(40) t(i)",
    )
    year = page.text.split("Spent and returned")[1]
    assert "29 other channels" in year and "channel 5 " not in year
    assert "Total 5,730 93.5" in year and "Unattributed" in year


def test_revenue_stands_against_plan_and_the_gap_says_who_plans_more(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, COMPANY)
    assert "Bookings, December 2025 250 EUR 50 % of the target of 500 EUR." in page.text
    assert (
        "Jan 2026, so far 40 400 quota 10 % 80 % Dec 2025 250 500 target 50 % – Nov 2025 −80 90 quotas of its people – –"
        " Full months with a plan 250 500 50 %" in page.text
    )
    assert "Feb 2026" not in page.text and "333" not in page.text
    assert "Company 600 1,500 target 40 % – – – neither team plans –" in page.text
    assert "North 60 120 target 50 % 90 110 −20 (−20.0 %) marketing plans more 100" in page.text
    assert "North 5 0 target – 130 110 +20 (+16.7 %) sales plans more not agreed" in page.text
    assert "Unknown territory 0 70 quotas of its people – 10 – – one plan is missing –" in page.text


def test_an_agreement_is_dated_step_by_step(tmp_path: Path) -> None:
    later = "update marts.dim_funnel_step set agreed_on = '2025-07-01' where step = 'sal';"
    page, _ = page_of(tmp_path, COMPANY + later)
    said = page.text.split("Agreed by: ")[1].split("How this is computed")[0].replace(" ", "")
    assert said.startswith(
        "Headofmarketing(Lead,15Mar2024);Headofsales(Qualified,15Mar2024);Headofsales(Accepted,1Jul2025)."
    )


def test_a_company_without_plans_has_no_empty_columns(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        COMPANY + """update marts.rpt_plan set quota_amount_rc = null, target_amount_rc = null, attainment_denominator_rc = null,
            attainment_numerator_rc = null, attainment = null, pace = null, plan_sales_amount_rc = null, plan_marketing_amount_rc = null,
            agreed_amount_rc = null, alignment_gap_amount_rc = null, alignment_gap_rate = null, is_unsigned = false,
            assigned_quota_amount_rc = null;""",
    )  # fmt: skip
    plan = page.text.split("Revenue against plan")[1].split("What changed")[0].split("How this is computed")[0]
    assert (
        "Month Bookings Jan 2026, so far 40 Dec 2025 250 Nov 2025 −80 No quota or target of the company is delivered"
        in plan
    )
    assert "line across" not in plan and "Attainment" not in plan
    assert "Bookings, EUR. There is no plan for these months. Territory Bookings Company 600 North 60" in page.text
    assert "Bookings, December 2025 250 EUR There is no quota or target for the month." in page.text


def test_territories_with_targets_alone_show_no_gap(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        COMPANY + """update marts.rpt_plan set plan_sales_amount_rc = null, plan_marketing_amount_rc = null, agreed_amount_rc = null,
            alignment_gap_amount_rc = null, alignment_gap_rate = null, is_unsigned = false;""",
    )  # fmt: skip
    assert (
        "Neither team has a plan of its own here. Territory Bookings Quota or target Attainment Company 600 1,500 target 40 %"
        in page.text
    )


def test_an_installation_with_advertising_only_says_what_it_lacks_once(tmp_path: Path) -> None:
    page, html = page_of(
        tmp_path,
        USUAL
        + COMPANY.split("insert into marts.rpt_funnel values")[0].split(";", 2)[2]
        + "insert into marts.rpt_unit_economics values ('2025-12-01', 'paid_search', 1000, 0, 0, 0)",
    )
    assert "Nothing has passed through the funnel in the last six full months" in page.text
    assert "Nothing can be credited to a channel yet" in page.text
    assert "There are no bookings and no plans yet" in page.text
    assert (
        "Ad spend, December 2025 1,500 EUR" in page.text and "Bookings, " not in page.text and html.count("<svg") == 1
    )


def test_an_installation_with_a_crm_only_is_told_what_arrived_and_that_it_adds_up(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        COMPANY
        + """insert into metadata.dq_status values
    ('fct_journey', 'crm', 'sales', true, '2026-01-04', 3, null, null, false),
    ('fct_revenue', 'crm', 'sales', true, '2026-01-04', 3, null, null, false);
insert into metadata.reconciliation values
    ('crm', 'deals', 'unknown', 'opportunity_amount', 0, 0, 0, 0, 0, 0, 0),
    ('crm', 'orders', 'BRL', 'booked_amount', 10, 9, 1, 0, 0, 0, 0), ('crm', 'quotas', 'BRL', 'plan_value', 7, 7, 0, 0, 0, 0, 0);""",
    )
    assert page.text.count("crm up to date 4 Jan 2026 1 3 – sales") == 1, "once, however many marts it feeds"
    assert "Bookings crm orders BRL 10.00 9.00 1.00 0.00 0.00 0.00" in page.text
    assert "Plans and budgets crm quotas BRL 7.00 7.00 0.00 0.00 0.00 0.00" in page.text
    assert "Opportunities crm deals" not in page.text, "deals without an amount carry no money"
    assert "No spend is recorded" not in page.text


def test_without_bookings_plans_stand_alone(tmp_path: Path) -> None:
    unknown = "update marts.rpt_plan set actual_amount_rc = null, attainment_numerator_rc = null, attainment = null, pace = null;"
    page, html = page_of(tmp_path, COMPANY + unknown)
    assert "No source delivers bookings: what follows is plans alone." in page.text
    assert "Bookings, December 2025" not in page.text, "no card of what is not known"
    assert "Dec 2025 – 500 target – – Nov 2025 – 90 quotas of its people – –" in page.text
    assert "<svg" not in html, "there is nothing to draw"


# -- what changed -----------------------------------------------------------------------------------------------------

BEFORE = "update metadata.run_info set previous_run_id = 'run-0', previous_as_of = timestamp '2026-01-04 06:00';"


def test_the_first_version_has_nothing_to_compare(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path)
    assert "This is the first published version: there is none to compare it with." in page.text


def test_each_change_stands_with_its_causes_between_before_and_now(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        BEFORE + """insert into SPEND values ('2026-01-03', 's', 'c', 'k', 125, false, true), ('2025-12-05', 's', 'c', 'k', 121, false, true),
            ('2025-12-05', 's', 'c', 'k', 999, false, false), ('2025-10-01', 's', 'c', 'k', 70, true, true);
        insert into marts.fct_revenue values ('2026-01-02', 77, true), ('2026-01-04', 999, false), ('2025-12-02', 55, true);
        insert into marts.fct_restatement values
            ('spend', '2026-01-04', 'new_day', 10), ('spend', '2026-01-02', 'late', 20), ('spend', '2026-01-01', 'restated', -10),
            ('spend', '2025-12-06', 'restated', 1), ('spend', '2025-12-05', 'corrected', 7), ('spend', '2025-12-20', 'rate', 2),
            ('spend', '2025-11-01', 'corrected', -8),
            ('bookings', '2026-01-03', 'late', -30), ('bookings', '2026-01-04', 'new_day', 7);""",
    )  # fmt: skip
    changed = page.text.split("What changed since the version before")[1].split("Ad spend by channel")[0]
    assert "Ad spend, Jan 2026 105 125 +20 +10 +20 −10 – –" in changed
    assert "Ad spend, Dec 2025 111 121 +10 – – +1 +7 +2" in changed
    assert "Ad spend, Nov 2025 8 0 −8 – – – −8 –" in changed, "withdrawn: nothing of the month is left"
    assert "Bookings, Jan 2026 100 77 −23 +7 −30 – – –" in changed
    assert "Oct 2025" not in changed and "Bookings, Dec 2025" not in changed


def test_a_long_list_of_changes_is_cut_and_says_so(tmp_path: Path) -> None:
    page, _ = page_of(
        tmp_path,
        BEFORE + "insert into marts.fct_restatement select 'spend', date '2020-01-01' + (31 * i)::integer, 'late', 1 from range(26) t(i)",
    )  # fmt: skip
    assert "2 more months are not shown; the query below lists them." in page.text


def test_no_change_and_no_earlier_version_are_said(tmp_path: Path) -> None:
    same, _ = page_of(tmp_path / "same", BEFORE)
    assert "Nothing: no amount of ad spend or bookings differs from what readers saw as of 4 Jan 2026" in same.text
    back, _ = page_of(tmp_path / "back", BEFORE.replace("2026-01-04", "2026-02-04"))
    assert (
        "The version before speaks of 4 Feb 2026, 07:00 (Europe/Berlin), which is no earlier than this one" in back.text
    )


@pytest.mark.parametrize("name", [*HOSTILE, "=cmd|' /C calc'!A0", "n" * 200])
def test_hostile_names_of_the_company_stay_text(tmp_path: Path, name: str) -> None:
    quoted = name.replace("'", "''")
    page, html = page_of(
        tmp_path,
        COMPANY
        + f"""update marts.dim_funnel_step set step_name = '{quoted}', entry_rule = '{quoted}', accountable_team = '{quoted}',
            responsible_role = '{quoted}', agreed_by_role = '{quoted}' where step = 'mql';
        update marts.dim_channel set channel_name = '{quoted}';
        update marts.fct_credit set model = '{quoted}', path_unit = '{quoted}';
        update marts.dim_territory set territory_name = '{quoted}';""",
    )
    assert page.text.count(text(name)) >= 8 and "\u202e" not in html and not re.search("n{120}", html)


def test_numbers_and_times_are_written_for_people() -> None:
    assert [money(v) for v in (None, Decimal("-0.2"), Decimal("1234567.5"), Decimal(-5))] == [
        "–",
        "0",
        "1,234,568",
        "−5",
    ]
    assert [signed(v) for v in (None, 0, Decimal("0.2"), 1200, -3)] == ["–", "0", "0", "+1,200", "−3"]
    assert [percent(v) for v in (None, 0, 0.405, 5.879)] == ["–", "0 %", "41 %", "588 %"]
    assert months(dt.date(2025, 12, 1), dt.date(2026, 1, 1)) == "Dec 2025"
    assert months(dt.date(2025, 12, 1), dt.date(2026, 3, 1)) == "Dec 2025 to Feb 2026"
    assert [deadline(*v) for v in ((None, None), (60, 1), (90, None), (45, None))] == [
        "–",
        "first response within 1 business hour, expires after 1 day",
        "first response within 1 business hour 30 min",
        "first response within 45 business minutes",
    ]
    assert moment("2026-07-01T12:00:00Z", "Europe/Berlin") == "1 Jul 2026, 14:00 (Europe/Berlin)"
    assert moment("2026-07-01 12:00:00.5", "No/Where") == "1 Jul 2026, 12:00 (UTC)"
    assert moment("not a time", None) == "not a time"
    assert month_range(dt.date(2025, 11, 30), dt.date(2026, 1, 1)) == [
        dt.date(2025, 11, 1),
        dt.date(2025, 12, 1),
        dt.date(2026, 1, 1),
    ]
