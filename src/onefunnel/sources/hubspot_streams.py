"""What is read of HubSpot: the objects and properties of each stream, and the SQL that makes its records of them.

Sources, pages of HubSpot's developer documentation: *CRM API, Line items* (a line item is of one deal, quote, invoice or
subscription; the scope), *CRM API, Products* (`hs_cost_of_goods_sold`, `hs_recurring_billing_period`), *Activities, Calls*
(`hs_call_direction` is said from the user's side; durations are milliseconds; the statuses), *Activities, Email*
(`hs_email_direction`, `hs_email_status`), *Activities, Meetings* (`hs_meeting_outcome`, start and end); of its knowledge base:
*HubSpot's default line item properties*, *HubSpot's default activity properties*.

A property is text, `name:number` is of another kind (`KINDS`), `name?` may be missing. Subjects, bodies and notes are free
text, in which names stand: they are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KINDS = {
    "text": ("string", "enumeration", "phone_number"),
    "number": ("number",),
    "time": ("datetime", "date"),
    "yes": ("bool",),
    "day": ("date",),
    "any": ("string", "enumeration", "number"),
}
# HubSpot's probabilities are shares, the contract's are percent. What is no number stays, for staging to refuse.
PERCENT = "coalesce((try_cast({0} as decimal(18, 8)) * 100)::decimal(18, 6)::varchar, {0})"
# A day that somebody chose is a moment in UTC; which day it was is told by the portal's time zone.
DAY = """coalesce(strftime(timezone({zone}, coalesce(
    make_timestamp(try_cast({0} as bigint) * 1000), try_cast({0} as timestamp)) at time zone 'UTC'), '%Y-%m-%d'), {0})"""

# Where the portal has only the day of a moment, it began with that day in the portal's time zone.
BEGINNING = """coalesce(case when length({0}) = 10 then strftime(
    timezone('UTC', timezone({{zone}}, try_cast({0} as timestamp))), '%Y-%m-%dT%H:%M:%SZ') end, {0})"""


@dataclass(frozen=True)
class Object:
    """An object of the CRM: its name in paths, the properties with the times of its last change and of its making.

    Attributes:
        company_type: id of the association type that leads to the primary company ("HubSpot defined association types").
        merges: whether records of it are merged and stay, as the record that is left.
    """

    name: str
    modified: str = "hs_lastmodifieddate"
    created: str = "createdate"
    company_type: int | None = None
    merges: bool = False


COMPANIES = Object("companies", merges=True)
CONTACTS = Object("contacts", "lastmodifieddate", company_type=1, merges=True)
DEALS = Object("deals", company_type=5, merges=True)


@dataclass(frozen=True)
class Stream:
    """What is read of an object for a stream.

    Attributes:
        properties: names, as the module says.
        columns: SQL of what becomes of a record, beside its id and, where records are merged, its times and state. What it
            says of `company_id`, `deal_id` and `person` are associations.
        loser: SQL of what a merged record has, from the record that is left.
        only: SQL: which records are of the stream; `filters` says the same to the search.
        counted: whether the search counts the same records.
        is_kept: what HubSpot has forgotten stays as it was read last.
    """

    object: Object
    properties: str
    columns: str
    loser: str = "'false' as archived"
    only: str = "true"
    filters: tuple[Mapping[str, str], ...] = ()
    counted: bool = True
    is_kept: bool = False


def _times_quantity(price: str) -> str:
    """SQL of what so many units cost, to six decimals."""
    product = f"try_cast({price} as decimal(24, 8)) * try_cast(quantity as decimal(14, 6))"
    return f"cast(cast({product} as decimal(38, 6)) as varchar)"


NAME = "nullif(trim(concat_ws(' ', firstname, lastname)), '') as full_name"
RECORDS = {
    "accounts": Stream(
        COMPANIES,
        "name domain industry country hs_parent_company_id:number hubspot_owner_id hs_is_target_account:yes? segment?"
        " region? territory?",
        "name, domain, industry, country, hs_parent_company_id, hubspot_owner_id, hs_is_target_account, segment, region,"
        " territory",
    ),
    "contacts": Stream(
        CONTACTS,
        "email firstname lastname phone jobtitle country",
        f"company_id, email, {NAME}, phone, jobtitle, country",
    ),
    # One record for a person: who has a lead status is a lead as well, and the contact that the lead was converted to.
    "leads": Stream(
        CONTACTS,
        "email firstname lastname company country hs_lead_status hubspot_owner_id lead_origin? crm_campaign?"
        " converted_at:time? is_test:yes?",
        f"email, {NAME}, company, country, hs_lead_status, hubspot_owner_id, lead_origin, crm_campaign,"
        f" {BEGINNING.format('converted_at')} as converted_at, is_test, id as contact_id, deal_id",
        # Its journey is that of the record that is left, and nothing else would leave it out.
        loser="'true' as archived, loser as contact_id",
        only="hs_lead_status <> ''",
        filters=({"propertyName": "hs_lead_status", "operator": "HAS_PROPERTY"},),
    ),
    "opportunities": Stream(
        DEALS,
        "dealname amount:number deal_currency_code? dealstage hs_deal_stage_probability:number closedate:time"
        " hubspot_owner_id closed_lost_reason hs_manual_forecast_category? competitor? buying_class? sales_model?"
        " lead_origin? crm_campaign? is_test:yes?",
        "dealname, company_id, amount, coalesce(deal_currency_code, {currency}) as deal_currency_code, dealstage,"
        " {probability} as probability, {closing_day} as closing_day, hubspot_owner_id, closed_lost_reason,"
        " hs_manual_forecast_category, competitor, buying_class, sales_model, lead_origin, crm_campaign, is_test",
        loser="'false' as archived, dealstage",
    ),
    # A line item of a quote, an invoice or a subscription is another record than that of the deal. The archived ones have no
    # associations any more: their cells are emptied.
    "opportunity_lines": Stream(
        Object("line_items"),
        "hs_product_id:any quantity:number price:number amount:number hs_pre_discount_amount:number?"
        " hs_cost_of_goods_sold:number? hs_line_item_currency_code?",
        f"deal_id, hs_product_id, quantity, coalesce(hs_pre_discount_amount, {_times_quantity('price')}) as list_amount,"
        f" amount, {_times_quantity('hs_cost_of_goods_sold')} as cost_amount,"
        " coalesce(hs_line_item_currency_code, {currency}) as currency",
        only="deal_id is not null",
        counted=False,
    ),
    # What was sold stays when it is archived: it is retired.
    "products": Stream(
        Object("products"),
        "name family? hs_product_type? recurringbillingfrequency? launched_on:day? retired_on:day?",
        "name, family, cast(hs_product_type = 'service' as varchar) as is_service,"
        " cast(recurringbillingfrequency is not null as varchar) as is_recurring, launched_on,"
        " coalesce(retired_on, case when archived = 'true' then coalesce(archived_at, updated_at)[:10] end) as retired_on",
        counted=False,
        is_kept=True,
    ),
}

# -- activities --------------------------------------------------------------------------------------------------------

# The outcomes of calls that every portal has ("Calls"); a portal's own ones have ids of their own.
_DISPOSITIONS = {
    "9d9162e7-6cf3-4944-bf63-4dff82258764": "busy",
    "f240bbac-87c9-4f6e-bf70-924b57d47db7": "connected",
    "a4c4c377-d246-4b32-a13b-75a56a4cd0ff": "left_live_message",
    "b2cf5968-551e-4856-9783-52b3da59a7d0": "left_voicemail",
    "73a0d17f-1163-4015-bdd5-ec830791da20": "no_answer",
    "17b47fee-58de-441e-a44c-c6300d46f273": "wrong_number",
}
_DISPOSITION = " ".join(f"when '{theirs}' then '{ours}'" for theirs, ours in _DISPOSITIONS.items())
# One record is the lead and the contact. What is done before the conversion is done for the lead; where the portal has only
# its day, all that is done on that day is.
_FOR_WHOM = """
    hs_timestamp as occurred_at, hubspot_owner_id, person.id as contact_id, company_id, deal_id, archived,
    case
        when person.lead_status is not null
            and not coalesce(
                case
                    when length(person.converted_at) = 10 then {day} > person.converted_at
                    else try_cast(hs_timestamp as timestamp) > try_cast(person.converted_at as timestamp)
                end,
                false
            )
            then person.id
    end as lead_id
"""
_MINUTES = "cast(cast(round({0}) as bigint) as varchar) as duration_minutes"
_MEETING_SECONDS = (
    "epoch(try_cast(hs_meeting_end_time as timestamp)) - epoch(try_cast(hs_meeting_start_time as timestamp))"
)
# What did not take place has no direction: nobody was reached out to.
ACTIVITIES = (
    Stream(
        Object("calls", created="hs_createdate"),
        "hs_timestamp:time hubspot_owner_id hs_call_direction hs_call_status hs_call_disposition hs_call_duration:number"
        " hs_activity_type?",
        f"""
        'call' as activity_type,
        case when coalesce(hs_call_status, '') not in ('CANCELED', 'FAILED', 'QUEUED') then lower(hs_call_direction) end as direction,
        hs_activity_type as purpose, {_MINUTES.format("try_cast(hs_call_duration as decimal(18, 3)) / 60000")},
        coalesce(case hs_call_disposition {_DISPOSITION} else hs_call_disposition end, lower(hs_call_status)) as outcome,
        'false' as is_automated, {_FOR_WHOM}
        """,
    ),
    # HubSpot's meetings have no direction. One that was booked on a public page of the meetings tool was begun by the guest.
    Stream(
        Object("meetings", created="hs_createdate"),
        "hs_timestamp:time hubspot_owner_id hs_meeting_outcome hs_meeting_start_time:time hs_meeting_end_time:time"
        " hs_meeting_source:any? hs_activity_type?",
        f"""
        'meeting' as activity_type,
        case
            when hs_meeting_outcome in ('CANCELED', 'RESCHEDULED') then null
            when hs_meeting_source = 'MEETINGS_PUBLIC' then 'inbound'
            else 'outbound'
        end as direction,
        hs_activity_type as purpose, {_MINUTES.format(f"({_MEETING_SECONDS}) / 60")}, lower(hs_meeting_outcome) as outcome,
        'false' as is_automated, {_FOR_WHOM}
        """,
    ),
    # What a sequence sends, a machine sends. Who wrote what was forwarded to the CRM is not said.
    Stream(
        Object("emails", created="hs_createdate"),
        "hs_timestamp:time hubspot_owner_id hs_email_direction hs_email_status hs_sequence_id:any?",
        f"""
        'email' as activity_type,
        case
            when hs_email_status in ('FAILED', 'SCHEDULED', 'SENDING') then null
            when hs_email_direction = 'EMAIL' then 'outbound'
            when hs_email_direction = 'INCOMING_EMAIL' then 'inbound'
        end as direction,
        cast(null as varchar) as purpose, cast(null as varchar) as duration_minutes, lower(hs_email_status) as outcome,
        cast(hs_sequence_id is not null as varchar) as is_automated, {_FOR_WHOM}
        """,
    ),
)
# Of whom an activity is told: what the leads say of the same record.
PERSON = Stream(CONTACTS, "hs_lead_status converted_at:time?", "")

# -- history -----------------------------------------------------------------------------------------------------------

# Property -> the word of the history.
CHANGES = {
    "lead_changes": (
        Stream(CONTACTS, "hs_lead_status hubspot_owner_id", "", only="hs_lead_status <> ''"),
        {"hs_lead_status": "status", "hubspot_owner_id": "owner"},
    ),
    "opportunity_changes": (
        Stream(
            DEALS,
            "dealstage amount:number deal_currency_code? closedate:time hs_deal_stage_probability:number"
            " hs_manual_forecast_category? hubspot_owner_id",
            "",
        ),
        {
            "dealstage": "stage",
            "amount": "amount",
            "deal_currency_code": "currency",
            "closedate": "close_date",
            "hs_deal_stage_probability": "probability",
            "hs_manual_forecast_category": "forecast_category",
            "hubspot_owner_id": "owner",
        },
    ),
}
