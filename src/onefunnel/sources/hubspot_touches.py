"""What became of marketing e-mails and of marketing events, by two more of HubSpot's APIs.

Sources, pages of HubSpot's developer documentation: *Email analytics v1, get email events* (both timestamps are inclusive, at
most 1,000 events of a page, the newest first; the offset is opaque, short-lived and goes with its query) and *Email events
overview* (an event is named by `id` and `created` together; `obsoletedBy` names the one that has taken its place). Opens and
clicks say `filteredEvent`, which the reference knows by its parameter `excludeFilteredEvents` alone. A query takes one type: a
list of them is refused, and REPLY is one by the words of that refusal (issue 413 of HubSpot's client for Python).
*Marketing events v3* (all events of the portal, in the order of their ids; at most 100 of a page) and *Participant state*: of
each participant the current state and when it `occurredAt`, a number of milliseconds by the reference, ISO 8601 by the guide.

Both only grow here: e-mail events are never changed but to be obsolete, and a state that HubSpot has replaced by the next one
stays as it was landed.
"""

# ruff: noqa: S608  (SQL over our own scratch relations, of constants and days)

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from onefunnel.engines.duckdb import literal
from onefunnel.errors import StepFailed
from onefunnel.sources.base import TOTALS, Asked
from onefunnel.sources.http import Api
from onefunnel.sources.inbox import Inbox, Records
from onefunnel.sources.pages import Field

EMAILS, ATTENDANCE = "email_touches", "event_touches"
STREAMS = (EMAILS, ATTENDANCE)
# What a recipient did. That a mail was delivered is no response and in no path, and makes most of all events.
TYPES = ("CLICK", "OPEN", "REPLY")
EVENTS_PAGE, LIST_PAGE = 1_000, 100
# A query is about so many days at most. Each run reads a day again, the first of a week and of a month further back: an
# event is logged late, or has become obsolete.
PIECE_DAYS, AGAIN_DAYS = 30, (1, 7, 30)
# Who came to an event is often told days later, from a list; after this long once a week.
RECENT_DAYS = 30
TRIES = 3
_DAY_MS = 86_400_000
# Milliseconds since 1970 as ISO 8601; anything else stays as it is.
_MOMENT = "coalesce(strftime(try(make_timestamp_ms(try_cast({0} as bigint))), '%Y-%m-%dT%H:%M:%S.%gZ'), {0})"


def fetch(api: Api, asked: Asked, inbox: Inbox) -> None:
    """Fetch one of `STREAMS`.

    Raises:
        StepFailed: pages lead back to one that was given before, or are none.
    """
    (_fetch_emails if asked.stream == EMAILS else _fetch_attendance)(api, asked, inbox)


# -- e-mails -----------------------------------------------------------------------------------------------------------


def _fetch_emails(api: Api, asked: Asked, inbox: Inbox) -> None:
    first, last = asked.window(*AGAIN_DAYS)
    fields = [
        Field("id"),
        Field("created"),
        Field("kind", "type"),
        Field("recipient"),
        Field("email_campaign_id", "emailCampaignId"),
        Field("is_filtered", "filteredEvent"),
        Field("obsoleted_by", "obsoletedBy.id"),
    ]
    # An event that came while pages were read has shifted the others: some are there twice.
    select = f"""
        select
            id || '-' || created as touch_id, {_MOMENT.format("created")} as occurred_at,
            case when obsoleted_by is null then kind else 'OBSOLETE' end as kind, recipient, email_campaign_id, is_filtered
        from records
        qualify row_number() over (partition by id, created order by obsoleted_by nulls last) = 1
    """
    inbox.deliver(
        {"records": Records(_email_pages(api, inbox, first, last, asked.as_of), fields, "$.events[*]")},
        covered=None,
        totals=TOTALS.empty_table(),
        about=lambda: about(api, {"first_day": str(first), "last_day": str(last)}),
        select=select,
    )


def _email_pages(api: Api, inbox: Inbox, first: dt.date, last: dt.date, as_of: dt.datetime) -> Iterator[Path]:
    """The pages of what was logged on some days, up to the run's instant: what comes later is the next run's."""
    start, numbers = _milliseconds(first), count()
    end = min(_milliseconds(last) + _DAY_MS - 1, round(as_of.timestamp() * 1_000))
    size = PIECE_DAYS * _DAY_MS
    pieces = [(s, min(s + size - 1, end), kind) for s in range(start, end + 1, size) for kind in TYPES]
    while pieces:
        since, until, kind = pieces.pop()
        asked = {"eventType": kind, "startTimestamp": str(since), "endTimestamp": str(until), "limit": str(EVENTS_PAGE)}
        offset, seen = "", set[str]()
        while True:
            file = inbox.pages / f"emails-{next(numbers):06d}.json"
            query = {**asked, **({"offset": offset} if offset else {})}
            try:
                page = page_of(api, "email/public/v1/events", file, query, "events", _fits(kind, seen))
            except StepFailed as error:
                # An offset does not live long: what it led to is read by shorter pieces.
                if not offset or until - since < _DAY_MS or isinstance(error, Repeated):
                    raise
                middle = (since + until) // 2
                pieces += [(since, middle, kind), (middle + 1, until, kind)]
                break
            yield file
            if not page["hasMore"]:
                break
            offset = str(page["offset"])
            seen.add(offset)


def _fits(kind: str, seen: set[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a page is of events of a type, and the last one or leads to one that was not seen."""

    def fits(page: Mapping[str, Any]) -> bool:
        leads_on = page.get("hasMore") is True and bool(page.get("offset")) and str(page["offset"]) not in seen
        return (leads_on or page.get("hasMore") is False) and all(event.get("type") == kind for event in page["events"])

    return fits


# -- events ------------------------------------------------------------------------------------------------------------


def _fetch_attendance(api: Api, asked: Asked, inbox: Inbox) -> None:
    files: list[Path] = []
    events = _recent(_events(api, inbox), asked)
    for event in events:
        path = f"marketing/v3/marketing-events/participations/{event}/breakdown"
        files += [file for file, _ in listed(api, inbox, f"event-{event}", path, event)]
    fields = [
        Field("id"),
        Field("state", "properties.attendanceState"),
        Field("said", "properties.occurredAt"),
        Field("contact_id", "associations.contact.contactId"),
        Field("email", "associations.contact.email"),
        Field("event_id", "associations.marketingEvent.marketingEventId"),
        Field("external_event_id", "associations.marketingEvent.externalEventId"),
    ]
    first, last = asked.dates or (asked.since, asked.as_of.date())
    days = f"between {literal(str(max(first, asked.since)))} and {literal(str(last))}"
    # What cannot be read is for staging to refuse. That no two events have a participation of the same id is not documented.
    select = f"""
        with told as (select *, {_MOMENT.format("said")} as occurred_at from records)
        select event_id || '-' || id || '-' || state as touch_id, * exclude (id, said)
            replace (nullif(external_event_id, '') as external_event_id)
        from told
        where coalesce(try_cast(occurred_at as timestamp)::date {days}, true)
        qualify row_number() over (partition by event_id, id, state order by occurred_at desc) = 1
    """
    inbox.deliver(
        {"records": Records(files, fields, "$.results[*]")},
        covered=None,
        totals=TOTALS.empty_table(),
        about=about(api, {"events": len(events)}),
        select=select,
    )


def _events(api: Api, inbox: Inbox) -> dict[str, str]:
    """Each marketing event with the day on which it begins; empty: it does not say."""
    pages = listed(api, inbox, "events", "marketing/v3/marketing-events")
    return {str(e["objectId"]): str(e.get("startDateTime") or "")[:10] for _, page in pages for e in page["results"]}


def _recent(events: Mapping[str, str], asked: Asked) -> list[str]:
    """The events whose participants are read: those to come and of the last weeks; all of them at first and once a week."""
    is_earlier = str(asked.since) < asked.before.get("since", "")
    if asked.last is None or asked.dates or is_earlier or asked.last.isocalendar()[:2] != asked.as_of.isocalendar()[:2]:
        return [*events]
    since = str(asked.as_of.date() - dt.timedelta(days=RECENT_DAYS))
    return [event for event, begins in events.items() if not begins or begins >= since]


def listed(api: Api, inbox: Inbox, name: str, path: str, of: str = "") -> Iterator[tuple[Path, dict[str, Any]]]:
    """The pages of a list: of marketing events, or of the participations of one."""
    after, seen = "", set[str]()

    def fits(page: Mapping[str, Any]) -> bool:
        are_right = (_event_of(r) == of if of else r.get("objectId") for r in page["results"])
        return all(are_right) and _after(page) not in seen

    for number in count():
        file = inbox.pages / f"{name}-{number:06d}.json"
        query = {"limit": str(LIST_PAGE), **({"after": after} if after else {})}
        page = page_of(api, path, file, query, "results", fits)
        yield file, page
        after = _after(page)
        if not after:
            return
        seen.add(after)


def _event_of(participation: Mapping[str, Any]) -> str:
    """The id of the marketing event that somebody took part in."""
    event = (participation.get("associations") or {}).get("marketingEvent") or {}
    return str(event.get("marketingEventId"))


def _after(page: Mapping[str, Any]) -> str:
    """The token of the page behind this one; empty: it is the last."""
    return str(((page.get("paging") or {}).get("next") or {}).get("after") or "")


# -- both --------------------------------------------------------------------------------------------------------------


class Repeated(StepFailed):
    """Pages that are none, or lead back; shorter pieces would not mend it."""


def page_of(
    api: Api,
    path: str,
    to: Path,
    query: Mapping[str, str],
    records: str,
    fits: Callable[[Mapping[str, Any]], bool],
) -> dict[str, Any]:
    """Save a page, and read what leads on. One that is none, or leads back, is asked for again.

    Raises:
        Repeated: it stays so.
    """
    for _ in range(TRIES):
        page = api.page("GET", path, to, params=query)
        if isinstance(page, dict) and isinstance(page.get(records), list) and fits(page):
            return page
    raise Repeated(
        "The API's answer is no page of records, or leads to one that was given before.",
        f"{api.where}: GET {path}",
        "Run again; if it stays so, please report it as an issue. Nothing was landed.",
    )


def _milliseconds(day: dt.date) -> int:
    """The first millisecond of a UTC day, since 1970."""
    return (day - dt.date(1970, 1, 1)).days * _DAY_MS


def about(api: Api, more: Mapping[str, Any]) -> dict[str, Any]:
    """For the receipt: what was asked for, requests, limits."""
    usage = api.usage
    return {**more, "requests": usage.requests, "retries": usage.retries, "limits": dict(usage.limits)}
