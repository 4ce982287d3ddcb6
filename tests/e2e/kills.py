"""Commands that die at chosen system calls, and readers that ask without a pause meanwhile."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CALLS = "rename,renameat,renameat2,symlink,symlinkat,fsync,fdatasync,unlink,unlinkat,chmod,fchmodat,pwrite64"

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: apt-get install strace"
)

# Every answer must come from ONE run: each row of each table carries the run that wrote it.
_READER = """
import json, sys, time, duckdb
path, kind, stop = sys.argv[1:]
SQL = "select min(run_id), max(run_id), (select run_id from metadata.run_info), count(*) from marts.facts"
config = {"enable_external_access": False, "lock_configuration": True}
import pathlib
answers, mixed, errors, runs = 0, 0, [], set()
def ask(con):
    global answers, mixed
    low, high, info, count = con.execute(SQL).fetchall()[0]
    answers += 1
    mixed += not (low == high == info and count == 50)
    runs.add(info)
    return info
pooled = None
while not pathlib.Path(stop).exists():
    try:
        if kind == "pooled":
            if pooled is None or answers % 40 == 0:
                if pooled: pooled.close()
                pooled = duckdb.connect(path, read_only=True, config=config)
            ask(pooled)
        else:
            with duckdb.connect(path, read_only=True, config=config) as con:
                if kind == "transaction":
                    con.execute("begin")
                    first = {ask(con) for _ in range(5)}
                    con.execute("commit")
                    mixed += len(first) != 1
                else:
                    ask(con)
    except Exception as error:
        errors.append(repr(error))
    time.sleep(0.01)
print(json.dumps({"version": duckdb.__version__, "answers": answers, "mixed": mixed, "errors": errors[:3], "runs": len(runs)}))
"""


@contextmanager
def readers_of(link: Path, kinds: Mapping[str, str], folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Let readers ask the published file until the block ends.

    Args:
        kinds: how a reader connects -> the Python that runs it.

    Yields:
        After the block, per kind: version, answers, mixed, errors, runs.
    """
    program, stop = folder / "reader.py", folder / "stop"
    program.write_text(_READER)
    processes = {
        kind: subprocess.Popen([python, str(program), str(link), kind, str(stop)], stdout=subprocess.PIPE, text=True)
        for kind, python in kinds.items()
    }
    reports: dict[str, dict[str, Any]] = {}
    try:
        yield reports
        time.sleep(0.5)
    finally:
        stop.touch()
        reports |= {kind: json.loads(p.communicate(timeout=60)[0]) for kind, p in processes.items()}


def command(*arguments: str) -> list[str]:
    """`onefunnel …` as a process."""
    return [sys.executable, "-m", "onefunnel", *arguments]


def calls_of(
    arguments: Sequence[str], environment: Mapping[str, str], log: Path, since: str = ""
) -> list[tuple[str, int]]:
    """Run a command; the calls of its main thread, each with its number among those of its name (as strace counts).

    Args:
        since: only from the first call on that names this.
    """
    strace = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={CALLS}"]
    subprocess.run([*strace, *arguments], env=environment, check=True, capture_output=True)
    found = re.findall(rf"^(\d+) +({CALLS.replace(',', '|')})\((.*)", log.read_text(), re.M)
    main = Counter(pid for pid, _, _ in found).most_common(1)[0][0]
    seen: Counter[str] = Counter()
    numbered, begun = [], False
    for _, name, text in (call for call in found if call[0] == main):
        seen[name] += 1
        begun = begun or since in text
        if begun:
            numbered.append((name, seen[name]))
    return numbered


def killed_at(call: tuple[str, int], arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Run a command that dies when it comes to this call; whether it did."""
    name, when = call
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={name}"]
    inject = ["-e", f"inject={name}:signal=SIGKILL:when={when}"]
    done = subprocess.run([*strace, *inject, *arguments], env=environment, capture_output=True, check=False)
    return done.returncode != 0
