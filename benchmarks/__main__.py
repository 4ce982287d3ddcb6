"""The run at several sizes: what each step costs, and what landing and build cost against DuckDB reading the same bytes.

    python -m benchmarks [--scales 0.1,1,5] [--connectors google_ads,…] [--runs 3] [--out var/bench]

Each step is measured as a process of its own (wall seconds, CPU seconds of it and its children, peak memory of the largest).
The yardsticks run in turn with the work (A B A B …):

* landing: `onefunnel extract` against DuckDB reading the same CSV files, typed text to Parquet, declared, no sniffing
* build:   the SQL of the models (dbt's own time per node, summed) against DuckDB reading the landed Parquet and summing it
* dbt:     the build's CPU time that is not SQL, per node

* connectors: fetching a stream against a bare client that downloads the same answers (`connectors`)

CPU seconds are the steady figure on a shared machine; wall seconds are shown beside them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

from benchmarks.connectors import MEASURED
from benchmarks.connectors import measure as connector
from benchmarks.cost import Cost, cost_of
from onefunnel.sandbox import PUBLIC_TOKEN_KEY
from onefunnel.sandbox.company import Company

CONFIG = Path(__file__).resolve().parents[1] / "examples" / "sandbox_files" / "pipeline.yml"
STEPS = (("extract",), ("check", "raw"), ("build",), ("seal",), ("check", "marts"), ("publish",), ("report",))

# One CSV dialect of the company's, read the way landing reads it: declared, all text, in file order.
READ_CSV = """
import sys, duckdb
source, target = sys.argv[1:]
names = open(source, encoding="utf-8").readline().strip().split(",")
columns = "{" + ", ".join(f"'{n}': 'VARCHAR'" for n in names) + "}"
duckdb.execute(f"copy (select * from read_csv('{source}', columns = {columns}, auto_detect = false, strict_mode = true, header = true, ignore_errors = true)) "
               f"to '{target}' (format parquet, compression zstd)")
"""
READ_PARQUET = """
import sys, duckdb
print(duckdb.sql(f"select source, d, sum(a) from (select _source as source, spend_date as d, try_cast(replace(spend_amount, ',', '.') "
                 f"as decimal(18, 6)) as a from read_parquet('{sys.argv[1]}', union_by_name = true)) group by all").fetchall()[:1])
"""


def median(costs: list[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(*(statistics.median(getattr(c, name) for c in costs) for name in ("wall", "cpu", "peak_mb")))


def onefunnel(*arguments: str) -> list[str]:
    """A command line of the project."""
    return [sys.executable, "-m", "onefunnel", *arguments]


def measure(scale: float, runs: int) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Rows of one scale, one per step, and the ratios against the yardsticks."""
    with tempfile.TemporaryDirectory(prefix="onefunnel-bench-") as folder:
        costs: dict[str, list[Cost]] = {}
        yard: dict[str, list[Cost]] = {}
        details: dict[str, float] = {}
        company = Company(scale=scale, business=True)
        for n in range(runs):
            home = Path(folder) / f"run{n}"
            environment = {
                **os.environ,
                "ONEFUNNEL_HOME": str(home),
                "ONEFUNNEL_CONFIG": str(CONFIG),
                "ONEFUNNEL_TOKEN_KEY": PUBLIC_TOKEN_KEY,
            }
            for file in company.write_day(1, home / "drop"):
                os.utime(file, (0, 0))  # nobody is writing it any more
            start = onefunnel("start", "--run-id", "bench", "--as-of", company.as_of(1).isoformat())
            subprocess.run(start, env=environment, check=True, capture_output=True)
            for step in STEPS:
                name = " ".join(step)
                if name == "extract":
                    details |= _one_source(home, environment, yard, costs)
                cost = cost_of(onefunnel(*step, "--run-id", "bench"), environment)
                if name == "extract":  # one source was landed on its own, for its yardstick
                    one = costs["extract search_ads"][-1]
                    cost = Cost(cost.wall + one.wall, cost.cpu + one.cpu, max(cost.peak_mb, one.peak_mb))
                costs.setdefault(name, []).append(cost)
                if name == "build":
                    pattern = f"{home}/landing/*/performance_daily/*/records.parquet"
                    yard.setdefault("read landed", []).append(
                        cost_of([sys.executable, "-c", READ_PARQUET, pattern], environment)
                    )
                    details |= _nodes(home)
        empty = median([cost_of([sys.executable, "-c", "import duckdb"], dict(os.environ)) for _ in range(runs)])
        rows = _count(home)
    total = sum(median(c).cpu for n, c in costs.items() if n in {" ".join(s) for s in STEPS})
    table = [
        {
            "scale": scale,
            "rows": rows,
            "step": name,
            "wall_s": round(median(costs[name]).wall, 2),
            "cpu_s": round(median(costs[name]).cpu, 2),
            "share_of_cpu": round(median(costs[name]).cpu / total, 3),
            "peak_mb": round(median(costs[name]).peak_mb),
        }
        for name in (" ".join(s) for s in STEPS)
    ]
    start_up = median(costs["start-up"]).cpu
    ratios: dict[str, object] = {
        "scale": scale,
        "rows": rows,
        "bytes_of_the_csv": int(details["csv_bytes"]),
        "landing_cpu_to_duckdb": round(
            (median(costs["extract search_ads"]).cpu - start_up) / max(0.01, median(yard["read csv"]).cpu - empty.cpu),
            2,
        ),
        "models_seconds_to_duckdb_cpu": round(
            details["node_seconds"] / max(0.01, median(yard["read landed"]).cpu - empty.cpu), 2
        ),
        "dbt_nodes": int(details["nodes"]),
        "dbt_overhead_ms_per_node": round(
            1000 * (median(costs["build"]).cpu - details["node_seconds"] - start_up) / details["nodes"], 1
        ),
    }
    return table, ratios


def _one_source(
    home: Path, environment: dict[str, str], yard: dict[str, list[Cost]], costs: dict[str, list[Cost]]
) -> dict[str, float]:
    """Landing one CSV source and DuckDB reading its file, in turn; and what it costs to start the command line at all."""
    file = next((home / "drop" / "search_ads").glob("performance_*.csv"))
    costs.setdefault("start-up", []).append(cost_of(onefunnel("loads", "list", "--json"), environment))
    costs.setdefault("extract search_ads", []).append(
        cost_of(onefunnel("extract", "--source", "search_ads", "--run-id", "bench"), environment)
    )
    yard.setdefault("read csv", []).append(
        cost_of([sys.executable, "-c", READ_CSV, str(file), str(home / "yard.parquet")], environment)
    )
    return {"csv_bytes": float(file.stat().st_size)}


def _nodes(home: Path) -> dict[str, float]:
    """dbt's own account of the build: number of nodes and the seconds spent in them."""
    results = json.loads((home / "dbt" / "target" / "run_results.json").read_text())["results"]
    return {"nodes": float(len(results)), "node_seconds": sum(r["execution_time"] for r in results)}


def _count(home: Path) -> int:
    with duckdb.connect() as db:
        row = db.execute(
            f"select sum(num_rows) from parquet_file_metadata('{home}/landing/*/*/*/records.parquet')"
        ).fetchone()
        return int(row[0]) if row else 0


def _markdown(rows: list[dict[str, object]]) -> str:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join([*lines, *("| " + " | ".join(str(r[n]) for n in names) + " |" for r in rows)])


def main() -> None:
    """Measure, print markdown, write CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scales",
        default="0.1,1,5",
        help="sizes of the sandbox company, whole and from files; 1 is about 100,000 records",
    )
    parser.add_argument("--connectors", default=",".join(MEASURED), help="those that are measured; may be empty")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("var/bench"))
    chosen = parser.parse_args()
    steps: list[dict[str, object]] = []
    ratios: list[dict[str, object]] = []
    for scale in (float(s) for s in chosen.scales.split(",") if s):
        print(f"scale {scale:g} …", file=sys.stderr, flush=True)
        table, ratio = measure(scale, chosen.runs)
        steps += table
        ratios.append(ratio)
    fetched: list[dict[str, object]] = []
    for vendor in filter(None, chosen.connectors.split(",")):
        print(f"{vendor} …", file=sys.stderr, flush=True)
        fetched += connector(vendor, chosen.runs)
    chosen.out.mkdir(parents=True, exist_ok=True)
    tables = {name: rows for name, rows in (("steps", steps), ("ratios", ratios), ("connectors", fetched)) if rows}
    for name, rows in tables.items():
        with (chosen.out / f"{name}.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, DuckDB {duckdb.__version__},"
        f" load {os.getloadavg()[0]:.1f}\n"
    )
    print("\n\n".join(map(_markdown, tables.values())))


if __name__ == "__main__":
    main()
