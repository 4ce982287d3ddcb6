"""The worked configurations that bring their own invented files: Google Analytics' export, Segment's events, a cost sheet.

What the marts must say is computed here from the files themselves, by plain Python, from what their vendors' documentation says of them.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import PROJECT, Home

pytestmark = pytest.mark.long

EXAMPLES = ("ga4_export", "segment_events", "cost_sheet")
TOKEN_KEY = "k" * 40
MILLION = 1_000_000


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Home]:
    """One run of each example, two at a time."""
    root = tmp_path_factory.mktemp("shapes")

    def run(name: str) -> tuple[str, Home]:
        example = root / name
        shutil.copytree(PROJECT / "examples" / name, example, ignore=shutil.ignore_patterns("var"))
        extra = {"ONEFUNNEL_CONFIG": str(example / "pipeline.yml"), "ONEFUNNEL_TOKEN_KEY": TOKEN_KEY}
        home = Home(example / "var", extra=extra)
        done = home.cli("run", timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]
        return name, home

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(run, EXAMPLES))


def sample(example: str, name: str) -> Any:
    path = PROJECT / "examples" / example / "sample" / name
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle)) if path.suffix == ".csv" else [json.loads(line) for line in handle]


def channels(home: Home) -> Counter[tuple[str, str, str]]:
    """Touches that count, by day, type and channel."""
    found = home.query(
        "select touch_date::varchar, touch_type, channel, count(*) from marts.fct_touch"
        " where is_response and not is_excluded group by all"
    )
    return Counter({(day, kind, channel): number for day, kind, channel, number in found})


def channel_of(source: str | None, medium: str | None, referrer: str | None) -> str:
    """The agreed channel (seeds/agreement/channel_rules.csv) in words of its own."""
    pairs = {
        ("google", "cpc"): "paid_search",
        ("linkedin", "paid_social"): "paid_social",
        ("newsletter", "email"): "email",
    }
    return pairs.get((source or "", medium or "")) or ("organic_search" if "google" in (referrer or "") else "direct")


def credited(home: Home, model: str) -> dict[str, dict[str, int]]:
    """Of each lead the millionths of each channel."""
    found: dict[str, dict[str, int]] = {}
    for lead, channel, weight in home.query(
        "select conversion_id, channel, sum(weight_micro) from marts.fct_credit"
        f" where model = '{model}' and conversion_type = 'lead' group by all"
    ):
        found.setdefault(lead.removeprefix("lead:"), {})[channel] = int(weight)
    return found


# -- ga4_export -------------------------------------------------------------------------------------------------------


def ga4_events() -> list[dict[str, Any]]:
    """Both days' events: when, what, whose, where from."""
    found = []
    for event in [*sample("ga4_export", "events_20260401.json"), *sample("ga4_export", "events_20260402.parquet")]:
        params = {p["key"]: p["value"].get("string_value") for p in event["event_params"]}
        last_click = event["session_traffic_source_last_click"]["cross_channel_campaign"]
        at = dt.datetime.fromtimestamp(int(event["event_timestamp"]) / MILLION, dt.UTC)
        channel = channel_of(last_click["source"], last_click["medium"], params.get("page_referrer"))
        found.append(
            {
                "day": str(at.date()),
                "name": event["event_name"],
                "channel": channel,
                "campaign": last_click.get("campaign_id"),
                "is_staff": last_click["source"] == "internal",
            }
        )
    return found


def test_ga4_sessions_and_forms_by_channel_and_day(homes: dict[str, Home]) -> None:
    kinds = {"session_start": "visit", "generate_lead": "form"}
    events = ga4_events()
    expected = Counter(
        (e["day"], kinds[e["name"]], e["channel"]) for e in events if e["name"] in kinds and not e["is_staff"]
    )
    assert channels(homes["ga4_export"]) == expected and len(expected) > 9
    assert sum(n for (_, kind, _), n in expected.items() if kind == "visit") == 9, "ten sessions, one of staff"


def test_ga4_other_events_are_counted_and_are_no_responses(homes: dict[str, Home]) -> None:
    home, events = homes["ga4_export"], ga4_events()
    others = sum(e["name"] not in ("session_start", "generate_lead") for e in events)
    assert home.query("select count(*), bool_or(is_response) from marts.fct_touch where touch_type = 'other'") == [
        (others, False)
    ]
    assert home.query("select count(*), count(distinct touch_id) from marts.fct_touch") == [(len(events), len(events))]
    staff = sum(e["is_staff"] for e in events)
    assert home.query("select exclude_reason, count(*) from marts.fct_touch where is_excluded group by all") == [
        ("internal", staff)
    ]
    assert home.query("select count(*) from metadata.quarantine_summary") == [(0,)]


def test_ga4_an_event_of_the_evening_is_of_its_utc_day(homes: dict[str, Home]) -> None:
    """Google's day is the property's; ours is UTC. The visit of 1 April, 22:30, stands in Google's table of 2 April."""
    late = (
        "select count(*) from marts.fct_touch where touch_date = '2026-04-01' and occurred_at > '2026-04-01 22:00:00'"
    )
    assert homes["ga4_export"].query(late) == [(2,)]
    assert {e["event_date"] for e in sample("ga4_export", "events_20260402.parquet")} == {"20260402"}


def test_ga4_a_visit_knows_its_campaign_by_googles_id(homes: dict[str, Home]) -> None:
    of_campaign = sum(e["campaign"] == "21750001" for e in ga4_events())
    assert homes["ga4_export"].query(
        "select distinct campaign_id, count(*) over () from marts.fct_touch join marts.dim_campaign using (campaign_key)"
        " where channel_evidence = 'campaign_id'"
    ) == [("21750001", of_campaign)]


def test_ga4_leads_are_credited_to_the_sessions_of_their_visitors(homes: dict[str, Home]) -> None:
    """L-1 came by social; L-2 by search, by mail and directly; L-3 by organic and paid search."""
    home = homes["ga4_export"]
    assert credited(home, "first") == {
        "L-1": {"paid_social": MILLION},
        "L-2": {"paid_search": MILLION},
        "L-3": {"organic_search": MILLION},
    }
    assert all(sum(shares.values()) == MILLION for shares in credited(home, "linear").values())
    assert {lead: set(shares) for lead, shares in credited(home, "linear").items()} == {
        "L-1": {"paid_social"},
        "L-2": {"paid_search", "email", "direct"},
        "L-3": {"organic_search", "paid_search"},
    }


def test_ga4_visitors_are_published_as_nobody(homes: dict[str, Home]) -> None:
    visitors = {e["user_pseudo_id"] for e in sample("ga4_export", "events_20260402.parquet")}
    text = str(homes["ga4_export"].query("select * from marts.fct_touch"))
    assert not [visitor for visitor in visitors if visitor in text]


# -- segment_events ---------------------------------------------------------------------------------------------------


def test_segment_visits_and_forms_by_channel_and_day(homes: dict[str, Home]) -> None:
    expected: Counter[tuple[str, str, str]] = Counter()
    for call in sample("segment_events", "pages_2026-04.ndjson"):
        campaign = call["context"].get("campaign", {})
        if call["properties"]["is_bot"] or campaign.get("source") == "internal":
            continue
        channel = channel_of(campaign.get("source"), campaign.get("medium"), call["context"]["page"]["referrer"])
        expected[call["timestamp"][:10], "visit", channel] += 1
    for form in sample("segment_events", "form_submitted.parquet"):
        channel = channel_of(form["context_campaign_source"], form["context_campaign_medium"], None)
        expected[str(form["timestamp"].date()), "form", channel] += 1
    assert channels(homes["segment_events"]) == expected and sum(expected.values()) == 11
    assert dict(homes["segment_events"].query("select exclude_reason, count(*) from marts.fct_touch where is_excluded group by all")) == {
        "bot": 1,
        "internal": 1,
    }  # fmt: skip


def test_segment_moments_are_kept_to_the_millisecond(homes: dict[str, Home]) -> None:
    found = {str(at)[:23] for (at,) in homes["segment_events"].query("select occurred_at from marts.fct_touch")}
    written = {call["timestamp"][:23].replace("T", " ") for call in sample("segment_events", "pages_2026-04.ndjson")}
    assert {w.removesuffix(".000") for w in written} <= {f.removesuffix(".000") for f in found}


def test_segment_forms_find_their_leads_by_the_address_however_it_was_typed(homes: dict[str, Home]) -> None:
    home = homes["segment_events"]
    assert home.query(
        "select person_evidence, count(*) from marts.fct_touch where touch_type = 'form' group by all"
    ) == [("email", 3)]
    assert credited(home, "first") == {
        "L-1": {"paid_social": MILLION},
        "L-2": {"paid_search": MILLION},
        "L-3": {"organic_search": MILLION},
    }
    assert not [row for row in home.query("select * from marts.fct_touch") if "@" in str(row)]


# -- cost_sheet -------------------------------------------------------------------------------------------------------

WORDS = {
    "Trade fair": "event",
    "Direct mail": "direct_mail",
    "Print": "print",
    "Podcast": "audio",
    "Agency": "other_paid",
}


def test_every_line_of_the_sheet_counts_and_a_credit_note_is_taken_off(homes: dict[str, Home]) -> None:
    lines: Counter[tuple[str, str, str, str]] = Counter()
    for row in sample("cost_sheet", "costs_2026.csv"):
        lines[row["date"], row["campaign"], WORDS[row["channel"]], row["currency"]] += Decimal(row["amount"])  # type: ignore[assignment]
    found = homes["cost_sheet"].query(
        "select spend_date::varchar, campaigns.campaign_name, spend.channel, spend.currency, spend_amount from marts.fct_ad_spend spend"
        " join marts.dim_campaign campaigns using (campaign_version_key) where spend.is_current"
    )
    assert {tuple(row[:4]): row[4] for row in found} == lines and len(found) == len(lines) == 8
    assert lines["2026-04-03", "Spring fair", "event", "EUR"] == Decimal("14260.50"), "two invoices of one day"
    fair = (
        "select sum(spend_amount) from marts.fct_ad_spend where is_current and channel = 'event' and currency = 'EUR'"
    )
    assert homes["cost_sheet"].query(fair) == [(Decimal("13660.50"),)]


def test_each_line_is_converted_at_the_rate_of_its_day_or_the_last_one_before(homes: dict[str, Home]) -> None:
    rates = [(r["currency"], r["day"], Decimal(r["one_euro_buys"])) for r in sample("cost_sheet", "rates.csv")]
    expected = Decimal(0)
    for row in sample("cost_sheet", "costs_2026.csv"):
        known = [(day, rate) for currency, day, rate in rates if currency == row["currency"] and day <= row["date"]]
        expected += Decimal(row["amount"]) / (max(known)[1] if known else 1)
    [(total, carried)] = homes["cost_sheet"].query(
        "select sum(spend_amount_rc), count(*) filter (where is_fx_carried) from marts.fct_ad_spend where is_current"
    )
    assert abs(total - expected) < Decimal("0.01") and carried == 2
    assert homes["cost_sheet"].query("select sum(abs(difference)), count(*) from metadata.reconciliation") == [(0, 4)]
