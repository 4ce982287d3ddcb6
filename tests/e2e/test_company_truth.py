"""The whole company against its own truth: what the marts say is what happened, to the record, the cent and the second.

The company keeps its truth in integers, computed from its own log before any file is written and by code that shares
nothing with the models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import world
from conftest import PROJECT, Home

from onefunnel.sandbox import PUBLIC_TOKEN_KEY
from onefunnel.sandbox.business.truth import BusinessTruth
from onefunnel.sandbox.company import Company

COMPANIES = [
    pytest.param((7, 0.2), id="seed 7, scale 0.2"),
    *(
        pytest.param((seed, scale), id=f"seed {seed}, scale {scale}", marks=pytest.mark.long)
        for seed in (1, 2, 3)
        for scale in (0.2, 1.0)
    ),
]


@dataclass
class World:
    """A company after two days, built day by day, and what must be true of it."""

    home: Home
    truth: BusinessTruth

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return world.ask(world.warehouse(self.home), sql)


@pytest.fixture(scope="module", params=COMPANIES)
def company(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    seed, scale = request.param
    simulated = Company(seed=seed, scale=scale, business=True)
    path = tmp_path_factory.mktemp("company") / "home"
    path.mkdir()
    home = Home(path, extra={"ONEFUNNEL_TOKEN_KEY": PUBLIC_TOKEN_KEY})
    home.config.write_text((PROJECT / "pipeline.yml").read_text())
    for day in (1, 2):
        world.deliver(home, simulated, day)
        world.run_without_gates(home, f"day{day}", world.instant(simulated, day))
    yield World(home, simulated.business_truth(2))


def persons(company: World) -> dict[str, str | None]:
    """person_key -> the truth's name of the person."""
    rows = company.ask(
        "select distinct person_key, person_kind || ':' || person_id from intermediate.int_identity__persons"
    )
    return {**dict(rows), "-1": None}


def accounts(company: World) -> dict[str, str | None]:
    """account_key -> the source's id of the surviving account."""
    rows = company.ask(
        "select distinct account_key, account_id from intermediate.int_identity__persons where account_key <> '-1'"
    )
    return {**dict(rows), "-1": None}


def campaigns(company: World) -> dict[str, str | None]:
    """campaign_key -> the truth's name of the campaign."""
    rows = company.ask(
        "select distinct campaign_key, source_system || '/' || ad_account_id || '/' || campaign_id from marts.dim_campaign"
    )
    return {**dict(rows), "-1": None}


def test_the_row_ledger_balances_for_every_stream(company: World) -> None:
    rows = company.ask(
        "select source_system, stream, sum(rows_extracted), sum(rows_loaded + rows_deduplicated + rows_quarantined + rows_rejected),"
        " sum(abs(row_difference)) from metadata.row_ledger group by all"
    )
    assert {s for _, s, *_ in rows} >= {
        "leads",
        "opportunities",
        "web_touches",
        "event_touches",
        "revenue_events",
        "plan_values",
    }
    assert [r for r in rows if r[2] != r[3] or r[4]] == []


def test_what_is_not_loaded_is_what_was_planted_and_nothing_else(company: World) -> None:
    found = {
        (*row[:4], outcome)
        for outcome, table in (("quarantined", "rejected"), ("deduplicated", "deduplicated"))
        for row in company.ask(f"select source_system, stream, _file, _line from intermediate.int_quality__{table}")
    }
    for path in company.home.path.glob("landing/*/*/load=*/rejects.parquet"):
        found |= {
            (r["_source"], r["_stream"], r["_file"], r["_line"], "rejected") for r in pq.read_table(path).to_pylist()
        }
    planted = {
        (fate.source, fate.stream, fate.file, fate.line, fate.outcome)
        for day in (1, 2)
        for file in BusinessTruth(company.truth.files, day).deliveries.values()
        for fate in file.fates
        if fate.outcome != "accepted"
    }
    of_the_business = {source for source, *_ in planted}
    assert {f for f in found if f[0] in of_the_business} == planted
    assert {outcome for *_, outcome in planted} == {"quarantined", "deduplicated", "rejected"}


def test_every_touch_has_its_person_channel_and_campaign(company: World) -> None:
    who, firm, what = persons(company), accounts(company), campaigns(company)
    found = {
        row[0]: (who[row[1]], firm[row[2]], row[3], f"crm/{row[5]}" if row[5] else what[row[4]], row[6])
        for row in company.ask(
            "select touch_id, person_key, account_key, channel, campaign_key, crm_campaign_id, exclude_reason from marts.fct_touch"
            " where is_response"
        )
    }
    expected = {
        touch_id: (touch.person, touch.account_id, touch.channel, touch.campaign, touch.reason)
        for touch_id, touch in company.truth.touches.items()
        if touch.touch_type not in ("delivered", "open")
    }
    assert found.keys() == expected.keys()
    assert {k: (found[k], v) for k, v in expected.items() if found[k] != v} == {}


def test_credit_is_the_truth_to_the_millionth_and_the_cent(company: World) -> None:
    rows = company.ask(
        "select credit.conversion_id, credit.model, touch.touch_id, credit.unattributed_reason, credit.weight_micro,"
        " cast(credit.credited_amount_rc * 100 as bigint)"
        " from marts.fct_credit as credit left join marts.fct_touch as touch using (touch_key)"
    )
    expected = [
        (r.conversion_id, r.model, r.touch_id, r.reason, r.weight_micro, r.eur_cents) for r in company.truth.credit_rows
    ]
    found, wanted = Counter(rows), Counter(expected)
    assert (list((found - wanted).elements())[:5], list((wanted - found).elements())[:5]) == ([], [])
    assert {r[3] for r in rows} == {r.reason for r in company.truth.credit_rows} >= {None, "no_touch"}


def test_unit_economics_are_the_truth_of_each_channel_and_month(company: World) -> None:
    found = {
        (channel, month): tuple(figures)
        for channel, month, *figures in company.ask(
            "select channel, strftime(month_start_date, '%Y-%m'), cast(spend_amount_rc * 1000000 as bigint),"
            " cast(credited_leads * 1000000 as bigint), cast(credited_deals * 1000000 as bigint),"
            " cast(credited_amount_rc * 100 as bigint) from marts.rpt_unit_economics"
        )
    }
    expected = {
        (channel, month): (cell.spend_micro, cell.leads_micro, cell.won_micro, cell.credited_cents)
        for (model, channel, month), cell in company.truth.economics.items()
        if model == "linear"
    }
    assert found == expected


def test_no_personal_text_is_beyond_staging(company: World) -> None:
    """Names and addresses that the files hold are found in their personal part and in no other table."""
    canaries = {
        row[0]
        for path in sorted(Path(company.home.path).glob("landing/crm/leads/*/personal.parquet"))
        for row in world.duckdb.connect()
        .execute("select email from read_parquet(?) where email <> ''", [str(path)])
        .fetchall()
    }
    assert len(canaries) > 100
    seen = []
    for schema, table, column in company.ask(
        "select schema_name, table_name, column_name from duckdb_columns() where data_type = 'VARCHAR'"
        " and schema_name in ('staging', 'intermediate', 'marts', 'metadata')"
    ):
        if table.startswith("stg_ledger__"):
            continue
        hits = company.ask(
            f"""select count(*) from {schema}."{table}" where regexp_matches("{column}", '[a-z0-9]@[a-z0-9-]+[.]example')"""
        )
        if hits[0][0]:
            seen.append((schema, table, column, hits[0][0]))
    assert seen == []
