"""Excel workbooks (.xlsx) as a source: one declared sheet, read as text, without calculating anything."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path
from typing import Any

from onefunnel.errors import StepFailed
from onefunnel.sources.base import RecordError

MAX_UNPACKED_BYTES = 1024 * 1024 * 1024
MAX_RATIO = 200
_TIME_OF_DAY = re.compile(r"[hs]", re.IGNORECASE)
_LITERAL_PARTS = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')

Values = list[str | None]


def rows(path: Path, sheet: str, header_row: int, here: str) -> Iterator[tuple[int, Values | RecordError, str]]:
    """Yield (row number, values as text or why they cannot be read, the row's text) from the header row on.

    Dates are `YYYY-MM-DD`, dates with a time `YYYY-MM-DD HH:MM:SS`, by the cell's own number format; numbers are plain
    decimals; rows without any value are no records. Hidden rows and columns are read like any other.

    Raises:
        StepFailed: not a workbook, a sheet that is not there, or one that unpacks to more than `MAX_UNPACKED_BYTES`.
    """
    from openpyxl import load_workbook  # slow to import

    _refuse_bombs(path, here)
    handles = path.open("rb"), path.open("rb")
    try:
        # What is shown and what was typed: only together they tell an empty cell from a formula never calculated.
        shown = load_workbook(handles[0], read_only=True, data_only=True)
        typed = load_workbook(handles[1], read_only=True, data_only=False)
    except Exception as error:
        raise StepFailed(
            f"The workbook cannot be read: {type(error).__name__}.",
            where=here,
            do="Save it again as .xlsx without a password.",
        ) from None
    try:
        if sheet not in shown.sheetnames:
            raise StepFailed(
                f"The workbook has no sheet {sheet!r}; it has: {', '.join(shown.sheetnames)}.",
                where=here,
                do="Correct `sheet` in pipeline.yml, or have the sheet named back.",
            )
        pairs = zip_longest(shown[sheet].iter_rows(min_row=header_row), typed[sheet].iter_rows(min_row=header_row))
        for number, (values, formulas) in enumerate(pairs, start=header_row):
            cells = list(zip_longest(values or (), formulas or ()))
            try:
                texts = [_text(*cell) for cell in cells]
            except RecordError as error:
                yield number, error, " | ".join(str(getattr(t, "value", None) or "") for _, t in cells)
                continue
            if any(text not in (None, "") for text in texts):
                yield number, texts, " | ".join(t or "" for t in texts)
    finally:
        for opened in (shown, typed, *handles):
            opened.close()


def _text(shown: Any, typed: Any) -> str | None:
    """A cell's value as text; None for an empty cell.

    Raises:
        RecordError: an Excel error, or a formula whose value the workbook does not hold.
    """
    value = getattr(shown, "value", None)
    if getattr(shown, "data_type", "") == "e":
        raise RecordError(f"cell {shown.coordinate} holds the error {value}")
    if value is None:
        if getattr(typed, "data_type", "") == "f":
            raise RecordError(f"cell {typed.coordinate} holds a formula without a calculated value")
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    if isinstance(value, dt.datetime):
        form = _LITERAL_PARTS.sub("", str(shown.number_format))
        whole = (value + dt.timedelta(milliseconds=500)).replace(microsecond=0)  # a serial number's rounding
        return whole.strftime("%Y-%m-%d %H:%M:%S" if _TIME_OF_DAY.search(form) else "%Y-%m-%d")
    return str(value)  # text, whole numbers, dates and times of day by their ISO form


def _refuse_bombs(path: Path, here: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, OSError):
        raise StepFailed(
            "The file is not an Excel workbook.",
            where=here,
            do="Export it as .xlsx, or correct `format` in pipeline.yml.",
        ) from None
    if unpacked > min(MAX_UNPACKED_BYTES, MAX_RATIO * max(path.stat().st_size, 10_000)):
        raise StepFailed(
            f"The workbook unpacks to {unpacked / 1e6:,.0f} MB from {path.stat().st_size / 1e6:,.1f} MB: it is not opened.",
            where=here,
            do="Have it made smaller, or deliver CSV or Parquet.",
        )
