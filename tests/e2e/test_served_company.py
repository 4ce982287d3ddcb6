"""The company behind its platforms' APIs against its own truth: the same questions as of the company in files, answered by
what was fetched over HTTP. The platforms have names of their own for everything; here they are turned back.

Of who came to an event HubSpot tells the state of today: the registration of somebody who has come meanwhile is not to be
had, and whose contact is gone is not named any more. So the truth of these touches is what HubSpot told on each day.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import httpx
import pytest
import test_company_truth
import world
import yaml
from conftest import PROJECT, Home

from onefunnel.sandbox import PUBLIC_TOKEN_KEY
from onefunnel.sandbox.business.identity import Identity
from onefunnel.sandbox.business.log import Touch
from onefunnel.sandbox.business.truth import BusinessTruth
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.salesforce_ids import SHAPES, company_key, is_id
from onefunnel.sandbox.servers import connection, serve_all
from onefunnel.sandbox.servers.crm_records import CrmState
from onefunnel.sandbox.servers.hubspot_objects import Portal
from onefunnel.sandbox.servers.hubspot_touches import participations
from onefunnel.sandbox.vendor_ids import VendorIds

pytestmark = pytest.mark.long

COMPANIES = [pytest.param((scale, days), id=f"scale {scale}, day {days}") for scale, days in ((1.0, 1), (0.2, 30))]
# One of the accounts with which the company searches for customers is at Microsoft.
OF_THE_TRUTH = {"partner_search_ads": "search_ads"}
OBJECTS = {prefix: name for name, (prefix, _) in reversed(SHAPES.items())}
# The ledger's truth is kept by file and line; what an API is asked for has neither.
OF_FILES = {test_company_truth.test_the_row_ledger_is_the_truth_of_every_stream}
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class ServedTruth(BusinessTruth):
    """The company's truth, with what HubSpot tells of its events."""

    company: Company

    @cached_property
    def identity(self) -> Identity:
        business = self.files.business
        log = business.log(self.day)
        seen = [touch for touch in log.touches if touch.channel_kind != "event"]
        return Identity(replace(log, touches=[*seen, *self.attendance.values()]), business.until(self.day))

    @cached_property
    def attendance(self) -> dict[str, Touch]:
        """Every state of a participant that was to be seen at the end of a day until now; of one state the last word."""
        found = {}
        for day in range(1, self.day + 1):
            portal = Portal(CrmState(self.company, day))
            for event, people in participations(portal).items():
                for told in people:
                    state, at_ms = told["properties"]["attendanceState"], told["properties"]["occurredAt"]
                    about = told["associations"]
                    campaign = company_key("Campaign", about["marketingEvent"]["externalEventId"])
                    found[f"{event}-{told['id']}-{state}"] = Touch(
                        at_ms,
                        "event",
                        f"{event}-{told['id']}-{state}",
                        state.lower() if state in ("REGISTERED", "ATTENDED") else "other",
                        email=about["contact"]["email"],
                        crm_campaign_id=campaign,
                    )
        return found


class ServedWorld(test_company_truth.World):
    """A company that was read through APIs; what the marts call by a platform's id is called by the company's own."""

    @cached_property
    def ad_ids(self) -> dict[str, str]:
        ids = VendorIds(self.truth.files.business.simulation)
        return {theirs: ours for ours, theirs in ids._ads.items()}

    def ask(self, sql: str) -> list[Row]:
        return [tuple(map(self.own, row)) for row in self.asked(sql)]

    def asked(self, sql: str) -> list[Row]:
        """The answer in the platforms' ids."""
        return super().ask(sql)

    def own(self, value: object) -> object:
        return "/".join(re.sub(r"\w+", self._own, p) for p in value.split("/")) if isinstance(value, str) else value

    def _own(self, word: re.Match[str]) -> str:
        text = word[0]
        if len(text) == 18 and is_id(text):
            return company_key(OBJECTS[text[:3]], text)
        return OF_THE_TRUTH.get(text, self.ad_ids.get(text, text))


@pytest.fixture(scope="module", params=COMPANIES)
def company(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedWorld]:
    scale, days = request.param
    simulated = Company(scale=scale, business=True, served=True)
    home = Home(tmp_path_factory.mktemp("served") / "home", extra={"ONEFUNNEL_TOKEN_KEY": PUBLIC_TOKEN_KEY})
    home.path.mkdir()
    home.config.write_text((PROJECT / "pipeline.yml").read_text(encoding="utf-8"), encoding="utf-8")
    sources = yaml.safe_load(home.config.read_text())["sources"]
    vendors = {name: source["connector"] for name, source in sources.items() if source["connector"] != "files"}
    with ExitStack() as stack:
        bases = stack.enter_context(serve_all(simulated, 1, list(vendors.values())))
        for name, vendor in vendors.items():
            home.extra[f"AIRFLOW_CONN_{name.upper()}"] = connection(vendor, bases[vendor])
        for day in range(1, days + 1):
            for base in bases.values():
                httpx.post(f"{base}/_sandbox/day", json={"day": day}, timeout=60).raise_for_status()
            world.deliver(home, simulated, day)
            with ExitStack() as fast:
                if day not in (1, days):
                    fast.enter_context(world.without_tests())
                world.run_without_gates(home, f"day{day}", world.instant(simulated, day))
    yield ServedWorld(home, ServedTruth(simulated.business_files, days, company=simulated))


@pytest.mark.parametrize(
    "holds",
    [f for name, f in vars(test_company_truth).items() if name.startswith("test_") and f not in OF_FILES],
    ids=lambda f: f.__name__,
)
def test_through_the_apis_too(company: ServedWorld, holds: Callable[[test_company_truth.World], None]) -> None:
    holds(company)


def test_of_an_api_every_record_is_loaded_and_of_files_what_is_not_is_named(company: ServedWorld) -> None:
    rows = company.asked(
        "select source_system, stream, sum(rows_extracted), sum(rows_loaded), sum(rows_deduplicated), sum(rows_quarantined),"
        " sum(rows_rejected), sum(abs(row_difference)) from metadata.row_ledger group by all"
    )
    found = {tuple(row[:2]): tuple(row[2:]) for row in rows}
    with world.installation(company.home) as here:
        declared = here.settings.sources
    assert found.keys() == {(name, stream) for name, source in declared.items() for stream in source.streams}
    delivered: dict[tuple[str, str], Counter[str]] = {}
    for day in company.each_day:
        for part in (*day.spend.deliveries.values(), *day.deliveries.values()):
            delivered.setdefault((part.source, part.stream), Counter()).update(part.outcomes)
    for (source, stream), counts in found.items():
        if declared[source].is_files:
            c = delivered[source, stream]
            outcomes = (c[outcome] for outcome in test_company_truth.OUTCOMES)
            assert counts == (c.total(), *outcomes, 0), (source, stream)
        else:
            assert counts == (counts[0], counts[0], 0, 0, 0, 0) and counts[0], (source, stream)


def test_what_the_platforms_say_of_themselves_has_arrived(company: ServedWorld) -> None:
    rows = company.asked(
        "select source_system, stream, measure, count(*), sum(abs(difference)), count(*) filter (where is_final)"
        " from metadata.source_totals group by all"
    )
    figures = {"spend_amount", "impressions", "clicks"}
    ads = {"search_ads", "partner_search_ads", "social_ads", "video_ads"}
    assert {(source, measure) for source, _, measure, *_ in rows if source in ads} == {
        (source, measure) for source in ads for measure in figures
    }
    assert {(stream, measure) for source, stream, measure, *_ in rows if source == "crm"} == {
        *((stream, "rows") for stream in ("accounts", "contacts", "leads", "opportunities")),
        ("opportunities", "amount"),
    }
    assert [row for row in rows if row[4]] == []
    assert all(final > 300 for source, *_, final in rows if source in ads)
