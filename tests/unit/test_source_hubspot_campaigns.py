"""HubSpot's deal splits, sendings of e-mails and marketing events against the sandbox's portal: what arrives is what the company knows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hubspot_portal import (
    CELLS,
    COMPANY,
    HTTP,
    First,
    Landed,
    Row,
    ask,
    by_id,
    declared_streams,
    faults,
    fetch,
    first_load,
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
from onefunnel.sandbox.servers.hubspot import connection
from onefunnel.sandbox.servers.hubspot_objects import deal_id, owner_id
from onefunnel.sandbox.servers.hubspot_touches import marketing_event_id
from onefunnel.sources import hubspot, hubspot_campaigns

__all__ = ["first_load", "server", "url"]  # the fixtures
SPLITS = "/crm/v3/objects/deals/splits/batch/read"
SENDINGS, EVENTS = "/email/public/v1/campaigns/", "/marketing/v3/marketing-events"
LATER = 6  # reps have left, and their shares with them
Share = tuple[str, str | None, str]


def known_splits(day: int) -> dict[Share, Decimal]:
    """The company's revenue splits of deals that are there, in percent."""
    there = {key for key, deal in portal(day).objects["deals"].items() if not deal.archived}
    return {
        (deal, owner_id(r.fields["user_id"]), "revenue"): Decimal(int(str(r.fields["split_percent"]))).scaleb(-6)
        for r in portal(day).state.tables["opportunity_splits"].values()
        if r.fields["split_type"] == "revenue" and not r.fields["is_deleted"]
        if (deal := deal_id(str(r.fields["opportunity_id"]))) in there
    }


def as_splits(rows: list[Row]) -> dict[Share, Decimal]:
    found = {(row["deal_id"], row["owner_id"], row["split_type"]): Decimal(row["split_percent"]) for row in rows}
    assert len(found) == len(rows), "twice"
    return found


def known_campaigns(day: int, channel: str) -> dict[str, Row]:
    table = portal(day).state.tables["crm_campaigns"]
    return {key: dict(r.fields) for key, r in table.items() if r.fields["channel"] == channel}


def known_sendings(day: int) -> dict[str, Any]:
    """The company's newsletters that have gone out by the end of a day, with their names."""
    today = str(COMPANY.simulation.date_of(day))
    found = known_campaigns(day, "email")
    return {key: f["campaign_name"] for key, f in found.items() if str(f["started_on"]) <= today}


def named(rows: list[Row]) -> dict[str, Any]:
    return {key: row["name"] for key, row in by_id(rows).items()}


def asked_for(url: str) -> set[str]:
    """The sendings whose names were asked for since the journal was cleared."""
    paths = [r["path"] for r in journal(url) if r["path"].startswith(SENDINGS)]
    found = [path.removeprefix(SENDINGS) for path in paths if not path.endswith("by-id")]
    assert len(found) == len(set(found)), "one is asked for twice"
    return set(found)


def of_deal(deal: str, *splits: tuple[str | None, Any], archived: bool = False) -> Row:
    """A deal of the answer, with owners and shares."""
    found = [
        {
            "id": str(n),
            "properties": {"hs_deal_split_percentage": share, "hubspot_owner_id": owner},
            "createdAt": "2023-11-15T21:32:18.990Z",
            "updatedAt": "2023-11-15T21:32:18.990Z",
            "archived": archived,
        }
        for n, (owner, share) in enumerate(splits, start=1)
    ]
    return {"id": deal, "splits": found}


def answered(*deals: Row, **more: Any) -> Row:
    """Every batch of splits is answered so."""
    body = {"status": "COMPLETE", "results": [*deals], **more}
    return {"kind": "error_200", "path": SPLITS, "times": None, "body": body}


def some_deals(count: int) -> list[str]:
    return sorted({deal for deal, *_ in known_splits(1)})[:count]


# --- what is declared --------------------------------------------------------------------------------------------


def test_what_is_declared_is_what_is_delivered(first_load: First, tmp_path: Path):
    """No column of a declaration is missing in the records, none is undeclared; both lists are of the CRM's campaigns."""
    streams = declared_streams(tmp_path)
    for name in hubspot_campaigns.STREAMS:
        rows, beside = first_load(name)
        declared = streams[name]
        assert declared.contract == "crm_campaigns" and cell_of(declared) == CELLS[name]
        taken = {column.from_ for column in declared.columns.values() if column.from_}
        assert set(rows[0]) == taken | set(declared.ignore)
        assert beside is not None and beside.totals.num_rows == 0
    channels = {name: streams[name].columns["channel"].value for name in hubspot_campaigns.STREAMS}
    assert channels == {"email_sendings": "email", "marketing_events": "event"}


@pytest.mark.parametrize("name", ["event_id", "external_event_id"])
def test_an_event_is_called_what_its_touches_call_it(first_load: First, tmp_path: Path, name: str):
    """Whichever id is mapped, the other one is known and deliberately not taken."""
    streams = declared_streams(tmp_path, f"{{columns: {{crm_campaign_id: {{from: {name}}}}}}}")
    events, _ = first_load("marketing_events")
    touches, _ = first_load("event_touches")
    assert {row[name] for row in touches} <= {row[name] for row in events}
    for stream in ("marketing_events", "event_touches"):
        assert streams[stream].columns["crm_campaign_id"].from_ == name
    taken = {column.from_ for column in streams["marketing_events"].columns.values()}
    assert set(events[0]) - taken <= set(streams["marketing_events"].ignore)


# --- deal splits -------------------------------------------------------------------------------------------------


def test_every_split_is_the_company_s_to_the_last_decimal(first_load: First):
    rows, beside = first_load("opportunity_splits")
    expected = known_splits(1)
    assert as_splits(rows) == expected
    assert set(expected.values()) == {Decimal(p) for p in ("33.33", "33.34", "40", "60", "100")}
    assert beside is not None and beside.totals.num_rows == 0
    assert beside.about["deals"] >= len({deal for deal, *_ in expected}) > 50


def test_a_split_that_was_removed_is_taken_back(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path, "opportunity_splits")
    landed.fetch(COMPANY.as_of(1))
    removed = known_splits(1).keys() - known_splits(LATER).keys()
    post(url, "day", day=LATER)
    news = landed.fetch(COMPANY.as_of(LATER))
    assert as_splits(landed.all) == known_splits(LATER)
    assert as_splits(news) == {k: v for k, v in known_splits(LATER).items() if known_splits(1).get(k) != v}
    assert removed and all(landed.hashes[cell] == "" for cell in removed)  # type: ignore[index]


def test_shares_are_read_as_they_are_written(url: str, tmp_path: Path):
    """Eight decimals, a number that is none of a text, twice the same owner; what is no number is for staging to refuse."""
    one, two, three, four = some_deals(4)
    deals = [
        of_deal(one, ("1", "0.33333333"), ("2", "0.33333334"), ("3", "0.33333333")),
        of_deal(two, ("1", 0.29), ("1", "0.3"), (None, "0.41")),
        of_deal(three, ("1", "most of it"), ("2", None), ("2", "0.5")),
        of_deal(four, ("9", "1"), archived=True),
    ]
    faults(url, answered(*deals))
    rows, _ = fetch(url, tmp_path, ask("opportunity_splits"))
    assert sorted((row["deal_id"], row["owner_id"] or "", row["split_percent"]) for row in rows) == sorted([
        (one, "1", "33.333333"),
        (one, "2", "33.333334"),
        (one, "3", "33.333333"),
        (two, "", "41.000000"),
        (two, "1", "59.000000"),
        (three, "1", "most of it"),
        (three, "2", None),
    ], key=str)  # fmt: skip


def test_a_deal_of_which_the_answer_says_nothing_is_asked_for_once_more(url: str, tmp_path: Path):
    """Whether a deal without splits is in the answer is not documented; one that had some does not lose them by a gap."""
    landed = Landed(url, tmp_path, "opportunity_splits")
    landed.fetch(COMPANY.as_of(1))
    (lost,) = some_deals(1)
    whole = get_splits(url, [deal for deal in portal(1).objects["deals"] if deal != lost])
    forget(url)
    # All but one of them, and then that one.
    faults(url, {**answered(*whole), "times": 1})
    assert landed.fetch(COMPANY.as_of(1) + dt.timedelta(hours=1)) == []
    assert as_splits(landed.all) == known_splits(1)
    assert len([r for r in journal(url) if r["path"] == SPLITS]) == 2
    faults(url, {**answered(*whole), "times": 1}, {**answered(), "start": 2})
    landed.fetch(COMPANY.as_of(1) + dt.timedelta(hours=2))
    assert as_splits(landed.all) == {k: v for k, v in known_splits(1).items() if k[0] != lost}


def get_splits(url: str, deals: list[str]) -> list[Row]:
    headers = {"Authorization": f"Bearer {connection(url)['password']}"}
    order = {"inputs": [{"id": deal} for deal in deals]}
    found: list[Row] = HTTP.post(f"{url}{SPLITS}", json=order, headers=headers).json()["results"]
    return found


@pytest.mark.parametrize(
    "body",
    [
        {"status": "PENDING", "results": []},
        {"status": "COMPLETE", "results": [{"id": "1", "splits": []}]},
        {"status": "COMPLETE", "results": [{"id": "38000000000"}]},
        {"status": "COMPLETE", "results": [], "errors": [{"category": "INTERNAL_ERROR"}]},
        {"status": "COMPLETE"},
    ],
    ids=["not done", "of another deal", "no splits", "an error", "no results"],
)
def test_a_batch_that_is_none_stops_the_run(url: str, tmp_path: Path, body: Row):
    faults(url, {"kind": "error_200", "path": SPLITS, "times": None, "body": body})
    with pytest.raises(StepFailed, match="no page of records"):
        fetch(url, tmp_path, ask("opportunity_splits"))


# --- campaigns ---------------------------------------------------------------------------------------------------


def test_every_sending_and_event_is_the_company_s_by_id_and_name(first_load: First):
    assert named(first_load("email_sendings")[0]) == known_sendings(1)
    assert len(known_sendings(1)) > 20 and len(known_sendings(1)) < len(known_campaigns(1, "email"))
    events = by_id(first_load("marketing_events")[0], "event_id")
    assert {
        key: (row["external_event_id"], row["name"], row["started_on"], row["ended_on"]) for key, row in events.items()
    } == {
        marketing_event_id(key): (key, f["campaign_name"], str(f["started_on"]), str(f["ended_on"]))
        for key, f in known_campaigns(1, "event").items()
    }
    touches, _ = first_load("email_touches")
    assert {row["email_campaign_id"] for row in touches} <= known_sendings(1).keys()


@pytest.mark.parametrize("stream", ["opportunity_splits", *hubspot_campaigns.STREAMS])
def test_tiny_pages_are_read_to_their_end(url: str, first_load: First, tmp_path: Path, stream: str):
    whole, _ = first_load(stream)
    post(url, "settings", page_size=7)
    again, _ = fetch(url, tmp_path, ask(stream))
    assert sorted(map(str, again)) == sorted(map(str, whole))


def test_each_name_is_read_again_on_one_of_so_many_days(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hubspot_campaigns, "AGAIN_DAYS", 3)
    landed, old = Landed(url, tmp_path, "email_sendings"), known_sendings(1)
    landed.fetch(COMPANY.as_of(1))
    assert asked_for(url) == old.keys()
    post(url, "day", day=20)
    forget(url)
    renamed, new = min(old), known_sendings(20).keys() - old.keys()
    body = {"id": int(renamed), "name": "Spring", "subject": "not read"}
    again, brought = list[str](), dict[str, Any]()
    for number in range(3):
        faults(url, {"kind": "error_200", "path": f"{SENDINGS}{renamed}", "times": None, "body": body})
        brought |= named(landed.fetch(COMPANY.as_of(20) + dt.timedelta(days=number)))
        assert number or brought.keys() >= new, "at once"
        again += asked_for(url) - new
        forget(url)
    assert sorted(again) == sorted(old) and len(old) > 30
    assert brought.keys() == {renamed, *new} and new
    assert named(landed.all) == {**known_sendings(20), renamed: "Spring"}


def test_what_one_fetch_does_not_ask_for_is_the_next_one_s(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hubspot_campaigns, "MOST", 30)
    landed, expected = Landed(url, tmp_path, "email_sendings"), known_sendings(1)
    landed.fetch(COMPANY.as_of(1))
    assert named(landed.all).keys() == set(sorted(expected)[-30:]), "the newest first"
    assert (landed.before["asked_for"], landed.before["left"]) == (30, len(expected) - 30)
    landed.fetch(COMPANY.as_of(1) + dt.timedelta(hours=1))
    assert named(landed.all) == expected and len(expected) < 60


def test_a_sending_that_is_listed_and_not_there_has_no_name(url: str, first_load: First, tmp_path: Path):
    gone = first_load("email_sendings")[0][0]["id"]
    body = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Campaign does not exist"}
    faults(url, {"kind": "status", "status": 404, "path": f"{SENDINGS}{gone}", "times": None, "body": body})
    rows, _ = fetch(url, tmp_path, ask("email_sendings"))
    assert {row["id"] for row in rows if row["name"] is None} == {gone} and len(rows) > 10


def test_an_event_that_is_gone_keeps_its_name(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path, "marketing_events")
    landed.fetch(COMPANY.as_of(1))
    whole = landed.all
    one = {"objectId": "7", "eventName": None, "startDateTime": None, "createdAt": "2026-03-01T00:00:00Z"}
    faults(url, {"kind": "error_200", "path": EVENTS, "times": None, "body": {"results": [one]}})
    (new,) = landed.fetch(COMPANY.as_of(1) + dt.timedelta(days=1))
    assert (new["event_id"], new["name"], new["started_on"], new["external_event_id"]) == ("7", None, None, None)
    assert sorted(map(str, landed.all)) == sorted(map(str, [*whole, new]))


def test_an_event_without_the_id_that_counts_is_left_out(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One that was made in HubSpot itself has no external id, and neither have its touches; two of different apps may have the same."""
    events = [{"objectId": str(n), "externalEventId": name} for n, name in enumerate((None, "fair", "fair"), start=1)]
    faults(url, {"kind": "error_200", "path": EVENTS, "times": None, "body": {"results": events}})
    assert len(fetch(url, tmp_path / "1", ask("marketing_events"))[0]) == 3
    monkeypatch.setitem(CELLS, "marketing_events", {"crm_campaign_id": "external_event_id"})
    rows, _ = fetch(url, tmp_path / "2", ask("marketing_events"))
    assert sorted((row["event_id"], row["external_event_id"]) for row in rows) == [("2", "fair"), ("3", "fair")]


def test_the_day_of_an_event_is_that_of_the_portal(url: str, tmp_path: Path):
    details = {**get(url, "/account-info/v3/details").json(), "timeZone": "America/New_York"}
    late = {"objectId": "7", "startDateTime": "2026-03-04T01:30:00Z", "endDateTime": "2026-03-05T05:00:00.250Z"}
    faults(
        url,
        {"kind": "error_200", "path": "/account-info/v3/details", "body": details},
        {"kind": "error_200", "path": EVENTS, "body": {"results": [late]}},
    )
    (row,), _ = fetch(url, tmp_path, ask("marketing_events"))
    assert (row["started_on"], row["ended_on"]) == ("2026-03-03", "2026-03-05")


# --- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "forbidden", "scope"),
    [
        ("opportunity_splits", "deal_splits", r"crm\.dealsplits\.read_write"),
        ("email_sendings", "content", "content"),
        ("marketing_events", "marketing_events", r"crm\.objects\.marketing_events\.read"),
    ],
)
def test_a_missing_scope_is_named(url: str, tmp_path: Path, stream: str, forbidden: str, scope: str):
    post(url, "settings", forbidden=[forbidden])
    with pytest.raises(ConfigError, match=rf"(?s)lacks a scope: {scope}.*`without: \[{stream}\]`"):
        fetch(url, tmp_path, ask(stream))


@pytest.mark.parametrize("category", ["MISSING_SCOPES", "BANNED"])
def test_a_portal_without_deal_splits_is_told_what_they_need(url: str, tmp_path: Path, category: str):
    body = {"status": "error", "category": category, "message": "This account has no access."}
    faults(url, {"kind": "status", "status": 403, "path": SPLITS, "times": None, "body": body})
    with pytest.raises(ConfigError, match=r"(?s)crm\.dealsplits\.read_write.*`without: \[opportunity_splits\]`"):
        fetch(url, tmp_path, ask("opportunity_splits"))


def test_an_answer_about_another_sending_is_asked_for_again(url: str, first_load: First, tmp_path: Path):
    whole, _ = first_load("email_sendings")
    wrong = {"kind": "error_200", "path": f"{SENDINGS}{min(known_sendings(1))}", "body": {"id": 1, "name": "Another"}}
    faults(url, wrong)
    assert named(fetch(url, tmp_path, ask("email_sendings"))[0]) == named(whole)
    faults(url, {**wrong, "times": None})
    with pytest.raises(StepFailed, match="tells of another sending"):
        fetch(url, tmp_path, ask("email_sendings"))


@pytest.mark.parametrize(("stream", "path"), [("opportunity_splits", SPLITS), ("email_sendings", SENDINGS)])
def test_spoiled_answers_change_nothing(
    url: str, first_load: First, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: str, path: str
):
    monkeypatch.setattr("onefunnel.sources.http.FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(hubspot, "LIST_PAGE", 7)
    spoiled: list[Row] = [
        {"kind": "too_many", "retry_after": 0},
        {"kind": "status", "status": 503},
        {"kind": "truncated", "after_bytes": 40},
        {"kind": "reset"},
        {"kind": "html"},
        {"kind": "repeat"},
        {"kind": "backwards"},
    ]
    faults(url, *({**fault, "path": path, "start": 2 * n} for n, fault in enumerate(spoiled, start=1)))
    again, _ = fetch(url, tmp_path, ask(stream))
    assert sorted(map(str, again)) == sorted(map(str, first_load(stream)[0]))
    assert {r["fault"] for r in journal(url)} >= {fault["kind"] for fault in spoiled}


@pytest.mark.parametrize(
    "body",
    [
        {"hasMore": True, "offset": "again", "campaigns": [{"id": 1}]},
        {"hasMore": False, "campaigns": [{"appId": 113}]},
        {"hasMore": False},
    ],
    ids=["leads back", "no id", "no list"],
)
def test_a_list_of_sendings_that_is_none_stops_the_run(url: str, tmp_path: Path, body: Row):
    faults(url, {"kind": "error_200", "path": f"{SENDINGS}by-id", "times": None, "body": body})
    with pytest.raises(StepFailed, match="no page of records, or leads to one"):
        fetch(url, tmp_path, ask("email_sendings"))


# --- the sandbox's portal ----------------------------------------------------------------------------------------


def test_the_portal_refuses_what_hubspot_refuses(url: str):
    headers = {"Authorization": f"Bearer {connection(url)['password']}"}
    many = {"inputs": [{"id": str(n)} for n in range(101)]}
    assert HTTP.post(f"{url}{SPLITS}", json=many).status_code == 401
    for order in ({"inputs": []}, many):
        assert HTTP.post(f"{url}{SPLITS}", json=order, headers=headers).status_code == 400
    (deal,) = some_deals(1)
    partly = HTTP.post(f"{url}{SPLITS}", json={"inputs": [{"id": "1"}, {"id": deal}]}, headers=headers)
    assert partly.status_code == 207 and [d["id"] for d in partly.json()["results"]] == [deal]
    assert partly.json()["errors"][0]["context"] == {"ids": ["1"]}
    planned = known_campaigns(1, "email").keys() - known_sendings(1).keys()
    assert get(url, f"{SENDINGS}{min(planned)}").status_code == 404, "it has not gone out"
    assert get(url, f"{SENDINGS}by-id", offset="made-up").status_code == 400
    sent = get(url, f"{SENDINGS}{max(known_sendings(1))}").json()
    assert sent["counters"]["sent"] == sent["numIncluded"] >= sent["counters"]["delivered"] > 0
