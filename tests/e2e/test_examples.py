"""The worked configurations, on the real data where it is present; the data itself is never bundled."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from conftest import PROJECT, Home

DATA = Path(os.environ.get("ONEFUNNEL_TEST_DATA") or PROJECT.parent / "shared" / "data")
MARKETING = DATA / "marketing_spend" / "Marketing.csv"


@pytest.fixture(scope="module")
def marketing(tmp_path_factory: pytest.TempPathFactory) -> Home:
    if not MARKETING.is_file():
        pytest.skip(
            "the public data set is not here: set ONEFUNNEL_TEST_DATA to the folder that holds marketing_spend/"
        )
    example = tmp_path_factory.mktemp("examples") / "marketing_spend"
    shutil.copytree(PROJECT / "examples" / "marketing_spend", example, ignore=shutil.ignore_patterns("data", "var"))
    (example / "data").mkdir()
    shutil.copyfile(MARKETING, example / "data" / "Marketing.csv")
    home = Home(example / "var", extra={"ONEFUNNEL_CONFIG": str(example / "pipeline.yml")})
    done = home.cli("run")
    assert done.returncode == 0, done.stderr[-3000:]
    return home


def in_the_file() -> list[dict[str, str]]:
    with MARKETING.open(encoding="utf-8-sig", newline="") as handle:
        return list(csv.DictReader(handle))


def test_the_real_file_gives_its_known_figures(marketing: Home) -> None:
    ((rows, impressions, clicks, leads, orders, revenue, spend),) = marketing.query(
        "select count(*), sum(impressions), sum(clicks), sum(claimed_leads), sum(claimed_conversions), sum(claimed_value_amount),"
        " sum(spend_amount) from marts.fct_ad_spend where is_current"
    )
    assert (rows, impressions, clicks, leads, orders) == (308, 1_577_722_399, 2_999_919, 65_579, 8_043)
    assert revenue == 42_889_366
    assert spend == sum(Decimal(row["mark_spent"]) for row in in_the_file())
    assert round((revenue - spend) / spend, 6) == Decimal("0.402031")
    assert marketing.query("select distinct reporting_currency, as_of from metadata.run_info")[0][0] == "INR"


def test_every_campaign_has_the_return_that_the_file_claims(marketing: Home) -> None:
    found = {
        name: (revenue - spend) / spend
        for name, revenue, spend in marketing.query(
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
