"""The connector of HubSpot against the sandbox's portal: what arrives is what the company knows, on the first day and later."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hubspot_portal import (
    CELLS,
    COMPANY,
    WEDNESDAY,
    First,
    Landed,
    ask,
    by_id,
    declared_streams,
    faults,
    fetch,
    first_load,
    forget,
    get,
    given,
    journal,
    merged_into,
    moment,
    portal,
    post,
    properties,
    server,
    url,
)

from onefunnel.errors import ConfigError, StepFailed
from onefunnel.fetch import cell_of
from onefunnel.sandbox.business.identity import survivor
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.crm_records import field_changes
from onefunnel.sandbox.servers.hubspot import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, make_app
from onefunnel.sandbox.servers.hubspot_objects import STAGES, company_id, contact_id, deal_id, owner_id
from onefunnel.sources import http, hubspot, hubspot_campaigns, hubspot_touches
from onefunnel.sources.connections import Connection
from onefunnel.sources.inbox import Inbox

__all__ = ["first_load", "server", "url"]  # the fixtures
DEALS = "/crm/v3/objects/deals"
CRM = {*CELLS} - {*hubspot_touches.STREAMS, *hubspot_campaigns.STREAMS}


def money(micro: Any) -> float | None:
    return micro / 1_000_000 if isinstance(micro, int) else None


# --- the first load ----------------------------------------------------------------------------------------------


def test_what_is_declared_is_what_is_delivered(first_load: First, tmp_path: Path):
    """No column of a declaration is missing in the records, none is undeclared, and the cells are those of the declaration."""
    streams = declared_streams(tmp_path)
    assert set(streams) == {*CELLS}
    for name in CRM:  # the others have files of their own
        stream = streams[name]
        assert cell_of(stream) == CELLS[name]
        rows, _ = first_load(name)
        assert set(rows[0]) == {column.from_ for column in stream.columns.values()}, name


def test_the_accounts_are_the_company_s(first_load: First):
    rows, beside = first_load("accounts")
    found = by_id(rows)
    states = {key: r.fields for key, r in portal(1).state.tables["accounts"].items()}
    assert set(found) == {company_id(key) for key in states}
    for key, state in states.items():
        row = found[company_id(key)]
        if state["merged_into_id"] is not None:
            assert row["merged_into_id"] == company_id(survivor(states, key)) and row["archived"] == "false"
            continue
        assert row["merged_into_id"] is None
        assert row["name"] == state["account_name"] and row["domain"] == state["domain"]
        assert row["segment"] == state["segment"] and row["territory"] == state["territory_id"]
        assert row["hubspot_owner_id"] == owner_id(state["owner_id"])
        assert row["hs_is_target_account"] == str(state["is_target"]).lower()
        parent = state["parent_account_id"]
        assert row["hs_parent_company_id"] == (company_id(str(parent)) if parent else None)
    assert beside is not None
    (total,) = beside.totals.to_pylist()
    assert total == {
        "part": None,
        "day": None,
        "measure": "rows",
        "value": str(sum(r["modified_at"] is not None for r in rows)),
        "unit": None,
    }


def test_a_person_is_one_contact_and_with_a_lead_status_one_lead(first_load: First):
    contacts = by_id(first_load("contacts")[0])
    leads = by_id(first_load("leads")[0])
    tables = portal(1).state.tables
    assert {i for i in contacts if not contacts[i]["merged_into_id"]} == {
        i for i, r in portal(1).objects["contacts"].items()
    }
    states = {key: r.fields for key, r in tables["leads"].items()}
    shown = archived = 0
    for key, state in states.items():
        number = contact_id("lead", key)
        if state["merged_into_id"] is not None:
            row = leads[number]
            assert row["merged_into_id"] and row["archived"] == "true", "its journey is that of the record that is left"
            assert contacts[number]["merged_into_id"] == row["merged_into_id"]
            continue
        if number not in leads:  # deleted more than 90 days ago, or its contact was merged into one that was no lead
            assert state["is_deleted"] or leads.get(contacts[number]["merged_into_id"]) is None
            continue
        row = leads[number]
        assert row["contact_id"] == number and number in contacts
        if row["merged_into_id"]:
            continue  # its contact was merged
        assert row["hs_lead_status"] == str(state["status"]).upper().replace(" ", "_")
        assert row["archived"] == str(state["is_deleted"]).lower()
        assert row["hubspot_owner_id"] == owner_id(state["owner_id"])
        assert row["lead_origin"] == state["lead_source"] and row["crm_campaign"] == state["crm_campaign_id"]
        assert row["converted_at"] == moment(state["converted_at"]) and row["is_test"] == str(state["is_test"]).lower()
        assert row["created_at"] == moment(state["created_at"])
        archived += row["archived"] == "true"
        shown += 1
    assert shown > 300 and archived > 0
    accounts = {key: r.fields for key, r in tables["accounts"].items()}
    first = portal(1)
    for key, r in tables["contacts"].items():
        number = first._person("contact", key)
        if r.fields["merged_into_id"] is None and number in contacts and not contacts[number]["merged_into_id"]:
            assert (
                contacts[number]["full_name"] == r.fields["full_name"]
                and contacts[number]["jobtitle"] == r.fields["role"]
            )
            if contacts[number]["archived"] == "false" and company_id(
                survivor(accounts, str(r.fields["account_id"]))
            ) in {*first.objects["companies"]}:
                assert contacts[number]["company_id"] is not None


def test_the_opportunities_are_the_company_s(first_load: First):
    found = by_id(first_load("opportunities")[0])
    tables = portal(1).state.tables
    accounts = {key: r.fields for key, r in tables["accounts"].items()}
    for key, r in tables["opportunities"].items():
        state = r.fields
        if deal_id(key) not in found:
            assert state["is_deleted"]
            continue
        row = found[deal_id(key)]
        assert row["dealstage"] == STAGES[str(state["stage"])][0] and row["dealname"] == state["opportunity_name"]
        assert (float(row["amount"]) if row["amount"] else None) == money(state["amount"])
        assert row["deal_currency_code"] == state["currency"] and row["closing_day"] == str(state["close_date"])
        assert float(row["probability"]) == 100 * float(STAGES[str(state["stage"])][2])
        assert row["closed_lost_reason"] == state["loss_reason"] and row["competitor"] == state["competitor"]
        assert row["archived"] == str(state["is_deleted"]).lower()
        assert (row["created_at"], row["modified_at"]) == (moment(r.created_at), moment(r.changed_at))
        if not state["is_deleted"] and state["account_id"] in accounts:
            assert row["company_id"] == company_id(survivor(accounts, str(state["account_id"])))
    assert len(found) > 50


def test_the_people_of_a_deal_and_the_deal_of_a_lead(first_load: First):
    rows, _ = first_load("opportunity_contacts")
    first = portal(1)
    expected = {}
    for r in first.state.tables["opportunity_contacts"].values():
        person = first.standing("contacts", first._person("contact", str(r.fields["contact_id"])))
        if not r.fields["is_deleted"]:
            expected[deal_id(str(r.fields["opportunity_id"])), person] = r.fields
    found = {(row["deal_id"], row["contact_id"]): row for row in rows}
    there = {pair for pair in expected if pair[0] in first.objects["deals"] and pair[1] in first.objects["contacts"]}
    there = {
        (d, c) for d, c in there if not first.objects["deals"][d].archived and not first.objects["contacts"][c].archived
    }
    assert set(found) == there and len(rows) == len(found) > 50
    for pair in there:
        assert found[pair]["is_primary"] in ("true", "false") and found[pair]["role"]
    assert sum(row["is_primary"] == "true" for row in rows) >= sum(bool(expected[p]["is_primary"]) for p in there)

    leads = by_id(first_load("leads")[0])
    linked = [row for row in leads.values() if row["deal_id"]]
    assert linked and all((row["deal_id"], row["id"]) in found for row in linked)
    same = sum(
        deal_id(str(r.fields["converted_opportunity_id"])) == leads[contact_id("lead", key)]["deal_id"]
        for key, r in first.state.tables["leads"].items()
        if r.fields["converted_opportunity_id"] and contact_id("lead", key) in leads
    )
    assert same > 0.8 * len(linked)


def test_the_users_are_owners_present_and_former(url: str, tmp_path: Path):
    post(url, "settings", page_size=3)
    found = by_id(fetch(url, tmp_path, ask("users"))[0])
    users = portal(1).state.tables["users"]
    assert set(found) == {owner_id(key) for key in users}
    for key, r in users.items():
        row = found[str(owner_id(key))]
        assert row["full_name"] == r.fields["full_name"] and row["team"] == r.fields["team"]
        assert (row["left_on"] is None) is (r.fields["left_on"] is None)


WORDS = {
    "lead_changes": ("leads", {"status": "status", "owner_id": "owner"}),
    "opportunity_changes": (
        "opportunities",
        {
            "stage": "stage",
            "amount": "amount",
            "currency": "currency",
            "close_date": "close_date",
            "forecast_category": "forecast_category",
            "owner_id": "owner",
        },
    ),
}


def as_told(field: str, value: Any) -> Any:
    """A value of the log as the portal's history has it."""
    if value is None:
        return None
    said = {
        "status": lambda: str(value).upper().replace(" ", "_"),
        "owner": lambda: owner_id(value),
        "stage": lambda: STAGES[str(value)][0],
        "amount": lambda: money(value),
        "forecast_category": lambda: str(value).upper(),
    }
    return said.get(field, lambda: str(value))()


@pytest.mark.parametrize("stream", [*WORDS])
def test_every_change_arrives(first_load: First, stream: str):
    rows, _ = first_load(stream)
    table, words = WORDS[stream]
    first = portal(1)
    present = first.objects["contacts" if table == "leads" else "deals"]
    expected = set()
    for key, r in first.state.tables[table].items():
        number = contact_id("lead", key) if table == "leads" else deal_id(key)
        for change in field_changes(r, tuple(words)) if number in present else ():
            word = words[change.field]
            expected.add((number, word, as_told(word, change.old), as_told(word, change.new), moment(change.at)))
    got = {
        (
            r["id"],
            r["field"],
            *((float(v) if v and r["field"] == "amount" else v) for v in (r["old_value"], r["new_value"])),
            r["changed_at"],
        )
        for r in rows
        if r["field"] in words.values()
    }
    # A contact that was a lead has the changes of both; a second with two changes has one of them.
    missing = {e for e in expected - got if (e[0], e[1], e[4]) not in {(g[0], g[1], g[4]) for g in got}}
    assert not missing and len(expected & got) > 0.97 * len(expected) > 100
    assert len({r["change_id"] for r in rows}) == len(rows)
    owners = {str(owner_id(key)) for key in first.state.tables["users"]}
    assert {r["changed_by"] for r in rows} <= {*owners, None} and any(r["changed_by"] for r in rows)
    if stream == "opportunity_changes":
        percent = {r["new_value"] for r in rows if r["field"] == "probability"}
        assert {float(p) for p in percent} <= {0, 20, 60, 100}


# --- later loads -------------------------------------------------------------------------------------------------


SHORT = {"activities", "contacts"}  # of the others the days are in the long suite


@pytest.mark.parametrize(  # leads and opportunities are in the conformance suite
    "stream",
    [
        pytest.param(stream, marks=[] if stream in SHORT else pytest.mark.long)
        for stream in sorted(CRM - {"leads", "opportunities"})
    ],
)
def test_three_days_of_changes_are_a_full_load_of_the_third(url: str, tmp_path: Path, stream: str):
    post(url, "settings", page_size=40, search_window=10)
    landed = Landed(url, tmp_path / "daily", stream)
    for day in (1, 2, 3):
        post(url, "day", day=day)
        landed.fetch(WEDNESDAY + dt.timedelta(days=day - 1))
        if day == 1:
            forget(url)
    listed = [r for r in journal(url) if r["path"].startswith("/crm/v3/objects/") and "archived=false" in r["query"]]
    assert not listed or stream in ("opportunity_contacts", "opportunity_splits")
    post(url, "settings", page_size=200, search_window=10_000)
    whole = Landed(url, tmp_path / "whole", stream)
    whole.fetch(WEDNESDAY)
    assert landed.all == whole.all


def test_what_is_archived_is_deleted_and_a_merged_account_names_its_survivor(url: str, tmp_path: Path):
    post(url, "day", day=5)
    people, accounts = Landed(url, tmp_path / "1", "contacts"), Landed(url, tmp_path / "2", "accounts")
    people.fetch(WEDNESDAY)
    accounts.fetch(WEDNESDAY)
    post(url, "day", day=10)
    later = WEDNESDAY + dt.timedelta(days=1)
    assert any(row["archived"] == "true" for row in people.fetch(later)) and people.before["read"] == "what changed"
    there = portal(10).objects["contacts"]
    deleted = {row["id"] for row in people.all if row["archived"] == "true"}
    assert deleted == {i for i, r in there.items() if r.archived}
    states = {key: r.fields for key, r in portal(10).state.tables["accounts"].items()}
    merged = [row for row in accounts.fetch(later) if row["merged_into_id"]]
    assert {row["id"]: row["merged_into_id"] for row in merged}.items() <= {
        company_id(key): company_id(survivor(states, key)) for key in states
    }.items()
    assert len(merged) == 1 and (merged[0]["merged_into_id"],) in accounts.records


def test_a_hard_deleted_record_is_closed_by_the_next_week_s_list(tmp_path: Path):
    with serve(make_app(COMPANY, day=1)) as url:
        landed = Landed(url, tmp_path, "opportunities")
        landed.fetch(WEDNESDAY)
        gone = landed.all[3]["id"]
        post(url, "hard_delete", id=gone)
        landed.fetch(WEDNESDAY + dt.timedelta(days=1))
        assert (gone,) in landed.records
        landed.fetch(WEDNESDAY + dt.timedelta(days=7))
        assert (gone,) not in landed.records and landed.hashes[gone,] == ""
        assert len(landed.records) == len(landed.hashes) - 1


def test_records_of_which_most_are_gone_are_a_permission_that_is_gone(tmp_path: Path):
    with serve(make_app(COMPANY, day=1)) as url:
        landed = Landed(url, tmp_path, "opportunities")
        landed.fetch(WEDNESDAY)
        gone = [row["id"] for row in landed.all if row["merged_into_id"] is None][: len(landed.all) * 2 // 3]
        for deal in gone:
            post(url, "hard_delete", id=deal)
        later = WEDNESDAY + dt.timedelta(days=7)
        backfill = (later.date(), later.date())  # of days of advertising: it says nothing of deletions
        for days in (None, backfill):
            with pytest.raises(StepFailed, match=r"(?s)are known.*onefunnel run --accept-deletions crm"):
                landed.fetch(later, dates=days)
        landed.fetch(later, accept_deletions=True)
        assert not {(deal,) for deal in gone} & landed.records.keys() and landed.records
        assert all(landed.hashes[deal,] == "" for deal in gone)


def test_a_record_that_a_list_lacks_is_looked_up_before_it_is_closed(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path, "accounts")
    landed.fetch(WEDNESDAY)
    there = {key for key, row in landed.records.items() if not row["merged_into_id"]}
    first = get(url, "/crm/v3/objects/companies", limit="100", archived="false").json()["results"]
    short = {"kind": "error_200", "path": "/crm/v3/objects/companies", "method": "GET", "body": {"results": first[10:]}}
    faults(url, short)
    landed.fetch(WEDNESDAY + dt.timedelta(days=7))
    assert set(landed.records) >= there


@pytest.mark.parametrize("stream", ["lead_changes", "opportunity_changes"])
def test_what_falls_out_of_a_history_stays(url: str, tmp_path: Path, stream: str):
    landed = Landed(url, tmp_path, stream)
    landed.fetch(WEDNESDAY)
    first = dict(landed.records)
    post(url, "settings", history_versions=2)
    post(url, "day", day=10)
    landed.fetch(WEDNESDAY + dt.timedelta(days=7))
    assert landed.before["read"] == "everything"
    assert first.items() <= landed.records.items() and len(landed.records) > len(first)


def test_a_history_that_may_be_cut_does_not_say_what_its_oldest_version_replaced(
    url: str, first_load: First, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = {r["change_id"]: r for r in first_load("opportunity_changes")[0]}
    monkeypatch.setattr(hubspot, "SHORTEST_CUT", 2)
    post(url, "settings", history_versions=2)
    rows, _ = fetch(url, tmp_path, ask("opportunity_changes"))
    assert 0 < len(rows) < len(whole) and all(whole[r["change_id"]] == r for r in rows)


def test_what_the_search_does_not_find_yet_comes_later(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path / "daily", "contacts")
    landed.fetch(WEDNESDAY)
    post(url, "day", day=3)
    post(url, "settings", search_lag_seconds=20 * 3_600)
    landed.fetch(WEDNESDAY + dt.timedelta(days=1))
    post(url, "settings", search_lag_seconds=0)
    landed.fetch(WEDNESDAY + dt.timedelta(days=1, hours=1))
    whole = Landed(url, tmp_path / "whole", "contacts")
    whole.fetch(WEDNESDAY)
    assert landed.all == whole.all


@pytest.mark.parametrize(
    ("stream", "objects"), [("leads", ["contacts"]), ("activities", ["calls", "meetings", "emails"])]
)
def test_what_is_counted_is_what_there_was_when_the_fetch_began(
    url: str, tmp_path: Path, stream: str, objects: list[str], monkeypatch: pytest.MonkeyPatch
):
    """Records come while others are read: neither a list nor a search brings those that the count leaves out."""
    landed, counts = Landed(url, tmp_path, stream), []
    for day, left_out, hours in ((1, 48, 0), (4, 48, 24), (4, 0, 25)):  # a list, and two searches
        post(url, "day", day=day)
        monkeypatch.setattr(hubspot, "NOT_YET_FOUND", dt.timedelta(hours=left_out))
        landed.fetch(WEDNESDAY + dt.timedelta(hours=hours))
        there = [row for row in landed.all if row["archived"] == "false" and not row.get("merged_into_id")]
        assert landed.counted == len(there)
        counts.append(landed.counted)
        until = round((COMPANY.as_of(day) - dt.timedelta(hours=left_out)).timestamp())
        known = [r for name in objects for r in portal(day).objects[name].values() if not r.archived]
        expected = {r.record_id for r in known if r.created_at <= until and r.properties.get("hs_lead_status", True)}
        assert {str(row["id"]).rpartition("-")[2] for row in there} == expected
    assert counts[0] < counts[1] < counts[2]


def test_a_record_whose_time_of_making_lies_ahead_is_delivered(url: str, tmp_path: Path):
    key, deal = next((k, r) for k, r in portal(1).objects["deals"].items() if not r.archived)
    texts = {f'"createdate":"{deal.properties["createdate"]}"': '"createdate":"2099-01-01T00:00:00Z"'}
    faults(url, {"kind": "rewrite", "path": DEALS, "method": "GET", "times": None, "texts": texts})
    assert key in {row["id"] for row in fetch(url, tmp_path, ask("opportunities"))[0]}


def test_a_known_lead_whose_time_of_making_lies_ahead_is_left_to_the_next_run(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path, "leads")
    landed.fetch(WEDNESDAY)
    before, one = len(landed.all), landed.all[5]["id"]
    made, changed = (
        f"{WEDNESDAY + ahead:%Y-%m-%dT%H:%M:%SZ}" for ahead in (dt.timedelta(1), -dt.timedelta(seconds=20))
    )
    now = {"hs_lead_status": "New", "createdate": made, "lastmodifieddate": changed, "hs_object_id": one}
    record = {"id": one, "properties": now, "createdAt": made, "updatedAt": changed, "archived": False}
    body = {"total": 1, "results": [record]}
    faults(url, {"kind": "error_200", "path": "/crm/v3/objects/contacts/search", "times": None, "body": body})
    assert landed.fetch(WEDNESDAY + dt.timedelta(hours=1)) == []
    assert len(landed.all) == before, "it is not closed"


def test_the_searches_keep_their_distance(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hubspot, "SEARCH_EVERY_SECONDS", 0.05)
    landed = Landed(url, tmp_path, "accounts")
    landed.fetch(WEDNESDAY)
    post(url, "settings", page_size=5)
    forget(url)
    landed.before["cursor"] = 1
    landed.fetch(WEDNESDAY + dt.timedelta(hours=1))
    times = [r["at"] for r in journal(url) if r["path"].endswith("companies/search")]
    assert len(times) > 10 and all(b - a >= 0.03 for a, b in pairwise(times))


# --- what goes wrong ---------------------------------------------------------------------------------------------

# What another try mends, each at a page of its own.
MENDED: tuple[dict[str, Any], ...] = (
    {"kind": "too_many", "retry_after": 0},
    {"kind": "too_many"},
    {"kind": "status", "status": 503},
    {"kind": "truncated", "after_bytes": 200},
    {"kind": "reset", "after_bytes": 200},
    {"kind": "html"},
    {"kind": "empty"},
    {"kind": "error_200"},
    {"kind": "bad_gzip"},
    {"kind": "repeat"},
)


def spoil(url: str, path: str) -> None:
    faults(url, *({"path": path, "start": 3 + 2 * n, **fault} for n, fault in enumerate(MENDED)))


def spoiled(url: str) -> list[str]:
    return [r["fault"] for r in journal(url) if r["fault"]]


def test_a_search_is_whole_whatever_goes_wrong_once(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http, "FIRST_WAIT_SECONDS", 0.01)
    landed = Landed(url, tmp_path / "a", "accounts")
    landed.fetch(WEDNESDAY)
    whole = landed.all
    landed.hashes, landed.records, landed.before["cursor"] = {}, {}, 1
    post(url, "settings", page_size=6)
    spoil(url, "/crm/v3/objects/companies/search")
    landed.fetch(WEDNESDAY + dt.timedelta(hours=1))
    assert spoiled(url) == [fault["kind"] for fault in MENDED]
    assert landed.before["read"] == "what changed" and landed.all == whole


def test_a_batch_that_lacks_records_for_an_unknown_reason_is_asked_for_again(
    url: str, first_load: First, tmp_path: Path
):
    whole, _ = first_load("opportunity_contacts")
    lacking = {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [{"category": "INTERNAL_ERROR"}]}
    path = "/crm/v4/associations/deals/contacts/batch/read"
    faults(url, {"kind": "error_200", "path": path, "body": lacking})
    assert sorted(fetch(url, tmp_path, ask("opportunity_contacts"))[0], key=str) == sorted(whole, key=str)


def test_a_deal_that_was_merged_between_search_and_read_has_the_history_of_the_one_that_is_left(
    url: str, tmp_path: Path
):
    landed = Landed(url, tmp_path, "opportunity_changes")
    landed.fetch(WEDNESDAY)
    one, other = sorted(portal(1).objects["deals"])[:2]
    found = {"id": one, "createdAt": "2026-03-01T00:00:00Z", "updatedAt": "2026-03-31T23:00:00Z", "archived": False}
    versions = [
        {"value": "closedwon", "timestamp": "2026-03-31T23:00:00.250Z", "updatedByUserId": 1},
        {"value": "proposal", "timestamp": "2026-03-31T22:00:00Z"},
        {"value": "qualification", "timestamp": "2026-03-01T00:00:00Z"},
    ]
    left = {**found, "id": "99", "properties": {}, "propertiesWithHistory": {"dealstage": versions}}
    answer = {"total": 2, "results": [{**found, "properties": {}}, {**found, "id": other, "properties": {}}]}
    whole = {**found, "properties": {}, "propertiesWithHistory": {}}
    faults(
        url,
        {"kind": "error_200", "path": f"{DEALS}/search", "body": answer},
        {"kind": "error_200", "path": f"{DEALS}/batch/read", "body": {"results": [left, whole]}},
    )
    rows = landed.fetch(WEDNESDAY + dt.timedelta(hours=1))
    told = {(row["id"], row["old_value"], row["new_value"], row["changed_at"], row["changed_by"]) for row in rows}
    assert told == {
        ("99", "proposal", "closedwon", "2026-03-31T23:00:00.250Z", None),
        ("99", "qualification", "proposal", "2026-03-31T22:00:00Z", None),
    }


def test_a_lead_that_was_merged_between_search_and_read_may_be_alone_in_its_batch(url: str, tmp_path: Path):
    """Nothing else in the answer was asked for: the record that is left names the one that was."""
    landed = Landed(url, tmp_path, "lead_changes")
    landed.fetch(WEDNESDAY)
    before = dict(landed.records)
    one = next(row["id"] for row in landed.all if portal(1).objects["contacts"][row["id"]].archived is False)
    times = {"createdAt": "2026-03-01T00:00:00Z", "updatedAt": "2026-03-31T23:00:00Z"}
    found = {"total": 1, "results": [{"id": one, **times, "archived": False, "properties": {}}]}
    path = "/crm/v3/objects/contacts"
    faults(
        url,
        {"kind": "error_200", "path": f"{path}/search", "body": found},
        {"kind": "rewrite", "path": f"{path}/batch/read", "texts": merged_into("99", one)},
    )
    rows = landed.fetch(WEDNESDAY + dt.timedelta(hours=1))
    names = ("field", "old_value", "new_value", "changed_at", "changed_by")
    same = sorted((tuple(row[name] for name in names) for row in before.values() if row["id"] == one), key=str)
    assert sorted((tuple(row[name] for name in names) for row in rows), key=str) == same != []
    assert {row["id"] for row in rows} == {"99"} and before.items() <= landed.records.items()


def test_who_has_no_lead_status_any_more_is_no_lead(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path, "leads")
    landed.fetch(WEDNESDAY)
    row = next(row for row in landed.all if row["archived"] == "false")
    contact = {"id": row["id"], "createdAt": row["created_at"], "updatedAt": "2026-03-31T23:00:00Z", "archived": False}
    answer = {"total": 1, "results": [{**contact, "properties": {"hs_lead_status": "", "email": row["email"]}}]}
    faults(url, {"kind": "error_200", "path": "/crm/v3/objects/contacts/search", "body": answer})
    assert landed.fetch(WEDNESDAY + dt.timedelta(hours=1)) == []
    assert (row["id"],) not in landed.records


def test_a_limit_of_seconds_is_waited_for(url: str, tmp_path: Path):
    post(url, "settings", search_requests=1)
    _, beside = fetch(url, tmp_path, ask("accounts"))
    assert beside is not None and beside.about["limits"]["X-HubSpot-RateLimit-Daily"] == "250000"


def test_a_missing_scope_is_named(url: str, tmp_path: Path):
    post(url, "settings", forbidden=["deals"])
    for stream in ("opportunities", "opportunity_changes", "opportunity_contacts"):
        with pytest.raises(ConfigError, match=r"(?s)lacks a scope: crm\.objects\.deals\.read.*grant it"):
            fetch(url, tmp_path, ask(stream))
    post(url, "settings", forbidden=["owners"])
    with pytest.raises(ConfigError, match=r"crm\.objects\.owners\.read"):
        fetch(url, tmp_path, ask("users"))


def test_a_property_that_is_missing_or_of_another_type_stops_the_run(url: str, tmp_path: Path):
    faults(url, properties(url, "deals", {"dealstage": None, "amount": "string", "competitor": None}))
    with pytest.raises(StepFailed) as caught:
        fetch(url, tmp_path, ask("opportunities"))
    said = str(caught.value)
    assert "deals" in said and "dealstage is missing" in said and "amount is of type string" in said
    assert "stg_files__opportunities" in said and "competitor" not in said


def test_a_custom_property_that_a_portal_lacks_is_null(url: str, tmp_path: Path):
    faults(url, properties(url, "deals", {"competitor": None}))
    rows, _ = fetch(url, tmp_path, ask("opportunities"))
    assert {row["competitor"] for row in rows} == {None}


def test_another_property_may_stand_for_one(url: str, tmp_path: Path):
    extra = {"properties": "deals.competitor = dealname, contacts.hs_lead_status=lifecyclestage"}
    rows, _ = fetch(url, tmp_path, ask("opportunities"), extra)
    assert all(row["competitor"] == row["dealname"] for row in rows)
    leads, _ = fetch(url, tmp_path, ask("leads"), extra)
    assert "salesqualifiedlead" in {row["hs_lead_status"] for row in leads}
    changes, _ = fetch(url, tmp_path, ask("lead_changes"), extra)
    assert "marketingqualifiedlead" in {row["new_value"] for row in changes if row["field"] == "status"}
    with pytest.raises(ConfigError, match=r"nothing is read as 'deals\.rival'"):
        fetch(url, tmp_path, ask("opportunities"), {"properties": "deals.rival=competitor"})


def test_a_deal_without_a_currency_has_the_portal_s_and_its_day_the_portal_s_zone(url: str, tmp_path: Path):
    details = {"companyCurrency": "CHF", "timeZone": "America/New_York"}
    deal = {
        "id": "1",
        "createdAt": "2026-03-01T00:00:00.5Z",
        "updatedAt": "2026-03-02T00:00:00.25Z",
        "archived": False,
        "properties": {
            "amount": "0.1",
            "closedate": "2026-04-01T03:59:59Z",
            "dealstage": "x",
            "deal_currency_code": "",
        },
    }
    twin = {**deal, "updatedAt": "2026-03-02T00:00:00Z"}
    faults(
        url,
        {"kind": "error_200", "path": "/account-info/v3/details", "body": details},
        {"kind": "error_200", "path": DEALS, "method": "GET", "body": {"results": [deal, twin]}},
    )
    rows, _ = fetch(url, tmp_path, ask("opportunities"))
    (row,) = [row for row in rows if row["id"] == "1"]
    assert (row["deal_currency_code"], row["amount"], row["closing_day"]) == ("CHF", "0.1", "2026-03-31")
    assert row["modified_at"] == "2026-03-02T00:00:00.25Z", "of two copies the later one"


def test_a_conversion_of_which_only_the_day_is_known_began_with_it_in_the_portal_s_zone(url: str, tmp_path: Path):
    times = {"createdAt": "2026-02-01T00:00:00Z", "updatedAt": "2026-03-02T00:00:00Z", "archived": False}
    leads = [
        {"id": n, **times, "properties": {"hs_lead_status": "NEW", "converted_at": at}}
        for n, at in (("1", "2026-02-28"), ("2", "2026-02-28T12:00:00.5Z"), ("3", "not a day!"), ("4", None))
    ]
    faults(
        url,
        properties(url, "contacts", {"converted_at": "date"}),
        {"kind": "rewrite", "path": "/account-info", "texts": {'"timeZone":"UTC"': '"timeZone":"America/New_York"'}},
        {"kind": "error_200", "path": "/crm/v3/objects/contacts", "method": "GET", "body": {"results": leads}},
    )
    rows = by_id(fetch(url, tmp_path, ask("leads"))[0])
    told = ["2026-02-28T05:00:00Z", "2026-02-28T12:00:00.5Z", "not a day!", None]
    assert [rows[n]["converted_at"] for n in "1234"] == told, "what is neither is for staging to refuse"


def test_an_association_list_of_several_pages_is_read_to_its_end(url: str, tmp_path: Path):
    kinds = [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": None}]
    deal = {"from": {"id": min(portal(1).objects["deals"])}}
    first = {**deal, "to": [{"toObjectId": 1, "associationTypes": kinds}], "paging": {"next": {"after": "x"}}}
    second = {**deal, "to": [{"toObjectId": 2, "associationTypes": kinds}]}
    path = "/crm/v4/associations/deals/contacts/batch/read"
    faults(
        url,
        {"kind": "error_200", "path": path, "body": {"results": [first]}},
        {"kind": "error_200", "path": path, "start": 2, "body": {"results": [second]}},
    )
    rows, _ = fetch(url, tmp_path, ask("opportunity_contacts"))
    assert {(row["contact_id"], row["role"], row["is_primary"]) for row in rows} == {
        ("1", None, "false"),
        ("2", None, "false"),
    }


# --- credentials -------------------------------------------------------------------------------------------------


def signed_in(url: str, **extra: str) -> Connection:
    extra = {"refresh_token": REFRESH_TOKEN, "token_url": f"{url}/oauth/v1/token", **extra}
    return given(url, extra, login=CLIENT_ID, password=CLIENT_SECRET)


def test_a_wrong_secret_is_named_and_not_shown(url: str, tmp_path: Path):
    asked = ask("users")
    connector = hubspot.connect("source crm", given(url, password="wrong-secret-0815"), ())
    with pytest.raises(ConfigError) as caught:
        connector.fetch(asked, Inbox(tmp_path, asked, CELLS["users"]))
    assert "token" in str(caught.value) and "wrong-secret" not in str(caught.value)
    faults(url, {"kind": "status", "status": 400, "path": "/oauth/v1/token", "body": {"status": "BAD_REFRESH_TOKEN"}})
    with pytest.raises(ConfigError, match="no access token is given: BAD_REFRESH_TOKEN"):
        hubspot.connect("source crm", signed_in(url), ()).fetch(asked, Inbox(tmp_path, asked, CELLS["users"]))
    with pytest.raises(ConfigError, match="no accounts to choose"):
        hubspot.connect("source crm", given(url), ("1",))
