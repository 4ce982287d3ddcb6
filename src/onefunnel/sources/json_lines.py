"""The records of a page of JSON as lines, block by block: memory does not grow with the page, and no digit is lost.

JSON engines hold a document as a whole, several times over, and read numbers that are no integers as doubles. So the page is
taken apart here, by vectorised passes over its bytes that know strings, brackets and numbers and nothing else: each record
becomes a line, its numbers that are no integers become strings of their own text, and are looked at here: as strings nobody else
would refuse `1.2.3`. What stands around the records is parsed as JSON, what else is in them (`01` and `--1` too) is left to who reads
the lines: between them nothing of the page goes unchecked.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from onefunnel.errors import StepFailed

_BLOCK_BYTES = 4 * 1024 * 1024
_QUOTE, _BACKSLASH, _BREAK, _SPACE = ord('"'), ord("\\"), ord("\n"), ord(" ")
_OF_NUMBERS = np.zeros(256, dtype=bool)
_OF_NUMBERS[list(b"0123456789+-.eE")] = True
_IS_DIGIT = np.zeros(256, dtype=bool)
_IS_DIGIT[list(b"0123456789")] = True
_IS_BRACKET = np.zeros(256, dtype=bool)
_IS_BRACKET[list(b"{[]}")] = True

# What begins with a backslash in JSON: an escaped backslash and a whole pair are kept, of half a pair the code is wrong.
_HALVES = re.compile(
    rb"(?P<kept>\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_PATH = re.compile(r"\$((?:\[\*\]|\.\w+)*\[\*\])")

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


def write_lines(page: Path, records: str, to: BinaryIO, where: str) -> int:
    """Append the records of a page, each as a line; returns how many bytes the longest has, or more.

    Args:
        records: JSON path of the records: names and `[*]`, the last of which stands for them (`$.data[*]`,
            `$[*].results[*]`). Where it leads nowhere there are none.

    Raises:
        StepFailed: the page is not JSON, or what stands at `records` is not a list of objects. Of the records themselves only the
            numbers are looked at that become strings.
    """
    lines = _Lines(records)
    try:
        for block in _blocks(page):
            for part in lines.of(whole_characters(block)):
                to.write(part)
        lines.end()
    except (ValueError, RecursionError) as error:
        raise StepFailed(
            f"A page cannot be read: {str(error)[:200]}.",
            where=where,
            do="Run again; if it stays so, please report it as an issue.",
        ) from None
    return lines.longest


def whole_characters(body: bytes) -> bytes:
    """The same JSON with every half of a surrogate pair as the replacement character, as decoders do; its record stays readable.

    No character is written so: a text was cut off within one, and DuckDB would refuse it.
    """
    if b"\\" not in body or (b"\\ud" not in body and b"\\uD" not in body):
        return body
    return _HALVES.sub(lambda found: found[0] if found["kept"] else rb"\ufffd", body)


def _blocks(page: Path) -> Iterator[bytes]:
    """The bytes of a page in pieces that end with a comma: behind it no number, no name and no escaped character goes on."""
    with page.open("rb") as file:
        if not page.stat().st_size:
            raise ValueError("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body:
            at = 0
            while at < len(body):
                rest = at + _BLOCK_BYTES
                end = 0 if rest >= len(body) else body.rfind(b",", at, rest) + 1 or body.find(b",", rest) + 1
                yield body[at : end or len(body)]
                at = end or len(body)


class _Lines:
    """The lines of one page, and what is left of it without them."""

    def __init__(self, records: str) -> None:
        found = _PATH.fullmatch(records)
        if not found:
            raise ValueError(f"{records} is no path of a list")
        self.steps = re.findall(r"\[\*\]|\w+", found[1])
        self.depth_of_list = len(self.steps)
        named = self.steps[-2] if len(self.steps) > 1 else "[*]"
        self.name = None if named == "[*]" else re.compile(rb'"%s"\s*:\s*\Z' % named.encode())
        self.is_text, self.depth, self.in_list = False, 0, False  # where the block before has ended
        self.records = self.commas = 0  # of the list; the commas behind the last record
        self.around, self.lists = bytearray(), 0
        self.longest = self.line = 0

    def of(self, block: bytes) -> Iterator[bytes]:
        """The lines of the next block.

        Raises:
            ValueError: the records are not objects with commas between them, or a number is none.
        """
        padded = np.frombuffer(bytearray(block) + b" ", dtype=np.uint8)  # so that every number has an end
        data = padded[:-1]
        quotes = _quotes(data, b"\\" in block)

        def outside(places: Places) -> Places:
            return places[np.searchsorted(quotes, places) % 2 == self.is_text]

        if b"\n" in block or b"\r" in block:
            data[outside(np.flatnonzero((data == _BREAK) | (data == ord("\r"))))] = _SPACE
        brackets = outside(np.flatnonzero(_IS_BRACKET[data]))
        kinds = data[brackets]
        depths = self.depth + np.cumsum(
            np.where((kinds == ord("{")) | (kinds == ord("[")), 1, -1)
        )  # behind each of them
        begins = brackets[(kinds == ord("[")) & (depths == self.depth_of_list)]
        ends = brackets[(kinds == ord("]")) & (depths == self.depth_of_list - 1)]
        opening = brackets[(kinds == ord("{")) & (depths == self.depth_of_list + 1)]
        closing = brackets[(kinds == ord("}")) & (depths == self.depth_of_list)]
        numbers = _reals(padded, outside)
        depth, at = self.depth, 0
        while at < len(block):
            if self.in_list:
                end = _first(ends, at, len(block))
                self._separate(data, at, end, _within(opening, at, end), _within(closing, at, end), depth)
                yield self._measured(np.insert(data[at:end], _within(numbers, at, end) - at, _QUOTE))
                if end < len(block):
                    yield self._ended()
                at, depth = end, self.depth_of_list - 1
            else:
                begin = next((b for b in _within(begins, at, len(block)).tolist() if self._is_named(data, b)), None)
                end = len(block) if begin is None else begin + 1
                self.around += data[at:end].tobytes()
                if begin is not None:
                    self.around += b"%d" % self.lists  # in place of the records
                    self.lists, self.in_list = self.lists + 1, True
                at, depth = end, self.depth_of_list
        self.depth = int(depths[-1]) if depths.size else self.depth
        self.is_text ^= bool(quotes.size % 2)

    def end(self) -> None:
        """Look at what stands around the records.

        Raises:
            ValueError: it is not JSON, or the records are not where they should be.
        """
        if self.in_list or _led_to(json.loads(self.around), self.steps) != [[n] for n in range(self.lists)]:
            raise ValueError("its records do not end, or are not where they should be")

    def _is_named(self, data: Bytes, begin: int) -> bool:
        return self.name is None or bool(self.name.search(data[max(0, begin - 256) : begin].tobytes()))

    def _separate(self, data: Bytes, at: int, end: int, opening: Places, closing: Places, depth: int) -> None:
        """Put a line break behind each record of a part of a list, and nothing but spaces between two of them."""
        is_open = depth > self.depth_of_list
        starts = closing + 1 if is_open else np.append(at, closing + 1)
        stops = np.append(opening, end) if len(starts) > len(opening) else opening
        lengths = stops - starts
        between = (
            np.repeat(starts, lengths) + np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        )
        found = data[between]
        if found.tobytes().strip(b", \t\n\r"):
            raise ValueError("what stands for its records is no list of objects")
        commas = np.bincount(np.repeat(np.arange(lengths.size), lengths)[found == ord(",")], minlength=lengths.size)
        if not is_open:
            commas[0] += self.commas  # those that the block before has ended with
        before = commas[: opening.size]  # of each record: one, and none before the first
        if (before != 1)[0 if self.records or is_open else 1 :].any() or (not self.records and before[:1].any()):
            raise ValueError("its records are not separated by commas")
        self.commas = int(commas[opening.size :].sum())
        self.records += opening.size
        data[between] = _SPACE
        data[(closing + 1)[closing + 1 < end]] = _BREAK

    def _ended(self) -> bytes:
        """The break behind a list."""
        if self.commas:
            raise ValueError("there is a comma behind the last of its records")
        self.in_list, self.records, self.commas, self.line = False, 0, 0, 0
        return b"\n"

    def _measured(self, lines: Bytes) -> bytes:
        breaks = np.flatnonzero(lines == _BREAK)
        lengths = np.diff(breaks, prepend=-self.line, append=lines.size)
        self.longest = max(self.longest, int(lengths.max()))
        self.line = int(lengths[-1])
        return lines.tobytes()


def _quotes(data: Bytes, has_backslashes: bool) -> Places:
    """Where strings begin and end. A quote after an odd number of backslashes does neither."""
    quotes = np.flatnonzero(data == _QUOTE)
    if not has_backslashes:
        return quotes
    escaped = quotes[(quotes > 0) & (data[np.maximum(quotes - 1, 0)] == _BACKSLASH)]
    if not escaped.size:
        return quotes
    first = escaped - 1  # the first backslash of the row that ends before the quote
    going = np.arange(first.size)
    while (going := going[(first[going] > 0) & (data[first[going] - 1] == _BACKSLASH)]).size:
        first[going] -= 1
    return np.setdiff1d(quotes, escaped[(escaped - first) % 2 == 1], assume_unique=True)


def _reals(data: Bytes, outside: Callable[[Places], Places]) -> Places:
    """Where numbers that are no integers begin and end, in turn. The last byte is of none.

    Raises:
        ValueError: such a number is none of JSON's.
    """
    # What such a number has is a point or an e, which in a name mostly follows a letter.
    mark = (data[1:] == ord(".")) | ((data[1:] | 0x20) == ord("e"))
    marks = outside(np.flatnonzero(mark & ((data[:-1] - ord("0")) < 10)) + 1)  # below the digits it wraps around
    starts = _passed(data, marks - 1, -1)
    with_point = data[marks] == ord(".")
    if not with_point.all():  # behind a point an e is of the same number
        first = with_point | (data[starts] != ord("."))
        marks, starts, with_point = marks[first], starts[first], with_point[first]
    ends = _passed(data, marks + with_point, 1)
    wrong = with_point & (ends == marks + 1)
    powers = np.flatnonzero((data[ends] | 0x20) == ord("e"))
    if powers.size:
        begin = ends[powers] + 1
        begin += (data[begin] == ord("+")) | (data[begin] == ord("-"))
        ends[powers] = _passed(data, begin, 1)
        wrong[powers] |= ends[powers] == begin
    wrong |= (data[starts + 1] == ord("0")) & _IS_DIGIT[data[starts + 2]]
    starts -= data[starts] == ord("-")
    if (wrong | _OF_NUMBERS[data[starts]] | _OF_NUMBERS[data[ends]]).any():
        raise ValueError("it has a number that JSON does not know")
    return np.column_stack((starts + 1, ends)).ravel()


def _passed(data: Bytes, places: Places, step: int) -> Places:
    """Where the digits from places on have ended."""
    places = places.copy()
    going = np.arange(places.size)
    while (going := going[_IS_DIGIT[data[places[going]]]]).size:
        places[going] += step
    return places


def _within(places: Places, at: int, end: int) -> Places:
    return places[slice(*np.searchsorted(places, (at, end)))]


def _first(places: Places, at: int, otherwise: int) -> int:
    found = np.searchsorted(places, at)
    return int(places[found]) if found < places.size else otherwise


def _led_to(document: Any, steps: list[str]) -> list[Any]:
    """Where a path leads to, its last step left out; nowhere is nothing.

    Raises:
        ValueError: the path does not fit the document.
    """
    found = [document]
    for step in steps[:-1]:
        expected = list if step == "[*]" else dict
        if not all(isinstance(each, expected) for each in found):
            raise ValueError(f"{step} is not there")
        found = [v for each in found for v in (each if step == "[*]" else [each.get(step)]) if v is not None]
    return found
