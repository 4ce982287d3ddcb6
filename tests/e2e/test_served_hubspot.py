"""A company whose CRM is HubSpot: a published run of what its API tells, held against the company's truth.

HubSpot keeps one record of a person and forgets what was deleted long ago, so what can be compared is what it still has:
deals with their amounts, outcomes, lines and shares, every step of its leads with the first answer to it, and touches with the
names of what they were answers to.
"""

from __future__ import annotations

import copy
import json
from collections import Counter, defaultdict

import pytest
import world
import yaml
from conftest import Home

from onefunnel.sandbox import PUBLIC_TOKEN_KEY
from onefunnel.sandbox.business.identity import folded
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import connection, serve_all
from onefunnel.sandbox.servers.crm_records import CrmState
from onefunnel.sandbox.servers.hubspot_objects import (
    Portal,
    contact_key,
    line_id,
    opportunity_key,
    owner_id,
    product_id,
)
from onefunnel.sandbox.servers.hubspot_touches import (
    email_event_id,
    marketing_event_id,
    participants,
    participation_id,
    recipient,
    touches,
)

pytestmark = pytest.mark.long

COMPANY = Company(scale=0.1, business=True)
AROUND = ("fx", "calendars")  # what a CRM alone needs from others: rates and working hours


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Readers see day 2; the sources are HubSpot, exchange rates and calendars."""
    home = Home(tmp_path_factory.mktemp("hubspot") / "home", extra={"ONEFUNNEL_TOKEN_KEY": PUBLIC_TOKEN_KEY})
    home.path.mkdir()
    declared = yaml.safe_load(world.FILES.read_text())
    sources = {name: declared["sources"][name] for name in AROUND}
    # HubSpot knows no working hours: an installation says whose are which.
    calendars = {owner_id(key): r.fields["calendar"] for key, r in CrmState(COMPANY, 2).tables["users"].items()}
    of_app = {"columns": {"crm_campaign_id": {"from": "external_event_id"}}}
    more = {
        "users": {"columns": {"calendar": {"from": "id", "map": calendars}}},
        "event_touches": of_app,
        "marketing_events": copy.deepcopy(of_app),  # YAML would make an alias of the same one
    }
    crm = {"connector": "hubspot", "owner": "sales", "since": "2024-04-01", "without": [], "streams": more}
    sources["crm"] = crm
    home.config.write_text(yaml.safe_dump({**declared, "sources": sources}, sort_keys=False))
    for day in (1, 2):
        world.deliver(home, COMPANY, day)
        with serve_all(COMPANY, day, ["hubspot"]) as bases:
            home.extra["AIRFLOW_CONN_CRM"] = connection("hubspot", bases["hubspot"])
            done = home.cli("run", "--run-id", f"day{day}", "--as-of", world.instant(COMPANY, day))
        assert done.returncode == 0, done.stderr[-3000:]
    return home


def test_deals_are_the_company_s(home: Home) -> None:
    found = {
        opportunity_key(row[0]): (*row[1:2], None if row[2] is None else int(row[2].scaleb(6)), row[3])
        for row in home.query(
            "select opportunity_id, currency, opportunity_amount, case when is_won then 'won' when is_lost then 'lost'"
            " else 'open' end from marts.fct_opportunity where not is_deleted"
        )
    }
    expected = {
        key: (deal.currency, deal.amount_micro, deal.state)
        for key, deal in COMPANY.business_truth(2).opportunities.items()
        if not deal.is_deleted
    }
    assert found == expected and len({state for *_, state in found.values()}) == 3


def test_the_journeys_of_leads_are_the_company_s_to_the_second(home: Home) -> None:
    """All of them but those of merged people: of these HubSpot has kept one record."""
    found: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for lead, *step in home.query(
        "select journey.lead_id, step_order, attempt_no, epoch(entered_at)::bigint from marts.fct_funnel_step as step"
        " inner join marts.fct_journey as journey using (journey_id)"
        " where journey.lead_id is not null and not journey.is_excluded"
    ):
        found[contact_key(lead)[1]].append(tuple(step))
    truth = COMPANY.business_truth(2)
    expected: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    person_of = {j.lead_id: j.person for j in truth.journeys.values() if j.lead_id}
    for row in truth.step_rows:
        if lead := truth.journeys[row.journey_id].lead_id:
            expected[lead].append((row.step, row.attempt_no, row.entered_at))
    assert {lead: sorted(steps) for lead, steps in found.items()} == {lead: sorted(expected[lead]) for lead in found}
    leads = COMPANY.business_files.business.log(2).states("leads", COMPANY.business_files.business.until(2))
    merged = {
        lead
        for lead, person in person_of.items()
        if person not in (f"lead:{lead}", f"contact:{leads[lead]['converted_contact_id']}")
    }
    assert expected.keys() - found.keys() <= merged
    assert len(found) > 200 and {step for steps in found.values() for step, *_ in steps} == {10, 20, 30, 40, 50, 60}


def test_the_lines_of_deals_are_the_company_s_to_the_micro(home: Home) -> None:
    amounts = "cast(quantity * 1000000 as bigint), " + ", ".join(
        f"cast({name} * 1000000 as bigint)" for name in ("list_amount", "net_amount", "cost_amount")
    )
    found = {
        line: (opportunity_key(deal), *row)
        for line, deal, *row in world.ask(
            world.warehouse(home),
            f"select line_id, opportunity_id, product_id, currency, {amounts}"
            " from intermediate.int_conformed__opportunity_lines",
        )
    }
    business = COMPANY.business_files.business
    until = business.until(2)
    log = business.log(2)
    deals, lines = log.states("opportunities", until), log.states("opportunity_lines", until)
    expected = {
        line_id(key): (
            f["opportunity_id"],
            product_id(str(f["product_id"])),
            f["currency"],
            *(f[name] for name in ("quantity", "list_amount", "net_amount", "cost_amount")),
        )
        for key, f in lines.items()
        if not deals[str(f["opportunity_id"])]["is_deleted"]
    }
    assert found == expected and len(found) > 50
    sold = {row[1] for row in found.values()}
    assert sold <= {row[0] for row in home.query("select product_id from marts.dim_product")}


def test_the_shares_of_deals_are_the_company_s(home: Home) -> None:
    """Of revenue: a share on top of the whole is nothing that HubSpot knows."""
    found = {
        (opportunity_key(deal), user, kind): int(percent.scaleb(6))
        for deal, user, kind, percent in world.ask(
            world.warehouse(home),
            "select opportunity_id, user_id, split_type, split_percent from intermediate.int_deals__splits"
            " where opportunity_key <> '-1' and rep_key <> '-1'",
        )
    }
    business = COMPANY.business_files.business
    log, until = business.log(2), business.until(2)
    deals = log.states("opportunities", until)
    expected = {
        (f["opportunity_id"], owner_id(f["user_id"]), "revenue"): f["split_percent"]
        for f in log.states("opportunity_splits", until).values()
        if f["split_type"] == "revenue" and not f["is_deleted"] and not deals[str(f["opportunity_id"])]["is_deleted"]
    }
    assert found == expected and len(set(found.values())) > 3


def test_first_answers_to_leads_are_the_truth_to_the_business_minute(home: Home) -> None:
    """A lead that begins anew has a journey for each time."""
    found = {
        (contact_key(lead)[1], entered): tuple(row)
        for lead, entered, *row in world.ask(
            world.warehouse(home),
            "select journeys.lead_id, epoch(steps.entered_at)::bigint, epoch(handoffs.assigned_at)::bigint, handoffs.assignee_id,"
            " epoch(handoffs.first_response_at)::bigint, handoffs.response_business_minutes"
            " from intermediate.int_funnel__handoffs as handoffs"
            " inner join marts.fct_funnel_step as steps using (journey_id, row_no)"
            " inner join marts.fct_journey as journeys using (journey_id)"
            " where not steps.is_excluded and handoffs.assigned_at is not null"
            " qualify row_number() over (partition by journey_id order by handoffs.row_no) = 1",
        )
    }
    truth = COMPANY.business_truth(2)
    expected = {
        (str(truth.journeys[journey].lead_id), a.scored_at): (a.assigned_at, owner_id(a.assignee), *a[4:])
        for journey, a in truth.answers.items()
    }
    assert found == {key: expected.get(key) for key in found}
    answered = [row for row in found.values() if row[3] is not None]
    assert 50 < len(answered) < len(found), "some are not answered"
    assert len(found) > 0.9 * len(expected)


def test_what_hubspot_counts_has_arrived(home: Home) -> None:
    rows = home.query("select stream, measure, said_value > 0, difference from metadata.source_totals order by all")
    assert [tuple(row) for row in rows] == [
        (stream, "rows", True, 0) for stream in ("accounts", "activities", "contacts", "leads", "opportunities")
    ]


def test_every_record_is_loaded(home: Home) -> None:
    rows = home.query(
        "select stream, sum(rows_extracted), sum(rows_loaded), sum(abs(row_difference)) from metadata.row_ledger"
        " where source_system = 'crm' group by all"
    )
    assert {stream: (n, difference) for stream, n, loaded, difference in rows if n != loaded or difference} == {}
    assert len(rows) >= 16


def test_no_load_has_a_column_that_nobody_declared(home: Home) -> None:
    receipts = [*home.path.glob("landing/crm/*/*/receipt.json")]
    assert {name for file in receipts for name in json.loads(file.read_text())["undeclared_columns"]} == set()
    assert {"event_touches", "email_touches"} <= {file.parts[-3] for file in receipts}


def test_touches_are_the_company_s_with_their_persons(home: Home) -> None:
    """Of e-mails what recipients did, of events the state that HubSpot still tells; and whose they are.

    An address that a contact has lost in a merge is not read, so e-mails to it are nobody's.
    """
    portal = Portal(CrmState(COMPANY, 2))
    people = participants(portal)
    contacts = {key: r.properties["email"] for key, r in portal.objects["contacts"].items() if not r.archived}
    by_address = {folded(email): key for key, email in contacts.items() if email}
    expected: dict[str, tuple[object, ...]] = {}
    for touch in touches(portal, "mail"):
        address = recipient(portal, touch)
        if address is not None and touch.touch_type != "delivered":
            key = f"{email_event_id(touch.touch_id)}-{touch.at_ms}"
            expected[key] = (
                *(touch.touch_type, touch.at_ms, "email", touch.crm_campaign_id),
                by_address.get(folded(address)),
            )
    first: dict[tuple[str, str | None], str] = {}
    for touch in touches(portal, "event"):
        person = people.get(touch.lead_id or "") or people.get(folded(str(touch.email)), "")
        name = participation_id(first.setdefault((person, touch.crm_campaign_id), touch.touch_id))
        event = marketing_event_id(str(touch.crm_campaign_id))
        if person in contacts and touch.touch_type == "attended":
            expected[f"{event}-{name}-ATTENDED"] = ("attended", touch.at_ms, "event", touch.crm_campaign_id, person)
    found = {
        row[0]: (*row[1:5], None if row[5] == "unknown" else row[5])
        for row in home.query(
            "select touch_id, touch_type, epoch_ms(occurred_at), channel, crm_campaign_id, person_id from marts.fct_touch"
            " inner join marts.dim_person using (person_key) where touch_type <> 'other' and not is_excluded"
        )
    }
    assert found == expected
    assert Counter(touch[0] for touch in found.values()).keys() == {"click", "open", "reply", "attended"}
    assert sum(touch[4] is not None for touch in found.values()) > 0.9 * len(found)
    others = home.query("select distinct channel, is_response from marts.fct_touch where touch_type = 'other'")
    assert [tuple(row) for row in others] == [("event", False)], "who did not come"


def test_touches_are_of_campaigns_with_the_company_s_names(home: Home) -> None:
    """Each touch names its e-mail or event; one that has not gone out yet is no sending."""
    campaigns = CrmState(COMPANY, 2).tables["crm_campaigns"]
    told = {key: (r.fields["campaign_name"], r.fields["channel"]) for key, r in campaigns.items()}
    touched = home.query(
        "select distinct touches.crm_campaign_id, campaigns.crm_campaign_id, campaign_name, campaigns.channel"
        " from marts.fct_touch as touches inner join marts.dim_crm_campaign as campaigns using (crm_campaign_key)"
    )
    assert {(of, *told.get(of, ())) for of, *_ in touched} == {tuple(row[1:]) for row in touched}
    assert {row[3] for row in touched} == {"email", "event"} and len(touched) > 20
    today = COMPANY.simulation.date_of(2)
    found = home.query(
        "select crm_campaign_id, campaign_name, channel, started_on, ended_on from marts.dim_crm_campaign"
        " where crm_campaign_key <> '-1'"
    )
    days = {key: (r.fields["started_on"], r.fields["ended_on"]) for key, r in campaigns.items()}
    assert {tuple(row) for row in found} == {
        (key, name, channel, *(days[key] if channel == "event" else (None, None)))
        for key, (name, channel) in told.items()
        if channel == "event" or days[key][0] <= today  # type: ignore[operator]
    }
