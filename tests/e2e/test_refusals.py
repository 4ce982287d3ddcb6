"""What a refusal does to the files that it was about, and to those that came after them."""

from __future__ import annotations

import json

import pytest
from conftest import HEADER, Home, ledger_of


def accept_all(home: Home) -> None:
    ledger = ledger_of(home)
    for load in ledger.loads(state="landed"):
        ledger.judge(load.load_id, "accepted", "test", "test")


def row(day: int, cost: str) -> str:
    return f"2026-01-{day:02d},a1,c1,EUR,{cost},1\n"


def files_of_newest(home: Home) -> list[str]:
    return [f["path"] for f in home.receipt()["files"]]


def extract(home: Home, run_id: str, day: int) -> dict:
    ledger_of(home).release_lease(run_id)
    done = home.extract(run_id, f"2026-01-{day:02d}T06:00:00Z")
    assert done.returncode == 0, done.stderr
    ledger_of(home).finish_run(run_id, "failed", "test", "test")
    return json.loads(done.stdout)[0]


def test_a_file_that_a_human_refused_stays_out_until_it_changes(home: Home) -> None:
    home.drop("d1.csv", HEADER + row(1, "10"))
    first = extract(home, "r1", 2)["load_id"]
    accept_all(home)
    home.ok("loads", "refuse", first, "--because", "the vendor recalled it")
    assert extract(home, "r2", 3)["note"] == "nothing new"
    home.drop("d2.csv", HEADER + row(2, "20"))
    extract(home, "r3", 4)
    assert files_of_newest(home) == ["d2.csv"], "a new file does not bring the refused one back"
    home.drop("d1.csv", HEADER + row(1, "11"))
    extract(home, "r4", 5)
    assert "d1.csv" in files_of_newest(home), "a corrected one is read"


@pytest.mark.long
def test_an_older_file_that_is_read_again_takes_the_later_ones_along(home: Home) -> None:
    home.drop("d1.csv", HEADER + row(1, "10"))
    first = extract(home, "r1", 2)["load_id"]
    accept_all(home)
    home.drop("d2.csv", HEADER + row(1, "12") + row(2, "20"))  # restates the first day
    extract(home, "r2", 3)
    accept_all(home)
    home.ok("loads", "refuse", first, "--because", "wrong")
    home.drop("d1.csv", HEADER + row(1, "11"))
    extract(home, "r3", 4)
    assert files_of_newest(home) == ["d1.csv", "d2.csv"], "so that the later file still has the last word on day 1"


def test_a_required_source_without_any_file_is_red(home: Home) -> None:
    done = home.extract("r1", "2026-01-02T06:00:00Z")
    assert done.returncode == 1
    assert "No file matches '*.csv'" in done.stderr
    assert "required: false" in done.stderr


@pytest.mark.long
def test_content_that_returns_is_a_load_of_its_own(home: Home) -> None:
    """First, second, first again, all under one as-of: the last delivery has the last word."""
    seen = []
    for n, cost in enumerate(("10", "20", "10")):
        home.drop("d1.csv", HEADER + row(1, cost))
        seen.append(extract(home, f"r{n}", 2)["load_id"])
        accept_all(home)
    assert len(set(seen)) == 3
    assert [x.load_id for x in ledger_of(home).loads(state="accepted")] == seen


def test_a_source_beside_a_failed_one_does_not_revive_the_run(home: Home) -> None:
    streams = {"spend": home.config.read_text()}
    declared = json.loads(streams["spend"])
    declared["sources"]["other"] = {**declared["sources"]["spend"], "root": "drop/other"}
    home.config.write_text(json.dumps(declared))
    home.drop("d1.csv", "day,account\n1,2\n")
    (home.path / "drop" / "other").mkdir()
    (home.path / "drop" / "other" / "d1.csv").write_text(HEADER + row(1, "10"))
    home.ok("start", "--run-id", "r1", "--as-of", "2026-01-02T06:00:00Z")
    assert home.cli("extract", "--run-id", "r1", "--source", "spend").returncode == 1
    beside = home.cli("extract", "--run-id", "r1", "--source", "other")
    assert (beside.returncode, "failed in step extract spend" in beside.stderr) == (1, True)
    run = ledger_of(home).run("r1")
    assert (run.state, run.failed_step) == ("failed", "extract spend")
    assert "column" in (run.message or ""), "the cause is kept"


def test_a_backfill_reads_what_comes_before_the_last_file_of_its_range(home: Home) -> None:
    home.drop("d1.csv", HEADER + row(1, "10"))
    home.drop("d2.csv", HEADER + row(1, "12") + row(9, "90"))
    home.drop("d3.csv", HEADER + row(20, "200"))
    home.ok("start", "--run-id", "r1", "--as-of", "2026-01-21T06:00:00Z", "--from", "2026-01-08", "--to", "2026-01-10")
    home.ok("extract", "--run-id", "r1")
    assert files_of_newest(home) == ["d1.csv", "d2.csv"], "read later, d1 would overwrite what d2 restated"
