"""Writes ./sample: events of invented visitors, shaped as BigQuery exports Google Analytics' tables `events_YYYYMMDD`.

Source: *BigQuery Export schema* (Google Analytics) and *Export table data* (BigQuery): in JSON a 64-bit integer is a string and what
is null is left out. The first day is written as JSON, the second as Parquet.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent / "sample"
SITE = "https://www.brightpath.example"
TEXT, WHOLE = pa.string(), pa.int64()
VALUE = pa.struct(
    [("string_value", TEXT), ("int_value", WHOLE), ("float_value", pa.float64()), ("double_value", pa.float64())]
)
CAMPAIGN = pa.struct(
    [
        (n, TEXT)
        for n in (
            "campaign_id",
            "campaign_name",
            "source",
            "medium",
            "source_platform",
            "default_channel_group",
            "primary_channel_group",
        )
    ]
)
SCHEMA = pa.schema(
    [
        ("event_date", TEXT),
        ("event_timestamp", WHOLE),
        ("event_name", TEXT),
        ("event_params", pa.list_(pa.struct([("key", TEXT), ("value", VALUE)]))),
        ("event_bundle_sequence_id", WHOLE),
        ("user_id", TEXT),
        ("user_pseudo_id", TEXT),
        ("privacy_info", pa.struct([("analytics_storage", TEXT), ("ads_storage", TEXT)])),
        ("device", pa.struct([("category", TEXT), ("language", TEXT), ("web_info", pa.struct([("browser", TEXT)]))])),
        ("geo", pa.struct([("country", TEXT), ("city", TEXT)])),
        ("traffic_source", pa.struct([("name", TEXT), ("medium", TEXT), ("source", TEXT)])),
        ("stream_id", TEXT),
        ("platform", TEXT),
        ("items", pa.list_(pa.struct([("item_id", TEXT), ("quantity", WHOLE)]))),
        (
            "collected_traffic_source",
            pa.struct(
                [
                    (n, TEXT)
                    for n in ("manual_campaign_id", "manual_campaign_name", "manual_source", "manual_medium", "gclid")
                ]
            ),
        ),
        ("is_active_user", pa.bool_()),
        ("batch_event_index", WHOLE),
        ("batch_page_id", WHOLE),
        ("batch_ordering_id", WHOLE),
        ("session_traffic_source_last_click", pa.struct([("cross_channel_campaign", CAMPAIGN)])),
    ]
)

SEARCH = ("21750001", "brand_search", "google", "cpc", "Paid Search")
SOCIAL = (None, "spring_offer", "linkedin", "paid_social", "Paid Social")
ORGANIC = (None, "(organic)", "google", "organic", "Organic Search")
DIRECT = (None, "(direct)", "(direct)", "(none)", "Direct")
MAIL = (None, "april_news", "newsletter", "email", "Email")
STAFF = (None, "(not set)", "internal", "link", "Unassigned")
GOOGLE = "https://www.google.com/"
# visitor, first instant (UTC), source, referrer, landing page, further events: name and seconds after the first, lead
SESSIONS: list[tuple[str, str, Any, str | None, str, list[tuple[str, int]], str | None]] = [
    ("1001.1", "2026-04-01T07:10:00", SEARCH, GOOGLE, "/", [("page_view", 0), ("scroll", 12)], None),
    ("1002.1", "2026-04-01T08:00:05", ORGANIC, GOOGLE, "/guide", [("page_view", 0), ("user_engagement", 30)], None),
    ("1003.1", "2026-04-01T09:30:00", SOCIAL, None, "/offer", [("page_view", 0), ("generate_lead", 95)], "L-1"),
    ("1004.1", "2026-04-01T12:00:00", DIRECT, None, "/", [("page_view", 0)], None),
    ("1005.1", "2026-04-01T13:15:00", STAFF, None, "/", [("page_view", 0)], None),
    ("1001.1", "2026-04-01T22:30:00", MAIL, None, "/news", [("page_view", 0)], None),
    ("1001.1", "2026-04-02T06:45:00", DIRECT, None, "/demo", [("page_view", 0), ("generate_lead", 61)], "L-2"),
    ("1002.1", "2026-04-02T10:20:00", SEARCH, GOOGLE, "/demo", [("page_view", 0), ("generate_lead", 40)], "L-3"),
    ("1006.1", "2026-04-02T11:00:00", SOCIAL, None, "/offer", [("page_view", 0), ("scroll", 5)], None),
    ("1007.1", "2026-04-02T16:00:00", ORGANIC, GOOGLE, "/guide", [("page_view", 0)], None),
]


def param(key: str, value: str | int) -> dict[str, Any]:
    kinds = {"string_value": None, "int_value": None, "float_value": None, "double_value": None}
    return {"key": key, "value": {**kinds, "int_value" if isinstance(value, int) else "string_value": value}}


def events() -> list[dict[str, Any]]:
    found = []
    for number, (visitor, at, source, referrer, page, more, lead) in enumerate(SESSIONS):
        first = dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC)
        campaign_id, campaign, name, medium, group = source
        session = int(first.timestamp())
        for index, (event, after) in enumerate([("session_start", 0), *more]):
            moment = first + dt.timedelta(seconds=after)
            params = [
                param("ga_session_id", session),
                param("page_location", f"{SITE}{page}"),
                param("ga_session_number", 1),
            ]
            params += [param("page_referrer", referrer)] if referrer else []
            params += [param("lead_id", lead)] if lead and event == "generate_lead" else []
            micros = int(moment.timestamp()) * 1_000_000 + 1000 * number + 7
            found.append(
                {
                    # the day of the property's zone, Europe/Berlin
                    "event_date": (moment + dt.timedelta(hours=2)).strftime("%Y%m%d"),
                    "event_timestamp": micros,
                    "event_name": event,
                    "event_params": params,
                    "event_bundle_sequence_id": 500_000 + number,
                    "user_id": None,
                    "user_pseudo_id": visitor,
                    "privacy_info": {"analytics_storage": "Yes", "ads_storage": "No"},
                    "device": {"category": "desktop", "language": "de-de", "web_info": {"browser": "Firefox"}},
                    "geo": {"country": "Germany", "city": "Hamburg"},
                    "traffic_source": {"name": campaign, "medium": medium, "source": name},
                    "stream_id": "7700001",
                    "platform": "WEB",
                    "items": [],
                    # what the page's address said; Google's own tables leave it out of session_start
                    "collected_traffic_source": None
                    if event == "session_start" or name == "(direct)"
                    else {
                        "manual_campaign_id": campaign_id,
                        "manual_campaign_name": campaign,
                        "manual_source": name,
                        "manual_medium": medium,
                        "gclid": None,
                    },
                    "is_active_user": True,
                    "batch_event_index": index + 1,
                    "batch_page_id": session * 1000,
                    "batch_ordering_id": 1,
                    "session_traffic_source_last_click": {
                        "cross_channel_campaign": {
                            "campaign_id": campaign_id,
                            "campaign_name": campaign,
                            "source": name,
                            "medium": medium,
                            "source_platform": "Manual",
                            "default_channel_group": group,
                            "primary_channel_group": group,
                        }
                    },
                }
            )
    return found


def as_json(value: Any) -> Any:
    """A value as BigQuery writes it in JSON."""
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    first, second = ([e for e in events() if e["event_date"] == day] for day in ("20260401", "20260402"))
    lines = [json.dumps(as_json(event), ensure_ascii=False, separators=(",", ":")) for event in first]
    (HERE / "events_20260401.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(second, SCHEMA), HERE / "events_20260402.parquet", compression="snappy")
    leads = ["lead_id,status,created_at", "L-1,Marketing Qualified,2026-04-01T09:31:40Z"]
    leads += ["L-2,Marketing Qualified,2026-04-02T06:46:05Z", "L-3,Marketing Qualified,2026-04-02T10:20:45Z"]
    spend = ["day,campaign_id,campaign,channel,cost", "2026-04-01,21750001,brand_search,paid_search,41.20"]
    spend += ["2026-04-02,21750001,brand_search,paid_search,38.05"]
    (HERE / "spend.csv").write_text("\n".join(spend) + "\n", encoding="utf-8")
    (HERE / "leads.csv").write_text("\n".join(leads) + "\n", encoding="utf-8")
