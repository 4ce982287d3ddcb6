"""What became of the company's marketing e-mails and events, as its HubSpot portal tells it.

Shapes are those of HubSpot's API reference: *Email analytics v1, get email events* (newest first, at most 1,000 of a page, an
opaque offset that goes with its query), *Get all campaign IDs* (the sendings of e-mails, in no particular order), *Get campaign data*,
and *Marketing events v3* (the list of events; *participant state*: of
each participant of an event the current state alone, so a registration is not seen any more when the person has come).

| request | what it does |
|---|---|
| `POST /_sandbox/hold_back` with `{"ids": ["…"], "pages": 2}` | these e-mail events are in no answer until two more pages were given; without `pages`, until others are held back |

An e-mail event that nobody received is none: a touch without an address has that of its lead, or is not here. Who takes part
in an event is a contact of the portal, the record that is left of it.
"""

from __future__ import annotations

import base64
import datetime as dt
import uuid
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from onefunnel.sandbox.business.identity import folded
from onefunnel.sandbox.business.log import Touch, midnight
from onefunnel.sandbox.salesforce_ids import salesforce_id
from onefunnel.sandbox.servers.hubspot_objects import Portal, contact_id, moment

if TYPE_CHECKING:
    from onefunnel.sandbox.servers.hubspot import Account, ApiError

# The enum that the API itself names when it refuses another word; of those the company knows four, and that it has sent.
EVENT_TYPES = (
    "DROPPED", "UNBOUNCE", "STATUSCHANGE", "DELIVERED", "FORWARD", "BOUNCE", "REPLY", "PRINT", "PROCESSED", "UNSUBSCRIBED",
    "SUPPRESSED", "CLICK_ON_IDENTIFIED_LINK", "SENT", "SELECTED", "SPAMREPORT", "OPT_IN_CHANGE", "DEFERRED", "ERROR", "OPEN",
    "MTA_DROPPED", "CLICK",
)  # fmt: skip
STATES = ("REGISTERED", "CANCELLED", "ATTENDED", "NO_SHOW")
_EVENTS_MOST, _LIST_MOST = 1_000, 100
_APP = {"appId": 113, "appName": "Batch"}
_MARKETING_EVENTS, _PARTICIPATIONS = 400_000_000_000, 610_000_000_000
_FAMILY = uuid.UUID("5f0c1a52-6f0e-4b43-9a53-0d6d6b2a7c11")
Event = dict[str, Any]


class HeldBack(BaseModel):
    """E-mail events that are not told yet."""

    model_config = ConfigDict(extra="forbid")

    ids: frozenset[str] = frozenset()
    pages: int | None = Field(default=None, ge=0)


def email_event_id(touch_id: str) -> str:
    """The id of an e-mail event by the company's touch."""
    return str(uuid.uuid5(_FAMILY, touch_id))


def marketing_event_id(crm_campaign_id: str) -> str:
    """The id of a marketing event by the company's campaign."""
    return str(_MARKETING_EVENTS + int(crm_campaign_id.removeprefix("E")))


def external_event_id(portal: Portal, crm_campaign_id: str) -> str:
    """What the application that made a marketing event calls it: its campaign in the company's CRM, which is Salesforce where
    platforms are served together."""
    return salesforce_id("Campaign", crm_campaign_id) if portal.state.company.served else crm_campaign_id


def participation_id(touch_id: str) -> str:
    """The id of a participation by the first touch of the person at the event."""
    return str(_PARTICIPATIONS + int(touch_id.removeprefix("event-")))


def recipient(portal: Portal, touch: Touch) -> str | None:
    """Where an e-mail went; None: nobody knows."""
    lead = portal.state.tables["leads"].get(touch.lead_id or "")
    found = touch.email or (lead.fields["email"] if lead else None)
    return None if found is None else str(found)


def touches(portal: Portal, kind: str) -> list[Touch]:
    """The touches of a kind (`mail`, `event`) up to the portal's day, in order of time."""
    state = portal.state
    found = [
        t for t in state.business.log(state.day).touches if t.channel_kind == kind and t.at_ms < state.until * 1_000
    ]
    return sorted(found, key=lambda t: (t.at_ms, t.touch_id))


def email_events(portal: Portal) -> list[Event]:
    """All e-mail events up to the portal's day, the newest first."""
    found = []
    for touch in touches(portal, "mail"):
        address = recipient(portal, touch)
        if address is not None:
            sent = {"id": email_event_id(f"{touch.crm_campaign_id} to {address}"), "created": _sent_at(touch)}
            told = {
                "portalId": 62_515,
                **_APP,
                "recipient": address,
                "emailCampaignId": int(str(touch.crm_campaign_id)),
            }
            if touch.touch_type == "delivered":
                found.append({**told, **sent, "type": "SENT", "subject": "News"})
            own = {"id": email_event_id(touch.touch_id), "created": touch.at_ms, "type": touch.touch_type.upper()}
            if touch.touch_type in ("open", "click"):
                own |= {"filteredEvent": touch.is_automated, "userAgent": "Mozilla/5.0", "deviceType": "COMPUTER"}
            found.append({**told, **own, "sentBy": sent})
    return sorted(found, key=lambda e: (-e["created"], e["id"]))


def _sent_at(touch: Touch) -> int:
    """Milliseconds: the midnight that begins the month of the newsletter, which is before anybody reacted."""
    number = str(touch.crm_campaign_id)
    return midnight(dt.date(2000 + int(number[2:4]), int(number[4:6]), 1)) * 1_000


def participants(portal: Portal) -> dict[str, str]:
    """Lead, or address as it is compared, -> the contact that is left of the person."""
    leads, contacts = portal.state.tables["leads"], portal.state.tables["contacts"]
    became = {str(r.fields["converted_contact_id"]): key for key, r in leads.items()}
    people = [
        (contact_id("lead", became[k]) if k in became else contact_id("contact", k), r) for k, r in contacts.items()
    ]
    people += [(contact_id("lead", key), r) for key, r in leads.items()]
    found = {key: portal.standing("contacts", contact_id("lead", key)) for key in leads}
    addresses = {folded(str(r.fields["email"])): portal.standing("contacts", p) for p, r in people if r.fields["email"]}
    return found | addresses


def participations(portal: Portal) -> dict[str, list[Event]]:
    """Marketing event -> its participations, in the order of their ids."""
    people = participants(portal)
    found: dict[str, dict[str, Event]] = defaultdict(dict)
    for touch in touches(portal, "event"):
        person = people.get(touch.lead_id or "") or people.get(folded(touch.email or ""), "")
        contact = portal.objects["contacts"].get(person)
        if contact is not None and not contact.archived:
            # In order of time: who has come is not registered any more.
            event, email = str(touch.crm_campaign_id), contact.properties["email"] or touch.email
            first = found[event].get(person, {"id": participation_id(touch.touch_id)})
            found[event][person] = {
                "id": first["id"],
                "createdAt": moment(touch.at_ms // 1_000),
                "associations": {
                    "contact": {"contactId": person, "email": email, "firstname": contact.properties["firstname"]},
                    "marketingEvent": {
                        "marketingEventId": marketing_event_id(event),
                        "externalEventId": external_event_id(portal, event),
                    },
                },
                "properties": {"attendanceState": touch.touch_type.upper(), "occurredAt": touch.at_ms},
            }
    campaigns = portal.state.tables["crm_campaigns"]
    for event, of in found.items():
        ends = campaigns[event].fields["ended_on"]
        assert isinstance(ends, dt.date)  # noqa: S101
        if midnight(ends) < portal.state.until:
            for one in of.values():
                if one["properties"]["attendanceState"] == "REGISTERED":
                    one["properties"] = {"attendanceState": "NO_SHOW", "occurredAt": midnight(ends) * 1_000}
    return {marketing_event_id(event): sorted(of.values(), key=lambda p: int(p["id"])) for event, of in found.items()}


def marketing_events(portal: Portal) -> list[Event]:
    """The company's events, in the order of their ids."""
    found = []
    for key, record in portal.state.tables["crm_campaigns"].items():
        if record.fields["channel"] == "event":
            starts, ends = record.fields["started_on"], record.fields["ended_on"]
            found.append(
                {
                    "objectId": marketing_event_id(key),
                    "externalEventId": external_event_id(portal, key),
                    "eventName": record.fields["campaign_name"],
                    "startDateTime": f"{starts}T08:00:00Z",
                    "endDateTime": f"{ends}T00:00:00Z",
                    "createdAt": moment(record.created_at),
                    "updatedAt": moment(record.changed_at),
                }
            )
    return sorted(found, key=lambda e: int(e["objectId"]))


def sendings(portal: Portal, events: list[Event]) -> dict[str, Event]:
    """The company's newsletters that have gone out, as "Get campaign data" has them; in no order."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for event in events:
        counted[str(event["emailCampaignId"])][event["type"]] += 1
    found = {}
    for key, r in portal.state.tables["crm_campaigns"].items():
        starts, own = r.fields["started_on"], counted[key]
        assert isinstance(starts, dt.date)  # noqa: S101
        if r.fields["channel"] == "email" and midnight(starts) < portal.state.until:
            found[key] = {
                **_APP,
                "id": int(key),
                "contentId": 90_000_000_000 + int(key),
                "name": r.fields["campaign_name"],
                "subject": "News",
                "type": "BATCH_EMAIL",
                "subType": "BATCH",
                "numIncluded": own["SENT"],
                "numQueued": own["SENT"],
                "counters": {"processed": own["SENT"], **{k: own[k.upper()] for k in ("sent", "delivered", "open")}},
            }
    return {key: found[key] for key in sorted(found, key=lambda key: key[::-1])}


@dataclass
class _Told:
    """What the portal tells of a day, made once, and what it holds back."""

    account: Account
    held: frozenset[str] = frozenset()
    pages: int | None = None
    _of: dict[str, list[Event]] = field(default_factory=dict)
    _part: dict[str, list[Event]] = field(default_factory=dict)
    _sent: dict[str, Event] = field(default_factory=dict)
    _portal: Portal | None = None

    def now(self) -> Portal:
        """The portal as it is; another one when the clock has moved."""
        if self._portal is not self.account.portal:
            self._portal = self.account.portal
            self._of = {"email": email_events(self._portal), "marketing": marketing_events(self._portal)}
            self._part = participations(self._portal)
            self._sent = sendings(self._portal, self._of["email"])
        return self._portal

    def emails(self) -> list[Event]:
        """The e-mail events of a page that is asked for now."""
        self.now()
        if self.pages == 0:
            self.held, self.pages = frozenset(), None
        elif self.pages is not None:
            self.pages -= 1
        return [e for e in self._of["email"] if e["id"] not in self.held]

    def events(self) -> list[Event]:
        """The marketing events."""
        self.now()
        return self._of["marketing"]

    def sendings(self) -> dict[str, Event]:
        """The sendings of e-mails."""
        self.now()
        return self._sent

    def participants(self, event: str) -> list[Event]:
        """The participations of a marketing event."""
        self.now()
        return self._part.get(event, [])


def mount(app: FastAPI, account: Account, refusal: type[ApiError]) -> None:
    """Answer both APIs; what is refused is an error of the portal's."""
    told = _Told(account)

    @app.post("/_sandbox/hold_back")
    async def hold_back(order: HeldBack) -> dict[str, int]:
        told.held, told.pages = order.ids, order.pages
        return {"held": len(order.ids)}

    @app.get("/email/public/v1/events")
    async def events(request: Request) -> Response:
        account.admit(request, "content")
        asked = dict(request.query_params)
        offset = asked.pop("offset", "")
        size = _whole(asked.pop("limit", "10"), "limit", _EVENTS_MOST, refusal)
        found = [e for e in told.emails() if _is_wanted(e, asked, refusal)]
        start = _position(offset, asked, refusal) if offset else 0
        end = start + min(size, account.settings.page_size)
        answer = {"hasMore": end < len(found), "offset": _token(end, asked), "events": found[start:end]}
        return account.limited(JSONResponse(answer))

    @app.get("/email/public/v1/campaigns/by-id")
    async def campaigns(request: Request) -> Response:
        account.admit(request, "content")
        asked = dict(request.query_params)
        offset = asked.pop("offset", "")
        size = _whole(asked.pop("limit", "10"), "limit", _EVENTS_MOST, refusal)
        found = [{"id": int(key), **_APP} for key in told.sendings()]
        start = _position(offset, asked, refusal) if offset else 0
        end = start + min(size, account.settings.page_size)
        answer = {"hasMore": end < len(found), "offset": _token(end, asked), "campaigns": found[start:end]}
        return account.limited(JSONResponse(answer))

    @app.get("/email/public/v1/campaigns/{key}")
    async def campaign(request: Request, key: str) -> Response:
        account.admit(request, "content")
        if key not in told.sendings():
            raise refusal(404, "OBJECT_NOT_FOUND", f"Campaign {key} does not exist.")
        return account.limited(JSONResponse(told.sendings()[key]))

    @app.get("/marketing/v3/marketing-events")
    async def listed(request: Request) -> Response:
        account.admit(request, "marketing_events")
        return account.limited(JSONResponse(_page(request, account, told.events(), "objectId", refusal)))

    @app.get("/marketing/v3/marketing-events/participations/{event}/breakdown")
    async def breakdown(request: Request, event: str) -> Response:
        account.admit(request, "marketing_events")
        if event not in {e["objectId"] for e in told.events()}:
            raise refusal(404, "OBJECT_NOT_FOUND", f"Marketing event {event} does not exist.")
        state = request.query_params.get("state", "")
        if state and state not in STATES:
            raise refusal(400, "VALIDATION_ERROR", f"state must be one of {', '.join(STATES)}")
        found = [p for p in told.participants(event) if state in ("", p["properties"]["attendanceState"])]
        answer = {"total": len(found), **_page(request, account, found, "id", refusal)}
        return account.limited(JSONResponse(answer))


def _whole(text: str, name: str, most: int, refusal: type[ApiError]) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise refusal(400, "VALIDATION_ERROR", f"{name} must be a whole number from 1 to {most}, not {text!r}")
    return int(text)


def _page(request: Request, account: Account, found: list[Event], key: str, refusal: type[ApiError]) -> dict[str, Any]:
    """A page of a list behind the id that `after` names."""
    size = min(
        _whole(request.query_params.get("limit", "10"), "limit", _LIST_MOST, refusal), account.settings.page_size
    )
    after = request.query_params.get("after", "0")
    rest = [e for e in found if int(e[key]) > int(after)]
    answer: dict[str, Any] = {"results": rest[:size]}
    if len(rest) > size:
        answer["paging"] = {"next": {"after": rest[size - 1][key]}}
    return answer


def _is_wanted(event: Event, asked: Mapping[str, str], refusal: type[ApiError]) -> bool:
    """Whether a query is about an event. A parameter that it does not know is an error here, so that none is misspelt."""
    numbers = {n: asked[n] for n in ("startTimestamp", "endTimestamp", "appId", "campaignId") if n in asked}
    known = {*numbers, "eventType", "recipient", "excludeFilteredEvents"}
    if wrong := [n for n in asked if n not in known] + [n for n, text in numbers.items() if not text.isdecimal()]:
        raise refusal(400, "VALIDATION_ERROR", f"Invalid query parameter {', '.join(wrong)}")
    kind = asked.get("eventType", event["type"])
    if kind not in EVENT_TYPES:
        words = ", ".join(EVENT_TYPES)
        text = f"Cannot deserialize value of type `EventType` from String {kind!r}: not one of the values accepted: [{words}]"
        raise refusal(400, "VALIDATION_ERROR", text)
    return (
        event["type"] == kind
        and int(numbers.get("startTimestamp", 0)) <= event["created"] <= int(numbers.get("endTimestamp", 1 << 62))
        and str(event["appId"]) == numbers.get("appId", str(event["appId"]))
        and str(event["emailCampaignId"]) == numbers.get("campaignId", str(event["emailCampaignId"]))
        and event["recipient"] == asked.get("recipient", event["recipient"])
        and not (asked.get("excludeFilteredEvents") == "true" and event.get("filteredEvent"))
    )


def _token(position: int, asked: Mapping[str, str]) -> str:
    """An opaque offset: a position in what this query finds. An event that comes in front of it shifts what is behind it."""
    return base64.urlsafe_b64encode(f"{position}|{sorted(asked.items())}".encode()).decode()


def _position(offset: str, asked: Mapping[str, str], refusal: type[ApiError]) -> int:
    try:
        position, _, of = base64.urlsafe_b64decode(offset).decode().partition("|")
    except ValueError:
        position, of = "", ""
    if not position.isdecimal() or of != str(sorted(asked.items())):
        raise refusal(400, "VALIDATION_ERROR", "Invalid offset")
    return int(position)
