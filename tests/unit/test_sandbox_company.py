"""The whole synthetic company: its log against worked examples by hand, and its files against the truth it tells."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from openpyxl import load_workbook

from onefunnel.errors import UsageError
from onefunnel.sandbox.business import flaws
from onefunnel.sandbox.business.business import Business
from onefunnel.sandbox.business.calendars import business_seconds, easter, holidays
from onefunnel.sandbox.business.credit import Credit
from onefunnel.sandbox.business.delivery import Files
from onefunnel.sandbox.business.identity import Identity
from onefunnel.sandbox.business.journeys import Funnel, Journey
from onefunnel.sandbox.business.log import Log, Touch, midnight
from onefunnel.sandbox.business.money import Money, apportioned
from onefunnel.sandbox.business.names import Names
from onefunnel.sandbox.business.records import Records
from onefunnel.sandbox.business.staff import Staff
from onefunnel.sandbox.business.streams import STREAMS, Stream
from onefunnel.sandbox.business.truth import BusinessTruth
from onefunnel.sandbox.business.writing import FILE_FAULTS
from onefunnel.sandbox.clock import next_day
from onefunnel.sandbox.company import DEFAULT_START, Company
from onefunnel.sandbox.simulation import Simulation

DAY = 86_400
NO_FAULTS: dict[str, Any] = {}


@lru_cache(maxsize=12)
def company(seed: int = 7, scale: float = 0.2) -> Company:
    return Company(seed=seed, scale=scale, business=True)


def write_business(of: Company, day: int, root: Path, **faults: frozenset[str]) -> list[Path]:
    return of.business_files.write(day, root, NO_FAULTS, faults)


def at(text: str) -> int:
    """Seconds of `MM-DD` of 2026, or of an ISO time."""
    full = f"2026-{text}" if len(text) == 5 else text
    return int(dt.datetime.fromisoformat(full).replace(tzinfo=dt.UTC).timestamp())


# --- the truth against worked examples ------------------------------------------------------------------------------


def tell_lead(log: Log, lead_id: str, *history: tuple[str, str], converted: str | None = None) -> None:
    for n, (status, when) in enumerate(history):
        fields: dict[str, Any] = {"status": status}
        if n == 0:
            fields |= {"created_at": at(when), "is_test": False, "is_deleted": False, "email": None}
            fields |= {"merged_into_id": None, "converted_contact_id": None, "converted_opportunity_id": None}
        if status == "Converted":
            fields["converted_opportunity_id"] = converted
        log.set(at(when), "leads", lead_id, **fields)


def tell_deal(log: Log, key: str, *history: tuple[str, str], account: str | None = None) -> None:
    for n, (stage, when) in enumerate(history):
        fields: dict[str, Any] = {"stage": stage}
        if n == 0:
            fields |= {"created_at": at(when), "is_test": False, "is_deleted": False, "account_id": account}
            fields |= {"owner_id": "U0004", "amount": 100_000_000, "currency": "EUR"}
        log.set(at(when), "opportunities", key, **fields)


NEW, MQL, SAL, CONVERTED = "New", "Marketing Qualified", "Accepted", "Converted"
OPP, PROPOSAL, WON, LOST = "Qualification", "Proposal", "Closed Won", "Closed Lost"


def ten_journeys() -> Log:
    """The ten histories of the worked example of the funnel."""
    log = Log(0)
    tell_lead(log, "J1", (NEW, "01-05"), (MQL, "01-10"), (SAL, "01-11"), (CONVERTED, "01-20"), converted="D1")
    tell_deal(log, "D1", (OPP, "01-20"), (PROPOSAL, "02-05"), (WON, "03-01"))
    tell_lead(log, "J2", (NEW, "01-08"), (MQL, "01-12"), (CONVERTED, "01-25"), converted="D2")
    tell_deal(log, "D2", (OPP, "01-25"), (LOST, "03-10"))
    tell_lead(
        log,
        "J3",
        *((NEW, "01-15"), (MQL, "01-18"), ("Recycled", "01-20"), (MQL, "03-02"), (SAL, "03-03"), (CONVERTED, "03-15")),
        converted="D3",
    )
    tell_deal(log, "D3", (OPP, "03-15"), (PROPOSAL, "04-10"))
    tell_lead(log, "J4", (NEW, "01-20"), (MQL, "01-28"), ("Expired", "01-30"))
    tell_lead(log, "J5", (NEW, "02-01"), (MQL, "02-03"), (SAL, "02-04"), (CONVERTED, "02-10"), converted="D5")
    tell_deal(log, "D5", (OPP, "02-10"), (PROPOSAL, "02-20"), (OPP, "03-05"), (PROPOSAL, "03-20"), (WON, "04-15"))
    tell_lead(
        log, "J6", (NEW, "02-05"), (MQL, "02-10"), (SAL, "2026-02-10T00:00:01"), (CONVERTED, "02-18"), converted="D6"
    )
    tell_deal(log, "D6", (OPP, "02-18"), (PROPOSAL, "03-01"), (LOST, "03-20"), (PROPOSAL, "05-04"), (WON, "05-25"))
    tell_deal(log, "D7", (OPP, "02-12"), (PROPOSAL, "02-25"), (LOST, "04-01"))
    tell_lead(log, "J8", (NEW, "02-14"), ("Disqualified", "02-20"))
    tell_lead(log, "J9", (NEW, "02-20"), (MQL, "02-24"), (SAL, "02-25"), (CONVERTED, "03-04"), converted="D9")
    tell_deal(log, "D9", (OPP, "03-04"), (PROPOSAL, "03-12"), (WON, "04-02"), (PROPOSAL, "04-20"), (LOST, "05-15"))
    return log


def funnel_of(log: Log, until: int) -> Funnel:
    return Funnel(Identity(log, until), Staff(dt.date(2026, 1, 1)))


def open_days(journey: Journey, until: int) -> int:
    return round(sum((row.exited_at or until) - row.entered_at for row in journey.rows) / DAY)


def test_the_ten_journeys_of_the_worked_example() -> None:
    until = at("06-30")
    journeys = funnel_of(ten_journeys(), until).journeys
    rows = [row for journey in journeys.values() for row in journey.rows]
    assert len(rows) == 43
    skips = [r for r in rows if r.is_skip]
    assert [(r.journey_id, r.step, r.entered_at, r.exited_at) for r in skips] == [
        ("lead:J2#1", 30, at("01-25"), at("01-25"))
    ]
    assert [(r.journey_id, r.step, r.attempt_no) for r in rows if r.is_regression] == [("lead:J5#1", 40, 2)]
    reopened = {(r.journey_id, r.step, r.attempt_no, (r.exited_at or 0) - r.entered_at) for r in rows if r.is_reopen}
    assert reopened == {("lead:J6#1", 50, 2, 21 * DAY), ("lead:J9#1", 50, 2, 25 * DAY)}
    assert {key.removeprefix("lead:"): open_days(j, until) for key, j in journeys.items()} == {
        **{"J1#1": 55, "J2#1": 61, "J3#1": 5, "J3#2": 120, "J4#1": 10, "J5#1": 73, "J6#1": 64, "J8#1": 6, "J9#1": 66},
        "opp:D7": 48,
    }
    assert Counter(j.outcome for j in journeys.values()) == Counter(
        {"won": 3, "lost": 3, "recycled": 1, "expired": 1, "disqualified": 1, None: 1}
    )


def test_cohorts_of_the_worked_example() -> None:
    reached = funnel_of(ten_journeys(), at("06-30")).reached
    assert [*reached[10, "2026-01"].values()] == [4, 4, 2, 2, 1, 1]
    assert [*reached[10, "2026-02"].values()] == [4, 3, 3, 3, 3, 2]
    assert [*reached[20, "2026-03"].values()] == [1, 1, 1, 1, 0]
    assert [*reached[40, "2026-02"].values()] == [1, 1, 0]


@pytest.mark.parametrize(("day", "won"), [("04-11", {"J1", "J9"}), ("06-01", {"J1", "J5", "J6"})])
def test_won_is_net_at_the_day_asked(day: str, won: set[str]) -> None:
    journeys = funnel_of(ten_journeys(), at(day)).journeys.values()
    assert {j.lead_id for j in journeys if j.outcome == "won"} == won


@pytest.mark.parametrize(
    ("assigned", "answered", "minutes"),
    [
        ("2026-03-27T15:50", "2026-03-30T08:15", 115),
        ("2026-04-02T15:00", "2026-04-07T07:20", 50),
        ("2026-03-27T15:50", "2026-03-28T09:00", 40),
    ],
)
def test_business_minutes_of_the_worked_example(assigned: str, answered: str, minutes: int) -> None:
    assert business_seconds("berlin", at(assigned), at(answered)) == minutes * 60


def test_holidays_are_those_of_the_calendars() -> None:
    assert [easter(year) for year in (2024, 2025, 2026)] == [
        dt.date(2024, 3, 31),
        dt.date(2025, 4, 20),
        dt.date(2026, 4, 5),
    ]
    assert {dt.date(2026, 4, 3), dt.date(2026, 4, 6), dt.date(2026, 5, 14)} <= holidays("berlin", 2026).keys()
    assert sorted(holidays("london", 2027)) == [
        dt.date(2027, 1, 1),
        dt.date(2027, 3, 26),
        dt.date(2027, 3, 29),
        dt.date(2027, 5, 3),
        dt.date(2027, 5, 31),
        dt.date(2027, 8, 30),
        dt.date(2027, 12, 27),
        dt.date(2027, 12, 28),
    ]
    assert {dt.date(2026, 7, 3), dt.date(2026, 11, 26), dt.date(2027, 12, 24)} <= (
        holidays("new_york", 2026).keys() | holidays("new_york", 2027).keys()
    )


def credit_of(log: Log, until: int) -> Credit:
    identity = Identity(log, until)
    money = Money(identity, Staff(dt.date(2026, 1, 1)), {})
    return Credit(identity, money, Names(Simulation(7, 0.2, dt.date(2026, 3, 1), 10), 1))


def test_the_account_of_the_worked_example_has_its_paths() -> None:
    log = Log(0)
    log.set(0, "accounts", "X", merged_into_id=None)
    log.set(0, "contacts", "c", account_id="X", email="a@x.example", merged_into_id=None)
    for key, day in (("x1", "01-10"), ("x2", "02-05"), ("x3", "03-20"), ("x4", "05-02")):
        log.touch(Touch(at(day) * 1000, "event", key, "attended", contact_id="c", crm_campaign_id=key))
    tell_deal(log, "A", (OPP, "02-01"), (WON, "03-01"), account="X")
    tell_deal(log, "B", (OPP, "02-10"), (WON, "06-15"), account="X")
    tell_deal(log, "C", (OPP, "07-01"), (WON, "08-01"), account="X")
    for n, (key, when) in enumerate((("A", "03-01"), ("B", "06-15"), ("C", "08-01"))):
        fields = {"event_type": "new", "account_id": "X", "reverses_event_id": None}
        log.set(at(when), "revenue_events", f"R{n}", opportunity_id=key, amount=10**8, currency="EUR", **fields)
        log.set(at(when), "opportunity_splits", key, opportunity_id=key, user_id="U0004", split_type="revenue")
        log.set(at(when), "opportunity_splits", key, split_percent=100_000_000, is_deleted=False)
    rows = [r for r in credit_of(log, at("2026-09-01")).rows if r.model == "linear"]
    assert [(r.conversion_id, r.touch_id, r.reason, r.weight_micro, r.eur_cents) for r in rows] == [
        ("won:A", "x1", None, 500_000, 5_000),
        ("won:A", "x2", None, 500_000, 5_000),
        ("won:B", "x1", None, 250_000, 2_500),
        ("won:B", "x2", None, 250_000, 2_500),
        ("won:B", "x3", None, 250_000, 2_500),
        ("won:B", "x4", None, 250_000, 2_500),
        ("won:C", None, "no_touch", 1_000_000, 10_000),
    ]


def test_a_lead_has_the_path_that_the_rules_give_it() -> None:
    log, created = Log(0), at("2026-05-04T10:00:00")
    tell_lead(log, "L", (NEW, "2026-05-04T10:00:00"))
    log.changes["leads"]["L"][0].fields["email"] = "Ann@x.example"

    def touch(key: str, offset: float, kind: str = "visit", **facts: Any) -> None:
        facts = {"visitor_id": "v", "referrer": "www.google.com", **facts}
        log.touch(Touch(round((created + offset) * 1000), "web", key, kind, **facts))

    touch("too old", -90 * DAY - 1)
    touch("first", -90 * DAY)
    touch("bot", -5 * DAY, is_bot=True)
    touch("staff", -5 * DAY, utm_source="internal")
    touch("other browser", -4 * DAY, visitor_id="w")
    touch("second", -4 * DAY)
    touch("same day and channel", -4 * DAY + 60)
    touch("same day, other channel", -4 * DAY + 61, referrer=None)
    touch("visit after", 10, referrer=None)
    touch("the form", 300, "form", email=" ann@X.example", referrer="www.linkedin.com")
    touch("late form", 300.001, "form", email="ann@x.example", referrer="blog.industry.example")
    log.touch(Touch((created - DAY) * 1000, "mail", "opened", "open", lead_id="L"))
    log.touch(Touch((created - DAY) * 1000, "mail", "clicked", "click", lead_id="L"))
    credit = credit_of(log, at("2026-06-01"))
    path, _ = credit.path(credit.conversions["lead:L"])
    assert [t.touch_id for t in path] == ["first", "second", "same day, other channel", "clicked", "the form"]
    assert [t.channel for t in path] == ["organic_search", "organic_search", "direct", "email", "organic_social"]
    assert {key for key, t in credit.touches.items() if t.is_excluded} == {"bot", "staff"}
    assert credit.touches["other browser"].person is None


@pytest.mark.parametrize(
    ("touches", "account", "reason"),
    [([], "X", "no_touch"), ([-181], "X", "outside_lookback"), ([1], "X", "no_touch"), ([-5], "nobody", "no_identity")],
)
def test_nobody_gets_credit_for_a_reason(touches: list[int], account: str, reason: str) -> None:
    log = Log(0)
    log.set(0, "accounts", "X", merged_into_id=None)
    log.set(0, "contacts", "c", account_id="X", email="a@x.example", merged_into_id=None)
    tell_deal(log, "A", (OPP, "06-01"), (WON, "06-15"), account=account)
    for days in touches:
        log.touch(Touch((at("06-15") + days * DAY) * 1000, "event", f"t{days}", "attended", contact_id="c"))
    rows = credit_of(log, at("2026-09-01")).rows
    assert {(r.touch_id, r.reason, r.weight_micro) for r in rows} == {(None, reason, 1_000_000)}


def test_merges_make_one_person_and_one_account_of_a_chain() -> None:
    log = Log(0)
    for key, into in (("a", "b"), ("b", "c"), ("c", None)):
        log.set(0, "accounts", key, merged_into_id=into)
        log.set(0, "contacts", f"k{key}", account_id=key, email=f"{key}@x.example", merged_into_id=into and f"k{into}")
    tell_lead(log, "L1", (NEW, "01-05"))
    tell_lead(log, "L2", (NEW, "01-06"), (MQL, "01-07"), (CONVERTED, "01-08"))
    log.set(at("01-08"), "leads", "L2", converted_contact_id="ka")
    log.set(at("01-09"), "leads", "L1", merged_into_id="L2")
    identity = Identity(log, at("02-01"))
    assert {identity.person_of_lead(key) for key in ("L1", "L2")} == {"contact:kc"}
    assert identity.account_of_person("contact:kc") == "c" == identity.account("a")
    assert Identity(log, at("01-08")).person_of_lead("L1") == "lead:L1"
    assert funnel_of(log, at("02-01")).journeys["lead:L1#1"].person == "contact:kc"


def test_only_a_human_who_turns_to_the_lead_has_answered() -> None:
    log = Log(0)
    tell_lead(log, "L", (NEW, "2026-05-04T07:00"), (MQL, "2026-05-04T08:00"), ("Expired", "05-20"))
    log.set(at("2026-05-04T07:30"), "leads", "L", owner_id="U0005")  # not for being scored
    log.set(at("2026-05-04T08:10"), "leads", "L", owner_id="U0004")

    def act(key: str, when: str, **facts: Any) -> None:
        usual = {"lead_id": "L", "activity_type": "call", "direction": "outbound"}
        usual |= {"is_automated": False, "is_deleted": False, "occurred_at": at(when)}
        log.set(at(when), "activities", key, **(usual | facts))

    act("before", "2026-05-04T08:05")
    act("machine", "2026-05-04T08:11", activity_type="email", is_automated=True)
    act("task", "2026-05-04T08:12", activity_type="task")
    act("inbound", "2026-05-04T08:13", direction="inbound")
    act("deleted", "2026-05-04T08:14", is_deleted=True)
    act("too late", "2026-05-21T08:00")
    assert [*funnel_of(log, at("06-01")).answers.values()] == [
        ("lead:L#1", at("2026-05-04T08:00"), at("2026-05-04T08:10"), "U0004", None, None)
    ]
    act("meeting", "2026-05-05T07:30", activity_type="meeting")
    (answer,) = funnel_of(log, at("06-01")).answers.values()
    assert (answer.answered_at, answer.business_minutes) == (at("2026-05-05T07:30"), 440 + 30)


def test_a_reversal_takes_the_territory_of_what_it_reverses_and_amounts_the_rate_of_their_day() -> None:
    log = Log(0)
    tell_deal(log, "A", (OPP, "01-05"), (WON, "02-01"), (PROPOSAL, "03-01"))
    log.set(at("02-10"), "opportunities", "A", owner_id="U0008")
    for user, percent in (("U0008", 40), ("U0004", 60)):
        facts: dict[str, Any] = {"split_type": "revenue", "split_percent": percent * 10**6, "is_deleted": False}
        log.set(at("01-05"), "opportunity_splits", user, opportunity_id="A", user_id=user, **facts)
    for key, when, amount, reverses in (("R1", "02-01", 12_345_000, None), ("R2", "03-01", -12_345_000, "R1")):
        facts = {"event_type": "reversal" if reverses else "new", "account_id": None, "currency": "USD"}
        log.set(at(when), "revenue_events", key, opportunity_id="A", amount=amount, reverses_event_id=reverses, **facts)
    rates = {("USD", dt.date(2026, 1, 30)): 918_500_000, ("USD", dt.date(2026, 2, 27)): 900_000_000}
    sold, back = Money(Identity(log, at("04-01")), Staff(dt.date(2026, 1, 1)), rates).bookings.values()
    assert (sold.eur_micro, sold.eur_cents, sold.month, sold.territory_id) == (11_338_883, 1_134, "2026-02", "T-10")
    assert (back.eur_micro, back.eur_cents, back.month, back.territory_id) == (-11_110_500, -1_111, "2026-03", "T-10")
    assert sold.shares_micro == {"U0004": 6_803_330, "U0008": 4_535_553}


def test_a_reversal_is_credited_where_the_sale_was_and_on_its_own_day() -> None:
    """Won for 123.45 dollars, opened again, won again for 50: the rates of the days differ, the touches do not."""
    log = Log(0)
    log.set(0, "accounts", "X", merged_into_id=None)
    log.set(0, "contacts", "c", account_id="X", email="a@x.example", merged_into_id=None)
    for key, day in (("t1", "01-10"), ("t2", "01-20"), ("t3", "02-20")):
        log.touch(Touch(at(day) * 1000, "event", key, "attended", contact_id="c", crm_campaign_id=key))
    tell_deal(
        log,
        "A",
        (OPP, "01-05"),
        (WON, "2026-02-01T10:00:59"),
        (PROPOSAL, "03-02"),
        (WON, "2026-04-01T10:00:59"),
        account="X",
    )
    log.set(at("01-05"), "opportunity_splits", "A", opportunity_id="A", user_id="U0004", split_type="revenue")
    log.set(at("01-05"), "opportunity_splits", "A", split_percent=100_000_000, is_deleted=False)
    for key, when, amount, reverses in (
        ("R1", "2026-02-01T10:00", 123_450_000, None),
        ("R2", "03-02", -123_450_000, "R1"),
        ("R3", "2026-04-01T10:00", 50_000_000, None),
    ):
        facts = {"event_type": "reversal" if reverses else "new", "account_id": "X", "currency": "USD"}
        log.set(at(when), "revenue_events", key, opportunity_id="A", amount=amount, reverses_event_id=reverses, **facts)
    days = {"01-30": 918_500_000, "02-27": 900_000_000, "04-01": 880_000_000}
    rates = {("USD", dt.date.fromisoformat(f"2026-{day}")): nano for day, nano in days.items()}

    def told_until(day: str) -> tuple[list[tuple[str, str, str | None, int]], dict[str, int | None]]:
        identity = Identity(log, at(day))
        money = Money(identity, Staff(dt.date(2026, 1, 1)), rates)
        credit = Credit(identity, money, Names(Simulation(7, 0.2, dt.date(2026, 3, 1), 10), 1))
        parts = [
            (r.conversion_id, r.month, r.touch_id, r.eur_cents) for r in credit.booking_rows if r.model == "linear"
        ]
        wins: Counter[str] = Counter()
        for row in credit.rows:
            wins[row.conversion_id] += (row.eur_cents or 0) if row.model == "linear" else 0
        return parts, dict(wins)

    sold = [("won:A", "2026-02", "t1", 5_670), ("won:A", "2026-02", "t2", 5_669)]
    back = [("won:A", "2026-03", "t1", -5_556), ("won:A", "2026-03", "t2", -5_555)]
    again = [("won:A#2", "2026-04", touch, cents) for touch, cents in (("t1", 1_467), ("t2", 1_467), ("t3", 1_466))]
    assert told_until("02-28") == (sold, {"won:A": 11_339})
    assert told_until("03-31") == (sold + back, {})
    assert told_until("04-30") == (sold + back + again, {"won:A#2": 4_400})


def test_exact_integers_of_the_worked_example() -> None:
    third = apportioned(1_000_000, dict.fromkeys("abc", 1))
    assert [*third.values()] == [333_334, 333_333, 333_333]
    assert [*apportioned(10_000, third).values()] == [3_334, 3_333, 3_333]
    assert [*apportioned(-10_000, third).values()] == [-3_334, -3_333, -3_333]
    assert [*apportioned(2, third).values()] == [1, 1, 0]
    assert Counter(apportioned(1_000_000, {str(n): 1 for n in range(49)}).values()) == {20_409: 8, 20_408: 41}


# --- what happens in it ---------------------------------------------------------------------------------------------

SITUATIONS = set(
    """
account_merge_chain account_merged answered_out_of_hours automated_activity booked_past_midnight_in_berlin bot
cluster_account_chain cluster_colleague cluster_contact_chain cluster_contact_twin cluster_no_deal
cluster_overlapping_deals cluster_parent cluster_plain cluster_second_deal cluster_twin_account
contact_becomes_visitor contact_merge_chain contact_merged converted_without_opportunity deal_amount_late
deal_currency_changed deal_cut deal_imported_won deal_lost deal_lost_early deal_lost_reopened_lost
deal_lost_reopened_won deal_open deal_open_early deal_owner_changed deal_pushed deal_raised deal_won
deal_won_from_proposal deal_won_regressed deal_won_reopened deal_won_reopened_lost deal_won_reopened_won
deal_won_same_day deal_won_skip lead_accepted lead_accepted_recycled lead_accepted_unscored lead_converted
lead_converted_unaccepted lead_converted_unscored lead_created_scored lead_deleted lead_disqualified lead_expired
lead_expired_back lead_expired_converted lead_handed_over lead_merge_chain lead_merged lead_mql_disqualified
lead_mql_waiting lead_never_answered lead_new_only lead_no_email lead_of_a_known_account lead_recycled
lead_recycled_back lead_recycled_back_new lead_recycled_converted lead_returned lead_stamped_after
lead_stamped_before lead_stamped_long_before lead_stamped_same_second lead_stepped_back lead_test
lead_without_touch mail_reply opportunity_deleted opportunity_of_an_unknown_account opportunity_test
opportunity_without_lead overlay_split owner_handed_over registered_and_absent reopened_after_lost
reopened_after_won revenue_churn revenue_contraction revenue_expansion revenue_renewal revenue_reversal staff
touches_in_the_same_second visit_of_a_known_person visitor_without_a_name won_before_its_first_touch
""".split()  # noqa: SIM905
)
COMPANIES = [
    pytest.param(seed, scale, marks=[pytest.mark.long] if scale == 1.0 and seed != 1 else [])
    for seed in (1, 2, 3)
    for scale in (0.2, 1.0)
]


@pytest.mark.parametrize(("seed", "scale"), COMPANIES)
def test_every_situation_occurs_in_the_history(seed: int, scale: float) -> None:
    of = company(seed, scale)
    business = of.business_files.business
    log, until = business.log(1), business.until(1)
    happened = {name for name, moments in log.situations.items() if min(moments) < until}
    assert happened >= SITUATIONS
    assert log.situations.keys() <= SITUATIONS, "a situation that no test names"


@pytest.mark.parametrize(("seed", "scale"), COMPANIES)
def test_what_the_truth_must_have_to_tell_occurs(seed: int, scale: float) -> None:
    truth = company(seed, scale).business_truth(1)
    rows, touches, journeys = truth.step_rows, truth.touches.values(), truth.journeys.values()
    assert {j.outcome for j in journeys} == {"won", "lost", "recycled", "expired", "disqualified", None}
    assert {j.entry_step for j in journeys} == {10, 20, 40, 50, 60}
    assert any(r.is_skip for r in rows) and any(r.is_regression for r in rows) and any(r.is_reopen for r in rows)
    assert {t.channel for t in touches} == {
        *("paid_search", "shopping", "display", "paid_social", "video", "organic_search", "organic_social"),
        *("referral", "partner", "email", "event", "direct"),
    }
    assert {t.reason for t in touches} == {None, "bot", "internal"}
    assert {r.reason for r in truth.credit_rows} >= {None, "no_touch"}
    assert any(t.person is None for t in touches) and any(t.account_id for t in touches)
    created = {c.unit: c.at for c in truth.conversions.values() if c.conversion_type == "lead"}
    assert any(t.person in created and t.at_ms / 1000 > created[t.person] + DAY for t in touches), "none afterwards"
    assert {b.currency for b in truth.bookings.values()} == {"EUR", "USD", "GBP"}
    assert {b.event_type for b in truth.bookings.values()} == {
        *("new", "reversal", "renewal", "expansion", "contraction", "churn")
    }
    in_berlin = {
        b.event_id: dt.datetime.fromtimestamp(b.booked_at, ZoneInfo("Europe/Berlin")) for b in truth.bookings.values()
    }
    assert any(b.month != f"{in_berlin[b.event_id]:%Y-%m}" for b in truth.bookings.values()) or scale < 1
    assert any(len(s) > 1 for s in truth.money.splits.values())
    assert any(o.account_id is None for o in truth.opportunities.values())
    assert any(o.amount_micro is None for o in truth.opportunities.values()) or scale < 1
    assert any(a.business_minutes == 0 for a in truth.answers.values())
    assert any(a.answered_at is None for a in truth.answers.values())
    assert set(truth.outside) == {"deleted_leads", "test_leads", "deleted_opportunities", "test_opportunities"}
    assert all(truth.outside.values())
    assert min(Counter(len(truth.credit.path(c)[0]) for c in truth.conversions.values())[n] for n in (0, 1, 2, 3)) > 0


@pytest.mark.parametrize(("seed", "scale"), COMPANIES)
def test_every_flaw_is_planted_in_the_history_and_they_are_few(seed: int, scale: float) -> None:
    files = company(seed, scale).business_truth(1).deliveries
    assert files.keys() == STREAMS.keys(), "day 1 has every file"
    fates = [fate for file in files.values() for fate in file.fates]
    assert {fate.kind for fate in fates} == set(flaws.KINDS)
    assert len(fates) <= 0.0045 * sum(file.records for file in files.values() if file.fates)


def test_the_company_has_the_size_that_was_asked_for() -> None:
    truth = company(7, 1.0).business_truth(1)
    web = [t for t in truth.touches.values() if t.touch_type in ("visit", "form")]
    assert 2_600 < len(truth.identity.leads) < 3_400
    assert 400 < len(truth.identity.accounts) < 700
    assert 480 < len(truth.opportunities) < 680
    assert 11_000 < len(web) < 16_000
    earned = sum(b.eur_cents or 0 for b in truth.bookings.values()) / 100
    spent = sum(truth.spend.by_channel_month.values()) / 1_000_000
    assert 1 < earned / spent < 5


def test_servers_that_ask_at_the_same_time_are_told_the_same_business() -> None:
    """Each of its own day, while others are told the next ones."""

    def told(business: Business, day: int) -> tuple[Any, ...]:
        log, until = business.log(day), business.until(day)
        touches = [t for t in log.touches if t.at_ms < until * 1_000]
        return touches, {table: list(log.records(table, until)) for table in sorted(log.changes)}

    def new() -> Business:
        return Business(Company(seed=5, scale=0.2, business=True, history_days=60).simulation)

    days, shared, alone = (1, 1, 2, 3, 2, 4, 5, 6), new(), new()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(len(days)) as pool:
            found = [*pool.map(lambda day: told(shared, day), days)]
    finally:
        sys.setswitchinterval(usual)
    for day, (touches, records) in zip(days, found, strict=True):
        expected = told(alone, day)
        assert (Counter(touches), records) == (Counter(expected[0]), expected[1]) and len(touches) > 100


def test_an_experiment_has_the_effect_that_it_has() -> None:
    arms = company(7, 1.0).business_truth(1).experiments
    assert len(arms) == 4
    for arm in arms.values():
        chance = arm.true_chance / 100
        assert abs(arm.forms / arm.visitors - chance) < 4 * (chance * (1 - chance) / arm.visitors) ** 0.5
    assert {arm.true_chance for name, arm in arms.items() if "shorter form" in name[0]} == {34, 46}


def test_staff_and_products_change_in_the_first_days() -> None:
    of = company().business_files
    lists = Records(of.business)
    users = [{r[0]: r for r in lists.full_list(STREAMS["users"], day)} for day in (1, 12)]
    assert users[1].keys() - users[0].keys() == {"U0014"}
    assert [users[n]["U0007"][-1] is None for n in (0, 1)] == [True, False]
    assert users[0]["U0006"] != users[1]["U0006"]
    changed = {d for d in range(2, 13) for name in ("users", "products") if lists.of(STREAMS[name], d)}
    assert len(changed) >= 4


def test_links_carry_the_name_of_their_time() -> None:
    files = company(1, 1.0).business_files
    log, names = files.business.log(45), Names(files.business.simulation, 45)
    touches = [t for t in log.touches if t.tag in ("name", "old_name") and t.at_ms < files.business.until(45) * 1000]
    renamed = [t for t in touches if t.tag == "name" and "(since" in (names.in_link(t) or "")]
    stale = [
        t
        for t in touches
        if t.tag == "old_name" and t.campaign and names.at(t.campaign, t.at_ms // 1000) != t.campaign.first_name
    ]
    assert renamed and stale
    seen = company(1, 1.0).business_truth(45).touches
    assert all(seen[t.touch_id].campaign is not None for t in renamed)
    assert all(seen[t.touch_id].campaign is None for t in stale)
    before_any_rename = files.business.until(1) * 1000
    shared = [t for t in touches if t.campaign and t.campaign.source == "video_ads" and t.at_ms < before_any_rename]
    assert {(seen[t.touch_id].channel, seen[t.touch_id].campaign) for t in shared} == {("video", None)}
    rename = files.business.simulation.renames(45)[0]
    start = midnight(rename.delivered_on) + DAY
    assert [names.at(rename.campaign, second) for second in (start - 1, start)] == [rename.before, rename.after]


# --- the truth's own identities ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "scale", "day"), [(1, 0.2, 1), (2, 0.2, 9), pytest.param(3, 1.0, 1, marks=pytest.mark.long)]
)
def test_the_truth_agrees_with_itself(seed: int, scale: float, day: int) -> None:
    truth = company(seed, scale).business_truth(day)
    assert_credit_is_complete(truth)
    assert_steps_chain(truth, company(seed, scale).business_files.business.until(day))
    for counts in truth.reached.values():
        assert [*counts.values()] == sorted(counts.values(), reverse=True)
    assert all(sum(shares.values()) == 100_000_000 for shares in truth.money.splits.values())
    assert truth.money.splits.keys() == truth.opportunities.keys()
    for booking in truth.bookings.values():
        assert booking.eur_micro is not None and booking.territory_id is not None
        assert sum(booking.shares_micro.values()) == booking.eur_micro
    states = Counter(o.state for o in truth.opportunities.values())
    assert states["won"] == sum(c.conversion_type == "won" for c in truth.conversions.values())
    assert all((o.won_at is not None) == (o.state == "won") for o in truth.opportunities.values())


def assert_credit_is_complete(truth: BusinessTruth) -> None:
    weights: Counter[tuple[str, str]] = Counter()
    cents: Counter[tuple[str, str]] = Counter()
    for row in truth.credit_rows:
        assert (row.touch_id is None) == (row.reason is not None)
        weights[row.conversion_id, row.model] += row.weight_micro
        cents[row.conversion_id, row.model] += row.eur_cents or 0
    assert set(weights.values()) == {1_000_000}
    assert len(weights) == 3 * len(truth.conversions)
    # What stands of a deal that is won is what was booked and not taken back.
    assert all(credited > 0 for (conversion_id, _), credited in cents.items() if conversion_id.startswith("won:"))
    booked: Counter[str] = Counter()
    credited_by_booking: Counter[tuple[str, str]] = Counter()
    for booking in truth.bookings.values():
        if booking.event_type not in ("churn", "contraction"):
            booked[booking.month] += booking.eur_cents or 0
    for part in truth.booking_rows:
        credited_by_booking[part.event_id, part.model] += part.eur_cents
    for (event_id, _), credited in credited_by_booking.items():
        assert credited == truth.bookings[event_id].eur_cents
    for model in ("first", "last", "linear"):
        cells = [cell for key, cell in truth.economics.items() if key[0] == model]
        months: Counter[str] = Counter()
        for (of_model, _, month), cell in truth.economics.items():
            if of_model == model:
                months[month] += cell.credited_cents
        assert months == booked
        assert sum(cell.spend_micro for cell in cells) == sum(truth.spend.by_channel_month.values())
        leads = sum(c.conversion_type == "lead" for c in truth.conversions.values())
        assert sum(cell.leads_micro for cell in cells) == 1_000_000 * leads


def assert_steps_chain(truth: BusinessTruth, until: int) -> None:
    for journey in truth.journeys.values():
        assert journey.rows[0].attempt_no == 1 and not journey.rows[0].is_skip
        for before, row in zip(journey.rows, journey.rows[1:], strict=False):
            assert before.exited_at is not None and before.entered_at <= before.exited_at <= row.entered_at
            assert before.exited_at == row.entered_at or row.is_reopen
        is_open = journey.rows[-1].exited_at is None
        assert is_open == (journey.outcome is None)
        keys = Counter((row.step, row.attempt_no) for row in journey.rows)
        assert set(keys.values()) == {1}
        assert all(row.entered_at < until for row in journey.rows)
        cohort = truth.reached[journey.entry_step, journey.cohort]
        assert min(cohort) == journey.entry_step


# --- files against the truth --------------------------------------------------------------------------------------


class Drop:
    """Reads the files of the business as a stranger would: knows the dialects, the keys and the planted flaws' lines."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[tuple[str, ...], dict[str, Any]]] = defaultdict(dict)
        self.lines: dict[str, dict[int, list[Any]]] = {}

    def take(self, path: Path, stream: Stream, held: set[int]) -> None:
        header, lines = READERS[stream.ending](path)
        assert header == [*stream.names]
        self.lines[stream.name] = lines
        if not stream.daily:
            self.tables[stream.name] = {}
        for line, values in lines.items():
            if line not in held:
                row = dict(zip(header, values, strict=True))
                self.tables[stream.name][tuple(str(row[name]) for name in stream.key)] = row

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [*self.tables[name].values()]


def read_csv(path: Path) -> tuple[list[str], dict[int, list[Any]]]:
    delimiter = ";" if path.parent.name == "finance" else ","
    reader = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""), delimiter=delimiter, strict=True)
    header, lines, line = next(reader), {}, reader.line_num + 1
    for values in reader:
        lines[line] = [value or None for value in values]
        line = reader.line_num + 1
    return header, lines


def read_ndjson(path: Path) -> tuple[list[str], dict[int, list[Any]]]:
    lines: dict[int, list[Any]] = {}
    header: list[str] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
        try:
            record = json.loads(text)
        except ValueError:
            lines[number] = [text]
            continue
        header = [*record]
        lines[number] = [*record.values()]
    return header, lines


def read_parquet(path: Path) -> tuple[list[str], dict[int, list[Any]]]:
    table = pq.read_table(path)
    return table.column_names, {n: [*row.values()] for n, row in enumerate(table.to_pylist(), start=1)}


def read_xlsx(path: Path) -> tuple[list[str], dict[int, list[Any]]]:
    (sheet,) = load_workbook(path).worksheets
    assert sheet.title == {"attendees": "Attendees", "plan_values": "Plan"}[path.stem.rstrip("_0123456789")]
    rows = [[*row] for row in sheet.iter_rows(values_only=True)]
    return rows[0], dict(enumerate(rows[1:], start=2))


READERS = {"csv": read_csv, "ndjson": read_ndjson, "parquet": read_parquet, "xlsx": read_xlsx}
STEP_OF = {NEW: 10, MQL: 20, SAL: 30, OPP: 40, PROPOSAL: 50, WON: 60}


def seconds(text: str) -> int:
    return int(dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC).timestamp())


def german(text: str) -> int:
    local = dt.datetime.strptime(text, "%d.%m.%Y %H:%M").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    return int(local.timestamp())


def read_days(of: Company, root: Path, days: int) -> Drop:
    drop = Drop()
    for day in range(1, days + 1):
        paths = {path.name: path for path in write_business(of, day, root)}
        truth = of.business_truth(day)
        assert {file.name for file in truth.deliveries.values()} == set(paths)
        for name, file in truth.deliveries.items():
            held = {f.line for f in file.fates if f.outcome != "accepted"}
            drop.take(paths[file.name], STREAMS[name], held)
            assert len(drop.lines[name]) == file.records == sum(file.outcomes.values())
            assert_fates(drop.lines[name], file.fates, STREAMS[name])
    return drop


def assert_fates(lines: dict[int, list[Any]], fates: tuple[Any, ...], stream: Stream) -> None:
    for fate in fates:
        values = lines[fate.line]
        cell = values[stream.names.index(fate.column)] if fate.column else None
        if fate.reason == "unreadable_record":
            assert len(values) < len(stream.names)
        elif fate.reason == "missing_value":
            assert cell is None
        elif fate.reason in ("unreadable_value", "unknown_currency"):
            assert cell in ("yesterday at noon", "maybe", "XXQ")
        elif fate.reason == "identical":
            assert sum(other == values for other in lines.values()) == 2
        elif fate.reason == "conflicting_key":
            same = [v for v in lines.values() if v[0] == values[0]]
            assert len(same) == 2 and same[0] != same[1]
        else:
            assert fate.kind == "unknown_lead" and values[1] == "39999999999999999"


@pytest.fixture(scope="module")
def five_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Drop, BusinessTruth]:
    of = company(2, 0.2)
    return read_days(of, tmp_path_factory.mktemp("drop"), 5), of.business_truth(5)


def test_files_hold_the_opportunities(five_days: tuple[Drop, BusinessTruth]) -> None:
    drop, truth = five_days
    read = {
        row["opportunity_id"]: (
            row["owner_id"],
            row["amount"] and int(Decimal(row["amount"]) * 10**6),
            row["currency"],
            {WON: "won", LOST: "lost"}.get(row["stage"], "open"),
            seconds(row["created_at"]),
            row["is_test"] == "true",
            row["is_deleted"] == "true",
        )
        for row in drop.rows("opportunities")
    }
    assert read == {
        o.opportunity_id: (o.owner_id, o.amount_micro, o.currency, o.state, o.created_at, o.is_test, o.is_deleted)
        for o in truth.opportunities.values()
    }


def entries(drop: Drop, table: str, field: str, key: str) -> dict[str, list[tuple[int, str]]]:
    """Record -> (second, value) of a field, from the history and, for what was never changed, from the record."""
    changes = defaultdict(list)
    for row in drop.rows("lead_changes" if table == "leads" else "opportunity_changes"):
        if row["field"] == field:
            changes[row[key]].append((seconds(row["changed_at"]), row["old_value"], row["new_value"]))
    found = {}
    for row in drop.rows(table):
        if row["is_test"] == "false" and row["is_deleted"] == "false":
            history = sorted(changes[row[key]])
            first = history[0][1] if history else row[field]
            found[row[key]] = [(seconds(row["created_at"]), first), *((t, new) for t, _, new in history)]
            assert found[row[key]][-1][1] == row[field], "the record and its history differ"
    return found


def test_files_hold_the_steps(five_days: tuple[Drop, BusinessTruth]) -> None:
    drop, truth = five_days
    expected: Counter[tuple[str, int, int]] = Counter()
    for journey in truth.journeys.values():
        for row in journey.rows:
            record = journey.lead_id if row.step < 40 else journey.opportunity_id
            if not row.is_skip:
                expected[str(record), row.entered_at, row.step] += 1
    read: Counter[tuple[str, int, int]] = Counter()
    for table, field, key in (("leads", "status", "lead_id"), ("opportunities", "stage", "opportunity_id")):
        for record, history in entries(drop, table, field, key).items():
            read.update((record, when, STEP_OF[value]) for when, value in history if value in STEP_OF)
    assert read == expected
    histories = [*drop.rows("lead_changes"), *drop.rows("opportunity_changes")]
    assert all(row["old_value"] != row["new_value"] for row in histories)


def test_files_hold_the_first_answers(five_days: tuple[Drop, BusinessTruth]) -> None:
    drop, truth = five_days
    tried = defaultdict(list)
    for row in drop.rows("activities"):
        human = row["is_automated"] == "false" and row["direction"] == "outbound"
        if human and row["activity_type"] in ("call", "email", "meeting") and row["lead_id"]:
            tried[row["lead_id"]].append(seconds(row["occurred_at"]))
    given = defaultdict(list)
    for row in drop.rows("lead_changes"):
        if row["field"] == "owner" and row["new_value"]:
            given[row["lead_id"]].append((seconds(row["changed_at"]), row["new_value"]))
    assert len(truth.answers) > 300
    for answer in truth.answers.values():
        journey = truth.journeys[answer.journey_id]
        lead_id = str(journey.lead_id)
        assert (answer.assigned_at, answer.assignee) in given[lead_id]
        if journey.journey_id.endswith("#1") and f"lead:{lead_id}#2" not in truth.journeys:
            assert answer.answered_at == min((t for t in tried[lead_id] if t >= answer.assigned_at), default=None)


def test_files_hold_the_people_behind_touches(five_days: tuple[Drop, BusinessTruth]) -> None:
    drop, truth = five_days
    leads = {row["lead_id"]: row for row in drop.rows("leads")}
    contacts = {row["contact_id"]: row for row in drop.rows("contacts")}

    def last(records: dict[str, dict[str, Any]], key: str) -> str:
        return last(records, records[key]["merged_into_id"]) if records[key]["merged_into_id"] else key

    def person(lead_id: str) -> str:
        lead = leads[last(leads, lead_id)]
        contact = lead["converted_contact_id"]
        return f"contact:{last(contacts, contact)}" if contact else f"lead:{lead['lead_id']}"

    by_email = {row["email"].strip().lower(): f"contact:{last(contacts, key)}" for key, row in contacts.items()}
    by_email |= {row["email"].strip().lower(): person(key) for key, row in leads.items() if row["email"]}

    def named(row: dict[str, Any]) -> str | None:
        if row.get("lead_id") in leads:
            return person(row["lead_id"])
        return by_email.get((row["email"] or "").strip().lower())

    touches = [row for name in ("web_touches", "email_touches", "event_touches") for row in drop.rows(name)]
    browsers = {r["visitor_id"]: named(r) for r in touches if r["touch_type"] == "form" and named(r)}
    read = {row["touch_id"]: named(row) or browsers.get(row.get("visitor_id") or "-") for row in touches}
    assert read == {key: touch.person for key, touch in truth.touches.items()}
    excluded = {r["touch_id"] for r in drop.rows("web_touches") if r["is_bot"] or r["utm_source"] == "internal"}
    assert excluded == {key for key, touch in truth.touches.items() if touch.is_excluded}
    times = {row["touch_id"]: row["occurred_at"] for row in touches}
    for key, touch in truth.touches.items():
        moment = dt.datetime.fromtimestamp(touch.at_ms / 1000, dt.UTC)
        if isinstance(times[key], str):
            assert times[key] == f"{moment:%Y-%m-%dT%H:%M:%S}.{touch.at_ms % 1000:03d}Z"
        elif times[key].tzinfo:
            assert times[key] == moment
        else:
            assert times[key] == moment.astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None)


def test_files_hold_the_bookings(five_days: tuple[Drop, BusinessTruth], tmp_path: Path) -> None:
    drop, truth = five_days
    rates = {(r.currency, r.rate_date): Decimal(r.nano).scaleb(-9) for r in truth.spend.rates}
    read = {}
    for row in drop.rows("revenue_events"):
        amount, booked = Decimal(row["amount"].replace(",", ".")), german(row["booked_at"])
        day = dt.datetime.fromtimestamp(booked, dt.UTC).date()
        rate = Decimal(1)
        if row["currency"] != "EUR":
            rate = next(r for n in range(8) if (r := rates.get((row["currency"], day - dt.timedelta(days=n)))))
        eur = (amount * rate).quantize(Decimal("0.000001"), ROUND_HALF_UP)
        cents = eur.quantize(Decimal("0.01"), ROUND_HALF_UP)
        read[row["event_id"]] = (row["event_type"], booked, int(amount * 10**6), int(eur * 10**6), int(cents * 100))
    assert read == {
        b.event_id: (b.event_type, b.booked_at, b.amount_micro, b.eur_micro, b.eur_cents)
        for b in truth.bookings.values()
    }
    for row in drop.rows("revenue_events"):
        if row["reverses_event_id"]:
            original = truth.bookings[row["reverses_event_id"]]
            assert truth.bookings[row["event_id"]].amount_micro == -original.amount_micro
            assert truth.bookings[row["event_id"]].territory_id == original.territory_id


def test_files_hold_lines_that_add_up_and_splits(five_days: tuple[Drop, BusinessTruth]) -> None:
    drop, truth = five_days
    lines: dict[str, Decimal] = defaultdict(Decimal)
    currencies = defaultdict(set)
    for row in drop.rows("opportunity_lines"):
        lines[row["opportunity_id"]] += Decimal(row["net_amount"])
        currencies[row["opportunity_id"]].add(row["currency"])
    for row in drop.rows("opportunities"):
        assert row["amount"] is None or lines[row["opportunity_id"]] == Decimal(row["amount"])
        assert currencies[row["opportunity_id"]] == {row["currency"]}
    splits: dict[str, Decimal] = defaultdict(Decimal)
    for row in drop.rows("opportunity_splits"):
        if row["split_type"] == "revenue" and row["is_deleted"] == "false":
            splits[row["opportunity_id"]] += Decimal(row["split_percent"])
    assert set(splits.values()) == {100} and splits.keys() == truth.opportunities.keys()
    primary = Counter(r["opportunity_id"] for r in drop.rows("opportunity_contacts") if r["is_primary"] == "true")
    assert set(primary.values()) == {1}


def test_files_hold_the_plan_and_the_lists(five_days: tuple[Drop, BusinessTruth]) -> None:
    drop, truth = five_days
    newest: dict[tuple[Any, ...], tuple[str, Decimal]] = {}
    for row in drop.rows("plan_values"):
        key = (row["metric"], row["owner_type"], row["owner_id"], row["period_start"].date(), row["scenario"])
        newest[key] = max(newest.get(key, ("", Decimal(0))), (row["version"], Decimal(str(row["value_amount"]))))
    assert {key: int(value * 10**6) for key, (_, value) in newest.items()} == truth.plan
    assert {key[4] for key in truth.plan} == {"quota", "target", "plan_sales", "plan_marketing", "agreed"}
    assert {row["version"] for row in drop.rows("plan_values")} == {"1", "2"}
    sums = truth.plan_sums
    assert sum(sums.values()) == sum(truth.plan.values())
    campaigns = {c.campaign_id for c in Names(company(2, 0.2).simulation, 5).versions}
    assert {row["campaign_id"] for row in drop.rows("budgets")} == campaigns
    users = {row["user_id"] for row in drop.rows("users")}
    assert {row["user_id"] for row in drop.rows("territory_assignments")} == users
    owners = {row["owner_id"] for row in drop.rows("opportunities")}
    assert owners <= users


def test_files_carry_hostile_text(five_days: tuple[Drop, BusinessTruth]) -> None:
    drop, _ = five_days
    names = " ".join(str(row["company_name"]) for row in drop.rows("leads"))
    for piece in ('"', ",", ";", "\n", "=HYPERLINK", "<b>", "🚀", "Müller", "NULL", "|"):
        assert piece in names
    ids = [*drop.tables["opportunities"]]
    assert len({key[0].lower() for key in ids}) < len(ids), "no two ids differ by case only"
    lead_ids = [key[0] for key in drop.tables["leads"]]
    assert {len(key) for key in lead_ids} == {17} and len({float(key) for key in lead_ids}) < len(lead_ids)
    assert all(key[0].startswith("0") for key in drop.tables["contacts"])


# --- days and bytes -----------------------------------------------------------------------------------------------


def hashes(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def test_the_same_company_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        of = Company(seed=seed, scale=0.2, business=True)
        for day in (1, 2):
            of.write_day(day, tmp_path / name)
    a, b, c = (hashes(tmp_path / name) for name in "abc")
    assert a == b
    assert {"crm/leads_20260331.csv", "events/attendees_20260331.xlsx", "search_ads/campaigns.csv"} <= a.keys()
    assert all(a[name] != c[name] for name in a if name in c and ("2026" in name and "trade" not in name))


def test_writing_a_day_again_touches_nothing(tmp_path: Path) -> None:
    paths = write_business(company(), 1, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in paths}
    assert write_business(company(), 1, tmp_path) == paths
    assert {path: path.stat().st_mtime_ns for path in paths} == before
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]


def test_a_day_can_be_asked_for_without_the_days_before(tmp_path: Path) -> None:
    walked, jumped = (Company(seed=5, scale=0.2, business=True) for _ in range(2))
    for day in range(1, 7):
        write_business(walked, day, tmp_path / "walked")
    write_business(jumped, 6, tmp_path / "jumped")
    assert hashes(tmp_path / "jumped").items() <= hashes(tmp_path / "walked").items()
    assert jumped.business_truth(6).step_rows == walked.business_truth(6).step_rows
    assert walked.business_truth(2).step_rows == Company(seed=5, scale=0.2, business=True).business_truth(2).step_rows


def test_a_day_holds_exactly_what_was_changed_on_it() -> None:
    files = company(3, 0.2).business_files
    lists = Records(files.business)
    moments = ("modified_at", "changed_at", "occurred_at", "booked_at")
    with_file = Counter()
    for day in range(2, 12):
        since, until = files.business.since(day), files.business.until(day)
        for stream in STREAMS.values():
            records = lists.of(stream, day)
            with_file[stream.name] += bool(records)
            for name in set(moments) & set(stream.names):
                unit = 1000 if dict(stream.columns)[name] == "millis" else 1
                assert all(since * unit <= r[stream.names.index(name)] < until * unit for r in records)  # type: ignore[operator]
    assert with_file["leads"] == 10 and with_file["holidays"] == 0
    assert 0 < with_file["revenue_events"] < 10, "a file on every day or never"


def test_days_one_by_one_give_what_a_longer_history_gives() -> None:
    daily = company(1, 0.2)
    longer = Company(1, 0.2, DEFAULT_START + dt.timedelta(days=5), 735, business=True)
    a, b = daily.business_truth(6), longer.business_truth(1)
    assert a.journeys == b.journeys and a.answers == b.answers and a.reached == b.reached
    assert a.opportunities == b.opportunities and a.plan == b.plan
    assert {k: t.person for k, t in a.touches.items()} == {k: t.person for k, t in b.touches.items()}
    assert a.bookings.keys() == b.bookings.keys()
    one_by_one, at_once = Records(daily.business_files.business), Records(longer.business_files.business)
    for name in ("lead_changes", "opportunity_changes", "activities", "revenue_events", "event_touches"):
        pieces = [record for day in range(1, 7) for record in one_by_one.of(STREAMS[name], day)]
        assert Counter(pieces) == Counter(at_once.of(STREAMS[name], 1))


def test_what_was_true_on_a_day_stays_true_of_that_day() -> None:
    of = Company(seed=4, scale=0.2, business=True)
    then = of.business_truth(2)
    before = (then.journeys, then.credit_rows, then.bookings)
    of.business_truth(30).credit_rows  # noqa: B018
    again = of.business_truth(2)
    assert (again.journeys, again.credit_rows, again.bookings) == before
    assert of.business_truth(30).journeys != again.journeys


# --- faults on demand ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(FILE_FAULTS))
@pytest.mark.parametrize("name", ["leads", "web_touches", "email_touches", "event_touches", "revenue_events"])
def test_a_faulty_file_differs_and_writing_the_day_again_mends_it(tmp_path: Path, kind: str, name: str) -> None:
    of = company()
    write_business(of, 1, tmp_path)
    good = hashes(tmp_path)
    write_business(of, 1, tmp_path, **{name: frozenset({kind})})
    bad = hashes(tmp_path)
    assert {file for file in bad if bad[file] != good[file]} == {
        f"{STREAMS[name].source}/{of.business_truth(1).deliveries[name].name}"
    }
    write_business(of, 1, tmp_path)
    assert hashes(tmp_path) == good


@pytest.mark.parametrize(("kind", "name"), [(k, n) for n in sorted(STREAMS) for k in flaws.possible(STREAMS[n])])
def test_a_flaw_on_demand_has_the_fate_that_the_truth_names(kind: str, name: str) -> None:
    of, stream = company(), STREAMS[name]
    fault = f"{kind}:{stream.full_name}"
    plain, flawed = of.business_truth(1), of.business_truth(1, [fault])
    more = flawed.deliveries[name].records - plain.deliveries[name].records
    assert more == (2 if kind == "conflict" else 1)
    assert Counter(f.kind for f in flawed.deliveries[name].fates)[kind] >= more
    assert flawed.step_rows == plain.step_rows


def test_faults_are_written_by_the_company(tmp_path: Path) -> None:
    of = company()
    of.write_day(2, tmp_path, ["renamed_column:crm.leads", "duplicate:web.web_touches", "half_rows:search_ads"])
    header = (tmp_path / "crm/leads_20260401.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("lead_id,email_v2,")
    texts = (tmp_path / "web/web_touches_20260401.ndjson").read_text(encoding="utf-8").splitlines()
    assert len(texts) == len(set(texts)) + 1


def test_impossible_wishes_are_refused(tmp_path: Path) -> None:
    of = company()
    for fault in ("nonsense:crm.leads", "half_rows:crm.nothing", "half_rows:web.leads", "unknown_lead:crm.leads"):
        with pytest.raises(ValueError):
            of.write_day(1, tmp_path, [fault])
    write_business(of, 1, tmp_path)
    with pytest.raises(ValueError, match="no file of"):
        of.write_day(2, tmp_path, ["half_rows:calendars.holidays"])
    with pytest.raises(ValueError, match="day before"):
        of.business_truth(1, ["half_rows:crm.leads"])
    with pytest.raises(ValueError, match="business=True"):
        Company(scale=0.2).business_truth(1)
    with pytest.raises(ValueError, match="no stream"):
        Company(scale=0.2).write_day(1, tmp_path, ["half_rows:crm.leads"])


def test_a_company_without_a_business_is_as_before(tmp_path: Path) -> None:
    Company(scale=0.2).write_day(1, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"search_ads", "social_ads", "video_ads", "trade_shows", "fx"}
    assert Company().simulation.history_days == 60 and company().simulation.history_days == 730


def test_the_clock_runs_a_business_and_keeps_it(tmp_path: Path) -> None:
    first = next_day(tmp_path, seed=3, scale=0.2, business=True)
    second = next_day(tmp_path, seed=3, scale=0.2, business=True)
    assert [first["day"], second["day"]] == [1, 2]
    assert any(file.endswith("crm/leads_20260401.csv") for file in second["files"])
    with pytest.raises(UsageError, match="with a business"):
        next_day(tmp_path, seed=3, scale=0.2, business=False)


def test_the_log_is_told_once() -> None:
    business = Business(Simulation(7, 0.2, DEFAULT_START, 100, sells=True))
    first = business.log(1)
    told = len(first.touches)
    assert business.log(1) is first and len(first.touches) == told
    assert Files(business).file(STREAMS["leads"], 1) is not None
