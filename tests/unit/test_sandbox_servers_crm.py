"""The company's CRM behind its vendors' interfaces: over real HTTP, against the log's truth and documented shapes."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import io
import re
import time
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
from onefunnel.sandbox.servers import salesforce, serve
from onefunnel.sandbox.servers.crm_records import CrmState
from onefunnel.sandbox.servers.faults import KINDS
from onefunnel.sandbox.servers.salesforce_ids import SHAPES, company_key, is_id, salesforce_id, with_suffix
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
    """ "Query Options Header": default 2,000, minimum 200, maximum 2,000."""
    crm = reading(1)
    sizes = {
        asked: len(crm.ask("SELECT Id FROM Task", **{"Sforce-Query-Options": f"batchSize={asked}"}).json()["records"])
        for asked in (10, 200, 1_000, 5_000)
    }
    assert sizes == {10: 200, 200: 200, 1_000: 1_000, 5_000: 2_000}


def test_a_page_has_the_documented_shape(crm: Client) -> None:
    """ "Query", "Execute a SOQL Query": totalSize, done, nextRecordsUrl, records with attributes."""
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
    """ "Using Aliases with GROUP BY": expr0, expr1 and so on, in rows of type AggregateResult."""
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
    """ "OAuth 2.0 Client Credentials Flow" and "OAuth 2.0 Refresh Token Flow": the documented members."""
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
    """ "Limit Info Header": api-usage=used/limit."""
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
    """ "Step 6: Query Jobs" of the Bulk API 2.0 Developer Guide: the members, and the states one after the other."""
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
    begun = time.monotonic()
    quick = crm.ask(ASKED)
    between = time.monotonic()
    crm.script({"kind": "slow", "path": V, "after_bytes": len(quick.content) // 3, "seconds": 0.2})
    slow = crm.ask(ASKED)
    assert slow.text == quick.text
    assert time.monotonic() - between > 0.6 > between - begun
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


def test_every_kind_of_fault_is_met_above() -> None:
    assert set(KINDS) == {
        "too_many", "status", "unauthorized", "reset", "truncated", "bad_gzip", "html", "error_200", "slow", "redirect",
        "repeat", "empty",
    }  # fmt: skip


def test_the_journal_can_be_cleared_and_holds_no_secret(crm: Client) -> None:
    crm.ask(ASKED)
    text = crm.http.get("/_sandbox/faults").text
    assert salesforce.CLIENT_SECRET not in text and "Bearer" not in text
    crm.http.delete("/_sandbox/faults")
    assert crm.journal() == []
