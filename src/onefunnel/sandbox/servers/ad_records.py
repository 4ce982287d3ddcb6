"""What the servers of the advertising platforms share: accounts, campaigns and figures as known on a company day.

The figures are those of the simulation that also writes the platforms' files, so a server and a file of the same day
tell the same: restated, late and withdrawn rows included. Flaws are planted in files only; a server has none.

Beside the endpoints of `control` every server has two more outside its vendor's path:

| endpoint | body | effect |
|---|---|---|
| `POST /_sandbox/permission` | `{"account": "...", "granted": false}` | takes an account (the vendor's id) away or gives it back |
| `POST /_sandbox/tokens` | `{}` | all access tokens expire |
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterator
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from onefunnel.sandbox.company import Company
from onefunnel.sandbox.events import Figures
from onefunnel.sandbox.servers.control import Clock, new_app
from onefunnel.sandbox.vendor_ids import ad_account_id, ad_campaign_id
from onefunnel.sandbox.world import PLATFORMS, Account, Campaign


class AdAccount(NamedTuple):
    """An ad account; `number` is its place in the platform's list, `vendor_id` what the vendor's API calls it."""

    number: int
    account: Account
    vendor_id: str


class AdCampaign(NamedTuple):
    """A campaign under the name that it has on the company's day."""

    account: AdAccount
    campaign: Campaign
    vendor_id: str
    name: str


class AdRow(NamedTuple):
    """The figures of one (account, day, campaign) as known on the company's day."""

    campaign: AdCampaign
    day: dt.date
    figures: Figures


class AdRecords:
    """One platform's books on a company day that only moves forward.

    Attributes:
        day: the company's day, 1 = the history.
        tokens: access tokens that are accepted.
        accounts_there: places of the accounts that this network has; None: all.
        lasting: access tokens outlive the day (Google's and Microsoft's live an hour, so not theirs).
        withheld: the vendor's ids of accounts that the caller may not see at present.
    """

    def __init__(
        self,
        company: Company,
        source: str,
        day: int,
        *,
        tokens: set[str],
        lasting: bool,
        accounts: Container[int] | None = None,
    ) -> None:
        self.company, self.platform, self.day = company, PLATFORMS[source], day
        self.accounts_there = accounts
        self.tokens, self.lasting = set(tokens), lasting
        self.withheld: set[str] = set()
        self._issued = 0
        self._known: dict[int, dict[str, list[AdCampaign]]] = {}
        self.as_of()  # raises for a day below 1

    def as_of(self) -> dt.datetime:
        """The company's clock, UTC: 06:00 of the morning after the day."""
        return self.company.as_of(self.day)

    def last_day(self) -> dt.date:
        """The last day that is over in every zone, and the last with figures."""
        return self.company.simulation.date_of(self.day)

    def move_to(self, day: int) -> None:
        """Let days pass. Access tokens that live an hour are gone with the day.

        Raises:
            ValueError: the day is over already.
        """
        if day < self.day:
            raise ValueError(f"day {day} is over, it is day {self.day}")
        if day > self.day and not self.lasting:
            self.tokens.clear()
        self.day = day

    def new_token(self, prefix: str) -> str:
        """An access token that is accepted from now on."""
        self._issued += 1
        token = f"{prefix}-day{self.day}-{self._issued}"
        self.tokens.add(token)
        return token

    def accounts(self) -> list[AdAccount]:
        """The accounts that the caller may see, in the platform's order."""
        return [account for account in self._all_accounts() if account.vendor_id not in self.withheld]

    def account(self, vendor_id: str) -> AdAccount | None:
        """An account by the vendor's id, whether the caller may see it or not."""
        return next((account for account in self._all_accounts() if account.vendor_id == vendor_id), None)

    def campaigns(self, account: AdAccount) -> list[AdCampaign]:
        """The campaigns of an account in the platform's order, under their present names."""
        if self.day not in self._known:
            names = {
                (r.campaign.account_id, r.campaign.campaign_id): r.after
                for r in self.company.simulation.renames(self.day)
                if r.campaign.source == self.platform.source
            }
            self._known[self.day] = {
                each.vendor_id: [
                    AdCampaign(
                        each,
                        c,
                        ad_campaign_id(self.platform.source, each.number, k, c),
                        names.get((c.account_id, c.campaign_id), c.first_name),
                    )
                    for k, c in enumerate(self.company.simulation.campaigns(self.platform, each.number))
                ]
                for each in self._all_accounts()
            }
        return self._known[self.day][account.vendor_id]

    def rows(self, account: AdAccount, first: dt.date, last: dt.date) -> Iterator[AdRow]:
        """What the platform shows of an account for the days `first` to `last`, oldest first."""
        simulation = self.company.simulation
        known = {c.campaign.campaign_id: c for c in self.campaigns(account)}
        day, last, today = max(first, simulation.first_day), min(last, self.last_day()), self.last_day()
        while day <= last:
            for row in simulation.cell(self.platform, account.number, day).state(today):
                yield AdRow(known[row.campaign.campaign_id], day, row.figures)
            day += dt.timedelta(days=1)

    def _all_accounts(self) -> list[AdAccount]:
        source = self.platform.source
        return [
            AdAccount(number, account, ad_account_id(source, number, account))
            for number, account in enumerate(self.platform.accounts)
            if self.accounts_there is None or number in self.accounts_there
        ]


def new_ads_app(title: str, records: AdRecords) -> FastAPI:
    """An application that says the company's time and has the endpoints outside the vendor's path."""
    clock = Clock(records.company, records.day)
    clock.moved.append(lambda: records.move_to(clock.day))
    app = new_app(title, clock)

    @app.post("/_sandbox/permission")
    async def permit(request: Request) -> JSONResponse:
        wanted = await request.json()
        account = str(wanted["account"])
        if records.account(account) is None:
            return JSONResponse({"error": f"no account {account}"}, 400)
        (records.withheld.discard if wanted["granted"] else records.withheld.add)(account)
        return JSONResponse({"withheld": sorted(records.withheld)})

    @app.post("/_sandbox/tokens")
    async def expire() -> JSONResponse:
        records.tokens.clear()
        return JSONResponse({"tokens": 0})

    return app


def bearer(request: Request) -> str:
    """The token of the `Authorization` header, empty when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def decimal_text(micro: int, least: int = 0) -> str:
    """Micros as a decimal number: exact, as many decimals as it takes and at least `least` (-1230000 -> -1.23)."""
    whole, rest = divmod(abs(micro), 1_000_000)
    decimals = f"{rest:06d}".rstrip("0").ljust(least, "0")
    return f"{'-' if micro < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


def whole_conversions(figures: Figures) -> int:
    """Claimed conversions for a vendor that reports whole ones: what there is of a further one is not shown."""
    return figures.conversions_micro // 1_000_000
