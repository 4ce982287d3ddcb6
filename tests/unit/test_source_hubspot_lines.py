"""HubSpot's line items, products and activities against the sandbox's portal: every one that the company knows arrives."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hubspot_portal import (
    COMPANY,
    WEDNESDAY,
    First,
    Landed,
    ask,
    by_id,
    faults,
    fetch,
    first_load,
    forget,
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
from onefunnel.sandbox.business.log import Fields
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.hubspot import make_app
from onefunnel.sandbox.servers.hubspot_objects import (
    ACTIVITIES,
    activity_id,
    company_id,
    deal_id,
    line_id,
    owner_id,
    product_id,
)
from onefunnel.sources import hubspot

__all__ = ["first_load", "server", "url"]  # the fixtures
NAMES = {word: name for name, word in ACTIVITIES.items()}
TOLD = {
    ("call", "reached"): "connected",
    ("call", "no answer, try again"): "no_answer",
    ("meeting", "reached"): "completed",
    ("meeting", "no answer, try again"): "no_show",
}
PEOPLE = "/crm/v3/objects/contacts/batch/read"


def known(table: str, day: int = 1) -> dict[str, Fields]:
    return {key: r.fields for key, r in portal(day).state.tables[table].items()}


def activity(key: str, fields: Fields) -> str:
    return f"{NAMES[str(fields['activity_type'])]}-{activity_id(key)}"


def is_there(object_type: str, record_id: str, day: int = 1) -> bool:
    record = portal(day).objects[object_type].get(record_id)
    return record is not None and not record.archived


def lines_of_deals(day: int) -> dict[str, tuple[str, str, int, int, int, int, Any]]:
    """The lines of the deals that are there; amounts and quantities in micros."""
    return {
        line_id(key): (
            deal_id(str(f["opportunity_id"])),
            product_id(str(f["product_id"])),
            *(int(str(f[name])) for name in ("quantity", "list_amount", "net_amount", "cost_amount")),
            f["currency"],
        )
        for key, f in known("opportunity_lines", day).items()
        if is_there("deals", deal_id(str(f["opportunity_id"])), day)
    }  # type: ignore[return-value]


def micros(text: str) -> int:
    value = Decimal(text) * 1_000_000
    assert value == int(value)
    return int(value)


def as_line(row: dict[str, Any]) -> tuple[str, str, int, int, int, int, Any]:
    amounts = [micros(row[name]) for name in ("quantity", "list_amount", "amount", "cost_amount")]
    return (row["deal_id"], row["hs_product_id"], *amounts, row["currency"])  # type: ignore[return-value]


# --- lines and products ------------------------------------------------------------------------------------------


def test_every_line_of_every_deal_arrives_with_its_amounts_to_the_micro(first_load: First):
    rows, beside = first_load("opportunity_lines")
    expected = lines_of_deals(1)
    assert {i: as_line(row) for i, row in by_id(rows).items()} == expected and len(expected) > 100
    products = by_id(first_load("products")[0])
    assert {row["hs_product_id"] for row in rows} <= products.keys()
    assert beside is not None and beside.totals.num_rows == 0, "the search counts the lines of quotes as well"


def test_the_products_are_the_company_s(first_load: First):
    rows, _ = first_load("products")
    found = by_id(rows)
    expected = known("products")
    assert set(found) == {product_id(key) for key in expected} and len(found) > 5
    for key, fields in expected.items():
        row = found[product_id(key)]
        assert (row["name"], row["family"]) == (fields["product_name"], fields["family"])
        assert row["is_service"] == str(fields["is_service"]).lower()
        assert row["is_recurring"] == str(fields["is_recurring"]).lower()
        days = (None if fields[name] is None else str(fields[name]) for name in ("launched_on", "retired_on"))
        assert (row["launched_on"], row["retired_on"]) == tuple(days)


def test_a_line_without_totals_of_its_own_is_its_price_times_its_quantity(url: str, tmp_path: Path):
    deal = min(i for i in portal(1).objects["deals"] if is_there("deals", i))
    line = {
        "id": "1",
        "createdAt": "2026-03-01T00:00:00.5Z",
        "updatedAt": "2026-03-02T00:00:00.25Z",
        "archived": False,
        "properties": {
            "hs_product_id": "",
            "quantity": "3",
            "price": "19.99",
            "amount": "53.973",
            "hs_cost_of_goods_sold": "0.33333333",
        },
    }
    lone = {**line, "id": "2"}
    link = {"toObjectId": int(deal), "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 20, "label": None}]}
    lines, links = "/crm/v3/objects/line_items", "/crm/v4/associations/line_items/deals/batch/read"
    faults(
        url,
        {"kind": "error_200", "path": lines, "method": "GET", "body": {"results": [line, lone]}},
        {"kind": "error_200", "path": links, "body": {"results": [{"from": {"id": "1"}, "to": [link]}]}},
    )
    (row,) = fetch(url, tmp_path, ask("opportunity_lines"))[0]
    assert row == {
        "id": "1",
        "deal_id": deal,
        "hs_product_id": None,
        "quantity": "3",
        "list_amount": "59.970000",
        "amount": "53.973",
        "cost_amount": "1.000000",
        "currency": "EUR",
    }, "that of a quote is left out"


# --- activities --------------------------------------------------------------------------------------------------


def test_every_call_meeting_and_mail_arrives_with_those_whom_it_is_about(first_load: First):
    rows, beside = first_load("activities")
    found = by_id(rows)
    first = portal(1)
    expected = {activity(key, f): f for key, f in known("activities").items() if f["activity_type"] in NAMES}
    assert set(found) == set(expected) and len(found) > 900
    seen = Counter[tuple[str, str]]()
    for number, fields in expected.items():
        row = found[number]
        kind = str(fields["activity_type"])
        assert (row["activity_type"], row["direction"]) == (kind, fields["direction"])
        assert row["occurred_at"] == moment(fields["occurred_at"])
        assert row["hubspot_owner_id"] == owner_id(fields["owner_id"])
        assert row["is_automated"] == str(fields["is_automated"]).lower() and row["archived"] == "false"
        if kind == "email":  # HubSpot does not say how long it took, nor what it was for
            assert (row["outcome"], row["duration_minutes"], row["purpose"]) == ("sent", None, None)
        else:
            minutes = fields["duration_minutes"]
            assert row["duration_minutes"] == (None if minutes is None else str(minutes))
            assert row["purpose"] == fields["purpose"]
            assert row["outcome"] == TOLD[kind, str(fields["outcome"])]
        if fields["lead_id"] is not None:
            person = first.standing("contacts", first._person("lead", str(fields["lead_id"])))
            if is_there("contacts", person):
                said = first.objects["contacts"][person].properties  # merged into somebody who is no lead it is none
                is_late = said["converted_at"] is not None and str(row["occurred_at"]) > said["converted_at"]
                expected_lead = person if said["hs_lead_status"] and not is_late else None
                assert (row["contact_id"], row["lead_id"]) == (person, expected_lead)
                seen["of a lead", "yes" if row["lead_id"] else "no"] += 1
        else:
            person = first.standing("contacts", first._person("contact", str(fields["contact_id"])))
            deal, company = deal_id(str(fields["opportunity_id"])), company_id(str(fields["account_id"]))
            if is_there("contacts", person):
                assert row["contact_id"] == person and row["lead_id"] is None
                seen["of a contact", kind] += 1
            if is_there("deals", deal):
                assert row["deal_id"] == deal
            assert row["company_id"] == first.standing("companies", company)
    assert seen["of a lead", "yes"] > 500 and len([kind for _, kind in seen if kind in NAMES]) == 3
    assert {row["is_automated"] for row in rows} == {"true", "false"}
    assert beside is not None and [t["value"] for t in beside.totals.to_pylist()] == [str(len(rows))]
    assert {"calls-cursor", "meetings-cursor", "emails-cursor"} <= beside.about.keys()


def test_personal_text_is_not_asked_for(url: str, tmp_path: Path):
    for stream in ("activities", "opportunity_lines"):
        fetch(url, tmp_path, ask(stream))
    asked = " ".join(f"{r['query']}" for r in journal(url))
    assert "hs_timestamp" in asked
    for word in ("subject", "body", "text", "html", "title", "notes", "from_email", "to_email"):
        assert word not in asked


def call(number: str, **said: str) -> dict[str, Any]:
    told = {"hs_timestamp": "2026-03-01T08:00:00.250Z", "hubspot_owner_id": "7", **said}
    times = {"createdAt": "2026-03-01T08:00:00Z", "updatedAt": "2026-03-01T08:00:00Z"}
    return {"id": number, **times, "archived": False, "properties": told}


def test_what_did_not_take_place_reached_out_to_nobody(url: str, tmp_path: Path):
    calls = [
        call("1", hs_call_direction="OUTBOUND", hs_call_status="NO_ANSWER", hs_call_duration="89999"),
        call("2", hs_call_direction="OUTBOUND", hs_call_status="CANCELED"),
        call("3", hs_call_direction="INBOUND", hs_call_disposition="a-portal-s-own"),
    ]
    meetings = [
        call("1", hs_meeting_outcome="CANCELED"),
        call("2", hs_meeting_source="MEETINGS_PUBLIC"),
        call("3", hs_meeting_start_time="2026-03-01T08:00:00.250Z", hs_meeting_end_time="2026-03-01T08:30:00.250Z"),
    ]
    emails = [
        call("1", hs_email_direction="EMAIL", hs_email_status="FAILED"),
        call("2", hs_email_direction="EMAIL", hs_sequence_id="5"),
        call("3", hs_email_direction="INCOMING_EMAIL"),
        call("4", hs_email_direction="FORWARDED_EMAIL"),
    ]
    faults(
        url,
        *(
            {"kind": "error_200", "path": f"/crm/v3/objects/{name}", "method": "GET", "body": {"results": found}}
            for name, found in (("calls", calls), ("meetings", meetings), ("emails", emails))
        ),
    )
    rows = by_id(fetch(url, tmp_path, ask("activities"))[0])
    assert {i: row["direction"] for i, row in rows.items()} == {
        "calls-1": "outbound",
        "calls-2": None,
        "calls-3": "inbound",
        "meetings-1": None,
        "meetings-2": "inbound",
        "meetings-3": "outbound",
        "emails-1": None,
        "emails-2": "outbound",
        "emails-3": "inbound",
        "emails-4": None,
    }
    assert [rows[f"calls-{n}"]["outcome"] for n in "123"] == ["no_answer", "canceled", "a-portal-s-own"]
    assert rows["calls-1"]["duration_minutes"] == "1" and rows["meetings-3"]["duration_minutes"] == "30"
    assert [rows[f"emails-{n}"]["is_automated"] for n in "123"] == ["false", "true", "false"]
    assert {row["occurred_at"] for row in rows.values()} == {"2026-03-01T08:00:00.250Z"}


def contact(number: str, status: str | None, updated: str = "2026-01-01T00:00:00Z", **said: str) -> dict[str, Any]:
    times = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": updated, "archived": False}
    return {"id": number, **times, "properties": {"hs_lead_status": status, **said}}


def calls_with(people: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    """Faults: the portal's activities are these calls, with these contacts."""
    kinds = [{"category": "HUBSPOT_DEFINED", "typeId": 194, "label": None}]
    links = [
        {"from": {"id": n}, "to": [{"toObjectId": to, "associationTypes": kinds} for to in found]}
        for n, found in people.items()
    ]
    bodies = {
        "/crm/v3/objects/meetings": [],
        "/crm/v3/objects/emails": [],
        "/crm/v3/objects/calls": [call(n) for n in people],
        "/crm/v4/associations/calls/contacts/batch/read": links,
    }
    return [{"kind": "error_200", "path": path, "body": {"results": body}} for path, body in bodies.items()]


def with_whom(url: str, folder: Path) -> dict[str, tuple[str | None, str | None]]:
    """Contact and lead of each call."""
    rows = by_id(fetch(url, folder, ask("activities"))[0])
    return {i.removeprefix("calls-"): (row["contact_id"], row["lead_id"]) for i, row in rows.items()}


def test_of_several_people_an_activity_is_the_lead_s_until_the_conversion(url: str, tmp_path: Path):
    contacts = [contact("11", None), contact("12", "NEW"), contact("13", "NEW", converted_at="2026-02-28T00:00:00Z")]
    people = {"kind": "error_200", "path": PEOPLE, "body": {"results": contacts}}
    faults(url, *calls_with({"1": (11, 12), "2": (13, 11), "3": (11,)}), people)
    assert with_whom(url, tmp_path) == {"1": ("12", "12"), "2": ("13", None), "3": ("11", None)}


@pytest.mark.parametrize(("zone", "told"), [("UTC", "110"), ("America/New_York", "111")])
def test_a_conversion_of_which_only_the_day_is_known_ends_with_that_day(url: str, tmp_path: Path, zone: str, told: str):
    """Of several calls of one lead; the last one is on that day in New York."""
    people = [contact("11", "NEW", converted_at="2026-02-28")]
    calls = [
        call(str(n), hs_timestamp=at)
        for n, at in enumerate(("2026-02-27T12:00:00Z", "2026-02-28T23:59:59.999Z", "2026-03-01T04:59:59.999Z"))
    ]
    links = calls_with(dict.fromkeys("012", (11,)))
    faults(
        url,
        {"kind": "error_200", "path": "/crm/v3/objects/calls", "body": {"results": calls}},
        *links,
        {"kind": "error_200", "path": PEOPLE, "body": {"results": people}},
        properties(url, "contacts", {"converted_at": "date"}),
        {"kind": "rewrite", "path": "/account-info", "texts": {'"timeZone":"UTC"': f'"timeZone":"{zone}"'}},
    )
    leads = {number: lead for number, (_, lead) in with_whom(url, tmp_path).items()}
    assert leads == {n: "11" if said == "1" else None for n, said in zip("012", told, strict=True)}


def test_who_was_merged_since_the_association_was_read_is_the_one_that_is_left(url: str, tmp_path: Path):
    """That one may be the only answer of a batch."""
    contacts = {i: r.properties for i, r in portal(1).objects["contacts"].items() if is_there("contacts", i)}
    lead = next(i for i, said in contacts.items() if said["hs_lead_status"] and not said["converted_at"])
    merged = {"kind": "rewrite", "path": PEOPLE, "texts": merged_into("99", lead)}
    faults(url, *calls_with({"1": (int(lead),)}), merged)
    assert with_whom(url, tmp_path) == {"1": ("99", "99")}


def test_who_was_merged_between_two_batches_is_nobody_beside_the_one_that_is_left(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hubspot, "LIST_PAGE", 1)
    gone = contact("11", "OPEN", updated="2026-01-01T00:00:00Z")
    left = contact("12", "NEW", updated="2026-02-01T00:00:00Z", hs_merged_object_ids="10;11")
    faults(
        url,
        *calls_with({"1": (11,), "2": (12,), "3": (11, 12)}),
        {"kind": "error_200", "path": PEOPLE, "body": {"results": [gone]}},
        {"kind": "error_200", "path": PEOPLE, "start": 2, "body": {"results": [left]}},
    )
    assert with_whom(url, tmp_path) == dict.fromkeys("123", ("12", "12"))


# --- later loads -------------------------------------------------------------------------------------------------


def test_a_day_later_only_what_changed_is_read_and_all_of_it_is_there(url: str, tmp_path: Path):
    landed = Landed(url, tmp_path / "daily", "activities")
    landed.fetch(WEDNESDAY)
    post(url, "day", day=4)
    forget(url)
    brought = landed.fetch(WEDNESDAY + dt.timedelta(days=1))
    assert 0 < len(brought) < 0.1 * len(landed.records)
    assert not [r for r in journal(url) if "archived=false" in r["query"] and "/objects/" in r["path"]]
    expected = {activity(key, f) for key, f in known("activities", 4).items() if f["activity_type"] in NAMES}
    assert {key for (key,) in landed.records} == expected


def test_what_is_archived_is_deleted_closed_or_retired(tmp_path: Path):
    with serve(make_app(COMPANY, day=1)) as url:
        streams = ("activities", "opportunity_lines", "products")
        landed = {stream: Landed(url, tmp_path / stream, stream) for stream in streams}
        for one in landed.values():
            one.fetch(WEDNESDAY)
        called = next(i for (i,) in landed["activities"].records if i.startswith("calls-"))
        (line,), (product,) = (min(landed[stream].records) for stream in ("opportunity_lines", "products"))
        for record in (called.removeprefix("calls-"), line, product):
            post(url, "archive", id=record)
        later = WEDNESDAY + dt.timedelta(days=1)
        for one in landed.values():
            one.fetch(later)
        row = landed["activities"].records[called,]
        assert row["archived"] == "true" and landed["activities"].before["calls-read"] == "what changed"
        assert (line,) not in landed["opportunity_lines"].records and landed["opportunity_lines"].hashes[line,] == ""
        assert landed["products"].records[product,]["retired_on"] == str(COMPANY.as_of(1).date())
        assert len(landed["activities"].records) > 900 and len(landed["opportunity_lines"].records) > 100


def test_a_hard_deleted_activity_is_closed_by_the_next_week_s_lists(tmp_path: Path):
    with serve(make_app(COMPANY, day=1)) as url:
        landed = Landed(url, tmp_path, "activities")
        landed.fetch(WEDNESDAY)
        mail = next(i for (i,) in landed.records if i.startswith("emails-"))
        count = len(landed.records)
        post(url, "hard_delete", id=mail.removeprefix("emails-"))
        landed.fetch(WEDNESDAY + dt.timedelta(days=7))
        assert landed.hashes[mail,] == "" and len(landed.records) == count - 1
        for i in [i for (i,) in landed.records if i.startswith("meetings-")]:
            post(url, "hard_delete", id=i.removeprefix("meetings-"))
        with pytest.raises(StepFailed, match=r"(?s)lists 0 records; \d+ are known.*object meetings"):
            landed.fetch(WEDNESDAY + dt.timedelta(days=14))


# --- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "forbidden", "scope"),
    [
        ("opportunity_lines", "line_items", r"crm\.objects\.line_items\.read"),
        ("products", "products", r"crm\.objects\.products\.read"),
        ("activities", "calls", r"crm\.objects\.contacts\.read"),
        ("activities", "emails", "sales-email-read"),
    ],
)
def test_a_missing_scope_is_red_and_named(url: str, tmp_path: Path, stream: str, forbidden: str, scope: str):
    post(url, "settings", forbidden=[forbidden])
    with pytest.raises(ConfigError, match=rf"(?s)lacks a scope: {scope}.*grant it"):
        fetch(url, tmp_path, ask(stream))


def test_a_property_that_is_needed_stops_the_run_and_one_that_is_not_is_null(url: str, tmp_path: Path):
    faults(url, properties(url, "calls", {"hs_call_direction": None, "hs_activity_type": None}))
    with pytest.raises(StepFailed, match="hs_call_direction is missing") as caught:
        fetch(url, tmp_path, ask("activities"))
    assert "hs_activity_type" not in str(caught.value) and "stg_files__activities" in str(caught.value)
    faults(url, properties(url, "emails", {"hs_sequence_id": None}))
    rows, _ = fetch(url, tmp_path, ask("activities"), {"properties": "emails.hs_sequence_id=hs_email_subject"})
    mails = [row for row in rows if row["activity_type"] == "email"]
    assert {row["is_automated"] for row in mails} == {"true"}, "another property may say what a machine sent"
