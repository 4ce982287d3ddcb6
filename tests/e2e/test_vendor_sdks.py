"""The vendors' own SDKs against the sandbox's servers: what they page through is what the company knows.

The servers were written by the vendors' documentation, the connectors as well; the SDKs were not written by us. They have an
environment of their own (`.venv-sdks`). Not here: Google Ads' SDK speaks gRPC alone (its client library has no REST transport for
GoogleAdsService), Microsoft's SDK speaks SOAP alone; the servers and connectors of both are REST.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
from collections import defaultdict
from decimal import Decimal
from functools import cache
from typing import Any

import httpx
import pytest
from conftest import PROJECT

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.salesforce_ids import salesforce_id
from onefunnel.sandbox.servers import connection, serve_all
from onefunnel.sandbox.servers.ad_records import AdRecords
from onefunnel.sandbox.servers.crm_records import CrmRecord, CrmState, field_changes
from onefunnel.sandbox.servers.hubspot_objects import Portal, company_id, deal_id, owner_id
from onefunnel.sandbox.world import PLATFORMS, SOCIAL, VIDEO

COMPANY = Company(seed=3, scale=0.1, business=True)
FIRST, LAST = COMPANY.simulation.first_day, COMPANY.simulation.date_of(1)
PYTHON = PROJECT / ".venv-sdks" / "bin" / "python"
MILLION = 1_000_000

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not PYTHON.exists(), reason="the SDKs are not installed: make .venv-sdks/.installed"),
]


def read_with(sdk: str, vendor: str, settings: dict[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    """What an SDK finds at a vendor's server."""
    with serve_all(COMPANY, 1, [vendor]) as bases:
        if settings:
            httpx.post(f"{bases[vendor]}/_sandbox/settings", json=settings).raise_for_status()
        order = {
            **asked,
            "first": str(FIRST),
            "last": str(LAST),
            "connection": json.loads(connection(vendor, bases[vendor])),
        }
        done = subprocess.run(
            [str(PYTHON), str(PROJECT / "tests" / "sdks" / f"with_{sdk}.py")],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


@cache
def crm() -> CrmState:
    return CrmState(COMPANY, 1)


def is_gone(record: CrmRecord) -> bool:
    return bool(record.fields.get("is_deleted") or record.fields.get("merged_into_id"))


def test_metas_sdk_reads_accounts_campaigns_and_every_days_figures() -> None:
    found = read_with("meta", "meta_ads")
    platform = PLATFORMS[SOCIAL]
    assert found["accounts"] == [[a.account_id, a.currency, a.time_zone] for a in platform.accounts]
    expected, campaigns = {}, set()
    for number, account in enumerate(platform.accounts):
        campaigns |= {(account.account_id, c.campaign_id) for c in COMPANY.simulation.campaigns(platform, number)}
        for n in range((LAST - FIRST).days + 1):
            day = FIRST + dt.timedelta(days=n)
            for row in COMPANY.simulation.cell(platform, number, day).state(LAST):
                key = (account.account_id, row.campaign.campaign_id, str(day))
                figures = row.figures
                expected[key] = (figures.spend_micro, figures.impressions, figures.clicks, figures.leads or 0)
    assert {(account, campaign) for account, campaign, _ in found["campaigns"]} == campaigns
    assert len(found["campaigns"]) == len(campaigns) > 2 * len(platform.accounts), "more than one page"
    for name in ("rows", "rows_of_jobs"):
        said = {
            (account, campaign, day): (int(Decimal(spend) * MILLION), int(impressions), int(clicks), int(leads))
            for account, campaign, day, spend, impressions, clicks, leads in found[name]
        }
        assert len(found[name]) == len(said) and said == expected, name


def test_linkedins_sdk_logs_in_searches_and_tunnels_its_long_queries() -> None:
    found = read_with("linkedin", "linkedin_ads", version="202606")
    records = AdRecords(COMPANY, VIDEO, 1, tokens=set(), lasting=True)
    accounts = list(records.accounts())
    assert found["accounts"] == [[a.vendor_id, a.account.currency] for a in accounts]
    assert sorted(found["campaigns"]) == sorted(
        [a.vendor_id, c.vendor_id] for a in accounts for c in records.campaigns(a)
    )
    assert found["methods"] == "POST", "the query was too long for an address"
    expected: dict[tuple[str, ...], tuple[int, ...]] = {}
    for account in accounts:
        for row in records.rows(account, FIRST, LAST):
            figures = row.figures
            key = (account.vendor_id, row.campaign.vendor_id, str(row.day))
            expected[key] = (figures.spend_micro, figures.impressions, figures.clicks, figures.leads or 0)
    assert {
        (account, campaign, day): (int(Decimal(cost) * MILLION), impressions, clicks, leads)
        for account, campaign, day, cost, impressions, clicks, leads in found["rows"]
    } == expected


def test_simple_salesforce_pages_describes_and_runs_bulk_jobs() -> None:
    tables = {
        "Lead": "leads",
        "Opportunity": "opportunities",
        "Contact": "contacts",
        "CampaignMember": "campaign_members",
    }
    found = read_with("salesforce", "salesforce", {"batch_size": 40}, version="66.0", objects=list(tables))
    for name, table in tables.items():
        ids: dict[bool, set[str]] = defaultdict(set)
        for key, record in crm().tables[table].items():
            ids[is_gone(record)].add(salesforce_id(name, key))
        assert len(found["objects"][name]) == len(ids[False]) and set(found["objects"][name]) == ids[False], name
        assert set(found["deleted"][name]) == ids[True], name
        assert sorted(found["bulk"][name]) == sorted(ids[False]), name
        assert {"Id", "CreatedDate", "SystemModstamp", "IsDeleted"} <= set(found["fields"][name]), name
    assert len(found["objects"]["CampaignMember"]) > 60, "more than one page of either API"
    amounts = [r.fields["amount"] for r in crm().tables["opportunities"].values() if not is_gone(r)]
    assert Decimal(found["amounts"]) * MILLION == sum(a for a in amounts if isinstance(a, int))
    assert found["limits"]["Max"] > found["limits"]["Remaining"] > 0


def test_hubspots_sdk_lists_searches_and_reads_history_and_associations() -> None:
    portal = Portal(crm())
    found = read_with("hubspot", "hubspot", objects=list(portal.objects))
    for name, records in portal.objects.items():
        standing = {r.record_id for r in records.values() if not r.archived}
        for how in ("objects", "searched"):
            assert len(found[how][name]) == len(standing) and set(found[how][name]) == standing, (how, name)
        assert set(found["archived"][name]) == {r.record_id for r in records.values() if r.archived}, name
    assert len(found["objects"]["contacts"]) > 50, "more than one page"
    # of the company's own log, not of the portal
    deals = {deal_id(key): r for key, r in crm().tables["opportunities"].items() if not is_gone(r)}
    assert set(found["objects"]["deals"]) == set(deals)
    companies = {company_id(key) for key, r in crm().tables["accounts"].items() if not is_gone(r)}
    assert set(found["objects"]["companies"]) == companies
    amounts = [r.fields["amount"] for r in deals.values()]
    assert Decimal(found["history"]["amount"]) * MILLION == sum(a for a in amounts if isinstance(a, int))
    moves = sum(1 + len(list(field_changes(r, ("stage",)))) for r in deals.values())
    assert found["history"]["changes"] >= moves > len(deals)
    assert found["links"] > 0
    assert {owner_id(key) for key in crm().tables["users"]} >= set(found["owners"]) != set()
    assert found["stages"] and {"amount", "dealstage", "closedate"} <= set(found["properties"])
