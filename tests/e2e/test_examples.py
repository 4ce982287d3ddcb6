"""The worked configurations, on the real data where it is present; the data itself is never bundled.

What the marts must say was computed from the files by other means: the figures of Olist's leads by somebody else, the
rest here, line by line from the files.
"""

from __future__ import annotations

import csv
import datetime as dt
import os
import shutil
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import PROJECT, Home

DATA = Path(os.environ.get("ONEFUNNEL_TEST_DATA") or PROJECT.parent / "shared" / "data")
FILES = {
    "marketing_spend": ["Marketing.csv"],
    "olist": [
        "olist_marketing_qualified_leads_dataset.csv",
        "olist_closed_deals_dataset.csv",
        "olist_order_items.parquet",
    ],
    "sales_quotas": [
        "salesperson.csv",
        "salespersonquotahistory.csv",
        "salesterritory.csv",
        "salesterritoryhistory.csv",
        "currencyrate.csv",
    ],
}


def is_here(example: str) -> bool:
    return all((DATA / example / name).is_file() for name in FILES[example])


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Home]:
    """One run of each example whose data is here and that a test of this session asks for; two at a time."""
    asked = {name for item in request.session.items for name in getattr(item, "fixturenames", ()) if name in FILES}
    root = tmp_path_factory.mktemp("examples")

    def run(name: str) -> tuple[str, Home]:
        example = root / name
        shutil.copytree(PROJECT / "examples" / name, example, ignore=shutil.ignore_patterns("data", "var"))
        (example / "data").mkdir()
        for file in FILES[name]:
            shutil.copyfile(DATA / name / file, example / "data" / file)
        home = Home(example / "var", extra={"ONEFUNNEL_CONFIG": str(example / "pipeline.yml")})
        done = home.cli("run", timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]
        return name, home

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(run, sorted(filter(is_here, asked))))


def of(homes: dict[str, Home], example: str) -> Home:
    if example not in homes:
        pytest.skip(f"the public data set is not here: set ONEFUNNEL_TEST_DATA to the folder that holds {example}/")
    return homes[example]


@pytest.fixture(scope="module")
def marketing_spend(homes: dict[str, Home]) -> Home:
    return of(homes, "marketing_spend")


@pytest.fixture(scope="module")
def olist(homes: dict[str, Home]) -> Home:
    return of(homes, "olist")


@pytest.fixture(scope="module")
def sales_quotas(homes: dict[str, Home]) -> Home:
    return of(homes, "sales_quotas")


def lines(example: str, name: str, encoding: str = "utf-8") -> list[dict[str, str]]:
    with (DATA / example / name).open(encoding=encoding, newline="") as handle:
        return list(csv.DictReader(handle))


# -- marketing_spend --------------------------------------------------------------------------------------------------


def in_the_file() -> list[dict[str, str]]:
    return lines("marketing_spend", "Marketing.csv", "utf-8-sig")


def test_the_real_file_gives_its_known_figures(marketing_spend: Home) -> None:
    ((rows, impressions, clicks, leads, orders, revenue, spend),) = marketing_spend.query(
        "select count(*), sum(impressions), sum(clicks), sum(claimed_leads), sum(claimed_conversions), sum(claimed_value_amount),"
        " sum(spend_amount) from marts.fct_ad_spend where is_current"
    )
    assert (rows, impressions, clicks, leads, orders) == (308, 1_577_722_399, 2_999_919, 65_579, 8_043)
    assert revenue == 42_889_366
    assert spend == sum(Decimal(row["mark_spent"]) for row in in_the_file())
    assert round((revenue - spend) / spend, 6) == Decimal("0.402031")
    assert marketing_spend.query("select distinct reporting_currency, as_of from metadata.run_info")[0][0] == "INR"


def test_every_campaign_has_the_return_that_the_file_claims(marketing_spend: Home) -> None:
    found = {
        name: (revenue - spend) / spend
        for name, revenue, spend in marketing_spend.query(
            "select campaign_name, sum(claimed_value_amount), sum(spend_amount) from marts.fct_ad_spend spend"
            " join marts.dim_campaign campaigns using (campaign_version_key) where spend.is_current group by all"
        )
    }
    spend, revenue = Counter[str](), Counter[str]()
    for row in in_the_file():
        spend[row["campaign_name"]] += Decimal(row["mark_spent"])  # type: ignore[assignment]
        revenue[row["campaign_name"]] += Decimal(row["revenue"])  # type: ignore[assignment]
    assert found == {name: (revenue[name] - spend[name]) / spend[name] for name in spend}
    ranked = sorted(found, key=lambda name: -found[name])
    assert len(ranked) == 11
    assert (ranked[0], round(found[ranked[0]], 4)) == ("youtube_blogger", Decimal("2.7732"))
    assert (ranked[-1], round(found[ranked[-1]], 4)) == ("facebook_lal", Decimal("-0.8864"))
    assert "facebOOK_tier2" in found, "names are taken as they are"


# -- olist ------------------------------------------------------------------------------------------------------------

# origin: leads, won, rate, median days from lead to won, sellers who sold, items, what they sold for
ORIGINS = {
    "organic_search": (2296, 271, 0.118031, 14, 113, 1346, "207023.45"),
    "paid_search": (1586, 195, 0.122951, 15, 101, 1448, "155277.05"),
    "social": (1350, 75, 0.055556, 30, 31, 444, "43477.99"),
    "unknown": (1099, 179, 0.162875, 11, 81, 1372, "213742.70"),
    "direct_traffic": (499, 56, 0.112224, 10, 31, 218, "21903.90"),
    "email": (493, 15, 0.030426, 21, 6, 24, "8484.99"),
    "referral": (284, 24, 0.084507, 18.5, 9, 77, "17887.15"),
    "other": (150, 4, 0.026667, 9, 2, 97, "6888.65"),
    "display": (118, 6, 0.050847, 8.5, 2, 7, "923.00"),
    "other_publicities": (65, 3, 0.046154, 35, 0, 0, "0"),
    None: (60, 14, 0.233333, 7.5, 4, 11, "1242.60"),
}
# the deal whose seller signed on 6 March 2018, two days before the first contact
TOO_EARLY = "b91cf8812365f50ff4bda4bcd6206b05"
MONTHS = [dt.date(2017 + m // 12, m % 12 + 1, 1) for m in range(5, 23)]  # June 2017 to November 2018


def test_each_origin_has_its_leads_its_deals_and_what_their_sellers_sold(olist: Home) -> None:
    """Persons, deals and bookings by one dimension, each summed on its own."""
    found = olist.query("""
        with leads as (select lead_source, count(*) as leads from marts.dim_person where person_key <> '-1' group by all),
        deals as (
            select person.lead_source, count(*) as won, median(days_from_lead) as days
            from marts.fct_opportunity deal join marts.dim_person person using (person_key)
            where is_won and is_in_funnel group by all
        ),
        sold as (
            select person.lead_source, count(distinct revenue.account_key) as sellers, count(*) as items, sum(booked_amount) as amount
            from marts.fct_revenue revenue
            join marts.fct_opportunity deal using (opportunity_key) join marts.dim_person person using (person_key)
            group by all
        )
        select leads.lead_source, leads, won, round(won / leads, 6), days, coalesce(sellers, 0), coalesce(items, 0), coalesce(amount, 0)
        from leads
        left join deals on leads.lead_source is not distinct from deals.lead_source
        left join sold on leads.lead_source is not distinct from sold.lead_source
    """)
    assert {origin: (*row, amount) for origin, *row, amount in found} == {
        origin: (*row, Decimal(amount)) for origin, (*row, amount) in ORIGINS.items()
    }
    assert len(found) == len(ORIGINS), "no origin and an unknown one are two"


def test_leads_and_wins_of_all_add_up(olist: Home) -> None:
    assert olist.query(
        "select count(*), count(*) filter (where is_reached_won), count(distinct lead_id), count(*) filter (where is_excluded)"
        " from marts.fct_journey"
    ) == [(8001, 842, 8000, 0)], "the deal that was won too early has a journey of its own"
    assert olist.query(
        "select sum(reached_journeys) filter (where step = 'mql'), sum(reached_journeys) filter (where step = 'won')"
        " from marts.rpt_funnel where cohort_step = 'mql'"
    ) == [(8000, 841)]
    assert olist.query("select round(842 / count(*), 5) from marts.dim_person where person_key <> '-1'") == [(0.10525,)]
    ((median, mean, p90, low, high),) = olist.query(
        "select median(days_from_lead), avg(days_from_lead), quantile_cont(days_from_lead, 0.9), min(days_from_lead), max(days_from_lead)"
        " from marts.fct_opportunity where is_won"
    )
    assert (median, round(mean, 4), round(p90, 4), low, high) == (14, 48.4406, 161.9, -2, 427)


def test_a_deal_that_was_won_before_its_first_contact_is_marked_and_kept(olist: Home) -> None:
    assert olist.query(
        "select deal.lead_id, days_from_lead, person.lead_source, is_won from marts.fct_opportunity deal"
        " join marts.dim_person person using (person_key) where is_won_before_lead"
    ) == [(TOO_EARLY, -2, "organic_search", True)]
    journeys = olist.query(
        "select journey.lead_id, entry_step, outcome from marts.fct_journey journey"
        f" where journey.lead_id = '{TOO_EARLY}' or opportunity_key ="
        " (select opportunity_key from marts.fct_opportunity where is_won_before_lead) order by 1 nulls last"
    )
    assert journeys == [(TOO_EARLY, "mql", "open"), (None, "won", "won")], "the lead did not make the deal"


def test_leads_and_wins_by_month(olist: Home) -> None:
    def by_month(sql: str) -> list[int]:
        found = dict(olist.query(sql))
        assert found.keys() <= set(MONTHS)
        return [found.get(month, 0) for month in MONTHS]

    people = "marts.dim_person where person_key <> '-1'"
    leads = [4, 239, 386, 312, 416, 445, 200, 1141, 1028, 1174, 1352, 1303]
    journeys = "select cohort_month, sum(reached_journeys) from marts.rpt_funnel where cohort_step = 'mql' and step = '{}' group by all"
    assert by_month(journeys.format("mql")) == leads + [0] * 6
    assert sum(leads) == olist.query(f"select count(*) from {people}")[0][0]
    won_of_cohort = [0, 2, 9, 7, 14, 18, 11, 152, 149, 167, 183, 130]
    assert (
        by_month(
            "select date_trunc('month', lead_created_at)::date, count(*) from marts.fct_opportunity where is_won group by all"
        )
        == won_of_cohort + [0] * 6
    )
    # a funnel cannot hold the deal that was won before its lead, of March
    assert by_month(journeys.format("won")) == [
        n - (m == dt.date(2018, 3, 1)) for m, n in zip(MONTHS, won_of_cohort + [0] * 6, strict=True)
    ]
    won = [0] * 6 + [3, 73, 113, 147, 207, 122, 57, 37, 33, 23, 21, 6]
    assert (
        by_month(
            "select date_trunc('month', won_at)::date, count(*) from marts.fct_opportunity where is_won group by all"
        )
        == won
    )
    assert by_month("select activity_month, net_entries from marts.rpt_funnel_activity where step = 'won'") == won


def test_orders_are_the_only_revenue(olist: Home) -> None:
    known = "account_key <> '-1'"
    assert olist.query(
        f"select count(*), count(*) filter (where {known}), count(distinct account_key) filter (where {known}),"
        f" sum(booked_amount_rc) filter (where {known}), count(distinct event_id), max(booked_date) from marts.fct_revenue"
    ) == [(112_646, 5_044, 380, Decimal("676851.48"), 112_646, dt.date(2018, 9, 18))]
    assert olist.query(
        "select measure, control_amount, held_amount, fact_amount, difference from metadata.reconciliation where control_amount <> 0"
    ) == [("booked_amount", Decimal("13591643.70"), Decimal("345.96"), Decimal("13591297.74"), 0)]
    assert olist.query("select reason, quarantined_rows from metadata.quarantine_summary") == [
        ("booked_after_as_of", 4)
    ]
    # what sellers declared about themselves is no amount of a deal
    assert olist.query("select count(opportunity_amount) from marts.fct_opportunity") == [(0,)]
    declared = {row["declared_monthly_revenue"] for row in lines("olist", FILES["olist"][1])}
    assert len(declared) > 20 and "0.0" in declared


def test_both_sides_of_a_sale_are_named(olist: Home) -> None:
    deals = lines("olist", FILES["olist"][1])
    pairs = {(row["seller_id"], row["sr_id"], row["sdr_id"]) for row in deals}
    assert len({sr for _, sr, _ in pairs}) == 22 and len({sdr for *_, sdr in pairs}) == 32
    assert (
        set(
            olist.query(
                "select opportunity_id, owner.user_id, creator.user_id from marts.fct_opportunity deal"
                " join marts.dim_rep owner on deal.owner_rep_key = owner.rep_key"
                " join marts.dim_rep creator on deal.created_by_rep_key = creator.rep_key"
            )
        )
        == pairs
    )
    assert olist.query("select count(*) from marts.dim_rep where rep_key <> '-1'") == [(41,)], "13 people do both"


def test_origins_are_credited_as_the_agreed_channels(olist: Home) -> None:
    channels = {"direct_traffic": "direct", "other_publicities": "other_paid", None: "unknown", "social": "unmapped", "other": "unmapped"}  # fmt: skip
    leads = Counter[str]()
    for origin, (number, *_) in ORIGINS.items():
        leads[channels.get(origin, str(origin))] += number
    found = olist.query(
        "select channel, sum(credited_leads), sum(credited_deals), sum(credited_amount_rc) from marts.rpt_unit_economics group by all"
    )
    assert {channel: number for channel, number, *_ in found if number} == leads
    assert sum(won for *_, won, _ in found) == 842
    [(booked,)] = olist.query("select sum(booked_amount_rc) from marts.fct_revenue where is_booking")
    assert sum(amount for *_, amount in found) == booked, (
        "with what sellers sold whom nobody won, it is all that was sold"
    )
    assert olist.query(
        "select sum(credited_amount_rc) from marts.fct_revenue_credit where is_primary_model"
        " and unattributed_reason is distinct from 'no_deal'"
    ) == [(Decimal("676851.48"),)]
    assert dict(
        olist.query(
            "select unattributed_reason, count(*) from marts.fct_credit"
            " where is_primary_model and conversion_type = 'won' and not is_attributed group by all"
        )
    ) == {"outside_lookback": 68, "no_touch": 1}, "deals of more than 180 days, and the one that was won too early"
    assert dict(
        olist.query("select channel_evidence, count(*) from marts.fct_touch where channel = 'unknown' group by all")
    ) == {"own": 1099, "none": 60}


# -- sales_quotas -----------------------------------------------------------------------------------------------------


def day(text: str) -> dt.date:
    return dt.datetime.fromisoformat(text).date()


def quotas() -> list[tuple[str, dt.date, int]]:
    """Person, first day of the quarter, quota: as the file has them."""
    rows = lines("sales_quotas", "salespersonquotahistory.csv")
    return [(row["businessentityid"], day(row["quotadate"]), int(row["salesquota"])) for row in rows]


def territory_of(person: str, when: dt.date) -> str | None:
    """The territory that a person had on a day; the file writes the last day of each."""
    names = {row["territoryid"]: row["name"] for row in lines("sales_quotas", "salesterritory.csv")}
    for row in lines("sales_quotas", "salesterritoryhistory.csv"):
        last = dt.date.max if row["enddate"] == "None" else day(row["enddate"])
        if row["businessentityid"] == person and day(row["startdate"]) <= when <= last:
            return names[row["territoryid"]]
    return None


def test_every_quota_is_a_plan_value_and_its_days_add_up_to_it(sales_quotas: Home) -> None:
    found = sales_quotas.query(
        "select owner_id, period_start, plan_value, sum(day_plan_amount_rc) from marts.fct_plan"
        " join marts.fct_plan_daily days using (plan_key)"
        " where fct_plan.scenario = 'quota' and fct_plan.metric = 'bookings' and is_current_version group by all"
    )
    assert sorted((person, start, int(value)) for person, start, value, _ in found) == sorted(quotas())
    assert all(value == days for *_, value, days in found)
    assert len(found) == 163 and sum(value for *_, value, _ in found) == 95_714_000
    assert sales_quotas.query(
        "select stream, currency, measure, control_amount, fact_amount, difference from metadata.reconciliation"
    ) == [("plan_values", "USD", "plan_value", 95_714_000, 95_714_000, 0)]


def test_quarters_keep_their_days_and_leave_no_gap(sales_quotas: Home) -> None:
    found = sales_quotas.query("select distinct period_start, period_end from marts.fct_plan order by 1")
    calendar = [dt.date(2001 + q // 4, q % 4 * 3 + 1, 1) for q in range(2, 15)]
    moved = [first + dt.timedelta(days=3621) for first in calendar]
    assert found == list(pairwise(moved)), "the calendar quarters of 2001 to 2004, 3,621 days later"
    assert {start for start, _ in found} == {start for _, start, _ in quotas()}
    assert {dt.date(2011, 5, 31), dt.date(2012, 8, 30), dt.date(2012, 2, 29)} <= {start for start, _ in found}


def test_a_quota_belongs_to_the_territory_that_its_person_had_then(sales_quotas: Home) -> None:
    found: dict[tuple[str, dt.date], dict[str | None, Decimal]] = defaultdict(dict)
    for person, start, territory, amount in sales_quotas.query(
        "select owner_id, period_start, nullif(territory_name, 'unknown'), sum(day_plan_amount_rc) from marts.fct_plan_daily days"
        " join marts.fct_plan plan using (plan_key) join marts.dim_territory territory on days.territory_key = territory.territory_key"
        " group by all"
    ):
        found[person, start][territory] = amount
    split = {
        ("280", dt.date(2012, 8, 30)),
        ("284", dt.date(2012, 8, 30)),
    }  # one left on 29 September, the other came on the 30th
    for person, start, quota in quotas():
        if (person, start) not in split:
            assert found[person, start] == {territory_of(person, start): quota}, (person, start)
    assert {key: sum(parts.values()) for key, parts in found.items() if key in split} == {
        (person, start): quota for person, start, quota in quotas() if (person, start) in split
    }
    assert all(found[key].keys() == {"Northwest", None} for key in split)
    moves = {
        person: list(
            dict.fromkeys(
                territory for who, start, _ in sorted(quotas()) if who == person for territory in found[who, start]
            )
        )
        for person in ("275", "277", "282")
    }
    assert moves == {
        "275": ["Northeast", "Central"],
        "277": ["Central", "Northeast"],
        "282": ["Canada", "United Kingdom"],
    }


def test_nobody_is_without_a_territory_on_the_day_before_a_move(sales_quotas: Home) -> None:
    assert sales_quotas.query(
        "select user_id, territory_name from marts.fct_plan_daily days join marts.dim_rep rep using (rep_key)"
        " join marts.dim_territory territory on days.territory_key = territory.territory_key"
        " where (user_id, plan_date) in (('275', date '2012-11-29'), ('277', date '2012-11-29'), ('282', date '2012-05-29')) order by 1"
    ) == [("275", "Northeast"), ("277", "Central"), ("282", "Canada")]


def test_managers_are_kept_with_their_quotas_and_without_a_territory(sales_quotas: Home) -> None:
    people = lines("sales_quotas", "salesperson.csv")
    managers = {row["businessentityid"] for row in people if row["territoryid"] == row["salesquota"] == "None"}
    assert managers == {"274", "285", "287"}
    assert sales_quotas.query("select count(*) from marts.dim_rep where rep_key <> '-1'") == [(len(people),)] == [(17,)]
    assert dict(
        sales_quotas.query(
            "select user_id, sum(day_plan_amount_rc) from marts.dim_rep rep join marts.fct_plan_daily days using (rep_key)"
            " where rep.territory_key = '-1' and days.territory_key = '-1' and user_id in ('274', '285', '287') group by all"
        )
    ) == {who: sum(quota for person, _, quota in quotas() if person == who) for who in managers}, (
        "the list of persons gives them no quota, the history of quotas does"
    )


def test_the_history_counts_where_the_list_of_persons_contradicts_it(sales_quotas: Home) -> None:
    found = dict(
        sales_quotas.query(
            "select user_id, nullif(territory_name, 'unknown') from marts.dim_rep rep"
            " join marts.dim_territory territory on rep.territory_key = territory.territory_key where user_id <> 'unknown'"
        )
    )
    today = dt.date(2014, 6, 1)
    assert found == {person: territory_of(person, today) for person in found}
    names = {row["territoryid"]: row["name"] for row in lines("sales_quotas", "salesterritory.csv")}
    listed = {
        row["businessentityid"]: names.get(row["territoryid"]) for row in lines("sales_quotas", "salesperson.csv")
    }
    assert {person for person in found if found[person] != listed[person]} == {"275", "277", "280", "282", "289"}


def test_without_bookings_no_quota_is_missed(sales_quotas: Home) -> None:
    assert sales_quotas.query(
        "select count(*) > 0, count(actual_amount_rc), count(attainment), count(pace), sum(quota_amount_rc) from marts.rpt_plan"
        " where owner_type = 'rep' and period_type = 'quarter'"
    ) == [(True, 0, 0, 0, Decimal(95_714_000))]
    assert sales_quotas.query(
        "select sum(assigned_quota_amount_rc), count(quota_amount_rc) from marts.rpt_plan where owner_type = 'company' and period_type = 'month'"
    ) == [(Decimal(95_714_000), 0)], "the company has no quota of its own"


def test_rates_of_withdrawn_currencies_are_rates(sales_quotas: Home) -> None:
    assert sales_quotas.query(
        "select rows_extracted, rows_loaded, rows_quarantined from metadata.row_ledger where contract = 'fx_rates'"
    ) == [(13_532, 13_532, 0)]
    assert {"DEM", "FRF", "VEB"} <= {row["tocurrencycode"] for row in lines("sales_quotas", "currencyrate.csv")}
