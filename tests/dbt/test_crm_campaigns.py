"""Two streams of one source fill the list of the CRM's campaigns; an id that means two of them is no campaign."""

from __future__ import annotations

from pathlib import Path

import pytest
from warehouse import Landing, Warehouse

TEST = "assert_a_crm_campaign_has_one_meaning"


@pytest.mark.long
def test_an_id_that_two_streams_give_different_meanings_stops_the_build(tmp_path: Path) -> None:
    landing = Landing(tmp_path / "landing")
    events, mails = (
        landing.declare(stream, "crm", "crm_campaigns", stream=stream, replaces="keys", key=["crm_campaign_id"])
        for stream in ("marketing_events", "email_sendings")
    )
    fair = {"crm_campaign_id": "400000000001", "campaign_name": "Fair", "channel": "event"}
    letter = {"crm_campaign_id": "16275278", "campaign_name": "Letter", "channel": "email"}
    landing.load(events, "2026-01-04 06:00:00", {"e": [fair]})
    landing.load(mails, "2026-01-04 06:00:00", {"m": [letter]})
    landing.load(events, "2026-01-05 06:00:00", {"e": [{**letter, "channel": "event"}]})
    warehouse = Warehouse(tmp_path / "warehouse.duckdb", tmp_path)
    select = ("--select", f"+{TEST}", "+int_company__crm_campaigns", "--exclude-resource-type", "unit_test")
    warehouse.build(landing.vars(2), *select)
    names = "select crm_campaign_id, campaign_name, channel from intermediate.int_company__crm_campaigns order by 1"
    assert warehouse.rows(names) == [tuple(letter.values()), tuple(fair.values())]
    done = warehouse.run(landing.vars(), *select)
    assert done.returncode != 0 and TEST in done.stdout.split("Completed with")[1]
