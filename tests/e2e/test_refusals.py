"""What a refusal does to the files that it was about, and to those that came after them."""

from __future__ import annotations

import json

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
