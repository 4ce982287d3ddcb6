"""Accounts, contacts and activities: what converting a lead or calling a company makes, and how duplicates are merged."""

from __future__ import annotations

import random
from itertools import pairwise

from onefunnel.sandbox.business import bookings, deals
from onefunnel.sandbox.business.catalog import INDUSTRIES, ROLES, SEGMENTS, mixed_case_pair
from onefunnel.sandbox.business.log import Fields, day_of
from onefunnel.sandbox.business.scene import Cluster, Person, Scene, after

_CLUSTERS = (
    ("plain", 7),
    ("parent", 2),
    ("twin_account", 2),
    ("account_chain", 1),
    ("contact_twin", 1),
    ("contact_chain", 1),
    ("colleague", 3),
    ("second_deal", 4),
    ("overlapping_deals", 1),
    ("no_deal", 1),
)


def convert(scene: Scene, rng: random.Random, person: Person, at: int, owner: str, cluster: Cluster | None) -> Fields:
    """Make contact, account and opportunity of a lead; the lead's fields that say so."""
    known = cluster is not None
    if cluster is None:
        cluster = new_account(scene, rng, person, at, owner)
        cluster.kind = scene.log.card("clusters", _CLUSTERS)
    contact_id = new_contact(scene, rng, cluster, person, at, owner)
    opportunity_id = None
    without = rng.randrange(2) == 0 if known else cluster.kind == "no_deal"
    if without:
        scene.log.note("converted_without_opportunity", at)
    else:
        contacts = [contact_id] if known else [contact_id, *_colleagues(scene, rng, cluster, person, at, owner)]
        source: Fields = {"lead_source": "Web"}
        deal = deals.sell(scene, rng, at, cluster.account_id, contacts, person.market, owner, facts=source)
        bookings.book(scene, rng, deal)
        meet(scene, rng, deal, contact_id)
        opportunity_id = deal.opportunity_id
    if not known:
        unfold(scene, rng, cluster, person, at)
    scene.log.note("lead_converted", at)
    return {
        "converted_at": at,
        "converted_contact_id": contact_id,
        "converted_account_id": cluster.account_id,
        "converted_opportunity_id": opportunity_id,
    }


def new_account(
    scene: Scene, rng: random.Random, person: Person, at: int, owner: str, **facts: str | int | bool | None
) -> Cluster:
    """Write an account; it has no people yet."""
    owner = scene.present(rng, owner, person.market, at)
    account_id = mixed_case_pair("ac", scene.log.number("account"))
    fields: Fields = {
        "account_id": account_id,
        "account_name": person.company,
        "parent_account_id": None,
        "merged_into_id": None,
        "domain": person.domain,
        "segment": rng.choices([s for s, _ in SEGMENTS], [w for _, w in SEGMENTS])[0],
        "industry": rng.choice(INDUSTRIES),
        "country": person.market.country,
        "region": person.market.region,
        "territory_id": person.market.territory_id,
        "owner_id": owner,
        "is_target": rng.randrange(4) == 0,
        "created_at": at,
        "is_deleted": False,
    }
    scene.log.set(at, "accounts", account_id, owner, **(fields | facts))
    for moment, user in scene.owners(rng, owner, person.market, at)[1:]:
        scene.log.set(moment, "accounts", account_id, user, owner_id=user)
    return Cluster(account_id, person.market, owner, [person])


def new_contact(scene: Scene, rng: random.Random, cluster: Cluster, person: Person, at: int, owner: str) -> str:
    """Write a contact of an account; the CRM keeps the address as it was typed, in any case of letters."""
    contact_id = f"{scene.log.number('contact') + 1:09d}"
    email = person.email.upper() if rng.randrange(15) == 0 else person.email
    scene.log.set(
        at,
        "contacts",
        contact_id,
        owner,
        contact_id=contact_id,
        account_id=cluster.account_id,
        email=email,
        full_name=person.full_name,
        phone=f"+49 30 {rng.randrange(10**7):07d}",
        role=rng.choice(ROLES),
        country=person.market.country,
        created_at=at,
        merged_into_id=None,
        is_deleted=False,
    )
    cluster.contact_ids.append(contact_id)
    return contact_id


def _colleagues(scene: Scene, rng: random.Random, cluster: Cluster, person: Person, at: int, owner: str) -> list[str]:
    """Further contacts that sales knows in the company; they have no touches."""
    return [
        new_contact(scene, rng, cluster, scene.person(rng, like=person), at, owner)
        for _ in range(rng.choice((0, 0, 1, 1, 2)))
    ]


def unfold(scene: Scene, rng: random.Random, cluster: Cluster, person: Person, at: int) -> None:
    """What else happens in a company after its account was made, by the kind of cluster."""
    kind, calendar, log = cluster.kind, person.market.calendar, scene.log
    log.note(f"cluster_{kind}", at)
    if kind == "parent":
        holding = new_account(
            scene, rng, person, at, cluster.owner, account_name=f"{person.company} Holding", domain=None
        )
        moment = after(rng, calendar, at, 1, 9)
        log.set(moment, "accounts", cluster.account_id, cluster.owner, parent_account_id=holding.account_id)
    elif kind in ("twin_account", "account_chain"):
        _merge_accounts(scene, rng, cluster, person, at, 2 if kind == "account_chain" else 1)
    elif kind in ("contact_twin", "contact_chain"):
        _merge_contacts(scene, rng, cluster, person, at, 2 if kind == "contact_chain" else 1)
    elif kind == "colleague":
        scene.colleagues.append((at, cluster))
    elif kind in ("second_deal", "overlapping_deals"):
        days = (2, 9) if kind == "overlapping_deals" else (60, 200)
        moment = after(rng, calendar, at, *days)
        owner = scene.rep(rng, person.market, moment)
        deal = deals.sell(scene, rng, moment, cluster.account_id, cluster.contact_ids[:1], person.market, owner)
        bookings.book(scene, rng, deal)
        meet(scene, rng, deal, cluster.contact_ids[0])
        log.note("opportunity_without_lead", moment)


def _merge_accounts(scene: Scene, rng: random.Random, cluster: Cluster, person: Person, at: int, twins: int) -> None:
    """Duplicates of the account, each with a contact; with two of them the records form a chain."""
    calendar = person.market.calendar
    chain = [cluster.account_id]
    for n in range(twins):
        moment = after(rng, calendar, at, 2 + 3 * n, 4 + 3 * n)
        twin = new_account(scene, rng, person, moment, cluster.owner, account_name=f"{person.company} (2)")
        new_contact(scene, rng, twin, scene.person(rng, like=person), moment, cluster.owner)
        chain.append(twin.account_id)
    merges = [(chain[1], chain[0])] if twins == 1 else [(chain[1], chain[2]), (chain[2], chain[0])]
    if twins == 1 and rng.randrange(2):
        merges = [(chain[0], chain[1])]  # the account that has the deal is the one that goes
    for n, (loser, survivor) in enumerate(merges):
        moment = after(rng, calendar, at, 10 + 12 * n, 18 + 12 * n)
        scene.log.set(moment, "accounts", loser, cluster.owner, merged_into_id=survivor)
        scene.log.note("account_merge_chain" if n else "account_merged", moment)


def _merge_contacts(scene: Scene, rng: random.Random, cluster: Cluster, person: Person, at: int, twins: int) -> None:
    calendar, first = person.market.calendar, cluster.contact_ids[0]
    chain = [first]
    for n in range(twins):
        moment = after(rng, calendar, at, 2 + 3 * n, 4 + 3 * n)
        other = scene.person(rng, like=person)
        chain.append(new_contact(scene, rng, cluster, other, moment, cluster.owner))
    for n, (loser, survivor) in enumerate(pairwise(chain)):
        moment = after(rng, calendar, at, 10 + 6 * n, 14 + 6 * n)
        scene.log.set(moment, "contacts", loser, cluster.owner, merged_into_id=survivor)
        scene.log.note("contact_merge_chain" if n else "contact_merged", moment)


def meet(scene: Scene, rng: random.Random, deal: deals.Deal, contact_id: str) -> None:
    """Meetings and calls around a deal's stages."""
    for moment, stage in deal.stages[:-1]:
        at = moment + rng.randint(3_600, 3 * 86_400)
        owner = deal.owners[0][1] if len(deal.owners) == 1 or at < deal.owners[1][0] else deal.owners[1][1]
        kind = rng.choice(("meeting", "call", "email"))
        activity(
            scene,
            at,
            kind,
            owner,
            stage.lower(),
            contact_id=contact_id,
            account_id=deal.account_id,
            opportunity_id=deal.opportunity_id,
            minutes=rng.choice((15, 30, 60)),
        )


def activity(
    scene: Scene,
    at: int,
    activity_type: str,
    owner: str,
    purpose: str,
    *,
    lead_id: str | None = None,
    contact_id: str | None = None,
    account_id: str | None = None,
    opportunity_id: str | None = None,
    is_automated: bool = False,
    inbound: bool = False,
    minutes: int | None = None,
) -> None:
    """Write one activity."""
    activity_id = f"AC-{scene.log.number('activity'):08d}"
    scene.log.set(
        at,
        "activities",
        activity_id,
        owner,
        activity_id=activity_id,
        activity_type=activity_type,
        direction="inbound" if inbound else "outbound",
        purpose=purpose,
        owner_id=owner,
        lead_id=lead_id,
        contact_id=contact_id,
        account_id=account_id,
        opportunity_id=opportunity_id,
        occurred_at=at,
        duration_minutes=minutes,
        outcome="reached" if day_of(at).day % 2 else "no answer, try again",
        is_automated=is_automated,
        is_deleted=False,
    )
