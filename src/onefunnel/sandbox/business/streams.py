"""What the business delivers: every stream with its file, its columns and what kind of value each holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "boolean", "time", "millis", "date", "money", "number", "count"]
CRM, WEB, MAILING, EVENTS, FINANCE, CALENDARS = "crm", "web", "mailing", "events", "finance", "calendars"


@dataclass(frozen=True)
class Stream:
    """A stream of a source.

    Attributes:
        columns: (name, kind) in the order of the file.
        key: the columns that name a record.
        daily: a file per day with what was made or changed then; else one full list that is written over.
        ending: of the file's name, and with it the format.
        first_line: the line of the first record: 2 below a header, in Parquet and NDJSON 1.
    """

    source: str
    name: str
    columns: tuple[tuple[str, Kind], ...]
    key: tuple[str, ...]
    daily: bool = True
    ending: Literal["csv", "ndjson", "parquet", "xlsx"] = "csv"
    stem: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(name for name, _ in self.columns)

    @property
    def first_line(self) -> int:
        """The line of the first record."""
        return 2 if self.ending in ("csv", "xlsx") else 1

    @property
    def full_name(self) -> str:
        """source.stream"""
        return f"{self.source}.{self.name}"


_KINDS: dict[str, Kind] = {
    "t": "text",
    "b": "boolean",
    "@": "time",
    "ms": "millis",
    "d": "date",
    "$": "money",
    "n": "number",
    "i": "count",
}


def _columns(text: str) -> tuple[tuple[str, Kind], ...]:
    """Columns as `name` or `name:kind`, text unless said otherwise."""
    parts = (word.partition(":") for word in text.split())
    return tuple((name, _KINDS[kind or "t"]) for name, _, kind in parts)


def _stream(source: str, name: str, columns: str, key: str, daily: bool = True) -> Stream:
    return Stream(source, name, _columns(columns), tuple(key.split()), daily)


STREAMS: dict[str, Stream] = {
    stream.name: stream
    for stream in (
        _stream(
            CRM,
            "users",
            "user_id full_name function role rep_type manager_id team territory_id calendar hired_on:d ramp_end_on:d"
            " left_on:d",
            "user_id",
            daily=False,
        ),
        _stream(
            CRM,
            "products",
            "product_id product_name family is_service:b is_recurring:b launched_on:d retired_on:d",
            "product_id",
            daily=False,
        ),
        _stream(
            CRM,
            "territories",
            "territory_id territory_name parent_territory_id region manager_id",
            "territory_id",
            daily=False,
        ),
        _stream(
            CRM,
            "territory_assignments",
            "user_id territory_id valid_from:d valid_to:d",
            "user_id territory_id valid_from",
            daily=False,
        ),
        _stream(
            CRM,
            "crm_campaigns",
            "crm_campaign_id campaign_name channel ad_campaign_id started_on:d ended_on:d budget_amount:$ currency"
            " owner_id",
            "crm_campaign_id",
            daily=False,
        ),
        _stream(
            CRM,
            "accounts",
            "account_id account_name parent_account_id merged_into_id domain segment industry country region"
            " territory_id owner_id is_target:b created_at:@ modified_at:@ is_deleted:b",
            "account_id",
        ),
        _stream(
            CRM,
            "contacts",
            "contact_id account_id email full_name phone role country created_at:@ modified_at:@ merged_into_id"
            " is_deleted:b",
            "contact_id",
        ),
        _stream(
            CRM,
            "leads",
            "lead_id email full_name company_name country lead_source crm_campaign_id owner_id status created_at:@"
            " modified_at:@ converted_at:@ converted_contact_id converted_account_id converted_opportunity_id"
            " merged_into_id is_test:b is_deleted:b",
            "lead_id",
        ),
        _stream(
            CRM,
            "lead_changes",
            "change_id lead_id field old_value new_value changed_at:@ changed_by_id",
            "change_id",
        ),
        _stream(
            CRM,
            "opportunities",
            "opportunity_id opportunity_name account_id owner_id created_by_id created_at:@ modified_at:@ stage"
            " amount:$ currency close_date:d probability:n forecast_category buying_class sales_model lead_source"
            " crm_campaign_id loss_reason competitor merged_into_id is_test:b is_deleted:b",
            "opportunity_id",
        ),
        _stream(
            CRM,
            "opportunity_changes",
            "change_id opportunity_id field old_value new_value changed_at:@ changed_by_id",
            "change_id",
        ),
        _stream(
            CRM,
            "opportunity_contacts",
            "opportunity_id contact_id role is_primary:b is_deleted:b",
            "opportunity_id contact_id",
        ),
        _stream(
            CRM,
            "opportunity_splits",
            "opportunity_id user_id split_type split_percent:n is_deleted:b",
            "opportunity_id user_id split_type",
        ),
        _stream(
            CRM,
            "opportunity_lines",
            "line_id opportunity_id product_id quantity:n list_amount:$ net_amount:$ cost_amount:$ currency"
            " is_deleted:b",
            "line_id",
        ),
        _stream(
            CRM,
            "activities",
            "activity_id activity_type direction purpose owner_id lead_id contact_id account_id opportunity_id"
            " occurred_at:@ duration_minutes:i outcome is_automated:b is_deleted:b",
            "activity_id",
        ),
        _stream(
            CRM,
            "campaign_members",
            "member_id crm_campaign_id lead_id contact_id status responded_at:@ created_at:@",
            "member_id",
        ),
        Stream(
            WEB,
            "web_touches",
            _columns(
                "touch_id occurred_at:ms touch_type visitor_id email lead_id utm_source utm_medium utm_campaign"
                " utm_id click_id_kind referrer landing_page is_bot:b experiment_id variant"
            ),
            ("touch_id",),
            ending="ndjson",
        ),
        Stream(
            MAILING,
            "email_touches",
            _columns("touch_id occurred_at:ms touch_type email lead_id contact_id crm_campaign_id is_automated:b"),
            ("touch_id",),
            ending="parquet",
        ),
        Stream(
            EVENTS,
            "event_touches",
            _columns("touch_id occurred_at:ms touch_type email lead_id contact_id crm_campaign_id"),
            ("touch_id",),
            ending="xlsx",
            stem="attendees",
        ),
        _stream(
            FINANCE,
            "revenue_events",
            "event_id event_type opportunity_id account_id product_id booked_at:@ amount:$ currency list_amount:$"
            " cost_amount:$ recurring_amount:$ starts_on:d ends_on:d reverses_event_id",
            "event_id",
        ),
        _stream(
            FINANCE,
            "budgets",
            "ad_account_id campaign_id period_start:d period_end:d budget_amount:$ currency",
            "ad_account_id campaign_id period_start",
            daily=False,
        ),
        Stream(
            FINANCE,
            "plan_values",
            _columns(
                "metric owner_type owner_id period_start:d period_end:d scenario version valid_as_of:d"
                " value_amount:$ currency approved_by"
            ),
            ("metric", "owner_type", "owner_id", "period_start", "scenario", "version"),
            daily=False,
            ending="xlsx",
        ),
        _stream(CALENDARS, "holidays", "calendar holiday_on:d holiday_name", "calendar holiday_on", daily=False),
        _stream(
            CALENDARS,
            "working_hours",
            "calendar weekday:i opens_at closes_at time_zone",
            "calendar weekday opens_at",
            daily=False,
        ),
    )
}
SOURCES = tuple(dict.fromkeys(stream.source for stream in STREAMS.values()))
