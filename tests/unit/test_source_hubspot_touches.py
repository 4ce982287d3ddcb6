"""HubSpot's e-mail events and marketing events against the sandbox's portal: what arrives is what the company knows."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hubspot_portal import (
    CELLS,
    COMPANY,
    HTTP,
    SINCE,
    Landed,
    Row,
    ask,
    by_id,
    declared_streams,
    faults,
    fetch,
    forget,
    get,
    journal,
    portal,
    post,
    server,
    url,
)

from onefunnel.errors import ConfigError, StepFailed
from onefunnel.fetch import cell_of
from onefunnel.sandbox.business.log import Touch
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.hubspot import make_app
from onefunnel.sandbox.servers.hubspot_touches import (
    email_event_id,
    marketing_event_id,
    participants,
    participation_id,
    recipient,
    touches,
)
from onefunnel.sources import hubspot_touches
from onefunnel.sources.inbox import RECORDS

__all__ = ["server", "url"]  # the fixtures
EVENTS = "/email/public/v1/events"
MARKETING = "/marketing/v3/marketing-events"
PARTICIPANTS = f"{MARKETING}/participations/"


def queries(url: str, path: str = EVENTS) -> list[dict[str, str]]:
    """What was asked for below a path since the journal was cleared."""
    return [
        {name: values[0] for name, values in parse_qs(r["query"]).items()} | {"path": r["path"]}
        for r in journal(url)
        if r["path"].startswith(path)
    ]


def by_touch(rows: list[Row]) -> dict[str, Row]:
    return by_id(rows, "touch_id")


def moment(at_ms: int) -> str:
    return f"{dt.datetime.fromtimestamp(at_ms // 1_000, dt.UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03d}Z"


def known_mails(day: int) -> list[Touch]:
    """What recipients did, and HubSpot knows whom it had written to."""
    found = touches(portal(day), "mail")
    return [t for t in found if t.touch_type != "delivered" and recipient(portal(day), t) is not None]


def mail_id(touch: Touch) -> str:
    return f"{email_event_id(touch.touch_id)}-{touch.at_ms}"


def expected_mails(day: int) -> dict[str, tuple[Any, ...]]:
    return {
        mail_id(t): (
            *(moment(t.at_ms), t.touch_type.upper(), recipient(portal(day), t), t.crm_campaign_id),
            str(t.is_automated).lower() if t.touch_type in ("open", "click") else None,
        )
        for t in known_mails(day)
    }


def mails(rows: list[Row]) -> dict[str, tuple[Any, ...]]:
    names = ("occurred_at", "kind", "recipient", "email_campaign_id", "is_filtered")
    return {key: tuple(row[name] for name in names) for key, row in by_touch(rows).items()}


def expected_states(day: int, company: Company = COMPANY) -> dict[str, tuple[Any, ...]]:
    """Of each participant of an event the last state, as the portal tells it."""
    known = portal(day, company)
    people, contacts = participants(known), known.objects["contacts"]
    first: dict[tuple[str, str], str] = {}
    last: dict[tuple[str, str], Touch] = {}
    for touch in touches(known, "event"):
        person = people.get(touch.lead_id or "") or people.get(str(touch.email).casefold(), "")
        if person in contacts and not contacts[person].archived:
            first.setdefault((person, str(touch.crm_campaign_id)), touch.touch_id)
            last[person, str(touch.crm_campaign_id)] = touch
    found = {}
    for (person, event), touch in last.items():
        ends = known.state.tables["crm_campaigns"][event].fields["ended_on"]
        assert isinstance(ends, dt.date)
        over = dt.datetime(ends.year, ends.month, ends.day, tzinfo=dt.UTC)
        state, at_ms = touch.touch_type.upper(), touch.at_ms
        if state == "REGISTERED" and over.timestamp() < known.state.until:
            state, at_ms = "NO_SHOW", round(over.timestamp()) * 1_000
        key = f"{marketing_event_id(event)}-{participation_id(first[person, event])}-{state}"
        found[key] = (moment(at_ms), state, person, marketing_event_id(event), event)
    return found


def states(rows: list[Row]) -> dict[str, tuple[Any, ...]]:
    names = ("occurred_at", "state", "contact_id", "event_id", "external_event_id")
    return {key: tuple(row[name] for name in names) for key, row in by_touch(rows).items()}


# --- the first load ----------------------------------------------------------------------------------------------


def test_what_is_declared_is_what_is_delivered(url: str, tmp_path: Path):
    """No column of a declaration is missing in the records, none is undeclared, and each word has a meaning for the touches."""
    streams = declared_streams(tmp_path)
    for name in hubspot_touches.STREAMS:
        rows, _ = fetch(url, tmp_path, ask(name))
        declared = streams[name]
        assert cell_of(declared) == CELLS[name]
        assert set(rows[0]) == {column.from_ for column in declared.columns.values()} | set(declared.ignore)
        type_ = declared.columns["touch_type"]
        assert {row[str(type_.from_)] for row in rows} <= set(type_.map or {})


@pytest.mark.parametrize("name", ["event_id", "external_event_id"])
def test_an_event_may_be_told_by_either_of_its_ids(url: str, tmp_path: Path, name: str):
    """Whichever is mapped, the other one is known and deliberately not taken."""
    declared = declared_streams(tmp_path, f"{{columns: {{crm_campaign_id: {{from: {name}}}}}}}")["event_touches"]
    rows, _ = fetch(url, tmp_path, ask("event_touches"))
    assert declared.columns["crm_campaign_id"].from_ == name and rows[0][name]
    taken = {column.from_ for column in declared.columns.values()}
    assert set(rows[0]) - taken == {"event_id", "external_event_id"} - {name} <= set(declared.ignore)


def test_mails_are_the_company_s(url: str, tmp_path: Path):
    rows, beside = fetch(url, tmp_path, ask("email_touches"))
    assert mails(rows) == expected_mails(1)
    assert {row["kind"] for row in rows} == {"CLICK", "OPEN", "REPLY"} and len(rows) > 200
    assert beside is not None and beside.totals.num_rows == 0
    assert beside.about["first_day"] == "2024-04-01" and beside.about["last_day"] == "2026-04-01"
    asked = queries(url)
    assert {q["eventType"] for q in asked} == {"CLICK", "OPEN", "REPLY"}
    longest = max(int(q["endTimestamp"]) - int(q["startTimestamp"]) for q in asked)
    assert longest < hubspot_touches.PIECE_DAYS * 86_400_000
    assert max(int(q["endTimestamp"]) for q in asked) == round(COMPANY.as_of(1).timestamp() * 1_000), "frozen"


def test_nothing_older_than_wanted_is_read(url: str, tmp_path: Path):
    since = dt.date(2025, 10, 1)
    rows, _ = fetch(url, tmp_path, ask("email_touches", since=since))
    assert mails(rows) == {k: v for k, v in expected_mails(1).items() if v[0] >= str(since)}
    rows, _ = fetch(url, tmp_path, ask("event_touches", since=since))
    assert states(rows) == {k: v for k, v in expected_states(1).items() if v[0] >= str(since)}
    assert 0 < len(rows) < len(expected_states(1))


def test_participants_are_the_company_s_in_their_last_state(url: str, tmp_path: Path):
    rows, beside = fetch(url, tmp_path, ask("event_touches"))
    assert states(rows) == expected_states(1)
    assert {row["state"] for row in rows} >= {"ATTENDED", "NO_SHOW"}
    attended = {t.touch_id for t in touches(portal(1), "event") if t.touch_type == "attended"}
    assert sum(row["state"] == "ATTENDED" for row in rows) > len(attended) / 2
    assert beside is not None and beside.totals.num_rows == 0


@pytest.mark.parametrize("stream", hubspot_touches.STREAMS)
def test_tiny_pages_are_read_to_their_end(url: str, tmp_path: Path, stream: str):
    whole, _ = fetch(url, tmp_path, ask(stream))
    post(url, "settings", page_size=2)
    again, _ = fetch(url, tmp_path, ask(stream))
    assert by_touch(again) == by_touch(whole)


# --- the next loads ----------------------------------------------------------------------------------------------


def test_the_second_fetch_takes_what_is_new(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path, "email_touches")
    landed.fetch(COMPANY.as_of(1))
    later = next(day for day in range(2, 40) if len(expected_mails(day)) > len(expected_mails(1)) + 3)
    post(url, "day", day=later)
    forget(url)
    news = mails(landed.fetch(COMPANY.as_of(later)))
    assert news == {k: v for k, v in expected_mails(later).items() if k not in expected_mails(1)}
    oldest = min(int(q["startTimestamp"]) for q in queries(url))
    assert oldest >= (COMPANY.as_of(1) - dt.timedelta(days=31)).timestamp() * 1_000, "not everything once more"
    assert landed.fetch(COMPANY.as_of(later)) == []
    assert mails(landed.all) == expected_mails(later)


def test_a_late_event_is_found_within_the_overlap(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path, "email_touches")
    newest = known_mails(1)[-1]
    as_of = dt.datetime.fromtimestamp(newest.at_ms / 1_000, dt.UTC) + dt.timedelta(hours=1)
    post(url, "hold_back", ids=[email_event_id(newest.touch_id)])
    landed.fetch(as_of)
    assert (mail_id(newest),) not in landed.records
    post(url, "hold_back")
    (row,) = landed.fetch(as_of + dt.timedelta(hours=20))
    assert row["touch_id"] == mail_id(newest)


def test_the_first_run_of_a_week_and_of_a_month_reads_further_back(url: str, tmp_path: Path):
    def oldest(as_of: dt.datetime, last: dt.datetime) -> dt.datetime:
        forget(url)
        fetch(url, tmp_path, ask("email_touches", as_of, last=last, before={"since": str(SINCE)}))
        return dt.datetime.fromtimestamp(min(int(q["startTimestamp"]) for q in queries(url)) / 1_000, dt.UTC)

    monday = dt.datetime(2026, 3, 23, 6, tzinfo=dt.UTC)
    day = dt.timedelta(days=1)
    assert oldest(monday + day, monday) == dt.datetime(2026, 3, 22, tzinfo=dt.UTC)
    assert oldest(monday, monday - day) == dt.datetime(2026, 3, 16, tzinfo=dt.UTC)
    assert oldest(dt.datetime(2026, 4, 1, 6, tzinfo=dt.UTC), dt.datetime(2026, 3, 31, 6, tzinfo=dt.UTC)).date() == (
        dt.date(2026, 3, 2)
    )


def test_events_that_come_while_pages_are_read(url: str, tmp_path: Path):
    """They shift the others: none is lost that was there, none is twice, and what was missed comes with the next run."""
    post(url, "settings", page_size=2)
    opened = [t for t in known_mails(1) if t.touch_type == "open"]
    as_of = dt.datetime.fromtimestamp(opened[-1].at_ms / 1_000, dt.UTC) + dt.timedelta(minutes=5)
    since = as_of.date() - dt.timedelta(days=29)
    until = str(as_of.replace(tzinfo=None).isoformat())
    there = {k: v for k, v in expected_mails(1).items() if str(since) <= v[0] < until}
    young = {mail_id(t): email_event_id(t.touch_id) for t in opened[-2:]}
    missed, pages, requests = [], 0, 1
    while pages < requests:
        landed = Landed(url, tmp_path, "email_touches")
        post(url, "hold_back", ids=[*young.values()], pages=pages)
        forget(url)
        found = mails(landed.fetch(as_of, since=since))
        missed.append(there.keys() - found.keys())
        assert found.items() <= there.items() and missed[-1] <= young.keys()
        requests, pages = len(queries(url)), pages + 1
        landed.fetch(as_of + dt.timedelta(minutes=1), since=since)
        assert mails(landed.all).items() >= there.items()
    assert pages > 3 and set() in missed and young.keys() in missed, "early enough, and too late"


def test_a_state_that_was_replaced_stays(tmp_path: Path):
    """HubSpot tells the current state alone; a registration that was seen is kept when the person has come, or has not."""
    company, day = Company(seed=5, scale=0.15, business=True), 14
    with serve(make_app(company, day)) as url:
        landed = Landed(url, tmp_path, "event_touches")
        landed.fetch(company.as_of(day))
        then = expected_states(day, company)
        registered = {key for key, value in then.items() if value[1] == "REGISTERED"}
        assert by_touch(landed.all).keys() == then.keys() and registered
        post(url, "day", day=day + 14)
        later = expected_states(day + 14, company)
        assert states(landed.fetch(company.as_of(day + 14))) == {k: v for k, v in later.items() if k not in then}
        assert registered <= by_touch(landed.all).keys() and not registered & later.keys()
        assert {key.rpartition("-")[0] for key in registered} <= {key.rpartition("-")[0] for key in later}


def test_participants_of_the_last_weeks_are_read_each_run_and_all_of_them_once_a_week(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path, "event_touches")
    landed.fetch(COMPANY.as_of(1))
    everything = {q["path"] for q in queries(url, PARTICIPANTS)}
    forget(url)
    assert landed.fetch(COMPANY.as_of(1) + dt.timedelta(days=1)) == []
    recent = {q["path"] for q in queries(url, PARTICIPANTS)}
    forget(url)
    landed.fetch(COMPANY.as_of(1) + dt.timedelta(days=6))
    assert {q["path"] for q in queries(url, PARTICIPANTS)} == everything
    since = COMPANY.as_of(1).date() + dt.timedelta(days=1 - hubspot_touches.RECENT_DAYS)
    campaigns = portal(1).state.tables["crm_campaigns"]
    events = {k: r.fields["started_on"] for k, r in campaigns.items() if r.fields["channel"] == "event"}
    of = {event: f"{PARTICIPANTS}{marketing_event_id(event)}/breakdown" for event in events}
    assert everything == {*of.values()}
    assert recent == {of[event] for event, starts in events.items() if str(starts) >= str(since)} != set()


def test_a_backfill_reads_its_days(url: str, tmp_path: Path):
    days = (dt.date(2025, 11, 1), dt.date(2026, 1, 31))
    wanted = (moment(round(dt.datetime(2025, 11, 1, tzinfo=dt.UTC).timestamp()) * 1_000), "2026-02-01")
    rows, beside = fetch(url, tmp_path, ask("email_touches", dates=days))
    assert mails(rows) == {k: v for k, v in expected_mails(1).items() if wanted[0] <= v[0] < wanted[1]} != {}
    assert beside is not None and beside.about["dates"] == ["2025-11-01", "2026-01-31"]
    stamps = [(int(q["startTimestamp"]), int(q["endTimestamp"])) for q in queries(url)]
    assert min(s for s, _ in stamps) == 1_761_955_200_000 and max(e for _, e in stamps) == 1_769_903_999_999
    rows, _ = fetch(url, tmp_path, ask("event_touches", dates=days))
    assert states(rows) == {k: v for k, v in expected_states(1).items() if wanted[0] <= v[0] < wanted[1]} != {}


# --- what HubSpot says otherwise ---------------------------------------------------------------------------------


def event(number: int, kind: str, **more: Any) -> Row:
    made = {"id": f"e{number}", "created": 1_770_000_000_000 + number, "type": kind, "recipient": "a@b.example"}
    return {**made, "emailCampaignId": 9_007_199_254_740_993, **more}


def test_an_event_that_another_one_has_replaced_is_no_response(url: str, tmp_path: Path):
    page = {
        "events": [event(2, "OPEN"), event(1, "OPEN", obsoletedBy={"id": "e2", "created": 1_770_000_000_002})],
        "hasMore": False,
        "offset": "x",
    }
    days = (dt.date(2026, 2, 2), dt.date(2026, 2, 2))
    faults(url, {"kind": "error_200", "path": EVENTS, "start": 2, "body": page})
    rows, _ = fetch(url, tmp_path, ask("email_touches", dates=days))
    found = by_touch(rows)
    assert {key: row["kind"] for key, row in found.items()} == {
        "e2-1770000000002": "OPEN",
        "e1-1770000000001": "OBSOLETE",
    }
    row = found["e2-1770000000002"]
    assert row["occurred_at"] == "2026-02-02T02:40:00.002Z" and row["email_campaign_id"] == "9007199254740993"
    assert row["is_filtered"] is None


def participation(event: str, number: int, at: Any) -> Row:
    return {
        "id": str(number),
        "createdAt": "2024-05-21T18:35:04.838Z",
        "associations": {
            "contact": {"contactId": str(number), "email": "a@b.example"},
            "marketingEvent": {"marketingEventId": event, "name": "Fair"},  # an external id may be missing
        },
        "properties": {"attendanceState": "REGISTERED", "occurredAt": at},
    }


def test_participations_of_the_same_id_are_of_two_events(url: str, tmp_path: Path):
    events = [marketing_event_id(key) for key in ("E0000", "E0001")]
    bodies = [{"total": 1, "results": [participation(event, 7, 1_716_316_504_838)]} for event in events]
    paths = [f"{PARTICIPANTS}{event}/" for event in events]
    faults(url, *({"kind": "error_200", "path": p, "body": b} for p, b in zip(paths, bodies, strict=True)))
    found = by_touch(fetch(url, tmp_path, ask("event_touches"))[0])
    told = {key: (row["event_id"], row["external_event_id"]) for key, row in found.items() if row["contact_id"] == "7"}
    assert told == {f"{event}-7-REGISTERED": (event, None) for event in events}


def test_a_moment_may_be_a_number_or_a_text(url: str, tmp_path: Path):
    """The reference has milliseconds, the guide ISO 8601; what is neither is for staging to refuse."""
    first = marketing_event_id("E0000")
    said = [1_716_316_504_838, "2024-05-22T10:35:04.838Z", "soon"]
    results = [participation(first, n, at) for n, at in enumerate(said)]
    faults(url, {"kind": "error_200", "path": f"{PARTICIPANTS}{first}/", "body": {"total": 3, "results": results}})
    found = by_touch(fetch(url, tmp_path, ask("event_touches"))[0])
    assert [found[f"{first}-{n}-REGISTERED"]["occurred_at"] for n in range(3)] == [
        "2024-05-21T18:35:04.838Z",
        "2024-05-22T10:35:04.838Z",
        "soon",
    ]


# --- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "forbidden", "scope"),
    [
        ("email_touches", "content", "content"),
        ("event_touches", "marketing_events", r"crm\.objects\.marketing_events\.read"),
    ],
)
def test_a_missing_scope_is_named(url: str, tmp_path: Path, stream: str, forbidden: str, scope: str):
    post(url, "settings", forbidden=[forbidden])
    with pytest.raises(ConfigError, match=rf"(?s)lacks a scope: {scope}.*take the stream out of pipeline\.yml"):
        fetch(url, tmp_path, ask(stream))


def test_an_answer_to_another_query_is_asked_for_again(url: str, tmp_path: Path):
    other = {"events": [event(1, "CLICK")], "hasMore": False, "offset": "x"}
    days = (dt.date(2026, 2, 2), dt.date(2026, 2, 2))
    faults(url, {"kind": "error_200", "path": EVENTS, "start": 2, "body": other})
    assert fetch(url, tmp_path, ask("email_touches", dates=days))[0] == []
    assert [q["eventType"] for q in queries(url)] == ["REPLY", "OPEN", "OPEN", "CLICK"]
    wrong = get(url, f"{PARTICIPANTS}{marketing_event_id('E0001')}/breakdown").json()
    assert wrong["results"]
    faults(url, {"kind": "error_200", "path": f"{PARTICIPANTS}{marketing_event_id('E0000')}/", "body": wrong})
    rows, _ = fetch(url, tmp_path, ask("event_touches"))
    assert states(rows) == expected_states(1)


def test_offsets_that_lead_back_stop_the_run(url: str, tmp_path: Path):
    loop = {"events": [event(1, "OPEN")], "hasMore": True, "offset": "again"}
    days = (dt.date(2026, 2, 2), dt.date(2026, 2, 2))
    faults(
        url,
        {
            "kind": "error_200",
            "path": EVENTS,
            "start": 2,
            "times": None,
            "body": loop,
        },
    )
    with pytest.raises(StepFailed, match="leads to one that was given before"):
        fetch(url, tmp_path, ask("email_touches", dates=days))
    assert len(queries(url)) == 5, "the page is asked for three times, and no more"
    assert not [*(tmp_path / "email_touches").glob(f"*{RECORDS}")]


def test_participants_whose_pages_lead_back_stop_the_run(url: str, tmp_path: Path):
    loop = {"total": 9, "results": [], "paging": {"next": {"after": "again"}}}
    faults(url, {"kind": "error_200", "path": PARTICIPANTS, "times": None, "body": loop})
    with pytest.raises(StepFailed, match="leads to one that was given before"):
        fetch(url, tmp_path, ask("event_touches"))


@pytest.mark.parametrize("stream", hubspot_touches.STREAMS)
@pytest.mark.parametrize("body", [{"status": "error", "message": "x"}, [], {"events": None, "results": {}}])
def test_an_answer_that_is_no_page_stops_the_run(url: str, tmp_path: Path, stream: str, body: Any):
    faults(url, {"kind": "error_200", "path": "/", "times": None, "body": body})
    with pytest.raises(StepFailed, match="no page of records"):
        fetch(url, tmp_path, ask(stream))


def behind_the_first(url: str, path: str) -> list[int]:
    """Which requests below a path were for a page behind the first one of its query, counted from 1."""
    return [n for n, q in enumerate(queries(url, path), start=1) if "offset" in q or "after" in q]


def test_an_offset_that_has_become_invalid_is_made_good_by_shorter_queries(url: str, tmp_path: Path):
    since = dt.date(2026, 1, 1)
    post(url, "settings", page_size=3)
    whole, _ = fetch(url, tmp_path, ask("email_touches", since=since))
    pages = behind_the_first(url, EVENTS)
    stale = {"status": "error", "category": "VALIDATION_ERROR", "message": "Invalid offset"}
    for number in (pages[0], pages[len(pages) // 2], pages[-1]):
        faults(url, {"kind": "status", "status": 400, "path": EVENTS, "start": number, "body": stale})
        again, _ = fetch(url, tmp_path, ask("email_touches", since=since))
        assert by_touch(again) == by_touch(whole)
        spans = {(q["eventType"], int(q["startTimestamp"]), int(q["endTimestamp"])) for q in queries(url)}
        ends = {(kind, end + 1) for kind, _, end in spans} | {(kind, 1_767_225_600_000) for kind, _, _ in spans}
        assert {(kind, start) for kind, start, _ in spans} <= ends, "no millisecond between two of them"
    faults(url, {"kind": "status", "status": 400, "path": EVENTS, "start": pages[0], "times": None, "body": stale})
    with pytest.raises(StepFailed, match="Invalid offset"):
        fetch(url, tmp_path, ask("email_touches", since=since))


def test_a_query_that_is_refused_stops_the_run(url: str, tmp_path: Path):
    body = {"status": "error", "category": "VALIDATION_ERROR", "message": "no such parameter"}
    faults(url, {"kind": "status", "status": 400, "path": EVENTS, "times": None, "body": body})
    with pytest.raises(StepFailed, match="no such parameter"):
        fetch(url, tmp_path, ask("email_touches"))
    assert len(queries(url)) == 1


@pytest.mark.parametrize("stream", hubspot_touches.STREAMS)
def test_spoiled_pages_change_nothing(url: str, tmp_path: Path, stream: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("onefunnel.sources.http.FIRST_WAIT_SECONDS", 0.01)
    path = EVENTS if stream == "email_touches" else PARTICIPANTS
    post(url, "settings", page_size=3)
    whole, _ = fetch(url, tmp_path, ask(stream, since=dt.date(2025, 10, 1)))
    spoiled: list[Row] = [
        {"kind": "too_many", "retry_after": 0},
        {"kind": "status", "status": 503},
        {"kind": "truncated", "after_bytes": 200},
        {"kind": "reset"},
        {"kind": "html"},
        {"kind": "repeat"},
        {"kind": "backwards"},
    ]
    pages = behind_the_first(url, path)
    # Each of them has one more request before the next.
    script = [{**fault, "path": path, "start": pages[n] + n} for n, fault in enumerate(spoiled)]
    faults(url, *script)
    again, _ = fetch(url, tmp_path, ask(stream, since=dt.date(2025, 10, 1)))
    assert by_touch(again) == by_touch(whole) != {}
    assert [r["fault"] for r in journal(url) if r["fault"]] == [fault["kind"] for fault in spoiled]


def test_a_redirect_is_not_followed(url: str, tmp_path: Path):
    faults(url, {"kind": "redirect", "path": EVENTS})
    with pytest.raises(StepFailed, match=r"redirects to redirected\.invalid"):
        fetch(url, tmp_path, ask("email_touches"))


# --- the sandbox's portal ----------------------------------------------------------------------------------------


def test_the_portal_refuses_what_hubspot_refuses(url: str):
    assert HTTP.get(f"{url}{EVENTS}").status_code == 401
    event = marketing_event_id("E0000")
    refused: list[tuple[str, dict[str, str]]] = [
        (EVENTS, {"limit": "1001"}),
        (EVENTS, {"limit": "x"}),
        (EVENTS, {"eventType": "CLICK,OPEN"}),
        (EVENTS, {"startTimestamp": "2026-01-01"}),
        (EVENTS, {"since": "1"}),
        (EVENTS, {"offset": "made-up"}),
        (MARKETING, {"limit": "101"}),
        (f"{PARTICIPANTS}{event}/breakdown", {"state": "CAME"}),
    ]
    for path, query in refused:
        answer = get(url, path, **query)
        assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR"), query
    assert get(url, f"{PARTICIPANTS}1/breakdown").status_code == 404
    first = get(url, EVENTS, eventType="OPEN", limit="1").json()
    assert get(url, EVENTS, eventType="OPEN", limit="5", offset=first["offset"]).json()["hasMore"] is True
    assert get(url, EVENTS, eventType="CLICK", offset=first["offset"]).status_code == 400, "of another query"


def test_the_portal_filters_as_it_is_asked(url: str):
    def all_of(**query: str) -> list[Row]:
        found: list[Row] = get(url, EVENTS, limit="1000", **query).json()["events"]
        return found

    opened = all_of(eventType="OPEN")
    stamps = [e["created"] for e in opened]
    assert stamps == sorted(stamps, reverse=True) and all(type(s) is int for s in stamps)
    some = opened[3]
    at = str(some["created"])
    assert some in all_of(eventType="OPEN", startTimestamp=at, endTimestamp=at), "both are inclusive"
    kept = all_of(eventType="OPEN", excludeFilteredEvents="true")
    assert kept == [e for e in opened if not e["filteredEvent"]] != opened
    mine = all_of(recipient=some["recipient"], campaignId=str(some["emailCampaignId"]))
    assert {"SENT", "DELIVERED", "OPEN"} <= {e["type"] for e in mine}
    (sent,) = [e for e in mine if e["type"] == "SENT"]
    assert some["sentBy"] == {"id": sent["id"], "created": sent["created"]} and sent["created"] < some["created"]
    event = marketing_event_id("E0000")
    came = get(url, f"{PARTICIPANTS}{event}/breakdown", state="ATTENDED", limit="100").json()
    assert came["total"] == len(came["results"]) > 0
    assert {p["properties"]["attendanceState"] for p in came["results"]} == {"ATTENDED"}
