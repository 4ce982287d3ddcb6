"""The marts gate: every shipped check goes red for its planted fault and for nothing else, on a real sealed file."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
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
from onefunnel.quality.suites import Suites

EXPECTATIONS = Path(__file__).parents[2] / "expectations"
RUN = {"run_id": "run-1", "as_of": "2026-01-05 06:00:00"}

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
    select md5(m) as dq_status_key, m as mart, 'search_ads' as source_system, true as is_required, null::timestamp as stale_since,
        false as is_never_delivered
    from (values ('fct_ad_spend'), ('dim_campaign')) t(m);
create table r.metadata.dq_check_history as
    select md5(i::varchar) as check_key, 'run-0' as run_id, 'raw' as gate, 'check_' || i as check_id, 'passed' as state,
        'no violations' as observed
    from range(5) t(i);
create table r.metadata.metric_definitions as
    select 'spend' as metric, 'Spend' as label, 'What the platforms charged.' as description;
create table r.metadata.row_ledger as
    select 'load-' || i as load_id, 'search_ads' as source_system, 'daily' as stream, 1000::bigint as rows_extracted,
        998::bigint as rows_loaded, 1::bigint as rows_deduplicated, 0::bigint as rows_quarantined, 1::bigint as rows_rejected,
        0::bigint as row_difference
    from range(3) t(i);
create table r.metadata.reconciliation as
    select source_system, stream, 'spend_amount' as measure, sum(spend_amount) + 5 as control_amount,
        sum(spend_amount) as fact_amount, 1::decimal(38, 6) as held_amount, 2::decimal(38, 6) as quarantined_amount,
        1::decimal(38, 6) as deduplicated_amount, 1::decimal(38, 6) as repeated_by_level_amount, 0::decimal(38, 6) as difference
    from r.marts.fct_ad_spend where is_current group by source_system, stream;
create table r.metadata.quarantine_summary as
    select md5('q') as quarantine_key, 'search_ads' as source_system, 'daily' as stream, 'performance_daily' as contract,
        'bad_date' as reason, 'EUR' as currency, 1::bigint as quarantined_rows, 2::decimal(38, 6) as amount;
"""


@dataclass(frozen=True)
class Fault:
    """SQL that plants a fault, the suites that may notice, and the lesser checks that rightly speak up as well."""

    sql: str
    also: frozenset[str] = frozenset()


def fault(sql: str, *also: str) -> Fault:
    return Fault(sql, frozenset(also))


def personal(table: str, column: str) -> Fault:
    return fault(f"update {table} set {column} = 'for jane.doe@example.com' where rowid = 0")


def doubled(table: str, *also: str) -> Fault:
    return fault(f"insert into {table} select * from {table} where rowid = 0", *also)


F, SPEND = (
    "marts.fct_ad_spend",
    "spend_key = (select min(spend_key) from marts.fct_ad_spend where is_current and currency = 'USD')",
)

FAULTS: dict[str, Fault] = {
    "fct_ad_spend_columns_are_published": fault(f"alter table {F} drop column source_tz"),
    "fct_ad_spend_key_is_unique": fault(
        f"update {F} set spend_key = 'x' where spend_date = date '2026-01-01' and not is_current"
    ),
    "fct_ad_spend_keys_are_filled": fault(f"update {F} set ad_account_id = null where spend_date = date '2026-01-01'"),
    "fct_ad_spend_versions_have_a_duration": fault(
        f"update {F} set known_from = known_to where not is_current and campaign_id = 'c1'"
    ),
    "fct_ad_spend_current_means_open_ended": fault(f"update {F} set known_to = timestamp '9998-12-31' where {SPEND}"),
    "fct_ad_spend_versions_are_disjoint": fault(
        f"update {F} set known_to = timestamp '2026-01-05 07:00' where not is_current and campaign_id = 'c1'"
    ),
    "fct_ad_spend_has_one_level_per_account_and_day": fault(f"update {F} set level = 'ad' where campaign_id = 'c1'"),
    "fct_ad_spend_is_converted_at_its_rate": fault(
        f"update {F} set spend_amount_rc = spend_amount_rc + 0.000001 where {SPEND}"
    ),
    "fct_ad_spend_has_a_real_rate": fault(f"update {F} set fx_rate = 1, spend_amount_rc = spend_amount where {SPEND}"),
    "fct_ad_spend_rate_is_recent": fault(f"update {F} set fx_date = spend_date - 8 where {SPEND}"),
    "fct_ad_spend_joins_lose_nothing": fault(f"update {F} set campaign_version_key = 'gone' where {SPEND}"),
    "fct_ad_spend_is_not_in_the_future": fault(
        f"update {F} set spend_date = date '2026-01-07', fx_date = date '2026-01-07' where {SPEND}"
    ),
    "fct_ad_spend_is_not_abandoned": fault(
        "update metadata.run_info set as_of = timestamp '2026-01-19 06:00:00'", "fct_ad_spend_every_source_is_fresh"
    ),
    "fct_ad_spend_every_source_is_fresh": fault("update metadata.run_info set as_of = timestamp '2026-01-08 06:00:00'"),
    "fct_ad_spend_is_mapped_to_channels": fault(
        f"update {F} set channel = 'unmapped', channel_key = md5('unmapped') where campaign_id = 'c1'"
    ),
    "fct_ad_spend_clicks_follow_impressions": fault(f"update {F} set clicks = 101 where campaign_id = 'c1'"),
    "fct_ad_spend_holds_no_personal_text": personal(F, "source_tz"),
    "dim_date_key_is_unique": doubled("marts.dim_date", "dim_date_has_no_gaps"),
    "dim_date_keys_are_filled": fault("insert into marts.dim_date values (null)", "dim_date_has_no_gaps"),
    "dim_date_has_no_gaps": fault("delete from marts.dim_date where date_day = date '2026-06-01'"),
    "dim_date_holds_no_personal_text": fault(
        "alter table marts.dim_date add column note varchar; update marts.dim_date set note = 'a@b.example' where rowid = 0"
    ),
    "dim_channel_key_is_unique": doubled("marts.dim_channel"),
    "dim_channel_keys_are_filled": fault("update marts.dim_channel set channel = null where rowid = 0"),
    "dim_channel_holds_no_personal_text": personal("marts.dim_channel", "channel_name"),
    "dim_campaign_key_is_unique": fault(
        "insert into marts.dim_campaign select * replace ('other' as campaign_key) from marts.dim_campaign where campaign_id = 'c1'"
    ),
    "dim_campaign_keys_are_filled": fault("update marts.dim_campaign set campaign_key = null where campaign_id = 'c1'"),
    "dim_campaign_versions_are_disjoint": fault(
        "insert into marts.dim_campaign select * replace ('v' as campaign_version_key) from marts.dim_campaign where campaign_id = 'c1'"
    ),
    "dim_campaign_has_an_unknown_member": fault("delete from marts.dim_campaign where campaign_key = '-1'"),
    "dim_campaign_holds_no_personal_text": personal("marts.dim_campaign", "campaign_name"),
    "run_info_has_one_row": fault(
        "insert into metadata.run_info select * replace ('run-0' as run_id) from metadata.run_info"
    ),
    "run_info_is_complete": fault("update metadata.run_info set reporting_currency = 'euro'"),
    "run_info_holds_no_personal_text": personal("metadata.run_info", "company"),
    "dq_status_key_is_unique": doubled("metadata.dq_status"),
    "dq_status_keys_are_filled": fault("update metadata.dq_status set source_system = null where rowid = 0"),
    "dq_status_speaks_of_every_fact": fault("delete from metadata.dq_status where mart = 'fct_ad_spend'"),
    "dq_status_required_sources_have_delivered": fault(
        "update metadata.dq_status set is_never_delivered = true", "dq_status_sources_are_not_stale"
    ),
    "dq_status_sources_are_not_stale": fault(
        "update metadata.dq_status set stale_since = timestamp '2026-01-04 06:00'"
    ),
    "dq_status_holds_no_personal_text": personal("metadata.dq_status", "source_system"),
    "dq_check_history_key_is_unique": doubled("metadata.dq_check_history"),
    "dq_check_history_keys_are_filled": fault("update metadata.dq_check_history set gate = null where rowid = 0"),
    "dq_check_history_states_are_known": fault(
        "update metadata.dq_check_history set state = 'skipped' where rowid = 0"
    ),
    "dq_check_history_holds_no_personal_text": personal("metadata.dq_check_history", "observed"),
    "metric_definitions_key_is_unique": doubled("metadata.metric_definitions"),
    "metric_definitions_are_complete": fault("update metadata.metric_definitions set description = ' '"),
    "metric_definitions_holds_no_personal_text": personal("metadata.metric_definitions", "description"),
    "row_ledger_key_is_unique": doubled("metadata.row_ledger"),
    "row_ledger_balances": fault("update metadata.row_ledger set rows_loaded = 997 where rowid = 0"),
    "row_ledger_quarantine_is_small": fault(
        "update metadata.row_ledger set rows_quarantined = 21, rows_loaded = 977 where rowid = 0",
        "row_ledger_has_no_quarantine",
    ),
    "row_ledger_has_no_quarantine": fault(
        "update metadata.row_ledger set rows_quarantined = 1, rows_loaded = 997 where rowid = 0"
    ),
    "row_ledger_holds_no_personal_text": personal("metadata.row_ledger", "stream"),
    "reconciliation_key_is_unique": fault(
        "insert into metadata.reconciliation select * replace (0 as fact_amount, 5 as control_amount) from metadata.reconciliation"
    ),
    "reconciliation_has_no_difference": fault(
        "update metadata.reconciliation set difference = 0.000001, control_amount = control_amount + 0.000001"
    ),
    "reconciliation_adds_up": fault("update metadata.reconciliation set control_amount = control_amount + 1"),
    "reconciliation_is_about_this_file": fault(f"delete from {F} where {SPEND}"),
    "reconciliation_holds_no_personal_text": fault(
        "alter table metadata.reconciliation add column note varchar; update metadata.reconciliation set note = 'a@b.example'"
    ),
    "quarantine_summary_key_is_unique": doubled("metadata.quarantine_summary"),
    "quarantine_summary_held_back_spend_is_small": fault(
        "update metadata.quarantine_summary set reason = 'missing_fx_rate', quarantined_rows = 5",
        "quarantine_summary_nothing_is_held_back",
    ),
    "quarantine_summary_quarantined_money_is_small": fault("update metadata.quarantine_summary set amount = 500000"),
    "quarantine_summary_nothing_is_held_back": fault(
        "update metadata.quarantine_summary set reason = 'missing_fx_rate'"
    ),
    "quarantine_summary_holds_no_personal_text": personal("metadata.quarantine_summary", "reason"),
}

load_suites = cache(quality_suites.load_suites)
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


def suites_that_may_notice(sql: str) -> Suites:
    """The suites of the tables that the fault touches, and all others that read one of those tables."""
    suites = load_suites(EXPECTATIONS)
    touched = set(re.findall(r"(?:marts|metadata)\.(\w+)", sql))
    reading = {
        name: suite
        for name, suite in suites.marts.items()
        if name in touched or any(table in (check.sql or "") for check in suite.checks for table in touched)
    }
    return Suites(suites.raw, reading)


@pytest.mark.parametrize("check_id", MARTS_CHECKS)
def test_every_marts_check_can_go_red(
    healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_id: str
) -> None:
    assert check_id in FAULTS, f"{check_id} has no planted fault: nobody knows whether it can go red"
    planted = FAULTS[check_id]
    monkeypatch.setattr(gate, "load_suites", lambda _: suites_that_may_notice(planted.sql))
    report = check_marts(seal(tmp_path, planted.sql, healthy / "revenue.duckdb"), EXPECTATIONS, RUN)
    result = next(result for result in report.results if result.check_id == check_id)
    assert result.state == ("failed" if result.severity == "block" else "warned"), result
    assert not_passed(report) - {"published_table_has_expectations"} == {check_id} | planted.also
    assert "example.com" not in str(report.to_dict())


def test_a_warning_does_not_close_the_gate(healthy: Path, tmp_path: Path) -> None:
    warned = "row_ledger_has_no_quarantine"
    report = check_marts(seal(tmp_path, FAULTS[warned].sql, healthy / "revenue.duckdb"), EXPECTATIONS, RUN)
    assert not_passed(report) == {warned} and report.verdict == "pass" and report.counts["warned"] == 1


def test_a_blocking_check_closes_the_gate(healthy: Path, tmp_path: Path) -> None:
    blocked = "reconciliation_has_no_difference"
    report = check_marts(seal(tmp_path, FAULTS[blocked].sql, healthy / "revenue.duckdb"), EXPECTATIONS, RUN)
    assert not_passed(report) == {blocked} and report.verdict == "fail"
    assert report.first_failure and report.first_failure.samples == ("search_ads daily spend_amount",)


def test_no_planted_fault_is_left_over() -> None:
    assert set(FAULTS) == set(MARTS_CHECKS)


@pytest.mark.parametrize("path", sorted((EXPECTATIONS / "marts").glob("*.yml")), ids=lambda path: path.stem)
def test_every_published_table_is_searched_for_personal_text(path: Path) -> None:
    assert any(check.sql and "{text}" in check.sql for check in load_suites(EXPECTATIONS).marts[path.stem].checks)


def test_a_deleted_suite_is_red(healthy: Path, tmp_path: Path) -> None:
    expectations = Path(shutil.copytree(EXPECTATIONS, tmp_path / "expectations"))
    (expectations / "marts" / "dim_channel.yml").unlink()
    report = check_marts(healthy, expectations, RUN)
    assert report.verdict == "fail"
    assert report.first_failure and report.first_failure.check_id == "published_table_has_expectations"
    assert report.first_failure.subject == "dim_channel"


def test_a_gate_without_checks_is_red(healthy: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
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


def test_a_file_of_another_run_is_red(healthy: Path) -> None:
    assert not_passed(check_marts(healthy, EXPECTATIONS, {"run_id": "run-2"})) == {"sealed_file_is_of_this_run"}


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
