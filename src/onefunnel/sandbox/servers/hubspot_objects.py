"""What the company's HubSpot portal holds: contacts, companies, deals with their lines, products, activities and owners, with
the history of each property.

HubSpot has one record for a person: a lead and the contact that it was converted to are the same contact here, and a
lead's status is `hs_lead_status`. A merged record is gone from every list; its survivor names it in
`hs_merged_object_ids`, was changed at the second of the merge, and has its associations. What is deleted is archived
for 90 days ("Restore or delete records", knowledge base), and then gone.

A deal's splits are the company's revenue splits: HubSpot knows no credit on top of the whole, so overlays are not here.

Calls, meetings and e-mails are objects of their own, that lead to a contact, a company and a deal. A mail that a machine sent
is that of a sequence; the company's tasks are not served.

Every property's value is text or null, as the CRM API sends it: amounts `12000.5`, times `2026-03-31T21:59:59Z`.
Properties that no standard one holds are custom ones of this portal.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Literal, NamedTuple

from onefunnel.sandbox.business.identity import survivor
from onefunnel.sandbox.business.log import MICRO, Fields, Value
from onefunnel.sandbox.servers.crm_records import CrmRecord, CrmState

Kind = Literal["string", "number", "datetime", "date", "enumeration", "bool"]
Text = str | None
ARCHIVED_DAYS = 90
STAGES = {  # the business's word -> (id, label, probability, closed)
    "Qualification": ("qualification", "Qualification", "0.2", False),
    "Proposal": ("proposal", "Proposal", "0.6", False),
    "Closed Won": ("closedwon", "Closed Won", "1.0", True),
    "Closed Lost": ("closedlost", "Closed Lost", "0.0", True),
}
_LIFECYCLE = {"Marketing Qualified": "marketingqualifiedlead", "Accepted": "salesqualifiedlead"}
_LEADS, _CONTACTS, _COMPANIES, _DEALS = 100_000_000_000, 200_000_000_000, 15_000_000_000, 38_000_000_000
_LINES, _ACTIVITIES, _SPLITS = 45_000_000_000, 62_000_000_000, 31_000_000_000
_OWNERS, _USERS, _LEAD_DIGITS = 70_000_000, 50_000_000, "300000000"
# The company's outcomes of calls, as the ids that every portal has for its default ones ("Calls").
OUTCOMES = {
    "reached": "f240bbac-87c9-4f6e-bf70-924b57d47db7",
    "no answer, try again": "73a0d17f-1163-4015-bdd5-ec830791da20",
}
ACTIVITIES = {"calls": "call", "meetings": "meeting", "emails": "email"}


class Property(NamedTuple):
    """A property of an object and how it follows from the business's fields."""

    name: str
    kind: Kind
    value: Callable[[Fields], Text]
    custom: bool = False


class Version(NamedTuple):
    """A value that a property had from a second on, and who gave it; empty: a machine."""

    at: int
    value: Text
    by: str


@dataclass
class HubRecord:
    """A record of the portal.

    Attributes:
        properties: current values; the history holds those that can change.
        history: property -> versions, newest first.
    """

    record_id: str
    created_at: int
    changed_at: int
    archived: bool
    properties: dict[str, Text]
    history: dict[str, list[Version]] = field(default_factory=dict)


class Link(NamedTuple):
    """An association: its types as (category, typeId, label)."""

    to_id: str
    types: tuple[tuple[str, int, Text], ...]


class Split(NamedTuple):
    """An owner's share in a deal: of 1, with up to eight decimals."""

    split_id: str
    owner: str
    share: str
    created_at: int
    changed_at: int


def contact_id(kind: Literal["lead", "contact"], key: str) -> str:
    """The id of a person by the key of the lead, or of the contact when there was no lead."""
    return str(_LEADS + int(key.removeprefix(_LEAD_DIGITS))) if kind == "lead" else str(_CONTACTS + int(key))


def contact_key(record_id: str) -> tuple[str, str]:
    """(`lead` or `contact`, the company's own key) of a contact's id."""
    number = int(record_id)
    if number >= _CONTACTS:
        return "contact", f"{number - _CONTACTS:09d}"
    return "lead", f"{_LEAD_DIGITS}{number - _LEADS:08d}"


def _pair_id(base: int, key: str, first: str) -> str:
    return str(base + 2 * int(key[2:]) + (not key.startswith(first)))


def company_id(account: str) -> str:
    """The id of a company by the account's key."""
    return _pair_id(_COMPANIES, account, "Ac")


def deal_id(opportunity: str) -> str:
    """The id of a deal by the opportunity's key."""
    return _pair_id(_DEALS, opportunity, "Op")


def line_id(line: str) -> str:
    """The id of a line item by the line's key."""
    return str(_LINES + int(line.removeprefix("OL")))


def product_id(product: str) -> str:
    """The id of a product by its key, which may be told from others by upper case alone."""
    return str(int.from_bytes(product.encode(), "big"))


def activity_id(activity: str) -> str:
    """The id of a call, meeting or e-mail by the activity's key."""
    return str(_ACTIVITIES + int(activity.removeprefix("AC-")))


def account_key(record_id: str) -> str:
    """The account's key of a company's id."""
    number, swapped = divmod(int(record_id) - _COMPANIES, 2)
    return f"{'aC' if swapped else 'Ac'}{number:07d}"


def opportunity_key(record_id: str) -> str:
    """The opportunity's key of a deal's id."""
    number, swapped = divmod(int(record_id) - _DEALS, 2)
    return f"{'oP' if swapped else 'Op'}{number:07d}"


def owner_id(user: Value) -> Text:
    """The owner's id of a user; nobody has none."""
    return None if user is None else str(_OWNERS + int(str(user)[1:]))


def user_number(user: str) -> int:
    """The user's id, which is another number than the owner's."""
    return _USERS + int(user[1:])


def moment(second: int) -> str:
    """A time as HubSpot writes it when there are no milliseconds."""
    return f"{dt.datetime.fromtimestamp(second, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def _text(value: Value) -> Text:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _amount(micro: Value) -> Text:
    if not isinstance(micro, int):
        return None
    whole, rest = divmod(abs(micro), MICRO)
    decimals = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{'-' if micro < 0 else ''}{whole}{decimals}"


def _same(source: str) -> Callable[[Fields], Text]:
    return lambda fields: _text(fields.get(source))


def _time(source: str) -> Callable[[Fields], Text]:
    def value(fields: Fields) -> Text:
        at = fields.get(source)
        return moment(at) if isinstance(at, int) else None

    return value


def _per_unit(source: str) -> Callable[[Fields], Text]:
    """An amount of a line by its quantity, to eight decimals."""

    def value(fields: Fields) -> Text:
        amount, quantity = fields[source], fields["quantity"]
        if not isinstance(amount, int) or not isinstance(quantity, int):
            return None
        return f"{Decimal(amount) / Decimal(quantity):.8f}".rstrip("0").rstrip(".")

    return value


def _sequence(fields: Fields) -> Text:
    return "510001" if fields["is_automated"] else None


def _milliseconds(fields: Fields) -> Text:
    minutes = fields["duration_minutes"]
    return str(minutes * 60_000) if isinstance(minutes, int) else None


def _end(fields: Fields) -> Text:
    at, minutes = fields["occurred_at"], fields["duration_minutes"]
    return moment(at + 60 * minutes) if isinstance(at, int) and isinstance(minutes, int) else None


def _word(n: int) -> Callable[[Fields], Text]:
    """The first word of a name, or the rest."""

    def value(fields: Fields) -> Text:
        whole = fields.get("full_name")
        return None if whole is None else str(whole).split(" ", 1)[n]

    return value


def _lifecycle(fields: Fields) -> Text:
    if "status" not in fields:
        return "other"
    if fields["status"] == "Converted":
        return "opportunity" if fields["converted_opportunity_id"] else "salesqualifiedlead"
    return _LIFECYCLE.get(str(fields["status"]), "lead")


def _closing(fields: Fields) -> Text:
    day = fields["close_date"]
    return f"{day:%Y-%m-%d}T00:00:00Z" if isinstance(day, dt.date) else None


def _status(fields: Fields) -> Text:
    return None if "status" not in fields else str(fields["status"]).upper().replace(" ", "_")


def _parent(fields: Fields) -> Text:
    parent = fields.get("parent_account_id")
    return None if parent is None else company_id(str(parent))


def _stage(n: int) -> Callable[[Fields], Text]:
    return lambda fields: _text(STAGES[str(fields["stage"])][n])


_ACTIVITY = (
    Property("hs_timestamp", "datetime", _time("occurred_at")),
    Property("hubspot_owner_id", "enumeration", lambda f: owner_id(f.get("owner_id"))),
)
PROPERTIES: dict[str, tuple[Property, ...]] = {
    "contacts": (
        Property("email", "string", _same("email")),
        Property("firstname", "string", _word(0)),
        Property("lastname", "string", _word(1)),
        Property("phone", "string", _same("phone")),
        Property("company", "string", _same("company_name")),
        Property("jobtitle", "string", _same("role")),
        Property("country", "string", _same("country")),
        Property("lifecyclestage", "enumeration", _lifecycle),
        Property("hs_lead_status", "enumeration", _status),
        Property("hubspot_owner_id", "enumeration", lambda f: owner_id(f.get("owner_id"))),
        Property("lead_origin", "enumeration", _same("lead_source"), custom=True),
        Property("crm_campaign", "string", _same("crm_campaign_id"), custom=True),
        Property("converted_at", "datetime", _time("converted_at"), custom=True),
        Property("is_test", "bool", _same("is_test"), custom=True),
    ),
    "companies": (
        Property("name", "string", _same("account_name")),
        Property("domain", "string", _same("domain")),
        Property("industry", "enumeration", _same("industry")),
        Property("country", "string", _same("country")),
        Property("hs_parent_company_id", "number", _parent),
        Property("hubspot_owner_id", "enumeration", lambda f: owner_id(f.get("owner_id"))),
        Property("segment", "enumeration", _same("segment"), custom=True),
        Property("region", "enumeration", _same("region"), custom=True),
        Property("territory", "enumeration", _same("territory_id"), custom=True),
        Property("hs_is_target_account", "bool", _same("is_target")),
    ),
    "deals": (
        Property("dealname", "string", _same("opportunity_name")),
        Property("amount", "number", lambda f: _amount(f["amount"])),
        Property("deal_currency_code", "enumeration", _same("currency")),
        Property("pipeline", "enumeration", lambda f: "default"),
        Property("dealstage", "enumeration", _stage(0)),
        Property("hs_deal_stage_probability", "number", _stage(2)),
        Property("hs_is_closed", "bool", _stage(3)),
        Property("hs_is_closed_won", "bool", lambda f: _text(f["stage"] == "Closed Won")),
        Property("closedate", "datetime", _closing),
        Property("hubspot_owner_id", "enumeration", lambda f: owner_id(f.get("owner_id"))),
        Property("closed_lost_reason", "string", _same("loss_reason")),
        Property("hs_manual_forecast_category", "enumeration", lambda f: str(f["forecast_category"]).upper()),
        Property("competitor", "enumeration", _same("competitor"), custom=True),
        Property("buying_class", "enumeration", _same("buying_class"), custom=True),
        Property("sales_model", "enumeration", _same("sales_model"), custom=True),
        Property("lead_origin", "enumeration", _same("lead_source"), custom=True),
        Property("crm_campaign", "string", _same("crm_campaign_id"), custom=True),
        Property("is_test", "bool", _same("is_test"), custom=True),
    ),
    "line_items": (
        Property("name", "string", _same("product_id")),
        Property("hs_product_id", "string", lambda f: product_id(str(f["product_id"]))),
        Property("quantity", "number", lambda f: _amount(f["quantity"])),
        Property("price", "number", _per_unit("list_amount")),
        Property("amount", "number", lambda f: _amount(f["net_amount"])),
        Property("hs_pre_discount_amount", "number", lambda f: _amount(f["list_amount"])),
        Property("hs_cost_of_goods_sold", "number", _per_unit("cost_amount")),
        Property("hs_line_item_currency_code", "enumeration", _same("currency")),
    ),
    "products": (
        Property("name", "string", _same("product_name")),
        Property("hs_sku", "string", _same("product_id")),
        Property("hs_product_type", "enumeration", lambda f: "service" if f["is_service"] else "non_inventory"),
        Property("recurringbillingfrequency", "enumeration", lambda f: "annually" if f["is_recurring"] else None),
        Property("family", "enumeration", _same("family"), custom=True),
        Property("launched_on", "date", _same("launched_on"), custom=True),
        Property("retired_on", "date", _same("retired_on"), custom=True),
    ),
    "calls": (
        *_ACTIVITY,
        Property("hs_call_direction", "enumeration", lambda f: str(f["direction"]).upper()),
        Property("hs_call_status", "enumeration", lambda f: "COMPLETED"),
        Property("hs_call_disposition", "enumeration", lambda f: OUTCOMES[str(f["outcome"])]),
        Property("hs_call_duration", "number", _milliseconds),
        Property("hs_activity_type", "enumeration", _same("purpose")),
    ),
    "meetings": (
        *_ACTIVITY,
        Property(
            "hs_meeting_outcome", "enumeration", lambda f: "COMPLETED" if f["outcome"] == "reached" else "NO_SHOW"
        ),
        Property("hs_meeting_start_time", "datetime", _time("occurred_at")),
        Property("hs_meeting_end_time", "datetime", _end),
        Property(
            "hs_meeting_source", "enumeration", lambda f: "MEETINGS_PUBLIC" if f["direction"] == "inbound" else "CRM_UI"
        ),
        Property("hs_activity_type", "enumeration", _same("purpose")),
    ),
    "emails": (
        *_ACTIVITY,
        Property(
            "hs_email_direction", "enumeration", lambda f: "EMAIL" if f["direction"] == "outbound" else "INCOMING_EMAIL"
        ),
        Property("hs_email_status", "enumeration", lambda f: "SENT"),
        Property("hs_email_subject", "string", _same("purpose")),
        Property("hs_sequence_id", "number", _sequence),
    ),
}
# What the list and the search return when no properties are asked for ("Search the CRM").
DEFAULTS = {
    "contacts": ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    "companies": ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    "deals": (
        "amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id", "pipeline",
    ),
    "line_items": ("createdate", "hs_lastmodifieddate", "hs_object_id", "price", "quantity"),
    "products": ("createdate", "hs_lastmodifieddate", "hs_object_id", "name"),
    **dict.fromkeys(ACTIVITIES, ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")),
}  # fmt: skip
SYSTEM: tuple[tuple[str, Kind], ...] = (
    ("hs_object_id", "number"),
    ("hs_merged_object_ids", "string"),
)
# "HubSpot defined association types", and the labels that this portal has made.
_TYPES: dict[tuple[str, str], tuple[tuple[str, int, Text], ...]] = {
    ("contacts", "companies"): (("HUBSPOT_DEFINED", 1, "Primary"), ("HUBSPOT_DEFINED", 279, None)),
    ("companies", "contacts"): (("HUBSPOT_DEFINED", 2, "Primary"), ("HUBSPOT_DEFINED", 280, None)),
    ("deals", "companies"): (("HUBSPOT_DEFINED", 5, "Primary"), ("HUBSPOT_DEFINED", 341, None)),
    ("companies", "deals"): (("HUBSPOT_DEFINED", 6, "Primary"), ("HUBSPOT_DEFINED", 342, None)),
    ("deals", "contacts"): (("HUBSPOT_DEFINED", 3, None),),
    ("contacts", "deals"): (("HUBSPOT_DEFINED", 4, None),),
    ("deals", "line_items"): (("HUBSPOT_DEFINED", 19, None),),
    ("line_items", "deals"): (("HUBSPOT_DEFINED", 20, None),),
    ("calls", "companies"): (("HUBSPOT_DEFINED", 182, None),),
    ("companies", "calls"): (("HUBSPOT_DEFINED", 181, None),),
    ("calls", "contacts"): (("HUBSPOT_DEFINED", 194, None),),
    ("contacts", "calls"): (("HUBSPOT_DEFINED", 193, None),),
    ("calls", "deals"): (("HUBSPOT_DEFINED", 206, None),),
    ("deals", "calls"): (("HUBSPOT_DEFINED", 205, None),),
    ("emails", "companies"): (("HUBSPOT_DEFINED", 186, None),),
    ("companies", "emails"): (("HUBSPOT_DEFINED", 185, None),),
    ("emails", "contacts"): (("HUBSPOT_DEFINED", 198, None),),
    ("contacts", "emails"): (("HUBSPOT_DEFINED", 197, None),),
    ("emails", "deals"): (("HUBSPOT_DEFINED", 210, None),),
    ("deals", "emails"): (("HUBSPOT_DEFINED", 209, None),),
    ("meetings", "companies"): (("HUBSPOT_DEFINED", 188, None),),
    ("companies", "meetings"): (("HUBSPOT_DEFINED", 187, None),),
    ("meetings", "contacts"): (("HUBSPOT_DEFINED", 200, None),),
    ("contacts", "meetings"): (("HUBSPOT_DEFINED", 199, None),),
    ("meetings", "deals"): (("HUBSPOT_DEFINED", 212, None),),
    ("deals", "meetings"): (("HUBSPOT_DEFINED", 211, None),),
}
_LABELS = ("Champion", "Economic buyer", "User", "Procurement", "Main contact")


def modified_name(object_type: str) -> str:
    """The property that says when a record was changed: contacts have another name for it than the others."""
    return "lastmodifieddate" if object_type == "contacts" else "hs_lastmodifieddate"


def created_name(object_type: str) -> str:
    """The property that says when a record was made: activities have another name for it than the others."""
    return "hs_createdate" if object_type in ACTIVITIES else "createdate"


def kinds(object_type: str) -> dict[str, Kind]:
    """All properties of an object with their types."""
    own = {p.name: p.kind for p in PROPERTIES[object_type]}
    return {**own, **dict(SYSTEM), created_name(object_type): "datetime", modified_name(object_type): "datetime"}


@dataclass(frozen=True)
class Portal:
    """The portal at the end of a company day."""

    state: CrmState

    @cached_property
    def merged(self) -> dict[str, dict[str, str]]:
        """Object type -> record that is gone -> its last survivor."""
        tables = self.state.tables
        found: dict[str, dict[str, str]] = {"contacts": {}, "companies": {}, "deals": {}}
        for kind in ("leads", "contacts"):
            states = {key: r.fields for key, r in tables[kind].items()}
            for key, fields in states.items():
                if fields["merged_into_id"] is not None:
                    loser = self._person("lead" if kind == "leads" else "contact", key)
                    found["contacts"][loser] = self._person(
                        "lead" if kind == "leads" else "contact", survivor(states, key)
                    )
        states = {key: r.fields for key, r in tables["accounts"].items()}
        for key, fields in states.items():
            if fields["merged_into_id"] is not None:
                found["companies"][company_id(key)] = company_id(survivor(states, key))
        for gone in found.values():
            for loser in [*gone]:
                while gone[loser] in gone:  # a lead merged into one whose contact was merged later
                    gone[loser] = gone[gone[loser]]
        return found

    @cached_property
    def _lead_of(self) -> dict[str, str]:
        """Contact -> the lead that it was."""
        contacts = self.state.tables["contacts"]
        return {
            str(contact): key
            for key, r in self.state.tables["leads"].items()
            if (contact := r.fields["converted_contact_id"]) in contacts
        }

    def _person(self, kind: Literal["lead", "contact"], key: str) -> str:
        if kind == "contact" and key in self._lead_of:
            return contact_id("lead", self._lead_of[key])
        return contact_id(kind, key)

    def standing(self, object_type: str, record_id: str) -> str:
        """The record that is left of one."""
        return self.merged.get(object_type, {}).get(record_id, record_id)

    @cached_property
    def objects(self) -> dict[str, dict[str, HubRecord]]:
        """Object type -> records by id; without merged ones and those archived too long ago."""
        found = {
            "contacts": self._contacts(),
            "companies": self._companies(),
            "deals": self._deals(),
            "line_items": self._made("line_items", "opportunity_lines", line_id),
            "products": self._made("products", "products", product_id),
            **{name: self._activities(name, word) for name, word in ACTIVITIES.items()},
        }
        since = self.state.business.as_of(self.state.day) - ARCHIVED_DAYS * 86_400
        return {
            name: {r.record_id: r for r in records if not r.archived or r.changed_at >= since}
            for name, records in found.items()
        }

    def _contacts(self) -> list[HubRecord]:
        leads, contacts = self.state.tables["leads"], self.state.tables["contacts"]
        became = {lead: contact for contact, lead in self._lead_of.items()}
        people = [(self._person("lead", key), [leads[key]]) for key in leads]
        for record_id, parts in people:
            _, key = contact_key(record_id)
            if key in became:
                parts.append(contacts[became[key]])
        people += [(contact_id("contact", key), [r]) for key, r in contacts.items() if key not in self._lead_of]
        return [*self._built("contacts", people)]

    def _companies(self) -> list[HubRecord]:
        return [*self._built("companies", [(company_id(k), [r]) for k, r in self.state.tables["accounts"].items()])]

    def _deals(self) -> list[HubRecord]:
        return [*self._built("deals", [(deal_id(k), [r]) for k, r in self.state.tables["opportunities"].items()])]

    def _made(self, object_type: str, table: str, of: Callable[[str], str]) -> list[HubRecord]:
        return [*self._built(object_type, [(of(k), [r]) for k, r in self.state.tables[table].items()])]

    def _activities(self, object_type: str, word: str) -> list[HubRecord]:
        table = self.state.tables["activities"]
        found = [(activity_id(k), [r]) for k, r in table.items() if r.fields["activity_type"] == word]
        return [*self._built(object_type, found)]

    def _built(self, object_type: str, found: Iterable[tuple[str, list[CrmRecord]]]) -> Iterator[HubRecord]:
        gone = self.merged.get(object_type, {})
        losers: defaultdict[str, list[str]] = defaultdict(list)
        touched: defaultdict[str, int] = defaultdict(int)
        found = [*found]
        for record_id, parts in found:
            if record_id in gone:
                losers[gone[record_id]].append(record_id)
                at = max(_merged_at(part) for part in parts)
                touched[gone[record_id]] = max(touched[gone[record_id]], at)
        for record_id, parts in found:
            if record_id not in gone:
                record = _record(object_type, record_id, parts)
                record.changed_at = max(record.changed_at, touched[record_id])
                record.properties |= {
                    created_name(object_type): moment(record.created_at),
                    modified_name(object_type): moment(record.changed_at),
                    "hs_object_id": record_id,
                    "hs_merged_object_ids": ";".join(sorted(losers[record_id])) or None,
                }
                yield record

    @cached_property
    def links(self) -> dict[tuple[str, str], dict[str, list[Link]]]:
        """(from, to) -> record -> its associations with records that are there, in the order of their ids."""
        labels: dict[tuple[str, str], dict[tuple[str, str], set[str]]] = defaultdict(dict)

        def join(one: str, one_id: str, two: str, two_id: str, *words: str) -> None:
            one_id, two_id = self.standing(one, one_id), self.standing(two, two_id)
            live = self.objects[one].get(one_id), self.objects[two].get(two_id)
            if all(record is not None and not record.archived for record in live):
                labels[one, two].setdefault((one_id, two_id), set()).update(words)
                labels[two, one].setdefault((two_id, one_id), set()).update(words)

        tables = self.state.tables
        for key, r in tables["contacts"].items():
            join("contacts", self._person("contact", key), "companies", company_id(str(r.fields["account_id"])))
        for key, r in tables["opportunities"].items():
            join("deals", deal_id(key), "companies", company_id(str(r.fields["account_id"])))
        for r in tables["opportunity_contacts"].values():
            if not r.fields["is_deleted"]:
                words = [str(r.fields["role"]), *(["Main contact"] if r.fields["is_primary"] else [])]
                person = self._person("contact", str(r.fields["contact_id"]))
                join("deals", deal_id(str(r.fields["opportunity_id"])), "contacts", person, *words)
        for key, r in tables["opportunity_lines"].items():
            join("line_items", line_id(key), "deals", deal_id(str(r.fields["opportunity_id"])))
        objects = {word: name for name, word in ACTIVITIES.items()}
        for key, r in tables["activities"].items():
            if (one := objects.get(str(r.fields["activity_type"]))) is None:
                continue
            for source, two, found_id in (
                ("lead_id", "contacts", lambda k: self._person("lead", k)),
                ("contact_id", "contacts", lambda k: self._person("contact", k)),
                ("account_id", "companies", company_id),
                ("opportunity_id", "deals", deal_id),
            ):
                if r.fields[source] is not None:
                    join(one, activity_id(key), two, found_id(str(r.fields[source])))
        found: dict[tuple[str, str], dict[str, list[Link]]] = {pair: defaultdict(list) for pair in _TYPES}
        for pair, joined in labels.items():
            for (one_id, two_id), chosen in sorted(joined.items()):
                made = ((101 + n, word) for n, word in enumerate(_LABELS) if word in chosen)
                types = (*_TYPES[pair], *(("USER_DEFINED", n, word) for n, word in made))
                found[pair][one_id].append(Link(two_id, types))
        return found

    @cached_property
    def splits(self) -> dict[str, list[Split]]:
        """Deal -> who shares in it; those that were removed are gone."""
        found: dict[str, list[Split]] = defaultdict(list)
        for number, r in enumerate(self.state.tables["opportunity_splits"].values()):
            percent, owner = r.fields["split_percent"], owner_id(r.fields["user_id"])
            if r.fields["split_type"] == "revenue" and not r.fields["is_deleted"]:
                assert isinstance(percent, int) and owner is not None  # noqa: S101
                share = f"{Decimal(percent).scaleb(-8):f}".rstrip("0").rstrip(".")
                made = (r.created_at, r.changed_at)
                deal = deal_id(str(r.fields["opportunity_id"]))
                found[deal].append(Split(str(_SPLITS + number), owner, share, *made))
        return found


def _merged_at(record: CrmRecord) -> int:
    return max((e.at for e in record.entries if e.fields.get("merged_into_id") is not None), default=0)


def _record(object_type: str, record_id: str, parts: list[CrmRecord]) -> HubRecord:
    """A record of one or two of the business's, with what each entry did to its properties. What follows from the calendar
    has no entries and no history."""
    if not parts[0].entries:
        (part,) = parts
        listed = {p.name: p.value(part.fields) for p in PROPERTIES[object_type]}
        return HubRecord(record_id, part.created_at, part.changed_at, False, listed)
    entries = sorted(((e.at, n, e) for n, part in enumerate(parts) for e in part.entries), key=lambda e: e[:2])
    states: list[Fields] = [{} for _ in parts]
    history: dict[str, list[Version]] = {}
    for at, n, entry in entries:
        states[n].update(entry.fields)
        known: Fields = {}
        for state in states:
            known |= state
        for p in PROPERTIES[object_type]:
            value = p.value(known)
            versions = history.setdefault(p.name, [])
            if (not versions and value is not None) or (versions and versions[0].value != value):
                if versions and versions[0].at == at:
                    versions.pop(0)  # of one second, the last word
                versions.insert(0, Version(at, value, entry.by))
    properties = {name: versions[0].value if versions else None for name, versions in history.items()}
    return HubRecord(
        record_id,
        min(part.created_at for part in parts),
        max(part.changed_at for part in parts),
        bool(parts[0].fields["is_deleted"]),
        properties,
        history,
    )
