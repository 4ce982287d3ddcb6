"""The stories that begin on a day: visitors, leads from elsewhere, companies that sales calls, bots and staff."""

from __future__ import annotations

import datetime as dt
import random

from onefunnel.sandbox.business import accounts, bookings, deals, leads
from onefunnel.sandbox.business.calendars import in_hours
from onefunnel.sandbox.business.catalog import (
    CrmCampaign,
    mailings_between,
    next_event,
    sent_at,
)
from onefunnel.sandbox.business.log import Touch, day_of, midnight
from onefunnel.sandbox.business.scene import FORM_CHANCE, Cluster, Person, Scene, after

# How many stories begin on an average day at scale 1.
_PER_DAY = {"visitor": 730, "other_lead": 105, "outbound": 16, "bot": 60, "staff": 45}  # hundredths
_WEEKDAY_PERCENT = (120, 125, 120, 115, 105, 60, 55)
_STAMPS = (("after", 9), ("before", 6), ("same_second", 1), ("long_before", 1))
_ORIGINS = (("event", 10), ("list", 4), ("phone", 3), ("referral", 2))
_OUTBOUND = (
    ("plain", 7),
    ("won_before_touch", 2),
    ("same_day", 1),
    ("imported", 1),
    ("unknown_account", 1),
    ("deleted", 1),
    ("test", 1),
)


def tell_day(scene: Scene, seed: int, scale_percent: int, day: dt.date) -> None:
    """Write every story that begins on a UTC day."""
    for kind, hundredths in _PER_DAY.items():
        rng = _rng(f"{seed}/{day.isoformat()}/{kind}")
        expected = hundredths * scale_percent * _WEEKDAY_PERCENT[day.weekday()]  # in millionths
        for n in range((expected + rng.randrange(1_000_000)) // 1_000_000):
            story = _rng(f"{seed}/{day.isoformat()}/{kind}/{n}")
            at = midnight(day) + story.randrange(5 * 3_600, 23 * 3_600)
            _STORIES[kind](scene, story, at)
            while scene.colleagues:
                since, cluster = scene.colleagues.pop()
                _colleague(scene, story, since, cluster)


def _rng(key: str) -> random.Random:
    return random.Random(key)  # noqa: S311  (not a secret)


def _visitor(scene: Scene, rng: random.Random, at: int) -> None:
    """Somebody finds the web site; perhaps he leaves his name, then he is a lead within seconds."""
    visitor_id = scene.visitor_id()
    experiment = scene.experiment(at)
    variant = rng.choice("AB") if experiment else None
    chance = FORM_CHANCE
    if experiment:
        chance = experiment.chance_a if variant == "A" else experiment.chance_b
    visits = rng.choice((1, 1, 1, 2, 2, 3))
    moments = [at * 1_000 + rng.randrange(1_000)]
    for _ in range(visits - 1):
        moments.append(moments[-1] + rng.choice((1_800, 86_400, 5 * 86_400, 12 * 86_400)) * rng.randint(700, 1_300))
    touches = []
    for n, moment in enumerate(moments):
        way = "direct" if n and rng.randrange(3) == 0 else ""
        touches.append(scene.ads.visit(rng, moment, scene.touch_id("web"), visitor_id, way))
    if len(touches) > 1 and rng.randrange(8) == 0:
        touches[-1] = touches[-1]._replace(at_ms=touches[-2].at_ms)
        touches.sort(key=lambda touch: touch.at_ms)
        scene.log.note("touches_in_the_same_second", touches[-1].at_ms // 1_000)
    for touch in touches:
        running = scene.experiment(touch.at_ms // 1_000)
        if experiment and running == experiment:
            touch = touch._replace(experiment_id=experiment.experiment_id, variant=variant)
        scene.log.touch(touch)
    if rng.randrange(100) >= chance:
        scene.log.note("visitor_without_a_name", at)
        return
    person = scene.person(rng)
    person.visitor_id = visitor_id
    if rng.randrange(12) == 0:  # an earlier visit from another device: nobody can know
        other = scene.ads.visit(rng, moments[0] - 3 * 3_600_000, scene.touch_id("web"), scene.visitor_id())
        if other.at_ms // 1_000 >= midnight(day_of(at)):
            scene.log.touch(other)
    form_ms = touches[-1].at_ms + rng.randint(20, 1_500) * 1_000
    _form_makes_lead(scene, rng, person, touches[-1], form_ms)


def _form_makes_lead(
    scene: Scene, rng: random.Random, person: Person, last: Touch, form_ms: int, cluster: Cluster | None = None
) -> None:
    stamp = scene.log.card("stamps", _STAMPS)
    offset = {"after": (1, 40), "before": (-250, -2), "same_second": (0, 0), "long_before": (-900, -310)}[stamp]
    created = form_ms // 1_000 + rng.randint(*offset)
    if created <= last.at_ms // 1_000:
        created, stamp = form_ms // 1_000 + 1, "after"
    lead_id = leads.new_lead_id(scene)
    scene.log.note(f"lead_stamped_{stamp}", max(created, form_ms // 1_000))
    _form(scene, rng, person, last, form_ms, lead_id if rng.randrange(3) == 0 else None)
    leads.live(scene, rng, person, lead_id, created, "Web", cluster=cluster)
    _afterwards(scene, rng, person, created, lead_id)


def _form(scene: Scene, rng: random.Random, person: Person, last: Touch, at_ms: int, lead_id: str | None) -> None:
    typed = f" {person.email.title()} " if rng.randrange(20) == 0 else person.email
    nameless = lead_id is not None and rng.randrange(10) == 0
    scene.log.touch(
        last._replace(
            at_ms=at_ms,
            touch_id=scene.touch_id("web"),
            touch_type="form",
            visitor_id=None if rng.randrange(25) == 0 else person.visitor_id,
            email=None if nameless else typed,
            lead_id=lead_id,
            landing_page="/demo",
            experiment_id=None,
            variant=None,
        )
    )


def _afterwards(scene: Scene, rng: random.Random, person: Person, since: int, lead_id: str | None) -> None:
    """What the person does later: newsletters, further visits, sometimes another form or an event."""
    if rng.randrange(100) < 34:
        _newsletters(scene, rng, person, since, lead_id)
    if rng.randrange(100) < 30 and person.visitor_id:
        moment = since * 1_000
        for _ in range(rng.randint(1, 3)):
            moment += rng.randint(2, 50) * 86_400_000 + rng.randrange(36_000_000)
            scene.log.touch(scene.ads.visit(rng, moment, scene.touch_id("web"), person.visitor_id))
            scene.log.note("visit_of_a_known_person", moment // 1_000)
        if rng.randrange(4) == 0:
            visit = scene.ads.visit(rng, moment, "", person.visitor_id)
            _form(scene, rng, person, visit, moment + rng.randint(1_000, 90_000), None)
    if rng.randrange(100) < 8:
        _attend(scene, rng, person, next_event(day_of(since) + dt.timedelta(days=14), scene.first_day), lead_id)


def _newsletters(scene: Scene, rng: random.Random, person: Person, since: int, lead_id: str | None) -> None:
    first = day_of(since) + dt.timedelta(days=1)
    mailings = mailings_between(first, first + dt.timedelta(days=160))
    by_id = lead_id if rng.randrange(2) else None
    for mailing in mailings[: rng.randint(2, 7)]:
        at = sent_at(mailing)
        clicked = _mail(scene, rng, person, mailing, at, by_id)
        if rng.randrange(3) == 0 and lead_id is not None:
            _member(scene, mailing, lead_id, at, clicked)


def _mail(
    scene: Scene, rng: random.Random, person: Person, mailing: CrmCampaign, at: int, lead_id: str | None
) -> int | None:
    """One newsletter to one person; the second of the click, if there is one."""

    def seen(touch_type: str, second: int, is_automated: bool = False) -> None:
        scene.log.touch(
            Touch(
                second * 1_000,
                "mail",
                scene.touch_id("mail"),
                touch_type,
                email=None if lead_id and rng.randrange(6) == 0 else person.email,
                lead_id=lead_id,
                crm_campaign_id=mailing.crm_campaign_id,
                is_automated=is_automated,
            )
        )

    seen("delivered", at + rng.randrange(120), is_automated=True)
    reaction = rng.randrange(100)
    if reaction < 35:
        seen("open", at + rng.randint(130, 80_000), is_automated=reaction < 8)
    if reaction < 12:
        clicked = at + rng.randint(80_001, 150_000)
        seen("click", clicked)
        if reaction < 3:
            seen("reply", clicked + rng.randint(600, 90_000))
            scene.log.note("mail_reply", clicked + 90_000)
        return clicked
    return None


def _member(scene: Scene, campaign: CrmCampaign, lead_id: str, at: int, responded: int | None) -> None:
    member_id = f"CM{scene.log.number('member'):07d}"
    scene.log.set(
        at,
        "campaign_members",
        member_id,
        member_id=member_id,
        crm_campaign_id=campaign.crm_campaign_id,
        lead_id=lead_id,
        contact_id=None,
        status="sent",
        responded_at=None,
        created_at=at,
    )
    if responded is not None:
        scene.log.set(responded, "campaign_members", member_id, status="responded", responded_at=responded)


def _attend(
    scene: Scene, rng: random.Random, person: Person, event: CrmCampaign, lead_id: str | None, *, sure: bool = False
) -> int:
    """Registration and visit of an event, whole minutes; the second of the visit."""
    opens = midnight(event.started_on) + 8 * 3_600
    registered = opens - rng.randint(1, 9) * 86_400 + rng.randrange(0, 480) * 60
    attended = opens + rng.randrange(0, 480) * 60
    for touch_type, at in (("registered", registered), ("attended", attended)):
        if touch_type == "attended" and not sure and rng.randrange(4) == 0:
            scene.log.note("registered_and_absent", attended)
            continue
        scene.log.touch(
            Touch(
                at * 1_000,
                "event",
                scene.touch_id("event"),
                touch_type,
                email=person.email,
                lead_id=lead_id if rng.randrange(2) else None,
                crm_campaign_id=event.crm_campaign_id,
            )
        )
    return attended


def _other_lead(scene: Scene, rng: random.Random, at: int) -> None:
    """A lead that no form made: from an event, a bought list, the telephone, a recommendation."""
    person = scene.person(rng)
    origin = scene.log.card("origins", _ORIGINS)
    lead_id = leads.new_lead_id(scene)
    if origin == "event":
        event = next_event(day_of(at) + dt.timedelta(days=10), scene.first_day)
        attended = _attend(scene, rng, person, event, None, sure=True)
        created = after(rng, person.market.calendar, attended, 1, 2)
        leads.live(scene, rng, person, lead_id, created, "Event", crm_campaign_id=event.crm_campaign_id)
        _member(scene, event, lead_id, created, created)
        _afterwards(scene, rng, person, created, lead_id)
        return
    created = in_hours(rng, person.market.calendar, day_of(at)) if origin != "list" else at
    word: leads.Origin = "List" if origin == "list" else "Phone" if origin == "phone" else "Referral"
    leads.live(scene, rng, person, lead_id, created, word)
    scene.log.note("lead_without_touch", created)
    if origin == "phone":
        accounts.activity(scene, created, "call", "U0002", "hotline", lead_id=lead_id, inbound=True)


def _outbound(scene: Scene, rng: random.Random, at: int) -> None:
    """Sales calls a company that marketing has never heard of."""
    kind = scene.log.card("outbound", _OUTBOUND)
    person = scene.person(rng)
    start = in_hours(rng, person.market.calendar, day_of(at))
    owner = scene.rep(rng, person.market, start)
    scene.log.note("opportunity_without_lead", start)
    if kind == "unknown_account":
        unknown = f"Ac9{scene.log.number('unknown account'):06d}"
        deals.sell(scene, rng, start, unknown, [], person.market, owner, pattern="open_early")
        scene.log.note("opportunity_of_an_unknown_account", start)
        return
    moved_in = {"created_at": start - 500 * 86_400} if kind == "imported" else {}  # from the CRM before this one
    cluster = accounts.new_account(scene, rng, person, start, owner, **moved_in)
    contact_id = accounts.new_contact(scene, rng, cluster, person, start, owner)
    pattern = {"won_before_touch": "won_skip", "same_day": "won_same_day", "imported": "imported_won"}.get(kind, "")
    if kind in ("deleted", "test"):
        pattern = "open_early"
    deal = deals.sell(
        scene,
        rng,
        start,
        cluster.account_id,
        [contact_id],
        person.market,
        owner,
        pattern=pattern,
        facts={"is_test": kind == "test"},
    )
    bookings.book(scene, rng, deal)
    accounts.meet(scene, rng, deal, contact_id)
    if kind == "deleted":
        gone = after(rng, person.market.calendar, start, 3, 20)
        scene.log.set(gone, "opportunities", deal.opportunity_id, owner, is_deleted=True)
        scene.log.note("opportunity_deleted", gone)
    elif kind == "test":
        scene.log.note("opportunity_test", start)
    elif kind == "won_before_touch" or rng.randrange(2):
        first = deal.stages[-1][0] if kind == "won_before_touch" else start
        _becomes_visitor(scene, rng, person, first + rng.randint(1, 12) * 86_400, kind)


def _becomes_visitor(scene: Scene, rng: random.Random, person: Person, at: int, kind: str) -> None:
    """A contact of sales comes to the web site and says who he is: no lead, but touches of the account."""
    person.visitor_id = scene.visitor_id()
    visit = scene.ads.visit(rng, at * 1_000, scene.touch_id("web"), person.visitor_id)
    scene.log.touch(visit)
    _form(scene, rng, person, visit, visit.at_ms + rng.randint(5_000, 500_000), None)
    _afterwards(scene, rng, person, at, None)
    scene.log.note("won_before_its_first_touch" if kind == "won_before_touch" else "contact_becomes_visitor", at)


def _colleague(scene: Scene, rng: random.Random, since: int, cluster: Cluster) -> None:
    """Somebody else of a company that is an account already fills a form and becomes a lead of his own."""
    person = scene.person(rng, like=cluster.people[0])
    person.visitor_id = scene.visitor_id()
    at = after(rng, person.market.calendar, since, 3, 60)
    visit = scene.ads.visit(rng, at * 1_000, scene.touch_id("web"), person.visitor_id)
    scene.log.touch(visit)
    scene.log.note("lead_of_a_known_account", at)
    _form_makes_lead(scene, rng, person, visit, visit.at_ms + rng.randint(20_000, 400_000), cluster)


def _bot(scene: Scene, rng: random.Random, at: int) -> None:
    visitor_id, moment = scene.visitor_id(), at * 1_000
    for _ in range(rng.randint(1, 4)):
        touch = scene.ads.visit(rng, moment, scene.touch_id("web"), visitor_id)._replace(is_bot=True)
        scene.log.touch(touch)
        moment += rng.choice((0, 150, 900))
    if rng.randrange(10) == 0:
        spam = touch._replace(touch_id=scene.touch_id("web"), touch_type="form", email="spam@bot.example")
        scene.log.touch(spam)
    scene.log.note("bot", at)


def _staff(scene: Scene, rng: random.Random, at: int) -> None:
    visitor_id = scene.visitor_id()
    for n in range(rng.randint(1, 2)):
        visit = scene.ads.visit(rng, (at + 40 * n) * 1_000, scene.touch_id("web"), visitor_id, "direct")
        scene.log.touch(visit._replace(utm_source="internal", utm_medium="intranet"))
    scene.log.note("staff", at)


_STORIES = {
    "visitor": _visitor,
    "other_lead": _other_lead,
    "outbound": _outbound,
    "bot": _bot,
    "staff": _staff,
}
