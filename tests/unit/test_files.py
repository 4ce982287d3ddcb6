"""Files: how bytes become records, and what becomes of those that are none."""

from __future__ import annotations

import csv
import io
import os
import shutil
import threading
import time
from pathlib import Path

import hypothesis.strategies as st
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from onefunnel.errors import EnvironmentNotReady, StepFailed
from onefunnel.settings import Dialect, Stream
from onefunnel.sources import files
from onefunnel.sources.files import find_files, read_file


def stream(pattern: str = "*.csv", **dialect: object) -> Stream:
    return Stream.model_validate(
        {
            "contract": "performance_daily",
            "files": pattern,
            "key": "none",
            "replaces": "file",
            "columns": {},
            "dialect": dialect,
        }
    )


def read(tmp_path: Path, content: bytes, declared: Stream | None = None):
    """(records as lists, their lines, rejects as (line, reason, text))."""
    root, work = tmp_path / "root", tmp_path / "work"
    for folder in (root, work):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    (root / "a.csv").write_bytes(content)
    os.utime(root / "a.csv", (1, 1))
    declared = declared or stream()
    (found,) = find_files(root, declared, "test")
    result = read_file(found, 0, declared, work, "test")
    d = declared.dialect
    rows = list(
        csv.reader(
            io.StringIO(result.clean.read_bytes().decode(), newline=""),
            delimiter=d.delimiter,
            quotechar=d.quote,
            strict=True,
        )
    )
    return (
        rows,
        pq.read_table(result.lines)["line"].to_pylist(),
        [(r.line, r.reason, r.original_text) for r in result.rejects],
    )


csv.field_size_limit(10_000_000)
CELL = st.text(alphabet=st.sampled_from('ab,;"\n\r é€\u202e😀'), max_size=6)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8), block=st.integers(1, 40))
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path_factory, rows, block):
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["x", "y", "z"])
    writer.writerows(rows)
    before, files.CHUNK_BYTES = files.CHUNK_BYTES, block
    try:
        found, lines, rejects = read(tmp_path_factory.mktemp("f"), text.getvalue().encode())
    finally:
        files.CHUNK_BYTES = before
    assert found == rows
    assert rejects == []
    expected, line = [], 2
    for row in rows:
        expected.append(line)
        line += 1 + sum(cell.count("\n") for cell in row)
    assert lines == expected


@settings(max_examples=300, deadline=None)
@given(body=st.text(alphabet=st.sampled_from('ab,"\n\x00é'), max_size=60))
def test_no_line_is_ever_lost(tmp_path_factory, body):
    """Whatever stands in a file, each of its lines is in exactly one record or reject."""
    content = ("x,y\n" + body).encode()
    content += b"" if content.endswith(b"\n") else b"\n"
    rows, lines, rejects = read(tmp_path_factory.mktemp("f"), content)
    spans = [(line, line + sum(c.count("\n") for c in row)) for row, line in zip(rows, lines, strict=True)]
    spans += [(line, line + text.count("\n")) for line, _, text in rejects]
    covered = sorted(n for first, last in spans for n in range(first, last + 1))
    assert covered == list(range(2, content.count(b"\n") + 1))


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"x,y\n1,2\n1,2,3\n", 3, "3 fields instead of 2"),
        (b"x,y\n1\n", 2, "1 fields instead of 2"),
        (b"x,y\n1,2\n\n3,4\n", 3, "blank line"),
        (b"x,y\n1,\x00\n", 2, "NUL byte"),
        (b"x,y\n1,caf\xe9\n", 2, "not UTF-8"),
        (b'x,y\n1,5" pipe\n3,4\n', 2, "broken quoting"),
        (b'x,y\n1,"open\n3,4\n', 2, "unclosed quote"),
        (b'x,y\n1,"open\n3,"4"\n', 2, "broken quoting"),
        (b"x,y\n1,a\rb\n", 2, "carriage return inside a field"),
    ],
)
def test_an_unreadable_record_is_rejected_with_its_line(tmp_path, content, line, reason):
    _, _, rejects = read(tmp_path, content)
    assert [(r[0], r[1]) for r in rejects] == [(line, reason)]


def test_a_broken_record_costs_only_itself(tmp_path):
    rows, lines, rejects = read(tmp_path, b'x,y\n1,2\n3,"un\nclosed\n5,6\n7,8\n')
    assert rows == [["1", "2"], ["5", "6"], ["7", "8"]]
    assert lines == [2, 5, 6]
    assert [(r[0], r[2]) for r in rejects] == [(3, '3,"un'), (4, "closed")]


@pytest.mark.parametrize(
    ("content", "dialect", "rows"),
    [
        (b"\xef\xbb\xbfx,y\n1,2\n", {}, [["1", "2"]]),
        (b"x,y\r\n1,2\r\n", {}, [["1", "2"]]),
        ("x;y\n1;Müller\n".encode("latin-1"), {"delimiter": ";", "encoding": "latin-1"}, [["1", "Müller"]]),
        ("x,y\n1,€\n".encode("utf-16"), {"encoding": "utf-16"}, [["1", "€"]]),
        ("x,y\n1," + "9" * 1_000_000 + "\n", {}, [["1", "9" * 1_000_000]]),
        ("x,y\n12345678901234567890,001\n", {}, [["12345678901234567890", "001"]]),
        (b"x,y\n1,2", {"final_newline": False}, [["1", "2"]]),
    ],
)
def test_declared_dialects_are_read(tmp_path, content, dialect, rows):
    found, _, rejects = read(tmp_path, content.encode() if isinstance(content, str) else content, stream(**dialect))
    assert (found, rejects) == (rows, [])


@pytest.mark.parametrize(
    ("content", "dialect", "says"),
    [
        (b"", {}, "is empty"),
        (b"x,y\n1,2", {}, "truncated"),
        (b"PK\x03\x04rest of a workbook\n", {}, "Excel workbook"),
        (b"\x1f\x8b\x08\n", {}, "gzip"),
        (b"x,x\n1,2\n", {}, "names a column twice: x"),
        (b'x,"y\n1,2\n', {}, "header line cannot be read"),
        ("x,y\n1,é\n".encode("latin-1"), {"encoding": "utf-16"}, "is not utf-16"),
        (b"x,y\n" + b'1,a"b\n' * 200, {}, "More than 100 records"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_where(tmp_path, content, dialect, says):
    with pytest.raises(StepFailed) as caught:
        read(tmp_path, content, stream(**dialect))
    assert says in caught.value.what
    assert "a.csv" in (caught.value.where or "")
    assert caught.value.do


def test_links_devices_and_paths_that_leave_the_folder_are_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    secret = tmp_path / "secret.csv"
    secret.write_text("x\n1\n")
    (root / "link.csv").symlink_to(secret)
    with pytest.raises(StepFailed, match="link"):
        find_files(root, stream(), "test")
    (root / "link.csv").unlink()
    os.mkfifo(root / "pipe.csv")
    with pytest.raises(StepFailed, match="regular files"):
        find_files(root, stream(), "test")
    (root / "pipe.csv").unlink()
    (root / "inside").symlink_to(tmp_path)
    with pytest.raises(StepFailed, match="link"):
        find_files(root, stream("inside/*.csv"), "test")


def test_a_file_that_is_still_being_written_is_waited_for(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n1\n")

    def write_on() -> None:
        time.sleep(0.3)
        with path.open("a") as handle:
            handle.write("2\n")

    writer = threading.Thread(target=write_on)
    writer.start()
    with pytest.raises(EnvironmentNotReady, match="still being written"):
        find_files(tmp_path, stream(), "test")
    writer.join()
    os.utime(path, (1, 1))
    assert [f.path for f in find_files(tmp_path, stream(), "test")] == ["a.csv"]


def test_files_are_taken_in_the_declared_order(tmp_path):
    for name, at in (("b.csv", 1), ("a.csv", 2)):
        (tmp_path / name).write_text("x\n1\n")
        os.utime(tmp_path / name, (at, at))
    by_name = stream()
    by_time = by_name.model_copy(update={"file_order": "modified"})
    assert [f.path for f in find_files(tmp_path, by_name, "t")] == ["a.csv", "b.csv"]
    assert [f.path for f in find_files(tmp_path, by_time, "t")] == ["b.csv", "a.csv"]


def test_a_dialect_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="decimal and grouping must differ"):
        Dialect(decimal=",", grouping=",")
