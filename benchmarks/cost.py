"""What a process costs: wall seconds, CPU seconds of it and its children, peak memory of the largest."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

# Linux begins the peak of a process with that of whoever started it, so a small one stands in between.
_BETWEEN = """
import json, resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as out:
    json.dump([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024], out)
sys.exit(status)
"""


@dataclass(frozen=True)
class Cost:
    """What one process cost."""

    wall: float
    cpu: float
    peak_mb: float


def cost_of(command: list[str], environment: Mapping[str, str], folder: Path | None = None) -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: it failed; with what it said.
    """
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        began = perf_counter()
        between = [sys.executable, "-I", "-c", _BETWEEN, out.name, *command]
        done = subprocess.run(between, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        wall = perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
        cpu, peak_mb = json.loads(Path(out.name).read_text())
    return Cost(wall, cpu, peak_mb)
