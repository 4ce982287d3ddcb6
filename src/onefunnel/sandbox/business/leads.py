"""The life of a lead: scored, assigned, called or not, accepted, recycled, expired, back again, or converted."""

from __future__ import annotations

import datetime as dt
import random
from itertools import pairwise
from typing import Literal

from onefunnel.sandbox.business import accounts
from onefunnel.sandbox.business.calendars import open_spans
from onefunnel.sandbox.business.log import Fields, day_of, midnight
from onefunnel.sandbox.business.scene import Cluster, Person, Scene, after, owner_at

Origin = Literal["Web", "Event", "List", "Phone", "Referral"]
NEW, MQL, ACCEPTED, RECYCLED = "New", "Marketing Qualified", "Accepted", "Recycled"
EXPIRED, DISQUALIFIED, CONVERTED = "Expired", "Disqualified", "Converted"
# What becomes of a hundred leads: the statuses they go through after `New`; a cycle that ends is left for weeks.
FATES: dict[str, tuple[int, tuple[str, ...]]] = {
    "new_only": (20, ()),
    "disqualified": (12, (DISQUALIFIED,)),
    "mql_waiting": (4, (MQL,)),
    "expired": (12, (MQL, EXPIRED)),
    "recycled": (7, (MQL, RECYCLED)),
    "recycled_back": (3, (MQL, RECYCLED, MQL, ACCEPTED)),
    "recycled_back_new": (1, (MQL, RECYCLED, NEW, MQL, DISQUALIFIED)),
    "recycled_converted": (1, (MQL, RECYCLED, MQL, ACCEPTED, CONVERTED)),
    "expired_back": (2, (MQL, EXPIRED, MQL, RECYCLED)),
    "expired_converted": (1, (MQL, EXPIRED, MQL, ACCEPTED, CONVERTED)),
    "mql_disqualified": (8, (MQL, DISQUALIFIED)),
    "accepted_recycled": (4, (MQL, ACCEPTED, RECYCLED)),
    "accepted": (4, (MQL, ACCEPTED)),
    "stepped_back": (1, (MQL, ACCEPTED, MQL, ACCEPTED)),
    "accepted_unscored": (1, (ACCEPTED, RECYCLED)),
    "converted": (8, (MQL, ACCEPTED, CONVERTED)),
    "converted_unaccepted": (3, (MQL, CONVERTED)),
    "converted_unscored": (1, (CONVERTED,)),
    "deleted": (2, (MQL,)),
    "test": (1, ()),
    "merged": (3, (MQL,)),
    "no_email": (1, (MQL, DISQUALIFIED)),
}
_FATES = tuple((name, count) for name, (count, _) in FATES.items())
_ANSWERS = (("minutes", 7), ("hours", 4), ("days", 3), ("evening", 3), ("weekend", 1), ("never", 2))


def new_lead_id(scene: Scene) -> str:
    """The next lead id: seventeen digits, of which a float loses the last."""
    return str(30_000_000_000_000_001 + 2 * scene.log.number("lead"))


def live(
    scene: Scene,
    rng: random.Random,
    person: Person,
    lead_id: str,
    at: int,
    origin: Origin,
    *,
    fate: str = "",
    crm_campaign_id: str | None = None,
    cluster: Cluster | None = None,
) -> None:
    """Write the whole life of a lead that the CRM creates at `at`.

    Args:
        cluster: the account that the person belongs to already, if it is one.
    """
    fate = fate or scene.log.card("leads", _FATES)
    statuses = FATES[fate][1]
    starts_scored = statuses[:2] == (MQL, ACCEPTED) and rng.randrange(12) == 0
    _create(scene, person, lead_id, at, origin, fate, crm_campaign_id, MQL if starts_scored else NEW)
    scene.log.note(f"lead_{fate}", at)
    if starts_scored:
        scene.log.note("lead_created_scored", at)
        assigned = _assign(scene, rng, person, lead_id, at)
        moment = _answer(scene, rng, lead_id, assigned, statuses[1:2])
        _hand_over(scene, lead_id, assigned, at, moment)
        _walk(scene, rng, person, lead_id, moment, statuses[1:], assigned, cluster)
    else:
        _walk(scene, rng, person, lead_id, at, statuses, [], cluster)
    if fate == "deleted":
        gone = after(rng, person.market.calendar, at, 5, 60)
        scene.log.set(gone, "leads", lead_id, "U0016", is_deleted=True)
        scene.log.note("lead_deleted", gone)
    if fate == "merged":
        _merge(scene, rng, person, lead_id, at)


def _create(
    scene: Scene,
    person: Person,
    lead_id: str,
    at: int,
    origin: Origin,
    fate: str,
    crm_campaign_id: str | None,
    status: str,
) -> None:
    is_test = fate == "test"
    scene.log.set(
        at,
        "leads",
        lead_id,
        lead_id=lead_id,
        email=None if fate == "no_email" else person.email,
        full_name="Test, please ignore" if is_test else person.full_name,
        company_name=person.company,
        country=person.market.country,
        lead_source=origin,
        crm_campaign_id=crm_campaign_id,
        owner_id=None,
        status=status,
        created_at=at,
        converted_at=None,
        converted_contact_id=None,
        converted_account_id=None,
        converted_opportunity_id=None,
        merged_into_id=None,
        is_test=is_test,
        is_deleted=False,
    )


def _walk(
    scene: Scene,
    rng: random.Random,
    person: Person,
    lead_id: str,
    at: int,
    statuses: tuple[str, ...],
    owners: list[tuple[int, str]],
    cluster: Cluster | None,
) -> None:
    calendar, moment, before = person.market.calendar, at, MQL if owners else NEW
    for n, status in enumerate(statuses):
        since, moment = moment, _next_moment(rng, calendar, moment, before, status)
        _hand_over(scene, lead_id, owners, since, moment)
        if before in (RECYCLED, EXPIRED):
            scene.log.note("lead_returned", moment)
        if not owners and status in (ACCEPTED, CONVERTED):
            owners = scene.owners(rng, scene.rep(rng, person.market, moment), person.market, moment)
            scene.log.set(moment, "leads", lead_id, owners[0][1], owner_id=owners[0][1])
        owner = owner_at(owners, moment) if owners else ""
        fields: Fields = {"status": status}
        if status == CONVERTED:
            fields |= accounts.convert(scene, rng, person, moment, owner, cluster)
        if status in (RECYCLED, EXPIRED):
            fields["owner_id"] = None  # back into the queue
            owners = []
        scene.log.set(moment, "leads", lead_id, "" if status == MQL else owner, **fields)
        if status == MQL and not owners:
            owners = _assign(scene, rng, person, lead_id, moment)
            answered = _answer(scene, rng, lead_id, owners, statuses[n + 1 : n + 2])
            _hand_over(scene, lead_id, owners, moment, answered)
            moment = answered
        before = status
    if before in (MQL, ACCEPTED):
        _hand_over(scene, lead_id, owners, moment, None)


def _next_moment(rng: random.Random, calendar: str, at: int, before: str, status: str) -> int:
    if before in (RECYCLED, EXPIRED):
        return after(rng, calendar, at, 25, 90)
    if status == MQL and before == NEW:
        return at + rng.randint(60, 3 * 86_400)  # scored by a machine, at any hour
    days = {EXPIRED: (14, 15), ACCEPTED: (0, 2), RECYCLED: (2, 12), DISQUALIFIED: (0, 6), CONVERTED: (1, 12)}
    return after(rng, calendar, at, *days.get(status, (1, 6)))


def _assign(scene: Scene, rng: random.Random, person: Person, lead_id: str, scored: int) -> list[tuple[int, str]]:
    """Routing: a machine gives the lead to a rep, seconds or hours after it was scored."""
    assigned = scored + rng.choice((2, 5, 20, 60, 900, 7_200))
    owner = scene.rep(rng, person.market, assigned)
    scene.log.set(assigned, "leads", lead_id, owner_id=owner)
    return scene.owners(rng, owner, person.market, assigned)


def _answer(
    scene: Scene, rng: random.Random, lead_id: str, owners: list[tuple[int, str]], following: tuple[str, ...]
) -> int:
    """The rep's first call or mail; the moment from which the lead can move on."""
    at, owner = owners[0]
    calendar = scene.staff.calendar(owner)
    _act(scene, at + rng.randint(20, 300), "email", lead_id, owner, "welcome mail", is_automated=True)
    speed = scene.log.card("answers", _ANSWERS)
    if following == (EXPIRED,) or (not following and speed == "never"):
        scene.log.note("lead_never_answered", at)
        return at
    if speed in ("never", "minutes"):
        answered = at + rng.randint(240, 5_400)
        in_hours = any(opens <= answered < closes for opens, closes in open_spans(calendar, day_of(answered)))
        answered = answered if in_hours else after(rng, calendar, at, 0, 1)
    elif speed in ("hours", "days"):
        answered = after(rng, calendar, at, 0, 1) if speed == "hours" else after(rng, calendar, at, 1, 5)
    else:
        answered = _out_of_hours(rng, at, weekend=speed == "weekend")
        scene.log.note("answered_out_of_hours", answered)
    if rng.randrange(6) == 0 and answered - at > 1_200:
        _act(scene, at + (answered - at) // 2, "task", lead_id, owner, "research")
        _act(scene, at + (answered - at) // 3, "call", lead_id, owner, "call back", inbound=True)
    _act(
        scene,
        answered,
        rng.choice(("call", "call", "email", "meeting")),
        lead_id,
        owner_at(owners, answered),
        "first contact",
    )
    moment = answered
    for _ in range(rng.randrange(3)):
        moment += rng.randint(900, 86_400)
        _act(scene, moment, "call", lead_id, owner_at(owners, moment), "follow-up")
    return moment


def _out_of_hours(rng: random.Random, at: int, weekend: bool) -> int:
    day = day_of(at) + dt.timedelta(days=1)
    if weekend:
        day += dt.timedelta(days=(5 - day.weekday()) % 7)
    return midnight(day) + rng.randint(0, 3 * 3_600)


def _act(
    scene: Scene,
    at: int,
    activity_type: str,
    lead_id: str,
    owner: str,
    purpose: str,
    *,
    is_automated: bool = False,
    inbound: bool = False,
) -> None:
    accounts.activity(
        scene, at, activity_type, owner, purpose, lead_id=lead_id, is_automated=is_automated, inbound=inbound
    )
    if is_automated:
        scene.log.note("automated_activity", at)


def _hand_over(scene: Scene, lead_id: str, owners: list[tuple[int, str]], since: int, until: int | None) -> None:
    """Write what changes hands after `since` because somebody leaves, up to `until`."""
    for moment, owner in owners[1:]:
        if since < moment and (until is None or moment <= until):
            scene.log.set(moment, "leads", lead_id, owner, owner_id=owner)
            scene.log.note("lead_handed_over", moment)


def _merge(scene: Scene, rng: random.Random, person: Person, lead_id: str, at: int) -> None:
    """The same person once or twice more under another address; marketing merges the records days later."""
    chain = [lead_id]
    for n in range(2 if rng.randrange(3) == 0 else 1):
        twin_at = after(rng, person.market.calendar, at, 1 + 3 * n, 3 + 3 * n)
        other = scene.person(rng, like=person)
        twin = Person(person.first, person.last, f"p.{other.email}", person.company, person.domain, person.market)
        chain.append(new_lead_id(scene))
        fate = rng.choice(("recycled", "converted", "accepted")) if n == 0 else "new_only"
        live(scene, rng, twin, chain[-1], twin_at, "Web", fate=fate)
    order = [chain[0], chain[2], chain[1]] if len(chain) == 3 else chain
    for n, (loser, survivor) in enumerate(pairwise(order)):
        merged = after(rng, person.market.calendar, at, 8 + 4 * n, 10 + 4 * n)
        scene.log.set(merged, "leads", loser, "U0016", merged_into_id=survivor)
        scene.log.note("lead_merge_chain" if n else "lead_merged", merged)
