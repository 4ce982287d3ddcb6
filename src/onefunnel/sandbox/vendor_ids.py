"""What the company's records are called by the platforms: for files of other systems that speak of these records.

A company whose platforms are read through their APIs (`Company.served`) still has files: web log, mailings, events, finance.
They name its leads, deals and campaigns as the CRM and the ad platforms do, or nothing of it could be joined.
"""

from __future__ import annotations

from functools import cached_property

from onefunnel.sandbox.business.log import Value
from onefunnel.sandbox.business.streams import Stream
from onefunnel.sandbox.salesforce_ids import salesforce_id
from onefunnel.sandbox.simulation import Simulation
from onefunnel.sandbox.world import PLATFORMS, SEARCH, SOCIAL, VIDEO, Account, Campaign

SERVED = (SEARCH, SOCIAL, VIDEO)
# The networks in which a served company searches for customers: which of its accounts each of them has.
SEARCH_ACCOUNTS: dict[str, tuple[int, ...]] = {"google_ads": (0, 1), "microsoft_ads": (2,)}
_FIRST_NUMERIC_ACCOUNT, _FIRST_NUMERIC_CAMPAIGN, _CAMPAIGNS_PER_ACCOUNT = 507_000_001, 130_000_000, 100_000
_OBJECTS = {
    "lead_id": "Lead",
    "contact_id": "Contact",
    "account_id": "Account",
    "opportunity_id": "Opportunity",
    "product_id": "Product2",
    "crm_campaign_id": "Campaign",
    "approved_by": "User",
}
_OWNERS = {"rep": "User", "territory": "Territory2"}


def ad_account_id(source: str, number: int, account: Account) -> str:
    """What the platform calls the account at place `number` of its list."""
    if source == SEARCH:
        return account.account_id.replace("-", "")
    return account.account_id if source == SOCIAL else str(_FIRST_NUMERIC_ACCOUNT + number)


def ad_campaign_id(source: str, number: int, place: int, campaign: Campaign) -> str:
    """What the platform calls the campaign at `place` of the account at place `number`."""
    if source in (SEARCH, SOCIAL):
        return campaign.campaign_id
    return str(_FIRST_NUMERIC_CAMPAIGN + number * _CAMPAIGNS_PER_ACCOUNT + place)


class VendorIds:
    """Ids in the records of streams that are files."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation

    @cached_property
    def _ads(self) -> dict[str, str]:
        """Ids of ad accounts and campaigns; no two of them are the same text."""
        found = {}
        for source in SERVED:
            for number, account in enumerate(PLATFORMS[source].accounts):
                found[account.account_id] = ad_account_id(source, number, account)
                for place, campaign in enumerate(self.simulation.campaigns(PLATFORMS[source], number)):
                    found[campaign.campaign_id] = ad_campaign_id(source, number, place, campaign)
        return found

    def translated(self, stream: Stream, record: tuple[Value, ...]) -> tuple[Value, ...]:
        """A record with the platforms' ids. What is no id of theirs stays, as the id of a lead that never was."""
        fields = dict(zip(stream.names, record, strict=True))
        owner = _OWNERS.get(str(fields.get("owner_type")))
        return tuple(self._id(name, value, owner) for name, value in fields.items())

    def _id(self, name: str, value: Value, owner: str | None) -> Value:
        if not isinstance(value, str):
            return value
        if name in ("ad_account_id", "campaign_id", "utm_id"):
            return self._ads.get(value, value)
        kind = owner if name == "owner_id" else _OBJECTS.get(name)
        return _salesforce(kind, value) if kind else value


def _salesforce(kind: str, key: str) -> str:
    try:
        return salesforce_id(kind, key)
    except ValueError:
        return key
