"""The connector of Salesforce against the sandbox's server: what arrives is what the company's CRM knows, and nothing is lost."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sandbox.business.records import Records
from onefunnel.sandbox.business.streams import STREAMS as FILES
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.crm_records import CrmState, field_changes
from onefunnel.sandbox.servers.salesforce import company_key, connection, make_app
from onefunnel.settings import read_yaml
from onefunnel.sources import salesforce
from onefunnel.sources.base import Asked, Fetched
from onefunnel.sources.connections import Connection
from onefunnel.sources.connections import connection as connection_of
from onefunnel.sources.inbox import RECORDS, Inbox, fetched
from onefunnel.sources.salesforce_streams import HISTORIES, STREAMS, texts

COMPANY = Company(seed=3, scale=0.05, business=True)
HTTP = httpx.Client()  # the hand that steers the server
DECLARED = read_yaml(Path(salesforce.__file__).with_suffix(".yml"))["streams"]
DATA = f"/services/data/{salesforce.VERSION}"
Row = dict[str, Any]


class Sandbox:
    """The server, and the hand that steers it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, **body: Any) -> None:
        HTTP.post(f"{self.url}/_sandbox/{path}", json=body).raise_for_status()

    def settings(self, **settings: Any) -> None:
        self.post("settings", **settings)

    def script(self, *faults: Row) -> None:
        self.post("faults", faults=faults)

    def journal(self) -> list[Row]:
        found: list[Row] = HTTP.get(f"{self.url}/_sandbox/faults").json()["requests"]
        return found

    def queries(self) -> list[str]:
        """The queries that were asked."""
        return [q for r in self.journal() if (q := httpx.QueryParams(r["query"]).get("q"))]

    def given(self, **change: Any) -> Connection:
        """The connection as a step gets it: in the environment, as Airflow writes it."""
        said = connection(self.url) | change
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AIRFLOW_CONN_CRM", json.dumps(said))
            return connection_of("crm")


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with serve(make_app(COMPANY, 1)) as url:
        yield Sandbox(url)


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    yield running
    HTTP.delete(f"{running.url}/_sandbox/faults")
    running.settings(
        batch_size=2_000,
        daily_requests=100_000,
        forbidden=[],
        hidden=[],
        untracked=[],
        bulk_polls=1,
        bulk_outcome="JobComplete",
        bulk_records=50_000,
    )
    running.post("day", day=1)


@pytest.fixture
def own() -> Iterator[Sandbox]:
    """A server of one test, in which records may be deleted for good."""
    with serve(make_app(COMPANY, 1)) as url:
        yield Sandbox(url)


class Warehouse:
    """What is behind the inbox, in small: what was accepted of each stream, and what the next fetch is told of it."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.connector = salesforce.connect("source crm", sandbox.given(), ())
        self.rows: dict[str, dict[tuple[str, ...], Row]] = {}
        self.hashes: dict[str, dict[tuple[str, ...], str]] = {}
        self.about: dict[str, Row] = {}
        self.last: dict[str, dt.datetime] = {}

    def fetch(self, stream: str, at: dt.datetime | None = None, **more: Any) -> Fetched | None:
        """Fetch and accept; None where there was nothing new."""
        columns = DECLARED[stream]["columns"]
        cell = {key: str(columns[key]["from"]) for key in DECLARED[stream]["key"]}
        hashes = self.hashes.setdefault(stream, {})
        known = {name: pa.array([key[n] for key in hashes], pa.string()) for n, name in enumerate(cell)}
        given = {
            "last": self.last.get(stream),
            "before": self.about.get(stream, {}),
            "known": pa.table({**known, "content_hash": pa.array(hashes.values(), pa.string())}) if hashes else None,
        }
        as_of = at or COMPANY.as_of(1)
        asked = Asked(
            "crm",
            stream,
            "crm",
            as_of,
            **{"since": dt.date(2020, 1, 1), "accounts": (), "dates": None, **given, **more},
        )
        self.connector.fetch(asked, Inbox(self.folder, asked, cell))
        files = list((self.folder / stream).glob(f"*{RECORDS}"))
        if not files:
            return None
        beside = fetched(files[0])
        assert beside is not None
        rows = self.rows.setdefault(stream, {})
        for record in beside.cells.to_pylist():
            key = tuple(record[name] for name in cell)
            hashes[key] = record["content_hash"]
            rows.pop(key, None)
        table = pq.read_table(files[0])
        assert {c["from"] for c in columns.values()} == set(table.column_names), "what is declared is what comes"
        for row in table.to_pylist():
            key = tuple(row[there] for there in cell.values())
            assert key not in rows, "one record for each key"
            rows[key] = {name: row[column["from"]] for name, column in columns.items()}
        self.about[stream], self.last[stream] = beside.about, as_of
        return beside


@pytest.fixture
def warehouse(sandbox: Sandbox, tmp_path: Path) -> Iterator[Warehouse]:
    found = Warehouse(sandbox, tmp_path)
    yield found
    found.connector.close()


# --- what the company knows -----------------------------------------------------------------------------------------

IDS = {
    "users": "User", "products": "Product2", "territories": "Territory2", "crm_campaigns": "Campaign", "accounts": "Account",
    "contacts": "Contact", "leads": "Lead", "opportunities": "Opportunity", "opportunity_lines": "OpportunityLineItem",
    "campaign_members": "CampaignMember",
}  # fmt: skip
REFERS = {
    "account_id": "Account", "parent_account_id": "Account", "converted_account_id": "Account", "contact_id": "Contact",
    "converted_contact_id": "Contact", "lead_id": "Lead", "opportunity_id": "Opportunity", "converted_opportunity_id": "Opportunity",
    "owner_id": "User", "user_id": "User", "manager_id": "User", "created_by_id": "User", "changed_by_id": "User",
    "territory_id": "Territory2", "parent_territory_id": "Territory2", "product_id": "Product2", "crm_campaign_id": "Campaign",
    "line_id": "OpportunityLineItem", "member_id": "CampaignMember",
}  # fmt: skip
LISTS = ("users", "products", "territories", "territory_assignments", "crm_campaigns")


def refers(stream: str, column: str) -> str:
    """The object whose id a column holds, or empty."""
    return IDS[stream] if column == "merged_into_id" else REFERS.get(column, "")


@cache
def state_of(day: int) -> CrmState:
    return CrmState(COMPANY, day)


def known(stream: str, day: int) -> list[Row]:
    """The records of the company's own log and lists, in the contract's columns as text, ids as they are there."""
    state = state_of(day)
    if stream in HISTORIES:
        return [*changes(state, stream)]
    kinds = dict(FILES[stream].columns)
    if stream in LISTS:
        names = FILES[stream].names
        records = [dict(zip(names, v, strict=True)) for v in Records(state.business).full_list(FILES[stream], day)]
    else:
        stamped = {"modified_at"} & set(kinds)
        records = [r.fields | dict.fromkeys(stamped, r.changed_at) for r in state.tables[stream].values()]
    return [{name: text(kind, record.get(name)) for name, kind in kinds.items()} for record in records]


def changes(state: CrmState, stream: str) -> Iterator[Row]:
    table, parent = ("leads", "lead_id") if stream == "lead_changes" else ("opportunities", "opportunity_id")
    names = {"status": "text", "owner_id": "text"}
    if table == "opportunities":
        names = {"stage": "text", "amount": "money", "currency": "text", "close_date": "date", "owner_id": "text"}
        names |= {"probability": "number", "forecast_category": "text"}
    for key, record in state.tables[table].items():
        for change in field_changes(record, tuple(names)):
            old, new = (text(names[change.field], value) for value in (change.old, change.new))
            field = change.field.removesuffix("_id")
            at, by = text("time", change.at), change.by or None
            yield {
                parent: key,
                "field": field,
                "old_value": old,
                "new_value": new,
                "changed_at": at,
                "changed_by_id": by,
            }


def text(kind: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    if kind == "time":
        return f"{dt.datetime.fromtimestamp(value, dt.UTC):%Y-%m-%dT%H:%M:%S}.000Z"
    if kind in ("money", "number"):
        return plain(Decimal(value) / 1_000_000)
    return str(value).lower() if isinstance(value, bool) else str(value)


def plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


def arrived(stream: str, rows: list[Row]) -> list[Row]:
    """The same of what was delivered: Salesforce's ids turned back into the company's."""
    found = []
    for row in rows:
        values = dict(row)
        for name, value in row.items():
            if value is not None and (target := refers(stream, name)):
                values[name] = company_key(target, value)
            if name == "activity_id":
                values[name] = company_key("Task" if value.startswith("00T") else "Event", value)
            if name in ("old_value", "new_value") and row["field"] == "owner":
                values[name] = None if value is None else company_key("User", value)
        values.pop("change_id", None)
        found.append(values)
    return found


def same(stream: str, rows: list[Row], day: int) -> None:
    """Hold what arrived against what is known, in the columns that the connector fills."""
    found, expected = arrived(stream, rows), known(stream, day)
    for row in expected if stream == "activities" else ():
        if row["activity_type"] not in ("call", "meeting"):
            row["duration_minutes"] = None  # no field of a task holds it
    names = set(found[0])
    assert set(expected[0]) - names <= {"purpose", "change_id"} | (
        {"merged_into_id"} if stream == "opportunities" else set()
    )
    wanted = sorted(repr(sorted((n, row[n]) for n in names)) for row in expected)
    assert sorted(repr(sorted(row.items())) for row in found) == wanted


# --- loads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", list(DECLARED))
def test_day_by_day_the_warehouse_holds_what_the_crm_does(sandbox: Sandbox, warehouse: Warehouse, stream: str):
    sandbox.settings(batch_size=200)
    moving = ("accounts", "leads", "activities", "opportunities")
    for day in (1, 2, 3) if stream in (*moving, *HISTORIES) else (1, 3):
        sandbox.post("day", day=day)
        beside = warehouse.fetch(stream, COMPANY.as_of(day))
        same(stream, list(warehouse.rows[stream].values()), day)
        if beside is not None and stream in moving:
            assert beside.about["everything"] is (day == 1)
            rows = warehouse.rows[stream].values()
            alive = [r for r in rows if r["is_deleted"] == "false" and r.get("merged_into_id") is None]
            totals = {(t["part"], t["measure"]): t["value"] for t in beside.totals.to_pylist()}
            assert totals.get((None, "rows")) == (str(len(alive)) if stream != "activities" else None)
            if stream == "opportunities":
                own = sum(Decimal(row["amount"] or 0) for row in alive if row["currency"] == "EUR")
                assert Decimal(totals["EUR", "amount"]) == own > 0
            if day > 1:
                assert beside.about["records_fetched"] < len(warehouse.rows[stream]), "only what changed"


def test_what_is_as_old_as_the_cursor_or_a_little_older_is_read_again(sandbox: Sandbox, warehouse: Warehouse):
    warehouse.fetch("leads")
    cursor = warehouse.about["leads"]["cursors"]["Lead"]
    HTTP.delete(f"{sandbox.url}/_sandbox/faults")
    assert cursor == max(row["modified_at"] for row in warehouse.rows["leads"].values()) < f"{COMPANY.as_of(1).date()}"
    sandbox.script()
    warehouse.fetch("leads")
    since = dt.datetime.fromisoformat(cursor) - dt.timedelta(minutes=15)
    until = COMPANY.as_of(1) - dt.timedelta(minutes=2)
    (asked,) = [q for q in sandbox.queries() if q.startswith("SELECT Id, SystemModstamp")]
    expected = f"SystemModstamp >= {since:%Y-%m-%dT%H:%M:%S}.000Z AND SystemModstamp < {until:%Y-%m-%dT%H:%M:%S}.000Z"
    assert asked.endswith(expected)


def test_a_whole_read_leaves_what_changed_meanwhile_to_the_next_one(sandbox: Sandbox, warehouse: Warehouse):
    """A long bulk job reads one record before it changes and, at its end, another one that changed later."""
    now = COMPANY.as_of(1)
    warehouse.fetch("leads")
    last = warehouse.about["leads"]["cursors"]["Lead"]
    sandbox.script(
        {
            "kind": "rewrite",
            "path": f"{DATA}/queryAll",
            "times": None,
            "texts": {last[:19]: f"{now + dt.timedelta(minutes=50):%Y-%m-%dT%H:%M:%S}"},
        }
    )
    anew = Warehouse(sandbox, warehouse.folder / "anew")
    anew.fetch("leads")
    assert max(row["modified_at"] for row in anew.rows["leads"].values()) > f"{now:%Y-%m-%dT%H:%M:%S}", "it was read"
    HTTP.delete(f"{sandbox.url}/_sandbox/faults")
    anew.fetch("leads", now + dt.timedelta(hours=1))
    (asked,) = [q for q in sandbox.queries() if q.startswith("SELECT Id, SystemModstamp")]
    since = now - dt.timedelta(minutes=2 + 15)
    assert f"SystemModstamp >= {since:%Y-%m-%dT%H:%M:%S}.000Z" in asked


def test_once_a_month_everything_and_formulas_once_a_week(sandbox: Sandbox, warehouse: Warehouse):
    described = HTTP.get(
        f"{sandbox.url}{DATA}/sobjects/Account/describe", headers=warehouse.connector.token(False)
    ).json()
    next(f for f in described["fields"] if f["name"] == "Segment__c")["calculated"] = True
    sandbox.script({"kind": "error_200", "path": f"{DATA}/sobjects/Account", "times": None, "body": described})
    wednesday = COMPANY.as_of(1)

    def reads_everything(stream: str, days: int) -> bool:
        warehouse.last[stream], warehouse.hashes[stream] = wednesday, {}  # so that there is something to deliver
        beside = warehouse.fetch(stream, wednesday + dt.timedelta(days=days))
        return beside is not None and bool(beside.about["everything"])

    for stream, weekly in (("accounts", True), ("contacts", False)):
        warehouse.fetch(stream)
        assert [reads_everything(stream, days) for days in (1, 5, 30)] == [False, weekly, True]
    # What changed in the last minutes is not left out, or it would look deleted: only what was made then is.
    assert any(q.startswith("SELECT Id, SystemModstamp") and " WHERE CreatedDate < " in q for q in sandbox.queries())
    assert not any("WHERE SystemModstamp <" in q for q in sandbox.queries())


def test_a_large_answer_comes_by_the_bulk_api_and_is_the_same(
    sandbox: Sandbox, warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sandbox.settings(bulk_records=7)
    bulk = Warehouse(sandbox, tmp_path / "bulk")
    for stream in ("accounts", "opportunity_changes"):
        warehouse.fetch(stream)
        with monkeypatch.context() as patch:
            patch.setattr(salesforce, "BULK_FROM", 1)
            sandbox.script()
            bulk.fetch(stream)
        assert bulk.hashes[stream] == warehouse.hashes[stream] and bulk.rows[stream] == warehouse.rows[stream]
        assert sum("/results" in request["path"] for request in sandbox.journal()) > 4
    bulk.connector.close()


def test_what_no_field_history_holds_comes_from_the_snapshots(sandbox: Sandbox, warehouse: Warehouse):
    sandbox.settings(untracked=["Opportunity.StageName", "Opportunity.Probability", "Opportunity.ForecastCategoryName"])
    warehouse.fetch("opportunity_changes")
    same("opportunity_changes", list(warehouse.rows["opportunity_changes"].values()), 1)
    assert "StageName" not in warehouse.about["opportunity_changes"]["tracked_since"]
    for day in (8, 15):
        sandbox.post("day", day=day)
        warehouse.fetch("opportunity_changes", COMPANY.as_of(day))
        same("opportunity_changes", list(warehouse.rows["opportunity_changes"].values()), day)
    assert warehouse.about["opportunity_changes"]["everything"] is False


def test_what_is_older_than_the_first_wanted_day_is_not_read(sandbox: Sandbox, warehouse: Warehouse):
    since = dt.date(2026, 3, 1)
    sandbox.settings(untracked=["Opportunity.StageName"])
    warehouse.fetch("opportunity_changes", since=since)
    found = warehouse.rows["opportunity_changes"].values()
    expected = [row for row in known("opportunity_changes", 1) if row["changed_at"] >= str(since)]
    assert sorted(row["changed_at"] for row in found) == sorted(row["changed_at"] for row in expected)
    assert any(row["field"] == "stage" and row["old_value"] for row in found), "the snapshot before is older"
    warehouse.fetch("activities", since=since)
    assert 0 < len(warehouse.rows["activities"]) < len(known("activities", 1))


# --- rows ------------------------------------------------------------------------------------------------------------


def rows_of(stream: str, **pages: list[Row]) -> list[Row]:
    """What the stream's SQL makes of rows as they come."""
    with duckdb.connect() as db:
        parts = []
        for sobject in (*STREAMS[stream].sobjects, *STREAMS[stream].beside):
            rows = pages.get(sobject.name, [])
            empty = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in sobject.fields}
            db.register(f"raw_{sobject.name}", pa.table(empty))
            select = texts(sobject, f"raw_{sobject.name}", sobject.fields, None, doubled=True)
            parts.append(f'"{sobject.name}" as ({select})')
        found: list[Row] = db.sql(f"with {', '.join(parts)} {STREAMS[stream].select}").to_arrow_table().to_pylist()
        return found


def test_of_a_row_that_comes_twice_the_last_one_counts_however_it_is_written():
    newest = {"Id": "006A", "SystemModstamp": "2026-04-01T10:00:00.000Z", "Amount": "1.2345678E7", "StageName": "Won"}
    older = {"Id": "006A", "SystemModstamp": "2026-04-01T09:59:59.000+0000", "Amount": "0.30000000000000004"}
    other = {
        "Id": "006B",
        "SystemModstamp": "2026-04-01T09:00:00.000+0000",
        "Amount": "100.0",
        "ForecastCategory": "MostLikely",
    }
    for rows in ([older, newest, other, other], [other, newest, older]):
        first, second = sorted(rows_of("opportunities", Opportunity=rows), key=lambda row: row["Id"])
        assert (first["Amount"], first["StageName"]) == ("12345678", "Won")
        assert (second["Amount"], second["SystemModstamp"]) == ("100", "2026-04-01T09:00:00.000Z")
        assert second["ForecastCategory"] == "most_likely"
    assert rows_of("opportunities", Opportunity=[older])[0]["Amount"] == "0.3"


def test_of_two_roles_of_a_contact_the_living_one_counts():
    pair = {"OpportunityId": "006A", "ContactId": "003A"}
    gone = {
        **pair,
        "Id": "00K1",
        "IsDeleted": "true",
        "IsPrimary": "true",
        "SystemModstamp": "2026-04-02T00:00:00.000Z",
    }
    living = {**pair, "Id": "00K2", "IsDeleted": "false", "IsPrimary": "false", "Role": "Champion"}
    (found,) = rows_of("opportunity_contacts", OpportunityContactRole=[gone, living])
    assert (found["Role"], found["IsDeleted"]) == ("Champion", "false")


def test_without_the_company_s_own_fields_the_standard_ones_speak():
    created = {"SystemModstamp": "2026-04-01T00:00:00.000Z", "CreatedDate": "2026-03-31T12:00:00.000Z", "Id": "1"}
    lead = {**created, "IsConverted": "true", "ConvertedDate": "2026-03-31", "OwnerId": "00G5g0000000007EAA"}
    (found,) = rows_of("leads", Lead=[lead])
    assert found["converted_at"] == created["CreatedDate"], "not before it was made"
    assert found["OwnerId"] is None
    (account,) = rows_of(
        "accounts", Account=[{**created, "Website": "https://www.Acme.example/de?x=1", "BillingCountry": "Chile"}]
    )
    assert (account["domain"], account["country"]) == ("acme.example", "Chile")
    line = {**created, "ListPrice": "19.99", "Quantity": "3.0"}
    assert rows_of("opportunity_lines", OpportunityLineItem=[line])[0]["list_amount"] == "59.97"
    user = {"Id": "005A", "SystemModstamp": created["SystemModstamp"], "UserType": "Standard"}
    task = {
        **created,
        "CompletedDateTime": created["CreatedDate"],
        "CreatedById": "005A",
        "CallDurationInSeconds": "150",
    }
    event = {**created, "Id": "2", "ActivityDate": "2026-03-30", "CreatedById": "005B"}
    called, met = rows_of("activities", Task=[task], Event=[event], User=[user])
    assert (called["occurred_at"], called["is_automated"], called["duration_minutes"]) == (
        created["CreatedDate"],
        "false",
        "3",
    )
    assert (met["occurred_at"], met["is_automated"]) == ("2026-03-30T00:00:00.000Z", "true")
    member = {**created, "FirstRespondedDate": "2026-04-02"}
    assert rows_of("campaign_members", CampaignMember=[member])[0]["responded_at"] == "2026-04-02T00:00:00.000Z"
    assert rows_of("campaign_members", CampaignMember=[created])[0]["responded_at"] is None


# --- deletes and merges ----------------------------------------------------------------------------------------------


def test_what_is_deleted_for_good_is_closed_on_the_next_day_and_its_history_stays(own: Sandbox, tmp_path: Path):
    warehouse = Warehouse(own, tmp_path)
    for stream in ("leads", "lead_changes", "opportunity_splits"):
        warehouse.fetch(stream)
    changed = {row["lead_id"] for row in warehouse.rows["lead_changes"].values()}
    lead = next(
        k for k, r in warehouse.rows["leads"].items() if r["merged_into_id"] is None and r["lead_id"] in changed
    )
    history, split = dict(warehouse.rows["lead_changes"]), next(iter(warehouse.rows["opportunity_splits"]))
    own.post("hard_delete", id=lead[0])
    for row in HTTP.get(
        f"{own.url}{DATA}/queryAll",
        params={
            "q": f"SELECT Id FROM OpportunitySplit WHERE OpportunityId = '{split[0]}' AND SplitOwnerId = '{split[1]}'"
        },
        headers=warehouse.connector.token(False),
    ).json()["records"]:
        own.post("hard_delete", id=row["Id"])
    warehouse.fetch("leads")
    assert lead in warehouse.rows["leads"], "ids are compared once a day"
    own.post("day", day=2)
    for stream in ("leads", "lead_changes", "opportunity_splits"):
        warehouse.fetch(stream, COMPANY.as_of(2))
    assert lead not in warehouse.rows["leads"] and warehouse.hashes["leads"][lead] == ""
    assert split not in warehouse.rows["opportunity_splits"]
    assert history.items() <= warehouse.rows["lead_changes"].items()


def test_the_loser_of_a_merge_keeps_saying_who_won_when_the_bin_is_emptied(own: Sandbox, tmp_path: Path):
    warehouse = Warehouse(own, tmp_path)
    warehouse.fetch("leads")
    losers = {key: row for key, row in warehouse.rows["leads"].items() if row["merged_into_id"]}
    assert losers and all(row["is_deleted"] == "false" for row in losers.values()), "merged, not deleted"
    for (loser,) in losers:
        own.post("hard_delete", id=loser)
    for month in (4, 5):  # by the comparison of ids, and by a month's full read
        warehouse.fetch("leads", dt.datetime(2026, month, 2, 6, tzinfo=dt.UTC))
        assert losers.items() <= warehouse.rows["leads"].items()


def test_records_that_all_are_gone_are_a_permission_that_is_gone(own: Sandbox, tmp_path: Path):
    warehouse = Warehouse(own, tmp_path)
    for stream in ("accounts", "products"):
        warehouse.fetch(stream)
        gone = [record for (record,) in warehouse.rows[stream]][: 16 if stream == "accounts" else None]
        for record in gone:
            own.post("hard_delete", id=record)
        with pytest.raises(StepFailed, match="are known") as caught:
            warehouse.fetch(stream, COMPANY.as_of(2))
        assert "View All Records" in str(caught.value) and stream in str(caught.value)
        assert "onefunnel run --accept-deletions crm" in str(caught.value)
        backfill = (COMPANY.as_of(2).date(), COMPANY.as_of(2).date())
        with pytest.raises(StepFailed, match="are known"):  # of days of advertising: nobody said anything of deletions
            warehouse.fetch(stream, COMPANY.as_of(2), dates=backfill)
        warehouse.fetch(stream, COMPANY.as_of(2), accept_deletions=True)
        left = {record for (record,), row in warehouse.rows[stream].items() if row.get("merged_into_id") is None}
        assert not left & set(gone), "a person said so"


# --- what the organisation has -----------------------------------------------------------------------------------------


def test_a_missing_field_is_named_and_one_of_the_company_s_own_is_empty(sandbox: Sandbox, warehouse: Warehouse):
    sandbox.settings(hidden=["Opportunity.StageName", "Opportunity.Loss_Reason__c"])
    with pytest.raises(StepFailed, match="Opportunity has no field StageName, or hides it") as caught:
        warehouse.fetch("opportunities")
    assert "stg_files__opportunities" in str(caught.value) and "permission set" in str(caught.value)
    assert "Loss_Reason" not in str(caught.value)
    sandbox.settings(hidden=["Opportunity.Loss_Reason__c"])
    again = Warehouse(sandbox, warehouse.folder)
    again.fetch("opportunities")
    assert {row["loss_reason"] for row in again.rows["opportunities"].values()} == {None}


def test_a_field_of_another_type_stops_the_stream(sandbox: Sandbox, warehouse: Warehouse):
    described = HTTP.get(
        f"{sandbox.url}{DATA}/sobjects/Opportunity/describe", headers=warehouse.connector.token(False)
    ).json()
    next(f for f in described["fields"] if f["name"] == "Amount")["type"] = "string"
    sandbox.script({"kind": "error_200", "path": f"{DATA}/sobjects/Opportunity", "body": described})
    with pytest.raises(StepFailed, match=r"Opportunity\.Amount is of type string, not currency or double"):
        warehouse.fetch("opportunities")


@pytest.mark.parametrize(("setting", "said"), [("forbidden", "cannot be read"), ("hidden", "not there, or hidden")])
@pytest.mark.parametrize(("stream", "name"), [("activities", "Event"), ("opportunity_splits", "OpportunitySplitType")])
def test_an_object_that_cannot_be_read_is_red(
    sandbox: Sandbox, warehouse: Warehouse, setting: str, said: str, stream: str, name: str
):
    sandbox.settings(**{setting: [name]})
    with pytest.raises(StepFailed, match=said) as caught:
        warehouse.fetch(stream)
    assert f"object {name}" in str(caught.value) and "permission set" in str(caught.value)


def test_an_organisation_of_one_currency_has_it_in_every_record(sandbox: Sandbox, warehouse: Warehouse):
    fields = ("Opportunity", "OpportunityLineItem", "Campaign", "OpportunityHistory")
    sandbox.settings(hidden=["CurrencyType", *(f"{name}.CurrencyIsoCode" for name in fields)])
    for stream in ("opportunities", "opportunity_lines", "crm_campaigns"):
        beside = warehouse.fetch(stream)
        assert {row["currency"] for row in warehouse.rows[stream].values()} == {"EUR"}
        if stream == "opportunities" and beside is not None:
            total = sum(Decimal(row["amount"] or 0) for row in warehouse.rows[stream].values())
            assert [t["value"] for t in beside.totals.to_pylist() if t["part"] == "EUR"] == [plain(total)]
    warehouse.fetch("opportunity_changes")


# --- what goes wrong on the way ------------------------------------------------------------------------------------------

MORE = f"{DATA}/query/01g"


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ({"kind": "error_200", "path": MORE}, EnvironmentNotReady, "no page of rows"),
        (
            {"kind": "status", "status": 400, "path": MORE, "body": [{"errorCode": "INVALID_QUERY_LOCATOR"}]},
            StepFailed,
            "does not keep the rest",
        ),
        (
            {"kind": "error_200", "path": MORE, "body": {"totalSize": 45, "done": True, "records": []}},
            EnvironmentNotReady,
            "45 rows were announced and 10 came",
        ),
    ],
    ids=["no page", "expired", "fewer"],
)
def test_what_stays_wrong_is_said(
    sandbox: Sandbox, warehouse: Warehouse, fault: Row, kind: type[OnefunnelError], said: str
):
    sandbox.settings(batch_size=10)
    warehouse.connector.api.deadline = 1.0
    sandbox.script({**fault, "times": None})
    with pytest.raises(kind, match=said) as caught:
        warehouse.fetch("contacts")
    assert "stream contacts" in str(caught.value)


JOB = f"{DATA}/jobs/query/750"
GONE = {"kind": "status", "status": 404, "body": [{"errorCode": "NOT_FOUND", "message": "gone"}], "path": JOB}


@pytest.mark.parametrize(
    "fault",
    [
        {**GONE, "start": 4},  # the second set of results
        {"kind": "repeat", "path": JOB, "start": 5},
        {"kind": "html", "path": JOB, "start": 3},
        {"kind": "truncated", "path": JOB, "start": 4, "after_bytes": 20},
        {
            "kind": "status",
            "status": 400,
            "path": f"{DATA}/jobs/query",
            "method": "POST",
            "body": [{"errorCode": "INVALIDENTITY"}],
        },
    ],
    ids=["gone", "repeat", "html", "truncated", "not in bulk"],
)
def test_a_job_that_goes_wrong_once_is_done_again(
    sandbox: Sandbox, warehouse: Warehouse, fault: Row, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(salesforce, "BULK_FROM", 1)
    sandbox.settings(bulk_records=10)
    sandbox.script(fault)
    warehouse.fetch("contacts")
    same("contacts", list(warehouse.rows["contacts"].values()), 1)
    assert any(request["fault"] == fault["kind"] for request in sandbox.journal())


def test_a_job_that_fails_or_does_not_end_is_said(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(salesforce, "BULK_FROM", 1)
    warehouse.connector.job_seconds = 0.3
    sandbox.settings(bulk_outcome="Failed")
    with pytest.raises(StepFailed, match="ended as Failed: QUERY_TIMEOUT"):
        warehouse.fetch("contacts")
    sandbox.settings(bulk_outcome="JobComplete", bulk_polls=1_000)
    with pytest.raises(EnvironmentNotReady, match="did not end in"):
        warehouse.fetch("contacts")
    sandbox.settings(bulk_polls=0)
    sandbox.script({**GONE, "start": 2, "times": None})
    with pytest.raises(StepFailed, match="does not keep the rest"):
        warehouse.fetch("contacts")


def test_a_limit_that_is_used_up_is_no_failure_of_ours(sandbox: Sandbox, warehouse: Warehouse):
    warehouse.fetch("contacts")
    assert warehouse.about["contacts"]["limits"]["Sforce-Limit-Info"].startswith("api-usage=")
    sandbox.settings(daily_requests=1)
    with pytest.raises(EnvironmentNotReady, match=r"last 24 hours are used up \(api-usage=") as caught:
        warehouse.fetch("leads")
    assert "old requests fall out" in str(caught.value)


# --- credentials -----------------------------------------------------------------------------------------------------


def test_both_ways_of_logging_in(sandbox: Sandbox):
    for extra in ({}, connection(sandbox.url)["extra"]):
        connector = salesforce.connect("source crm", sandbox.given(extra=extra), ())
        assert connector.api.base_url.rstrip("/") == sandbox.url
        connector.close()
    with pytest.raises(ConfigError, match="neither a refresh_token nor a host"):
        salesforce.connect("source crm", sandbox.given(extra={}, host=""), ())
    with pytest.raises(ConfigError, match="no accounts to choose"):
        salesforce.connect("source crm", sandbox.given(), ("1",))


@pytest.mark.parametrize(
    "instance", ["https://salesforce.com.example", "http://x.my.salesforce.com", "", "http://127.0.0.1:9"]
)
def test_a_token_for_another_host_is_not_used(sandbox: Sandbox, instance: str):
    answer = {"access_token": "00D!x", "instance_url": instance}
    sandbox.script({"kind": "error_200", "path": "/services/oauth2/token", "body": answer})
    connector = salesforce.connect("source crm", sandbox.given(), ())
    with pytest.raises(ConfigError, match="none of Salesforce's"):
        _ = connector.api


def test_a_token_for_an_instance_of_salesforce_is(sandbox: Sandbox):
    answer = {"access_token": "00D!x", "instance_url": "https://acme.my.salesforce.com"}
    sandbox.script({"kind": "error_200", "path": "/services/oauth2/token", "body": answer})
    connector = salesforce.connect("source crm", sandbox.given(), ())
    assert connector.api.base_url == "https://acme.my.salesforce.com/"
