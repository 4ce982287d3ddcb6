"""The company's CRM behind its vendors' interfaces: over real HTTP, against the log's truth and documented shapes."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import io
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onefunnel.sandbox.business.identity import survivor
from onefunnel.sandbox.business.log import Fields, Log
from onefunnel.sandbox.business.records import Records
from onefunnel.sandbox.business.streams import STREAMS
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.salesforce_ids import SHAPES, company_key, is_id, salesforce_id, with_suffix
from onefunnel.sandbox.servers import hubspot, salesforce, serve
from onefunnel.sandbox.servers.crm_records import CrmState
from onefunnel.sandbox.servers.faults import KINDS, _Answer, _rewritten
from onefunnel.sandbox.servers.hubspot_objects import (
    STAGES,
    account_key,
    company_id,
    contact_id,
    contact_key,
    deal_id,
    opportunity_key,
    owner_id,
)
from onefunnel.sandbox.servers.salesforce_objects import OBJECTS

V = "/services/data/v60.0"
CREDENTIALS = {
    "grant_type": "client_credentials",
    "client_id": salesforce.CLIENT_ID,
    "client_secret": salesforce.CLIENT_SECRET,
}
DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000")
DATE = re.compile(r"\d{4}-\d\d-\d\d")


@lru_cache(maxsize=1)
def company() -> Company:
    """One company with two years of business for all tests; nothing in it changes."""
    return Company(business=True, scale=0.4)


def log_at(day: int) -> tuple[Log, int]:
    """The log, and the first second after a day."""
    business = company().business_files.business
    return business.log(day), business.until(day)


class Client:
    """A bare client: no retries, nothing but what the documentation says."""

    def __init__(self, base: str) -> None:
        self.http = httpx.Client(base_url=base, timeout=20)
        self.log_in()

    def log_in(self) -> dict[str, Any]:
        answer = self.http.post("/services/oauth2/token", data=CREDENTIALS)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        self.http.headers["Authorization"] = f"Bearer {found['access_token']}"
        return found

    def ask(self, soql: str, resource: str = "query", **headers: str) -> httpx.Response:
        return self.http.get(f"{V}/{resource}", params={"q": soql}, headers=headers)

    def pages(self, soql: str, resource: str = "query") -> Iterator[dict[str, Any]]:
        answer = self.ask(soql, resource)
        while True:
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield page
            if page["done"]:
                assert "nextRecordsUrl" not in page
                return
            answer = self.http.get(page["nextRecordsUrl"])

    def rows(self, soql: str, resource: str = "query") -> list[dict[str, Any]]:
        return [row for page in self.pages(soql, resource) for row in page["records"]]

    def set(self, **settings: Any) -> None:
        answer = self.http.post("/_sandbox/settings", json=settings)
        assert answer.status_code == 200, answer.text

    def script(self, *faults: dict[str, Any]) -> None:
        assert self.http.post("/_sandbox/faults", json={"faults": faults}).status_code == 200

    def journal(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/_sandbox/faults").json()["requests"]
        return found

    def bulk(self, soql: str, operation: str = "query", most: int = 0) -> list[httpx.Response]:
        made = self.http.post(f"{V}/jobs/query", json={"operation": operation, "query": soql})
        assert made.status_code == 200, made.text
        job = f"{V}/jobs/query/{made.json()['id']}"
        for _ in range(10):
            if self.http.get(job).json()["state"] == "JobComplete":
                break
        found, locator = [], ""
        while locator != "null":
            asked = ({"locator": locator} if locator else {}) | ({"maxRecords": str(most)} if most else {})
            found.append(self.http.get(f"{job}/results", params=asked))
            assert found[-1].status_code == 200
            locator = found[-1].headers["Sforce-Locator"]
        return found


@pytest.fixture
def crm() -> Iterator[Client]:
    with serve(salesforce.make_app(company(), 1)) as base:
        client = Client(base)
        yield client
        client.http.close()


@pytest.fixture(scope="module")
def reading() -> Iterator[Callable[[int], Client]]:
    """Servers of a day for tests that only read; one for all of them."""
    with ExitStack() as stack:
        servers = {day: Client(stack.enter_context(serve(salesforce.make_app(company(), day)))) for day in (1, 2)}
        yield servers.__getitem__
        for client in servers.values():
            client.http.close()


def all_of(name: str) -> str:
    """A query for every field of an object."""
    return f"SELECT {', '.join(OBJECTS[name].all_fields)} FROM {name}"


# --- ids ---------------------------------------------------------------------------------------------------------


def test_the_suffix_tells_the_case_as_the_documentation_works_it_out() -> None:
    # "a0D30000001n7Pi -> a0D30000001n7PiEAI", the worked example of several pages on "CASESAFEID";
    # "001D000000IRFmaIAH" and "001D000000IomazIAB" stand in "Execute a SOQL Query".
    assert with_suffix("a0D30000001n7Pi") == "a0D30000001n7PiEAI"
    for example in ("001D000000IRFmaIAH", "001D000000IomazIAB", "0055g0000000007AAA"[:15] + "AAA"):
        assert with_suffix(example[:15]) == example and is_id(example)
    assert not is_id("001D000000IRFmaIAB")


def test_two_ids_differ_by_case_only() -> None:
    ids = [row["Id"][:15] for row in OBJECTS["Contact"].rows(CrmState(company(), 1))]
    assert len(set(ids)) == len(ids) > len({i.lower() for i in ids})


@given(number=st.integers(0, 9_999_999), other=st.integers(0, 999_999_999), name=st.sampled_from(sorted(SHAPES)))
def test_every_id_can_be_turned_back(number: int, other: int, name: str) -> None:
    keys = {
        "Account": f"aC{number:07d}",
        "OpportunityContactRole": f"Op{number:07d}/{other:09d}",
        "OpportunityHistory": f"oP{number:07d}-{other % 1000:03d}",
        "Lead": f"300000000{other % 10**8:08d}",
        "CampaignMember": f"CM{number:07d}",
        "Task": f"AC-{other % 10**8:08d}",
        "Contact": f"{other:09d}",
    }
    key = keys.get(name, keys["Account"])
    name = name if name in keys else "Account"
    found = salesforce_id(name, key)
    assert is_id(found) and company_key(name, found) == key == company_key(name, found[:15])


def test_a_foreign_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no key of Account"):
        salesforce_id("Account", "Op0000001")
    with pytest.raises(ValueError, match="no id of Account"):
        company_key("Account", salesforce_id("Contact", "000000001"))


# --- paging and state --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [7, 200, 2_000])
def test_paging_returns_every_record_once(crm: Client, batch: int) -> None:
    crm.set(batch_size=batch)
    pages = [*crm.pages("SELECT Id FROM Opportunity", "queryAll")]
    ids = [row["Id"] for page in pages for row in page["records"]]
    log, until = log_at(1)
    assert {company_key("Opportunity", i) for i in ids} == set(log.states("opportunities", until))
    assert len(ids) == len(set(ids)) == pages[0]["totalSize"]
    assert all(len(page["records"]) == batch for page in pages[:-1])
    assert len(pages) == -(-len(ids) // batch)


def test_the_batch_size_is_asked_for_in_a_header(reading: Callable[[int], Client]) -> None:
    """As in "Query Options Header": default 2,000, minimum 200, maximum 2,000."""
    crm = reading(1)
    sizes = {
        asked: len(crm.ask("SELECT Id FROM Task", **{"Sforce-Query-Options": f"batchSize={asked}"}).json()["records"])
        for asked in (10, 200, 1_000, 5_000)
    }
    assert sizes == {10: 200, 200: 200, 1_000: 1_000, 5_000: 2_000}


def test_a_page_has_the_documented_shape(crm: Client) -> None:
    """As in "Query", "Execute a SOQL Query": totalSize, done, nextRecordsUrl, records with attributes."""
    crm.set(batch_size=5)
    page = crm.ask("SELECT name, ID FROM account").json()
    assert set(page) == {"totalSize", "done", "nextRecordsUrl", "records"} and page["done"] is False
    assert re.fullmatch(r"/services/data/v60\.0/query/01g\w{15}-5", page["nextRecordsUrl"])
    first = page["records"][0]
    assert [*first] == ["attributes", "Name", "Id"]
    assert first["attributes"] == {"type": "Account", "url": f"{V}/sobjects/Account/{first['Id']}"}


def test_a_cursor_keeps_the_rows_that_it_began_with(crm: Client) -> None:
    crm.set(batch_size=500)
    page = crm.ask("SELECT Id FROM Lead", "queryAll").json()
    crm.http.post("/_sandbox/day", json={"day": 30})
    total = len(page["records"])
    while not page["done"]:
        page = crm.http.get(page["nextRecordsUrl"]).json()
        total += len(page["records"])
    log, until = log_at(1)
    assert (
        total == len(log.states("leads", until)) < crm.ask("SELECT COUNT() FROM Lead", "queryAll").json()["totalSize"]
    )


def _seconds(text: str | None) -> int | None:
    return None if text is None else round(dt.datetime.fromisoformat(text).timestamp())


def _micros(value: float | None) -> int | None:
    return None if value is None else round(value * 1_000_000)


# What REST says -> what the log says, by object: (field, the log's field, how to read it).
COMPARED: dict[str, tuple[str, tuple[tuple[str, str, str], ...]]] = {
    "Account": (
        "accounts",
        (
            ("Name", "account_name", "same"),
            ("Website", "domain", "same"),
            ("OwnerId", "owner_id", "User"),
            ("ParentId", "parent_account_id", "Account"),
            ("MasterRecordId", "merged_into_id", "Account"),
            ("Territory__c", "territory_id", "Territory2"),
            ("Is_Target__c", "is_target", "same"),
            ("CreatedDate", "created_at", "time"),
        ),
    ),
    "Contact": (
        "contacts",
        (
            ("Name", "full_name", "same"),
            ("Email", "email", "same"),
            ("AccountId", "account_id", "Account"),
            ("MasterRecordId", "merged_into_id", "Contact"),
            ("CreatedDate", "created_at", "time"),
        ),
    ),
    "Lead": (
        "leads",
        (
            ("Name", "full_name", "same"),
            ("Email", "email", "same"),
            ("Status", "status", "same"),
            ("Converted_At__c", "converted_at", "time"),
            ("ConvertedContactId", "converted_contact_id", "Contact"),
            ("ConvertedAccountId", "converted_account_id", "Account"),
            ("ConvertedOpportunityId", "converted_opportunity_id", "Opportunity"),
            ("MasterRecordId", "merged_into_id", "Lead"),
            ("Is_Test__c", "is_test", "same"),
            ("CreatedDate", "created_at", "time"),
        ),
    ),
    "Opportunity": (
        "opportunities",
        (
            ("Name", "opportunity_name", "same"),
            ("AccountId", "account_id", "Account"),
            ("OwnerId", "owner_id", "User"),
            ("StageName", "stage", "same"),
            ("Amount", "amount", "micros"),
            ("CurrencyIsoCode", "currency", "same"),
            ("Probability", "probability", "micros"),
            ("CloseDate", "close_date", "day"),
            ("Loss_Reason__c", "loss_reason", "same"),
            ("CreatedDate", "created_at", "time"),
        ),
    ),
    "OpportunityContactRole": (
        "opportunity_contacts",
        (("ContactId", "contact_id", "Contact"), ("Role", "role", "same"), ("IsPrimary", "is_primary", "same")),
    ),
    "OpportunitySplit": (
        "opportunity_splits",
        (("SplitOwnerId", "user_id", "User"), ("SplitPercentage", "split_percent", "micros")),
    ),
    "OpportunityLineItem": (
        "opportunity_lines",
        (
            ("Product2Id", "product_id", "Product2"),
            ("Quantity", "quantity", "micros"),
            ("TotalPrice", "net_amount", "micros"),
            ("List_Amount__c", "list_amount", "micros"),
            ("Cost_Amount__c", "cost_amount", "micros"),
        ),
    ),
    "CampaignMember": (
        "campaign_members",
        (
            ("CampaignId", "crm_campaign_id", "Campaign"),
            ("LeadId", "lead_id", "Lead"),
            ("Responded_At__c", "responded_at", "time"),
        ),
    ),
}


def _read(value: Any, how: str) -> Any:
    if how == "time":
        return _seconds(value)
    if how == "micros":
        return _micros(value)
    if how == "day":
        return None if value is None else dt.date.fromisoformat(value)
    return value if how == "same" or value is None else company_key(how, value)


@pytest.mark.parametrize("day", [1, 2])
@pytest.mark.parametrize("name", sorted(COMPARED))
def test_the_state_of_a_day_is_what_the_log_says(reading: Callable[[int], Client], name: str, day: int) -> None:
    crm = reading(day)
    table, fields = COMPARED[name]
    log, until = log_at(day)
    expected = {
        key: {field: state[source] for field, source, _ in fields} for key, state in log.states(table, until).items()
    }
    stamps = {key: entries[-1].at for key, entries in log.records(table, until)}
    rows = crm.rows(all_of(name), "queryAll")
    found = {company_key(name, r["Id"]): {field: _read(r[field], how) for field, _, how in fields} for r in rows}
    assert found == expected
    assert {company_key(name, r["Id"]): _seconds(r["SystemModstamp"]) for r in rows} == stamps


def test_a_day_later_something_is_new_and_something_changed(crm: Client) -> None:
    before = {r["Id"]: r["SystemModstamp"] for r in crm.rows("SELECT Id, SystemModstamp FROM Lead", "queryAll")}
    assert crm.http.post("/_sandbox/day", json={"day": 2}).json() == {"day": 2, "as_of": "2026-04-02T06:00:00Z"}
    since = max(before.values())
    changed = crm.rows(f"SELECT Id, SystemModstamp FROM Lead WHERE SystemModstamp > {since[:-5]}Z", "queryAll")
    assert {r["Id"] for r in changed} - set(before) and {r["Id"] for r in changed} & set(before)
    after = {r["Id"]: r["SystemModstamp"] for r in crm.rows("SELECT Id, SystemModstamp FROM Lead", "queryAll")}
    assert {i for i in after if after[i] != before.get(i)} == {r["Id"] for r in changed}


def test_a_server_that_was_moved_says_what_one_that_began_there_says(crm: Client) -> None:
    crm.http.post("/_sandbox/day", json={"day": 3})
    crm.http.post("/_sandbox/day", json={"day": 2})
    with serve(salesforce.make_app(Company(business=True, scale=0.4), 2)) as base:
        other = Client(base)
        for name in ("Lead", "LeadHistory", "OpportunityHistory"):
            assert other.rows(all_of(name), "queryAll") == crm.rows(all_of(name), "queryAll")
        other.http.close()


def test_a_second_within_the_day_can_be_looked_at() -> None:
    log, until = log_at(1)
    last = max(entries[-1].at for _, entries in log.records("leads", until))
    whole, before = CrmState(company(), 1), CrmState(company(), 1, before=last)
    assert before.until == last and CrmState(company(), 1, before=until + 9).until == until == whole.until
    assert {k: r.fields for k, r in before.tables["leads"].items()} == log.states("leads", last)
    assert before.tables["leads"] != whole.tables["leads"]


def test_the_servers_share_no_code_with_what_they_test() -> None:
    loads = "import sys, onefunnel.sandbox.servers.salesforce, onefunnel.sandbox.servers.hubspot"
    says = (
        "print([m for m in sys.modules if m.startswith(('onefunnel.sources', 'onefunnel.landing', 'dbt', 'duckdb'))])"
    )
    run = subprocess.run([sys.executable, "-c", f"{loads}; {says}"], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_what_appears_on_a_day_can_be_older_than_the_clock_of_the_day_before(crm: Client) -> None:
    """The reader's trap that `control` describes; files and servers both end at midnight, the clock stands at six."""
    asked = "SELECT Id, SystemModstamp FROM Task"
    found = False
    for day in (2, 3, 4):
        before = {(r["Id"], r["SystemModstamp"]) for r in crm.rows(asked, "queryAll")}
        greatest, clock = max(stamp for _, stamp in before), company().as_of(day - 1)
        crm.http.post("/_sandbox/day", json={"day": day})
        new = {(r["Id"], r["SystemModstamp"]) for r in crm.rows(asked, "queryAll")} - before
        assert all(stamp >= greatest for _, stamp in new)
        found = found or any((_seconds(stamp) or 0) < clock.timestamp() for _, stamp in new)
    assert found


def test_activities_are_tasks_and_events(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    log, until = log_at(1)
    states = log.states("activities", until)
    tasks = {company_key("Task", r["Id"]): r for r in crm.rows(all_of("Task"), "queryAll")}
    events = {company_key("Event", r["Id"]): r for r in crm.rows(all_of("Event"), "queryAll")}
    meetings = {key for key, s in states.items() if s["activity_type"] == "meeting"}
    assert set(events) == meetings and set(tasks) == set(states) - meetings
    for key, row in (tasks | events).items():
        state = states[key]
        who = state["contact_id"] or state["lead_id"]
        assert (
            row["WhoId"] is None
            if who is None
            else company_key("Contact" if state["contact_id"] else "Lead", row["WhoId"]) == who
        )
        assert _seconds(row["Occurred_At__c"]) == state["occurred_at"] and row["Subject"] == state["purpose"]
        assert row["Is_Automated__c"] is state["is_automated"]
    calls = {key: row["CallDurationInSeconds"] for key, row in tasks.items() if row["TaskSubtype"] == "Call"}
    assert calls and all(s is None or s % 60 == 0 for s in calls.values())


@pytest.mark.parametrize("day", [1, 2])
@pytest.mark.parametrize(
    ("name", "stream", "key"),
    [
        ("User", "users", "user_id"),
        ("Product2", "products", "product_id"),
        ("Territory2", "territories", "territory_id"),
        ("Campaign", "crm_campaigns", "crm_campaign_id"),
    ],
)
def test_full_lists_are_those_of_the_files(
    reading: Callable[[int], Client], name: str, stream: str, key: str, day: int
) -> None:
    crm = reading(day)
    spec = STREAMS[stream]
    listed = Records(company().business_files.business).full_list(spec, day)
    expected = {str(dict(zip(spec.names, record, strict=True))[key]): record[1] for record in listed}
    where = " WHERE UserType = 'Standard'" if name == "User" else ""
    found = {company_key(name, r["Id"]): r["Name"] for r in crm.rows(f"SELECT Id, Name FROM {name}{where}")}
    assert found == expected


def test_territory_assignments_are_those_of_the_files(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    business = company().business_files.business
    listed = business.scene.staff.assignments(business.simulation.date_of(1))
    rows = crm.rows(all_of("UserTerritory2Association"))
    found = {
        (
            company_key("User", r["UserId"]),
            company_key("Territory2", r["Territory2Id"]),
            _read(r["Valid_From__c"], "day"),
            _read(r["Valid_To__c"], "day"),
        )
        for r in rows
    }
    assert found == {tuple(a) for a in listed} and {r["IsActive"] for r in rows} == {True, False}


def test_no_formula_moves_the_stamp(crm: Client) -> None:
    asked = "SELECT Id, Age_Days__c, SystemModstamp FROM Opportunity"
    before = {r["Id"]: r for r in crm.rows(asked)}
    crm.http.post("/_sandbox/day", json={"day": 2})
    still = [r for r in crm.rows(asked) if before.get(r["Id"], {}).get("SystemModstamp") == r["SystemModstamp"]]
    assert still and all(r["Age_Days__c"] == before[r["Id"]]["Age_Days__c"] + 1 for r in still)


# --- history -----------------------------------------------------------------------------------------------------


def test_field_history_ends_where_the_records_stand(reading: Callable[[int], Client]) -> None:
    """The last row of each field says what the record says; an owner's change is a row of names and one of ids."""
    crm = reading(1)
    rows = crm.rows(all_of("OpportunityFieldHistory") + " ORDER BY CreatedDate, Id", "queryAll")
    last = {(r["OpportunityId"], r["Field"], r["DataType"]): r["NewValue"] for r in rows}
    deals = {r["Id"]: r for r in crm.rows(all_of("Opportunity"), "queryAll")}
    names = {r["Id"]: r["Name"] for r in crm.rows("SELECT Id, Name FROM User")}
    seen = set()
    for (deal, field, data_type), new in last.items():
        seen.add((field, data_type))
        if field == "created":
            assert new is None
        elif field == "Owner":
            assert new == (deals[deal]["OwnerId"] if data_type == "EntityId" else names[deals[deal]["OwnerId"]])
        else:
            assert new == deals[deal][field]
    assert {("Owner", "Text"), ("Owner", "EntityId"), ("Amount", "Currency"), ("CloseDate", "DateOnly")} <= seen
    assert sum(r["Field"] == "created" for r in rows) == len(deals)


def test_lead_history_follows_the_files(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    stream = STREAMS["lead_changes"]
    delivered = [
        dict(zip(stream.names, r, strict=True)) for r in Records(company().business_files.business).of(stream, 1)
    ]
    statuses = sorted((d["lead_id"], d["changed_at"], d["new_value"]) for d in delivered if d["field"] == "status")
    owners = sorted((d["lead_id"], d["changed_at"], str(d["new_value"])) for d in delivered if d["field"] == "owner")
    rows = crm.rows(all_of("LeadHistory"), "queryAll")
    found = [(company_key("Lead", r["LeadId"]), _seconds(r["CreatedDate"]), r) for r in rows]
    assert sorted((lead, at, r["NewValue"]) for lead, at, r in found if r["Field"] == "Status") == statuses
    ids = [(lead, at, r["NewValue"]) for lead, at, r in found if r["DataType"] == "EntityId"]
    queue = salesforce_id("Group", "queue")
    assert sorted((lead, at, "None" if i == queue else company_key("User", i)) for lead, at, i in ids) == owners
    converted = {lead for lead, _, r in found if r["Field"] == "leadConverted"}
    assert converted == {
        company_key("Lead", r["Id"]) for r in crm.rows("SELECT Id FROM Lead WHERE IsConverted = true", "queryAll")
    }


def test_opportunity_history_is_snapshots_without_an_owner(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    assert "OwnerId" not in OBJECTS["OpportunityHistory"].all_fields
    rows = crm.rows(all_of("OpportunityHistory") + " ORDER BY OpportunityId, Id", "queryAll")
    deals = {r["Id"]: r for r in crm.rows(all_of("Opportunity"), "queryAll")}
    last = {r["OpportunityId"]: r for r in rows}
    assert set(last) == set(deals)
    for deal, row in last.items():
        for field in ("StageName", "Amount", "CurrencyIsoCode", "CloseDate", "Probability", "ForecastCategory"):
            assert row[field] == deals[deal][field]
    assert {r["ForecastCategory"] for r in rows} == {"Pipeline", "BestCase", "Closed", "Omitted"}


# --- deleted and merged ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "table"), [("Lead", "leads"), ("Contact", "contacts"), ("Account", "accounts")])
def test_the_merged_and_the_deleted_are_seen_by_query_all_only(
    reading: Callable[[int], Client], name: str, table: str
) -> None:
    crm = reading(1)
    log, until = log_at(1)
    states: dict[str, Fields] = log.states(table, until)
    gone = {key for key, s in states.items() if s["is_deleted"] or s["merged_into_id"]}
    rows = crm.rows(f"SELECT Id, IsDeleted, MasterRecordId FROM {name}", "queryAll")
    assert gone == {company_key(name, r["Id"]) for r in rows if r["IsDeleted"]}
    live = {company_key(name, r["Id"]) for r in crm.rows(f"SELECT Id FROM {name}")}
    assert live == set(states) - gone and gone
    merged = {company_key(name, r["Id"]): company_key(name, r["MasterRecordId"]) for r in rows if r["MasterRecordId"]}
    assert merged == {key: s["merged_into_id"] for key, s in states.items() if s["merged_into_id"]}
    for loser in merged:
        assert survivor(states, loser) not in merged


def test_the_history_of_a_deleted_record_is_deleted(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    deleted = {r["Id"] for r in crm.rows("SELECT Id FROM Opportunity WHERE IsDeleted = true", "queryAll")}
    asked = "SELECT OpportunityId, IsDeleted FROM OpportunityHistory"
    assert deleted and not deleted & {r["OpportunityId"] for r in crm.rows(asked)}
    assert {r["OpportunityId"] for r in crm.rows(asked, "queryAll") if r["IsDeleted"]} == deleted


def test_what_is_deleted_for_good_is_nowhere(crm: Client) -> None:
    lead = crm.rows("SELECT LeadId FROM LeadHistory LIMIT 1")[0]["LeadId"]
    crm.http.post("/_sandbox/hard_delete", json={"id": lead[:15]})
    for resource in ("query", "queryAll"):
        assert crm.rows(f"SELECT Id FROM Lead WHERE Id = '{lead}'", resource) == []
        assert crm.rows(f"SELECT Id FROM LeadHistory WHERE LeadId = '{lead}'", resource) == []


# --- types -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_every_value_is_of_the_described_type(reading: Callable[[int], Client], name: str) -> None:
    crm = reading(1)
    described = crm.http.get(f"{V}/sobjects/{name}/describe").json()
    fields = {f["name"]: f for f in described["fields"]}
    assert list(fields) == list(OBJECTS[name].all_fields)
    checks = {
        "id": lambda v: is_id(v) and len(v) == 18 and v.startswith(described["keyPrefix"]),
        "reference": lambda v: is_id(v) and len(v) == 18,
        "boolean": lambda v: isinstance(v, bool),
        "datetime": lambda v: bool(DATETIME.fullmatch(v)),
        "date": lambda v: bool(DATE.fullmatch(v)),
        "currency": lambda v: isinstance(v, float) and round(v, 2) == v,
        "percent": lambda v: isinstance(v, float),
        "double": lambda v: isinstance(v, float),
        "int": lambda v: isinstance(v, int),
        "anyType": lambda v: isinstance(v, str | float),
    }
    rows = crm.rows(all_of(name), "queryAll")
    assert rows
    for row in rows:
        for field, spec in fields.items():
            value = row[field]
            assert spec["nillable"] if value is None else checks.get(spec["type"], lambda v: isinstance(v, str))(value)


def test_every_reference_leads_to_a_record_or_out_of_the_system(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    ids = {name: {r["Id"] for r in crm.rows(f"SELECT Id FROM {name}", "queryAll")} for name in OBJECTS}
    ids["Group"] = {salesforce_id("Group", "queue")}
    lost = set()
    for name, sobject in OBJECTS.items():
        for field in sobject.all_fields.values():
            if field.kind == "reference":
                known = set().union(*(ids[target] for target in field.refers.split(",")))
                found = {r[field.name] for r in crm.rows(f"SELECT {field.name} FROM {name}", "queryAll")}
                if found - known - {None}:
                    lost.add((name, field.name))
    # Accounts of which marketing has never heard: the log names them and has no record of them.
    assert lost == {("Opportunity", "AccountId")}


def test_names_that_break_pipelines_arrive_unharmed(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    names = {r["Name"] for r in crm.rows("SELECT Name FROM Account", "queryAll")}
    assert any("\n" in n for n in names) and any('"' in n for n in names) and any("🚀" in n for n in names)


# --- SOQL --------------------------------------------------------------------------------------------------------


def test_a_slice_by_stamp_is_half_open_and_loses_nothing(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    stamps = sorted(r["SystemModstamp"] for r in crm.rows("SELECT SystemModstamp FROM Contact"))
    middle = stamps[len(stamps) // 2].replace("+0000", "Z")
    early = crm.rows(f"SELECT Id FROM Contact WHERE SystemModstamp < {middle}")
    late = crm.rows(
        f"SELECT Id FROM Contact WHERE SystemModstamp >= {middle} AND SystemModstamp < 2030-01-01T00:00:00Z"
    )
    assert early and late and len(early) + len(late) == len(stamps)


def test_keys_in_order_page_through_an_object(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    found: list[str] = []
    while rows := crm.rows(
        "SELECT Id FROM Contact" + (f" WHERE Id > '{found[-1]}'" if found else "") + " ORDER BY Id ASC LIMIT 100"
    ):
        found += [r["Id"] for r in rows]
    assert len(found) == len(set(found)) == crm.ask("SELECT COUNT() FROM Contact").json()["totalSize"]
    assert found == sorted(found)


def test_counts_and_sums(reading: Callable[[int], Client]) -> None:
    """As in "Using Aliases with GROUP BY": expr0, expr1 and so on, in rows of type AggregateResult."""
    crm = reading(1)
    deals = crm.rows("SELECT StageName, CurrencyIsoCode, Amount FROM Opportunity")
    asked = (
        "SELECT StageName, COUNT(Id), SUM(Amount) total, COUNT(Amount) FROM Opportunity WHERE CurrencyIsoCode = 'eur'"
    )
    rows = crm.rows(f"{asked} GROUP BY StageName ORDER BY StageName")
    assert [*rows[0]] == ["attributes", "StageName", "expr0", "total", "expr1"]
    assert rows[0]["attributes"] == {"type": "AggregateResult"}
    for row in rows:
        group = [d for d in deals if d["StageName"] == row["StageName"] and d["CurrencyIsoCode"] == "EUR"]
        amounts = [d["Amount"] for d in group if d["Amount"] is not None]
        assert (row["expr0"], row["expr1"]) == (len(group), len(amounts))
        assert round(row["total"], 2) == round(sum(amounts), 2)
    alone = crm.ask("SELECT COUNT(Id), MAX(CreatedDate) FROM Opportunity").json()
    assert alone["totalSize"] == 1 and alone["records"][0]["expr0"] == len(deals)
    assert DATETIME.fullmatch(alone["records"][0]["expr1"])


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("Status = 'nEw'", lambda r: r["Status"] == "New"),
        ("Status IN ('New', 'Expired') AND NOT Email = null", lambda r: r["Status"] in ("New", "Expired") and r["Email"]),
        ("(Status = 'New' OR IsConverted = true) AND Email != null", lambda r: (r["Status"] == "New" or r["IsConverted"]) and r["Email"]),
        ("Status NOT IN ('New')", lambda r: r["Status"] != "New"),
        ("ConvertedDate >= 2026-01-01", lambda r: r["ConvertedDate"] and r["ConvertedDate"] >= "2026-01-01"),
        ("LastName = 'O\\'Hara'", lambda r: r["LastName"] == "O'Hara"),
        ("ConvertedDate = null", lambda r: r["ConvertedDate"] is None),
    ],
)  # fmt: skip
def test_conditions(reading: Callable[[int], Client], where: str, holds: Any) -> None:
    crm = reading(1)
    everyone = crm.rows(all_of("Lead"))
    found = crm.rows(f"SELECT Id FROM Lead WHERE {where}")
    assert {r["Id"] for r in found} == {r["Id"] for r in everyone if holds(r)} != set()


def test_order_is_kept_only_when_it_is_asked_for(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    ids = [r["Id"] for r in crm.rows("SELECT Id FROM Contact")]
    assert ids != sorted(ids)
    for direction, reverse in (("ASC", False), ("DESC", True)):
        rows = crm.rows(f"SELECT PrevAmount FROM OpportunityHistory ORDER BY PrevAmount {direction} NULLS LAST, Id")
        amounts = [r["PrevAmount"] for r in rows if r["PrevAmount"] is not None]
        assert amounts == sorted(amounts, reverse=reverse) and rows[-1]["PrevAmount"] is None


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT Id, Nope FROM Account", "INVALID_FIELD", "ERROR at Row:1:Column:12\nNo such column 'Nope' on entity 'Account'."),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported."),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT FROM Account", "MALFORMED_QUERY", "unexpected token: 'Account'"),
        ("SELECT Id FROM Account WHERE SystemModstamp > '2026-01-01T00:00:00Z'", "INVALID_FIELD", "must be of type dateTime and should not be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Account WHERE Id > '001'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: 001"),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY", "Field must be grouped or aggregated: Name"),
        ("SELECT Id FROM Account; DROP", "MALFORMED_QUERY", "unexpected token: ';'"),
        ("SELECT Id FROM Account LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
    ],
)  # fmt: skip
def test_a_wrong_query_is_refused_in_the_vendors_words(
    reading: Callable[[int], Client], soql: str, code: str, words: str
) -> None:
    crm = reading(1)
    answer = crm.ask(soql)
    assert answer.status_code == 400
    [error] = answer.json()
    assert set(error) == {"message", "errorCode"} and error["errorCode"] == code and words in error["message"]


# --- access and limits -------------------------------------------------------------------------------------------


def test_logging_in(crm: Client) -> None:
    """As in "OAuth 2.0 Client Credentials Flow" and "OAuth 2.0 Refresh Token Flow": the documented members."""
    answer = crm.log_in()
    expected = {"access_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at"}
    assert set(answer) == expected and answer["token_type"] == "Bearer" and answer["issued_at"] == "1775023200000"
    assert answer["instance_url"] == str(crm.http.base_url).rstrip("/")
    basic = base64.b64encode(f"{salesforce.CLIENT_ID}:{salesforce.CLIENT_SECRET}".encode()).decode()
    by_header = crm.http.post(
        "/services/oauth2/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {basic}"},
    )
    refreshed = crm.http.post(
        "/services/oauth2/token",
        data=CREDENTIALS | {"grant_type": "refresh_token", "refresh_token": salesforce.REFRESH_TOKEN},
    )
    assert by_header.status_code == refreshed.status_code == 200
    for wrong, word in (
        ({"client_secret": "x"}, "invalid_client"),
        ({"client_id": "x"}, "invalid_client_id"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
    ):
        refused = crm.http.post("/services/oauth2/token", data=CREDENTIALS | wrong)
        assert refused.status_code == 400 and refused.json()["error"] == word
        assert set(refused.json()) == {"error", "error_description"}


def test_a_token_ends_after_so_many_requests(crm: Client) -> None:
    crm.set(token_requests=2)
    codes = [crm.ask("SELECT Id FROM User").status_code for _ in range(3)]
    assert codes == [200, 200, 401]
    assert crm.ask("SELECT Id FROM User").json() == [
        {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
    ]
    crm.log_in()
    assert crm.ask("SELECT Id FROM User").status_code == 200
    crm.http.post("/_sandbox/expire", json={"what": "tokens"})
    assert crm.ask("SELECT Id FROM User").status_code == 401


def test_the_days_limit(crm: Client) -> None:
    """As in "Limit Info Header": api-usage=used/limit."""
    crm.set(daily_requests=2)
    answers = [crm.ask("SELECT Id FROM User LIMIT 1") for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 403]
    assert [a.headers["Sforce-Limit-Info"] for a in answers] == ["api-usage=1/2", "api-usage=2/2", "api-usage=2/2"]
    assert answers[2].json() == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    crm.http.post("/_sandbox/day", json={"day": 2})
    assert crm.ask("SELECT Id FROM User LIMIT 1").headers["Sforce-Limit-Info"] == "api-usage=1/2"


def test_what_may_not_be_seen(crm: Client) -> None:
    crm.set(forbidden=["Lead"], hidden=["Task", "Opportunity.Amount"])
    assert crm.ask("SELECT Id FROM Lead").status_code == 403
    assert crm.ask("SELECT Id FROM Lead").json()[0]["errorCode"] == "INSUFFICIENT_ACCESS"
    assert crm.http.get(f"{V}/sobjects/Lead/describe").status_code == 403
    assert crm.ask("SELECT Id FROM Task").json()[0]["errorCode"] == "INVALID_TYPE"
    assert crm.ask("SELECT Amount FROM Opportunity").json()[0]["errorCode"] == "INVALID_FIELD"
    assert crm.http.get(f"{V}/sobjects/Task/describe").status_code == 404
    names = {f["name"] for f in crm.http.get(f"{V}/sobjects/Opportunity/describe").json()["fields"]}
    assert "Amount" not in names and "StageName" in names
    assert crm.ask("SELECT Id FROM Account").status_code == 200


def test_a_locator_that_has_expired(crm: Client) -> None:
    crm.set(batch_size=5)
    page = crm.ask("SELECT Id FROM Account").json()
    assert crm.http.get(page["nextRecordsUrl"]).status_code == 200
    crm.http.post("/_sandbox/expire", json={"what": "locators"})
    refused = crm.http.get(page["nextRecordsUrl"])
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_the_date_header_says_the_companys_clock(crm: Client) -> None:
    for day in (1, 3):
        crm.http.post("/_sandbox/day", json={"day": day})
        for answer in (crm.ask("SELECT Id FROM User"), crm.ask("nonsense"), crm.http.get("/nowhere")):
            assert len(answer.headers.get_list("date")) == 1
            assert parsedate_to_datetime(answer.headers["date"]) == company().as_of(day)


def test_wrong_orders_of_the_test_are_refused(crm: Client) -> None:
    assert crm.http.post("/_sandbox/day", json={"day": 0}).status_code == 422
    assert crm.http.post("/_sandbox/settings", json={"batchsize": 5}).status_code == 422
    assert crm.http.post("/_sandbox/faults", json={"faults": [{"kind": "nonsense"}]}).status_code == 422
    with pytest.raises(ValueError, match="business=True"):
        salesforce.make_app(Company(), 1)


# --- Bulk API 2.0 ------------------------------------------------------------------------------------------------


def test_a_bulk_job_has_the_documented_shape(crm: Client) -> None:
    """As in "Step 6: Query Jobs" of the Bulk API 2.0 Developer Guide: the members, and the states one after the other."""
    order = {"operation": "query", "query": "SELECT Id, Name FROM Account"}
    made = crm.http.post(f"{V}/jobs/query", json=order).json()
    assert [*made] == [
        "id", "operation", "object", "createdById", "createdDate", "systemModstamp", "state", "concurrencyMode",
        "contentType", "apiVersion", "lineEnding", "columnDelimiter",
    ]  # fmt: skip
    assert made["state"] == "UploadComplete" and made["apiVersion"] == 60.0 and made["object"] == "Account"
    job = f"{V}/jobs/query/{made['id']}"
    assert crm.http.get(f"{job}/results").status_code == 204
    states = [crm.http.get(job).json() for _ in range(3)]
    assert [s["state"] for s in states] == ["InProgress", "JobComplete", "JobComplete"]
    assert set(states[1]) - set(made) == {
        "jobType", "numberRecordsProcessed", "retries", "totalProcessingTime", "isPkChunkingSupported",
    }  # fmt: skip
    rows = crm.ask("SELECT COUNT() FROM Account").json()["totalSize"]
    assert states[1]["numberRecordsProcessed"] == rows
    assert crm.http.get(job.replace("v60.0", "v61.0")).status_code == 409
    assert crm.http.delete(job).status_code == 204 and crm.http.get(job).status_code == 404


@pytest.mark.parametrize("operation", ["query", "queryAll"])
@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_bulk_results_say_what_rest_says(reading: Callable[[int], Client], name: str, operation: str) -> None:
    """Sets of results one after the other, each with a header; text for text, except that times end in Z."""
    crm = reading(1)
    sets = crm.bulk(all_of(name), operation, most=999)
    read = [[*csv.reader(io.StringIO(s.text, newline=""))] for s in sets]
    assert all(part[0] == list(OBJECTS[name].all_fields) for part in read)
    assert [len(part) - 1 for part in read] == [int(s.headers["Sforce-NumberOfRecords"]) for s in sets]
    assert all(s.headers["Content-Type"].startswith("text/csv") for s in sets)
    kinds = {f.name: f.kind for f in OBJECTS[name].all_fields.values()}

    def text(field: str, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        return value.replace("+0000", "Z") if kinds[field] == "datetime" else str(value)

    expected = [
        [text(field, row[field]) for field in OBJECTS[name].all_fields] for row in crm.rows(all_of(name), operation)
    ]
    assert [row for part in read for row in part[1:]] == expected


def test_bulk_results_are_compressed_and_can_be_read_again(reading: Callable[[int], Client]) -> None:
    crm = reading(1)
    first, second, *_ = crm.bulk("SELECT Id FROM Task", most=1_000)
    assert first.headers["Content-Encoding"] == "gzip"
    # "Get Results for a Query Job": MTAwMDA is the example's locator, the text 10000 in base64.
    assert first.headers["Sforce-Locator"] == "MTAwMA" and base64.b64decode("MTAwMDA=") == b"10000"
    assert crm.http.get(str(second.request.url)).text == second.text
    plain = crm.http.get(str(first.request.url), headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers and plain.text == first.text


def test_a_bulk_job_without_rows_and_one_that_fails(crm: Client) -> None:
    [empty] = crm.bulk("SELECT Id FROM Lead WHERE Email = 'nobody@nowhere.example'")
    assert empty.text == '"Id"\n' and empty.headers["Sforce-NumberOfRecords"] == "0"
    crm.set(bulk_outcome="Failed", bulk_polls=0)
    order = {"operation": "query", "query": "SELECT Id FROM Account"}
    made = crm.http.post(f"{V}/jobs/query", json=order).json()
    failed = crm.http.get(f"{V}/jobs/query/{made['id']}").json()
    assert failed["state"] == "Failed" and "errorMessage" in failed
    assert crm.http.get(f"{V}/jobs/query/{made['id']}/results").status_code == 204
    order["query"] = "SELECT COUNT(Id) FROM Account"
    assert crm.http.post(f"{V}/jobs/query", json=order).status_code == 400


# --- faults ------------------------------------------------------------------------------------------------------

ASKED = "SELECT Id, Name FROM Account ORDER BY Id LIMIT 50"


def test_without_a_script_nothing_is_spoiled(crm: Client) -> None:
    """The negative control of all that follows."""
    answers = [crm.ask(ASKED) for _ in range(3)]
    assert [a.status_code for a in answers] == [200] * 3 and len({a.text for a in answers}) == 1
    journal = [r for r in crm.journal() if r["path"] == f"{V}/query"]
    assert [(r["fault"], r["status"], r["method"]) for r in journal] == [("", 200, "GET")] * 3
    assert journal[0]["at"] < journal[1]["at"] < journal[2]["at"]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"retry_after": 2}, "2"),
        ({"retry_after": 30, "as_date": True}, "Wed, 01 Apr 2026 06:00:30 GMT"),
        ({}, None),
    ],
)
def test_too_many_requests(crm: Client, fault: dict[str, Any], expected: str | None) -> None:
    crm.script({"kind": "too_many", "path": V, **fault})
    refused, after = crm.ask(ASKED), crm.ask(ASKED)
    assert refused.status_code == 429 and refused.headers.get("Retry-After") == expected
    assert after.status_code == 200


def test_a_burst_of_server_errors_and_one_without_end(crm: Client) -> None:
    crm.script({"kind": "status", "status": 503, "path": V, "start": 2, "times": 2})
    assert [crm.ask(ASKED).status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    crm.script({"kind": "status", "status": 500, "path": V, "times": None})
    assert {crm.ask(ASKED).status_code for _ in range(12)} == {500}
    assert [r["fault"] for r in crm.journal()].count("status") == 14


def test_the_script_is_about_a_path_and_a_method(crm: Client) -> None:
    crm.script({"kind": "status", "path": f"{V}/queryAll"}, {"kind": "unauthorized", "method": "POST"})
    assert crm.ask(ASKED).status_code == 200
    assert crm.ask(ASKED, "queryAll").status_code == 503
    assert crm.http.post(f"{V}/jobs/query", json={}).status_code == 401


def test_unauthorized_once_in_the_vendors_words(crm: Client) -> None:
    crm.script({"kind": "unauthorized", "path": V})
    refused = crm.ask(ASKED)
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
    assert crm.ask(ASKED).status_code == 200


@pytest.mark.parametrize("kind", ["reset", "truncated"])
@pytest.mark.parametrize("after_bytes", [1, 64, 1_000, 10**6])
def test_a_body_that_ends_too_early(crm: Client, kind: str, after_bytes: int) -> None:
    whole = crm.ask(ASKED)
    crm.script({"kind": kind, "path": V, "after_bytes": after_bytes})
    with crm.http.stream("GET", f"{V}/query", params={"q": ASKED}) as answer:
        assert answer.status_code == 200
        pieces = []
        with pytest.raises(httpx.ReadError if kind == "reset" else httpx.RemoteProtocolError):
            for piece in answer.iter_raw():
                pieces.append(piece)
    got = b"".join(pieces)
    assert whole.content.startswith(got) and len(got) <= after_bytes
    assert crm.ask(ASKED).text == whole.text


def test_damaged_gzip(crm: Client) -> None:
    crm.script({"kind": "bad_gzip", "path": V})
    with pytest.raises(httpx.DecodingError):
        crm.ask(ASKED)
    assert crm.ask(ASKED).status_code == 200


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ({"kind": "html"}, "text/html", "<!DOCTYPE html>"),
        ({"kind": "error_200"}, "application/json", '{"error": "error_200"}'),
        ({"kind": "error_200", "body": {"status": "error"}}, "application/json", '{"status": "error"}'),
        ({"kind": "empty"}, "application/json", ""),
    ],
)
def test_200_that_is_no_answer(crm: Client, fault: dict[str, Any], kind: str, text: str) -> None:
    crm.script({"path": V, **fault})
    answer = crm.ask(ASKED)
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(kind)
    assert answer.text.startswith(text) and (text or not answer.text)
    assert crm.ask(ASKED).json()["done"] is True


def test_a_slow_body(crm: Client) -> None:
    crm.ask(ASKED)  # the first answer takes longer: the state is worked out
    begun = time.monotonic()
    quick = crm.ask(ASKED)
    between = time.monotonic()
    crm.script({"kind": "slow", "path": V, "after_bytes": len(quick.content) // 3, "seconds": 0.2})
    slow = crm.ask(ASKED)
    assert slow.text == quick.text
    assert time.monotonic() - between > max(0.6, between - begun)
    crm.script({"kind": "slow", "path": V, "after_bytes": 10, "seconds": 2})
    with pytest.raises(httpx.ReadTimeout):
        crm.http.get(f"{V}/query", params={"q": ASKED}, timeout=0.3)


def test_a_redirect_to_another_host(crm: Client) -> None:
    crm.script({"kind": "redirect", "path": V, "location": "http://169.254.169.254/latest"})
    answer = crm.ask(ASKED)
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://169.254.169.254/latest")


def test_the_same_page_twice(crm: Client) -> None:
    crm.set(batch_size=20)
    crm.script({"kind": "repeat", "path": f"{V}/query", "start": 3})
    first = crm.ask("SELECT Id FROM Account").json()
    second = crm.http.get(first["nextRecordsUrl"])
    third = crm.http.get(second.json()["nextRecordsUrl"])
    assert third.text == second.text and third.json()["nextRecordsUrl"] == second.json()["nextRecordsUrl"]
    assert crm.http.get(second.json()["nextRecordsUrl"]).text != second.text


def test_an_answer_with_other_texts_in_it(crm: Client) -> None:
    whole = crm.ask("SELECT Id, Name FROM Account").text
    crm.script({"kind": "rewrite", "path": V, "texts": {'"Name"': '"Title"', '"done":true': '"done":"\\ud800"'}})
    assert crm.ask("SELECT Id, Name FROM Account").text == whole.replace('"Name"', '"Title"').replace(
        '"done":true', '"done":"\\ud800"'
    )


def test_an_archive_with_other_texts_in_it() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("report.csv", '"Clicks"')
    answer = _rewritten(_Answer(body=packed.getvalue()), {"Clicks": "Klicks"})
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.read("report.csv") == b'"Klicks"'


def test_records_in_the_opposite_order(crm: Client) -> None:
    whole = crm.ask("SELECT Id FROM Account").json()
    crm.script({"kind": "backwards", "path": V})
    turned = crm.ask("SELECT Id FROM Account").json()
    assert turned == {**whole, "records": whole["records"][::-1]} and len(whole["records"]) > 1


def test_every_kind_of_fault_is_met_above() -> None:
    assert set(KINDS) == {
        "too_many", "status", "unauthorized", "reset", "truncated", "bad_gzip", "html", "error_200", "slow", "redirect",
        "repeat", "empty", "rewrite", "backwards",
    }  # fmt: skip


def test_the_journal_can_be_cleared_and_holds_no_secret(crm: Client) -> None:
    crm.ask(ASKED)
    text = crm.http.get("/_sandbox/faults").text
    assert salesforce.CLIENT_SECRET not in text and "Bearer" not in text
    crm.http.delete("/_sandbox/faults")
    assert crm.journal() == []


# --- HubSpot -----------------------------------------------------------------------------------------------------


class Hub:
    """A bare client of the portal."""

    def __init__(self, base: str) -> None:
        self.http = httpx.Client(base_url=base, timeout=20, headers={"Authorization": f"Bearer {hubspot.ACCESS_TOKEN}"})

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(path, params=params)

    def set(self, **settings: Any) -> None:
        answer = self.http.post("/_sandbox/settings", json=settings)
        assert answer.status_code == 200, answer.text

    def listed(self, object_type: str, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        asked = {"limit": 100, **params}
        while True:
            answer = self.get(f"/crm/v3/objects/{object_type}", **asked)
            assert answer.status_code == 200, answer.text
            found += answer.json()["results"]
            if "paging" not in answer.json():
                return found
            asked["after"] = answer.json()["paging"]["next"]["after"]

    def search(self, object_type: str, *filters: dict[str, Any], **order: Any) -> httpx.Response:
        body = {"filterGroups": [{"filters": [*filters]}] if filters else [], **order}
        return self.http.post(f"/crm/v3/objects/{object_type}/search", json=body)

    def searched(self, object_type: str, *filters: dict[str, Any], **order: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            answer = self.search(object_type, *filters, limit=200, **order)
            assert answer.status_code == 200, answer.text
            found += answer.json()["results"]
            if "paging" not in answer.json():
                assert len(found) == answer.json()["total"]
                return found
            order["after"] = answer.json()["paging"]["next"]["after"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve(hubspot.make_app(company(), 1)) as base:
        client = Hub(base)
        yield client
        client.http.close()


ALL = {
    "contacts": "email,firstname,lastname,hs_lead_status,lifecyclestage,hubspot_owner_id,converted_at,is_test",
    "companies": "name,domain,hubspot_owner_id,hs_parent_company_id,territory,hs_is_target_account",
    "deals": "dealname,amount,deal_currency_code,dealstage,hs_deal_stage_probability,closedate,hubspot_owner_id,is_test",
}


def _live(states: dict[str, Fields]) -> dict[str, Fields]:
    return {key: s for key, s in states.items() if not s["is_deleted"] and not s["merged_into_id"]}


@given(number=st.integers(0, 9_999_999))
def test_every_hubspot_id_can_be_turned_back(number: int) -> None:
    for capital in ("Ac", "aC"):
        assert account_key(company_id(f"{capital}{number:07d}")) == f"{capital}{number:07d}"
    for capital in ("Op", "oP"):
        assert opportunity_key(deal_id(f"{capital}{number:07d}")) == f"{capital}{number:07d}"
    assert contact_key(contact_id("lead", f"300000000{number:08d}")) == ("lead", f"300000000{number:08d}")
    assert contact_key(contact_id("contact", f"{number:09d}")) == ("contact", f"{number:09d}")


@pytest.mark.parametrize("page_size", [7, 200])
def test_listing_returns_every_record_once(hub: Hub, page_size: int) -> None:
    hub.set(page_size=page_size)
    ids = [r["id"] for r in hub.listed("companies")]
    log, until = log_at(1)
    assert len(ids) == len(set(ids)) and ids == sorted(ids, key=int)
    assert {account_key(i) for i in ids} == set(_live(log.states("accounts", until)))


def test_a_list_has_the_documented_shape(hub: Hub) -> None:
    """As in "Retrieve contacts" of the CRM objects reference: results, paging.next.after and link."""
    answer = hub.get("/crm/v3/objects/contacts", limit=2).json()
    assert set(answer) == {"results", "paging"} and set(answer["paging"]["next"]) == {"after", "link"}
    assert set(answer["results"][0]) == {"id", "properties", "createdAt", "updatedAt", "archived"}
    assert set(answer["results"][0]["properties"]) == {
        "createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname",
    }  # fmt: skip
    assert len(hub.get("/crm/v3/objects/contacts").json()["results"]) == 10
    assert hub.get("/crm/v3/objects/contacts", limit=101).status_code == 400
    assert hub.get("/crm/v3/objects/contacts", limit=51, propertiesWithHistory="email").status_code == 400


def test_every_property_is_text_or_null(hub: Hub) -> None:
    for object_type in ALL:
        described = {p["name"]: p["type"] for p in hub.get(f"/crm/v3/properties/{object_type}").json()["results"]}
        for record in hub.listed(object_type, properties=",".join(described)):
            assert set(record["properties"]) == set(described) and record["id"] == record["properties"]["hs_object_id"]
            for name, value in record["properties"].items():
                assert value is None or isinstance(value, str)
                if value is not None and described[name] == "datetime":
                    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value)
                if value is not None and described[name] == "bool":
                    assert value in ("true", "false")
                if value is not None and described[name] == "number":
                    float(value)


@pytest.mark.parametrize("day", [1, 2])
def test_deals_are_what_the_log_says(hub: Hub, day: int) -> None:
    hub.http.post("/_sandbox/day", json={"day": day})
    log, until = log_at(day)
    deals = _live(log.states("opportunities", until))
    last = {key: entries[-1].at for key, entries in log.records("opportunities", until)}
    found = {opportunity_key(r["id"]): r for r in hub.listed("deals", properties=ALL["deals"])}
    assert set(found) == set(deals)
    for key, state in deals.items():
        shown = found[key]["properties"]
        assert shown["dealname"] == state["opportunity_name"] and shown["deal_currency_code"] == state["currency"]
        assert _micros(None if shown["amount"] is None else float(shown["amount"])) == state["amount"]
        assert shown["dealstage"] == STAGES[str(state["stage"])][0]
        assert shown["closedate"] == f"{state['close_date']}T00:00:00Z"
        assert shown["hubspot_owner_id"] == owner_id(state["owner_id"])
        assert _seconds(found[key]["updatedAt"]) == _seconds(shown["hs_lastmodifieddate"]) == last[key]
        assert float(shown["hs_deal_stage_probability"]) * 100 * 10**6 == state["probability"]


@pytest.mark.parametrize("day", [1, 2])
def test_a_lead_and_the_contact_that_it_became_are_one_person(hub: Hub, day: int) -> None:
    hub.http.post("/_sandbox/day", json={"day": day})
    truth = company().business_truth(day).identity
    found = {contact_key(r["id"]): r for r in hub.listed("contacts", properties=ALL["contacts"])}
    persons = {truth.person_of_lead(k) if kind == "lead" else truth.person_of_contact(k) for kind, k in found}
    assert len(persons) == len(found)
    everyone = {truth.person_of_lead(k) for k, s in truth.leads.items() if not s["is_deleted"]}
    assert persons == everyone | {truth.person_of_contact(k) for k in truth.contacts}
    for (kind, key), record in found.items():
        if kind == "lead":
            lead = truth.leads[key]
            assert record["properties"]["hs_lead_status"] == str(lead["status"]).upper().replace(" ", "_")
            assert _seconds(record["properties"]["converted_at"]) == lead["converted_at"]


def test_the_merged_are_named_by_their_survivor(hub: Hub) -> None:
    log, until = log_at(1)
    states = log.states("accounts", until)
    records = hub.listed("companies", properties="hs_merged_object_ids")
    named = {i: r for r in records for i in (r["properties"]["hs_merged_object_ids"] or "").split(";") if i}
    losers = {key for key, s in states.items() if s["merged_into_id"]}
    assert {account_key(i) for i in named} == losers and losers
    for loser, record in named.items():
        assert account_key(record["id"]) == survivor(states, account_key(loser))
        entries = log.changes["accounts"][account_key(loser)]
        merged_at = next(e.at for e in entries if e.fields.get("merged_into_id"))
        assert (_seconds(record["updatedAt"]) or 0) >= merged_at
        # What asks for the merged record gets the one that is left.
        assert hub.get(f"/crm/v3/objects/companies/{loser}").json()["id"] == record["id"]


@pytest.mark.long
def test_the_deleted_are_archived_for_ninety_days(hub: Hub) -> None:
    hub.http.post("/_sandbox/day", json={"day": 60})
    log, until = log_at(60)
    as_of = company().as_of(60).timestamp()
    gone = {
        key: entries[-1].at
        for key, entries in log.records("leads", until)
        if log.states("leads", until)[key]["is_deleted"]
    }
    recent = {key for key, at in gone.items() if at >= as_of - 90 * 86_400}
    archived = hub.listed("contacts", archived="true")
    assert {contact_key(r["id"])[1] for r in archived} == recent and set(gone) - recent and recent
    assert all(r["archived"] is True and r["archivedAt"] == r["updatedAt"] for r in archived)
    assert not {r["id"] for r in archived} & {r["id"] for r in hub.listed("contacts")}
    assert hub.get(f"/crm/v3/objects/contacts/{archived[0]['id']}").status_code == 404
    assert hub.get(f"/crm/v3/objects/contacts/{archived[0]['id']}", archived="true").status_code == 200
    hub.http.post("/_sandbox/hard_delete", json={"id": archived[0]["id"]})
    assert hub.get(f"/crm/v3/objects/contacts/{archived[0]['id']}", archived="true").status_code == 404


def test_history_is_newest_first_and_ends_with_the_value(hub: Hub) -> None:
    names = "dealstage,amount,hubspot_owner_id"
    log, until = log_at(1)
    for record in hub.listed("deals", limit=50, properties=names, propertiesWithHistory=names):
        for name, versions in record["propertiesWithHistory"].items():
            assert versions == sorted(versions, key=lambda v: v["timestamp"], reverse=True)
            assert (versions[0]["value"] or None if versions else None) == record["properties"][name]
        entries = log.changes["opportunities"][opportunity_key(record["id"])]
        stages = [STAGES[str(e.fields["stage"])][0] for e in entries if "stage" in e.fields and e.at < until]
        assert [v["value"] for v in reversed(record["propertiesWithHistory"]["dealstage"])] == stages
        last = record["propertiesWithHistory"]["dealstage"][0]
        assert {"value", "timestamp", "sourceType", "sourceId", "updatedByUserId"} == set(last)
    hub.set(history_versions=1)
    cut = hub.listed("deals", limit=50, propertiesWithHistory="dealstage")
    assert {len(r["propertiesWithHistory"]["dealstage"]) for r in cut} == {1}


def test_searching_by_the_time_of_change(hub: Hub) -> None:
    everyone = hub.listed("contacts")
    stamps = sorted(r["properties"]["lastmodifieddate"] for r in everyone)
    middle = stamps[len(stamps) // 2]
    millis = str((_seconds(middle) or 0) * 1_000)
    for value in (millis, middle):
        late = hub.searched("contacts", {"propertyName": "lastmodifieddate", "operator": "GTE", "value": value})
        assert {r["id"] for r in late} == {r["id"] for r in everyone if r["properties"]["lastmodifieddate"] >= middle}
    early = hub.searched("contacts", {"propertyName": "lastmodifieddate", "operator": "LT", "value": millis})
    assert len(early) + len(late) == len(everyone) and early
    by_id = hub.searched(
        "contacts",
        {"propertyName": "hs_object_id", "operator": "GT", "value": everyone[9]["id"]},
        sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
    )
    assert [r["id"] for r in by_id] == [r["id"] for r in everyone[10:]]


def test_a_search_is_paged_to_its_window_only(hub: Hub) -> None:
    """As in "Search the CRM": 10,000 results for a query; paging beyond is a 400."""
    hub.set(search_window=500)
    first = hub.search("contacts", limit=200).json()
    assert set(first) == {"total", "results", "paging"} and first["total"] > 500
    assert first["paging"] == {"next": {"after": "200"}}
    last = hub.search("contacts", limit=200, after="400").json()
    assert len(last["results"]) == 100 and last["paging"]["next"]["after"] == "500"
    refused = hub.search("contacts", limit=200, after="500")
    assert refused.status_code == 400 and refused.json()["category"] == "VALIDATION_ERROR"
    hub.set(search_window=10_000)
    assert hub.search("contacts", limit=1, after="10000").status_code == 400
    assert hub.search("contacts", limit=201).status_code == 400


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        ({"propertyName": "dealstage", "operator": "EQ", "value": "closedwon"}, lambda p: p["dealstage"] == "closedwon"),
        ({"propertyName": "dealstage", "operator": "IN", "values": ["closedwon", "closedlost"]}, lambda p: p["dealstage"].startswith("closed")),
        ({"propertyName": "amount", "operator": "BETWEEN", "value": "1000", "highValue": "9000.5"}, lambda p: p["amount"] and 1000 <= float(p["amount"]) <= 9000.5),
        ({"propertyName": "closed_lost_reason", "operator": "HAS_PROPERTY"}, lambda p: p["closed_lost_reason"]),
        ({"propertyName": "closed_lost_reason", "operator": "NOT_HAS_PROPERTY"}, lambda p: not p["closed_lost_reason"]),
    ],
)  # fmt: skip
def test_filters(hub: Hub, wanted: dict[str, Any], holds: Any) -> None:
    deals = hub.listed("deals", properties="dealstage,amount,closed_lost_reason")
    found = hub.searched("deals", wanted)
    assert {r["id"] for r in found} == {r["id"] for r in deals if holds(r["properties"])} != set()


def test_of_several_groups_one_must_hold_and_in_a_group_all(hub: Hub) -> None:
    won, euro = (
        {"propertyName": n, "operator": "EQ", "value": v}
        for n, v in (("dealstage", "closedwon"), ("deal_currency_code", "EUR"))
    )
    both = {r["id"] for r in hub.searched("deals", won, euro)}
    either = hub.search("deals", limit=200, filterGroups=[{"filters": [won]}, {"filters": [euro]}]).json()
    deals = {r["id"]: r["properties"] for r in hub.listed("deals", properties="dealstage,deal_currency_code")}
    marks = {i: (p["dealstage"] == "closedwon", p["deal_currency_code"] == "EUR") for i, p in deals.items()}
    assert both == {i for i, m in marks.items() if all(m)}
    assert either["total"] == sum(any(m) for m in marks.values()) > len(both) > 0


def test_what_was_just_changed_is_not_found_at_once(hub: Hub) -> None:
    total = hub.search("deals").json()["total"]
    hub.set(search_lag_seconds=30 * 86_400)
    assert 0 < hub.search("deals").json()["total"] < total == len(hub.listed("deals"))


def test_wrong_searches_are_refused(hub: Hub) -> None:
    for body in (
        {"filterGroups": [{"filters": [{"propertyName": "nope", "operator": "EQ", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "email", "operator": "LIKE", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "createdate", "operator": "GT", "value": "today"}]}]},
        {"filterGroups": [{"filters": []}] * 6},
        {"sorts": ["createdate", "email"]},
    ):
        refused = hub.http.post("/crm/v3/objects/contacts/search", json=body)
        assert refused.status_code == 400
        assert {"status", "message", "correlationId", "category"} <= set(refused.json())


def test_associations_are_those_of_the_log(hub: Hub) -> None:
    """As in "Retrieve associations in bulk" of associations v4: from, to, toObjectId, associationTypes."""
    log, until = log_at(1)
    truth = company().business_truth(1).identity
    deals = hub.listed("deals")
    inputs = {"inputs": [{"id": r["id"]} for r in deals]}
    answer = hub.http.post("/crm/v4/associations/deals/companies/batch/read", json=inputs)
    found = {opportunity_key(r["from"]["id"]): [k["toObjectId"] for k in r["to"]] for r in answer.json()["results"]}
    states = _live(log.states("opportunities", until))
    assert found == {k: [company_id(a)] for k, s in states.items() if (a := truth.account(s["account_id"]))}
    types = answer.json()["results"][0]["to"][0]["associationTypes"]
    assert types == [
        {"category": "HUBSPOT_DEFINED", "typeId": 5, "label": "Primary"},
        {"category": "HUBSPOT_DEFINED", "typeId": 341, "label": None},
    ]
    # A deal of an account that nobody knows has no association, and says so.
    lost = [e["context"]["fromObjectId"][0] for e in answer.json()["errors"]]
    assert answer.status_code == 207 and {opportunity_key(i) for i in lost} == set(states) - set(found)
    people = hub.http.post("/crm/v4/associations/deals/contacts/batch/read", json=inputs).json()["results"]
    persons = {
        (
            opportunity_key(r["from"]["id"]),
            truth.person_of_lead(key) if kind == "lead" else truth.person_of_contact(key),
        )
        for r in people
        for kind, key in [contact_key(k["toObjectId"]) for k in r["to"]]
    }
    roles = log.states("opportunity_contacts", until).values()
    assert persons == {
        (s["opportunity_id"], truth.person_of_contact(str(s["contact_id"])))
        for s in roles
        if not s["is_deleted"] and s["opportunity_id"] in states
    }
    labels = {
        t["label"] for r in people for k in r["to"] for t in k["associationTypes"] if t["category"] == "USER_DEFINED"
    }
    assert {"Champion", "Economic buyer", "Main contact"} <= labels
    one = people[0]["from"]["id"]
    assert hub.get(f"/crm/v4/objects/deals/{one}/associations/contacts").json()["results"] == people[0]["to"]
    short = hub.get(f"/crm/v3/objects/deals/{one}", associations="contacts").json()["associations"]["contacts"][
        "results"
    ]
    assert short == [{"id": k["toObjectId"], "type": "deal_to_contact"} for k in people[0]["to"]]


def test_batch_read_names_what_it_does_not_find(hub: Hub) -> None:
    ids = [r["id"] for r in hub.get("/crm/v3/objects/contacts", limit=3).json()["results"]]
    order = {"inputs": [{"id": i} for i in [*ids, "1"]], "properties": ["email"], "propertiesWithHistory": ["email"]}
    answer = hub.http.post("/crm/v3/objects/contacts/batch/read", json=order)
    assert answer.status_code == 207 and [r["id"] for r in answer.json()["results"]] == ids
    assert answer.json()["errors"][0]["context"] == {"ids": ["1"]}
    order["inputs"] = order["inputs"][:3]
    assert hub.http.post("/crm/v3/objects/contacts/batch/read", json=order).status_code == 200


def test_owners(hub: Hub) -> None:
    """As in "Retrieve a list of owners": the documented members; who has left is archived."""
    stream = STREAMS["users"]
    users = [
        dict(zip(stream.names, r, strict=True)) for r in Records(company().business_files.business).full_list(stream, 1)
    ]
    for archived in (False, True):
        found = hub.get("/crm/v3/owners", archived=str(archived).lower()).json()["results"]
        expected = {owner_id(u["user_id"]): u["full_name"] for u in users if (u["left_on"] is not None) is archived}
        assert {o["id"]: f"{o['firstName']} {o['lastName']}" for o in found} == expected and expected
        assert set(found[0]) == {
            "id", "email", "type", "firstName", "lastName", "userId", "userIdIncludingInactive", "createdAt",
            "updatedAt", "archived", "teams",
        }  # fmt: skip
    hub.set(page_size=4)
    first = hub.get("/crm/v3/owners").json()
    second = hub.get("/crm/v3/owners", after=first["paging"]["next"]["after"]).json()
    assert len(first["results"]) == 4 and not {o["id"] for o in first["results"]} & {o["id"] for o in second["results"]}


def test_pipelines_say_what_the_stages_mean(hub: Hub) -> None:
    [pipeline] = hub.get("/crm/v3/pipelines/deals").json()["results"]
    stages = {s["id"]: s["metadata"] for s in pipeline["stages"]}
    assert stages["closedwon"] == {"isClosed": "true", "probability": "1.0"} and len(stages) == 4
    assert {r["properties"]["dealstage"] for r in hub.listed("deals")} == set(stages)


def test_the_limits_of_the_portal(hub: Hub) -> None:
    """As in "API usage guidelines": the headers, and the body of a 429 with errorType and policyName."""
    answer = hub.get("/crm/v3/owners")
    limits = {n.lower(): v for n, v in answer.headers.items() if n.lower().startswith("x-hubspot")}
    assert limits == {
        "x-hubspot-ratelimit-daily": "250000",
        "x-hubspot-ratelimit-daily-remaining": "249999",
        "x-hubspot-ratelimit-interval-milliseconds": "10000",
        "x-hubspot-ratelimit-max": "190",
        "x-hubspot-ratelimit-remaining": "190",
    }
    assert not any(n.lower().startswith("x-hubspot") for n in hub.search("deals").headers)
    hub.set(burst_requests=5)
    codes = [hub.get("/crm/v3/owners").status_code for _ in range(6)]
    assert codes[0] == 200 and codes[-1] == 429
    refused = hub.get("/crm/v3/owners").json()
    correlation = refused.pop("correlationId")
    assert refused == {
        "status": "error",
        "message": "You have reached your ten_secondly_rolling limit.",
        "errorType": "RATE_LIMIT",
        "policyName": "TEN_SECONDLY_ROLLING",
    } and correlation  # fmt: skip
    hub.set(burst_requests=None, search_requests=1)
    time.sleep(1.1)
    assert [hub.search("deals").status_code for _ in range(2)] == [200, 429]
    assert hub.search("deals").json()["policyName"] == "SECONDLY"
    time.sleep(1.1)
    assert hub.search("deals").status_code == 200
    hub.set(daily_requests=0)
    assert hub.get("/crm/v3/owners").json()["policyName"] == "DAILY"


def test_access_to_the_portal(hub: Hub) -> None:
    nobody = hub.http.get("/crm/v3/owners", headers={"Authorization": ""})
    assert (nobody.status_code, nobody.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    form = {
        "grant_type": "refresh_token",
        "client_id": hubspot.CLIENT_ID,
        "client_secret": hubspot.CLIENT_SECRET,
        "refresh_token": hubspot.REFRESH_TOKEN,
    }
    token = hub.http.post("/oauth/v1/token", data=form).json()
    assert set(token) == {"token_type", "refresh_token", "access_token", "expires_in"} and token["expires_in"] == 1_800
    hub.set(token_requests=1)
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    codes = [hub.http.get("/crm/v3/owners", headers=bearer) for _ in range(2)]
    assert [a.status_code for a in codes] == [200, 401] and codes[1].json()["category"] == "EXPIRED_AUTHENTICATION"
    assert hub.http.post("/oauth/v1/token", data=form | {"refresh_token": "x"}).status_code == 400
    hub.set(forbidden=["deals"])
    refused = hub.get("/crm/v3/objects/deals")
    assert (refused.status_code, refused.json()["category"]) == (403, "MISSING_SCOPES")
    assert refused.json()["errors"][0]["context"] == {"requiredGranularScopes": ["crm.objects.deals.read"]}
    assert hub.get("/crm/v3/objects/contacts").status_code == 200


def test_the_portals_clock_and_faults(hub: Hub) -> None:
    assert parsedate_to_datetime(hub.get("/crm/v3/owners").headers["date"]) == company().as_of(1)
    hub.http.post("/_sandbox/faults", json={"faults": [{"kind": "too_many", "path": "/crm/v3/owners"}]})
    refused = hub.get("/crm/v3/owners")
    assert refused.status_code == 429 and refused.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert hub.get("/crm/v3/owners").status_code == 200
