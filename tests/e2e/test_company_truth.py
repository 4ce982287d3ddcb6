"""The whole company against its own truth: what the marts say is what happened, to the record, the cent and the second.

The company keeps its truth in integers, computed from its own log before any file is written and by code that shares
nothing with the models.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import world
import yaml
from conftest import Home
from published import SCALE, Published, published

from onefunnel.sandbox.business.credit import BOOKINGS, MODELS
from onefunnel.sandbox.business.log import day_of, month_of
from onefunnel.sandbox.business.money import Opportunity, apportioned
from onefunnel.sandbox.business.truth import BusinessTruth
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.rates import convert, half_away

OUTCOMES = ("accepted", "deduplicated", "quarantined", "rejected")
__all__ = ["published"]  # the fixture

COMPANIES = [
    pytest.param((7, 0.2), id="seed 7, scale 0.2"),
    *(
        pytest.param((seed, scale), id=f"seed {seed}, scale {scale}", marks=pytest.mark.long)
        for seed in (1, 2, 3)
        for scale in (0.2, 1.0)
    ),
]


@dataclass
class World:
    """A company after some days, built day by day, and what must be true of it."""

    home: Home
    truth: BusinessTruth

    @property
    def as_of(self) -> int:
        """The second that the marts speak of."""
        return self.truth.files.business.as_of(self.truth.day)

    @property
    def each_day(self) -> list[BusinessTruth]:
        """The truth of each day until now."""
        return [BusinessTruth(self.truth.files, day) for day in range(1, self.truth.day + 1)]

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return world.ask(world.warehouse(self.home), sql)


@pytest.fixture(scope="module", params=COMPANIES)
def company(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    seed, scale = request.param
    if (seed, scale) == (Company.seed, SCALE):
        shared: Published = request.getfixturevalue("published")
        yield World(shared.home, shared.truth)
        return
    simulated = Company(seed=seed, scale=scale, business=True)
    home = world.company_home(tmp_path_factory.mktemp("company") / "home")
    for day in (1, 2):
        world.deliver(home, simulated, day)
        world.run_without_gates(home, f"day{day}", world.instant(simulated, day))
    yield World(home, simulated.business_truth(2))


def persons(company: World) -> dict[str, str | None]:
    """person_key -> the truth's name of the person."""
    rows = company.ask(
        "select distinct person_key, person_kind || ':' || person_id from intermediate.int_identity__persons"
    )
    return {**dict(rows), "-1": None}


def accounts(company: World) -> dict[str, str | None]:
    """account_key -> the source's id of the surviving account."""
    rows = company.ask(
        "select distinct account_key, account_id from intermediate.int_identity__persons where account_key <> '-1'"
    )
    return {**dict(rows), "-1": None}


def campaigns(company: World) -> dict[str, str | None]:
    """campaign_key -> the truth's name of the campaign."""
    rows = company.ask(
        "select distinct campaign_key, source_system || '/' || ad_account_id || '/' || campaign_id from marts.dim_campaign"
    )
    return {**dict(rows), "-1": None}


def test_the_row_ledger_is_the_truth_of_every_stream(company: World) -> None:
    """Per stream: what was extracted, and what became of it; and nothing is left over in any load."""
    rows = company.ask(
        "select source_system, stream, sum(rows_extracted), sum(rows_loaded), sum(rows_deduplicated), sum(rows_quarantined),"
        " sum(rows_rejected), sum(abs(row_difference)) from metadata.row_ledger group by all"
    )
    delivered: dict[tuple[str, str], Counter[str]] = {}
    for day in company.each_day:
        for part in (*day.spend.deliveries.values(), *day.deliveries.values()):
            delivered.setdefault((part.source, part.stream), Counter()).update(part.outcomes)
    assert_equal(
        {tuple(row[:2]): tuple(row[2:]) for row in rows},
        {stream: (c.total(), *(c[outcome] for outcome in OUTCOMES), 0) for stream, c in delivered.items()},
    )
    declared = yaml.safe_load(company.home.config.read_text())["sources"]
    assert delivered.keys() == {(name, stream) for name, source in declared.items() for stream in source["streams"]}
    assert all(any(c[outcome] for c in delivered.values()) for outcome in OUTCOMES)


def test_what_is_not_loaded_is_what_was_planted_and_nothing_else(company: World) -> None:
    found = {
        (*row[:4], outcome)
        for outcome, table in (("quarantined", "rejected"), ("deduplicated", "deduplicated"))
        for row in company.ask(f"select source_system, stream, _file, _line from intermediate.int_quality__{table}")
    }
    for path in company.home.path.glob("landing/*/*/load=*/rejects.parquet"):
        found |= {
            (r["_source"], r["_stream"], r["_file"], r["_line"], "rejected") for r in pq.read_table(path).to_pylist()
        }
    planted = {
        (fate.source, fate.stream, fate.file, fate.line, fate.outcome)
        for day in company.each_day
        for file in day.deliveries.values()
        for fate in file.fates
        if fate.outcome != "accepted"
    }
    of_the_business = {source for source, *_ in planted}
    assert {f for f in found if f[0] in of_the_business} == planted
    assert {outcome for *_, outcome in planted} == {"quarantined", "deduplicated", "rejected"}


def test_every_touch_has_its_moment_person_channel_and_campaign(company: World) -> None:
    who, firm, what = persons(company), accounts(company), campaigns(company)
    found = {
        row[0]: (*row[1:3], who[row[3]], firm[row[4]], row[5], f"crm/{row[7]}" if row[7] else what[row[6]], *row[8:])
        for row in company.ask(
            "select touch_id, touch_type, epoch_ms(occurred_at), person_key, account_key, channel, campaign_key, crm_campaign_id,"
            " exclude_reason, is_response from marts.fct_touch"
        )
    }
    expected = {
        touch_id: (
            *(touch.touch_type, touch.at_ms, touch.person, touch.account_id, touch.channel, touch.campaign),
            *(touch.reason, touch.touch_type not in ("delivered", "open", "other")),
        )
        for touch_id, touch in company.truth.touches.items()
    }
    assert_equal(found, expected)


def test_account_history_is_what_the_crm_said_on_each_day(company: World) -> None:
    """For every delivered day: the version that holds the day is the record as it stood at the day's end."""
    business = company.truth.files.business
    log = business.log(company.truth.day)
    what = "account_name parent_account_id segment industry country region territory_id owner_id is_target"
    said, days = {}, []
    for number in range(1, company.truth.day + 1):
        days.append(business.simulation.date_of(number))
        for account_id, fields in log.states("accounts", business.until(number)).items():
            values = [fields.get(name) for name in what.split()]
            said[account_id, days[-1]] = (*values[:-1], bool(values[-1]), fields.get("merged_into_id") is not None)
    rows = company.ask(
        "select version.account_id, day, version.account_name, parent.account_id, version.segment, version.industry,"
        " version.country, version.region, territory.territory_id, owner.user_id, version.is_target, version.is_merged"
        f" from unnest({[str(day) for day in days]}::date[]) as days (day)"
        " inner join marts.dim_account_history as version on day >= version.valid_from and day < version.valid_to"
        " left join marts.dim_account as parent on version.parent_account_key = parent.account_key"
        " inner join marts.dim_territory as territory on version.territory_key = territory.territory_key"
        " inner join marts.dim_rep as owner on version.owner_rep_key = owner.rep_key"
        " where version.account_key <> '-1'"
    )
    found = {(row[0], row[1]): tuple(row[2:]) for row in rows}
    assert len(found) == len(rows) == len({row[0] for row in rows}) * len(days)
    assert_equal({key: found.get(key) for key in said}, said)


def test_rep_history_is_who_had_which_territory_on_each_day(company: World) -> None:
    business = company.truth.files.business
    staff, last = business.scene.staff, business.simulation.date_of(company.truth.day)
    days = [staff.first_day + dt.timedelta(days=n) for n in range((last - staff.first_day).days + 1)]
    rows = company.ask(
        "select user_id, date_day, nullif(territory_id, 'unknown') from marts.dim_rep_history"
        " inner join marts.dim_territory using (territory_key)"
        f" inner join marts.dim_date on date_day between date '{days[0]}' and date '{days[-1]}'"
        " and date_day >= valid_from and date_day < valid_to where rep_key <> '-1'"
    )
    found = {tuple(row[:2]): row[2] for row in rows}
    assert len(found) == len(rows)
    assert_equal(found, {(user, day): staff.territory(user, day) for user in {row[0] for row in rows} for day in days})
    held = {(user, territory) for (user, _), territory in found.items() if territory}
    assert len(held) > len({user for user, _ in held}), "nobody moved: the test says nothing"


def test_spend_is_the_truth_of_each_campaign_and_day(company: World) -> None:
    found = {
        tuple(row[:5]): (int(row[5].scaleb(6)), int(row[6].scaleb(6)))
        for row in company.ask(
            "select source_system, ad_account_id, campaign_id, spend_date, currency, sum(spend_amount), sum(spend_amount_rc)"
            " from marts.fct_ad_spend where is_current group by all"
        )
    }
    spend = company.truth.spend
    assert_equal(found, {tuple(key): (micro, spend.converted[key].amount_micro) for key, micro in spend.spend.items()})


def test_credit_is_the_truth_to_the_millionth_and_the_cent(company: World) -> None:
    rows = company.ask(
        "select credit.conversion_id, credit.model, touch.touch_id, credit.unattributed_reason, credit.weight_micro,"
        " cast(credit.credited_amount_rc * 100 as bigint)"
        " from marts.fct_credit as credit left join marts.fct_touch as touch using (touch_key)"
        " where credit.model in ('first', 'last', 'linear')"  # those of which the company knows the truth
    )
    expected = [
        (r.conversion_id, r.model, r.touch_id, r.reason, r.weight_micro, r.eur_cents) for r in company.truth.credit_rows
    ]
    found, wanted = Counter(rows), Counter(expected)
    assert (list((found - wanted).elements())[:5], list((wanted - found).elements())[:5]) == ([], [])
    assert {r[3] for r in rows} == {r.reason for r in company.truth.credit_rows} >= {None, "no_touch"}


def test_every_booking_is_credited_as_in_the_truth_and_each_month_ties_out(company: World) -> None:
    rows = company.ask(
        "select revenue.event_id, strftime(credit.booked_date, '%Y-%m'), credit.model, touch.touch_id, credit.unattributed_reason,"
        " credit.weight_micro, cast(credit.credited_amount_rc * 100 as bigint) from marts.fct_revenue_credit as credit"
        " inner join marts.fct_revenue as revenue using (revenue_key) left join marts.fct_touch as touch using (touch_key)"
    )
    found = Counter(rows)
    wanted = Counter(
        (r.event_id, r.month, r.model, r.touch_id, r.reason, r.weight_micro, r.eur_cents)
        for r in company.truth.booking_rows
    )
    assert (list((found - wanted).elements())[:5], list((wanted - found).elements())[:5]) == ([], [])

    booked: Counter[tuple[str, str]] = Counter()
    for booking in company.truth.bookings.values():
        if booking.event_type in BOOKINGS:
            booked.update(dict.fromkeys(((m, booking.month) for m in MODELS), booking.eur_cents or 0))
    credited: Counter[tuple[str, str]] = Counter()
    for row in rows:
        credited[row[2], row[1]] += row[6]
    assert_equal(dict(credited), dict(booked))
    of_channels = company.ask(
        "select 'linear', strftime(month_start_date, '%Y-%m'), cast(sum(credited_amount_rc) * 100 as bigint)"
        " from marts.rpt_unit_economics group by all"
    )
    assert {tuple(k): cents for *k, cents in of_channels if cents} == {
        k: cents for k, cents in booked.items() if k[0] == "linear" and cents
    }
    standing = company.ask("select count(*) filter (where is_win_reversed), count(*) from marts.fct_revenue_credit")
    assert 0 < standing[0][0] < standing[0][1], "wins were taken back, and what was booked for them is credited"


def test_unit_economics_are_the_truth_of_each_channel_and_month(company: World) -> None:
    found = {
        (channel, month): tuple(figures)
        for channel, month, *figures in company.ask(
            "select channel, strftime(month_start_date, '%Y-%m'), cast(spend_amount_rc * 1000000 as bigint),"
            " cast(credited_leads * 1000000 as bigint), cast(credited_deals * 1000000 as bigint),"
            " cast(credited_amount_rc * 100 as bigint) from marts.rpt_unit_economics"
        )
    }
    expected = {
        (channel, month): (cell.spend_micro, cell.leads_micro, cell.won_micro, cell.credited_cents)
        for (model, channel, month), cell in company.truth.economics.items()
        if model == "linear"
    }
    assert found == expected


def test_no_personal_text_is_beyond_staging(company: World) -> None:
    """Names and addresses that the files hold are found in their personal part and in no other table."""
    canaries = {
        row[0]
        for path in sorted(Path(company.home.path).glob("landing/crm/leads/*/personal.parquet"))
        for row in world.duckdb.connect()
        .execute("select email from read_parquet(?) where email <> ''", [str(path)])
        .fetchall()
    }
    assert len(canaries) > 100
    found = world.text_columns_with(world.warehouse(company.home), "[a-z0-9]@[a-z0-9-]+[.]example")
    assert [column for column in found if ".stg_ledger__" not in column] == []


def seconds(moment: dt.datetime | None) -> int | None:
    """A UTC moment of the warehouse as the truth counts it."""
    return None if moment is None else int(moment.replace(tzinfo=dt.UTC).timestamp())


def assert_equal(found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    """Equal, or the first keys that are not, with both sides."""
    different = [k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k)]
    assert [(k, found.get(k), expected.get(k)) for k in sorted(different, key=str)[:5]] == []
    assert expected


def test_journeys_and_steps_are_the_truth_to_the_second(company: World) -> None:
    who = persons(company)
    journeys = {
        row[0]: (row[1], None if row[2] == "open" else row[2], seconds(row[3]), who[row[4]], row[5], row[6], row[7])
        for row in company.ask(
            "select journey_id, entry_step_order, outcome, ended_at, person_key, lead_id, opportunity_id,"
            " strftime(cohort_month, '%Y-%m') from marts.fct_journey where not is_excluded"
        )
    }
    assert_equal(
        journeys,
        {
            k: (j.entry_step, j.outcome, j.ended_at, j.person, j.lead_id, j.opportunity_id, j.cohort)
            for k, j in company.truth.journeys.items()
        },
    )
    steps = {
        tuple(row[:3]): (seconds(row[3]), seconds(row[4]), *row[5:])
        for row in company.ask(
            "select journey_id, step_order, attempt_no, entered_at, exited_at, is_skip, is_regression, is_reopen"
            " from marts.fct_funnel_step where not is_excluded"
        )
    }
    assert_equal(
        steps,
        {
            (r.journey_id, r.step, r.attempt_no): (r.entered_at, r.exited_at, r.is_skip, r.is_regression, r.is_reopen)
            for r in company.truth.step_rows
        },
    )


def test_cohorts_reach_what_they_reach(company: World) -> None:
    orders = dict(company.ask("select step, step_order from marts.dim_funnel_step where is_current"))
    found = {
        (orders[entry], month, step): count
        for entry, month, step, count in company.ask(
            "select entry_step, strftime(cohort_month, '%Y-%m'), step_order, reached_journeys from marts.rpt_funnel"
            " where cohort_step = entry_step"
        )
    }
    assert_equal(
        found,
        {
            (entry, month, step): n
            for (entry, month), steps in company.truth.reached.items()
            for step, n in steps.items()
        },
    )


def test_first_responses_are_the_truth_to_the_business_minute(company: World) -> None:
    found = {
        row[0]: (seconds(row[1]), seconds(row[2]), row[3], seconds(row[4]), row[5])
        for row in company.ask(
            "select steps.journey_id, steps.entered_at, handoffs.assigned_at, handoffs.assignee_id, handoffs.first_response_at,"
            " handoffs.response_business_minutes from intermediate.int_funnel__handoffs as handoffs"
            " inner join marts.fct_funnel_step as steps using (journey_id, row_no)"
            " where not steps.is_excluded and handoffs.assigned_at is not null and not exists"
            " (select 1 from intermediate.int_funnel__handoffs as before where before.journey_id = handoffs.journey_id"
            " and before.row_no < handoffs.row_no)"
        )
    }
    assert_equal(
        found,
        {
            k: (a.scored_at, a.assigned_at, a.assignee, a.answered_at, a.business_minutes)
            for k, a in company.truth.answers.items()
        },
    )


def test_time_in_steps_is_the_truth_to_the_second(company: World) -> None:
    steps = {
        tuple(row[:3]): row[3]
        for row in company.ask(
            "select journey_id, step_order, attempt_no, seconds_in_step from marts.fct_funnel_step where not is_excluded"
        )
    }
    expected = {
        (r.journey_id, r.step, r.attempt_no): (company.as_of if r.exited_at is None else r.exited_at) - r.entered_at
        for r in company.truth.step_rows
    }
    assert_equal(steps, expected)
    journeys = dict(company.ask("select journey_id, open_seconds from marts.fct_journey where not is_excluded"))
    of_journeys: Counter[str] = Counter()
    for (journey_id, *_), spent in expected.items():
        of_journeys[journey_id] += spent
    assert_equal(journeys, dict(of_journeys))


def test_handoffs_are_the_truth_to_the_business_minute(company: World) -> None:
    found = {
        tuple(row[:2]): (seconds(row[2]), row[3], seconds(row[4]), *row[5:])
        for row in company.ask(
            "select journey_id, attempt_no, entered_at, routing_business_minutes, due_at, is_sla_met, handoff_outcome, is_handoff_implicit,"
            " is_handoff_late from marts.fct_funnel_step where handoff_outcome is not null and not is_excluded"
        )
    }
    assert_equal(found, {k: tuple(handoff[1:]) for k, handoff in company.truth.handoffs.items()})
    assert {h.outcome for h in company.truth.handoffs.values()} == {"accepted", "rejected", "expired", "pending"}


def test_what_happened_in_each_month_is_the_truth(company: World) -> None:
    orders = dict(company.ask("select step, step_order from marts.dim_funnel_step where is_current"))
    found = {
        (month, orders[step]): tuple(counts)
        for month, step, *counts in company.ask(
            "select strftime(activity_month, '%Y-%m'), step, entries, reversals, exits, advanced_exits, accepted_handoffs,"
            " decided_handoffs, sla_met_handoffs, sla_due_handoffs from marts.rpt_funnel_activity"
        )
    }
    expected: dict[tuple[str, int], list[int]] = {
        (month, step): [0] * 8
        for month in {m for m, _ in company.truth.activity}
        for step in orders.values()
        if step > 0
    }
    for cell, activity in company.truth.activity.items():
        expected[cell][:4] = [activity.entries, activity.reversals, activity.exits, activity.advanced]
    for handoff in company.truth.handoffs.values():
        counts = expected[month_of(handoff.scored_at), 20]
        counts[4] += handoff.outcome == "accepted"
        counts[5] += handoff.outcome != "pending"
        counts[6] += handoff.is_sla_met is True
        counts[7] += handoff.is_sla_met is not None
    assert_equal(found, {cell: tuple(counts) for cell, counts in expected.items()})


def test_what_is_outside_the_funnel_is_counted_and_named(company: World) -> None:
    found = company.ask(
        "select 'leads', exclude_reason, count(distinct lead_id) from marts.fct_journey where exclude_reason in ('test', 'deleted')"
        " and opportunity_id is null group by all"
        " union all select 'opportunities', exclude_reason, count(distinct opportunity_id) from marts.fct_journey"
        " where is_excluded and opportunity_id is not null group by all"
    )
    assert_equal(Counter({f"{reason}_{what}": n for what, reason, n in found}), company.truth.outside)
    unknown = [
        fate
        for day in company.each_day
        for file in day.deliveries.values()
        for fate in file.fates
        if fate.kind == "unknown_lead"
    ]
    left_out = company.ask(
        "select source_system, record_type, reason, count(*) from metadata.funnel_left_out group by all"
    )
    assert left_out == ([("crm", "lead_change", "unknown_record", len(unknown))] if unknown else [])


def test_opportunities_are_the_truth(company: World) -> None:
    found = {
        row[0]: (
            row[1],
            row[2],
            None if row[3] is None else int(row[3].scaleb(6)),
            *row[4:6],
            seconds(row[6]),
            seconds(row[7]),
            *row[8:11],
            None if row[11] is None else int(row[11].scaleb(2)),
            row[12],
        )
        for row in company.ask(
            "select opportunity.opportunity_id, nullif(account.account_id, 'unknown'), rep.user_id, opportunity_amount, currency,"
            " case when is_won then 'won' when is_lost then 'lost' else 'open' end, opportunity.created_at, won_at, reopen_count,"
            " is_test, opportunity.is_deleted, opportunity_amount_rc, cycle_days from marts.fct_opportunity as opportunity"
            " inner join marts.dim_account as account using (account_key)"
            " inner join marts.dim_rep as rep on opportunity.owner_rep_key = rep.rep_key"
        )
    }

    def worth(o: Opportunity) -> int | None:
        """Cents of EUR, at the rate of the day on which it was closed or of today."""
        day = day_of(company.as_of if o.closed_at is None else o.closed_at)
        micro = None if o.amount_micro is None else convert(o.amount_micro, o.currency, day, rates).amount_micro
        return None if micro is None else half_away(micro, 10_000)

    rates = {(rate.currency, rate.rate_date): rate.nano for rate in company.truth.spend.rates}
    assert_equal(
        found,
        {
            o.opportunity_id: (
                *(o.account_id, o.owner_id, o.amount_micro, o.currency, o.state, o.created_at, o.won_at),
                *(o.reopen_count, o.is_test, o.is_deleted, worth(o)),
                None if o.closed_at is None else (day_of(o.closed_at) - day_of(o.created_at)).days,
            )
            for o in company.truth.opportunities.values()
        },
    )


def test_bookings_are_the_truth_to_the_cent(company: World) -> None:
    found = {
        row[0]: (*row[1:3], seconds(row[3]), int(row[4].scaleb(6)), row[5], int(row[6].scaleb(2)), *row[7:])
        for row in company.ask(
            "select event_id, event_type, nullif(account.account_id, 'unknown'), booked_at, booked_amount, fact.currency,"
            " booked_amount_rc, rep.user_id, nullif(territory.territory_id, 'unknown') from marts.fct_revenue as fact"
            " inner join marts.dim_account as account using (account_key)"
            " inner join marts.dim_rep as rep on fact.owner_rep_key = rep.rep_key"
            " inner join marts.dim_territory as territory on fact.territory_key = territory.territory_key"
        )
    }
    truth = company.truth.bookings.values()
    assert_equal(
        found,
        {
            b.event_id: (
                b.event_type,
                b.account_id,
                b.booked_at,
                b.amount_micro,
                b.currency,
                b.eur_cents,
                b.owner_id,
                b.territory_id,
            )
            for b in truth
        },
    )
    by_month = {
        (month, territory): int(amount.scaleb(2))
        for month, territory, amount in company.ask(
            "select strftime(booked_date, '%Y-%m'), nullif(territory.territory_id, 'unknown'), sum(booked_amount_rc)"
            " from marts.fct_revenue as fact inner join marts.dim_territory as territory using (territory_key) group by all"
        )
    }
    expected: Counter[tuple[str, str | None]] = Counter()
    for booking in truth:
        expected[booking.month, booking.territory_id] += booking.eur_cents or 0
    assert_equal(by_month, dict(expected))
    shares = {
        tuple(row[:2]): int(row[2].scaleb(2))
        for row in company.ask(
            "select event_id, rep.user_id, share_amount_rc from marts.fct_revenue_share as shares"
            " inner join marts.fct_revenue using (revenue_key) inner join marts.dim_rep as rep using (rep_key) where not shares.is_overlay"
        )
    }
    splits = company.truth.money.splits
    assert_equal(
        shares,
        {
            (b.event_id, user): cents
            for b in truth
            for user, cents in apportioned(b.eur_cents or 0, splits[b.opportunity_id]).items()
        },
    )


def test_plans_are_the_truth(company: World) -> None:
    found = {
        tuple(row[:5]): int(row[5].scaleb(6))
        for row in company.ask(
            "select metric, owner_type, owner_id, period_start, scenario, plan_value from marts.fct_plan"
            " where is_current_version and stream = 'plan_values'"
        )
    }
    assert_equal(found, company.truth.plan)


def test_every_measure_reconciles_in_every_currency(company: World) -> None:
    rows = company.ask("select measure, currency, difference from metadata.reconciliation")
    assert {m for m, *_ in rows} == {"spend_amount", "booked_amount", "opportunity_amount", "plan_value"}
    assert [r for r in rows if r[2]] == []
