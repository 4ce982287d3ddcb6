"""What is read of Salesforce: the objects and fields of each stream, and the SQL that makes its records of them.

Field names and types are those of the Object Reference. `Name` is text, `Name:number` is of another kind (`KINDS`); a field
with `?` is not in every organisation (currencies, state and country picklists, territory forecasts), nor is one of its own
(`__c`): where it is missing its column is empty. Any other field must be there.
"""

# ruff: noqa: S608  (queries of constants, instants and Salesforce's own ids)

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from onefunnel.engines.duckdb import identifier, literal

# What may stand behind a kind, by the types that describe knows.
KINDS: dict[str, frozenset[str]] = {
    kind: frozenset(types.split())
    for kind, types in {
        "text": "string picklist multipicklist combobox email phone url textarea encryptedstring id reference",
        "id": "id reference",
        "flag": "boolean",
        "day": "date",
        "time": "datetime",
        "number": "currency percent double int long",
        "any": "anyType",
    }.items()
}
CURRENCY, AMOUNT = "CurrencyIsoCode", "Amount"


@dataclass(frozen=True)
class SObject:
    """An object as a stream reads it.

    Attributes:
        wanted: its fields, as the module says.
        where: which of its rows; a condition in SOQL.
        stamp: what tells when a row changed.
        since: whether rows that did not change since the first wanted day are left alone.
        is_dated: whether it has CreatedDate.
    """

    name: str
    wanted: str
    where: str = ""
    stamp: str = "SystemModstamp"
    since: bool = False
    is_dated: bool = True

    @cached_property
    def fields(self) -> dict[str, str]:
        """Name -> kind."""
        words = ("Id:id", f"{self.stamp}:time", *self.wanted.split())
        parts = (word.replace("?", "").partition(":") for word in words)
        return {name: kind or "text" for name, _, kind in parts}

    @cached_property
    def optional(self) -> frozenset[str]:
        """Fields that may be missing."""
        marked = {word.split("?")[0] for word in self.wanted.split() if "?" in word}
        return frozenset(marked | {name for name in self.fields if name.endswith("__c")})


@dataclass(frozen=True)
class Stream:
    """A stream.

    Attributes:
        select: SQL over one relation per object, of its name, with its fields as texts.
        beside: objects that are read whole each time, because the records need them.
        whole: read all of it each time: short lists, and those whose rows are not named by an id alone.
        counted: whether its rows are counted by a call of their own; `metadata.source_totals` compares these.
    """

    sobjects: tuple[SObject, ...]
    select: str
    beside: tuple[SObject, ...] = ()
    whole: bool = False
    counted: bool = False


def number(value: str) -> str:
    """SQL of a number without exponent, idle zeros and what floating point left behind; other text stays."""
    read = f"cast(try_cast({value} as decimal(38, 6)) as varchar)"
    return f"coalesce(regexp_replace({read}, '[.]?0+$', ''), {value})"


def time(value: str) -> str:
    """SQL of an instant as the Bulk API writes it; REST writes +0000."""
    return f"regexp_replace({value}, '[+]00:?00$', 'Z')"


def texts(sobject: SObject, raw: str, present: Collection[str], currency: str | None, *, doubled: bool) -> str:
    """SQL of each row once, as it was last, its fields in one way of writing.

    Args:
        raw: the relation of the pages.
        present: the fields that the organisation has.
        currency: of an organisation that has one only.
        doubled: whether any row came more than once.
    """
    shown = {"number": number, "time": time}
    columns = []
    for name, kind in sobject.fields.items():
        value = identifier(name) if name in present else "cast(null as varchar)"
        if name == CURRENCY and name not in present and currency is not None:
            value = literal(currency)
        columns.append(f"{shown.get(kind, str)(value)} as {identifier(name)}")
    select = f"select {', '.join(columns)} from {identifier(raw)}"
    if not doubled:
        return select
    stamp = time(identifier(sobject.stamp))
    order = f"{stamp} desc, to_json({identifier(raw)})::varchar"
    return f"{select} qualify row_number() over (partition by Id order by {order}) = 1"


# -- history -----------------------------------------------------------------------------------------------------------

# Salesforce's name -> the contract's, of fields whose changes are kept. Others may hold personal values: not asked for.
TRACKED: dict[str, dict[str, str]] = {
    "lead_changes": {"Status": "status", "Owner": "owner"},
    "opportunity_changes": {
        "StageName": "stage",
        AMOUNT: "amount",
        CURRENCY: "currency",
        "CloseDate": "close_date",
        "Probability": "probability",
        "ForecastCategoryName": "forecast_category",
        "Owner": "owner",
    },
}
# A field of the snapshots -> the one of the field history that says the same.
SNAPSHOT_FIELDS = {
    "StageName": "StageName",
    AMOUNT: AMOUNT,
    CURRENCY: CURRENCY,
    "CloseDate": "CloseDate",
    "Probability": "Probability",
    "ForecastCategory": "ForecastCategoryName",
}
# Who is no user of the usual kind is a machine: nobody did it.
PEOPLE = "case when changed_by_id in (select Id from \"User\" where UserType = 'Standard') then changed_by_id end"
_USERS = SObject("User", "UserType")
_IS_ID = "regexp_full_match({0}, '(005|00G)[A-Za-z0-9]{{12}}([A-Za-z0-9]{{3}})?')"


def _history(stream: str, name: str, parent: str) -> SObject:
    fields = ", ".join(f"'{field}'" for field in TRACKED[stream])
    wanted = f"{parent}:id Field OldValue:any NewValue:any CreatedById:id"
    return SObject(name, wanted, f"Field IN ({fields})", "CreatedDate", since=True)


SNAPSHOT = SObject(
    "OpportunityHistory",
    "OpportunityId:id StageName Amount:number CurrencyIsoCode? CloseDate:day Probability:number ForecastCategory CreatedById:id",
    stamp="CreatedDate",
)
_CATEGORIES = {"BestCase": "best_case", "MostLikely": "most_likely", "Forecast": "commit"}


def category(value: str) -> str:
    """SQL of a forecast category in the contract's words, by its API name or its usual label (Forecast is shown as Commit)."""
    named = " ".join(f"when '{theirs}' then '{ours}'" for theirs, ours in _CATEGORIES.items())
    return f"case {value} {named} else replace(lower({value}), ' ', '_') end"


def changes_of_history(stream: str) -> str:
    """SQL of the changes that a field history holds. An owner's change is two rows, of names and of ids; queues own nothing."""
    sobject = STREAMS[stream].sobjects[0]
    (parent,) = [name for name in ("LeadId", "OpportunityId") if name in sobject.fields]
    named = " ".join(f"when '{theirs}' then '{ours}'" for theirs, ours in TRACKED[stream].items())

    def value(old_or_new: str) -> str:
        return (
            f"case when Field = 'Owner' then (case when {old_or_new} like '005%' then {old_or_new} end)"
            f" when Field in ('Amount', 'Probability') then {number(old_or_new)}"
            f" when Field = 'ForecastCategoryName' then {category(old_or_new)} else {old_or_new} end"
        )

    return (
        f"select Id as change_id, {parent} as {_PARENT[parent]}, case Field {named} end as field, {value('OldValue')} as old_value,"
        f" {value('NewValue')} as new_value, CreatedDate as changed_at, CreatedById as changed_by_id from {identifier(sobject.name)}"
        f" where Field <> 'Owner' or {_IS_ID.format('coalesce(NewValue, OldValue)')}"
    )


_PARENT = {"LeadId": "lead_id", "OpportunityId": "opportunity_id"}


def changes_of_snapshots(tracked_since: Mapping[str, str], since: dt.date) -> str:
    """SQL of the changes that two snapshots of a deal differ by, as far as the field history does not hold them.

    Args:
        tracked_since: field of the field history -> its first change there; what is not named was never tracked.
        since: nothing older is wanted.
    """
    parts = []
    for name, tracked in SNAPSHOT_FIELDS.items():
        value = category(identifier(name)) if name == "ForecastCategory" else identifier(name)
        untracked = f"CreatedDate < {literal(tracked_since[tracked])}" if tracked in tracked_since else "true"
        field = TRACKED["opportunity_changes"][tracked]
        parts.append(
            f"select Id || '-{field}' as change_id, OpportunityId as opportunity_id, '{field}' as field,"
            f" lag({value}) over deal as old_value, {value} as new_value, CreatedDate as changed_at,"
            f" CreatedById as changed_by_id from {identifier(SNAPSHOT.name)}"
            f" window deal as (partition by OpportunityId order by CreatedDate, Id)"
            f" qualify row_number() over deal > 1 and new_value is distinct from old_value and {untracked}"
            f" and CreatedDate >= '{since}'"
        )
    return " union all ".join(parts)


# -- streams -----------------------------------------------------------------------------------------------------------

_ALIVE = "IsDeleted = false"
# The loser of a merge is deleted in Salesforce. For everybody else it lives on in the one that won.
_DELETED = "case when MasterRecordId is null then IsDeleted else 'false' end"
_MIDNIGHT = "T00:00:00.000Z"
_ACTIVITY = (
    "WhoId:id WhatId:id AccountId:id OwnerId:id ActivityDate:day IsDeleted:flag CreatedById:id CreatedDate:time"
    " Direction__c Outcome__c Is_Automated__c:flag Occurred_At__c:time"
)
_WHO_AND_WHAT = """
    OwnerId,
    case when WhoId like '00Q%' then WhoId end as lead_id,
    case when WhoId like '003%' then WhoId end as contact_id,
    coalesce(AccountId, case when WhatId like '001%' then WhatId end) as account_id,
    case when WhatId like '006%' then WhatId end as opportunity_id"""
_BY_MACHINE = """
    coalesce(
        Is_Automated__c, case when CreatedById in (select Id from "User" where UserType = 'Standard') then 'false' else 'true' end
    ) as is_automated"""
STREAMS: dict[str, Stream] = {
    "users": Stream(
        (
            SObject(
                "User",
                "Name ManagerId:id Department Function__c Role__c Rep_Type__c Territory__c Calendar__c Hired_On__c:day"
                " Ramp_End_On__c:day Left_On__c:day",
                "UserType = 'Standard'",
            ),
        ),
        'select * exclude (SystemModstamp) from "User"',
        whole=True,
    ),
    "products": Stream(
        (
            SObject(
                "Product2",
                "Name Family Is_Service__c:flag Is_Recurring__c:flag Launched_On__c:day Retired_On__c:day",
                _ALIVE,
            ),
        ),
        'select * exclude (SystemModstamp) from "Product2"',
        whole=True,
    ),
    "territories": Stream(
        (SObject("Territory2", "Name ParentTerritory2Id:id ForecastUserId?:id Region__c", is_dated=False),),
        'select * exclude (SystemModstamp) from "Territory2"',
        whole=True,
    ),
    "territory_assignments": Stream(
        (
            SObject(
                "UserTerritory2Association",
                "UserId:id Territory2Id:id LastModifiedDate:time Valid_From__c:day Valid_To__c:day",
                is_dated=False,
            ),
        ),
        """
        select UserId, Territory2Id, coalesce(Valid_From__c, LastModifiedDate[:10]) as valid_from, Valid_To__c as valid_to
        from "UserTerritory2Association"
        qualify row_number() over (partition by UserId, Territory2Id, valid_from order by SystemModstamp desc, Id) = 1
        """,
        whole=True,
    ),
    "crm_campaigns": Stream(
        (
            SObject(
                "Campaign",
                "Name Type StartDate:day EndDate:day BudgetedCost:number CurrencyIsoCode? OwnerId:id Ad_Campaign_Id__c",
                _ALIVE,
            ),
        ),
        'select * exclude (SystemModstamp) from "Campaign"',
        whole=True,
    ),
    "accounts": Stream(
        (
            SObject(
                "Account",
                "MasterRecordId:id Name ParentId:id Website Industry BillingCountryCode? BillingCountry? OwnerId:id Segment__c"
                " Region__c Territory__c Is_Target__c:flag CreatedDate:time IsDeleted:flag",
            ),
        ),
        f"""
        select
            * exclude (Website, BillingCountryCode, BillingCountry) replace ({_DELETED} as IsDeleted),
            nullif(regexp_replace(lower(Website), '^([a-z]+://)?(www[.])?|[:/?#].*$', '', 'g'), '') as domain,
            coalesce(BillingCountryCode, BillingCountry) as country
        from "Account"
        """,
        counted=True,
    ),
    "contacts": Stream(
        (
            SObject(
                "Contact",
                "MasterRecordId:id AccountId:id Name Email Phone Title MailingCountryCode? MailingCountry? CreatedDate:time"
                " IsDeleted:flag",
            ),
        ),
        f"""
        select
            * exclude (MailingCountryCode, MailingCountry) replace ({_DELETED} as IsDeleted),
            coalesce(MailingCountryCode, MailingCountry) as country
        from "Contact"
        """,
        counted=True,
    ),
    "leads": Stream(
        (
            SObject(
                "Lead",
                "MasterRecordId:id Name Company Email CountryCode? Country? LeadSource Status OwnerId:id IsConverted:flag"
                " ConvertedDate:day ConvertedAccountId:id ConvertedContactId:id ConvertedOpportunityId:id Converted_At__c:time"
                " Campaign__c Is_Test__c:flag CreatedDate:time IsDeleted:flag",
            ),
        ),
        # A queue (00G) is nobody. The standard field knows the day of the conversion only.
        f"""
        select
            * exclude (CountryCode, Country, IsConverted, ConvertedDate, Converted_At__c)
                replace (case when OwnerId like '005%' then OwnerId end as OwnerId, {_DELETED} as IsDeleted),
            coalesce(CountryCode, Country) as country,
            case
                when IsConverted = 'true'
                    then coalesce(Converted_At__c, greatest(CreatedDate, ConvertedDate || '{_MIDNIGHT}'))
            end as converted_at
        from "Lead"
        """,
        counted=True,
    ),
    "lead_changes": Stream((_history("lead_changes", "LeadHistory", "LeadId"),), "", (_USERS,)),
    "opportunities": Stream(
        (
            SObject(
                "Opportunity",
                "Name AccountId:id OwnerId:id CreatedById:id CreatedDate:time StageName Amount:number CurrencyIsoCode?"
                " CloseDate:day Probability:number ForecastCategory LeadSource CampaignId:id Buying_Class__c Sales_Model__c"
                " Loss_Reason__c Competitor__c Is_Test__c:flag IsDeleted:flag",
            ),
        ),
        f"""
        select * replace ({category("ForecastCategory")} as ForecastCategory) from "Opportunity"
        """,
        counted=True,
    ),
    "opportunity_changes": Stream(
        (_history("opportunity_changes", "OpportunityFieldHistory", "OpportunityId"),), "", (_USERS,)
    ),
    # Two roles of one contact, or one that was taken away and given again: the living, the primary, the newest one.
    "opportunity_contacts": Stream(
        (
            SObject(
                "OpportunityContactRole",
                "OpportunityId:id ContactId:id Role IsPrimary:flag IsDeleted:flag CreatedDate:time",
            ),
        ),
        """
        select OpportunityId, ContactId, Role, IsPrimary, IsDeleted
        from "OpportunityContactRole"
        qualify row_number() over (
            partition by OpportunityId, ContactId order by IsDeleted, IsPrimary desc, SystemModstamp desc, Id
        ) = 1
        """,
        whole=True,
    ),
    "opportunity_splits": Stream(
        (
            SObject(
                "OpportunitySplit",
                "OpportunityId:id SplitOwnerId:id SplitTypeId:id SplitPercentage:number IsDeleted:flag CreatedDate:time",
            ),
        ),
        """
        select OpportunityId, SplitOwnerId, lower(types.DeveloperName) as split_type, SplitPercentage, IsDeleted
        from "OpportunitySplit" as splits
        left join "OpportunitySplitType" as types on splits.SplitTypeId = types.Id
        qualify row_number() over (
            partition by OpportunityId, SplitOwnerId, split_type order by IsDeleted, splits.SystemModstamp desc, splits.Id
        ) = 1
        """,
        (SObject("OpportunitySplitType", "DeveloperName"),),
        whole=True,
    ),
    "opportunity_lines": Stream(
        (
            SObject(
                "OpportunityLineItem",
                "OpportunityId:id Product2Id:id Quantity:number ListPrice:number TotalPrice:number CurrencyIsoCode?"
                " List_Amount__c:number Cost_Amount__c:number CreatedDate:time IsDeleted:flag",
            ),
        ),
        f"""
        select
            * exclude (ListPrice, List_Amount__c, SystemModstamp, CreatedDate),
            coalesce(
                List_Amount__c,
                {number("cast(try_cast(ListPrice as decimal(18, 6)) * try_cast(Quantity as decimal(18, 6)) as varchar)")}
            ) as list_amount
        from "OpportunityLineItem"
        """,
    ),
    # Done tasks and events. Subjects are free text, in which names stand: they are not read.
    "activities": Stream(
        (
            SObject(
                "Task",
                f"{_ACTIVITY} TaskSubtype CompletedDateTime:time CallDurationInSeconds:number CallType CallDisposition",
                "IsClosed = true",
                since=True,
            ),
            SObject("Event", f"{_ACTIVITY} ActivityDateTime:time DurationInMinutes:number", since=True),
        ),
        f"""
        select
            Id, lower(TaskSubtype) as activity_type, lower(coalesce(Direction__c, CallType)) as direction, {_WHO_AND_WHAT},
            coalesce(Occurred_At__c, CompletedDateTime, ActivityDate || '{_MIDNIGHT}') as occurred_at,
            cast(round(try_cast(CallDurationInSeconds as decimal(18, 6)) / 60) as bigint)::varchar as duration_minutes,
            coalesce(Outcome__c, CallDisposition) as outcome, {_BY_MACHINE}, IsDeleted
        from "Task"
        union all
        select
            Id, 'meeting', lower(Direction__c), {_WHO_AND_WHAT},
            coalesce(Occurred_At__c, ActivityDateTime, ActivityDate || '{_MIDNIGHT}'), DurationInMinutes, Outcome__c, {_BY_MACHINE},
            IsDeleted
        from "Event"
        """,
        (_USERS,),
    ),
    "campaign_members": Stream(
        (
            SObject(
                "CampaignMember",
                "CampaignId:id LeadId:id ContactId:id Status FirstRespondedDate:day Responded_At__c:time CreatedDate:time",
                _ALIVE,
            ),
        ),
        f"""
        select
            Id, CampaignId, LeadId, ContactId, lower(Status) as status, CreatedDate,
            case
                when coalesce(Responded_At__c, FirstRespondedDate) is not null
                    then coalesce(Responded_At__c, greatest(CreatedDate, FirstRespondedDate || '{_MIDNIGHT}'))
            end as responded_at
        from "CampaignMember"
        """,
    ),
}
HISTORIES = frozenset(TRACKED)
