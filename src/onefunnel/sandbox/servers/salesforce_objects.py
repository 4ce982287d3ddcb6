"""What the company's Salesforce holds: each object's fields as the Object Reference names them, and their values.

The company is one organisation with several currencies (CurrencyIsoCode), territories and opportunity splits. What the
business knows and no standard field holds is a custom field (`__c`), as it would be in a real organisation.

Worth knowing:
- A merged record is deleted and names its survivor in MasterRecordId; what belonged to it keeps pointing at it.
- Lead.OwnerId is never empty: a lead that belongs to nobody belongs to a queue (a Group, prefix 00G).
- A machine's changes are those of the user "Automated Process", whose UserType is not Standard.
- OpportunityHistory has no owner; an owner's change is two rows of a field history, one of names and one of ids.
- History ends with its record: with a deleted record its history is deleted too.
- Opportunity.Age_Days__c is a formula: it changes and SystemModstamp does not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from onefunnel.sandbox.business.log import MICRO, Fields, Value, day_of, state_of
from onefunnel.sandbox.salesforce_ids import SHAPES, salesforce_id
from onefunnel.sandbox.servers.crm_records import CrmRecord, CrmState, FieldChange, field_changes

Kind = Literal[
    "id", "reference", "string", "picklist", "email", "phone", "url", "boolean", "date", "datetime", "currency",
    "percent", "double", "int", "anyType",
]  # fmt: skip
Cell = Value | float
Row = dict[str, Cell]
MACHINE, QUEUE = "U0000", "queue"
_QUEUE_NAME = "Inbound leads"
_FORECAST = {  # the business's word -> (ForecastCategory, ForecastCategoryName)
    "pipeline": ("Pipeline", "Pipeline"),
    "best_case": ("BestCase", "Best Case"),
    "closed": ("Closed", "Closed"),
    "omitted": ("Omitted", "Omitted"),
}
_ZONES = {"berlin": "Europe/Berlin", "london": "Europe/London", "new_york": "America/New_York"}
_CORPORATE, _CURRENCIES = "EUR", ("EUR", "USD", "GBP")
_SPLIT_TYPES = {"revenue": ("Revenue", "Revenue", True), "overlay": ("Overlay", "Overlay", False)}


class Field(NamedTuple):
    """A field of an object.

    Attributes:
        refers: the object that a reference names.
        formula: worked out when it is read.
    """

    name: str
    kind: Kind
    value: Callable[[CrmRecord, CrmState], Cell]
    refers: str = ""
    formula: bool = False


@dataclass(frozen=True)
class SObject:
    """An object: where its records come from, and its fields.

    Attributes:
        deletes: whether it has IsDeleted.
        audits: which of CreatedDate, CreatedById, LastModifiedDate, LastModifiedById, SystemModstamp it has.
        parent: of a history, the field that names the record.
    """

    name: str
    fields: tuple[Field, ...]
    records: Callable[[CrmState], Iterator[CrmRecord]]
    deletes: bool = True
    audits: tuple[str, ...] = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")
    parent: str = ""

    @cached_property
    def all_fields(self) -> dict[str, Field]:
        """All fields by name."""
        common = [Field("Id", "id", lambda r, s: salesforce_id(self.name, r.key))]
        if self.deletes:
            common.append(Field("IsDeleted", "boolean", _is_deleted))
        audits = [_AUDITS[name] for name in self.audits]
        return {field.name: field for field in (*common, *self.fields, *audits)}

    @property
    def key_prefix(self) -> str:
        """The three characters with which its ids begin."""
        return SHAPES[self.name][0]

    def rows(self, state: CrmState) -> list[Row]:
        """All rows, deleted ones too."""
        fields = self.all_fields.values()
        return [{f.name: f.value(record, state) for f in fields} for record in self.records(state)]


def _is_deleted(record: CrmRecord, state: CrmState) -> bool:
    return bool(record.fields.get("is_deleted") or record.fields.get("merged_into_id"))


def user_id(user: Value) -> str:
    """The id of who did something; a machine when nobody did."""
    return salesforce_id("User", str(user or MACHINE))


_AUDITS = {
    field.name: field
    for field in (
        Field("CreatedDate", "datetime", lambda r, s: r.created_at),
        Field("CreatedById", "reference", lambda r, s: user_id(r.created_by), "User"),
        Field("LastModifiedDate", "datetime", lambda r, s: r.changed_at),
        Field("LastModifiedById", "reference", lambda r, s: user_id(r.changed_by), "User"),
        Field("SystemModstamp", "datetime", lambda r, s: r.changed_at),
    )
}


def _plain(name: str, kind: Kind, source: str) -> Field:
    """A field that says what the business says."""
    return Field(name, kind, lambda r, s: r.fields.get(source))


def _refers(name: str, source: str, refers: str) -> Field:
    """The id of another record."""

    def value(record: CrmRecord, state: CrmState) -> Cell:
        key = record.fields.get(source)
        return None if key is None else salesforce_id(refers, str(key))

    return Field(name, "reference", value, refers)


def _names(whole: str) -> tuple[Field, ...]:
    """FirstName, LastName and Name: the first word and the rest, so that both together are the whole."""

    def part(n: int) -> Callable[[CrmRecord, CrmState], Cell]:
        return lambda r, s: str(r.fields[whole]).split(" ", 1)[n]

    return (
        Field("FirstName", "string", part(0)),
        Field("LastName", "string", part(1)),
        _plain("Name", "string", whole),
    )


def _number(fields: Fields, name: str) -> int | None:
    value = fields.get(name)
    assert value is None or isinstance(value, int)  # noqa: S101
    return value


def _share(of: int, micro: int) -> int:
    """A part of an amount in whole cents, in micros."""
    return round(of * micro / (100 * MICRO) / 10_000) * 10_000


def _owner(name: Value) -> str:
    return salesforce_id("Group", QUEUE) if name is None else user_id(name)


def _from(table: str) -> Callable[[CrmState], Iterator[CrmRecord]]:
    return lambda state: iter(state.tables[table].values())


def _activities(meetings: bool) -> Callable[[CrmState], Iterator[CrmRecord]]:
    def records(state: CrmState) -> Iterator[CrmRecord]:
        for record in state.tables["activities"].values():
            if (record.fields["activity_type"] == "meeting") is meetings:
                yield record

    return records


def _users(state: CrmState) -> Iterator[CrmRecord]:
    yield CrmRecord(MACHINE, {"full_name": "Automated Process", "function": None}, 0, 0)
    yield from state.tables["users"].values()


def _split_types(state: CrmState) -> Iterator[CrmRecord]:
    for key, (developer_name, label, validated) in _SPLIT_TYPES.items():
        yield CrmRecord(key, {"developer_name": developer_name, "label": label, "validated": validated}, 0, 0)


def _snapshots(state: CrmState) -> Iterator[CrmRecord]:
    """Opportunity history: how it stood after each change of stage, amount, close date or forecast."""
    names = ("stage", "amount", "currency", "close_date", "probability", "forecast_category")
    for record in state.tables["opportunities"].values():
        before: Fields = {}
        number = 0
        for n, entry in enumerate(record.entries):
            now = state_of([*record.entries[: n + 1]])
            if n == 0 or any(now.get(name) != before.get(name) for name in names):
                fields = now | {"prev_amount": before.get("amount"), "prev_close_date": before.get("close_date")}
                fields["is_deleted"] = record.fields["is_deleted"]
                # A row is never changed, only deleted with its record.
                changed = record.changed_at if _is_deleted(record, state) else entry.at
                yield CrmRecord(f"{record.key}-{number:03d}", fields, entry.at, changed, entry.by, entry.by)
                number += 1
            before = now


class _Tracked(NamedTuple):
    """A field with history: its name and data type there."""

    field: str
    data_type: str


_TRACKED: dict[str, dict[str, _Tracked]] = {
    "leads": {"status": _Tracked("Status", "DynamicEnum"), "owner_id": _Tracked("Owner", "EntityId")},
    "opportunities": {
        "stage": _Tracked("StageName", "DynamicEnum"),
        "amount": _Tracked("Amount", "Currency"),
        "currency": _Tracked("CurrencyIsoCode", "DynamicEnum"),
        "close_date": _Tracked("CloseDate", "DateOnly"),
        "probability": _Tracked("Probability", "Percent"),
        "forecast_category": _Tracked("ForecastCategoryName", "DynamicEnum"),
        "owner_id": _Tracked("Owner", "EntityId"),
    },
}


def _history(table: str) -> Callable[[CrmState], Iterator[CrmRecord]]:
    """The field history of a table: that it was made, each change, that a lead was converted."""
    tracked = _TRACKED[table]
    marks = ("converted_at",) if table == "leads" else ()

    def records(state: CrmState) -> Iterator[CrmRecord]:
        names = {user.key: str(user.fields["full_name"]) for user in _users(state)}
        for record in state.tables[table].values():
            made = FieldChange(record.created_at, record.created_by, "created", None, None)
            for n, change in enumerate((made, *field_changes(record, (*tracked, *marks)))):
                for row, fields in enumerate(_history_rows(change, tracked, names)):
                    fields |= {"parent": record.key, "is_deleted": _is_deleted(record, state)}
                    key = f"{record.key}-{n:03d}-{row}"
                    yield CrmRecord(key, fields, change.at, change.at, change.by, change.by)

    return records


def _history_rows(change: FieldChange, tracked: dict[str, _Tracked], names: dict[str, str]) -> Iterator[Fields]:
    if change.field not in tracked:
        word = {"converted_at": "leadConverted"}.get(change.field, change.field)
        yield {"field": word, "data_type": "Text", "old": None, "new": None}
        return
    field, data_type = tracked[change.field]
    if change.field == "owner_id":
        old, new = (_QUEUE_NAME if v is None else names[str(v)] for v in (change.old, change.new))
        yield {"field": field, "data_type": "Text", "old": old, "new": new}
        yield {"field": field, "data_type": data_type, "old": _owner(change.old), "new": _owner(change.new)}
    else:
        old_value, new_value = (_in_history(change.field, v) for v in (change.old, change.new))
        yield {"field": field, "data_type": data_type, "old": old_value, "new": new_value}


def _in_history(field: str, value: Value) -> Value:
    """A value of type anyType: amounts and percentages stay numbers, days become text."""
    if value is not None and field == "forecast_category":
        return _FORECAST[str(value)][1]
    return value.isoformat() if isinstance(value, dt.date) else value


def _history_object(name: str, table: str, parent: str, refers: str) -> SObject:
    return SObject(
        name,
        (
            _refers(parent, "parent", refers),
            _plain("Field", "picklist", "field"),
            _plain("DataType", "picklist", "data_type"),
            _plain("OldValue", "anyType", "old"),
            _plain("NewValue", "anyType", "new"),
        ),
        _history(table),
        audits=("CreatedDate", "CreatedById"),
        parent=parent,
    )


def _activity_fields() -> tuple[Field, ...]:
    def who(record: CrmRecord, state: CrmState) -> Cell:
        for source, refers in (("contact_id", "Contact"), ("lead_id", "Lead")):
            if record.fields[source] is not None:
                return salesforce_id(refers, str(record.fields[source]))
        return None

    def what(record: CrmRecord, state: CrmState) -> Cell:
        for source, refers in (("opportunity_id", "Opportunity"), ("account_id", "Account")):
            if record.fields[source] is not None:
                return salesforce_id(refers, str(record.fields[source]))
        return None

    return (
        Field("WhoId", "reference", who, "Contact,Lead"),
        Field("WhatId", "reference", what, "Opportunity,Account"),
        _refers("AccountId", "account_id", "Account"),
        _refers("OwnerId", "owner_id", "User"),
        _plain("Subject", "string", "purpose"),
        Field("ActivityDate", "date", lambda r, s: day_of(_number(r.fields, "occurred_at") or 0)),
        _plain("Direction__c", "picklist", "direction"),
        _plain("Outcome__c", "string", "outcome"),
        _plain("Is_Automated__c", "boolean", "is_automated"),
        _plain("Occurred_At__c", "datetime", "occurred_at"),
    )


def _ends_at(record: CrmRecord, state: CrmState) -> Cell:
    return (_number(record.fields, "occurred_at") or 0) + 60 * (_number(record.fields, "duration_minutes") or 0)


def _call_seconds(record: CrmRecord, state: CrmState) -> Cell:
    minutes = _number(record.fields, "duration_minutes")
    return None if minutes is None or record.fields["activity_type"] != "call" else minutes * 60


def _call_only(source: str) -> Callable[[CrmRecord, CrmState], Cell]:
    def value(record: CrmRecord, state: CrmState) -> Cell:
        if record.fields["activity_type"] != "call":
            return None
        text = str(record.fields[source])
        return text.capitalize() if source == "direction" else text

    return value


def _per_unit(source: str) -> Callable[[CrmRecord, CrmState], Cell]:
    """An amount of a line by its quantity, in whole cents."""

    def value(record: CrmRecord, state: CrmState) -> Cell:
        amount, quantity = _number(record.fields, source) or 0, _number(record.fields, "quantity") or MICRO
        return round(amount * MICRO / quantity / 10_000) * 10_000

    return value


def _split_amount(record: CrmRecord, state: CrmState) -> Cell:
    amount = _number(state.tables["opportunities"][str(record.fields["opportunity_id"])].fields, "amount")
    return None if amount is None else _share(amount, _number(record.fields, "split_percent") or 0)


def _split_currency(record: CrmRecord, state: CrmState) -> Cell:
    return state.tables["opportunities"][str(record.fields["opportunity_id"])].fields["currency"]


def _expected(record: CrmRecord, state: CrmState) -> Cell:
    amount = _number(record.fields, "amount")
    return None if amount is None else _share(amount, _number(record.fields, "probability") or 0)


def _responded_on(record: CrmRecord, state: CrmState) -> Cell:
    at = _number(record.fields, "responded_at")
    return None if at is None else day_of(at)


def _converted_on(record: CrmRecord, state: CrmState) -> Cell:
    at = _number(record.fields, "converted_at")
    return None if at is None else day_of(at)


_OPPORTUNITY_FACTS = (
    _plain("StageName", "picklist", "stage"),
    _plain("Amount", "currency", "amount"),
    _plain("CurrencyIsoCode", "picklist", "currency"),
    Field("ExpectedRevenue", "currency", _expected),
    _plain("CloseDate", "date", "close_date"),
    _plain("Probability", "percent", "probability"),
    Field("ForecastCategory", "picklist", lambda r, s: _FORECAST[str(r.fields["forecast_category"])][0]),
)
_OBJECTS = (
    SObject(
        "Account",
        (
            _refers("MasterRecordId", "merged_into_id", "Account"),
            _plain("Name", "string", "account_name"),
            _refers("ParentId", "parent_account_id", "Account"),
            _plain("Website", "url", "domain"),
            _plain("Industry", "picklist", "industry"),
            _plain("BillingCountryCode", "picklist", "country"),
            _refers("OwnerId", "owner_id", "User"),
            _plain("Segment__c", "picklist", "segment"),
            _plain("Region__c", "picklist", "region"),
            _refers("Territory__c", "territory_id", "Territory2"),
            _plain("Is_Target__c", "boolean", "is_target"),
        ),
        _from("accounts"),
    ),
    SObject(
        "Contact",
        (
            _refers("MasterRecordId", "merged_into_id", "Contact"),
            _refers("AccountId", "account_id", "Account"),
            *_names("full_name"),
            _plain("Email", "email", "email"),
            _plain("Phone", "phone", "phone"),
            _plain("Title", "string", "role"),
            _plain("MailingCountryCode", "picklist", "country"),
        ),
        _from("contacts"),
    ),
    SObject(
        "Lead",
        (
            _refers("MasterRecordId", "merged_into_id", "Lead"),
            *_names("full_name"),
            _plain("Company", "string", "company_name"),
            _plain("Email", "email", "email"),
            _plain("CountryCode", "picklist", "country"),
            _plain("LeadSource", "picklist", "lead_source"),
            _plain("Status", "picklist", "status"),
            Field("OwnerId", "reference", lambda r, s: _owner(r.fields["owner_id"]), "Group,User"),
            Field("IsConverted", "boolean", lambda r, s: r.fields["converted_at"] is not None),
            Field("ConvertedDate", "date", _converted_on),
            _refers("ConvertedAccountId", "converted_account_id", "Account"),
            _refers("ConvertedContactId", "converted_contact_id", "Contact"),
            _refers("ConvertedOpportunityId", "converted_opportunity_id", "Opportunity"),
            _plain("Converted_At__c", "datetime", "converted_at"),
            _refers("Campaign__c", "crm_campaign_id", "Campaign"),
            _plain("Is_Test__c", "boolean", "is_test"),
        ),
        _from("leads"),
    ),
    _history_object("LeadHistory", "leads", "LeadId", "Lead"),
    SObject(
        "Opportunity",
        (
            _refers("AccountId", "account_id", "Account"),
            _plain("Name", "string", "opportunity_name"),
            *_OPPORTUNITY_FACTS,
            Field("ForecastCategoryName", "picklist", lambda r, s: _FORECAST[str(r.fields["forecast_category"])][1]),
            _plain("LeadSource", "picklist", "lead_source"),
            Field("IsClosed", "boolean", lambda r, s: str(r.fields["stage"]).startswith("Closed")),
            Field("IsWon", "boolean", lambda r, s: r.fields["stage"] == "Closed Won"),
            _refers("CampaignId", "crm_campaign_id", "Campaign"),
            _refers("OwnerId", "owner_id", "User"),
            _plain("Buying_Class__c", "picklist", "buying_class"),
            _plain("Sales_Model__c", "picklist", "sales_model"),
            _plain("Loss_Reason__c", "picklist", "loss_reason"),
            _plain("Competitor__c", "picklist", "competitor"),
            _plain("Is_Test__c", "boolean", "is_test"),
            Field("Age_Days__c", "double", lambda r, s: (s.until - r.created_at) // 86_400 * MICRO, formula=True),
        ),
        _from("opportunities"),
    ),
    SObject(
        "OpportunityHistory",
        (
            Field("OpportunityId", "reference", lambda r, s: salesforce_id("Opportunity", r.key[:-4]), "Opportunity"),
            *_OPPORTUNITY_FACTS,
            _plain("PrevAmount", "currency", "prev_amount"),
            _plain("PrevCloseDate", "date", "prev_close_date"),
        ),
        _snapshots,
        audits=("CreatedDate", "CreatedById", "SystemModstamp"),
        parent="OpportunityId",
    ),
    _history_object("OpportunityFieldHistory", "opportunities", "OpportunityId", "Opportunity"),
    SObject(
        "OpportunityContactRole",
        (
            _refers("OpportunityId", "opportunity_id", "Opportunity"),
            _refers("ContactId", "contact_id", "Contact"),
            _plain("Role", "picklist", "role"),
            _plain("IsPrimary", "boolean", "is_primary"),
        ),
        _from("opportunity_contacts"),
    ),
    SObject(
        "OpportunityLineItem",
        (
            _refers("OpportunityId", "opportunity_id", "Opportunity"),
            _refers("Product2Id", "product_id", "Product2"),
            _plain("Quantity", "double", "quantity"),
            Field("ListPrice", "currency", _per_unit("list_amount")),
            Field("UnitPrice", "currency", _per_unit("net_amount")),
            _plain("TotalPrice", "currency", "net_amount"),
            _plain("CurrencyIsoCode", "picklist", "currency"),
            _plain("List_Amount__c", "currency", "list_amount"),
            _plain("Cost_Amount__c", "currency", "cost_amount"),
        ),
        _from("opportunity_lines"),
    ),
    SObject(
        "OpportunitySplit",
        (
            _refers("OpportunityId", "opportunity_id", "Opportunity"),
            _refers("SplitOwnerId", "user_id", "User"),
            _refers("SplitTypeId", "split_type", "OpportunitySplitType"),
            _plain("SplitPercentage", "percent", "split_percent"),
            Field("SplitAmount", "currency", _split_amount),
            Field("CurrencyIsoCode", "picklist", _split_currency),
        ),
        _from("opportunity_splits"),
    ),
    SObject(
        "OpportunitySplitType",
        (
            _plain("DeveloperName", "string", "developer_name"),
            _plain("MasterLabel", "string", "label"),
            _plain("IsTotalValidated", "boolean", "validated"),
        ),
        _split_types,
    ),
    SObject(
        "User",
        (
            *_names("full_name"),
            Field("Username", "string", lambda r, s: f"{r.key.lower()}@company.example"),
            Field("Email", "email", lambda r, s: f"{r.key.lower()}@company.example"),
            Field("UserType", "picklist", lambda r, s: "AutomatedProcess" if r.key == MACHINE else "Standard"),
            Field("IsActive", "boolean", lambda r, s: r.fields.get("left_on") is None),
            _plain("Department", "string", "team"),
            _refers("ManagerId", "manager_id", "User"),
            Field("TimeZoneSidKey", "picklist", lambda r, s: _ZONES.get(str(r.fields.get("calendar")), "GMT")),
            _plain("Function__c", "picklist", "function"),
            _plain("Role__c", "picklist", "role"),
            _plain("Rep_Type__c", "picklist", "rep_type"),
            _plain("Calendar__c", "picklist", "calendar"),
            _refers("Territory__c", "territory_id", "Territory2"),
            _plain("Hired_On__c", "date", "hired_on"),
            _plain("Ramp_End_On__c", "date", "ramp_end_on"),
            _plain("Left_On__c", "date", "left_on"),
        ),
        _users,
        deletes=False,
    ),
    SObject(
        "Campaign",
        (
            _plain("Name", "string", "campaign_name"),
            _plain("Type", "picklist", "channel"),
            _plain("StartDate", "date", "started_on"),
            _plain("EndDate", "date", "ended_on"),
            _plain("BudgetedCost", "currency", "budget_amount"),
            _plain("CurrencyIsoCode", "picklist", "currency"),
            _refers("OwnerId", "owner_id", "User"),
            _plain("Ad_Campaign_Id__c", "string", "ad_campaign_id"),
        ),
        _from("crm_campaigns"),
    ),
    SObject(
        "CampaignMember",
        (
            _refers("CampaignId", "crm_campaign_id", "Campaign"),
            _refers("LeadId", "lead_id", "Lead"),
            _refers("ContactId", "contact_id", "Contact"),
            Field("Status", "picklist", lambda r, s: str(r.fields["status"]).capitalize()),
            Field("HasResponded", "boolean", lambda r, s: r.fields["responded_at"] is not None),
            Field("FirstRespondedDate", "date", _responded_on),
            _plain("Responded_At__c", "datetime", "responded_at"),
        ),
        _from("campaign_members"),
    ),
    SObject(
        "Task",
        (
            *_activity_fields(),
            Field("TaskSubtype", "picklist", lambda r, s: str(r.fields["activity_type"]).capitalize()),
            Field("Status", "picklist", lambda r, s: "Completed"),
            Field("IsClosed", "boolean", lambda r, s: True),
            _plain("CompletedDateTime", "datetime", "occurred_at"),
            Field("CallDurationInSeconds", "int", _call_seconds),
            Field("CallType", "picklist", _call_only("direction")),
            Field("CallDisposition", "string", _call_only("outcome")),
        ),
        _activities(meetings=False),
    ),
    SObject(
        "Event",
        (
            *_activity_fields(),
            _plain("StartDateTime", "datetime", "occurred_at"),
            _plain("ActivityDateTime", "datetime", "occurred_at"),
            Field("EndDateTime", "datetime", _ends_at),
            _plain("DurationInMinutes", "int", "duration_minutes"),
        ),
        _activities(meetings=True),
    ),
    SObject(
        "Product2",
        (
            _plain("Name", "string", "product_name"),
            _plain("ProductCode", "string", "product_id"),
            _plain("Family", "picklist", "family"),
            Field("IsActive", "boolean", lambda r, s: r.fields["retired_on"] is None),
            _plain("Is_Service__c", "boolean", "is_service"),
            _plain("Is_Recurring__c", "boolean", "is_recurring"),
            _plain("Launched_On__c", "date", "launched_on"),
            _plain("Retired_On__c", "date", "retired_on"),
        ),
        _from("products"),
    ),
    SObject(
        "Territory2",
        (
            _plain("Name", "string", "territory_name"),
            Field("DeveloperName", "string", lambda r, s: r.key.replace("-", "_")),
            _refers("ParentTerritory2Id", "parent_territory_id", "Territory2"),
            _refers("ForecastUserId", "manager_id", "User"),
            _plain("Region__c", "picklist", "region"),
        ),
        _from("territories"),
        deletes=False,
        audits=("LastModifiedDate", "LastModifiedById", "SystemModstamp"),
    ),
    SObject(
        "UserTerritory2Association",
        (
            _refers("UserId", "user_id", "User"),
            _refers("Territory2Id", "territory_id", "Territory2"),
            Field("IsActive", "boolean", lambda r, s: r.fields["valid_to"] is None),
            _plain("Valid_From__c", "date", "valid_from"),
            _plain("Valid_To__c", "date", "valid_to"),
        ),
        _from("territory_assignments"),
        deletes=False,
        audits=("LastModifiedDate", "LastModifiedById", "SystemModstamp"),
    ),
    SObject(
        "Organization",
        (
            Field("Name", "string", lambda r, s: "Sandbox GmbH"),
            Field("DefaultCurrencyIsoCode", "picklist", lambda r, s: _CORPORATE),
        ),
        lambda state: iter([CrmRecord("000000001", {}, 0, 0)]),
        deletes=False,
    ),
    SObject(
        "CurrencyType",
        (
            Field("IsoCode", "picklist", lambda r, s: r.key),
            Field("IsCorporate", "boolean", lambda r, s: r.key == _CORPORATE),
            Field("IsActive", "boolean", lambda r, s: True),
        ),
        lambda state: (CrmRecord(code, {}, 0, 0) for code in _CURRENCIES),
        deletes=False,
    ),
)
OBJECTS: dict[str, SObject] = {found.name: found for found in _OBJECTS}
