"""The funnel as it must come out: journeys, the steps they entered, who reached what, and how fast sales answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple

from onefunnel.sandbox.business.calendars import business_deadline, business_seconds
from onefunnel.sandbox.business.deals import LOST, PROPOSAL, QUALIFICATION, WON
from onefunnel.sandbox.business.identity import Identity
from onefunnel.sandbox.business.leads import ACCEPTED, DISQUALIFIED, EXPIRED, MQL, NEW, RECYCLED
from onefunnel.sandbox.business.log import Change, Value, month_of
from onefunnel.sandbox.business.staff import Staff

STEPS = (10, 20, 30, 40, 50, 60)
_LEAD_STEPS = {NEW: 10, MQL: 20, ACCEPTED: 30}
_LEAD_ENDS = {RECYCLED: "recycled", EXPIRED: "expired", DISQUALIFIED: "disqualified"}
_DEAL_STEPS = {QUALIFICATION: 40, PROPOSAL: 50, WON: 60}
_COUNTS_AS_ANSWER = ("call", "email", "meeting")
SLA_MINUTES = 240
EXPIRES_AFTER_DAYS = 30


@dataclass(frozen=True)
class StepRow:
    """One entry of a journey into a step; times in seconds, `exited_at` None while it is there.

    Won takes no time: it is left when it is entered.
    """

    journey_id: str
    step: int
    entered_at: int
    exited_at: int | None
    attempt_no: int
    is_skip: bool = False
    is_regression: bool = False
    is_reopen: bool = False


@dataclass(frozen=True)
class Journey:
    """A lead cycle with the opportunity it led to, or an opportunity without a lead.

    Attributes:
        person: see `Identity`; None for an opportunity without a lead.
        outcome: won, lost, recycled, expired, disqualified, or None while it is open.
        ended_at: the second of the outcome.
    """

    journey_id: str
    lead_id: str | None
    opportunity_id: str | None
    person: str | None
    rows: tuple[StepRow, ...]
    outcome: str | None
    ended_at: int | None

    @property
    def entry_step(self) -> int:
        """The first step that was really entered."""
        return self.rows[0].step

    @property
    def cohort(self) -> str:
        """The UTC month of the first entry, YYYY-MM."""
        return month_of(self.rows[0].entered_at)

    def reached(self, step: int) -> bool:
        """Whether a step or a later one was entered; Won only while it is won."""
        return self.outcome == "won" if step == 60 else max(row.step for row in self.rows) >= step


class Answer(NamedTuple):
    """The first human call, mail or meeting after a scored lead was given to somebody.

    Times are seconds; `business_minutes` are whole minutes of the first assignee's calendar; both None without answer.
    """

    journey_id: str
    scored_at: int
    assigned_at: int
    assignee: str
    answered_at: int | None
    business_minutes: int | None


class Handoff(NamedTuple):
    """Marketing handed a scored lead to sales: how it was dealt with by the moment of reading.

    Attributes:
        routing_minutes: whole business minutes of the assignee's calendar from scored to given to somebody.
        due_at: when the agreed business minutes since then are over; both None: nobody was given the lead.
        is_sla_met: None while nobody can say, or because it ended before it was due.
        outcome: accepted, rejected, expired or pending.
        is_implicit: it went on without a word of acceptance.
    """

    journey_id: str
    scored_at: int
    routing_minutes: int | None
    due_at: int | None
    is_sla_met: bool | None
    outcome: str
    is_implicit: bool
    is_late: bool


@dataclass
class Activity:
    """What happened in one step in one month: first entries and wins, wins taken back, exits, and those that went on."""

    entries: int = 0
    reversals: int = 0
    exits: int = 0
    advanced: int = 0


class _Moment(NamedTuple):
    """A step entered, or an outcome."""

    at: int
    step: int
    outcome: str = ""


@dataclass(frozen=True)
class Funnel:
    """The funnel of everybody who is known."""

    identity: Identity
    staff: Staff

    @cached_property
    def journeys(self) -> dict[str, Journey]:
        """Every journey by its id; test and deleted records have none."""
        log, until = self.identity.log, self.identity.until
        states = log.states("opportunities", until)
        deals = {
            key: _deal_moments(entries)
            for key, entries in log.records("opportunities", until)
            if not (states[key]["is_test"] or states[key]["is_deleted"])
        }
        found: dict[str, Journey] = {}
        led_to = set()
        for lead_id, entries in log.records("leads", until):
            lead = self.identity.leads[lead_id]
            if lead["is_test"] or lead["is_deleted"]:
                continue
            cycles = [*_lead_cycles(entries)]
            opportunity_id = lead["converted_opportunity_id"]
            for n, moments in enumerate(cycles, start=1):
                deal = str(opportunity_id) if n == len(cycles) and opportunity_id in deals else None
                if deal is not None:
                    led_to.add(deal)
                    moments = [*moments, *deals[deal]]
                person = self.identity.person_of_lead(lead_id)
                journey = _journey(f"lead:{lead_id}#{n}", lead_id, deal, person, moments)
                found[journey.journey_id] = journey
        for key, moments in deals.items():
            if key not in led_to:
                found[f"opp:{key}"] = _journey(f"opp:{key}", None, key, None, moments)
        return found

    @cached_property
    def reached(self) -> dict[tuple[int, str], dict[int, int]]:
        """(entry step, cohort month) -> step -> number of journeys that reached it, from the entry step on."""
        found: dict[tuple[int, str], dict[int, int]] = {}
        for journey in self.journeys.values():
            counts = found.setdefault(
                (journey.entry_step, journey.cohort), {s: 0 for s in STEPS if s >= journey.entry_step}
            )
            for step in counts:
                counts[step] += journey.reached(step)
        return found

    @cached_property
    def answers(self) -> dict[str, Answer]:
        """First response by journey, for every journey whose lead was scored and given to somebody."""
        found: dict[str, Answer] = {}
        for journey in self.journeys.values():
            for row, end in self._attempts(journey):
                answer = self._answer(journey, row, end)
                if answer is not None:
                    found.setdefault(journey.journey_id, answer)
        return found

    @cached_property
    def _tried(self) -> dict[str, list[int]]:
        """Lead -> the seconds at which a human turned to it."""
        tried: dict[str, list[int]] = defaultdict(list)
        for _, entries in self.identity.log.records("activities", self.identity.until):
            done = entries[-1].fields
            if (
                done["lead_id"] is not None
                and done["direction"] == "outbound"
                and done["activity_type"] in _COUNTS_AS_ANSWER
                and not done["is_automated"]
                and not done["is_deleted"]
            ):
                tried[str(done["lead_id"])].append(int(str(done["occurred_at"])))
        return tried

    def _answer(self, journey: Journey, row: StepRow, end: int) -> Answer | None:
        """Who got the lead in this attempt, or had it already, and when it was first turned to."""
        lead_id = str(journey.lead_id)
        owners = [(at, new) for at, _, new in _values(self._entries(lead_id), "owner_id") if at < end]
        before = [new for at, new in owners if at < row.entered_at]
        given = next(((at, new) for at, new in owners if at >= row.entered_at and new is not None), None)
        if given is None and before and before[-1] is not None:
            given = row.entered_at, before[-1]
        if given is None:
            return None
        assigned_at, assignee = given[0], str(given[1])
        answered = min((at for at in self._tried.get(lead_id, []) if assigned_at <= at < end), default=None)
        minutes = None
        if answered is not None:
            minutes = business_seconds(self.staff.calendar(assignee), assigned_at, answered) // 60
        return Answer(journey.journey_id, row.entered_at, assigned_at, assignee, answered, minutes)

    @cached_property
    def activity(self) -> dict[tuple[str, int], Activity]:
        """(UTC month, step) -> what happened; nothing where nothing did."""
        found: dict[tuple[str, int], Activity] = defaultdict(Activity)
        for journey in self.journeys.values():
            for row, after in zip_longest(journey.rows, journey.rows[1:]):
                if row.attempt_no == 1 or row.step == 60:
                    found[month_of(row.entered_at), row.step].entries += 1
                if row.step == 60 and after is not None:
                    found[month_of(after.entered_at), 60].reversals += 1
                if row.step != 60 and row.exited_at is not None and not row.is_skip:
                    cell = found[month_of(row.exited_at), row.step]
                    cell.exits += 1
                    cell.advanced += _goes_on(row, after)
        return dict(found)

    def handoffs(self, as_of: int) -> dict[tuple[str, int], Handoff]:
        """(journey, attempt) -> each time that marketing handed over a scored lead, as it stands at second `as_of`."""
        found = {}
        for journey in self.journeys.values():
            for row, end in self._attempts(journey):
                found[journey.journey_id, row.attempt_no] = self._handoff(journey, row, end, as_of)
        return found

    def _attempts(self, journey: Journey) -> Iterator[tuple[StepRow, int]]:
        """The hand-offs of a journey, each with the second at which nobody works on it any more."""
        if journey.lead_id is None:
            return
        in_cycle = journey.outcome in _LEAD_ENDS.values() and journey.ended_at is not None
        over = journey.ended_at if in_cycle and journey.ended_at is not None else self.identity.until
        rows = [row for row in journey.rows if row.step == 20 and not row.is_skip]
        yield from zip(rows, [*(row.entered_at for row in rows[1:]), over], strict=False)

    def _handoff(self, journey: Journey, row: StepRow, end: int, as_of: int) -> Handoff:
        answer = self._answer(journey, row, end)
        routing = due = met = None
        if answer is not None:
            calendar = self.staff.calendar(answer.assignee)
            routing = business_seconds(calendar, answer.scored_at, answer.assigned_at) // 60
            due = business_deadline(calendar, answer.assigned_at, SLA_MINUTES)
            if answer.answered_at is not None:
                met = answer.answered_at <= due
            elif due < (as_of if end == self.identity.until else end):
                met = False
        after = next(iter(journey.rows[journey.rows.index(row) + 1 :]), None)
        if after is not None and _goes_on(row, after):
            is_late = due is not None and after.entered_at > due
            is_implicit = after.is_skip or after.step != 30
            return Handoff(journey.journey_id, row.entered_at, routing, due, met, "accepted", is_implicit, is_late)
        outcome = "expired" if journey.outcome == "expired" else "rejected"
        if row.exited_at is None:
            outcome = "expired" if row.entered_at + EXPIRES_AFTER_DAYS * 86_400 <= as_of else "pending"
        return Handoff(journey.journey_id, row.entered_at, routing, due, met, outcome, False, False)

    def _entries(self, lead_id: str) -> list[Change]:
        return [c for c in self.identity.log.changes["leads"][lead_id] if c.at < self.identity.until]


def _values(entries: list[Change], field: str) -> Iterator[tuple[int, Value, Value]]:
    """(second, old, new) of each change of a field, the first value with old None."""
    old: Value = None
    for n, change in enumerate(entries):
        if field in change.fields and (n == 0 or change.fields[field] != old):
            yield change.at, old, change.fields[field]
            old = change.fields[field]


def _lead_cycles(entries: list[Change]) -> Iterator[list[_Moment]]:
    """The moments of each cycle of a lead: what comes back after recycled or expired begins a new one."""
    moments: list[_Moment] = []
    for at, _, status in _values(entries, "status"):
        if status in _LEAD_ENDS:
            moments.append(_Moment(at, 0, _LEAD_ENDS[str(status)]))
        elif status in _LEAD_STEPS:
            if moments and moments[-1].outcome in ("recycled", "expired"):
                yield moments
                moments = []
            moments.append(_Moment(at, _LEAD_STEPS[str(status)]))
    yield moments


def _deal_moments(entries: list[Change]) -> list[_Moment]:
    return [
        _Moment(at, 0, "lost") if stage == LOST else _Moment(at, _DEAL_STEPS[str(stage)])
        for at, _, stage in _values(entries, "stage")
    ]


def _journey(
    journey_id: str, lead_id: str | None, opportunity_id: str | None, person: str | None, moments: list[_Moment]
) -> Journey:
    rows: list[StepRow] = []
    position, closed, ended = 0, "", None
    for at, step, outcome in moments:
        if rows and rows[-1].exited_at is None:
            rows[-1] = replace(rows[-1], exited_at=at)
        if outcome:
            closed, ended = outcome, at
            continue
        for skipped in STEPS if position and not closed else ():
            if position < skipped < step:
                rows.append(StepRow(journey_id, skipped, at, at, _attempt(rows, skipped), is_skip=True))
        rows.append(
            StepRow(
                journey_id,
                step,
                at,
                at if step == 60 else None,
                _attempt(rows, step),
                is_regression=not closed and step < position,
                is_reopen=bool(closed),
            )
        )
        position, closed, ended = step, "won" if step == 60 else "", at if step == 60 else None
    return Journey(journey_id, lead_id, opportunity_id, person, tuple(rows), closed or None, ended)


def _goes_on(row: StepRow, after: StepRow | None) -> bool:
    """Whether a step was left for a higher one."""
    return after is not None and after.entered_at == row.exited_at and after.step > row.step and not after.is_reopen


def _attempt(rows: list[StepRow], step: int) -> int:
    return 1 + sum(row.step == step for row in rows)
