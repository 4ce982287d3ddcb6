"""Writes ./sample: calls of invented visitors, as Segment keeps them.

Source: *Spec: Common fields*, *Spec: Page*, *Amazon S3 destination* (one call a line, whole) and *Warehouse schemas* (a table per event,
nested names joined with `_`, moments as timestamps). Page calls are written as JSON, the form's table as Parquet.
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
GOOGLE = "https://www.google.com/"
BRAND = {"name": "brand_search", "source": "google", "medium": "cpc", "id": "21750001"}
OFFER = {"name": "spring_offer", "source": "linkedin", "medium": "paid_social"}
NEWS = {"name": "april_news", "source": "newsletter", "medium": "email"}
STAFF = {"source": "internal", "medium": "link"}
# visitor, instant (UTC, milliseconds), campaign, referrer, path, a machine?
PAGES: list[tuple[str, str, dict[str, str] | None, str, str, bool]] = [
    ("a-01", "2026-04-01T07:10:00.120", BRAND, GOOGLE, "/", False),
    ("a-02", "2026-04-01T08:00:05.000", None, GOOGLE, "/guide", False),
    ("a-03", "2026-04-01T09:30:00.310", OFFER, "", "/offer", False),
    ("a-04", "2026-04-01T12:00:00.045", None, "", "/", False),
    ("a-05", "2026-04-01T13:15:00.000", STAFF, "", "/", False),
    ("a-06", "2026-04-01T13:15:01.000", None, "", "/", True),
    ("a-01", "2026-04-01T22:30:00.999", NEWS, "", "/news", False),
    ("a-01", "2026-04-02T06:45:00.500", None, "", "/demo", False),
    ("a-02", "2026-04-02T10:20:00.000", BRAND, GOOGLE, "/demo", False),
    ("a-07", "2026-04-02T11:00:00.250", OFFER, "", "/offer", False),
]
# visitor, instant, campaign, e-mail as it was typed
FORMS: list[tuple[str, str, dict[str, str] | None, str]] = [
    ("a-03", "2026-04-01T09:31:35.310", OFFER, "Mara@kunde.example"),
    ("a-01", "2026-04-02T06:46:01.500", None, "jonas@firma.example "),
    ("a-02", "2026-04-02T10:20:40.000", BRAND, "aiko@werk.example"),
]


def page(
    number: int, visitor: str, at: str, campaign: dict[str, str] | None, referrer: str, path: str, bot: bool
) -> Any:
    about = {"path": path, "referrer": referrer, "search": "", "title": "Brightpath", "url": f"{SITE}{path}"}
    context = {"ip": "203.0.113.7", "library": {"name": "analytics.js", "version": "next-1.77.0"}, "locale": "de-DE"}
    return {
        "anonymousId": visitor,
        "channel": "client",
        "context": {
            **context,
            **({"campaign": campaign} if campaign else {}),
            "page": about,
            "userAgent": "Mozilla/5.0",
        },
        "integrations": {},
        "messageId": f"ajs-next-{number:04d}",
        "name": None,
        "originalTimestamp": f"{at}Z",
        "properties": {**about, "is_bot": bot},
        "receivedAt": f"{at[:-4]}.999Z",
        "sentAt": f"{at}Z",
        "timestamp": f"{at}Z",
        "type": "page",
        "userId": None,
        "version": 2,
    }


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    calls = [page(number, *row) for number, row in enumerate(PAGES)]
    lines = [json.dumps(call, ensure_ascii=False, separators=(",", ":")) for call in calls]
    (HERE / "pages_2026-04.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    moments = [dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC) for _, at, _, _ in FORMS]
    table = pa.table(
        {
            "id": [f"ajs-next-{9000 + number}" for number in range(len(FORMS))],
            "anonymous_id": [visitor for visitor, *_ in FORMS],
            "timestamp": pa.array(moments, pa.timestamp("us", "UTC")),
            "received_at": pa.array(moments, pa.timestamp("us", "UTC")),
            "event": ["form_submitted"] * len(FORMS),
            "event_text": ["Form Submitted"] * len(FORMS),
            "form": ["demo"] * len(FORMS),
            "email": [email for *_, email in FORMS],
            **{
                f"context_campaign_{name}": pa.array(
                    [(campaign or {}).get(name) for _, _, campaign, _ in FORMS], pa.string()
                )
                for name in ("name", "source", "medium")
            },
            "context_page_url": [f"{SITE}/demo"] * len(FORMS),
        }
    )
    pq.write_table(table, HERE / "form_submitted.parquet")
    leads = ["lead_id,email,status,created_at", "L-1,mara@kunde.example,Marketing Qualified,2026-04-01T09:31:40Z"]
    leads += ["L-2,jonas@firma.example,Marketing Qualified,2026-04-02T06:46:05Z"]
    leads += ["L-3,AIKO@werk.example,Marketing Qualified,2026-04-02T10:20:45Z"]
    (HERE / "leads.csv").write_text("\n".join(leads) + "\n", encoding="utf-8")
    spend = ["day,campaign_id,campaign,channel,cost", "2026-04-01,21750001,brand_search,paid_search,41.20"]
    spend += ["2026-04-02,21750001,brand_search,paid_search,38.05", "2026-04-01,5501,spring_offer,paid_social,90"]
    (HERE / "spend.csv").write_text("\n".join(spend) + "\n", encoding="utf-8")
