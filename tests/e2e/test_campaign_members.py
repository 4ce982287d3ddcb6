"""Who answered a campaign, told by the CRM's list or by the event team's: never by both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import world
from conftest import Home

pytestmark = pytest.mark.long

MOMENT = {"format": "%Y-%m-%dT%H:%M:%SZ", "zone": "UTC"}
LEADS = """lead_id,status,created_at
L-1,Marketing Qualified,2026-03-10T12:00:00Z
L-2,Marketing Qualified,2026-03-11T09:00:00Z
L-3,Marketing Qualified,2026-03-12T09:00:00Z
"""
CAMPAIGNS = """crm_campaign_id,name,kind
C-fair,Spring fair,Trade Show
C-ad,Brand search,Advertisement
"""
MEMBERS = """member_id,crm_campaign_id,lead_id,status,responded_at,created_at
M-1,C-fair,L-1,responded,2026-03-10T12:02:00Z,2026-03-10T12:02:00Z
M-2,C-fair,L-2,sent,,2026-03-01T08:00:00Z
M-3,C-fair,L-3,responded,2026-03-09T09:00:00Z,2026-03-12T09:00:00Z
M-4,C-ad,L-1,responded,2026-03-08T10:00:00Z,2026-03-10T12:00:00Z
"""
# The event team has seen L-2 as well, whom the CRM's list has not.
ATTENDEES = """touch_id,occurred_at,touch_type,lead_id,crm_campaign_id
T-1,2026-03-09T10:00:00Z,attended,L-1,C-fair
T-2,2026-03-09T11:00:00Z,attended,L-2,C-fair
T-3,2026-03-09T09:00:00Z,attended,L-3,C-fair
"""


def stream(file: str, key: str, columns: dict[str, Any]) -> dict[str, Any]:
    return {
        "files": file,
        "key": [key],
        "replaces": "file",
        "usual_rows": "off",
        "allow_empty": True,
        "columns": columns,
    }


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    own = {
        name: {"from": name} for name in ("lead_id", "crm_campaign_id", "status", "member_id", "touch_id", "touch_type")
    }
    at = {name: {"from": name, **MOMENT} for name in ("created_at", "responded_at", "occurred_at")}
    channel = {"from": "kind", "map": {"Trade Show": "event", "Advertisement": "paid_search"}}

    def of(*names: str) -> dict[str, Any]:
        return {name: {**own, **at}[name] for name in names}

    crm = {
        "leads": stream("leads.csv", "lead_id", of("lead_id", "status", "created_at")),
        "crm_campaigns": stream("campaigns.csv", "crm_campaign_id", {**of("crm_campaign_id"), "campaign_name": {"from": "name"}, "channel": channel}),
        "campaign_members": stream("members.csv", "member_id", of("member_id", "crm_campaign_id", "lead_id", "status", "responded_at", "created_at")),
    }  # fmt: skip
    attendees = of("touch_id", "occurred_at", "touch_type", "lead_id", "crm_campaign_id")
    home.declare(
        sources={
            "crm": {"connector": "files", "root": "drop/crm", "streams": crm},
            "events": {
                "connector": "files",
                "root": "drop/events",
                "streams": {"event_touches": stream("attendees.csv", "touch_id", attendees)},
            },
        }
    )
    drop(home, "events/attendees.csv", ATTENDEES.splitlines()[0] + "\n")
    for name, text in {"leads": LEADS, "campaigns": CAMPAIGNS, "members": MEMBERS}.items():
        drop(home, f"crm/{name}.csv", text)
    assert json.loads(home.config.read_text())["sources"].keys() == {"crm", "events"}
    return home


def drop(home: Home, name: str, text: str) -> None:
    path = home.path / "drop" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    world.settle([path])


def touches(home: Home) -> list[tuple[Any, ...]]:
    return world.ask(
        world.warehouse(home),
        "select touch_id, touch_type, channel, is_response, person_evidence, crm_campaign_key <> '-1' from marts.fct_touch order by all",
    )


def credit(home: Home) -> dict[str, str]:
    """Of each lead the channel that the first touch gives it."""
    return dict(
        world.ask(
            world.warehouse(home),
            "select conversion_id, channel from marts.fct_credit where model = 'first' and conversion_type = 'lead'",
        )
    )


def test_a_campaigns_list_counts_until_its_touches_are_delivered_and_never_beside_them(home: Home) -> None:
    world.run_without_gates(home, "day1", "2026-03-13T06:00:00Z")
    assert touches(home) == [
        ("M-1", "responded", "event", True, "lead", True),
        ("M-3", "responded", "event", True, "lead", True),
    ], "not who was only invited, and no advertisement: the web site sees its visitors"
    # The list of those who came was written two minutes after the lead: within the agreed grace of a form.
    assert credit(home) == {"lead:L-1": "event", "lead:L-2": "unattributed", "lead:L-3": "event"}

    drop(home, "events/attendees.csv", ATTENDEES)
    world.run_without_gates(home, "day2", "2026-03-14T06:00:00Z")
    assert touches(home) == [(f"T-{n}", "attended", "event", True, "lead", True) for n in (1, 2, 3)]
    assert credit(home) == {"lead:L-1": "event", "lead:L-2": "event", "lead:L-3": "event"}
