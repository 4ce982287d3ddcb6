"""The sandbox's advertising servers over real HTTP, held against the company's own truth.

The shapes asserted here are those of the vendors' documentation; each test names the page.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.events import Figures
from onefunnel.sandbox.plan import LOSES_ITS_ROW
from onefunnel.sandbox.servers import google_ads, linkedin_ads, meta_ads, microsoft_ads, serving
from onefunnel.sandbox.servers.ad_records import AdRecords, decimal_text
from onefunnel.sandbox.world import PLATFORMS

MILLION = 1_000_000
COMPANY = Company(seed=7)
FIRST, LAST = COMPANY.simulation.first_day, COMPANY.simulation.date_of(1)
DAYS = (1, 2, 9)

Serve = Callable[..., httpx.Client]
Rows = dict[tuple[str, str, dt.date], "Told"]


class Told(NamedTuple):
    """What a server says of one (account, campaign, day), read back into micros; None: the vendor does not say it."""

    spend: int
    impressions: int
    clicks: int
    conversions: int | None
    value: int | None
    leads: int | None


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an application on a free port of the loopback and give a client of it."""
    with ExitStack() as stack:

        def start(app: FastAPI, **options: Any) -> httpx.Client:
            base_url = stack.enter_context(serving.serve(app))
            return stack.enter_context(httpx.Client(base_url=base_url, timeout=60, **options))

        yield start


def expected(source: str, day: int) -> Rows:
    """The company's truth, and the rows that it lacks because a flaw of a file loses them: a server has no flaws."""
    truth = {
        (key.account_id, key.campaign_id, key.spend_date): figures
        for key, figures in COMPANY.truth(day).figures.items()
        if key.source == source
    }
    simulation, platform = COMPANY.simulation, PLATFORMS[source]
    for number in range(1, day + 1):
        for flaw in simulation.flaws(number):
            key = (flaw.account_id, flaw.campaign_id, flaw.spend_date)
            if flaw.source == source and flaw.kind in LOSES_ITS_ROW and key not in truth:
                place = [a.account_id for a in platform.accounts].index(flaw.account_id)
                rows = simulation.cell(platform, place, flaw.spend_date).state(simulation.date_of(day))
                truth.update((key, row.figures) for row in rows if row.campaign.campaign_id == flaw.campaign_id)
    return {key: told(figures) for key, figures in truth.items()}


def told(f: Figures) -> Told:
    return Told(f.spend_micro, f.impressions, f.clicks, f.conversions_micro, f.value_micro, f.leads)


def assert_truth(rows: Rows, source: str, day: int, *, without: tuple[str, ...] = ()) -> None:
    """The rows are the company's, in every field the vendor can say, and so is the spend by account and day."""
    blank: dict[str, Any] = dict.fromkeys(without)
    wanted = {key: row._replace(**blank) for key, row in expected(source, day).items()}
    assert {key: row._replace(**blank) for key, row in rows.items()} == wanted
    assert spend_by_day(rows) == spend_by_day(wanted)


def spend_by_day(rows: Rows) -> dict[tuple[str, dt.date], int]:
    totals: Counter[tuple[str, dt.date]] = Counter()
    for (account, _, day), row in rows.items():
        totals[account, day] += row.spend
    return dict(totals)


def micros(text: str) -> int:
    amount = Decimal(text) * MILLION
    assert amount == int(amount)
    return int(amount)


def move_to(client: httpx.Client, day: int) -> None:
    answer = client.post("/_sandbox/day", json={"day": day})
    assert answer.status_code == 200 and answer.json()["day"] == day


def all_kinds_happen(source: str, day: int) -> set[str]:
    """The kinds of change that the log of the platform holds after day 1 and up to `day`."""
    return {
        event.kind
        for number in range(2, day + 1)
        for event in COMPANY.simulation.events(number)
        if event.source == source
    }


# What all have in common


@pytest.mark.parametrize("vendor", [google_ads, meta_ads, linkedin_ads, microsoft_ads])
def test_the_date_header_says_the_companys_time(serve: Serve, vendor: Any) -> None:
    client = serve(vendor.make_app(COMPANY, 1))
    answer = client.get("/nothing/here")
    assert answer.status_code == 404
    assert answer.headers.get_list("date") == ["Wed, 01 Apr 2026 06:00:00 GMT"]
    move_to(client, 3)
    assert parsedate_to_datetime(client.get("/nothing/here").headers["date"]) == COMPANY.as_of(3)


@pytest.mark.parametrize("vendor", [google_ads, meta_ads, linkedin_ads, microsoft_ads])
def test_days_only_move_forward(serve: Serve, vendor: Any) -> None:
    client = serve(vendor.make_app(COMPANY, 2))
    for body in ({"day": 1}, {"day": "soon"}, {}):
        assert client.post("/_sandbox/day", json=body).status_code == 422
    assert client.post("/_sandbox/permission", json={"account": "none", "granted": False}).status_code == 400
    with pytest.raises(ValueError, match="numbered from 1"):
        vendor.make_app(COMPANY, 0)


@pytest.mark.parametrize("source", ["search_ads", "social_ads", "video_ads"])
def test_the_days_of_these_tests_restate_deliver_late_and_withdraw(source: str) -> None:
    assert all_kinds_happen(source, DAYS[-1]) >= {"reported", "restated", "late", "withdrawn"}


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_decimal_text_is_exact(micro: int, least: int) -> None:
    text = decimal_text(micro, least)
    assert Decimal(text) * MILLION == micro
    assert len(text.partition(".")[2]) >= least


# Google Ads


def google(client: httpx.Client, **headers: str) -> dict[str, str]:
    """The headers of a call: *REST authorization and headers*."""
    form = {
        "client_id": google_ads.CLIENT_ID,
        "client_secret": google_ads.CLIENT_SECRET,
        "refresh_token": google_ads.REFRESH_TOKEN,
        "grant_type": "refresh_token",
    }
    token = client.post("/token", data=form).json()
    assert token["token_type"] == "Bearer" and isinstance(token["expires_in"], int)
    return {
        "Authorization": f"Bearer {token['access_token']}",
        "developer-token": google_ads.DEVELOPER_TOKEN,
        "login-customer-id": google_ads.MANAGER_ID,
    } | {name.replace("_", "-"): value for name, value in headers.items()}


def stream(client: httpx.Client, customer: str, query: str, version: str = "v26", **headers: str) -> list[Any]:
    answer = client.post(
        f"/{version}/customers/{customer}/googleAds:searchStream",
        json={"query": query},
        headers=google(client, **headers),
    )
    assert answer.status_code == 200, answer.text
    return [row for batch in answer.json() for row in batch.get("results", [])]


def google_error(client: httpx.Client, query: str, customer: str = "5712048830", **headers: str) -> tuple[int, Any]:
    """(HTTP status, errorCode) of a refusal: *Understand API errors*, *GoogleAdsFailure*; a stream's is an array."""
    answer = client.post(
        f"/v26/customers/{customer}/googleAds:searchStream", json={"query": query}, headers=google(client, **headers)
    )
    [body] = answer.json()
    error = body["error"]
    [detail] = error["details"]
    assert error["code"] == answer.status_code and set(error) == {"code", "message", "status", "details"}
    assert detail["@type"] == "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"
    assert detail["requestId"] == answer.headers["request-id"]
    return answer.status_code, detail["errors"][0]["errorCode"]


def google_rows(client: httpx.Client, level: str, last: dt.date) -> Rows:
    """Rows of a level by two queries: figures, and leads by conversion action, which exclude cost (*QueryError*)."""
    where = f"WHERE segments.date BETWEEN '{FIRST}' AND '{last}'"
    rows: Rows = {}
    for account in PLATFORMS["search_ads"].accounts:
        customer = account.account_id.replace("-", "")
        fields = "segments.date" if level == "customer" else "campaign.id, segments.date"
        for row in stream(
            client,
            customer,
            f"SELECT {fields}, metrics.cost_micros, metrics.impressions, metrics.clicks, metrics.conversions, "
            f"metrics.conversions_value FROM {level} {where}",
        ):
            metrics = row["metrics"]
            key = (
                account.account_id,
                "" if level == "customer" else row["campaign"]["id"],
                dt.date.fromisoformat(row["segments"]["date"]),
            )
            assert key not in rows
            rows[key] = Told(
                int(metrics["costMicros"]),
                int(metrics["impressions"]),
                int(metrics["clicks"]),
                round(metrics["conversions"] * MILLION),
                round(metrics["conversionsValue"] * MILLION),
                0,
            )
        for row in stream(
            client,
            customer,
            f"SELECT {fields}, segments.conversion_action_name, segments.conversion_action_category, "
            f"metrics.all_conversions FROM {level} {where}",
        ):
            if row["segments"]["conversionActionCategory"] == "SUBMIT_LEAD_FORM":
                campaign = "" if level == "customer" else row["campaign"]["id"]
                key = (account.account_id, campaign, dt.date.fromisoformat(row["segments"]["date"]))
                rows[key] = rows[key]._replace(leads=round(row["metrics"]["allConversions"]))
    return rows


def test_google_tells_the_companys_truth_day_after_day(serve: Serve) -> None:
    client = serve(google_ads.make_app(COMPANY, 1))
    for day in DAYS:
        move_to(client, day)
        last = COMPANY.simulation.date_of(day)
        rows = google_rows(client, "campaign", last)
        assert_truth(rows, "search_ads", day)
        totals = google_rows(client, "customer", last)
        assert summed(rows) == {(account, when): row for (account, _, when), row in totals.items()}


def summed(rows: Rows) -> dict[tuple[str, dt.date], Told]:
    """Campaign rows added up by account and day."""
    totals: dict[tuple[str, dt.date], list[int]] = defaultdict(lambda: [0] * 6)
    for (account, _, day), row in rows.items():
        totals[account, day] = [a + (b or 0) for a, b in zip(totals[account, day], row, strict=True)]
    return {key: Told(*values) for key, values in totals.items()}


def test_google_sends_int64_as_strings_and_doubles_as_numbers(serve: Serve) -> None:
    """*JSON mappings* and *Method: customers.googleAds.searchStream*."""
    client = serve(google_ads.make_app(COMPANY, 1))
    answer = client.post(
        "/v26/customers/5712048831/googleAds:searchStream",
        json={
            "query": "SELECT campaign.id, campaign.name, campaign.advertising_channel_type, customer.currency_code, "
            "segments.date, metrics.cost_micros, metrics.conversions FROM campaign "
            f"WHERE segments.date = '{LAST}' ORDER BY metrics.cost_micros DESC LIMIT 2"
        },
        headers=google(client),
    )
    [batch] = answer.json()
    assert batch["fieldMask"] == (
        "campaign.id,campaign.name,campaign.advertisingChannelType,customer.currencyCode,segments.date,"
        "metrics.costMicros,metrics.conversions"
    )
    assert batch["requestId"] == answer.headers["request-id"] and isinstance(batch["queryResourceConsumption"], str)
    first, second = batch["results"]
    assert int(first["metrics"]["costMicros"]) >= int(second["metrics"]["costMicros"])
    assert isinstance(first["metrics"]["costMicros"], str) and isinstance(first["metrics"]["conversions"], float)
    assert isinstance(first["campaign"]["id"], str) and int(first["campaign"]["id"]) > 2**53
    assert first["campaign"]["resourceName"] == f"customers/5712048831/campaigns/{first['campaign']['id']}"
    assert first["customer"] == {"resourceName": "customers/5712048831", "currencyCode": "USD"}
    assert first["segments"] == {"date": LAST.isoformat()}


def test_google_streams_every_row_once_in_batches(serve: Serve) -> None:
    """*Method: customers.googleAds.searchStream*: an array of batches; the consumption is in the last one."""
    client = serve(google_ads.make_app(COMPANY, 1, batch_rows=100))
    query = f"SELECT campaign.id, segments.date, metrics.clicks, metrics.cost_micros FROM campaign WHERE segments.date BETWEEN '{FIRST}' AND '{LAST}'"
    answer = client.post(
        "/v26/customers/5712048830/googleAds:searchStream", json={"query": query}, headers=google(client)
    )
    batches = answer.json()
    sizes = [len(batch["results"]) for batch in batches]
    assert len(sizes) > 5 and set(sizes[:-1]) == {100} and 0 < sizes[-1] <= 100
    assert ["queryResourceConsumption" in batch for batch in batches] == [False] * (len(sizes) - 1) + [True]
    keys = [(r["campaign"]["id"], r["segments"]["date"]) for batch in batches for r in batch["results"]]
    wanted = [(c, d.isoformat()) for a, c, d in expected("search_ads", 1) if a == "571-204-8830"]
    assert len(keys) == len(set(keys)) and sorted(keys) == sorted(wanted)


def test_google_drops_zero_rows_only_when_a_segment_is_selected(serve: Serve) -> None:
    """*Zero metrics*: with a segment rows whose selected metrics are all zero are left out, without one they are there."""
    client = serve(google_ads.make_app(COMPANY, 1))
    where = f"FROM campaign WHERE segments.date BETWEEN '{FIRST}' AND '{LAST}'"
    rows = {(c, d): row for (a, c, d), row in expected("search_ads", 1).items() if a == "571-204-8830"}
    credits = {key for key, row in rows.items() if row.clicks == 0}
    assert credits, "this company has credits: spend below zero and no clicks"
    by_day = stream(client, "5712048830", f"SELECT campaign.id, segments.date, metrics.clicks {where}")
    assert {
        (r["campaign"]["id"], dt.date.fromisoformat(r["segments"]["date"])) for r in by_day
    } == rows.keys() - credits
    future = "FROM campaign WHERE segments.date BETWEEN '2027-01-01' AND '2027-01-31'"
    assert stream(client, "5712048830", f"SELECT campaign.id, segments.date, metrics.clicks {future}") == []
    unsegmented = stream(client, "5712048830", f"SELECT campaign.id, metrics.clicks {future}")
    assert len(unsegmented) == 12 and {r["metrics"]["clicks"] for r in unsegmented} == {"0"}


def test_google_sums_over_the_days_that_are_not_selected(serve: Serve) -> None:
    """*Segmentation*: what is not segmented by date is one row for all days of the filter."""
    client = serve(google_ads.make_app(COMPANY, 1))
    first = LAST - dt.timedelta(days=6)
    where = f"WHERE segments.date >= '{first}' AND segments.date <= '{LAST}'"
    [row] = stream(client, "5712048830", f"SELECT metrics.cost_micros FROM customer {where}")
    spend = sum(
        r.spend for (a, _, d), r in expected("search_ads", 1).items() if a == "571-204-8830" and first <= d <= LAST
    )
    assert row["metrics"]["costMicros"] == str(spend)
    during = "SELECT metrics.cost_micros FROM customer WHERE segments.date DURING LAST_7_DAYS"
    assert stream(client, "5712048830", during) == [row]


def test_google_ad_groups_lack_what_performance_max_spends(serve: Serve) -> None:
    """Performance Max campaigns have no ad groups (*Performance Max reporting*); the other campaigns' groups sum up."""
    client = serve(google_ads.make_app(COMPANY, 1))
    where = f"WHERE segments.date BETWEEN '{FIRST}' AND '{LAST}'"
    total: dict[str, Counter[str]] = {}
    for level in ("campaign", "ad_group", "ad_group_ad"):
        found = stream(
            client,
            "5712048830",
            f"SELECT campaign.id, campaign.advertising_channel_type, segments.date, metrics.cost_micros, "
            f"metrics.impressions FROM {level} {where}",
        )
        total[level] = Counter()
        for row in found:
            kind = row["campaign"]["advertisingChannelType"]
            total[level][kind] += int(row["metrics"]["costMicros"])
    assert set(total["campaign"]) == {"SEARCH", "DISPLAY", "PERFORMANCE_MAX"}
    whole = {kind: spend for kind, spend in total["campaign"].items() if kind != "PERFORMANCE_MAX"}
    assert total["ad_group"] == whole and total["ad_group_ad"] == whole


def test_google_lists_clients_and_lookback_windows(serve: Serve) -> None:
    """*CustomerClient* (the manager itself has level 0) and *ConversionAction*."""
    client = serve(google_ads.make_app(COMPANY, 1))
    listed = client.get("/v26/customers:listAccessibleCustomers", headers=google(client)).json()
    assert listed == {"resourceNames": [f"customers/{google_ads.MANAGER_ID}"]}
    rows = stream(
        client,
        google_ads.MANAGER_ID,
        "SELECT customer_client.id, customer_client.level, customer_client.manager, customer_client.currency_code, "
        "customer_client.time_zone, customer_client.descriptive_name FROM customer_client WHERE customer_client.level <= 1",
    )
    assert [r["customerClient"]["level"] for r in rows] == ["0", "1", "1", "1"]
    assert [
        (r["customerClient"]["id"], r["customerClient"]["currencyCode"])
        for r in rows
        if not r["customerClient"]["manager"]
    ] == [(a.account_id.replace("-", ""), a.currency) for a in PLATFORMS["search_ads"].accounts]
    assert {r["customerClient"]["timeZone"] for r in rows} == {"Europe/Berlin", "America/New_York", "Europe/London"}
    actions = stream(
        client,
        "5712048830",
        "SELECT conversion_action.name, conversion_action.click_through_lookback_window_days FROM conversion_action",
    )
    days = {a["conversionAction"]["name"]: a["conversionAction"]["clickThroughLookbackWindowDays"] for a in actions}
    assert days == {"Lead form": "30", "Purchase": "60"}


def test_google_refuses_queries_in_its_own_words(serve: Serve) -> None:
    """*QueryError*."""
    client = serve(google_ads.make_app(COMPANY, 1))
    when = "segments.date BETWEEN '2026-03-01' AND '2026-03-31'"
    for query, code in {
        "FROM campaign": "EXPECTED_SELECT",
        "SELECT campaign.id": "EXPECTED_FROM",
        "SELECT campaign.nme FROM campaign": "UNRECOGNIZED_FIELD",
        "SELECT campaign.id FROM campaigns": "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE",
        "SELECT ad_group.id FROM campaign": "PROHIBITED_RESOURCE_TYPE_IN_SELECT_CLAUSE",
        "SELECT segments.date, metrics.clicks FROM campaign": "EXPECTED_FILTERS_ON_DATE_RANGE",
        "SELECT segments.date FROM campaign WHERE segments.date >= '2026-03-01'": "EXPECTED_FILTERS_ON_DATE_RANGE",
        "SELECT metrics.clicks FROM campaign WHERE segments.date = '1.3.2026'": "INVALID_DATE_FORMAT",
        "SELECT campaign.id FROM campaign WHERE segments.conversion_action_name = 'Purchase'": "EXPECTED_REFERENCED_FIELD_IN_SELECT_CLAUSE",
        f"SELECT segments.conversion_action, metrics.cost_micros FROM campaign WHERE {when}": "PROHIBITED_SEGMENT_WITH_METRIC_IN_SELECT_OR_WHERE_CLAUSE",
        "SELECT campaign.id FROM campaign LIMIT none": "BAD_LIMIT_VALUE",
        "SELECT campaign.id FROM campaign WHERE campaign.id LIKE '1%'": "BAD_OPERATOR",
    }.items():
        assert google_error(client, query) == (400, {"queryError": code}), query
    query = "SELECT metrics.clicks FROM customer"
    code = {"queryError": "REQUESTED_METRICS_FOR_MANAGER"}
    assert google_error(client, query, google_ads.MANAGER_ID) == (400, code)


def test_google_refuses_callers_in_its_own_words(serve: Serve) -> None:
    """*RequestError*, *AuthenticationError*, *AuthorizationError*, *REST authorization and headers*."""
    client = serve(google_ads.make_app(COMPANY, 1))
    query = "SELECT customer.id FROM customer"
    denied = (403, {"authorizationError": "USER_PERMISSION_DENIED"})
    assert google_error(client, query, Authorization="Bearer x")[1] == {"authenticationError": "OAUTH_TOKEN_INVALID"}
    assert google_error(client, query, developer_token="x")[1] == {"authenticationError": "DEVELOPER_TOKEN_INVALID"}
    assert google_error(client, query, login_customer_id="5712048830") == denied
    assert google_error(client, query, "571-204-8830") == (400, {"requestError": "INVALID_CUSTOMER_ID"})
    assert google_error(client, query, "5712048999") == denied
    headers = google(client)
    del headers["developer-token"]
    answer = client.post("/v26/customers/5712048830/googleAds:searchStream", json={"query": query}, headers=headers)
    assert answer.status_code == 400 and "DEVELOPER_TOKEN_PARAMETER_MISSING" in answer.text
    old = client.post("/v19/customers/5712048830/googleAds:searchStream", json={"query": query}, headers=google(client))
    assert old.status_code == 400 and "UNSUPPORTED_VERSION" in old.text
    client.post("/_sandbox/permission", json={"account": "5712048830", "granted": False})
    assert google_error(client, query) == denied
    clients = "SELECT customer_client.id FROM customer_client WHERE customer_client.level = 1"
    assert len(stream(client, google_ads.MANAGER_ID, clients)) == 2


def test_google_tokens_do_not_outlive_the_day(serve: Serve) -> None:
    """*Using OAuth 2.0 to access Google APIs*: an access token lives an hour, a refresh token until it is revoked."""
    client = serve(google_ads.make_app(COMPANY, 1))
    headers, url = google(client), "/v26/customers/5712048830/googleAds:searchStream"
    query = {"query": "SELECT customer.id FROM customer"}
    assert client.post(url, json=query, headers=headers).status_code == 200
    move_to(client, 2)
    assert client.post(url, json=query, headers=headers).status_code == 401
    assert client.post(url, json=query, headers=google(client)).status_code == 200
    bad = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": google_ads.CLIENT_ID}
    wrong = client.post("/token", data=bad | {"client_secret": google_ads.CLIENT_SECRET})
    assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
    assert client.post("/token", data=bad).json()["error"] == "invalid_client"


# Meta


def meta(client: httpx.Client, path: str, status: int = 200, **params: Any) -> Any:
    """A call of the Graph API with the token as a parameter, as Meta's own examples have it."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}
    answer = client.get(f"/v25.0/{path}", params={"access_token": meta_ads.ACCESS_TOKEN, **texts})
    assert answer.status_code == status, answer.text
    return answer.json()


def meta_all(client: httpx.Client, path: str, **params: Any) -> list[Any]:
    """All pages: *Paginated Results*, follow `next` until there is none."""
    page = meta(client, path, **params)
    rows = list(page["data"])
    while "next" in page.get("paging", {}):
        page = client.get(page["paging"]["next"]).json()
        rows += page["data"]
    return rows


META_FIELDS = "account_id,campaign_id,campaign_name,spend,impressions,clicks,actions,action_values"


def meta_row(row: dict[str, Any]) -> Told:
    """Numeric strings read back; an action that is not listed did not happen (*Ads Insights*)."""
    actions = {action["action_type"]: action["value"] for action in row.get("actions", [])}
    values = {action["action_type"]: action["value"] for action in row.get("action_values", [])}
    assert actions.get("lead") == actions.get("offsite_conversion.fb_pixel_lead")
    assert actions.get("purchase") == actions.get("omni_purchase")
    return Told(
        micros(row["spend"]),
        int(row["impressions"]),
        int(row["clicks"]),
        micros(actions.get("purchase", "0")),
        micros(values.get("purchase", "0")),
        int(actions.get("lead", "0")),
    )


def meta_rows(client: httpx.Client, level: str, last: dt.date) -> Rows:
    rows: Rows = {}
    for account in PLATFORMS["social_ads"].accounts:
        for row in meta_all(
            client,
            f"act_{account.account_id}/insights",
            level=level,
            fields=META_FIELDS,
            time_increment=1,
            time_range={"since": FIRST.isoformat(), "until": last.isoformat()},
            limit=500,
        ):
            assert row["date_start"] == row["date_stop"] and row["account_id"] == account.account_id
            key = (account.account_id, row.get("campaign_id", ""), dt.date.fromisoformat(row["date_start"]))
            assert key not in rows
            rows[key] = meta_row(row)
    return rows


def meta_truth(day: int) -> Rows:
    """What Meta can say of it: no leads is the same as leads that are not counted."""
    return {key: row._replace(leads=row.leads or 0) for key, row in expected("social_ads", day).items()}


def test_meta_tells_the_companys_truth_day_after_day(serve: Serve) -> None:
    client = serve(meta_ads.make_app(COMPANY, 1))
    for day in DAYS:
        move_to(client, day)
        last = COMPANY.simulation.date_of(day)
        rows = meta_rows(client, "campaign", last)
        assert rows == meta_truth(day)
        assert spend_by_day(rows) == spend_by_day(expected("social_ads", day))
        totals = meta_rows(client, "account", last)
        assert summed(rows) == {(account, when): row for (account, _, when), row in totals.items()}


def test_meta_sends_numbers_as_strings_and_leaves_out_what_did_not_happen(serve: Serve) -> None:
    """*Ads Insights*: numeric strings; *Ad Account Insights*: impressions and spend unless fields are asked for."""
    client = serve(meta_ads.make_app(COMPANY, 1))
    when = {"since": LAST.isoformat(), "until": LAST.isoformat()}
    [row] = meta(client, "act_0001009/insights", time_range=when)["data"]
    assert set(row) == {"impressions", "spend", "date_start", "date_stop"}
    assert all(isinstance(value, str) for value in row.values()) and row["date_start"] == LAST.isoformat()
    everything = {"since": FIRST.isoformat(), "until": LAST.isoformat()}
    rows = meta_all(
        client,
        "act_0001010/insights",
        level="campaign",
        fields=f"{META_FIELDS},account_currency",
        time_increment=1,
        time_range=everything,
        limit=1000,
    )
    assert {row["account_currency"] for row in rows} == {"GBP"}
    assert any("actions" not in row for row in rows) and all(row.get("actions") != [] for row in rows)
    kinds = {action["action_type"] for row in rows for action in row.get("actions", [])}
    assert kinds == {"link_click", "purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase"}
    assert any(Decimal(row["spend"]) < 0 for row in rows), "a credit"
    by_platform = meta(
        client, "act_0001010/insights", level="campaign", fields="campaign_id,spend", breakdowns="publisher_platform"
    )["data"]
    assert {row["publisher_platform"] for row in by_platform} == {"facebook", "instagram", "audience_network"}


def test_meta_pages_give_every_row_once(serve: Serve) -> None:
    """*Paginated Results*: cursors, and an absolute `next` that repeats every parameter and the token."""
    client = serve(meta_ads.make_app(COMPANY, 1))
    params: dict[str, Any] = {
        "level": "campaign",
        "fields": "campaign_id",
        "time_increment": 1,
        "time_range": {"since": FIRST.isoformat(), "until": LAST.isoformat()},
    }
    page = meta(client, "act_0001009/insights", **params)
    assert len(page["data"]) == 25 and set(page["paging"]["cursors"]) == {"before", "after"}
    following = urlsplit(page["paging"]["next"])
    assert f"{following.scheme}://{following.netloc}" == str(client.base_url).rstrip("/")
    asked = parse_qs(following.query)
    assert asked["access_token"] == [meta_ads.ACCESS_TOKEN] and asked["level"] == ["campaign"]
    rows = meta_all(client, "act_0001009/insights", **params, limit=37)
    keys = [(row["campaign_id"], dt.date.fromisoformat(row["date_start"])) for row in rows]
    wanted = [(c, d) for a, c, d in expected("social_ads", 1) if a == "0001009"]
    assert len(keys) == len(set(keys)) and sorted(keys) == sorted(wanted)
    assert meta(client, "act_0001009/insights", **params, limit=5000)["paging"].keys() == {"cursors"}
    assert meta(client, "act_0001009/campaigns", after=asked["after"][0]) == {"data": []}


def test_meta_lists_accounts_and_campaigns(serve: Serve) -> None:
    """*User: Ad Accounts*, *Ad Account* (timezone_name, currency) and *Ad Account: Campaigns*."""
    client = serve(meta_ads.make_app(COMPANY, 11))
    accounts = meta_all(client, "me/adaccounts", fields="account_id,name,currency,timezone_name", limit=1)
    assert accounts == [
        {
            "id": f"act_{a.account_id}",
            "account_id": a.account_id,
            "name": a.name,
            "currency": a.currency,
            "timezone_name": a.time_zone,
        }
        for a in PLATFORMS["social_ads"].accounts
    ]
    names = COMPANY.truth(11).campaign_names
    for account in accounts:
        campaigns = meta_all(client, f"{account['id']}/campaigns", fields="name,objective", limit=3)
        assert {c["id"]: c["name"] for c in campaigns} == {
            campaign: name
            for (s, a, campaign), name in names.items()
            if (s, a) == ("social_ads", account["account_id"])
        }
        assert {c["objective"] for c in campaigns} == {"OUTCOME_LEADS", "OUTCOME_SALES", "OUTCOME_AWARENESS"}
    assert any(r.campaign.source == "social_ads" for r in COMPANY.simulation.renames(11)), "one was renamed"


def test_meta_jobs_say_the_same_as_insights_at_once(serve: Serve) -> None:
    """*Insights API, Asynchronous Jobs*: report_run_id, async_status, async_percent_completion, then the results."""
    client = serve(meta_ads.make_app(COMPANY, 1, sync_rows=100))
    params: dict[str, Any] = {
        "level": "campaign",
        "fields": META_FIELDS,
        "time_increment": "1",
        "time_range": json.dumps({"since": FIRST.isoformat(), "until": LAST.isoformat()}),
    }
    error = meta(client, "act_0001009/insights", 400, **params)["error"]
    assert (error["code"], error["error_subcode"]) == (100, 1487534), "too much to be answered at once"
    data = params | {"access_token": meta_ads.ACCESS_TOKEN}
    run = client.post("/v25.0/act_0001009/insights", data=data).json()
    assert set(run) == {"report_run_id"} and isinstance(run["report_run_id"], str)
    number = run["report_run_id"]
    assert meta(client, f"{number}/insights", 400)["error"]["code"] == 2601
    states = [meta(client, number, fields="async_status,async_percent_completion") for _ in range(4)]
    assert [(s["async_status"], s["async_percent_completion"]) for s in states] == [
        ("Job Not Started", 0),
        ("Job Running", 40),
        ("Job Completed", 100),
        ("Job Completed", 100),
    ]
    rows = meta_all(client, f"{number}/insights", limit=200)
    assert {
        (row["account_id"], row["campaign_id"], dt.date.fromisoformat(row["date_start"])): meta_row(row) for row in rows
    } == {key: row for key, row in meta_truth(1).items() if key[0] == "0001009"}


@pytest.mark.parametrize("outcome", ["Job Failed", "Job Skipped", "stuck"])
def test_meta_jobs_can_fail_be_skipped_or_get_stuck(serve: Serve, outcome: str) -> None:
    """*Insights API, Asynchronous Jobs*: Job Failed, Job Skipped; *Troubleshooting*: jobs that stay below 100 per cent."""
    client = serve(meta_ads.make_app(COMPANY, 1))
    assert client.post("/_sandbox/jobs", json={"outcome": "lost"}).status_code == 400
    client.post("/_sandbox/jobs", json={"outcome": outcome})
    headers = {"Authorization": f"Bearer {meta_ads.ACCESS_TOKEN}"}
    first, second = (
        client.post("/v25.0/act_0001009/insights", json={"level": "campaign"}, headers=headers).json()["report_run_id"]
        for _ in range(2)
    )
    states = [meta(client, first) for _ in range(5)]
    assert states[-1]["async_status"] == ("Job Running" if outcome == "stuck" else outcome)
    assert states[-1]["async_percent_completion"] < 100
    assert meta(client, f"{first}/insights", 400)["error"]["code"] == 2601
    assert [meta(client, second)["async_status"] for _ in range(3)][-1] == "Job Completed"


def test_meta_refuses_in_its_own_words(serve: Serve) -> None:
    """*Handle Errors* (the error object), *Marketing API Error Codes*, *Marketing API Rate Limiting*."""
    client = serve(meta_ads.make_app(COMPANY, 1))

    def refused(path: str, status: int, **params: Any) -> tuple[int, int | None, str]:
        error = meta(client, path, status, **params)["error"]
        assert {"message", "type", "code", "fbtrace_id"} <= set(error) and isinstance(error["code"], int)
        return error["code"], error.get("error_subcode"), error["type"]

    oauth = "OAuthException"
    insights = "act_0001009/insights"
    assert refused(insights, 400, access_token="x") == (190, None, oauth)
    assert refused(insights, 400, fields="spend,impressions_gross") == (100, None, oauth)
    assert refused(insights, 400, time_range="2026") == (100, None, oauth)
    assert refused(insights, 400, time_increment=0) == (100, None, oauth)
    assert refused(insights, 400, level="planet") == (100, None, oauth)
    assert refused(insights, 400, time_range={"since": "2023-02-28", "until": "2023-03-02"}) == (3018, None, oauth)
    assert refused("act_77/insights", 400) == (100, 33, "GraphMethodException")
    assert (
        client.get(f"/v12.0/{insights}", params={"access_token": meta_ads.ACCESS_TOKEN}).json()["error"]["code"] == 2635
    )
    for code, status, subcode in ((1, 500, 99), (2, 500, None), (4, 403, 1504022), (17, 400, 2446079), (190, 400, 460)):
        client.post("/_sandbox/errors", json={"code": code, "times": 2})
        for _ in range(2):
            assert refused(insights, status) == (code, subcode, oauth)
        assert meta(client, insights)["data"]
    assert client.post("/_sandbox/errors", json={"code": 1234}).status_code == 400
    client.post("/_sandbox/permission", json={"account": "0001009", "granted": False})
    assert refused(insights, 403) == (200, None, oauth)
    assert [a["id"] for a in meta(client, "me/adaccounts")["data"]] == ["act_0001010"]
    client.post("/_sandbox/permission", json={"account": "0001009", "granted": True})
    assert meta(client, insights)["data"]


def test_meta_says_how_much_is_used(serve: Serve) -> None:
    """*Rate Limits* and *Insights API, Limits & Best Practices*: usage as JSON in headers, per cent."""
    client = serve(meta_ads.make_app(COMPANY, 1))
    headers = client.get("/v25.0/act_0001009/insights", params={"access_token": meta_ads.ACCESS_TOKEN}).headers
    assert set(json.loads(headers["x-app-usage"])) == {"call_count", "total_cputime", "total_time"}
    assert "acc_id_util_pct" in json.loads(headers["x-ad-account-usage"])
    assert {"app_id_util_pct", "acc_id_util_pct"} <= set(json.loads(headers["x-fb-ads-insights-throttle"]))
    [[of_business]] = json.loads(headers["x-business-use-case-usage"]).values()
    assert of_business["type"] == "ads_insights" and of_business["estimated_time_to_regain_access"] == 0


# LinkedIn

LINKEDIN_HEADERS = {
    "Authorization": f"Bearer {linkedin_ads.ACCESS_TOKEN}",
    "LinkedIn-Version": "202603",
    "X-Restli-Protocol-Version": "2.0.0",
}
LINKEDIN_FIELDS = (
    "dateRange,pivotValues,costInLocalCurrency,impressions,clicks,oneClickLeads,externalWebsiteConversions,"
    "conversionValueInLocalCurrency"
)


def linkedin(client: httpx.Client, url: str, status: int = 200, **headers: str) -> Any:
    sent = LINKEDIN_HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = client.get(url, headers={name: value for name, value in sent.items() if value})
    assert answer.status_code == status, answer.text
    return answer.json()


def urns(kind: str, *ids: str) -> str:
    """*Protocol Version*, Rest.li 2.0: a list whose URNs are percent-encoded."""
    return f"List({','.join(quote(f'urn:li:{kind}:{number}', safe='') for number in ids)})"


def day_range(first: dt.date, last: dt.date) -> str:
    start, end = (f"(year:{d.year},month:{d.month},day:{d.day})" for d in (first, last))
    return f"(start:{start},end:{end})"


def linkedin_query(
    pivot: str, last: dt.date, accounts: str, fields: str = LINKEDIN_FIELDS, first: dt.date = FIRST
) -> str:
    """*Reporting*, Analytics Finder."""
    return (
        f"q=analytics&pivot={pivot}&timeGranularity=DAILY&dateRange={day_range(first, last)}"
        f"&accounts={accounts}&fields={fields}"
    )


def linkedin_ids(day: int = 1) -> dict[str, tuple[str, str]]:
    """URN -> the company's own (account, campaign)."""
    records = AdRecords(COMPANY, "video_ads", day, tokens=set(), lasting=True)
    found: dict[str, tuple[str, str]] = {}
    for account in records.accounts():
        found[f"urn:li:sponsoredAccount:{account.vendor_id}"] = (account.account.account_id, "")
        for campaign in records.campaigns(account):
            found[f"urn:li:sponsoredCampaign:{campaign.vendor_id}"] = (
                account.account.account_id,
                campaign.campaign.campaign_id,
            )
    return found


def linkedin_rows(client: httpx.Client, pivot: str, last: dt.date) -> Rows:
    accounts = urns("sponsoredAccount", "507000001", "507000002")
    elements = linkedin(client, f"/rest/adAnalytics?{linkedin_query(pivot, last, accounts)}")["elements"]
    rows: Rows = {}
    for element in elements:
        start, end = element["dateRange"]["start"], element["dateRange"]["end"]
        assert start == end
        [urn] = element["pivotValues"]
        key = (*linkedin_ids()[urn], dt.date(start["year"], start["month"], start["day"]))
        assert key not in rows
        rows[key] = Told(
            micros(element["costInLocalCurrency"]),
            element["impressions"],
            element["clicks"],
            element["externalWebsiteConversions"] * MILLION,
            micros(element["conversionValueInLocalCurrency"]),
            element["oneClickLeads"],
        )
    return rows


def test_linkedin_tells_the_companys_truth_day_after_day(serve: Serve) -> None:
    client = serve(linkedin_ads.make_app(COMPANY, 1))
    for day in DAYS:
        move_to(client, day)
        last = COMPANY.simulation.date_of(day)
        rows = linkedin_rows(client, "CAMPAIGN", last)
        assert_truth(rows, "video_ads", day, without=("conversions",))
        truth = expected("video_ads", day)
        assert {k: r.conversions for k, r in rows.items()} == {
            k: (r.conversions or 0) // MILLION * MILLION for k, r in truth.items()
        }, "whole conversions"
        totals = linkedin_rows(client, "ACCOUNT", last)
        assert summed(rows) == {(account, when): row for (account, _, when), row in totals.items()}


def test_linkedin_sends_amounts_as_strings_and_counts_as_numbers(serve: Serve) -> None:
    """*Metrics Available*: BigDecimal as strings, long as numbers; *Reporting*: the sample response's envelope."""
    client = serve(linkedin_ads.make_app(COMPANY, 1))
    accounts = urns("sponsoredAccount", "507000002")
    body = linkedin(client, f"/rest/adAnalytics?{linkedin_query('CAMPAIGN', LAST, accounts, first=LAST)}")
    assert body["paging"] == {"start": 0, "count": 10, "links": []}
    element = body["elements"][0]
    assert isinstance(element["costInLocalCurrency"], str) and isinstance(
        element["conversionValueInLocalCurrency"], str
    )
    for count in ("impressions", "clicks", "oneClickLeads", "externalWebsiteConversions"):
        assert isinstance(element[count], int)
    assert element["dateRange"] == {
        "start": {"year": 2026, "month": 3, "day": 31},
        "end": {"year": 2026, "month": 3, "day": 31},
    }
    only = linkedin_query("CAMPAIGN", LAST, accounts, "costInUsd,costInLocalCurrency", first=LAST)
    element = linkedin(client, f"/rest/adAnalytics?{only}")["elements"][0]
    assert set(element) == {"costInUsd", "costInLocalCurrency"}, "not even whose it is"
    assert Decimal(element["costInUsd"]) > Decimal(element["costInLocalCurrency"]) > 0, "this account is in EUR"
    default = linkedin_query("ACCOUNT", LAST, accounts).replace(f"&fields={LINKEDIN_FIELDS}", "")
    assert {"impressions", "clicks"} <= set(linkedin(client, f"/rest/adAnalytics?{default}")["elements"][0])


def test_linkedin_has_no_pages_and_cuts_off_without_a_word(serve: Serve) -> None:
    """*Reporting*: adAnalytics does not support pagination."""
    client = serve(linkedin_ads.make_app(COMPANY, 1, max_elements=100))
    accounts = urns("sponsoredAccount", "507000001")
    url = f"/rest/adAnalytics?{linkedin_query('CAMPAIGN', LAST, accounts)}"
    body = linkedin(client, url)
    assert len(body["elements"]) == 100 and body["paging"]["links"] == []
    assert linkedin(client, f"{url}&start=100&count=100")["elements"] == body["elements"]


def test_linkedin_says_the_same_of_no_activity_and_no_permission(serve: Serve) -> None:
    """*Reporting*: an empty response also without read access; the search for accounts tells them apart."""
    client = serve(linkedin_ads.make_app(COMPANY, 1))
    url = f"/rest/adAnalytics?{linkedin_query('CAMPAIGN', LAST, urns('sponsoredAccount', '507000001'))}"
    future = dt.date(2027, 1, 1)
    quiet = linkedin_query("CAMPAIGN", future, urns("sponsoredAccount", "507000001"), first=future)
    nothing = linkedin(client, f"/rest/adAnalytics?{quiet}")
    assert nothing["elements"] == [] and linkedin(client, url)["elements"]
    client.post("/_sandbox/permission", json={"account": "507000001", "granted": False})
    assert linkedin(client, url) == nothing
    assert [a["id"] for a in linkedin(client, "/rest/adAccounts?q=search")["elements"]] == [507000002]
    error = linkedin(client, "/rest/adAccounts/507000001/adCampaigns?q=search", 403)
    assert error["code"] == "ACCESS_DENIED" and error["status"] == 403
    client.post("/_sandbox/permission", json={"account": "507000001", "granted": True})
    assert linkedin(client, url)["elements"]


def test_linkedin_searches_give_every_entity_once(serve: Serve) -> None:
    """*Cursor Based Pagination For Search APIs*: no nextPageToken on the last page."""
    client = serve(linkedin_ads.make_app(COMPANY, 15))
    active = "search=(status:(values:List(ACTIVE)),test:false)"
    accounts = linkedin(client, f"/rest/adAccounts?q=search&{active}")
    assert accounts["metadata"] == {}
    assert [(a["id"], a["name"], a["currency"]) for a in accounts["elements"]] == [
        (507000001, "Video US", "USD"),
        (507000002, "Video EU", "EUR"),
    ]
    names: dict[tuple[str, str], str] = {}
    for account in accounts["elements"]:
        url = f"/rest/adAccounts/{account['id']}/adCampaigns?q=search&{active}&pageSize=3"
        sizes, token = [], ""
        while True:
            page = linkedin(client, url + (f"&pageToken={quote(token)}" if token else ""))
            sizes.append(len(page["elements"]))
            for campaign in page["elements"]:
                key = linkedin_ids()[f"urn:li:sponsoredCampaign:{campaign['id']}"]
                assert isinstance(campaign["id"], int) and key not in names
                assert campaign["account"] == f"urn:li:sponsoredAccount:{account['id']}"
                names[key] = campaign["name"]
            token = page["metadata"].get("nextPageToken", "")
            if not token:
                break
        assert sizes == [3, 3, 2]
    assert names == {(a, c): name for (s, a, c), name in COMPANY.truth(15).campaign_names.items() if s == "video_ads"}
    assert any(r.campaign.source == "video_ads" for r in COMPANY.simulation.renames(15)), "one was renamed"
    assert linkedin(client, "/rest/adAccounts?q=search&search=(status:(values:List(DRAFT)))")["elements"] == []
    linkedin(client, "/rest/adAccounts?q=search&pageSize=1001", 400)


def test_linkedin_tunnels_what_is_too_long(serve: Serve) -> None:
    """*Query Tunneling*: a POST that overrides its method; *Reporting*: 414 without it."""
    client = serve(linkedin_ads.make_app(COMPANY, 1))
    query = linkedin_query("CAMPAIGN", LAST, urns("sponsoredAccount", "507000001"))
    many = f"{query}&campaigns={urns('sponsoredCampaign', *(str(130_000_000 + n) for n in range(300)))}"
    assert linkedin(client, f"/rest/adAnalytics?{many}", 414)["status"] == 414
    headers = LINKEDIN_HEADERS | {
        "X-HTTP-Method-Override": "GET",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    tunnelled = client.post("/rest/adAnalytics", content=many, headers=headers)
    assert tunnelled.json() == linkedin(client, f"/rest/adAnalytics?{query}")
    assert client.post("/rest/adAnalytics", content=many, headers=LINKEDIN_HEADERS).status_code == 405


def test_linkedin_refuses_in_its_own_words(serve: Serve) -> None:
    """*Error Handling* (status, code, message), *LinkedIn Marketing API Versioning* (426), *Protocol Version*."""
    client = serve(linkedin_ads.make_app(COMPANY, 1))
    url = f"/rest/adAnalytics?{linkedin_query('CAMPAIGN', LAST, urns('sponsoredAccount', '507000001'))}"
    assert linkedin(client, url, 401, Authorization="")["message"] == "Empty oauth2 access token"
    assert linkedin(client, url, 401, Authorization="Bearer x")["serviceErrorCode"] == 65600
    assert linkedin(client, url, 400, LinkedIn_Version="")["code"] == "VERSION_MISSING"
    assert linkedin(client, url, 426, LinkedIn_Version="202401") == {
        "status": 426,
        "code": "NONEXISTENT_VERSION",
        "message": "Requested version 20240101 is not active",
    }
    assert linkedin(client, url, 400, X_Restli_Protocol_Version="1.0.0")["code"] == "ILLEGAL_ARGUMENT"
    for spoiled in (
        url.replace("urn%3Ali%3A", "urn:li:"),
        url.replace("List(", "List%28"),
        url.replace("accounts=", "account="),
        url.replace("pivot=CAMPAIGN", "pivot=PLANET"),
        url.replace("impressions", "impression"),
        url.replace("month:3", "month:13"),
        f"{url}{',clicks' * 20}",
    ):
        assert linkedin(client, spoiled, 400) | {"message": ""} == {
            "status": 400,
            "code": "ILLEGAL_ARGUMENT",
            "message": "",
        }


def test_linkedin_refreshes_tokens(serve: Serve) -> None:
    """*Refresh Tokens with OAuth 2.0*: access tokens live 60 days, refresh tokens a year."""
    client = serve(linkedin_ads.make_app(COMPANY, 1))
    client.post("/_sandbox/tokens")
    assert linkedin(client, "/rest/adAccounts?q=search", 401)["code"] == "INVALID_ACCESS_TOKEN"
    form = {
        "grant_type": "refresh_token",
        "refresh_token": linkedin_ads.REFRESH_TOKEN,
        "client_id": linkedin_ads.CLIENT_ID,
        "client_secret": linkedin_ads.CLIENT_SECRET,
    }
    token = client.post("/oauth/v2/accessToken", data=form).json()
    assert token["expires_in"] == 5_184_000 and token["refresh_token_expires_in"] == 31_536_000
    assert linkedin(client, "/rest/adAccounts?q=search", Authorization=f"Bearer {token['access_token']}")["elements"]
    assert client.post("/oauth/v2/accessToken", data=form | {"refresh_token": "x"}).status_code == 400
    assert client.post("/oauth/v2/accessToken", data=form | {"client_id": "x"}).status_code == 401


# Microsoft Advertising

MICROSOFT_COLUMNS = [
    "TimePeriod",
    "AccountId",
    "CampaignId",
    "CampaignName",
    "CurrencyCode",
    "Spend",
    "Impressions",
    "Clicks",
    "Conversions",
    "ConversionsQualified",
    "Revenue",
    "AllConversionsQualified",
]
MICROSOFT_ACCOUNTS = [5712048830, 5712048831, 5712048832]


def microsoft(client: httpx.Client) -> dict[str, str]:
    """The headers of a call: *Authentication with OAuth*, *SubmitGenerateReport*."""
    form = {
        "client_id": microsoft_ads.CLIENT_ID,
        "grant_type": "refresh_token",
        "refresh_token": microsoft_ads.REFRESH_TOKEN,
        "scope": "https://ads.microsoft.com/msads.manage offline_access",
    }
    token = client.post("/common/oauth2/v2.0/token", data=form).json()
    assert token["token_type"] == "Bearer" and isinstance(token["expires_in"], int) and token["refresh_token"]
    return {
        "Authorization": f"Bearer {token['access_token']}",
        "DeveloperToken": microsoft_ads.DEVELOPER_TOKEN,
        "CustomerId": microsoft_ads.CUSTOMER_ID,
    }


def report_request(last: dt.date, first: dt.date = FIRST, **changes: Any) -> dict[str, Any]:
    """*CampaignPerformanceReportRequest*, *ReportTime*."""
    return {
        "Type": "CampaignPerformanceReportRequest",
        "Format": "Csv",
        "FormatVersion": "2.0",
        "ReportName": "daily",
        "ReturnOnlyCompleteData": False,
        "Aggregation": "Daily",
        "Columns": MICROSOFT_COLUMNS,
        "Scope": {"AccountIds": MICROSOFT_ACCOUNTS},
        "Time": {
            "CustomDateRangeStart": {"Day": first.day, "Month": first.month, "Year": first.year},
            "CustomDateRangeEnd": {"Day": last.day, "Month": last.month, "Year": last.year},
            "ReportTimeZone": "AmsterdamBerlinBernRomeStockholmVienna",
        },
    } | changes


def submit(client: httpx.Client, request: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    return client.post(
        "/Reporting/v13/GenerateReport/Submit", json={"ReportRequest": request}, headers=headers or microsoft(client)
    )


def polled(client: httpx.Client, number: str) -> dict[str, Any]:
    body = {"ReportRequestId": number}
    answer = client.post("/Reporting/v13/GenerateReport/Poll", json=body, headers=microsoft(client))
    assert answer.status_code == 200 and set(answer.json()) == {"ReportRequestStatus"}
    return dict(answer.json()["ReportRequestStatus"])


def downloaded(client: httpx.Client, request: dict[str, Any]) -> str:
    """The CSV of a report: *Request and Download a Report*."""
    number = submit(client, request).json()["ReportRequestId"]
    assert polled(client, number) == {"ReportDownloadUrl": None, "Status": "Pending"}
    status = polled(client, number)
    assert status["Status"] == "Success"
    archive = zipfile.ZipFile(io.BytesIO(client.get(status["ReportDownloadUrl"]).content))
    [name] = archive.namelist()
    content = archive.read(name)
    assert name.endswith(".csv") and content.startswith(b"\xef\xbb\xbf")
    return content.decode("utf-8-sig")


def microsoft_report(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """(header lines, rows) of a report: *Reporting Service Model*, Report File Schema."""
    head, table, foot = text.split("\r\n\r\n")
    header = dict(line[0].split(": ", 1) for line in csv.reader(io.StringIO(head)))
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert foot == '"@2026 Microsoft Corporation. All rights reserved. "\r\n'
    assert header["Rows"] == str(len(rows))
    return header, rows


def microsoft_rows(client: httpx.Client, last: dt.date, kind: str = "Campaign") -> Rows:
    columns = [c for c in MICROSOFT_COLUMNS if kind == "Campaign" or not c.startswith("Campaign")]
    request = report_request(last, Type=f"{kind}PerformanceReportRequest", Columns=columns)
    _, records = microsoft_report(downloaded(client, request))
    ids = {a.account_id.replace("-", ""): a.account_id for a in PLATFORMS["search_ads"].accounts}
    rows: Rows = {}
    for row in records:
        key = (ids[row["AccountId"]], row.get("CampaignId", ""), dt.date.fromisoformat(row["TimePeriod"]))
        assert key not in rows
        qualified, every = micros(row["ConversionsQualified"]), micros(row["AllConversionsQualified"])
        if kind == "Campaign":
            assert int(row["Conversions"]) == qualified // MILLION
        rows[key] = Told(
            micros(row["Spend"]),
            int(row["Impressions"]),
            int(row["Clicks"]),
            qualified,
            micros(row["Revenue"]),
            (every - qualified) // MILLION,
        )
    return rows


def test_microsoft_tells_the_companys_truth_day_after_day(serve: Serve) -> None:
    client = serve(microsoft_ads.make_app(COMPANY, 1))
    for day in DAYS:
        move_to(client, day)
        last = COMPANY.simulation.date_of(day)
        rows = microsoft_rows(client, last)
        assert_truth(rows, "search_ads", day)
        totals = microsoft_rows(client, last, "Account")
        assert summed(rows) == {(account, when): row for (account, _, when), row in totals.items()}


def test_microsofts_file_has_a_header_and_a_footer(serve: Serve) -> None:
    """*Reporting Service Model*: Report File Schema, Report Format Version; *ReportRequest*: Exclude..."""
    client = serve(microsoft_ads.make_app(COMPANY, 1))
    header, rows = microsoft_report(downloaded(client, report_request(LAST, LAST - dt.timedelta(days=1))))
    assert header == {
        "Report Name": "daily",
        "Report Time": "3/30/2026,3/31/2026",
        "Time Zone": "(GMT+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna",
        "Last Completed Available Day": "4/1/2026 6:00:00 AM (GMT)",
        "Last Completed Available Hour": "4/1/2026 6:00:00 AM (GMT)",
        "Report Aggregation": "Daily",
        "Report Filter": "",
        "Potential Incomplete Data": "false",
        "Rows": str(len(rows)),
    }
    assert {row["CurrencyCode"] for row in rows} == {"EUR", "USD", "GBP"}
    names = {row["CampaignName"] for row in rows}
    assert {'Brand, "exact" match', "🚀 Launch", "  padded  "} <= names
    bare = dict.fromkeys(("ExcludeReportHeader", "ExcludeReportFooter", "ExcludeColumnHeaders"), True)
    text = downloaded(client, report_request(LAST, LAST, **bare))
    assert len(list(csv.reader(io.StringIO(text, newline="")))) == text.count("\r\n") == 3 * 12
    whole = report_request(LAST, FormatVersion="1.0", Aggregation="Summary", Columns=["AccountId", "Revenue", "Spend"])
    _, totals = microsoft_report(downloaded(client, whole))
    assert all("," in row["Revenue"] and "," not in row["Spend"] for row in totals), "revenue alone is grouped"


def test_microsoft_has_only_part_of_a_day_whose_books_are_open(serve: Serve) -> None:
    """*ReportRequest*: ReturnOnlyCompleteData fails with 2004, else the data is partial; *Reporting Error Codes*: 2005."""
    client = serve(microsoft_ads.make_app(COMPANY, 1))
    client.post("/_sandbox/books", json={"open_from": LAST.isoformat()})
    request = report_request(LAST, LAST - dt.timedelta(days=1))
    assert fault(submit(client, request | {"ReturnOnlyCompleteData": True})) == (400, 2004)
    header, partial = microsoft_report(downloaded(client, request))
    assert header["Potential Incomplete Data"] == "true"
    yesterday = report_request(LAST - dt.timedelta(days=1), FIRST, ReturnOnlyCompleteData=True)
    assert submit(client, yesterday).status_code == 200
    client.post("/_sandbox/books", json={"open_from": None})
    header, complete = microsoft_report(downloaded(client, request | {"ReturnOnlyCompleteData": True}))
    assert header["Potential Incomplete Data"] == "false" and len(complete) == len(partial)
    for part, whole in zip(partial, complete, strict=True):
        if part["TimePeriod"] == LAST.isoformat():
            assert abs(Decimal(part["Spend"])) < abs(Decimal(whole["Spend"])) * Decimal("0.51")
        else:
            assert part == whole
    today = report_request(LAST + dt.timedelta(days=1), LAST)
    assert fault(submit(client, today | {"ReturnOnlyCompleteData": True})) == (400, 2005)
    header, rows = microsoft_report(downloaded(client, today))
    assert header["Potential Incomplete Data"] == "true" and {row["TimePeriod"] for row in rows} == {LAST.isoformat()}


def fault(answer: httpx.Response) -> tuple[int, int]:
    """(HTTP status, code) of a fault: *Handle Service Errors and Exceptions*, *Reporting Error Codes*."""
    body = answer.json()
    assert body["TrackingId"] == answer.headers["trackingid"]
    errors = body["Errors"] if body["Type"] == "AdApiFaultDetail" else body["OperationErrors"]
    [error] = errors
    assert set(error) == {"Code", "Details", "ErrorCode", "Message"}
    return answer.status_code, error["Code"]


def test_microsoft_refuses_in_its_own_words(serve: Serve) -> None:
    """*Reporting Error Codes*; *Handle Service Errors and Exceptions*."""
    client = serve(microsoft_ads.make_app(COMPANY, 1))
    headers = microsoft(client)
    day = {"Day": 1, "Month": 1, "Year": 2026}
    for changes, code in (
        ({"Type": "PlanetPerformanceReportRequest"}, 2002),
        ({"Scope": {"AccountIds": [1]}}, 2003),
        ({"Scope": {"AccountIds": []}}, 2027),
        ({"Aggregation": "Hourly", "Columns": ["Spend"]}, 2007),
        ({"Time": {"PredefinedTime": "Sometimes"}}, 2008),
        ({"Time": {"CustomDateRangeStart": {"Day": 40}}}, 2009),
        ({"Time": {"CustomDateRangeStart": day, "CustomDateRangeEnd": day | {"Year": 2030}}}, 2010),
        ({"Time": {"CustomDateRangeStart": day, "CustomDateRangeEnd": day | {"Year": 2025}}}, 2011),
        ({"Columns": []}, 2014),
        ({"Columns": ["Spend"]}, 2015),
        ({"Columns": ["TimePeriod", "Spend", "Spend"]}, 2016),
        ({"Columns": ["TimePeriod", "AccountId"]}, 2017),
        ({"Aggregation": "Summary", "Columns": ["TimePeriod", "Spend"]}, 2034),
    ):
        assert fault(submit(client, report_request(LAST) | changes, headers)) == (400, code), changes
    assert fault(submit(client, None, headers)) == (400, 2001)
    lost = client.post("/Reporting/v13/GenerateReport/Poll", json={"ReportRequestId": "1"}, headers=headers)
    assert fault(lost) == (400, 2100)
    request = report_request(LAST)
    assert fault(submit(client, request, headers | {"DeveloperToken": "x"})) == (401, 105)
    assert fault(submit(client, request, {"DeveloperToken": microsoft_ads.DEVELOPER_TOKEN})) == (401, 105)
    move_to(client, 2)
    assert fault(submit(client, request, headers)) == (401, 109), "the token lived an hour"
    form = {"client_id": microsoft_ads.CLIENT_ID, "grant_type": "refresh_token", "refresh_token": "x"}
    refused = client.post("/common/oauth2/v2.0/token", data=form)
    assert refused.status_code == 400 and refused.json()["error"] == "invalid_grant"
    assert client.get("/download/30000000001.zip").status_code == 403


def test_microsoft_lists_the_accounts_one_may_see(serve: Serve) -> None:
    """*SearchAccounts* (AdvertiserAccount), *Reporting Error Codes*: 2003 for an account without privileges."""
    client = serve(microsoft_ads.make_app(COMPANY, 1))
    url, body = "/CustomerManagement/v13/Accounts/Search", {"Predicates": [], "PageInfo": {"Index": 0, "Size": 2}}
    first = client.post(url, json=body, headers=microsoft(client)).json()["Accounts"]
    second = client.post(url, json={"PageInfo": {"Index": 1, "Size": 2}}, headers=microsoft(client)).json()["Accounts"]
    assert [a["Id"] for a in first + second] == MICROSOFT_ACCOUNTS
    assert [(a["CurrencyCode"], a["TimeZone"]) for a in first] == [
        ("EUR", "AmsterdamBerlinBernRomeStockholmVienna"),
        ("USD", "EasternTimeUSCanada"),
    ]
    client.post("/_sandbox/permission", json={"account": "5712048831", "granted": False})
    assert len(client.post(url, json={}, headers=microsoft(client)).json()["Accounts"]) == 2
    assert fault(submit(client, report_request(LAST))) == (400, 2003)


def test_microsoft_gives_no_file_of_an_empty_report(serve: Serve) -> None:
    """*PollGenerateReport*: without data the status is Success and there is no URL."""
    client = serve(microsoft_ads.make_app(COMPANY, 1))
    before = FIRST - dt.timedelta(days=10)
    number = submit(client, report_request(before, before)).json()["ReportRequestId"]
    assert [polled(client, number)["Status"] for _ in range(2)] == ["Pending", "Success"]
    assert polled(client, number)["ReportDownloadUrl"] is None
