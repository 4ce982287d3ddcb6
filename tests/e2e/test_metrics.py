"""Every metric, as MetricFlow computes it from its definition, is what the published tables say.

MetricFlow itself is asked (`mf query`), over a published file. What must come out is written here by hand, in SQL that
shares nothing with the definitions: another table where there is one, else the fact with the condition in other words.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from published import Published, published

__all__ = ["published"]  # the fixture

MONTH = "cast(date_trunc('month', {}) as date)"
Value = float | None
Series = dict[tuple[str, ...], Value]


def by_month(day: str, value: str, source: str) -> str:
    """SQL for (month, value) of a fact."""
    return f"select {MONTH.format(day)} as month, {value} as value from {source} group by 1"


CURRENT_SPEND = "marts.fct_ad_spend where known_to = timestamp '9999-12-31'"
CLOSED = "marts.fct_opportunity where not is_test and not is_deleted and not is_merged and (won_at is not null or lost_at is not null)"
BOOKED = "marts.fct_revenue where event_type in ('new', 'renewal', 'expansion', 'reversal')"
JOURNEYS = "marts.fct_journey where exclude_reason is null"
ECONOMICS = "marts.rpt_unit_economics"
COMPANY = "marts.rpt_plan where owner_type = 'company' and period_type = 'month'"
DEALS = "marts.rpt_plan where owner_type = 'territory' and period_type = 'month'"
# the log of the company's own plan, spread over its working days
TARGET_DAYS = "marts.fct_plan_daily where metric = 'bookings' and owner_type = 'company' and scenario = 'target' and is_finest_period"
ACTIVITY = "marts.rpt_funnel_activity"
COHORTS = "marts.rpt_funnel"

# What each simple metric is per month, said in other words than the metric says it.
SIMPLE: dict[str, str] = {
    "spend": by_month("month_start_date", "sum(spend_amount_rc)", ECONOMICS),
    "clicks": by_month("spend_date", "sum(clicks)", CURRENT_SPEND),
    "spend_with_clicks": by_month("spend_date", "sum(spend_amount_rc)", f"{CURRENT_SPEND} and clicks >= 0"),
    "spend_with_claims": by_month("spend_date", "sum(spend_amount_rc)", f"{CURRENT_SPEND} and claimed_value_amount_rc is not null"),
    "claimed_value": by_month("spend_date", "sum(claimed_value_amount * fx_rate)", CURRENT_SPEND),
    "claimed_gain": by_month(
        "spend_date", "sum(claimed_value_amount_rc) - sum(spend_amount_rc)", f"{CURRENT_SPEND} and claimed_value_amount_rc is not null"
    ),
    "credited_leads": by_month("month_start_date", "sum(credited_leads)", ECONOMICS),
    "credited_deals": by_month("month_start_date", "sum(credited_deals)", ECONOMICS),
    "credited_amount": by_month("month_start_date", "sum(credited_amount_rc)", ECONOMICS),
    "bookings": by_month("period_start", "sum(actual_amount_rc)", COMPANY),
    "bookings_with_cost": by_month("booked_date", "sum(booked_amount_rc)", f"{BOOKED} and gross_margin_amount_rc is not null"),
    "gross_margin": by_month("booked_date", "sum(booked_amount_rc - cost_amount_rc)", BOOKED),
    "planned_bookings": by_month("plan_date", "sum(day_plan_amount_rc)", TARGET_DAYS),
    "planned_bookings_attained": by_month("booked_date", "sum(booked_amount_rc)", BOOKED),
    "planned_bookings_to_date": by_month("plan_date", "sum(day_plan_amount_rc)", f"{TARGET_DAYS} and plan_date < date '2026-04-02'"),
    "bookings_to_date": by_month("booked_date", "sum(booked_amount_rc)", BOOKED),
    "quotas_over_assigned": by_month("period_start", "sum(assigned_quota_amount_rc) - sum(target_amount_rc)", COMPANY),
    "alignment_gap": by_month(
        "period_start", "sum(plan_sales_amount_rc) - sum(plan_marketing_amount_rc)", f"{DEALS} and plan_sales_amount_rc is not null"
    ),
    "alignment_base": by_month(
        "period_start",
        "sum(coalesce(agreed_amount_rc, (plan_sales_amount_rc + plan_marketing_amount_rc) / 2))",
        f"{DEALS} and plan_sales_amount_rc is not null and plan_marketing_amount_rc is not null",
    ),
    "opportunities_closed": by_month("closed_at", "count(*)", CLOSED),
    "opportunities_won": by_month("won_at", "count(*)", f"{CLOSED} and won_at is not null"),
    "opportunities_won_with_amount": by_month("won_at", "count(opportunity_amount_rc)", f"{CLOSED} and won_at is not null"),
    "won_amount": by_month("won_at", "sum(opportunity_amount_rc)", f"{CLOSED} and won_at is not null"),
    "closed_amount": by_month("coalesce(won_at, lost_at)", "sum(opportunity_amount_rc)", CLOSED),
    "handoffs_accepted": by_month("activity_month", "sum(accepted_handoffs)", ACTIVITY),
    "handoffs_decided": by_month("activity_month", "sum(decided_handoffs)", ACTIVITY),
    "handoffs_sla_met": by_month("activity_month", "sum(sla_met_handoffs)", ACTIVITY),
    "handoffs_sla_due": by_month("activity_month", "sum(sla_due_handoffs)", ACTIVITY),
    "leads_started": by_month("lead_at", "count(*)", f"{JOURNEYS} and entry_step = 'lead'"),
    "leads_with_opportunity": by_month("started_at", "count(*)", f"{JOURNEYS} and entry_step = 'lead' and furthest_step_order >= 40"),
    "opportunities_reached": by_month("cohort_month", "sum(reached_journeys)", f"{COHORTS} where cohort_step = 'opportunity' and step = 'opportunity'"),
    "journeys_won": by_month("cohort_month", "sum(reached_journeys)", f"{COHORTS} where cohort_step = 'opportunity' and step = 'won'"),
    "step_exits": by_month(
        "exited_at", "count(*)", "marts.fct_funnel_step where not is_excluded and not is_skip and exited_at is not null and step <> 'won'"
    ),
    "step_exits_advanced": by_month(
        "exited_at", "count(*)", "marts.fct_funnel_step where not is_excluded and not is_skip and outcome = 'advanced' and step <> 'won'"
    ),
    **{
        f"cohort_{members}{suffix}": by_month("cohort_month", f"sum({column}{members})", f"{COHORTS} where {condition}")
        for members in ("journeys", "persons")
        for suffix, column, condition in (
            ("", "cohort_", "true"),
            ("_reached", "reached_", "true"),
            ("_next", "next_", "true"),
            ("_before_next", "reached_", "step <> 'won'"),
        )
    },
}  # fmt: skip
# By which of its dimensions a metric is asked in addition, and the report that must say the same.
BY_CHANNEL = "select channel, month_start_date as month, spend_amount_rc, credited_leads, credited_amount_rc from marts.rpt_unit_economics"


@dataclass(frozen=True)
class MetricFlow:
    """A project as `mf` wants it, beside a copy of the published file under the name that the build gave it."""

    folder: Path

    def query(self, metrics: list[str], *group_by: str) -> Iterator[dict[str, str]]:
        """Rows of one `mf query`, as text; an empty text is no value."""
        out = self.folder / "out.csv"
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("mf")), "query", "--metrics", ",".join(metrics), "--group-by", ",".join(group_by),
                "--csv", str(out),
            ],
            cwd=self.folder / "dbt_project", capture_output=True, text=True, check=False, timeout=300,
            env={
                **os.environ, "DBT_PROFILES_DIR": ".", "ONEFUNNEL_WAREHOUSE": str(self.folder / "warehouse.duckdb"),
                "DBT_LOG_PATH": str(self.folder / "logs"),
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        with out.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


@pytest.fixture(scope="module")
def metricflow(published: Published, tmp_path_factory: pytest.TempPathFactory) -> MetricFlow:
    folder = tmp_path_factory.mktemp("metricflow")
    project = folder / "dbt_project"
    (project / "target").mkdir(parents=True)
    for part in (PROJECT / "dbt_project").iterdir():
        if part.name not in ("target", "logs"):
            (project / part.name).symlink_to(part)
    built = published.home.path / "dbt" / "target" / "semantic_manifest.json"
    shutil.copyfile(built, project / "target" / built.name)
    shutil.copyfile(published.version(2), folder / "warehouse.duckdb")
    return MetricFlow(folder)


@pytest.fixture(scope="module")
def definitions(published: Published) -> dict[str, dict[str, Any]]:
    return {str(r["metric"]): dict(r) for r in published.rows("select * from metadata.metric_definitions")}


def number(text: object) -> Value:
    return None if text in (None, "") else float(str(text))


@pytest.fixture(scope="module")
def monthly(metricflow: MetricFlow, definitions: dict[str, dict[str, Any]]) -> dict[str, Series]:
    """What MetricFlow says: metric -> month -> value."""
    found: dict[str, Series] = {name: {} for name in definitions}
    for row in metricflow.query(sorted(definitions), "metric_time__month"):
        month = row["metric_time__month"][:10]
        if month:  # what has no month, such as journeys without an opportunity, is in none
            for name in definitions:
                found[name][(month,)] = number(row[name])
    return found


def expected(published: Published, sql: str) -> Series:
    return {(str(r["month"]),): number(r["value"]) for r in published.rows(sql) if r["month"] is not None}


def assert_same(found: Series, wanted: Series) -> None:
    """Equal wherever one of both has a value other than nothing and 0."""
    keys = {k for k in found.keys() | wanted.keys() if found.get(k) or wanted.get(k)}
    assert keys
    different = {
        k: (found.get(k), wanted.get(k))
        for k in keys
        if found.get(k) != pytest.approx(wanted.get(k), rel=1e-9, abs=1e-6)
    }
    assert different == {}


def test_every_metric_is_compared(definitions: dict[str, dict[str, Any]]) -> None:
    simple = {name for name, row in definitions.items() if row["metric_type"] == "simple"}
    assert simple == set(SIMPLE)
    assert {row["metric_type"] for row in definitions.values()} == {"simple", "ratio"}
    for name, row in definitions.items():
        sides = (row["numerator_metric"], row["denominator_metric"])
        assert all(sides) if row["metric_type"] == "ratio" else sides == (None, None), name
        assert row["owner"] and row["formula"] and row["version"], name


@pytest.mark.parametrize("metric", sorted(SIMPLE))
def test_a_metric_is_the_sum_of_another_table(published: Published, monthly: dict[str, Series], metric: str) -> None:
    assert_same(monthly[metric], expected(published, SIMPLE[metric]))


def test_a_ratio_metric_is_sum_over_sum(
    published: Published, monthly: dict[str, Series], definitions: dict[str, dict[str, Any]]
) -> None:
    ratios = {n: r for n, r in definitions.items() if r["metric_type"] == "ratio"}
    assert len(ratios) >= 15
    for name, row in ratios.items():
        over, under = (expected(published, SIMPLE[row[side]]) for side in ("numerator_metric", "denominator_metric"))
        wanted = {k: (over.get(k) or 0.0) / under[k] for k in under if under[k] and (k in over)}  # type: ignore[operator]
        assert len({v for v in wanted.values() if v}) > 1, f"{name} says something"
        assert_same({k: v for k, v in monthly[name].items() if k in wanted or v}, wanted)


def test_every_ratio_column_is_its_numerator_over_its_denominator(
    published: Published, definitions: dict[str, dict[str, Any]], project_columns: dict[str, dict[str, str]]
) -> None:
    assert {c["metric"]: name for name, c in project_columns.items()} == {
        n: r["report_column"] for n, r in definitions.items() if r["report_column"]
    }
    for name, said in project_columns.items():
        table, column = name.split(".")
        over, under = f"cast({said['numerator']} as double)", f"cast({said['denominator']} as double)"
        rows = published.ask(
            f"select count(*) from (select {column} as said, {over} / nullif({under}, 0) as divided from marts.{table})"
            " where coalesce(abs(said - divided) > 1e-12, said is distinct from divided)"
        )
        assert rows == 0, name
        assert published.ask(f"select count(distinct {column}) from marts.{table}") > 1, f"{name} says something"  # type: ignore[operator]


@pytest.fixture(scope="module")
def project_columns(published: Published) -> dict[str, dict[str, str]]:
    """table.column of every ratio -> what the project says of it."""
    manifest = json.loads((published.home.path / "dbt" / "target" / "manifest.json").read_text())
    return {
        f"{node['name']}.{column['name']}": column["config"]["meta"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["schema"] in ("marts", "metadata")
        for column in node["columns"].values()
        if column["config"]["meta"].get("metric")
    }


def test_ratios_along_a_shared_axis_are_those_of_the_report(published: Published, metricflow: MetricFlow) -> None:
    """Spend and credit meet by channel and month in MetricFlow as they do in the mart."""
    names = {"spend": "spend_amount_rc", "credited_leads": "credited_leads", "credited_amount": "credited_amount_rc",
             "cost_per_lead": "cost_per_lead", "roas": "roas"}  # fmt: skip
    found: dict[str, Series] = {name: {} for name in names}
    for row in metricflow.query(list(names), "metric_time__month", "channel"):
        for name in names:
            found[name][row["metric_time__month"][:10], row["channel"]] = number(row[name])
    report = published.rows("select * from marts.rpt_unit_economics")
    for name, column in names.items():
        wanted = {(str(r["month_start_date"]), str(r["channel"])): number(r[column]) for r in report}
        assert_same(found[name], wanted)


def test_ratios_of_the_funnel_are_those_of_the_report(published: Published, metricflow: MetricFlow) -> None:
    names = {"cohort_reached_rate": "reached_rate", "cohort_conversion_rate": "conversion_rate",
             "cohort_person_reached_rate": "person_reached_rate", "cohort_person_conversion_rate": "person_conversion_rate"}  # fmt: skip
    keys = ("cohort_step", "entry_step", "step")
    found: dict[str, Series] = {name: {} for name in names}
    for row in metricflow.query(list(names), "metric_time__month", *(f"funnel_cell__{key}" for key in keys)):
        for name in names:
            found[name][row["metric_time__month"][:10], *(row[f"funnel_cell__{key}"] for key in keys)] = number(
                row[name]
            )
    report = published.rows("select * from marts.rpt_funnel")
    for name, column in names.items():
        wanted = {(str(r["cohort_month"]), *(str(r[key]) for key in keys)): number(r[column]) for r in report}
        assert_same(found[name], wanted)


def test_a_cent_is_a_difference(published: Published, monthly: dict[str, Series]) -> None:
    with pytest.raises(AssertionError):
        assert_same(
            monthly["spend"],
            expected(published, by_month("month_start_date", "sum(spend_amount_rc) + 0.01", ECONOMICS)),
        )
