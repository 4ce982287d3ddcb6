"""HubSpot's marketing events, and the sendings of its marketing e-mails, as campaigns: so what `hubspot_touches` reads has names.

Sources, pages of HubSpot's developer documentation: *Marketing events v3* (the list of all events of the portal; several may have the
same `externalEventId`) and *Email analytics v1*: *Get all campaign IDs for an account* (a list in no particular order, paged by an
opaque offset) and *Get campaign data for a given campaign* (one by its id alone; the scope is `content`). Of a sending the reference
names id, name, subject, type and counters, and no time: none is read, and the subject is not either.

What HubSpot does not list any more keeps its name here: touches still refer to it.
"""

# ruff: noqa: S608  (SQL over our own scratch relations, and constants)

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import pyarrow.compute as pc

from onefunnel.engines.duckdb import identifier
from onefunnel.errors import StepFailed
from onefunnel.sources.ad_accounts import some_at_once
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.http import Api
from onefunnel.sources.hubspot_streams import DAY
from onefunnel.sources.hubspot_touches import LIST_PAGE, TRIES, Repeated, about, listed, page_of
from onefunnel.sources.inbox import Inbox, Records
from onefunnel.sources.pages import Field

EVENTS, SENDINGS = "marketing_events", "email_sendings"
STREAMS = (EVENTS, SENDINGS)
# Each sending is a request. A fetch asks for so many at most, the newest numbers first; the others are the next one's.
MOST, AT_ONCE = 10_000, 4
# A name that is known is read again on one of so many days: a sending may be renamed.
AGAIN_DAYS = 28


class Gone(StepFailed):
    """A record that is asked for is not there."""


def fetch_events(api: Api, inbox: Inbox, zone: str) -> None:
    """Fetch the marketing events. One without the id by which the installation calls them is nobody's: its touches lack it too.

    Args:
        zone: SQL of the portal's time zone, which says what day a moment is.
    """
    files = [file for file, _ in listed(api, inbox, "events", "marketing/v3/marketing-events")]
    fields = [
        Field("event_id", "objectId"),
        Field("external_event_id", "externalEventId"),
        Field("name", "eventName"),
        Field("starts", "startDateTime"),
        Field("ends", "endDateTime"),
    ]
    select = f"""
        select
            event_id, nullif(external_event_id, '') as external_event_id, name,
            {DAY.format("starts", zone=zone)} as started_on, {DAY.format("ends", zone=zone)} as ended_on
        from (select distinct * from records)
        where nullif({identifier(inbox.cell["crm_campaign_id"])}, '') is not null
    """
    inbox.deliver(
        {"records": Records(files, fields, "$.results[*]")},
        covered=None,
        totals=TOTALS.empty_table(),
        about=about(api, {}),
        select=select,
    )


def fetch_sendings(api: Api, asked: Asked, inbox: Inbox) -> None:
    """Fetch the sendings whose names are not known, and a part of the others."""
    found = {sending for page in _pages(api, inbox) for sending in page}
    due = sorted(found - _named(asked), key=lambda sending: (len(sending), sending), reverse=True)

    def told(sending: str) -> dict[str, str | None]:
        return {"id": sending, "name": _name_of(api, sending)}

    names = inbox.pages / "names.json"
    names.write_text(
        json.dumps({"sendings": [*some_at_once(told, due[:MOST], AT_ONCE, api.stopping)]}), encoding="utf-8"
    )
    inbox.deliver(
        {"records": Records([names], [Field("id"), Field("name")], "$.sendings[*]")},
        covered=None,
        totals=TOTALS.empty_table(),
        about=about(api, {"sendings": len(found), "asked_for": len(due[:MOST]), "left": len(due[MOST:])}),
    )


def _named(asked: Asked) -> set[str]:
    """The sendings whose names are known, and not to be read again today."""
    if asked.known is None or asked.dates:
        return set()
    landed = asked.known.filter(pc.not_equal(asked.known["content_hash"], ""))
    known = {str(sending) for sending in landed["crm_campaign_id"].to_pylist()}
    today = asked.as_of.date().toordinal()
    return {sending for sending in known if (int(sending) - today) % AGAIN_DAYS != 0}


def _pages(api: Api, inbox: Inbox) -> Iterator[list[str]]:
    """The ids of all sendings, page by page."""
    offset, seen = "", set[str]()

    def fits(page: Mapping[str, Any]) -> bool:
        leads_on = page.get("hasMore") is True and bool(page.get("offset")) and str(page["offset"]) not in seen
        return (leads_on or page.get("hasMore") is False) and all(
            str(sending.get("id")).isdecimal() for sending in page["campaigns"]
        )

    for number in count():
        file = inbox.pages / f"sendings-{number:06d}.json"
        query = {"limit": str(LIST_PAGE), **({"offset": offset} if offset else {})}
        page = page_of(api, "email/public/v1/campaigns/by-id", file, query, "campaigns", fits)
        yield [str(sending["id"]) for sending in page["campaigns"]]
        if not page["hasMore"]:
            return
        offset = str(page["offset"])
        seen.add(offset)


def _name_of(api: Api, sending: str) -> str | None:
    """The name of a sending; None where it has none, or is listed and not there any more.

    Raises:
        Repeated: the answer stays that about another one.
    """
    path = f"email/public/v1/campaigns/{sending}"
    for _ in range(TRIES):
        try:
            told = api.json("GET", path, has="id")
        except Gone:
            return None
        if str(told["id"]) == sending:
            return None if told.get("name") is None else str(told["name"])
    raise Repeated(
        "The API tells of another sending than it was asked for.",
        f"{api.where}: GET {path}",
        "Run again; if it stays so, please report it as an issue. Nothing was landed.",
    )
