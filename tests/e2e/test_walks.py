"""The walks of README and CONTRIBUTING that no other test takes, by their own commands."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT, Home

pytestmark = pytest.mark.long

ONEFUNNEL = f"{shlex.quote(sys.executable)} -m onefunnel"


def blocks(page: str, heading: str) -> list[str]:
    """The code below a heading of a page."""
    text = (PROJECT / page).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"(?ms)^```\w*\n(.*?)^```", text)


def test_a_planted_fault_turns_the_second_day_of_contributing_red(tmp_path: Path) -> None:
    [walk] = [block for block in blocks("CONTRIBUTING.md", "Set up") if "micros_as_units" in block]
    commands = walk.replace("/tmp/play", str(tmp_path / "play")).replace(".venv/bin/onefunnel", ONEFUNNEL)
    commands = commands.replace("next-day", "next-day --scale 0.1")
    *good, red = (line.partition("  #")[0] for line in commands.strip().splitlines())
    steps = "set -e\n" + "\n".join(good) + f"\nset +e\n{red}\nexit $?"
    done = subprocess.run(["bash", "-c", steps], cwd=PROJECT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 1, done.stderr[-3000:]
    assert '"run_id"' in done.stdout, "the first day was published"
    assert "search_ads" in done.stderr and "refused" in done.stderr


def test_a_file_of_one_s_own_is_read_beside_the_demo_s_platforms(tmp_path: Path) -> None:
    """README: declare a file and say `onefunnel run --sandbox`, in the installation in which the demo has run."""
    home = Home(tmp_path / "home")
    home.path.mkdir()
    [declared] = [block for block in blocks("README.md", "Bring your own files") if "newsletter" in block]
    pipeline = yaml.safe_load((PROJECT / "pipeline.yml").read_text(encoding="utf-8"))
    home.config.write_text(yaml.safe_dump(pipeline, sort_keys=False), encoding="utf-8")
    day = home.ok("sandbox", "next-day", "--scale", "0.1")
    pipeline["sources"] |= yaml.safe_load(declared)
    home.config.write_text(yaml.safe_dump(pipeline, sort_keys=False), encoding="utf-8")
    drop = home.path / "drop" / "newsletter"
    drop.mkdir(parents=True)
    (drop / "costs_1.csv").write_text("Tag;Kampagne;Kosten\n30.03.2026;März;1.234,50\n", encoding="latin-1")

    unasked = home.cli("run")
    assert unasked.returncode == 2 and "there is no connection" in unasked.stderr
    assert "--sandbox lets them" in unasked.stderr, "nothing that is invented is read without a word"
    assert home.ok("loads", "list", "--json") == [] or all(x["source"] != "crm" for x in home.loads())

    done = home.cli("run", "--sandbox", timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "its platforms answer on this machine for" in done.stderr
    [(as_of, latest)] = home.query(
        "select (select strftime(as_of, '%Y-%m-%dT%H:%M:%SZ') from metadata.run_info), max(known_from) <= '2026-04-01 06:00:00'"
        " from marts.fct_ad_spend where source_system like '%_ads'"
    )
    assert as_of == day["as_of"] and latest, "now is the company's"
    spend = dict(
        home.query("select source_system, cast(sum(spend_amount) as varchar) from marts.fct_ad_spend group by all")
    )
    assert spend["newsletter"] == "1234.500000"
    assert spend.keys() >= {"search_ads", "partner_search_ads", "social_ads", "video_ads", "trade_shows"}


def test_a_connection_that_is_there_is_not_the_sandbox_s_to_answer(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    pipeline = yaml.safe_load((PROJECT / "pipeline.yml").read_text(encoding="utf-8"))
    pipeline["sources"] = {name: pipeline["sources"][name] for name in ("social_ads", "fx")}
    home.config.write_text(yaml.safe_dump(pipeline, sort_keys=False), encoding="utf-8")
    nobody = home.cli("run", "--sandbox")
    assert nobody.returncode == 2 and "no sandbox company" in nobody.stderr
    home.ok("sandbox", "next-day", "--scale", "0.1")
    theirs = {"host": "http://127.0.0.1:9", "password": "of-a-test-only", "extra": {"deadline_seconds": "2"}}
    home.extra["AIRFLOW_CONN_SOCIAL_ADS"] = json.dumps({"conn_type": "generic", **theirs})
    own = home.cli("run", "--sandbox")
    assert own.returncode != 0 and "127.0.0.1:9" in own.stderr, "it is asked, and does not answer"
