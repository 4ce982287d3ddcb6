"""Every question of docs/sql is answered by the published company, and its figures are those of other tables or the truth."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from conftest import PROJECT
from published import DAYS, Published, Row, published

from onefunnel.sandbox.business.truth import BusinessTruth

__all__ = ["published"]  # the fixture

BOOK = PROJECT / "docs" / "sql"
FILES = sorted(BOOK.glob("*.sql"))
HEAD = ("Question", "Asked by", "Grain", "How to read it", "Unit", "Ratios", "Pitfalls")
BOOKED = ("new", "renewal", "expansion", "reversal")
FLAW = "-x"  # in the id of what the sandbox plants as an additional record
# The run is of 2 April 2026: twelve full months and four full quarters end with March.
YEAR = "between date '2025-04-01' and date '2026-03-31'"
Rows = list[Row]


def head_of(path: Path) -> dict[str, str]:
    """What the comments above the SQL say, by their first words."""
    found: dict[str, str] = {}
    name = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("--"):
            break
        named = re.match(r"-- ([A-Z][A-Za-z ]+): (.+)", line)
        if named:
            name = named[1]
            found[name] = named[2]
        else:
            found[name] += " " + line.removeprefix("--").strip()
    return found


def ratios_of(path: Path) -> dict[str, tuple[str, str]]:
    """Ratio column -> its numerator's and denominator's columns, as the head says."""
    said = head_of(path)["Ratios"]
    parts = [] if said == "none" else [part.strip() for part in said.split(";")]
    found = [re.fullmatch(r"(\w+) = (\w+) / (\w+)", part) for part in parts]
    return {m[1]: (m[2], m[3]) for m in found if m}


# -- the files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_says_what_it_answers(path: Path) -> None:
    head = head_of(path)
    assert tuple(head) == HEAD
    assert head["Question"].endswith("?") or head["Question"].endswith("why?")
    assert re.search(r"\bone row\b", head["Grain"])
    assert head["Ratios"] == "none" or len(ratios_of(path)) == head["Ratios"].count("=")
    assert (BOOK / "README.md").read_text().count(
        f"| {head['Question']} | {head['Asked by']} | [{path.name}]({path.name}) |"
    ) == 1


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_means_the_same_to_duckdb_and_spark(path: Path) -> None:
    sql = path.read_text(encoding="utf-8")
    one_statement = sqlglot.parse(sql, read="duckdb")
    assert len(one_statement) == 1 and isinstance(one_statement[0], sqlglot.exp.Select)
    tables = {f"{t.db}.{t.name}" for t in one_statement[0].find_all(sqlglot.exp.Table) if t.db}
    assert tables and {name.split(".")[0] for name in tables} <= {"marts", "metadata"}
    as_duckdb, as_spark = (sqlglot.transpile(sql, read=engine, write="spark")[0] for engine in ("duckdb", "spark"))
    # Spark's sessions run in UTC, where both of its types are the same moment.
    assert as_duckdb.replace("TIMESTAMP_NTZ", "TIMESTAMP") == as_spark


def test_every_question_is_listed_and_tied() -> None:
    assert len(FILES) >= 12
    assert set(TIES) == {p.stem for p in FILES}
    assert set(re.findall(r"\]\((\w+)\.sql\)", (BOOK / "README.md").read_text())) == set(TIES)
    assert "docs/sql" in (PROJECT / "README.md").read_text()


# -- the answers -------------------------------------------------------------------------------------------------------


@cache
def answer(company: Published, stem: str) -> Rows:
    return company.rows((BOOK / f"{stem}.sql").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_an_answer_is_readable(published: Published, path: Path) -> None:
    rows = answer(published, path.stem)
    assert rows
    names = list(rows[0])
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names), "every column has a name of its own"
    has_money = any(name.endswith("_rc") for name in names)
    assert has_money == ("reporting_currency" in names) == ("reporting_currency" in head_of(path)["Unit"])
    assert {row["reporting_currency"] for row in rows} == {"EUR"} if has_money else True


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_ratio_is_its_numerator_over_its_denominator(published: Published, path: Path) -> None:
    rows, ratios = answer(published, path.stem), ratios_of(path)
    described = published.rows(f"describe {path.read_text()}")
    doubles = {str(r["column_name"]) for r in described if r["column_type"] == "DOUBLE"}
    percentiles = {name for name in doubles if re.match(r"(median|p90)_", name)}
    assert doubles - percentiles == set(ratios), "what is a division is a ratio with both sides beside it"
    for ratio, (over, under) in ratios.items():
        compared = 0
        for row in rows:
            if row[ratio] is None:
                continue
            assert float(row[ratio]) == pytest.approx(float(row[over]) / float(row[under]), rel=1e-9), (ratio, row)  # type: ignore[arg-type]
            compared += 1
        assert compared, f"{ratio} has no value in any row"


def test_no_answer_names_a_person(published: Published) -> None:
    names = {str(r["full_name"]) for r in published.rows("select full_name from marts.dim_rep where rep_key <> '-1'")}
    assert len(names) > 10
    said = {str(v) for path in FILES for row in answer(published, path.stem) for v in row.values()}
    assert said & names == set()
    assert [text for text in said if "@" in text] == []


def test_the_command_line_answers_a_question_as_the_readme_says(published: Published) -> None:
    said = re.search(r"onefunnel (query --file docs/sql/\w+\.sql --format csv)", (BOOK / "README.md").read_text())
    assert said
    lines = published.home.cli(*said[1].split()).stdout.splitlines()
    rows = answer(published, "win_rates")
    assert lines[0].split(",") == list(rows[0]) and len(lines) == len(rows) + 1
    for wrong in ([], ["select 1", "--file", "x.sql"], ["--file", "no-such-file.sql"]):
        done = published.home.cli("query", *wrong)
        assert done.returncode == 2 and "Traceback" not in done.stderr, wrong


# -- tied to other figures ---------------------------------------------------------------------------------------------


def total(rows: Iterable[Row], column: str) -> Any:
    return sum((row[column] for row in rows if row[column] is not None), start=Decimal(0))  # type: ignore[misc]


def by(rows: Iterable[Row], *keys: str, of: str) -> dict[tuple[object, ...], Any]:
    """Sums of a column per group; groups that sum to nothing are left out."""
    found: dict[tuple[object, ...], Any] = defaultdict(Decimal)
    for row in rows:
        found[tuple(row[key] for key in keys)] += row[of] or 0  # type: ignore[operator]
    return {key: value for key, value in found.items() if value}


def month_of(seconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m}"


def trusted(rows: Rows, company: Published) -> None:
    truth = company.truth
    planted = Counter(
        fate.source
        for day in DAYS
        for file in BusinessTruth(truth.files, day).deliveries.values()
        for fate in file.fates
        if fate.outcome == "quarantined"
    )
    of_the_business = [r for r in rows if r["source_system"] in planted]
    assert by(of_the_business, "source_system", of="quarantined_rows") == {(s,): n for s, n in planted.items()} != {}
    ever = company.ask("select sum(rows_quarantined) from metadata.row_ledger")
    assert total(rows, "quarantined_rows") <= ever  # type: ignore[operator]
    assert {r["unreconciled_lines"] for r in rows} == {0} and total(rows, "reconciled_lines") > 10


def spent_and_returned(rows: Rows, company: Published) -> None:
    truth = [cell for (model, *_), cell in company.truth.economics.items() if model == "linear"]
    assert total(rows, "spend_amount_rc").scaleb(6) == sum(cell.spend_micro for cell in truth)
    assert total(rows, "credited_amount_rc").scaleb(2) == sum(cell.credited_cents for cell in truth)
    assert total(rows, "credited_leads").scaleb(6) == sum(cell.leads_micro for cell in truth)
    unattributed = [r for r in rows if r["channel_name"] == "Unattributed"]
    assert total(unattributed, "credited_deals") > 0 == total(unattributed, "spend_amount_rc")


def cost(rows: Rows, company: Published) -> None:
    truth = company.truth
    assert total(rows, "spend_amount_rc") == company.ask(
        "select sum(spend_amount_rc) from marts.fct_ad_spend where is_current"
    )
    assert total(rows, "leads") == len([c for c in truth.conversions.values() if c.conversion_type == "lead"])
    accounts = {c.unit for c in truth.conversions.values() if c.conversion_type == "won" and c.unit}
    assert total(rows, "new_customers") == len(accounts) > 0
    paid = company.ask(
        "select sum(credited_leads) from marts.rpt_unit_economics inner join marts.dim_channel using (channel) where is_paid"
    )
    assert total(rows, "credited_paid_leads") == paid


def budget(rows: Rows, company: Published) -> None:
    planned = "select sum(plan_amount_rc) from marts.fct_plan where metric = 'spend' and is_current_version"
    spent = "select sum(spend_amount_rc) from marts.fct_ad_spend where is_current"
    assert total(rows, "budget_amount_rc") == company.ask(planned)
    assert total(rows, "spend_of_budgeted_rc") + total(rows, "spend_without_budget_rc") == company.ask(spent)
    assert total(rows, "spend_of_budgeted_rc") > total(rows, "spend_without_budget_rc") > 0


def models(rows: Rows, company: Published) -> None:
    inside = [c for c in company.truth.conversions.values() if "2025-04" <= month_of(c.at) <= "2026-03"]
    ids = {c.conversion_id for c in inside}
    for model in ("first", "last", "linear"):
        counts = by(rows, "conversion_type", of=f"{model}_conversions")
        assert counts == {(kind,): len([c for c in inside if c.conversion_type == kind]) for kind in ("lead", "won")}
        credited = [r for r in company.truth.credit_rows if r.model == model and r.conversion_id in ids]
        assert total(rows, f"{model}_amount_rc").scaleb(2) == sum(r.eur_cents or 0 for r in credited)
    assert any(row["first_conversions"] != row["last_conversions"] for row in rows)


def unattributed(rows: Rows, company: Published) -> None:
    nobody = [r for r in company.truth.credit_rows if r.model == "first" and r.reason]
    assert total(rows, "unattributed_conversions") == len(nobody)
    assert total(rows, "unattributed_amount_rc").scaleb(2) == sum(r.eur_cents or 0 for r in nobody)
    for reason in ("no_touch", "outside_lookback", "no_identity"):
        assert total(rows, reason) == len([r for r in nobody if r.reason == reason])


def losses(rows: Rows, company: Published) -> None:
    ended = company.ask(
        f"""select count(*) from marts.fct_journey as journeys
        where not is_excluded and not is_open and not is_reached_won and cast(case furthest_step_order
            when 10 then lead_at when 20 then mql_at when 30 then sal_at when 40 then opportunity_at when 50 then proposal_at
            end as date) {YEAR}"""
    )
    assert total(rows, "lost_journeys") == rows[0]["all_lost_journeys"] == ended
    owners = {(r["step_name"], r["next_step_team"]) for r in rows}
    assert ("Marketing qualified lead", "sales") in owners and ("Lead", "marketing") in owners and len(rows) == 5


def accepted_leads(rows: Rows, company: Published) -> None:
    for column in ("accepted_handoffs", "decided_handoffs"):
        other = f"select sum({column}) from marts.rpt_funnel_activity where activity_month {YEAR}"
        assert total(rows, column) == company.ask(other) > 0  # type: ignore[operator]
    for row in rows:
        decided = [row[c] for c in ("accepted_handoffs", "rejected_handoffs", "expired_handoffs")]
        assert sum(decided) == row["decided_handoffs"]  # type: ignore[arg-type]


def answered(rows: Rows, company: Published) -> None:
    activity = company.rows("select * from marts.rpt_funnel_activity")
    for column in ("sla_met_handoffs", "sla_due_handoffs"):
        assert by(rows, "handoff_month", of=column) == by(activity, "activity_month", of=column) != {}
    first = [a for a in company.truth.answers.values() if a.answered_at is not None]
    assert total(rows, "answered_handoffs") >= len(first) > 0


def unworked(rows: Rows, company: Published) -> None:
    entries = company.ask(
        "select count(*) from marts.fct_funnel_step where step = 'mql' and handoff_outcome is not null and not is_excluded"
    )
    asked = answer(company, "are_handoffs_answered_in_time")
    assert total(rows, "handoffs") == total(asked, "handoffs") == entries
    assert total(rows, "unworked_handoffs") == total(asked, "handoffs") - total(asked, "answered_handoffs") > 0
    for row in rows:
        assert row["unworked_handoffs"] == row["never_assigned"] + row["assigned_unanswered"]  # type: ignore[operator]
        ended = (row["still_pending"], row["expired"], row["rejected_unworked"], row["accepted_unworked"])
        assert row["unworked_handoffs"] == sum(ended)  # type: ignore[arg-type]


def returns(rows: Rows, company: Published) -> None:
    again = [j for j in company.truth.journeys.values() if j.lead_id and not j.journey_id.endswith("#1")]
    assert total(rows, "returned_journeys") == len(again) > 0
    assert total(rows, "won_after_return") == len([j for j in again if j.outcome == "won"])


def attainment(rows: Rows, company: Published) -> None:
    booked = company.rows(
        "select cast(date_trunc('quarter', booked_date) as date) as quarter_start_date, sum(booked_amount_rc) as amount"
        " from marts.fct_revenue where is_booking group by all"
    )
    for level in ("company", "territory"):
        of_level = [r for r in rows if r["owner_type"] == level]
        assert by(of_level, "quarter_start_date", of="actual_amount_rc") == by(
            booked, "quarter_start_date", of="amount"
        )
    targets = company.truth.plan_sums
    for row in rows:
        if row["owner_type"] == "company" and row["attainment_denominator_rc"] is not None:
            planned = targets["bookings", "company", row["quarter_start_date"], "target"]  # type: ignore[index]
            assert row["attainment_denominator_rc"].scaleb(6) == planned  # type: ignore[attr-defined]


def saved(rows: Rows, company: Published) -> None:
    [whole] = [r for r in rows if r["territory_name"] == "Company"]
    quarter = dt.date(2026, 4, 1)
    planned = Decimal(company.truth.plan_sums["bookings", "company", quarter, "target"]).scaleb(-6)
    booked = sum(
        b.eur_cents or 0 for b in company.truth.bookings.values() if b.month >= "2026-04" and b.event_type in BOOKED
    )
    assert whole["gap_amount_rc"] == planned - Decimal(booked).scaleb(-2)
    left = company.ask(
        "select count(distinct date_day) from marts.dim_working_day where calendar = 'berlin' and is_working_day"
        " and date_day between date '2026-04-02' and date '2026-06-30'"
    )
    assert (whole["days_past"], whole["days_left"]) == (1, left)
    for column, condition in (("open_pipeline_rc", "true"), ("overdue_pipeline_rc", "is_overdue")):
        is_open = "is_in_funnel and not is_won and not is_lost and close_date < date '2026-07-01'"
        other = f"select sum(opportunity_amount_rc) from marts.fct_opportunity where {is_open} and {condition}"
        parts = total(rows, column) - whole[column]  # type: ignore[operator]
        assert whole[column] == company.ask(other) == parts
    assert {r["verdict"] for r in rows} <= {
        "plan is reached", "enough is open at the usual win rate", "enough is open only with overdue deals", "more pipeline is needed",
    }  # fmt: skip


def gaps(rows: Rows, company: Published) -> None:
    for scenario in ("plan_sales", "plan_marketing", "agreed"):
        truth = {
            (start,): Decimal(value).scaleb(-6)
            for (metric, owner_type, start, name), value in company.truth.plan_sums.items()
            if (metric, owner_type, name) == ("bookings", "territory", scenario)
        }
        assert by(rows, "quarter_start_date", of=f"{scenario}_amount_rc") == truth != {}
    assert {r["nearer_team"] for r in rows} >= {"sales", "marketing", None}
    assert total(rows, "alignment_gap_amount_rc") == total(rows, "plan_sales_amount_rc") - total(
        rows, "plan_marketing_amount_rc"
    )


def wins(rows: Rows, company: Published) -> None:
    deals = [
        o
        for o in company.truth.opportunities.values()
        if not o.is_test and not o.is_deleted and FLAW not in o.opportunity_id
    ]
    for cohort in ("closed", "created"):
        of = [r for r in rows if r["cohort"] == cohort]
        assert total(of, "won_opportunities") == len([o for o in deals if o.state == "won"]) > 0
        assert total(of, "closed_opportunities") == len([o for o in deals if o.state != "open"])
        assert total(of, "opportunities") == len(
            deals if cohort == "created" else [o for o in deals if o.state != "open"]
        )
    won = by([r for r in rows if r["cohort"] == "closed"], "month_start_date", of="won_opportunities")
    months: dict[str, int] = defaultdict(int)
    for deal in deals:
        if deal.won_at is not None:
            months[month_of(deal.won_at)] += 1
    assert {f"{month:%Y-%m}": n for (month,), n in won.items()} == months


def pipeline(rows: Rows, company: Published) -> None:
    of = "from marts.fct_opportunity where is_in_funnel and not is_won and not is_lost"
    assert total(rows, "open_opportunities") == company.ask(f"select count(*) {of}")
    assert total(rows, "open_amount_rc") == company.ask(f"select sum(opportunity_amount_rc) {of}")
    owners = company.rows(
        f"select user_id as owner_id, count(*) as n {of.replace('where', 'inner join marts.dim_rep on owner_rep_key = rep_key where')} group by all"
    )
    assert by(rows, "owner_id", of="open_opportunities") == by(owners, "owner_id", of="n")


def lengths(rows: Rows, company: Published) -> None:
    deals = answer(company, "win_rates")
    closed = [r for r in deals if r["cohort"] == "closed"]
    assert total(rows, "won_opportunities") == total(closed, "won_opportunities")
    assert total(rows, "won_amount_rc") == total(closed, "won_amount_rc")
    middle = company.ask("select median(cycle_days) from marts.fct_opportunity where is_in_funnel and is_won")
    values = [float(r["median_cycle_days_won"]) for r in rows if r["median_cycle_days_won"] is not None]  # type: ignore[arg-type]
    assert min(values) <= middle <= max(values)  # type: ignore[operator]


def reasons(rows: Rows, company: Published) -> None:
    lost = f"from marts.fct_opportunity where is_lost and is_in_funnel and cast(lost_at as date) {YEAR}"
    assert (
        total(rows, "lost_opportunities") == rows[0]["all_lost_opportunities"] == company.ask(f"select count(*) {lost}")
    )
    assert (
        total(rows, "lost_amount_rc")
        == rows[0]["all_lost_amount_rc"]
        == company.ask(f"select sum(opportunity_amount_rc) {lost}")
    )


def booked(rows: Rows, company: Published) -> None:
    territories = company.rows(
        "select period_start, case when plan.territory_key = '-1' then 'Unknown territory' else territory_name end as territory_name,"
        " actual_amount_rc from marts.rpt_plan as plan inner join marts.dim_territory using (territory_key)"
        " where period_type = 'month' and owner_type = 'territory'"
    )
    assert by(rows, "month_start_date", "territory_name", of="net_amount_rc") == by(
        territories, "period_start", "territory_name", of="actual_amount_rc"
    )
    cents = sum(b.eur_cents or 0 for b in company.truth.bookings.values() if b.event_type in BOOKED)
    assert total(rows, "net_amount_rc").scaleb(2) == cents == total(rows, "net_in_current_view_rc").scaleb(2)
    back = sum(b.eur_cents or 0 for b in company.truth.bookings.values() if b.event_type == "reversal")
    assert total(rows, "taken_back_amount_rc").scaleb(2) == -back > 0


def margin(rows: Rows, company: Published) -> None:
    months = "select sum(actual_amount_rc) from marts.rpt_plan where period_type = 'month' and owner_type = 'company'"
    assert total(rows, "booked_amount_rc") == company.ask(months)
    known = "from marts.fct_revenue where is_booking and cost_amount_rc is not null"
    assert total(rows, "gross_margin_rc") == company.ask(f"select sum(booked_amount_rc) - sum(cost_amount_rc) {known}")


def changed(rows: Rows, company: Published) -> None:
    """Each week as the file that readers had the day before says it, and as the file of today does."""
    week = "cast(date_trunc('week', {}) as date)"
    sums = {
        "Spend": f"select {week.format('spend_date')} as week_start_date, sum(spend_amount_rc) as amount from marts.fct_ad_spend"
        " where is_current group by all",
        "Bookings": f"select {week.format('booked_date')} as week_start_date, sum(booked_amount_rc) as amount from marts.fct_revenue"
        " where is_booking group by all",
    }
    for name, sql in sums.items():
        before, now = (by(company.rows(sql, day), "week_start_date", of="amount") for day in (1, 2))
        of = [r for r in rows if r["number_name"] == name]
        differ = {key for key in before.keys() | now.keys() if before.get(key, 0) != now.get(key, 0)}
        assert differ <= {(r["week_start_date"],) for r in of}, "no week that changed is missing"
        for row in of:
            key = (row["week_start_date"],)
            assert (row["before_amount_rc"], row["amount_rc"]) == (before.get(key, 0), now.get(key, 0)), row
            causes = [row[c] for c in ("new_days_rc", "late_rc", "restated_rc", "corrected_rc", "rate_rc")]
            assert row["change_rc"] == row["amount_rc"] - row["before_amount_rc"] == sum(causes)  # type: ignore[operator, arg-type]
    assert total(rows, "new_days_rc") > 0 and total(rows, "restated_rc") != 0 and total(rows, "late_rc") != 0


def known_then(rows: Rows, company: Published) -> None:
    month = "cast(date_trunc('month', spend_date) as date)"
    sql = f"select {month} as month_start_date, channel_name, sum(spend_amount_rc) as amount from marts.fct_ad_spend inner join marts.dim_channel using (channel_key) where is_current group by all"
    for column, day in (("known_then_rc", 1), ("known_now_rc", 2)):
        seen = by(company.rows(sql, day), "month_start_date", "channel_name", of="amount")
        assert by(rows, "month_start_date", "channel_name", of=column) == seen
    assert total(rows, "difference_rc") != 0


TIES: dict[str, Callable[[Rows, Published], None]] = {
    "are_handoffs_answered_in_time": answered,
    "attainment_by_territory": attainment,
    "bookings_by_territory": booked,
    "budget_against_spend": budget,
    "can_the_numbers_be_trusted": trusted,
    "can_this_quarter_be_saved": saved,
    "cost_per_lead_and_customer": cost,
    "credit_models_side_by_side": models,
    "how_long_and_how_large": lengths,
    "journeys_that_return": returns,
    "leads_nobody_worked": unworked,
    "margin_by_product_family": margin,
    "pipeline_by_owner": pipeline,
    "plan_gap_between_the_teams": gaps,
    "spend_as_known_on_a_day": known_then,
    "spent_and_returned": spent_and_returned,
    "unattributed_share": unattributed,
    "which_leads_sales_accepts": accepted_leads,
    "which_step_loses_most": losses,
    "why_deals_are_lost": reasons,
    "why_last_week_changed": changed,
    "win_rates": wins,
}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_figures_are_those_of_other_tables(published: Published, path: Path) -> None:
    TIES[path.stem](answer(published, path.stem), published)
