"""The marts gate over a sealed file: what opens it, what closes it, and that nothing passes vacuously."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path

import duckdb
import pytest

from onefunnel.errors import StepFailed
from onefunnel.quality import gate
from onefunnel.quality import suites as quality_suites
from onefunnel.quality.gate import check_marts
from onefunnel.quality.pushdown import Judge
from onefunnel.quality.results import GateReport

SHIPPED = Path(__file__).parents[2] / "expectations"
RUN = {"run_id": "run-1", "as_of": "2026-01-05 06:00:00", "previous_final_spend": []}
CHANGED = "fct_ad_spend_final_days_are_unchanged"

MARTS = """
create schema r.marts;
create schema r.metadata;
create table r.marts.dim_date as select d::date as date_day from range(date '2025-12-01', date '2026-12-31', interval 1 day) t(d);
create table r.marts.dim_channel as
    select md5(c) as channel_key, c as channel, upper(c) as channel_name from (values ('search'), ('social'), ('unmapped')) t(c);
create table r.marts.dim_campaign as
    select md5('v' || i) as campaign_version_key, md5('c' || i) as campaign_key, 'search_ads' as source_system,
        'c' || i as campaign_id, 'Campaign ' || i as campaign_name, date '1900-01-01' as valid_from, date '9999-12-31' as valid_to
    from range(4) t(i)
    union all
    select '-1', '-1', 'unknown', 'unknown', 'unknown', date '1900-01-01', date '9999-12-31';
create table r.marts.fct_ad_spend as
    select md5(concat(d, i, v)) as spend_key, d::date as spend_date, 'search_ads' as source_system, 'daily' as stream,
        'acc-1' as ad_account_id, md5('c' || i) as campaign_key, md5('v' || i) as campaign_version_key,
        md5(case when i % 2 = 0 then 'search' else 'social' end) as channel_key,
        case when i % 2 = 0 then 'search' else 'social' end as channel, 'campaign' as level, 'c' || i as campaign_id,
        null::varchar as ad_group_id, null::varchar as ad_id, case when i = 3 then 'USD' else 'EUR' end as currency,
        (90000 + i + v)::decimal(18, 6) as spend_amount,
        round((90000 + i + v)::decimal(38, 6) * (case when i = 3 then 0.923456789 else 1 end)::decimal(18, 9), 6)::decimal(18, 6)
            as spend_amount_rc,
        'EUR' as reporting_currency, (case when i = 3 then 0.923456789 else 1 end)::decimal(18, 9) as fx_rate,
        d::date as fx_date, false as is_fx_carried, 100::bigint as impressions, 10::bigint as clicks,
        1::decimal(18, 6) as claimed_leads, 1::decimal(18, 6) as claimed_conversions,
        null::decimal(18, 6) as claimed_value_amount, null::decimal(18, 6) as claimed_value_amount_rc,
        'Europe/Berlin' as source_tz, true as is_tz_aligned, false as is_final,
        case when v = 0 then timestamp '2026-01-04 06:00' else timestamp '2026-01-05 06:00' end as known_from,
        case when v = 0 then timestamp '2026-01-05 06:00' else timestamp '9999-12-31' end as known_to,
        v = 1 as is_current, 'load-1' as _load_id
    from range(date '2025-12-05', date '2026-01-05', interval 1 day) t(d), range(4) s(i), range(2) u(v);
"""

METADATA = """
create table r.metadata.run_info as
    select 'run-1' as run_id, timestamp '2026-01-05 06:00:00' as as_of, 'Sandbox GmbH' as company, 'EUR' as reporting_currency;
create table r.metadata.dq_status as
    select md5(m) as dq_status_key, m as mart, 'search_ads' as source_system, true as is_required,
        (select max(spend_date) from r.marts.fct_ad_spend) as source_max_date, 3 as fresh_within_days, null::date as stale_since,
        false as is_never_delivered
    from (values ('fct_ad_spend'), ('dim_campaign')) t(m);
create table r.metadata.dq_check_history as
    select md5(i::varchar) as check_key, 'run-0' as run_id, 'raw' as gate, 'check_' || i as check_id, 'passed' as state,
        'no violations' as observed
    from range(5) t(i);
create table r.metadata.metric_definitions as
    select 'spend' as metric, 'Spend' as label, 'What the platforms charged.' as description;
create table r.metadata.row_ledger as
    select 'load-' || i as load_id, 'search_ads' as source_system, 'daily' as stream, 'performance_daily' as contract,
        1000::bigint as rows_extracted,
        998::bigint as rows_loaded, 1::bigint as rows_deduplicated, 0::bigint as rows_quarantined, 1::bigint as rows_rejected,
        0::bigint as row_difference
    from range(3) t(i);
create table r.metadata.reconciliation as
    select source_system, stream, currency, 'spend_amount' as measure, sum(spend_amount) + 5 as control_amount,
        sum(spend_amount) as fact_amount, 1::decimal(38, 6) as held_amount, 2::decimal(38, 6) as quarantined_amount,
        1::decimal(38, 6) as deduplicated_amount, 1::decimal(38, 6) as repeated_by_level_amount, 0::decimal(38, 6) as difference
    from r.marts.fct_ad_spend where is_current group by source_system, stream, currency;
create table r.metadata.quarantine_summary as
    select md5('q') as quarantine_key, 'search_ads' as source_system, 'daily' as stream, 'performance_daily' as contract,
        'bad_date' as reason, 'EUR' as currency, 1::bigint as quarantined_rows, 2::decimal(38, 6) as amount;
"""


# One fault that blocks and one that warns; a fault for every check stands in tests/e2e/test_planted_faults.py.
BLOCKED, BLOCK_SQL = (
    "reconciliation_has_no_difference",
    "update metadata.reconciliation set difference = 0.000001, control_amount = control_amount + 0.000001",
)
WARNED, WARN_SQL = (
    "row_ledger_has_no_quarantine",
    "update metadata.row_ledger set rows_quarantined = 1, rows_loaded = 997 where rowid = 0",
)

load_suites = cache(quality_suites.load_suites)
_FOLDER = tempfile.TemporaryDirectory()
EXPECTATIONS = Path(shutil.copytree(SHIPPED, Path(_FOLDER.name) / "expectations"))
for _path in (EXPECTATIONS / "marts").glob("*.yml"):
    # the little file holds the spend's tables alone
    if _path.stem != "every_table" and f".{_path.stem} as" not in MARTS + METADATA:
        _path.unlink()
MARTS_CHECKS = load_suites(EXPECTATIONS).declared("marts")


def seal(folder: Path, sql: str = "", source: Path | None = None) -> Path:
    """A sealed file in `folder`: the healthy one, or a copy of it with a fault planted by `sql`."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "revenue.duckdb"
    if source is not None:
        shutil.copyfile(source, target)
        with duckdb.connect(target) as db:
            db.execute(sql)
            db.execute("checkpoint")
    else:
        with duckdb.connect() as db:
            db.execute(f"attach '{target}' as r (storage_version 'v1.2.0')")
            db.execute(MARTS + METADATA)
            db.execute("checkpoint r")
    return folder


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seal(tmp_path_factory.mktemp("healthy"))


@pytest.fixture(scope="module", autouse=True)
def one_judge() -> Iterator[None]:
    """One GX context for the whole module: making one takes longer than judging."""
    judge = Judge()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "Judge", lambda: judge)
        yield


def not_passed(report: GateReport) -> set[str]:
    return {result.check_id for result in report.results if result.state != "passed"}


def test_a_healthy_file_passes_every_check_and_keeps_its_bytes(healthy: Path) -> None:
    before = hashlib.sha256((healthy / "revenue.duckdb").read_bytes()).hexdigest()
    report = check_marts(healthy, EXPECTATIONS, RUN)
    assert not_passed(report) == set() and report.verdict == "pass"
    assert report.declared == report.executed == len(report.results) == len(MARTS_CHECKS)
    assert report.sha256 == before == hashlib.sha256((healthy / "revenue.duckdb").read_bytes()).hexdigest()
    assert [path.name for path in healthy.iterdir()] == ["revenue.duckdb"]


def test_a_warning_does_not_close_the_gate(healthy: Path, tmp_path: Path) -> None:
    report = check_marts(seal(tmp_path, WARN_SQL, healthy / "revenue.duckdb"), EXPECTATIONS, RUN)
    assert not_passed(report) == {WARNED} and report.verdict == "pass" and report.counts["warned"] == 1


def test_a_blocking_check_closes_the_gate(healthy: Path, tmp_path: Path) -> None:
    report = check_marts(seal(tmp_path, BLOCK_SQL, healthy / "revenue.duckdb"), EXPECTATIONS, RUN)
    assert not_passed(report) == {BLOCKED} and report.verdict == "fail"
    assert report.first_failure and report.first_failure.samples == (
        "search_ads daily EUR spend_amount",
        "search_ads daily USD spend_amount",
    )


PREVIOUS = {
    "source_system": "search_ads",
    "stream": "daily",
    "month": dt.date(2025, 12, 1),
    "final_until": dt.date(2025, 12, 31),
    "spend_amount_rc": None,
}


@pytest.mark.parametrize(
    ("factor", "state"),
    [("1", "passed"), ("1.04", "passed"), ("0.96", "passed"), ("1.06", "failed"), ("0.9", "failed")],
)
def test_final_months_may_change_by_a_twentieth(healthy: Path, factor: str, state: str) -> None:
    with duckdb.connect(str(healthy / "revenue.duckdb"), read_only=True) as db:
        december = db.execute(
            "select sum(spend_amount_rc) from marts.fct_ad_spend where is_current and spend_date < date '2026-01-01'"
        ).fetchall()[0][0]
    run = {**RUN, "previous_final_spend": [{**PREVIOUS, "spend_amount_rc": round(december / Decimal(factor), 6)}]}
    report = check_marts(healthy, EXPECTATIONS, run)
    assert not_passed(report) == ({CHANGED} if state == "failed" else set())
    approved = check_marts(healthy, EXPECTATIONS, {**run, "approve_restatement": True})
    assert approved.verdict == "pass" and not_passed(approved) == not_passed(report)


def test_days_that_became_final_since_are_no_restatement(healthy: Path) -> None:
    with duckdb.connect(str(healthy / "revenue.duckdb"), read_only=True) as db:
        half = db.execute(
            "select sum(spend_amount_rc) from marts.fct_ad_spend where is_current and spend_date <= date '2025-12-15'"
        ).fetchall()[0][0]
    row = {**PREVIOUS, "final_until": dt.date(2025, 12, 15), "spend_amount_rc": half}
    assert not_passed(check_marts(healthy, EXPECTATIONS, {**RUN, "previous_final_spend": [row]})) == set()


def test_a_month_that_vanished_is_a_restatement(healthy: Path) -> None:
    row = {**PREVIOUS, "source_system": "gone_ads", "spend_amount_rc": Decimal(1)}
    report = check_marts(healthy, EXPECTATIONS, {**RUN, "previous_final_spend": [row]})
    assert not_passed(report) == {CHANGED}
    assert report.first_failure and report.first_failure.samples == ("gone_ads daily 2025-12-01",)


def test_a_run_that_does_not_say_what_is_published_is_red(healthy: Path) -> None:
    report = check_marts(healthy, EXPECTATIONS, {"run_id": "run-1"})
    assert report.verdict == "fail" and not_passed(report) == {CHANGED} and report.executed < report.declared


def test_every_published_table_is_searched_for_personal_text() -> None:
    suites = load_suites(SHIPPED).marts
    assert {path.stem for path in (SHIPPED / "marts").glob("*.yml")} == suites.keys() | {"every_table"}
    for suite in suites.values():
        assert any(check.sql and "{text}" in check.sql for check in suite.checks), suite.name


def test_a_deleted_suite_is_red(healthy: Path, tmp_path: Path) -> None:
    expectations = Path(shutil.copytree(EXPECTATIONS, tmp_path / "expectations"))
    (expectations / "marts" / "dim_channel.yml").unlink()
    report = check_marts(healthy, expectations, RUN)
    assert report.verdict == "fail"
    assert report.first_failure and report.first_failure.check_id == "published_table_has_expectations"
    assert report.first_failure.subject == "dim_channel"


def test_a_gate_without_checks_is_red(healthy: Path, tmp_path: Path) -> None:
    shutil.copytree(EXPECTATIONS / "raw", tmp_path / "raw")
    report = check_marts(healthy, tmp_path, RUN)
    assert report.verdict == "fail" and "gate_has_checks" in not_passed(report) and report.counts["executed"] == 0


def test_a_missing_table_is_red(healthy: Path, tmp_path: Path) -> None:
    report = check_marts(seal(tmp_path, "drop table marts.dim_channel", healthy / "revenue.duckdb"), EXPECTATIONS, RUN)
    assert report.verdict == "fail" and report.executed < report.declared
    assert {result.state for result in report.results if result.subject == "dim_channel"} == {"error"}


def test_tables_without_rows_are_red_unless_that_is_legal(healthy: Path, tmp_path: Path) -> None:
    sql = (
        "delete from marts.dim_channel; delete from metadata.quarantine_summary; delete from metadata.dq_check_history"
    )
    report = check_marts(seal(tmp_path, sql, healthy / "revenue.duckdb"), EXPECTATIONS, RUN)
    empty = {result.subject for result in report.results if "checked nothing" in result.observed}
    assert empty == {"dim_channel"} and report.verdict == "fail"


NO_SPEND = "delete from marts.fct_ad_spend; delete from metadata.reconciliation; delete from metadata.dq_status where mart = 'fct_ad_spend'"


def test_a_table_is_empty_only_while_nobody_delivers_to_it(healthy: Path, tmp_path: Path) -> None:
    def unproven(sql: str, name: str) -> set[str]:
        report = check_marts(seal(tmp_path / name, sql, healthy / "revenue.duckdb"), EXPECTATIONS, RUN)
        return {r.subject for r in report.results if r.observed == "checked nothing: the table has 0 rows"}

    sells_only = "; update metadata.row_ledger set contract = 'leads'"
    assert "fct_ad_spend" in unproven(NO_SPEND, "lost"), "rows of it were delivered, so its emptiness is a loss"
    assert "fct_ad_spend" not in unproven(NO_SPEND + sells_only, "sells_only")


def test_a_file_of_another_run_is_red(healthy: Path) -> None:
    assert not_passed(check_marts(healthy, EXPECTATIONS, {**RUN, "run_id": "run-2"})) == {"sealed_file_is_of_this_run"}


def test_checks_that_gx_does_not_answer_are_red(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onefunnel.quality.pushdown import Database

    whole = Database.judge
    monkeypatch.setattr(Database, "judge", lambda self, plan: whole(self, plan[1:]))
    report = check_marts(healthy, EXPECTATIONS, RUN)
    assert report.verdict == "fail" and report.executed < report.declared
    assert report.first_failure and report.first_failure.observed == "the check was declared but not executed"


def test_a_changed_file_is_noticed(healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = iter(["before", "after"])
    monkeypatch.setattr(gate, "_sha256", lambda path: next(hashes))
    assert not_passed(check_marts(healthy, EXPECTATIONS, RUN)) == {"sealed_file_is_unchanged"}


def test_what_is_not_sealed_is_refused(healthy: Path, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="no sealed file"):
        check_marts(tmp_path, EXPECTATIONS, RUN)
    seal(tmp_path, "select 1", healthy / "revenue.duckdb")
    (tmp_path / "revenue.duckdb.wal").touch()
    with pytest.raises(StepFailed, match="not sealed"):
        check_marts(tmp_path, EXPECTATIONS, RUN)


def test_a_file_that_is_no_database_is_red(tmp_path: Path) -> None:
    (tmp_path / "revenue.duckdb").write_bytes(b"not a database" * 1000)
    report = check_marts(tmp_path, EXPECTATIONS, RUN)
    assert report.verdict == "fail" and not_passed(report) == {"sealed_file_opens"}
