"""Expectations are reviewed configuration: every mistake in them is found at once, with its line, before a check runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from onefunnel.errors import ConfigError
from onefunnel.quality.report import to_json, to_lines, write_html
from onefunnel.quality.results import CheckResult, GateReport
from onefunnel.quality.suites import load_suites

EXPECTATIONS = Path(__file__).parents[2] / "expectations"

GOOD = """
  - id: {id}
    severity: {severity}
    owner: {owner}
    because: because of the test that reads it
    fix: nothing to do about it
    {what}
"""


def check(id: str = "one", severity: str = "warn", owner: str = "data", what: str = "sql: select 1 where false") -> str:
    return GOOD.format(id=id, severity=severity, owner=owner, what=what)


def problems_of(tmp_path: Path, **files: str) -> list[str]:
    for name, text in files.items():
        gate, _, stem = name.partition("_")
        path = tmp_path / gate / f"{stem}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_suites(tmp_path)
    return caught.value.problems


@pytest.mark.parametrize(
    ("checks", "line", "words"),
    [
        (check(severity="critical"), 4, "'block', 'quarantine' or 'warn'"),
        (check(owner="nobody"), 5, "'sales', 'marketing', 'finance', 'operations', 'data' or 'source'"),
        (check(owner="source"), 5, "`owner: source` belongs to raw/"),
        (check().replace("    because: because of the test that reads it\n", ""), 3, "because: Field required"),
        (check().replace("    fix: nothing to do about it\n", ""), 3, "fix: Field required"),
        (check(what="expectation: expect_column_to_be_nice"), 3, "unknown expectation 'expect_column_to_be_nice'"),
        (check(what="expectation: expect_column_values_to_be_unique"), 3, "needs kwargs: column"),
        (
            check(what="expectation: expect_column_values_to_be_unique\n    kwargs: {column: a, mostly: 0.9}"),
            3,
            "mostly",
        ),
        (check(what="sql: drop table marts.a"), 3, "must start with select or with"),
        (check(what="sql: select 1; drop table marts.a"), 3, "one statement"),
        (check(what="sql: select {rows}"), 3, "`params:` does not give"),
        (check(what="sql: select {rows}\n    params: {rows: many}"), 9, "params.rows"),
        (check(what="sql: select {rows}\n    params: {rows: true}"), 9, "params.rows"),
        (check(what="sql: select 1\n    params: {rows: 1}"), 3, "`sql:` does not use"),
        (check(what="kwargs: {}"), 3, "either `expectation:` or `sql:`"),
        (check(what="sql: select 1\n    sqll: select 2"), 9, "Extra inputs"),
        (check(what="sql: select 1\n    empty_is_legal: true"), 1, "accepts an empty table"),
        (check(what="sql: select 1\n    sql: select 2"), 9, "duplicate key"),
        (check(id="Not an id"), 3, "id: String should match"),
    ],
)
def test_a_mistake_is_reported_with_its_line(tmp_path: Path, checks: str, line: int, words: str) -> None:
    problems = problems_of(tmp_path, marts_a=f"table: a\nchecks:{checks}\nkey: k\n")
    assert any(words in problem and problem.startswith(f"marts/a.yml:{line}:") for problem in problems), problems


def test_all_mistakes_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    problems = problems_of(
        tmp_path,
        marts_a="table: a\nkey: k\nchecks:" + check(severity="bad") + check(id="two", owner="bad"),
        marts_b="table: b\nkey: k\nchecks:" + check(id="three").replace("    fix: nothing to do about it\n", ""),
        raw_c="contract: other\nchecks:" + check(id="two"),
        raw_d="contract: d\nchecks: [",
        raw_e="contract: e\nchecks: []\n",
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "raw/c.yml", "raw/d.yml", "raw/e.yml", "marts/a.yml", "marts/a.yml", "marts/a.yml", "marts/b.yml",
        "raw/every_contract.yml", "marts/every_table.yml",
    ]  # fmt: skip
    assert any("the id two is already used in raw/c.yml:3" in problem for problem in problems)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "a mapping with `checks:` was expected"),
        ('contract: "*"\nchecks: []\n', 2, "at least 1 item"),
        ('contract: "*"\n', 1, "checks: Field required"),
        ("contract: *\nchecks: []\n", 1, "not valid YAML"),
        ('contract: "**"\nchecks:' + check(), 1, "String should match"),
        ("contract: leads\nchecks:" + check(), 1, "is called every_contract but speaks of leads"),
        ('contract: "*"\nchecks:' + check(severity="critical"), 4, "'block', 'quarantine' or 'warn'"),
        ('contract: "*"\nchecks:' + check() + check(), 10, "the id one is already used in raw/every_contract.yml:3"),
    ],
)
def test_a_mistake_in_the_checks_of_every_contract_is_reported_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    problems = problems_of(tmp_path, raw_every_contract=text)
    assert any(words in p and p.startswith(f"raw/every_contract.yml:{line}:") for p in problems), problems


def test_the_checks_of_every_contract_cannot_be_missing_or_stand_elsewhere(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, raw_all='contract: "*"\nchecks:' + check())
    assert problems[0] == "raw/all.yml:1: the file is called all but speaks of every contract"
    assert problems[1].startswith("raw/every_contract.yml:1: is missing")


EVERY = {"raw_every_contract": 'contract: "*"\nchecks:' + check(id="common")}
SHARED = 'table: "*"\nchecks:' + check(
    id="is_sound", severity="block", what="sql: select 1 from {table} where {key} is null"
)


def test_the_checks_of_every_table_are_checks_of_each(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "marts").mkdir()
    (tmp_path / "raw" / "every_contract.yml").write_text(EVERY["raw_every_contract"])
    (tmp_path / "marts" / "every_table.yml").write_text(SHARED)
    (tmp_path / "marts" / "a.yml").write_text("table: a\nkey: a_key\n")
    (tmp_path / "marts" / "b.yml").write_text(
        "table: b\nkey: x || y\nempty_is_legal: true\nchecks:" + check(id="b_own")
    )
    suites = load_suites(tmp_path).marts
    assert {name: [c.id for c in suite.checks] for name, suite in suites.items()} == {
        "a": ["a_is_sound"], "b": ["b_is_sound", "b_own"],
    }  # fmt: skip
    [a], [b, _] = suites["a"].checks, suites["b"].checks
    assert a.select("marts.a", "''") == "select 1 from marts.a where a_key is null"
    assert b.select("marts.b", "''") == "select 1 from marts.b where x || y is null"
    assert (a.empty_is_legal, b.empty_is_legal, a.severity) == (False, True, "block")


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"marts_a": "table: a\nkey: k\n"},
            "marts/every_table.yml:1: is missing: without it no published table is searched",
        ),
        ({"marts_all": SHARED}, "marts/all.yml:1: the file is called all but speaks of every table"),
        ({"marts_every_table": 'table: "*"\n'}, "marts/every_table.yml:1: checks: Field required"),
        (
            {"marts_every_table": 'table: "*"\nchecks: []\n'},
            "marts/every_table.yml:2: checks: List should have at least 1 item",
        ),
        ({"marts_every_table": SHARED, "marts_a": "table: a\n"}, "marts/a.yml:1: key: Field required"),
        (
            {"marts_every_table": SHARED, "marts_a": "table: a\nkey: k\nchecks:" + check(id="a_is_sound")},
            "marts/a.yml:4: the id a_is_sound is that of a check of every table",
        ),
        (
            {
                "marts_every_table": SHARED,
                "raw_leads": "contract: leads\nchecks:" + check(id="x", what="sql: select {key}"),
            },
            "raw/leads.yml:8: `sql:` uses {key}, and no `key:` is said",
        ),
    ],
)
def test_a_mistake_about_the_checks_of_every_table_is_named(
    tmp_path: Path, files: dict[str, str], problem: str
) -> None:
    assert any(p.startswith(problem) for p in problems_of(tmp_path, **EVERY, **files))


def test_a_file_of_an_unknown_contract_is_a_mistake(tmp_path: Path) -> None:
    for name in ("every_contract", "leeds"):
        contract = "*" if name == "every_contract" else name
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / f"{name}.yml").write_text(f'checks:{check(id=name)}\ncontract: "{contract}"\n')
    assert set(load_suites(tmp_path).raw) == {"*", "leeds"}
    with pytest.raises(ConfigError) as caught:
        load_suites(tmp_path, ["leads"])
    [problem] = caught.value.problems
    assert problem.startswith("raw/leeds.yml:9: there is no contract leeds")


def test_a_folder_without_expectations_is_a_mistake(tmp_path: Path) -> None:
    assert problems_of(tmp_path) == ["there are no expectations here"]


def test_shipped_expectations_say_why_and_what_to_do() -> None:
    suites = load_suites(EXPECTATIONS)
    checks = [check for gate in (suites.raw, suites.marts) for suite in gate.values() for check in suite.checks]
    assert len(checks) == len({check.id for check in checks}) > 90
    assert all(check.because.endswith(".") and check.fix.endswith(".") for check in checks)


def result(check_id: str, state: str, **more: str) -> CheckResult:
    texts = {"observed": "2 violations", "because": "why", "fix": "how", "sql": "select 'secret'"} | more
    return CheckResult(check_id, "block", "data", "fct_ad_spend", state, samples=("abc",), **texts)  # type: ignore[arg-type]


def test_a_report_counts_and_names_the_first_failure() -> None:
    report = GateReport("marts", "x", (result("a", "passed"), result("b", "warned"), result("c", "error")), 3, 3, "00")
    assert report.verdict == "fail" and report.first_failure == report.results[2]
    assert report.counts == {"declared": 3, "executed": 3, "passed": 1, "warned": 1, "failed": 1}
    assert GateReport("marts", "x", (result("a", "passed"),), 1, 1).verdict == "pass"
    assert GateReport("marts", "x", (result("a", "passed"),), 2, 1).verdict == "fail"
    assert GateReport("marts", "x", (), 0, 0).verdict == "fail"


def test_a_report_reads_well_as_text_and_json() -> None:
    report = GateReport("marts", "revenue.duckdb", (result("a", "passed"), result("c", "failed")), 2, 2, "00")
    text = "\n".join(to_lines(report))
    assert "marts gate: FAIL" in text and "c" in text and "how" in text and "select 'secret'" in text and "abc" in text
    assert '"verdict": "fail"' in to_json(report)


def test_the_html_report_holds_counts_and_ids_but_no_values(tmp_path: Path) -> None:
    hostile = result("c", "failed", because="<script>alert(1)</script>")
    path = write_html(
        GateReport("marts", "revenue.duckdb", (result("a", "passed"), hostile), 2, 2), tmp_path / "checks.html"
    )
    html = path.read_text()
    assert "Content-Security-Policy" in html and "<script" not in html and "&lt;script&gt;" in html
    assert "abc" not in html and "secret" not in html and "2 violations" in html
