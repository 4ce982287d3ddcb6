"""The life of an opportunity: its stages, amounts, dates and owners, who is involved, and how it ends."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass, field
from itertools import pairwise

from onefunnel.sandbox.business.catalog import (
    COMPETITORS,
    LOSS_REASONS,
    PRODUCTS,
    Product,
    mixed_case_pair,
)
from onefunnel.sandbox.business.log import MICRO, Fields, day_of
from onefunnel.sandbox.business.scene import Scene, after, owner_at
from onefunnel.sandbox.business.staff import OVERLAY, Market

QUALIFICATION, PROPOSAL, WON, LOST = "Qualification", "Proposal", "Closed Won", "Closed Lost"
_PROBABILITY = {QUALIFICATION: 20, PROPOSAL: 60, WON: 100, LOST: 0}
_CATEGORY = {QUALIFICATION: "pipeline", PROPOSAL: "best_case", WON: "closed", LOST: "omitted"}
_LETTERS = {"Q": QUALIFICATION, "P": PROPOSAL, "W": WON, "L": LOST}
PATTERNS: dict[str, str] = {
    "won": "QPW",
    "won_skip": "QW",
    "won_same_day": "QW",
    "won_regressed": "QPQPW",
    "won_from_proposal": "PW",
    "lost": "QPL",
    "lost_early": "QL",
    "lost_reopened_won": "QPLPW",
    "lost_reopened_lost": "QPLPL",
    "won_reopened_lost": "QPWPL",
    "won_reopened_won": "QPWPW",
    "won_reopened": "QPWP",
    "open": "QP",
    "open_early": "Q",
    "imported_won": "W",
}
_DEALS = (
    ("won", 8),
    ("won_skip", 2),
    ("won_same_day", 1),
    ("won_regressed", 1),
    ("won_from_proposal", 1),
    ("lost", 8),
    ("lost_early", 6),
    ("lost_reopened_won", 1),
    ("lost_reopened_lost", 1),
    ("won_reopened_lost", 1),
    ("won_reopened_won", 1),
    ("won_reopened", 1),
    ("open", 2),
    ("open_early", 2),
)
_EDITS = (
    ("none", 5),
    ("raised", 2),
    ("cut", 2),
    ("amount_late", 1),
    ("currency_changed", 1),
    ("owner_changed", 2),
    ("pushed", 4),
)
_SPLITS = (("alone", 6), ("two", 3), ("three", 1))


@dataclass
class Line:
    """A line of an opportunity; amounts in micros of its currency."""

    line_id: str
    product: Product
    quantity: int
    list_micro: int
    net_micro: int
    cost_micro: int


@dataclass
class Deal:
    """An opportunity while its story is written: what later steps need to know of it."""

    opportunity_id: str
    account_id: str
    market: Market
    currency: str
    pattern: str
    owners: list[tuple[int, str]]
    lines: list[Line]
    stages: list[tuple[int, str]] = field(default_factory=list)

    @property
    def amount_micro(self) -> int:
        """The sum of the lines."""
        return sum(line.net_micro for line in self.lines)


def sell(
    scene: Scene,
    rng: random.Random,
    at: int,
    account_id: str,
    contact_ids: list[str],
    market: Market,
    owner: str,
    *,
    pattern: str = "",
    facts: Fields | None = None,
) -> Deal:
    """Write the whole life of an opportunity that is created at `at`; what is booked for it is written elsewhere."""
    log = scene.log
    owner = scene.present(rng, owner, market, at)
    pattern = pattern or log.card("deals", _DEALS)
    edit = log.card("deal edits", _EDITS)
    key = mixed_case_pair("op", log.number("opportunity"))
    owners = scene.owners(rng, owner, market, at)
    deal = Deal(key, account_id, market, market.currency, pattern, owners, [])
    deal.lines = _lines(scene, rng, day_of(at))
    deal.stages = _stages(scene, rng, deal, at)
    deal.owners = _owner_changes(scene, rng, deal, edit)
    closes = next((t for t, s in deal.stages[1:] if s in (WON, LOST)), at + 60 * 86_400)
    first = deal.stages[0][1]
    starts_as = "GBP" if edit == "currency_changed" and deal.currency != "GBP" else deal.currency
    late = edit == "amount_late" and len(deal.stages) > 1
    factor = {"raised": 80, "cut": 130}.get(edit, 100) if len(deal.stages) > 1 else 100
    early = [max(10_000, line.net_micro * factor // 100 // 10_000 * 10_000) for line in deal.lines]
    edited = len(deal.stages) > 1 and edit in ("raised", "cut", "amount_late", "currency_changed")
    expected = day_of(closes) - dt.timedelta(days=rng.randint(5, 30) if edit == "pushed" else 0)
    name = f"{deal.lines[0].product.name} for {account_id}"
    log.set(
        at,
        "opportunities",
        key,
        owner,
        **{
            "opportunity_id": key,
            "opportunity_name": f'{name}\n"phase 2"' if rng.randrange(25) == 0 else name,
            "account_id": account_id,
            "owner_id": owner,
            "created_by_id": owner,
            "created_at": at,
            "stage": first,
            "amount": rng.choice((None, 0)) if late else sum(early) if edited else deal.amount_micro,
            "currency": starts_as if edited else deal.currency,
            "close_date": expected if first != WON else day_of(at),
            "probability": _PROBABILITY[first] * MICRO,
            "forecast_category": _CATEGORY[first],
            "buying_class": rng.choice(("new_task", "modified_rebuy", "straight_rebuy")),
            "sales_model": rng.choice(("transactional", "consultative", "enterprise")),
            "lead_source": None,
            "crm_campaign_id": None,
            "loss_reason": None,
            "competitor": rng.choice(COMPETITORS) if rng.randrange(2) else None,
            "merged_into_id": None,
            "is_test": False,
            "is_deleted": False,
            **(facts or {}),
        },
    )
    _people(scene, rng, deal, contact_ids)
    _write_lines(scene, deal, at, early if edited else None, starts_as if edited else deal.currency)
    if edited:
        _edit(scene, rng, deal, edit)
    _write_stages(scene, rng, deal)
    _write_owners(scene, deal)
    if edit == "pushed" and len(deal.stages) > 1:
        _push(scene, rng, deal, expected)
    _note(scene, deal, edit)
    return deal


def _stages(scene: Scene, rng: random.Random, deal: Deal, at: int) -> list[tuple[int, str]]:
    calendar = scene.staff.calendar(deal.owners[0][1])
    letters = PATTERNS[deal.pattern]
    stages, moment = [(at, _LETTERS[letters[0]])], at
    for before, letter in pairwise(letters):
        if deal.pattern == "won_same_day":
            moment = min(at + rng.randint(1_200, 7_200), at - at % 86_400 + 86_399)
        elif before == "W":
            moment = after(rng, calendar, moment, 8, 45)  # taken back
        elif before == "L":
            moment = after(rng, calendar, moment, 20, 70)
        else:
            moment = after(rng, calendar, moment, 4, min(rng.randint(10, 90), rng.randint(10, 90)))
        stages.append((moment, _LETTERS[letter]))
    return stages


def _lines(scene: Scene, rng: random.Random, day: dt.date) -> list[Line]:
    number = scene.staff.number(day)
    sold = [p for p in PRODUCTS if p.launched <= number and (p.retired is None or number < p.retired)]
    lines = []
    for product in rng.sample(sold, min(len(sold), rng.choice((1, 1, 2, 2, 3)))):
        quantity = rng.choice((1, 1, 1, 2, 3, 5))
        list_micro = product.list_micro * quantity
        net = list_micro * rng.randint(70, 100) // 100 - rng.randint(0, 99) * 10_000
        cost = net * rng.randint(15, 55) // 100 // 10_000 * 10_000
        line_id = f"OL{scene.log.number('line'):07d}"
        lines.append(Line(line_id, product, quantity, list_micro, net, cost))
    return lines


def _owner_changes(scene: Scene, rng: random.Random, deal: Deal, edit: str) -> list[tuple[int, str]]:
    if edit != "owner_changed" or len(deal.stages) < 2:
        return deal.owners
    start, second = deal.stages[0][0], deal.stages[1][0]
    moment = start + (second - start) // 2
    before = [entry for entry in deal.owners if entry[0] <= moment]
    others = [r for r in scene.staff.reps(deal.market.territory_id, day_of(moment)) if r != before[-1][1]]
    if not others or moment <= before[-1][0]:
        return deal.owners
    return [*before, *scene.owners(rng, rng.choice(others), deal.market, moment)]


def _write_lines(scene: Scene, deal: Deal, at: int, nets: list[int] | None, currency: str) -> None:
    for n, line in enumerate(deal.lines):
        scene.log.set(
            at,
            "opportunity_lines",
            line.line_id,
            line_id=line.line_id,
            opportunity_id=deal.opportunity_id,
            product_id=line.product.product_id,
            quantity=line.quantity * MICRO,
            list_amount=line.list_micro,
            net_amount=nets[n] if nets else line.net_micro,
            cost_amount=line.cost_micro,
            currency=currency,
            is_deleted=False,
        )


def _edit(scene: Scene, rng: random.Random, deal: Deal, edit: str) -> None:
    """The correction of amount or currency, between the first two stages; then the lines say what they finally say."""
    start, second = deal.stages[0][0], deal.stages[1][0]
    moment = start + max(1, (second - start) * rng.randint(20, 80) // 100)
    fields: Fields = {"amount": deal.amount_micro}
    if edit == "currency_changed":
        fields["currency"] = deal.currency
    scene.log.set(moment, "opportunities", deal.opportunity_id, owner_at(deal.owners, moment), **fields)
    for line in deal.lines:
        scene.log.set(moment, "opportunity_lines", line.line_id, net_amount=line.net_micro, currency=deal.currency)


def _write_stages(scene: Scene, rng: random.Random, deal: Deal) -> None:
    for moment, stage in deal.stages[1:]:
        fields: Fields = {
            "stage": stage,
            "probability": _PROBABILITY[stage] * MICRO,
            "forecast_category": _CATEGORY[stage],
        }
        if stage == LOST:
            fields |= {"loss_reason": rng.choice(LOSS_REASONS), "competitor": rng.choice(COMPETITORS)}
        if stage in (WON, LOST):
            fields["close_date"] = day_of(moment)
        else:
            fields |= {"loss_reason": None, "close_date": day_of(moment) + dt.timedelta(days=45)}
        scene.log.set(moment, "opportunities", deal.opportunity_id, owner_at(deal.owners, moment), **fields)


def _write_owners(scene: Scene, deal: Deal) -> None:
    """The changes of owner, and the split of the revenue, which goes along until the deal is won."""
    won = next((t for t, s in deal.stages if s == WON), None)
    for (_, before), (moment, owner) in pairwise(deal.owners):
        scene.log.set(moment, "opportunities", deal.opportunity_id, owner, owner_id=owner)
        if won is None or moment < won:
            shares = _share_of(scene, deal, before, moment)
            _split(scene, deal, moment, before, "revenue", shares, deleted=True)
            _split(scene, deal, moment, owner, "revenue", shares + _share_of(scene, deal, owner, moment))


def _share_of(scene: Scene, deal: Deal, user: str, until: int) -> int:
    entries = scene.log.changes["opportunity_splits"].get(_split_key(deal, user, "revenue"), [])
    live = [c for c in entries if c.at <= until]
    if not live or live[-1].fields["is_deleted"]:
        return 0
    share = live[-1].fields["split_percent"]
    assert isinstance(share, int)  # noqa: S101
    return share


def _split_key(deal: Deal, user: str, kind: str) -> str:
    return f"{deal.opportunity_id}/{user}/{kind}"


def _split(scene: Scene, deal: Deal, at: int, user: str, kind: str, percent_micro: int, deleted: bool = False) -> None:
    scene.log.set(
        at,
        "opportunity_splits",
        _split_key(deal, user, kind),
        opportunity_id=deal.opportunity_id,
        user_id=user,
        split_type=kind,
        split_percent=percent_micro,
        is_deleted=deleted,
    )


def _people(scene: Scene, rng: random.Random, deal: Deal, contact_ids: list[str]) -> None:
    start, owner = deal.owners[0]
    others = [r for r in scene.staff.reps(deal.market.territory_id, day_of(start)) if r != owner]
    kind = scene.log.card("splits", _SPLITS)
    if kind == "three" and len(deal.owners) == 1:
        helpers = [*(others or ["U0019"])[:1], "U0001"]
        shares = {owner: 33_340_000, helpers[0]: 33_330_000, helpers[1]: 33_330_000}
    elif kind == "two" and others:
        shares = {owner: 60 * MICRO, rng.choice(others): 40 * MICRO}
    else:
        shares = {owner: 100 * MICRO}
    for user, share in shares.items():
        _split(scene, deal, start, user, "revenue", share)
    if rng.randrange(6) == 0:
        _split(scene, deal, start, OVERLAY, "overlay", rng.choice((50, 100)) * MICRO)
        scene.log.note("overlay_split", start)
    for n, contact_id in enumerate(contact_ids):
        scene.log.set(
            start,
            "opportunity_contacts",
            f"{deal.opportunity_id}/{contact_id}",
            opportunity_id=deal.opportunity_id,
            contact_id=contact_id,
            role=("Champion", "Economic buyer", "User", "Procurement")[n % 4],
            is_primary=n == 0,
            is_deleted=False,
        )


def _push(scene: Scene, rng: random.Random, deal: Deal, expected: dt.date) -> None:
    """The close date moves on a few days before it is reached."""
    start, second = deal.stages[0][0], deal.stages[1][0]
    moment = start + max(1, (second - start) * rng.randint(30, 90) // 100)
    owner = owner_at(deal.owners, moment)
    scene.log.set(
        moment,
        "opportunities",
        deal.opportunity_id,
        owner,
        close_date=expected + dt.timedelta(days=rng.randint(20, 60)),
    )


def _note(scene: Scene, deal: Deal, edit: str) -> None:
    letters = PATTERNS[deal.pattern]
    last = deal.stages[-1][0]
    scene.log.note(f"deal_{deal.pattern}", last)
    if "WP" in letters:
        scene.log.note("reopened_after_won", deal.stages[letters.index("WP") + 1][0])
    if "LP" in letters:
        scene.log.note("reopened_after_lost", deal.stages[letters.index("LP") + 1][0])
    if edit != "none" and len(deal.stages) > 1:
        scene.log.note(f"deal_{edit}", deal.stages[1][0])
    if len(deal.owners) > 1:
        scene.log.note("owner_handed_over", deal.owners[1][0])
