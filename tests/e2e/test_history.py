"""The warehouse is a function of its accepted loads: however they came, in whatever order, it says the same."""

from __future__ import annotations

import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import world
from conftest import Home

from onefunnel.sandbox.company import Company

COMPANY = Company(scale=0.5, history_days=30)
FIRST = world.instant(COMPANY, 1)
SECOND = world.instant(COMPANY, 2)
# When a fact became known, and by which load: the only things in which a history with a detour may differ.
WHEN = (
    "spend_key",
    "known_from",
    "known_to",
    "last_known_at",
    "first_known_at",
    "known_at",
    "as_of",
    "_load_id",
    "load_id",
)


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The company after its first day, built and adopted. Tests go on with a copy."""
    home = world.sandbox_home(tmp_path_factory.mktemp("history") / "home")
    world.deliver(home, COMPANY, 1)
    world.run_without_gates(home, "day1", FIRST)
    return home


@pytest.fixture
def copy(first_day: Home, tmp_path: Path) -> Home:
    return world.copy_of(first_day, tmp_path / "copy")


@pytest.fixture(scope="module")
def second_day(first_day: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The company after two days of which nothing went wrong."""
    home = world.copy_of(first_day, tmp_path_factory.mktemp("second") / "home")
    world.deliver(home, COMPANY, 2)
    world.run_without_gates(home, "day2", SECOND)
    return home


def test_a_run_without_new_data_changes_no_mart(first_day: Home, copy: Home) -> None:
    found = world.extract(copy, "again", FIRST)
    assert {x["note"] for x in found} == {"nothing new"}
    assert {x["load_id"] for x in found} == {None}
    red = {
        "severity": "block",
        "owner": "data",
        "state": "skipped",
        "check_id": "dim_rep_is_sound",
        "subject": "dim_rep",
    }
    with world.installation(
        copy
    ) as here:  # a build that broke off: what it was not asked is history, and no fault of this one
        here.ledger.record_checks("again", "build", [red])
        here.ledger.finish_run("again", "failed")
    done = world.build(copy, "later", FIRST)
    assert (done["full_refresh"], done["new_loads"]) == (False, 0)
    verdicts = world.ask(world.warehouse(copy), "select state from metadata.dq_check_history where run_id = 'again'")
    assert verdicts == [("skipped",)]
    world.assert_same(world.export(world.warehouse(first_day)), world.export(world.warehouse(copy)))


@pytest.mark.long
def test_a_refused_file_that_is_corrected_leaves_no_trace_in_what_is_true_now(second_day: Home, copy: Home) -> None:
    world.deliver(copy, COMPANY, 2, ["micros_as_units:social_ads"])
    world.extract(copy, "red", SECOND)
    refused = copy.cli("check", "raw", "--run-id", "red")
    assert refused.returncode == 1
    assert "performance_20260401.csv" in refused.stderr
    states = {x.load_id: x.state for x in world.loads(copy)}
    wrong = world.receipts(copy, "red")["social_ads", "performance_daily"]["load_id"]
    assert [load_id for load_id, state in states.items() if state != "accepted"] == [wrong]
    assert states[wrong] == "refused"
    before = world.export(world.warehouse(copy))

    later = world.instant(COMPANY, 2, hours=3)
    world.deliver(copy, COMPANY, 2)
    world.run_without_gates(copy, "green", later)
    world.assert_same(
        world.export(world.warehouse(second_day), without=WHEN, where="is_current"),
        world.export(world.warehouse(copy), without=WHEN, where="is_current"),
    )
    assert before != world.export(world.warehouse(copy))


@pytest.mark.long
def test_a_file_corrected_within_the_same_morning_gives_the_very_same_history(second_day: Home, copy: Home) -> None:
    world.deliver(copy, COMPANY, 2, ["hundredfold"])
    world.extract(copy, "red", SECOND)
    assert len(world.judge(copy, "refused")) > 1
    with world.installation(copy) as here:
        innocent = [x for x in here.ledger.loads(state="refused") if x.source != "search_ads"]
        for load in innocent:
            here.ledger.judge(load.load_id, "accepted", "test", "only search_ads was wrong")
    world.abandon(copy)
    world.deliver(copy, COMPANY, 2)
    world.run_without_gates(copy, "green", SECOND)
    world.assert_same(world.export(world.warehouse(second_day)), world.export(world.warehouse(copy)))


@pytest.mark.long
def test_a_step_that_was_killed_after_landing_leaves_no_trace_at_all(second_day: Home, copy: Home) -> None:
    world.deliver(copy, COMPANY, 2)
    world.extract(copy, "day2", SECOND)
    with world.installation(copy) as here:
        newest = [x for x in here.ledger.loads(state="landed") if x.stream == "performance_daily"]
        # As after a kill between the commit of a load and its entry in the ledger: the folder is there, the entry is not.
        with here.ledger._transaction() as db:
            db.execute("delete from files where load_id = ?", (newest[0].load_id,))
            db.execute("delete from run_extracts where load_id = ?", (newest[0].load_id,))
            db.execute("delete from loads where load_id = ?", (newest[0].load_id,))
        receipt = here.paths.landing / newest[0].path / "receipt.json"
        written = receipt.stat().st_mtime_ns
    (copy.path / "landing" / "search_ads" / "performance_daily" / ".work-killed").mkdir()

    found = {(x["source"], x["stream"]): x for x in world.extract(copy, "day2", SECOND)}
    assert found[newest[0].source, newest[0].stream]["load_id"] == newest[0].load_id
    assert receipt.stat().st_mtime_ns == written, "the committed load is taken, not written again"
    world.judge(copy)
    world.build(copy, "day2", SECOND)
    assert len(list(copy.path.glob("landing/*/*/load=*"))) == len(list(second_day.path.glob("landing/*/*/load=*")))
    world.assert_same(world.export(world.warehouse(second_day)), world.export(world.warehouse(copy)))


# -- any order -------------------------------------------------------------------------------------------------------


@dataclass
class Detours:
    """A home that gets its days in a wild order, and counts what went wrong on the way."""

    home: Home
    stage: Path
    at: int = 0
    incremental: int = 0
    full: int = 0

    def put(self, day: int, fault: str | None = None) -> None:
        """The files of one day as they were delivered then, or with a fault."""
        source = self.stage / (f"{day}-{fault}" if fault else str(day))
        for file in sorted(p for p in source.rglob("*") if p.is_file()):
            target = self.home.path / "drop" / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            world.settle([target])

    @property
    def now(self) -> str:
        return f"2026-05-01T06:{self.at:02d}:00+00:00"

    def run(self) -> None:
        self.at += 1
        done = world.run_without_gates(self.home, f"run{self.at:02d}", self.now)
        self.full += done["full_refresh"]
        self.incremental += not done["full_refresh"]

    def red_run(self) -> None:
        """A run whose loads are all refused."""
        self.at += 1
        world.extract(self.home, f"run{self.at:02d}", self.now)
        world.judge(self.home, "refused")
        world.abandon(self.home)

    def retried_extract(self) -> None:
        """A run that lands its loads and dies; the next one finds them."""
        self.at += 1
        world.extract(self.home, f"run{self.at:02d}", self.now)
        world.abandon(self.home)


def staged_days(stage: Path, days: int) -> None:
    for day in range(1, days + 1):
        COMPANY.write_day(day, stage / str(day))
        COMPANY.write_day(day, stage / f"{day}-wrong", ["hundredfold", "conflicting_key", "exact_duplicate"])


@pytest.mark.long
@pytest.mark.parametrize(("days", "seed"), [(4, 1), (10, 2), (10, 3), (10, 4)])
def test_a_full_refresh_equals_every_step_that_led_there(tmp_path: Path, days: int, seed: int) -> None:
    order = random.Random(seed).sample(range(1, days + 1), days)
    home = world.sandbox_home(tmp_path / "home")
    staged_days(tmp_path / "stage", days)
    way = Detours(home, tmp_path / "stage")
    for nth, day in enumerate(order):
        if nth % 3 == 1:  # refused, corrected, accepted
            way.put(day, "wrong")
            way.red_run()
        if nth % 3 == 2:  # landed by a run that died
            way.put(day)
            way.retried_extract()
        way.put(day)
        way.run()
        if nth % 4 == 2:  # a correction of a correction: the wrong version comes back, accepted, then the right one
            way.put(day, "wrong")
            way.retried_extract()
            world.judge(home)
            way.put(day)
    last = f"run{way.at:02d}"
    assert way.incremental >= days - 2, "this compares nothing unless most builds extended the one before"

    world.build(home, "full", way.now, adopt=False, full_refresh=True, replay=last)
    world.assert_same(world.export(world.warehouse(home)), world.export(world.warehouse(home, "full")))

    assert {x.state for x in world.loads(home)} == {"accepted", "refused"}
    ((current, past),) = world.ask(
        world.warehouse(home),
        "select count(*) filter (where is_current), count(*) filter (where not is_current) from marts.fct_ad_spend",
    )
    assert current > 1_000 and past > 20, "days were restated on the way"


# -- replay, withdrawal, backfill --------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_run_is_replayed_from_its_list_of_loads(first_day: Home, second_day: Home, tmp_path: Path) -> None:
    home = world.copy_of(second_day, tmp_path / "copy")
    done = world.build(home, "replayed", FIRST, adopt=False, replay="day1")
    assert done["loads"] < len(world.loads(home))
    world.assert_same(world.export(world.warehouse(first_day)), world.export(world.warehouse(home, "replayed")))


@pytest.mark.long
def test_a_replay_of_a_replay_gives_the_same(second_day: Home, tmp_path: Path) -> None:
    home = world.copy_of(second_day, tmp_path / "copy")
    for name, of in (("once", "day2"), ("twice", "once")):
        world.build(home, name, SECOND, adopt=False, replay=of)
    once, twice = (world.warehouse(home, name) for name in ("once", "twice"))
    world.assert_same(world.export(world.warehouse(second_day)), world.export(once))
    world.assert_same(world.export(once), world.export(twice))
    # What a replay says of checks is what the first run knew then, not what happened since.
    history = "select * from metadata.dq_check_history order by all"
    assert {run_id for (run_id,) in world.ask(once, "select run_id from metadata.dq_check_history")} == {"day1"}
    assert world.ask(once, history) == world.ask(twice, history)


@pytest.mark.long
def test_a_changed_horizon_of_finality_rebuilds_the_base(first_day: Home, tmp_path: Path) -> None:
    home = world.copy_of(first_day, tmp_path / "copy")
    final = "select count(*) from marts.fct_ad_spend where is_current and is_final"
    before = world.ask(world.warehouse(home), final)
    assert not world.build(home, "same", FIRST)["full_refresh"], (
        "the base is extended as long as nothing is declared anew"
    )
    assert world.ask(world.warehouse(home), final) == before

    text = home.config.read_text()
    home.config.write_text(re.sub(r"final_after_days: \d+", "final_after_days: 0", text))
    assert home.config.read_text() != text
    assert world.build(home, "other", FIRST)["full_refresh"]
    assert world.ask(world.warehouse(home), final) > before, "days that were open are final now"


@pytest.mark.long
def test_an_accepted_load_can_be_withdrawn_and_accepted_again(second_day: Home, tmp_path: Path) -> None:
    home = world.copy_of(second_day, tmp_path / "copy")
    load_id = world.receipts(home, "day2")["search_ads", "performance_daily"]["load_id"]
    no_reason = home.cli("loads", "refuse", load_id, "--because", " ")
    assert (no_reason.returncode, "A reason is needed" in no_reason.stderr) == (2, True)
    assert home.cli("loads", "refuse", load_id, "--because", "the vendor recalled it").returncode == 0
    done = world.build(home, "without", SECOND)
    assert done["full_refresh"], "what was built from the load cannot be extended"

    spend = {row[0] for row in world.ask(world.warehouse(home), "select distinct _load_id from marts.fct_ad_spend")}
    assert load_id not in spend
    then = [row for row in world.current_spend(world.warehouse(home)) if row[0] == "search_ads"]
    figures = COMPANY.truth(1).spend
    assert {(r[1], r[2], r[3]): int(r[6].scaleb(6)) for r in then} == {
        (k.account_id, k.campaign_id, k.spend_date): micro for k, micro in figures.items() if k.source == "search_ads"
    }

    assert home.cli("loads", "accept", load_id, "--because", "the vendor was wrong").returncode == 0
    world.build(home, "with", SECOND)
    world.assert_same(world.export(world.warehouse(second_day)), world.export(world.warehouse(home)))


@pytest.mark.long
def test_a_backfill_takes_its_range_and_nothing_else_and_ends_where_a_plain_history_ends(
    second_day: Home, copy: Home
) -> None:
    world.deliver(copy, COMPANY, 2)
    outside = world.extract(copy, "nothing", SECOND, date_range=("2020-01-01", "2020-01-31"))
    assert {x["load_id"] for x in outside if x["stream"] != "campaigns"} == {None}
    world.abandon(copy)

    of_the_range = world.extract(copy, "fill", SECOND, date_range=("2026-04-01", "2026-04-01"))
    assert {(x["source"], x["stream"]) for x in of_the_range if x["load_id"]} >= {
        ("search_ads", "performance_daily"),
        ("video_ads", "performance_daily"),
    }
    world.judge(copy)
    assert world.build(copy, "fill", SECOND)["full_refresh"]
    world.run_without_gates(copy, "plain", SECOND)
    world.assert_same(world.export(world.warehouse(second_day)), world.export(world.warehouse(copy)))
