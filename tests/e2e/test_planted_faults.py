"""Every shipped check is proven able to fail: a fault travels the command line and turns exactly that check red.

Raw: one installation with one source per check, each with a fault file of its own; one `extract`, one `check raw`.
Marts: a sealed file of a real run, one statement on a copy of it, then the step that the command line runs.
The tables of faults must have exactly the ids of the shipped YAML, and each raw fault passes unnoticed once its check is
gone from the YAML: a check that is removed makes this module fail.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import world
from conftest import PROJECT, Home
from published import DAYS, SCALE, Published, published

from onefunnel import pipeline, publish
from onefunnel.errors import GateFailed
from onefunnel.landing import read_receipt, sha256_of
from onefunnel.ledger import Ledger
from onefunnel.paths import Paths
from onefunnel.quality import gate
from onefunnel.quality.gate import LoadUnderJudgement
from onefunnel.quality.pushdown import Judge
from onefunnel.quality.suites import Suites, load_suites
from onefunnel.sandbox.company import Company
from onefunnel.settings import load_contracts

__all__ = ["published"]  # the fixture
EXPECTATIONS = PROJECT / "expectations"
SUITES = load_suites(EXPECTATIONS)
RAW, MARTS = SUITES.declared("raw"), SUITES.declared("marts")
CHECKS = [c for kind in (SUITES.raw, SUITES.marts) for s in kind.values() for c in s.checks]
SEVERITY, OWNERS = {c.id: c.severity for c in CHECKS}, {c.id: c.owner for c in CHECKS}
STAGING = load_contracts(PROJECT / "dbt_project")
PERSON = "jane.doe@example.com"


def without(*check_ids: str) -> Suites:
    """The shipped expectations after somebody removed some entries."""

    def pruned(suites: Any) -> dict[str, Any]:
        return {n: replace(s, checks=tuple(c for c in s.checks if c.id not in check_ids)) for n, s in suites.items()}

    return Suites(pruned(SUITES.raw), pruned(SUITES.marts))


@pytest.fixture(scope="module", autouse=True)
def one_judge() -> Iterator[None]:
    """One GX context for what is judged in this process: making one takes longer than judging."""
    judge = cache(Judge)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "Judge", judge)
        yield


# -- raw: what is declared, and what a source delivers ----------------------------------------------------------------


@dataclass
class Sheet:
    """A CSV file in the making: faults change its header or its rows, or add lines that are no records."""

    day: str
    header: list[str]
    rows: list[list[str]]
    lines: list[str] = field(default_factory=list)

    def set(self, column: str, value: str, rows: int) -> None:
        """Put a value into a column of the first rows."""
        for row in self.rows[:rows]:
            row[self.header.index(column)] = value

    def text(self) -> str:
        return "".join(line + "\n" for line in [",".join(self.header), *map(",".join, self.rows), *self.lines])


def column(name: str, **declared: object) -> dict[str, object]:
    return {"from": name, **declared}


DAY = {"format": "%Y-%m-%d"}
MOMENT = {"format": "%Y-%m-%d %H:%M", "zone": "UTC"}
CONTRACTS: dict[str, dict[str, Any]] = {
    "performance_daily": {
        "key": ["spend_date", "ad_account_id", "campaign_id"],
        "replaces": "partition",
        "partition": ["ad_account_id", "spend_date"],
        "columns": {
            "spend_date": column("day", **DAY),
            "ad_account_id": column("account"),
            "campaign_id": column("campaign"),
            "level": {"value": "campaign"},
            "channel": {"value": "paid_search"},
            "currency": column("currency"),
            "spend_amount": column("cost"),
            "clicks": column("clicks"),
        },
    },
    "campaigns": {
        "key": ["ad_account_id", "campaign_id"],
        "replaces": "file",
        "columns": {
            "ad_account_id": column("account"),
            "campaign_id": column("campaign"),
            "campaign_name": column("name"),
            "started_on": column("start", **DAY),
        },
    },
    "ad_accounts": {
        "key": ["ad_account_id"],
        "replaces": "file",
        "columns": {
            "ad_account_id": column("account"),
            "ad_account_name": column("name"),
            "currency": column("currency"),
            "time_zone": column("zone"),
        },
    },
    "fx_rates": {
        "key": ["rate_date", "base_currency", "quote_currency"],
        "replaces": "keys",
        "columns": {
            "rate_date": column("day", **DAY),
            "base_currency": column("base"),
            "quote_currency": column("quote"),
            "rate": column("rate"),
        },
    },
    "leads": {
        "key": ["lead_id"],
        "replaces": "keys",
        "columns": {
            "lead_id": column("lead"),
            "email": column("mail"),
            "status": column("status"),
            "created_at": column("at", **MOMENT),
        },
    },
    "contacts": {
        "key": ["contact_id"],
        "replaces": "keys",
        "columns": {
            "contact_id": column("contact"),
            "email": column("mail"),
            "created_at": column("at", **MOMENT),
        },
    },
    "opportunities": {
        "key": ["opportunity_id"],
        "replaces": "keys",
        "columns": {
            "opportunity_id": column("deal"),
            "created_at": column("at", **MOMENT),
            "stage": column("stage"),
            "amount": column("amount"),
            "currency": {"value": "EUR"},
        },
    },
    "opportunity_splits": {
        "key": ["opportunity_id", "user_id", "split_type"],
        "replaces": "keys",
        "columns": {
            "opportunity_id": column("deal"),
            "user_id": column("user"),
            "split_type": column("kind", map={"Umsatz": "revenue"}),
            "split_percent": column("percent"),
        },
    },
    "activities": {
        "key": ["activity_id"],
        "replaces": "keys",
        "columns": {
            "activity_id": column("activity"),
            "activity_type": {"value": "call"},
            "occurred_at": column("at", **MOMENT),
        },
    },
    # In words, marks and times of its own: a check that reads the text instead of the value would not see these faults.
    "revenue_events": {
        "key": ["event_id"],
        "replaces": "keys",
        "dialect": {"delimiter": ",", "decimal": ";", "grouping": "."},
        "columns": {
            "event_id": column("event"),
            "event_type": column("kind", map={"Storno": "reversal", "Neu": "new"}),
            "booked_at": column("at", format="%d.%m.%Y %H:%M", zone="Europe/Berlin", fold=0),
            "amount": column("amount", prefix="EUR "),
            "currency": {"value": "EUR"},
        },
    },
    "web_touches": {
        "key": ["touch_id"],
        "replaces": "keys",
        "columns": {
            "touch_id": column("touch"),
            "occurred_at": column("at", **MOMENT),
            "touch_type": {"value": "visit"},
            "is_bot": column("bot", map={"1": "true", "0": "false"}),
        },
    },
    "plan_values": {
        "key": ["metric", "owner_type", "owner_id", "period_start", "scenario", "version"],
        "replaces": "file",
        "columns": {
            "metric": {"value": "bookings"},
            "owner_type": {"value": "rep"},
            "owner_id": column("rep"),
            "period_start": column("start", **DAY),
            "period_end": column("end", **DAY),
            "scenario": {"value": "quota"},
            "version": {"value": "1"},
            "valid_as_of": column("as_of", **DAY),
            "value_amount": column("value"),
        },
    },
    "budgets": {
        "key": ["ad_account_id", "campaign_id", "period_start"],
        "replaces": "file",
        "columns": {
            "ad_account_id": column("account"),
            "campaign_id": column("campaign"),
            "period_start": column("start", **DAY),
            "period_end": column("end", **DAY),
            "budget_amount": column("budget"),
            "currency": {"value": "EUR"},
        },
    },
    "working_hours": {
        "key": ["calendar", "weekday", "opens_at"],
        "replaces": "file",
        "columns": {
            "calendar": column("calendar"),
            "weekday": column("weekday"),
            "opens_at": column("opens"),
            "closes_at": column("closes"),
            "time_zone": column("zone"),
        },
    },
}
ROWS = 60  # three accounts with twenty campaigns each


def sheet(contract: str, day: str) -> Sheet:
    """A good delivery of a day."""
    n = int(day[-2:])
    makers: dict[str, Callable[[int], list[str]]] = {
        "performance_daily": lambda i: [day, f"a{i % 3}", f"c{i}", "EUR", f"{100 + i + n}.25", str(i)],
        "campaigns": lambda i: [f"a{i % 3}", f"c{i}", f"Campaign {i} as of {day}", "2025-12-01"],
        "ad_accounts": lambda i: [f"a{i}", f"Account {i} as of {day}", "EUR", "Europe/Berlin"],
        "fx_rates": lambda i: [day, "EUR", f"{chr(65 + i // 26)}{chr(65 + i % 26)}X", f"1.0{n}5"],
        "leads": lambda i: [f"l{i}", f"p{i}@example.com", "New", f"{day} 08:{i:02d}"],
        "contacts": lambda i: [f"p{i}", f"p{i}@example.com", f"{day} 08:{i:02d}"],
        "opportunities": lambda i: [f"o{i}", f"{day} 08:{i:02d}", "Proposal", f"{9000 + i + n}.50"],
        "opportunity_splits": lambda i: [f"o{i // 2}", f"u{i % 2}-{n}", "Umsatz", "60" if i % 2 else "40.0"],
        "activities": lambda i: [f"x{i}", f"{day} 08:{i:02d}"],
        "revenue_events": lambda i: [
            f"e{i}", "Storno" if i % 10 == 0 else "Neu", f"0{n}.01.2026 08:{i:02d}",
            f"EUR {'-' if i % 10 == 0 else ''}1.2{i:02d};50",
        ],
        "web_touches": lambda i: [f"t{i}", f"{day} 08:{i:02d}", "1" if i % 10 == 0 else "0"],
        "plan_values": lambda i: [f"u{i}", "2026-01-01", "2026-04-01", day, f"{40000 + n}"],
        "budgets": lambda i: [f"a{i % 3}", f"c{i}", "2026-01-01", "2026-02-01", f"{1000 + n}"],
        "working_hours": lambda i: [f"k{i // 6}", str(i % 6 + 1), "9:00", f"17:{n:02d}", "Europe/Berlin"],
    }  # fmt: skip
    header = [c["from"] for c in CONTRACTS[contract]["columns"].values() if "from" in c]
    return Sheet(day, header, [makers[contract](i) for i in range(ROWS)])


@dataclass(frozen=True)
class RawFault:
    """What goes wrong in a file of which contract, which lesser checks rightly speak up as well, and whether earlier
    loads are needed.

    `landed` is for what no file can express: it changes the folder of the landed load.
    """

    contract: str
    plant: Callable[[Sheet], object]
    also: frozenset[str] = frozenset()
    history: bool = False
    landed: Callable[[Path], object] | None = None


def raw(contract: str, plant: Callable[[Sheet], object], *also: str, history: bool = False) -> RawFault:
    return RawFault(contract, plant, frozenset(also), history)


def put(column: str, value: str, rows: int) -> Callable[[Sheet], object]:
    return lambda s: s.set(column, value, rows)


def times(factor: float, column: str) -> Callable[[Sheet], object]:
    """Amounts of another unit."""

    def plant(s: Sheet) -> None:
        at = s.header.index(column)
        for row in s.rows:
            row[at] = f"{float(row[at]) * factor:.2f}"

    return plant


def nothing(_: Sheet) -> None:
    """The file is good."""


def keep(rows: int) -> Callable[[Sheet], object]:
    return lambda s: s.rows.__delitem__(slice(rows, None))


def broken_lines(count: int) -> Callable[[Sheet], object]:
    return lambda s: s.lines.extend(["one field"] * count)


def one_more_column(s: Sheet) -> None:
    s.header.append("note")
    for row in s.rows:
        row.append(PERSON)


def thin_correction(s: Sheet) -> None:
    """An earlier day once more, with exactly half of the rows of each account: the newest day is not touched."""
    keep(ROWS // 2)(s)
    s.set("day", HISTORY_DAYS[-1], ROWS // 2)


def no_receipt_balance(load: Path) -> None:
    receipt = json.loads((load / "receipt.json").read_text())
    receipt["rows"]["extracted"] += 1
    (load / "receipt.json").write_text(json.dumps(receipt))


def totals_of_a_connector(unit: str) -> Callable[[Path], None]:
    """The platform counts a unit more for each row than its rows hold, on days that it hardly corrects; without one, a micro."""

    def plant(load: Path) -> None:
        receipt = json.loads((load / "receipt.json").read_text())
        sums = duckdb.sql(
            "select ad_account_id, spend_date, sum(spend_amount::decimal(38, 9)), count(*)"
            f" from '{load}/records.parquet' group by all order by all"
        ).fetchall()
        cells = [{"ad_account_id": a, "spend_date": d, "content_hash": "x"} for a, d, *_ in sums]
        measure = {"measure": "spend_amount", "unit": unit}
        totals = [{"part": a, "day": d, "value": str(v + n * Decimal(unit)), **measure} for a, d, v, n in sums]
        if unit == "0":
            totals[0]["value"] = str(sums[0][2] + Decimal("0.000001"))
        for name, rows in (("cells", cells), ("totals", totals)):
            pq.write_table(pa.Table.from_pylist(rows), load / f"{name}.parquet")
            receipt["parts"][f"{name}.parquet"] = sha256_of(load / f"{name}.parquet")
        receipt["known_at"] = "2026-12-31 00:00:00.000000"
        (load / "receipt.json").write_text(json.dumps(receipt))

    return plant


# By check; where one is planted in a second contract as well, its name goes on after two underscores.
RAW_FAULTS: dict[str, RawFault] = {
    # The stream declares at least five rows; a file without any record does not get as far as the gate.
    "rows_are_present": raw("leads", keep(3)),
    "volume_is_usual": raw("performance_daily", thin_correction, history=True),  # rows per cell
    "volume_is_usual__list": raw("campaigns", keep(ROWS // 2), history=True),  # rows per file
    "volume_is_usual__keys": raw("fx_rates", keep(ROWS // 2), history=True),  # rows per date
    # No file can make the connector lose a record, so the landed load is changed.
    "receipt_balances": RawFault("contacts", nothing, landed=no_receipt_balance),
    "performance_daily_accounts_agree": RawFault("performance_daily", nothing, landed=totals_of_a_connector("0")),
    "records_are_readable": raw("opportunities", broken_lines(21), "every_record_is_readable"),
    "every_record_is_readable": raw("budgets", broken_lines(1)),
    "values_are_readable": raw("performance_daily", put("cost", "1.25 EUR", 21), "every_value_is_readable"),
    "values_are_readable__currency": raw("ad_accounts", put("currency", "euro", 21), "every_value_is_readable"),
    "values_are_readable__boolean": raw("web_touches", put("bot", "yes", 21), "every_value_is_readable"),
    "every_value_is_readable": raw("campaigns", put("start", "01.12.2025", 1)),
    "every_value_is_readable__boolean": raw("web_touches", put("bot", "maybe", 1)),
    "required_values_are_filled": raw("opportunities", put("stage", "", 21)),
    "columns_are_declared": raw("leads", one_more_column),
    "moments_are_plausible": raw("activities", put("at", "2026-02-15 08:00", 21), "every_moment_is_plausible"),
    "moments_are_plausible__past": raw("leads", put("at", "1999-01-05 08:00", 21), "every_moment_is_plausible"),
    "every_moment_is_plausible": raw("web_touches", put("at", "2026-01-08 06:01", 1)),
    "amounts_are_possible": raw("plan_values", put("value", "9000000000", 1), history=True),
    "amounts_are_possible__rate": raw("fx_rates", put("rate", "110", 1), history=True),
    "performance_daily_newest_day_is_complete": raw(
        "performance_daily",
        # One account whole, of one a half, of one nothing: exactly half of the rows, and enough in each account that is there.
        lambda s: s.rows.__setitem__(slice(None), [r for n, r in enumerate(s.rows) if n % 6 in (0, 1, 3)]),
        history=True,
    ),
    "performance_daily_days_are_over": raw(
        "performance_daily", put("day", "2026-02-15", 1), "every_moment_is_plausible"
    ),
    "performance_daily_negative_spend_is_rare": raw("performance_daily", put("cost", "-5.00", 6)),
    "performance_daily_amounts_are_usual": raw("performance_daily", times(90, "cost"), history=True),
    "campaigns_dates_are_plausible": raw("campaigns", put("start", "1999-12-01", 1)),
    "ad_accounts_time_zone_is_known": raw("ad_accounts", put("zone", "Europe/Bielefeld", 1)),
    "fx_rates_days_are_over": raw("fx_rates", put("day", "1999-12-31", 1), "every_moment_is_plausible"),
    "fx_rates_are_positive": raw("fx_rates", put("rate", "0", 1)),
    "leads_have_an_email": raw("leads", put("mail", "", 21)),
    "contacts_have_an_email": raw("contacts", put("mail", "", 21)),
    "opportunities_amounts_are_not_negative": raw("opportunities", put("amount", "-5.00", 1)),
    "opportunities_amounts_are_usual": raw("opportunities", times(90, "amount"), history=True),
    "opportunity_splits_share_one_deal": raw("opportunity_splits", put("percent", "61", 2)),
    "opportunity_splits_share_one_deal__parts_of_1": raw("opportunity_splits", times(0.01, "percent")),
    "revenue_events_signs_match_types": raw(
        "revenue_events", put("kind", "Storno", 7), "revenue_events_every_sign_matches_its_type"
    ),
    "revenue_events_every_sign_matches_its_type": raw("revenue_events", put("amount", "EUR 9;00", 1)),
    "revenue_events_amounts_are_usual": raw(
        "revenue_events",
        lambda s: [row.__setitem__(3, row[3].replace("1.2", "120.2")) for row in s.rows],
        history=True,
    ),
    "web_touches_bot_share_is_usual": raw("web_touches", put("bot", "1", 21), history=True),
    "plan_values_periods_have_a_duration": raw("plan_values", put("end", "2025-12-31", 1)),
    "budgets_periods_have_a_duration": raw("budgets", put("end", "2026-01-01", 1)),
    "working_hours_close_after_they_open": raw("working_hours", put("closes", "8:30", 1)),
    "working_hours_close_after_they_open__unreadable": raw("working_hours", put("opens", "nine", 1)),
    "working_hours_time_zone_is_known": raw("working_hours", put("zone", "Europe/Bielefeld", 1)),
}
HEALTHY = {f"healthy__{contract}": raw(contract, nothing, history=True) for contract in CONTRACTS} | {
    "healthy__rounded": RawFault("performance_daily", nothing, history=True, landed=totals_of_a_connector("0.01"))
}
OWNER = "operations"  # of every source here, in pipeline.yml
HISTORY_DAYS = [f"2026-01-0{n}" for n in range(1, 6)]
LAST_DAY = "2026-01-06"


def contract_of(name: str) -> str:
    return (HEALTHY | RAW_FAULTS)[name].contract


def checks_of(contract: str) -> set[str]:
    """What a load of a contract must pass."""
    return {c.id for name in ("*", contract) if name in SUITES.raw for c in SUITES.raw[name].checks}


def morning_after(day: str) -> str:
    return f"2026-01-{int(day[-2:]) + 1:02d}T06:00:00Z"


@dataclass(frozen=True)
class JudgedLoads:
    """What the command line found: per source the state of its load and the state of each check."""

    home: Home
    exit_code: int
    message: str
    loads: dict[str, dict[str, Any]]
    checks: dict[str, dict[str, dict[str, Any]]]

    def not_passed(self, source: str) -> set[str]:
        return {name for name, row in self.checks[source].items() if row["state"] != "passed"}

    def under_judgement(self, source: str) -> LoadUnderJudgement:
        """The load as the gate got it."""
        folders = self.home.path / "landing" / source / contract_of(source)
        receipts = [read_receipt(p) for p in sorted(folders.glob("load=*"))]
        load = self.loads[source]["load_id"]
        this = next(r for r in receipts if r["load_id"] == load)
        return LoadUnderJudgement(
            load, folders / f"load={load}", this, [r for r in reversed(receipts) if r is not this], OWNER
        )


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> JudgedLoads:
    """One installation, one source per fault: earlier loads where a check needs them, then every fault at once."""
    home = Home(tmp_path_factory.mktemp("raw") / "home", {"ONEFUNNEL_TOKEN_KEY": "k" * 40})
    sources = HEALTHY | RAW_FAULTS
    declared = {
        name: {
            "connector": "files",
            "owner": OWNER,
            "root": f"drop/{name}",
            "streams": {
                contract_of(name): {**CONTRACTS[contract_of(name)], "files": "*.csv", "usual_rows": {"minimum": 5}}
            },
        }
        for name in sources
    }

    def deliver(day: str, faults: dict[str, RawFault]) -> None:
        home.declare(sources={name: declared[name] for name in faults}, as_of=morning_after(day))
        for name, fault in faults.items():
            delivered = sheet(contract_of(name), day)
            fault.plant(delivered)
            home.drop(f"../{name}/data.csv", delivered.text())

    for day in HISTORY_DAYS:
        deliver(day, {name: raw(fault.contract, nothing) for name, fault in sources.items() if fault.history})
        home.ok("extract", "--run-id", f"history-{day}")
        if day == HISTORY_DAYS[-1]:
            home.ok("check", "raw", "--run-id", f"history-{day}")
        assert home.cli("unlock").returncode == 0  # these runs are not carried on
    deliver(LAST_DAY, sources)
    home.ok("extract", "--run-id", "faults")
    newest = {row["source"]: row for row in home.loads()}
    for name, fault in sources.items():
        if fault.landed is not None:
            fault.landed(home.path / "landing" / name / contract_of(name) / f"load={newest[name]['load_id']}")
    done = home.cli("check", "raw", "--run-id", "faults")

    newest = {row["source"]: row for row in home.loads()}
    source_of = {row["load_id"]: name for name, row in newest.items()}
    checks: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in newest}
    for row in ledger_of(home).checks("faults"):
        checks[source_of[row["subject"]]][row["check_id"]] = row
    return JudgedLoads(home, done.returncode, done.stderr, newest, checks)


def ledger_of(home: Home) -> Ledger:
    paths = Paths(home.path, home.project)
    return Ledger(paths.ledger, paths.locks)


def test_every_raw_check_has_a_planted_fault() -> None:
    assert {name.partition("__")[0] for name in RAW_FAULTS} == set(RAW)


@pytest.mark.parametrize("source", HEALTHY)
def test_good_files_pass_every_raw_check(loads: JudgedLoads, source: str) -> None:
    assert loads.loads[source]["state"] == "accepted"
    assert loads.not_passed(source) == set()
    assert set(loads.checks[source]) == checks_of(contract_of(source))


def test_the_raw_gate_says_no_and_names_no_person(loads: JudgedLoads) -> None:
    assert loads.exit_code == 1
    assert "load(s) of required sources are refused" in loads.message
    assert PERSON not in loads.message and PERSON not in json.dumps(loads.checks)


@pytest.mark.parametrize("source", RAW_FAULTS)
def test_a_fault_file_turns_exactly_its_check_red(
    loads: JudgedLoads, source: str, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    check_id = source.partition("__")[0]
    also, blocks = RAW_FAULTS[source].also, SEVERITY[check_id] == "block"
    assert loads.not_passed(source) == {check_id} | also
    found = loads.checks[source][check_id]
    assert found["state"] == ("failed" if blocks else "warned")
    assert found["owner"] == (OWNER if OWNERS[check_id] == "source" else OWNERS[check_id])
    assert loads.loads[source]["state"] == ("refused" if blocks else "accepted")
    assert set(loads.checks[source]) == checks_of(contract_of(source))
    with duckdb.connect() as anywhere:
        assert anywhere.execute(found["sql"]).fetchall(), "what is shown is a script that finds the fault again"

    monkeypatch.setattr(gate, "load_suites", lambda *_: without(check_id))
    [blind] = gate.check_raw([loads.under_judgement(source)], EXPECTATIONS, STAGING).values()
    assert {r.check_id for r in blind.results if r.state != "passed"} == also
    assert blind.executed == blind.declared == len(checks_of(contract_of(source))) - 1
    record_property("proven check", check_id)


# -- marts --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MartsFault:
    """Statements on a copy of the sealed file, and the lesser checks that rightly speak up as well."""

    sql: str
    also: frozenset[str] = frozenset()


def mart(sql: str, *also: str) -> MartsFault:
    return MartsFault(sql, frozenset(also))


def personal(table: str, column: str) -> MartsFault:
    return mart(f"update {table} set {column} = 'for {PERSON}' where rowid = 0")


def noted(table: str) -> MartsFault:
    return mart(f"alter table {table} add column note varchar; update {table} set note = '{PERSON}' where rowid = 0")


def doubled(table: str, *also: str) -> MartsFault:
    return mart(f"insert into {table} select * from {table} where rowid = 0", *also)


FACT = "marts.fct_ad_spend"
ONE = f"spend_key = (select min(spend_key) from {FACT} where currency = 'USD' and source_system = 'search_ads')"


def earlier_version(known_to: str, key: str = "'earlier'") -> MartsFault:
    """One more version of a row, known from 1 March on."""
    return mart(
        f"insert into {FACT} select * replace ({key} as spend_key, timestamp '2026-03-01' as known_from,"
        f" timestamp '{known_to}' as known_to, false as is_current) from {FACT} where {ONE}"
    )


def copied(table: str, where: str, **columns: str) -> MartsFault:
    """One more row like another, but for some columns."""
    replaced = ", ".join(f"{value} as {name}" for name, value in columns.items())
    return mart(f"insert into {table} select * replace ({replaced}) from {table} where {where}")


def total(
    key: str = "planted",
    said: int = 1,
    difference: int = 0,
    is_final: bool = False,
    part: str = "1",
    tolerance: float = 0,
) -> str:
    return (
        f"insert into metadata.source_totals values ('{key}', 'search_ads', 'performance_daily', '{part}', date '2026-01-01',"
        f" 'spend_amount', {said}, 1, {difference}, {tolerance}, 0, {is_final}, timestamp '2026-03-01', 'a load')"
    )


CAMPAIGN = "campaign_key = (select min(campaign_key) from marts.dim_campaign where campaign_key <> '-1')"
LEDGER_ROW = "contract = 'performance_daily' and source_system = 'search_ads'"

NOT_PRIMARY = "not is_primary_model"

COMPANY_FAULTS: dict[str, MartsFault] = {
    **{
        f"{table}_has_an_unknown_member": mart(f"delete from marts.{table} where {key} = '-1'", *also)
        for table, key, *also in (
            ("dim_account", "account_key", "fct_touch_joins_lose_nothing", "fct_opportunity_joins_lose_nothing"),
            ("dim_person", "person_key", "fct_funnel_step_joins_lose_nothing", "fct_touch_joins_lose_nothing"),
            ("dim_product", "product_key"),
            ("dim_crm_campaign", "crm_campaign_key", "fct_touch_joins_lose_nothing"),
            ("dim_rep", "rep_key", "fct_funnel_step_joins_lose_nothing"),
            ("dim_territory", "territory_key"),
            ("dim_funnel_step", "funnel_step_key"),
        )
    },
    **{
        f"{table}_holds_no_personal_text": noted(f"marts.{table}")
        for table in (
            *(
                "dim_account",
                "dim_account_history",
                "dim_crm_campaign",
                "dim_person",
                "dim_product",
                "dim_rep",
                "dim_rep_history",
                "dim_territory",
                "dim_funnel_step",
                "dim_working_day",
            ),
            *(
                "fct_touch",
                "fct_credit",
                "fct_revenue_credit",
                "fct_opportunity",
                "fct_revenue",
                "fct_revenue_share",
                "fct_plan",
                "fct_plan_daily",
            ),
            *("fct_journey", "fct_funnel_step", "rpt_plan", "rpt_funnel", "rpt_funnel_activity", "rpt_unit_economics"),
            "fct_restatement",
        )
    },
    **{
        f"{table}_key_is_unique": doubled(f"marts.{table}")
        for table in (
            *("dim_account", "dim_person", "dim_product", "dim_rep", "dim_territory", "dim_working_day", "fct_touch"),
            *("fct_opportunity", "fct_journey", "fct_funnel_step", "rpt_plan"),
            *("rpt_funnel", "rpt_funnel_activity", "dim_funnel_step", "fct_revenue_share", "dim_crm_campaign"),
        )
    },
    **{
        f"{table}_key_is_unique": doubled(f"marts.{table}", f"{table}_covers_every_day")
        for table in ("dim_account_history", "dim_rep_history")
    },
    **{
        f"{table}_covers_every_day": mart(
            f"delete from marts.{table} where {key} = (select min({key}) from marts.{table} where {key} <> '-1')"
        )
        for table, key in (("dim_account_history", "account_key"), ("dim_rep_history", "rep_key"))
    },
    "dim_account_history_ends_with_dim_account": mart(
        "update marts.dim_account_history set segment = 'other' where account_key ="
        " (select max(account_key) from marts.dim_account_history)"
    ),
    "dim_rep_history_ends_with_dim_rep": mart(
        "update marts.dim_rep_history set territory_key = '-1' where rep_key ="
        " (select max(rep_key) from marts.dim_rep_history where is_current and territory_key <> '-1')"
    ),
    "dim_crm_campaign_ends_after_it_starts": mart(
        "update marts.dim_crm_campaign set ended_on = started_on - 1 where crm_campaign_key ="
        " (select max(crm_campaign_key) from marts.dim_crm_campaign)"
    ),
    "fct_restatement_key_is_unique": doubled("marts.fct_restatement"),
    "fct_restatement_changes_are_differences": mart(
        "update marts.fct_restatement set change_amount_rc = change_amount_rc + 0.01"
    ),
    "fct_plan_key_is_unique": doubled("marts.fct_plan", "fct_plan_daily_sums_to_its_plan"),
    "fct_plan_daily_key_is_unique": doubled("marts.fct_plan_daily", "fct_plan_daily_sums_to_its_plan"),
    "fct_credit_key_is_unique": doubled("marts.fct_credit", "fct_credit_weights_are_whole"),
    "fct_revenue_key_is_unique": doubled(
        "marts.fct_revenue",
        "fct_revenue_share_sums_to_its_booking",
        "fct_revenue_credit_ties_out_by_month",
        "rpt_unit_economics_holds_all_bookings",
        "rpt_plan_holds_all_bookings",
    ),
    "dim_account_survivors_survive": mart(
        "update marts.dim_account set survivor_account_key = (select min(account_key) from marts.dim_account where account_key <> '-1'"
        " and not is_merged) where account_key = (select max(account_key) from marts.dim_account where not is_merged);"
        " update marts.dim_account set survivor_account_key = (select max(account_key) from marts.dim_account where not is_merged)"
        " where account_key = (select min(account_key) from marts.dim_account where account_key <> '-1' and not is_merged)"
    ),
    "dim_rep_leaves_after_being_hired": mart(
        "update marts.dim_rep set left_on = hired_on - 1 where rep_key = (select max(rep_key) from marts.dim_rep)"
    ),
    "dim_funnel_step_has_one_owner": mart(
        "update marts.dim_funnel_step set accountable_team = null where step = 'mql'"
    ),
    "dim_working_day_closes_after_it_opens": mart(
        "update marts.dim_working_day set closes_at = opens_at where working_day_key = (select min(working_day_key)"
        " from marts.dim_working_day where is_working_day)"
    ),
    "fct_touch_is_not_in_the_future": mart(
        "update marts.fct_touch set occurred_at = timestamp '2026-06-01' where rowid = 0"
    ),
    "fct_touch_joins_lose_nothing": mart("update marts.fct_touch set person_key = 'gone' where rowid = 0"),
    "fct_touch_has_channels": mart("update marts.fct_touch set is_direct = true"),
    "fct_credit_weights_are_whole": mart("update marts.fct_credit set weight_micro = weight_micro + 1 where rowid = 0"),
    "fct_credit_is_the_same_in_all_models": mart(
        "update marts.fct_credit set credited_amount_rc = credited_amount_rc + 0.01 where credit_key = (select min(credit_key)"
        " from marts.fct_credit where model = 'first' and conversion_type = 'won')",
        "fct_credit_of_wins_is_that_of_their_bookings",
    ),
    # One win, a cent more in every model.
    "fct_credit_of_wins_is_that_of_their_bookings": mart(
        "update marts.fct_credit set credited_amount_rc = credited_amount_rc + 0.01 where credit_key in (select min(credit_key)"
        " from marts.fct_credit where conversion_key = (select min(conversion_key) from marts.fct_credit where conversion_type = 'won')"
        " group by model)"
    ),
    "fct_revenue_credit_key_is_unique": copied(
        "marts.fct_revenue_credit",
        "rowid = 0",
        weight_micro="cast(0 as bigint)",
        credited_amount_rc="cast(0 as decimal(18, 6))",
    ),
    "fct_revenue_credit_weights_are_whole": mart(
        "update marts.fct_revenue_credit set weight_micro = weight_micro + 1 where rowid = 0"
    ),
    # A month that loses a cent loses it in some booking too; of a win that was taken back, so that fct_credit holds none of it.
    "fct_revenue_credit_ties_out_by_month": mart(
        "update marts.fct_revenue_credit set credited_amount_rc = credited_amount_rc + 0.01 where revenue_credit_key ="
        f" (select min(revenue_credit_key) from marts.fct_revenue_credit where is_win_reversed and {NOT_PRIMARY})",
        "fct_revenue_credit_is_its_booking",
    ),
    # A cent goes from one booking of a win to another of the same day: every total is right.
    "fct_revenue_credit_is_its_booking": mart(
        "update marts.fct_revenue_credit as credit set credited_amount_rc = credited_amount_rc + pair.cent"
        " from (select revenue_credit_key, case when nth = 1 then 0.01 else -0.01 end as cent from (select *, row_number() over ("
        "partition by conversion_key, model, touch_key, booked_date order by revenue_key) as nth, count(*) over ("
        f"partition by conversion_key, model, touch_key, booked_date) as n from marts.fct_revenue_credit where {NOT_PRIMARY})"
        " where nth <= 2 and n > 1) as pair where credit.revenue_credit_key = pair.revenue_credit_key"
    ),
    "fct_revenue_credit_says_why_nobody_is_credited": mart(
        "update marts.fct_revenue_credit set unattributed_reason = 'no_touch' where revenue_credit_key ="
        " (select min(revenue_credit_key) from marts.fct_revenue_credit where is_attributed)"
    ),
    "fct_revenue_credit_has_wins": mart(
        "update marts.fct_revenue_credit set conversion_key = '-1', is_attributed = false, unattributed_reason = 'never_won',"
        " channel = 'unattributed', touch_key = '-1' where is_win_reversed"
    ),
    "fct_credit_is_not_after_the_conversion": mart(
        "update marts.fct_credit set touch_date = conversion_date + 2 where credit_key = (select min(credit_key)"
        " from marts.fct_credit where is_attributed)"
    ),
    "fct_credit_has_touches": mart(
        "update marts.fct_credit set is_attributed = false, touch_date = null where conversion_type = 'won'"
    ),
    "rpt_unit_economics_key_is_unique": mart(
        "insert into marts.rpt_unit_economics select * replace (cast(0 as decimal(18, 6)) as spend_amount_rc,"
        " cast(0 as decimal(18, 6)) as credited_amount_rc, cast(0 as decimal(18, 6)) as credited_leads,"
        " cast(0 as decimal(18, 6)) as credited_deals) from marts.rpt_unit_economics where rowid = 0"
    ),
    "rpt_unit_economics_holds_all_spend": mart(
        "update marts.rpt_unit_economics set spend_amount_rc = spend_amount_rc + 0.01 where rowid = 0"
    ),
    "rpt_unit_economics_holds_all_bookings": mart(
        "update marts.rpt_unit_economics set credited_amount_rc = credited_amount_rc + 0.01 where rowid = 0"
    ),
    "rpt_unit_economics_holds_all_conversions": mart(
        "update marts.rpt_unit_economics set credited_leads = credited_leads + 0.000001 where rowid = 0"
    ),
    "fct_opportunity_joins_lose_nothing": mart("update marts.fct_opportunity set account_key = 'gone' where rowid = 0"),
    "fct_opportunity_won_has_its_day": mart(
        "update marts.fct_opportunity set won_at = null where opportunity_key = (select min(opportunity_key)"
        " from marts.fct_opportunity where is_won)"
    ),
    "fct_opportunity_is_not_overdue": mart("update marts.fct_opportunity set is_overdue = true where not is_closed"),
    "fct_revenue_joins_lose_nothing": mart("update marts.fct_revenue set product_key = 'gone' where rowid = 0"),
    "fct_revenue_is_converted_at_its_rate": mart(
        "update marts.fct_revenue set fx_rate = fx_rate * 2 where revenue_key = (select min(revenue_key) from marts.fct_revenue)"
    ),
    "fct_revenue_reversals_take_back": mart(
        "update marts.fct_revenue set is_reversal = true where revenue_key = (select min(revenue_key) from marts.fct_revenue"
        " where booked_amount > 0)"
    ),
    "fct_revenue_share_sums_to_its_booking": mart(
        "update marts.fct_revenue_share set share_amount_rc = share_amount_rc + 0.01 where revenue_share_key ="
        " (select min(revenue_share_key) from marts.fct_revenue_share where not is_overlay)"
    ),
    "fct_plan_period_is_upright": mart("update marts.fct_plan set period_end = period_start where rowid = 0"),
    "fct_plan_daily_sums_to_its_plan": mart(
        "update marts.fct_plan_daily set day_plan_value = day_plan_value + 0.01 where plan_day_key = (select min(plan_day_key)"
        " from marts.fct_plan_daily where ramp_rate = 1 and metric = 'bookings')"
    ),
    "rpt_plan_holds_all_bookings": mart(
        "update marts.rpt_plan set actual_amount_rc = actual_amount_rc + 0.01 where plan_report_key = (select min(plan_report_key)"
        " from marts.rpt_plan where owner_type = 'territory')"
    ),
    "rpt_plan_attainment_is_its_ratio": mart(
        "update marts.rpt_plan set attainment = attainment + 0.01 where plan_report_key = (select min(plan_report_key)"
        " from marts.rpt_plan where attainment is not null)"
    ),
    "fct_journey_reaches_steps_in_order": mart(
        "update marts.fct_journey set is_reached_mql = false where journey_key = (select min(journey_key) from marts.fct_journey"
        " where is_reached_sal and entry_step_order = 10)"
    ),
    "fct_funnel_step_joins_lose_nothing": mart("update marts.fct_funnel_step set rep_key = 'gone' where rowid = 0"),
    "fct_funnel_step_time_is_not_negative": mart(
        "update marts.fct_funnel_step set seconds_in_step = -1 where rowid = 0"
    ),
    "rpt_funnel_falls_from_step_to_step": mart(
        "update marts.rpt_funnel set next_journeys = reached_journeys + 1 where rowid = 0"
    ),
    "rpt_funnel_activity_rates_are_shares": mart(
        "update marts.rpt_funnel_activity set exit_rate = 1.5 where rowid = 0"
    ),
}

MARTS_FAULTS: dict[str, MartsFault] = {
    **COMPANY_FAULTS,
    "fct_ad_spend_columns_are_published": mart(f"alter table {FACT} drop column source_tz"),
    "fct_ad_spend_key_is_unique": earlier_version("2026-03-02", key="spend_key"),
    "fct_ad_spend_keys_are_filled": mart(f"update {FACT} set ad_account_id = null where {ONE}"),
    "fct_ad_spend_versions_have_a_duration": earlier_version("2026-03-01"),
    "fct_ad_spend_current_means_open_ended": mart(f"update {FACT} set known_to = timestamp '9998-12-31' where {ONE}"),
    "fct_ad_spend_versions_are_disjoint": earlier_version("2026-04-01 07:00"),
    "fct_ad_spend_has_one_level_per_account_and_day": mart(f"update {FACT} set level = 'ad' where {ONE}"),
    "fct_ad_spend_is_converted_at_its_rate": mart(
        f"update {FACT} set spend_amount_rc = spend_amount_rc + 0.000001 where {ONE}",
        "rpt_unit_economics_holds_all_spend",
    ),
    "fct_ad_spend_has_a_real_rate": mart(
        f"update {FACT} set fx_rate = 1, spend_amount_rc = spend_amount, claimed_value_amount_rc = claimed_value_amount"
        f" where {ONE}",
        "rpt_unit_economics_holds_all_spend",
    ),
    "fct_ad_spend_rate_is_recent": mart(f"update {FACT} set fx_date = spend_date - 8 where {ONE}"),
    "fct_ad_spend_joins_lose_nothing": mart(f"update {FACT} set campaign_version_key = 'gone' where {ONE}"),
    "fct_ad_spend_is_not_in_the_future": mart(
        f"update {FACT} set spend_date = date '2026-04-04', fx_date = date '2026-04-04' where {ONE};"
        " update metadata.dq_status set source_max_date = date '2026-04-04' where source_system = 'search_ads'",
        "rpt_unit_economics_holds_all_spend",
    ),
    "fct_ad_spend_is_not_abandoned": mart(
        "update metadata.run_info set as_of = timestamp '2026-04-16 06:00';"
        " update metadata.dq_status set fresh_within_days = 30 where fresh_within_days is not null"
    ),
    "fct_ad_spend_every_source_is_fresh": mart(
        "update metadata.dq_status set stale_since = date '2026-03-31' where source_system = 'trade_shows'"
    ),
    # Rates are changed too, so that each row is still converted rightly: only the published version tells.
    "fct_ad_spend_final_days_are_unchanged": mart(
        f"update {FACT} set fx_rate = 2, spend_amount_rc = spend_amount * 2,"
        "  claimed_value_amount_rc = claimed_value_amount * 2 where currency = 'USD' and is_final",
        "rpt_unit_economics_holds_all_spend",
    ),
    "fct_ad_spend_is_mapped_to_channels": mart(
        f"update {FACT} set channel = 'unmapped',"
        " channel_key = (select channel_key from marts.dim_channel where channel = 'unmapped') where channel = 'video';"
        " update marts.rpt_unit_economics set channel = 'unmapped' where channel = 'video'"
    ),
    "fct_ad_spend_clicks_follow_impressions": mart(
        f"update {FACT} set clicks = impressions + 1 where source_system = 'search_ads'"
    ),
    "fct_ad_spend_holds_no_personal_text": personal(FACT, "source_tz"),
    "dim_date_key_is_unique": doubled("marts.dim_date", "dim_date_has_no_gaps"),
    "dim_date_keys_are_filled": mart("insert into marts.dim_date (date_day) values (null)", "dim_date_has_no_gaps"),
    "dim_date_has_no_gaps": mart("delete from marts.dim_date where date_day = date '2026-06-01'"),
    "dim_date_holds_no_personal_text": noted("marts.dim_date"),
    "dim_channel_key_is_unique": doubled("marts.dim_channel"),
    "dim_channel_keys_are_filled": mart(
        "update marts.dim_channel set channel = null where channel = 'email'", "fct_touch_joins_lose_nothing"
    ),
    "dim_channel_holds_no_personal_text": personal("marts.dim_channel", "channel_name"),
    "dim_campaign_key_is_unique": copied("marts.dim_campaign", CAMPAIGN, campaign_key="'other'"),
    "dim_campaign_keys_are_filled": mart(f"update marts.dim_campaign set campaign_key = null where {CAMPAIGN}"),
    "dim_campaign_versions_are_disjoint": copied("marts.dim_campaign", CAMPAIGN, campaign_version_key="'other'"),
    "dim_campaign_has_an_unknown_member": mart("delete from marts.dim_campaign where campaign_key = '-1'"),
    "dim_campaign_holds_no_personal_text": personal("marts.dim_campaign", "campaign_name"),
    "run_info_key_is_unique": mart(
        "insert into metadata.run_info select run.* replace ('other' as run_id) from metadata.run_info as run, range(2)",
        "run_info_has_one_row",
    ),
    "run_info_has_one_row": copied("metadata.run_info", "true", run_id="'other'"),
    "run_info_is_complete": mart("update metadata.run_info set reporting_currency = 'euro'"),
    "run_info_holds_no_personal_text": personal("metadata.run_info", "company"),
    "dq_status_key_is_unique": doubled("metadata.dq_status"),
    "dq_status_keys_are_filled": mart("update metadata.dq_status set source_system = null where rowid = 0"),
    "dq_status_speaks_of_every_fact": mart("delete from metadata.dq_status where mart = 'fct_ad_spend'"),
    "dq_status_required_sources_have_delivered": mart(
        "update metadata.dq_status set is_never_delivered = true where is_required",
        "fct_ad_spend_every_source_is_fresh",
    ),
    "dq_status_freshness_is_of_this_file": mart("update metadata.run_info set as_of = timestamp '2026-04-03 06:00'"),
    "dq_status_holds_no_personal_text": personal("metadata.dq_status", "owner"),
    "dq_check_history_key_is_unique": doubled("metadata.dq_check_history"),
    "dq_check_history_keys_are_filled": mart("update metadata.dq_check_history set gate = null where rowid = 0"),
    "dq_check_history_states_are_known": mart(
        "update metadata.dq_check_history set state = 'nobody knows' where rowid = 0"
    ),
    "dq_check_history_holds_no_personal_text": personal("metadata.dq_check_history", "observed"),
    "metric_definitions_key_is_unique": doubled("metadata.metric_definitions"),
    "metric_definitions_are_complete": mart("update metadata.metric_definitions set description = ' ' where rowid = 0"),
    "metric_definitions_holds_no_personal_text": personal("metadata.metric_definitions", "description"),
    "row_ledger_key_is_unique": doubled("metadata.row_ledger"),
    "row_ledger_balances": mart("update metadata.row_ledger set rows_loaded = rows_loaded - 1 where rowid = 0"),
    "row_ledger_quarantine_is_small": mart(
        f"update metadata.row_ledger set rows_quarantined = rows_loaded, rows_loaded = 0 where {LEDGER_ROW}",
        "row_ledger_has_no_quarantine",
    ),
    "row_ledger_has_no_quarantine": mart(
        f"update metadata.row_ledger set rows_quarantined = 1, rows_loaded = rows_loaded - 1 where {LEDGER_ROW}"
    ),
    "row_ledger_holds_no_personal_text": personal("metadata.row_ledger", "stream"),
    "reconciliation_key_is_unique": copied(
        "metadata.reconciliation",
        "rowid = 0",
        control_amount="0",
        fact_amount="0",
        held_amount="0",
        quarantined_amount="0",
        deduplicated_amount="0",
        repeated_by_level_amount="0",
    ),
    "reconciliation_has_no_difference": mart(
        "update metadata.reconciliation set difference = 0.000001, control_amount = control_amount + 0.000001"
        " where rowid = 0"
    ),
    "reconciliation_adds_up": mart(
        "update metadata.reconciliation set control_amount = control_amount + 1 where rowid = 0"
    ),
    # As much as one currency loses, another gains: only totals per currency tell.
    "reconciliation_is_about_this_file": mart(
        " ".join(
            f"update {FACT} set spend_amount = spend_amount {sign} 1,"
            f" spend_amount_rc = round((spend_amount {sign} 1)::decimal(38, 6) * fx_rate, 6) where spend_key = (select"
            f" min(spend_key) from {FACT} where currency = '{currency}' and source_system = 'search_ads' and is_current);"
            for currency, sign in (("USD", "+"), ("EUR", "-"))
        ),
        "rpt_unit_economics_holds_all_spend",
    ),
    "reconciliation_holds_no_personal_text": noted("metadata.reconciliation"),
    "funnel_left_out_key_is_unique": doubled("metadata.funnel_left_out"),
    "funnel_left_out_is_told_nowhere": mart(
        "update metadata.funnel_left_out set record_type = 'lead', record_id = (select min(lead_id) from marts.fct_journey)"
        " where rowid = 0"
    ),
    "funnel_left_out_is_rare": mart(
        "insert into metadata.funnel_left_out select left_out.* replace (left_out_key || '-' || nth as left_out_key)"
        " from metadata.funnel_left_out as left_out cross join range(5000) as more (nth)"
    ),
    "funnel_left_out_holds_no_personal_text": personal("metadata.funnel_left_out", "source_value"),
    # A company of files has no such totals: the rows are planted whole.
    "source_totals_key_is_unique": mart(f"{total(key='a')};{total(key='a')}"),
    "source_totals_agree_on_final_days": mart(
        total(said=2, difference=1, is_final=True, tolerance=0.99), "source_totals_agree"
    ),
    "source_totals_agree": mart(total(said=2, difference=1)),
    "source_totals_are_compared": mart(total(said=2, difference=0)),
    "source_totals_holds_no_personal_text": mart(total(part=f"for {PERSON}")),
    "quarantine_summary_key_is_unique": doubled("metadata.quarantine_summary"),
    "quarantine_summary_held_back_spend_is_small": copied(
        "metadata.quarantine_summary",
        "rowid = 0",
        quarantine_key="'other'",
        reason="'missing_fx_rate'",
        quarantined_rows="500",
    ),
    "quarantine_summary_quarantined_money_is_small": mart(
        "update metadata.quarantine_summary set amount = 1000000000 where rowid = 0"
    ),
    "quarantine_summary_nothing_is_held_back": copied(
        "metadata.quarantine_summary",
        "rowid = 0",
        quarantine_key="'other'",
        reason="'missing_fx_rate'",
        quarantined_rows="1",
    ),
    "quarantine_summary_holds_no_personal_text": personal("metadata.quarantine_summary", "column_name"),
}
MARTS_FAULTS["quarantine_summary_held_back_spend_is_small"] = replace(
    MARTS_FAULTS["quarantine_summary_held_back_spend_is_small"],
    also=frozenset({"quarantine_summary_nothing_is_held_back"}),
)
# One that compares with what is published. The others in the long suite.
THROUGH_THE_CLI = ("fct_ad_spend_final_days_are_unchanged",)
# What the sandbox's days rightly warn of is mended, so that a planted fault stands alone.
MEND = """
update metadata.run_info set run_id = 'planted';
update marts.fct_opportunity set is_overdue = false;
update metadata.row_ledger set rows_loaded = rows_loaded + rows_quarantined, rows_quarantined = 0;
"""


@dataclass(frozen=True)
class Candidate:
    """An installation with a published version and, in run `planted`, a sealed file to plant faults in."""

    home: Home
    template: Path

    def plant(self, sql: str) -> None:
        """A fresh copy of the sealed file with a fault in it, and a manifest that vouches for its bytes."""
        folder = Paths(self.home.path, self.home.project).candidate("planted")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.template, folder)
        with duckdb.connect(str(folder / publish.DATABASE)) as db:
            db.execute(sql)
            db.execute("checkpoint")
        manifest = publish.read_manifest(folder)
        publish.write_manifest(folder, {**manifest, "sha256": sha256_of(folder / publish.DATABASE), "verdict": None})

    def found(self) -> dict[str, dict[str, Any]]:
        """The checks of the marts gate, by id, as the ledger has them."""
        return {r["check_id"]: r for r in ledger_of(self.home).checks("planted") if r["gate"] == "marts"}

    def verdict(self) -> Any:
        return publish.read_manifest(Paths(self.home.path, self.home.project).candidate("planted"))["verdict"]

    def judge(self) -> int:
        """The step in this process, as the command line calls it; its exit code."""
        with world.installation(self.home) as here:
            try:
                pipeline.check_marts(here, "planted")
            except GateFailed as error:
                return error.exit_code
        return 0


@pytest.fixture(scope="module")
def candidate(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    """The published company, and its last sealed file as that of another run."""
    root = tmp_path_factory.mktemp("marts")
    home = world.copy_of(published.home, root / "home")
    home.ok("start", "--run-id", "planted", "--as-of", world.instant(Company(scale=SCALE, business=True), DAYS[-1]))
    template = root / "template"
    version = Paths(home.path, home.project).version(f"day{DAYS[-1]}")
    shutil.copytree(version, template, ignore=shutil.ignore_patterns("site"))
    (template / publish.DATABASE).chmod(0o644)
    with duckdb.connect(str(template / publish.DATABASE)) as db:
        db.execute(MEND)
        db.execute("checkpoint")
    publish.write_manifest(template, {**publish.read_manifest(template), "run_id": "planted"})
    return Candidate(home, template)


def not_passed(found: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, row in found.items() if row["state"] != "passed"}


def assert_exactly(candidate: Candidate, check_id: str, exit_code: int) -> None:
    found, blocks = candidate.found(), SEVERITY[check_id] == "block"
    assert not_passed(found) == {check_id} | MARTS_FAULTS[check_id].also
    assert found[check_id]["state"] == ("failed" if blocks else "warned")
    assert (exit_code, candidate.verdict()) == ((1, "fail") if blocks else (0, "pass"))
    assert set(found) == set(MARTS)
    assert PERSON not in json.dumps(found)


def test_every_marts_check_has_a_planted_fault() -> None:
    assert set(MARTS_FAULTS) == set(MARTS)


def test_a_good_file_passes_every_marts_check(candidate: Candidate) -> None:
    candidate.plant(total(said=2, difference=1, is_final=True, tolerance=1))
    done = candidate.home.cli("check", "marts", "--run-id", "planted")
    assert done.returncode == 0, done.stderr[-2000:]
    assert not_passed(candidate.found()) == set() and set(candidate.found()) == set(MARTS)


def footprint(check_id: str) -> set[str]:
    """The tables that a fault changes, and those that the checks read which it turns red."""
    expected = {check_id} | MARTS_FAULTS[check_id].also
    checks = [(suite.name, c.sql) for suite in SUITES.marts.values() for c in suite.checks if c.id in expected]
    text = " ".join([MARTS_FAULTS[check_id].sql, *(str(sql) for _, sql in checks)])
    return {table for table, _ in checks} | set(re.findall(r"\b(?:marts|metadata)\.(\w+)", text))


def apart() -> list[tuple[str, ...]]:
    """Every marts check, in groups of which no fault touches what another one touches: they are judged together."""
    groups: list[tuple[list[str], set[str]]] = []
    for check_id in MARTS:
        touched = footprint(check_id)
        names, tables = next((g for g in groups if not g[1] & touched), ([], set()))
        if not names:
            groups.append((names, tables))
        names.append(check_id)
        tables |= touched
    return [tuple(names) for names, _ in groups]


APART = apart()


def groups(names: tuple[str, ...]) -> str:
    return f"{names[0]} and {len(names) - 1} more"


@pytest.mark.parametrize("check_ids", APART, ids=groups)
def test_changed_files_turn_exactly_their_checks_red(
    candidate: Candidate,
    check_ids: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    candidate.plant(";".join(MARTS_FAULTS[check_id].sql for check_id in check_ids))
    monkeypatch.setattr(gate, "load_suites", lambda *_: SUITES)
    assert candidate.judge() == int(any(SEVERITY[c] == "block" for c in check_ids))
    found = candidate.found()
    assert not_passed(found) == set(check_ids).union(*(MARTS_FAULTS[c].also for c in check_ids))
    for check_id in check_ids:
        assert found[check_id]["state"] == ("failed" if SEVERITY[check_id] == "block" else "warned")
        record_property("proven check", check_id)
    assert set(found) == set(MARTS)
    assert PERSON not in json.dumps(found)


@pytest.mark.long
@pytest.mark.parametrize("check_id", MARTS)
def test_a_changed_file_turns_exactly_its_check_red(
    candidate: Candidate, check_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each on its own: together, one fault could do the work of another."""
    candidate.plant(MARTS_FAULTS[check_id].sql)
    monkeypatch.setattr(gate, "load_suites", lambda *_: SUITES)
    assert_exactly(candidate, check_id, candidate.judge())


@pytest.mark.parametrize(
    "check_ids", [g if len(g) > 3 else pytest.param(g, marks=pytest.mark.long) for g in APART], ids=groups
)
def test_without_their_entries_marts_faults_pass_unnoticed(
    candidate: Candidate, check_ids: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate.plant(";".join(MARTS_FAULTS[check_id].sql for check_id in check_ids))
    monkeypatch.setattr(gate, "load_suites", lambda *_: without(*check_ids))
    candidate.judge()
    assert not_passed(candidate.found()) == set().union(*(MARTS_FAULTS[c].also for c in check_ids))


@pytest.mark.parametrize(
    "check_id", [c if c in THROUGH_THE_CLI else pytest.param(c, marks=pytest.mark.long) for c in MARTS]
)
def test_the_command_line_finds_a_changed_file(candidate: Candidate, check_id: str) -> None:
    candidate.plant(MARTS_FAULTS[check_id].sql)
    done = candidate.home.cli("check", "marts", "--run-id", "planted")
    assert_exactly(candidate, check_id, done.returncode)
    if SEVERITY[check_id] == "block":
        assert "checks are red" in done.stderr and "Traceback" not in done.stderr
        refused = candidate.home.cli("publish", "--run-id", "planted")
        assert refused.returncode == 1 and "it is not published" in refused.stderr


def test_a_restatement_is_published_only_when_somebody_approves_it(candidate: Candidate) -> None:
    changed = "fct_ad_spend_final_days_are_unchanged"
    report_follows = (
        "; update marts.rpt_unit_economics as report set spend_amount_rc = coalesce((select sum(spend_amount_rc)"
        f" from {FACT} as fact where is_current and fact.channel = report.channel"
        " and date_trunc('month', fact.spend_date) = report.month_start_date), 0)"
    )
    candidate.plant(MARTS_FAULTS[changed].sql + report_follows)
    assert candidate.judge() == 1
    assert "union all select" in re.sub(r"\s+", " ", candidate.found()[changed]["sql"])  # it can be run again anywhere
    done = candidate.home.cli("check", "marts", "--run-id", "planted", "--approve-restatement")
    assert done.returncode == 0, done.stderr[-2000:]
    assert candidate.found()[changed]["state"] == "warned" and candidate.verdict() == "pass"
    assert "approved by hand" in candidate.found()[changed]["observed"]
    assert [a["subject"] for a in ledger_of(candidate.home).audits() if a["action"] == "approve restatement"] == [
        "planted"
    ]


# -- the gate defends itself ----------------------------------------------------------------------------------------------


def project_with(tmp_path: Path, change: Callable[[Path], object]) -> Path:
    """A copy of the project with other expectations."""
    project = tmp_path / f"project-{len(list(tmp_path.iterdir()))}"
    project.mkdir()
    (project / "dbt_project").symlink_to(PROJECT / "dbt_project")
    change(Path(shutil.copytree(EXPECTATIONS, project / "expectations")))
    return project


def broken_check(expectations: Path) -> None:
    path = expectations / "raw" / "performance_daily.yml"
    entry = (
        "  - {id: cannot_be_run, severity: warn, owner: data, because: It divides by a word., fix: Mend its SQL here.,\n"
        "     sql: select 1 from raw.load_records where cast(campaign_id as integer) > 0}\n"
    )
    path.write_text(path.read_text() + entry)


@pytest.mark.long
def test_a_raw_gate_that_cannot_judge_leaves_the_load_unjudged(home: Home, tmp_path: Path) -> None:
    home.drop("day.csv", sheet("performance_daily", "2026-01-04").text())
    assert home.extract().returncode == 0
    common = Path("raw") / "every_contract.yml"
    cases: list[tuple[Callable[[Path], object], int, str]] = [
        (lambda e: (e / common).unlink(), 2, "raw/every_contract.yml:1: is missing"),
        (lambda e: (e / common).write_text('contract: "*"\nchecks: []\n'), 2, "raw/every_contract.yml:2"),
        (lambda e: (e / common).write_text(""), 2, "raw/every_contract.yml:1"),
        (broken_check, 1, "cannot_be_run: Conversion Error"),
    ]
    for change, exit_code, words in cases:
        home.project = project_with(tmp_path, change)
        done = home.cli("check", "raw", "--run-id", "r1")
        assert (done.returncode, words in done.stderr) == (exit_code, True), done.stderr[-2000:]
        assert [load["state"] for load in home.loads()] == ["landed"]
    home.project = PROJECT
    home.ok("check", "raw", "--run-id", "r1")
    assert [load["state"] for load in home.loads()] == ["accepted"]


def test_a_published_table_without_expectations_is_red(candidate: Candidate, tmp_path: Path) -> None:
    candidate.plant("select 1")
    project = project_with(tmp_path, lambda e: (e / "marts" / "dim_channel.yml").unlink())
    done = replace(candidate.home, project=project).cli("check", "marts", "--run-id", "planted")
    assert done.returncode == 1 and candidate.verdict() == "fail"
    assert "published_table_has_expectations" in done.stderr and "dim_channel" in done.stderr
    candidate.plant("select 1")
    project = project_with(tmp_path, lambda e: (e / "marts" / "every_table.yml").unlink())
    done = replace(candidate.home, project=project).cli("check", "marts", "--run-id", "planted")
    assert done.returncode == 2 and candidate.verdict() is None
    assert "marts/every_table.yml:1: is missing" in done.stderr


# -- what is usual: the sandbox company's deliveries -----------------------------------------------------------------------

USUAL = {"volume_is_usual", "performance_daily_newest_day_is_complete"}
AMOUNTS = {"performance_daily_amounts_are_usual", "amounts_are_possible"}
DAILY = ("search_ads", "social_ads", "video_ads")


def judge_day(home: Home, company: Company, day: int, faults: tuple[str, ...] = ()) -> dict[str, set[str]]:
    """Deliver, land and judge a day as a run does; per source what the raw gate blocked."""
    run_id = f"day-{day}{''.join(faults)}".replace(":", "-")
    world.deliver(home, company, day, faults)
    world.extract(home, run_id, world.instant(company, day))
    with world.installation(home) as here:
        with contextlib.suppress(GateFailed):
            pipeline.check_raw(here, run_id)
        here.ledger.finish_run(run_id, "failed")
        source_of = {load.load_id: load.source for load in here.ledger.loads()}
        blocked: dict[str, set[str]] = {}
        for row in here.ledger.checks(run_id):
            if row["state"] == "failed":
                blocked.setdefault(source_of[row["subject"]], set()).add(row["check_id"])
        return blocked


@pytest.mark.long
@pytest.mark.parametrize("days", [6, 30])
def test_faithful_deliveries_pass_and_faulty_ones_never(
    days: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "load_suites", lambda *_: SUITES)
    home, company = world.sandbox_home(tmp_path / "home"), Company()

    def planted(day: int, kind: str) -> dict[str, set[str]]:
        return judge_day(home, company, day, tuple(f"{kind}:{source}" for source in DAILY))

    assert judge_day(home, company, 1) == {}

    def assert_amounts_are_seen(day: int) -> None:
        found = planted(day, "hundredfold")
        assert set(found) == set(DAILY) and all(red and red <= AMOUNTS for red in found.values())
        assert planted(day, "micros_as_units") == dict.fromkeys(DAILY, AMOUNTS)

    assert_amounts_are_seen(2)  # one earlier load is enough
    for day in range(2, days + 1):
        assert judge_day(home, company, day) == {}
    assert planted(days + 1, "half_rows") == dict.fromkeys(DAILY, USUAL)
    assert_amounts_are_seen(days + 1)
    assert judge_day(home, company, days + 1) == {}
