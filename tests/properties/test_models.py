"""What holds for any input: credit is whole, time is divided without gap or overlap, the office clock is the office's."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import Models, Rows

# The warehouse's moments are UTC without saying so.
START = dt.datetime.fromisoformat("2025-12-01")
OPEN = dt.datetime.fromisoformat("9999-12-31")
OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def models(empty_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Models]:
    def of(live: str, filled: str) -> Models:
        return Models(empty_warehouse, tmp_path_factory.mktemp("models"), live=live.split(), given=filled.split())

    return of


# -- credit ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def credit(models: Callable[..., Models]) -> Models:
    return models(
        "int_attribution__first int_attribution__last int_attribution__linear int_attribution__weights"
        " int_attribution__booking_credit",
        "int_attribution__paths int_attribution__conversions int_attribution__bookings",
    )


def largest_remainder(whole: int, shares: list[Fraction]) -> list[int]:
    """Whole units by share; what is left goes to the largest remainders, ties to the earlier."""
    floors = [int(whole * share) for share in shares]
    order = sorted(range(len(shares)), key=lambda n: (-(whole * shares[n] - floors[n]), n))
    for n in order[: whole - sum(floors)]:
        floors[n] += 1
    return floors


CONVERSIONS = st.lists(
    st.tuples(
        st.lists(st.integers(-(10**14), 10**14), max_size=2),  # cents of each booking of the win
        st.integers(0, 12),  # touches within the lookback
        st.integers(0, 2),  # touches before it
        st.booleans(),  # somebody is known
    ),
    min_size=1,
    max_size=5,
)


@OFTEN
@given(CONVERSIONS, st.lists(st.integers(-(10**14), 10**14), max_size=2))
def test_credit_is_divided_to_the_last_millionth_and_cent(
    credit: Models, conversions: list[tuple[list[int], int, int, bool]], without_a_win: list[int]
) -> None:
    paths: Rows = []
    for n, (_, inside, before, known) in enumerate(conversions):
        for is_in, length in ((True, inside), (False, before)):
            paths += [
                {"conversion_key": f"c{n}", "touch_key": f"t{n}{is_in}{p}", "is_in_lookback": is_in, "position": p, "path_length": length}
                for p in range(1, (length if known else 0) + 1)
            ]  # fmt: skip
    converted: Rows = [
        {"conversion_key": f"c{n}", "unit_key": "u" if known else None} for n, (*_, known) in enumerate(conversions)
    ]
    bookings: Rows = [
        {"revenue_key": f"c{n}b{m}", "conversion_key": f"c{n}", "booked_cents": cents}
        for n, (booked, *_) in enumerate(conversions)
        for m, cents in enumerate(booked)
    ]
    bookings += [
        {"revenue_key": f"b{m}", "unattributed_reason": "never_won", "booked_cents": cents} for m, cents in enumerate(without_a_win)
    ]  # fmt: skip
    weights: dict[tuple[str, str], Rows] = defaultdict(list)
    credited: dict[tuple[str, str], Rows] = defaultdict(list)
    with credit.over(
        int_attribution__paths=paths, int_attribution__conversions=converted, int_attribution__bookings=bookings
    ):
        for row in sorted(credit.read("int_attribution__weights"), key=lambda r: r["position"]):
            weights[row["model"], row["conversion_key"]].append(row)
        for row in credit.read("int_attribution__booking_credit"):
            credited[row["model"], row["revenue_key"]].append(row)
    assert len(weights) == 3 * len(conversions), "every conversion is in every model"
    assert len(credited) == 3 * len(bookings), "every booking is in every model"

    for (model, key), rows in weights.items():
        _, inside, before, known = conversions[int(key[1:])]
        inside, before = (inside, before) if known else (0, 0)
        if not inside:
            reason = "outside_lookback" if before else "no_touch" if known else "no_identity"
            assert [(r["touch_key"], r["weight_micro"], r["unattributed_reason"]) for r in rows] == [
                ("-1", 1_000_000, reason)
            ]
            continue
        shares = [Fraction(1, inside)] * inside if model == "linear" else [Fraction(1)]
        assert [r["position"] for r in rows] == ([inside] if model == "last" else list(range(1, len(shares) + 1)))
        expected = largest_remainder(1_000_000, shares)
        assert [r["weight_micro"] for r in rows] == expected and sum(expected) == 1_000_000

    booked = {row["revenue_key"]: row for row in bookings}
    for (model, key), rows in credited.items():
        cents, win = booked[key]["booked_cents"], booked[key].get("conversion_key")
        if win is None:
            assert [(r["touch_key"], r["credited_cents"], r["unattributed_reason"]) for r in rows] == [
                ("-1", cents, "never_won")
            ]
            continue
        of = weights[model, win]
        parts = largest_remainder(abs(cents), [Fraction(r["weight_micro"], 1_000_000) for r in of])
        assert {r["touch_key"]: r["credited_cents"] for r in rows} == {
            r["touch_key"]: (-1 if cents < 0 else 1) * part for r, part in zip(of, parts, strict=True)
        }
        assert sum(r["credited_cents"] for r in rows) == cents and len(rows) == len(of)


# -- spend as it was known ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spend(models: Callable[..., Models]) -> Models:
    return models("int_spend__versions", "int_conformed__performance_daily int_conformed__cells stg_files__loads")


# A load covers some days and says of each what was spent by campaign: cents, and clicks or that it does not know them.
DELIVERIES = st.lists(
    st.tuples(
        st.integers(0, 2),  # hours since the load before: two loads may be known at one moment
        st.dictionaries(
            st.integers(1, 3),  # the day that is covered
            st.dictionaries(
                st.integers(1, 2), st.tuples(st.integers(-300, 300), st.one_of(st.none(), st.integers(0, 9)))
            ),
            min_size=1,
        ),
    ),
    min_size=1,
    max_size=6,
)


@OFTEN
@given(DELIVERIES)
def test_at_every_moment_spend_is_what_the_open_cells_say(
    spend: Models, deliveries: list[tuple[int, dict[int, dict[int, tuple[int, int | None]]]]]
) -> None:
    known_at, moments = START, []
    for hours, _ in deliveries:
        known_at += dt.timedelta(hours=hours)
        moments.append(known_at)
    loads, cells, performance = [], [], []
    for n, (_, days) in enumerate(deliveries):
        loads.append({"load_id": f"l{n}", "load_seq": n})
        for day, campaigns in days.items():
            closed = next((m for m in range(n + 1, len(deliveries)) if day in deliveries[m][1]), None)
            cells.append(
                {"contract": "performance_daily", "_cell": str(day), "_load_id": f"l{n}", "_load_seq": n, "known_from": moments[n],
                 "known_to": None if closed is None else moments[closed], "closed_by_load_seq": closed}
            )  # fmt: skip
            performance += [
                {"source_system": "s", "stream": "d", "ad_account_id": "a", "level": "campaign", "campaign_id": str(campaign),
                 "channel": "paid_search", "currency": "EUR", "spend_date": dt.date(2025, 11, day), "spend_amount": Decimal(cents).scaleb(-2),
                 "clicks": clicks, "_load_id": f"l{n}", "_load_seq": n, "_cell": str(day)}
                for campaign, (cents, clicks) in campaigns.items()
            ]  # fmt: skip
    with spend.over(int_conformed__performance_daily=performance, int_conformed__cells=cells, stg_files__loads=loads):
        versions = spend.read("int_spend__versions")

    for moment in {*moments, moments[-1] + dt.timedelta(days=900)}:
        told: dict[tuple[int, str], tuple[Decimal, int | None]] = {}
        for n, days in enumerate(days for _, days in deliveries):
            if moments[n] <= moment:
                for day, campaigns in days.items():
                    told = {k: v for k, v in told.items() if k[0] != day}
                    told |= {
                        (day, str(c)): (Decimal(cents).scaleb(-2), clicks) for c, (cents, clicks) in campaigns.items()
                    }
        now = [v for v in versions if v["known_from"] <= moment < v["known_to"]]
        assert {(v["spend_date"].day, v["campaign_id"]): (v["spend_amount"], v["clicks"]) for v in now} == told
        assert len(now) == len(told), "no two versions are true at once"
    by_grain = defaultdict(list)
    for version in sorted(versions, key=lambda v: v["known_from"]):
        assert version["known_from"] < version["known_to"]
        by_grain[version["spend_date"], version["campaign_id"]].append(version)
    for history in by_grain.values():
        for one, other in pairwise(history):
            same = (one["spend_amount"], one["clicks"]) == (other["spend_amount"], other["clicks"])
            assert not (same and one["known_to"] == other["known_from"]), "an identical delivery is no version"


# -- the funnel --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def funnel(models: Callable[..., Models]) -> Models:
    return models("int_funnel__steps int_funnel__journeys", "int_funnel__records int_funnel__status_events")


ORDERS = {"lead": 10, "mql": 20, "sal": 30, "opportunity": 40, "proposal": 50, "won": 60}
ENDS = ("recycled", "expired", "disqualified", "lost")
STORIES = st.lists(
    st.lists(st.tuples(st.integers(0, 5_000), st.sampled_from([*ORDERS, *ENDS])), min_size=1, max_size=9), min_size=1, max_size=4
)  # fmt: skip


@OFTEN
@given(STORIES)
def test_a_journey_is_in_one_step_at_a_time_and_passes_all_between(
    funnel: Models, stories: list[list[tuple[int, str]]]
) -> None:
    records, events = [], []
    for n, story in enumerate(stories):
        lead = {"source_system": "crm", "object": "lead", "record_id": f"l{n}"}
        records.append({**lead, "story_id": f"lead:l{n}", "lead_id": f"l{n}"})
        at = START
        for number, (minutes, word) in enumerate(story):
            at += dt.timedelta(minutes=minutes)
            step = word if word in ORDERS else None
            events.append(
                {**lead, "event_no": number, "occurred_at": at, "step": step, "step_order": ORDERS.get(word), "outcome": None if step else word}
            )  # fmt: skip
    as_of = dt.datetime.fromisoformat("2026-01-05T06:00:00")  # what the project takes when nobody says
    with funnel.over(int_funnel__records=records, int_funnel__status_events=events):
        steps = funnel.read("int_funnel__steps")
        journeys = {row["journey_id"]: row for row in funnel.read("int_funnel__journeys")}
    assert {row["journey_id"] for row in steps} == set(journeys)
    entered = {f"l{n}" for n, story in enumerate(stories) if in_time(story, as_of)}
    assert {row["lead_id"] for row in steps} == entered, "whoever entered a step has a journey"

    by_journey = defaultdict(list)
    for row in sorted(steps, key=lambda r: r["row_no"]):
        by_journey[row["journey_id"]].append(row)
    for journey_id, rows in by_journey.items():
        assert [row["row_no"] for row in rows] == list(range(1, len(rows) + 1))
        for one, other in pairwise(rows):
            assert one["exited_at"] is not None and one["entered_at"] <= one["exited_at"] <= other["entered_at"]
            if not other["is_regression"] and not other["is_reopen"]:
                assert other["step_order"] == one["step_order"] + 10, "what lies between is passed, one step at a time"
                assert one["exited_at"] == other["entered_at"]
        assert all(row["exited_at"] == row["entered_at"] for row in rows if row["is_skip"])
        for step in ORDERS:
            attempts = [row["attempt_no"] for row in rows if row["step"] == step]
            assert attempts == list(range(1, len(attempts) + 1))
        journey = journeys[journey_id]
        open_for = sum(((row["exited_at"] or as_of) - row["entered_at"] for row in rows), dt.timedelta())
        assert journey["open_seconds"] == open_for.total_seconds(), (
            "time in steps is the time that the journey was open"
        )
        reached = [journey[f"{step}_at"] for step in list(ORDERS)[:-1] if ORDERS[step] >= journey["entry_step_order"]]
        told = [at for at in reached if at is not None]
        assert reached[: len(told)] == told == sorted(told), "a later step is not reached before an earlier one"
        assert (journey["won_at"] is not None) == journey["is_won"] == (rows[-1]["exit_outcome"] == "won")


def in_time(story: list[tuple[int, str]], as_of: dt.datetime) -> bool:
    """Whether a story enters a step by as-of."""
    at, found = START, False
    for minutes, word in story:
        at += dt.timedelta(minutes=minutes)
        found = found or (word in ORDERS and at <= as_of)
    return found


# -- the office clock --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def office(models: Callable[..., Models]) -> Models:
    return models(
        "int_funnel__handoffs",
        "int_funnel__steps int_funnel__owners int_calendar__spans int_conformed__users int_conformed__activities int_conformed__cells",
    )


# Opening hours as minutes: closed for so long, then open for so long.
HOURS = st.lists(st.tuples(st.integers(1, 900), st.integers(1, 600)), min_size=1, max_size=12)
HANDOFFS = st.lists(
    st.tuples(st.integers(0, 9_000), st.integers(0, 3_000), st.one_of(st.none(), st.integers(0, 3_000))), min_size=1, max_size=5
)  # fmt: skip


def open_seconds(spans: list[tuple[dt.datetime, dt.datetime]], one: dt.datetime, other: dt.datetime) -> int:
    """Seconds that the office was open between two moments."""
    overlaps = (min(other, closes) - max(one, opens) for opens, closes in spans)
    return sum(int(o.total_seconds()) for o in overlaps if o > dt.timedelta())


@OFTEN
@given(HOURS, HANDOFFS)
def test_the_two_clocks_of_a_hand_off_run_while_the_office_is_open(
    office: Models, hours: list[tuple[int, int]], handoffs: list[tuple[int, int, int | None]]
) -> None:
    spans, at, before = [], START - dt.timedelta(days=30), 0
    # One opening long ago, as the calendar begins before the first lead.
    for closed, opened in [(1, 60), *((c + (30 * 1440 if n == 0 else 0), o) for n, (c, o) in enumerate(hours))]:
        opens = at + dt.timedelta(minutes=closed)
        at = opens + dt.timedelta(minutes=opened)
        spans.append((opens, at))
    calendar = []
    for opens, closes in spans:
        minutes = int((closes - opens).total_seconds()) // 60
        calendar.append(
            {"calendar": "c", "date_day": opens.date(), "is_working_day": True, "opens_at": opens, "closes_at": closes,
             "business_minutes": minutes, "business_minutes_before": before}
        )  # fmt: skip
        before += minutes
    steps, owners, activities, expected = [], [], [], {}
    for n, (enter, assign, respond) in enumerate(handoffs):
        entered = START + dt.timedelta(minutes=enter)
        assigned = entered + dt.timedelta(seconds=7 * assign)
        steps.append(
            {"source_system": "crm", "object": "lead", "journey_id": f"j{n}", "lead_id": f"l{n}", "row_no": 1, "attempt_no": 1, "step": "mql",
             "entered_at": entered, "exit_outcome": "open", "is_skip": False}
        )  # fmt: skip
        owners.append(
            {"source_system": "crm", "object": "lead", "record_id": f"l{n}", "change_no": 1, "owner_id": "u", "valid_from": assigned, "valid_to": OPEN}
        )  # fmt: skip
        responded = None if respond is None else assigned + dt.timedelta(seconds=11 * respond)
        if responded is not None:
            activities.append(
                {"source_system": "crm", "activity_id": f"a{n}", "activity_type": "call", "direction": "outbound", "lead_id": f"l{n}",
                 "occurred_at": responded, "_load_id": "x", "_cell": "activities", "_load_seq": 1, "_file_seq": 1, "_line": n}
            )  # fmt: skip
        expected[f"j{n}"] = (
            open_seconds(spans, entered, assigned) // 60,
            None if responded is None else open_seconds(spans, assigned, responded) // 60,
            due(spans, assigned, 240 * 60),
        )
    cells = [{"contract": c, "_load_id": "x", "_cell": c, "is_current": True} for c in ("users", "activities")]
    user = {
        "source_system": "crm",
        "user_id": "u",
        "calendar": "c",
        "_load_id": "x",
        "_cell": "users",
        "_load_seq": 1,
        "_file_seq": 1,
        "_line": 1,
    }
    with office.over(
        int_funnel__steps=steps, int_funnel__owners=owners, int_calendar__spans=calendar, int_conformed__users=[user],
        int_conformed__activities=activities, int_conformed__cells=cells,
    ):  # fmt: skip
        found = office.read(
            "int_funnel__handoffs",
            "journey_id, routing_business_minutes, response_business_minutes, due_at, sla_business_minutes",
        )
    assert {row["sla_business_minutes"] for row in found} == {240}
    assert {
        row["journey_id"]: (row["routing_business_minutes"], row["response_business_minutes"], row["due_at"])
        for row in found
    } == expected


def due(spans: list[tuple[dt.datetime, dt.datetime]], assigned: dt.datetime, seconds: int) -> dt.datetime | None:
    """The moment by which the office was open for so long since the assignment; None beyond the calendar."""
    for opens, closes in spans:
        begins = max(opens, assigned)
        if begins < closes:
            rest = int((closes - begins).total_seconds())
            if rest >= seconds:
                return begins + dt.timedelta(seconds=seconds)
            seconds -= rest
    return None
