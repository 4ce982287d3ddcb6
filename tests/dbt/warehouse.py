"""Small landing folders and the warehouse that dbt builds from them, for tests of the models."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

PROJECT = Path(__file__).parents[2] / "dbt_project"
CONTRACTS: dict[str, Any] = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]["contracts"]
DECIMALS = {"amount": 6, "number": 6, "rate": 9, "integer": 0}
Row = dict[str, str | None]


def read_number(text: str | None, kind: str, dialect: dict[str, Any], declared: dict[str, Any]) -> Decimal | None:
    """The number that a text means under a dialect, or None. Walks the text by hand: it shares no pattern with the models."""
    if text is None or text in dialect["null_words"]:
        return None
    if declared.get("unit") or declared.get("rounded"):
        try:
            value = Decimal(text)
            if not value.is_finite():
                return None
            return value.scaleb(-6) if declared.get("unit") else value.quantize(Decimal("0.000001"), ROUND_HALF_UP)
        except InvalidOperation:
            return None
    prefix = declared.get("prefix")
    negative = False
    for _ in range(2):
        if text.startswith("-") and not negative:
            negative, text = True, text[1:]
        if prefix and text.startswith(prefix):
            text, prefix = text[len(prefix) :], None
    if prefix:
        return None
    whole, mark, fraction = text.partition(dialect["decimal"]) if DECIMALS[kind] else (text, "", "")
    groups = whole.split(dialect["grouping"]) if dialect["grouping"] else [whole]
    parts = [*groups, *([fraction] if mark else [])]
    if any(not p or any(c not in "0123456789" for c in p) for p in parts):
        return None
    if len(groups) > 1 and (len(groups[0]) > 3 or any(len(g) != 3 for g in groups[1:])):
        return None
    if len(fraction) > DECIMALS[kind]:
        return None
    value = Decimal("".join(groups) + ("." + fraction if mark else ""))
    return -value if negative else value


@dataclass
class Landing:
    """A landing folder and the vars of a build over it."""

    root: Path
    as_of: str = "2026-01-20 06:00:00"
    loads: list[dict[str, Any]] = field(default_factory=list)
    dialects: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)

    def declare(
        self,
        id_: str,
        source: str,
        contract: str,
        *,
        replaces: str = "partition",
        partition: list[str] | None = None,
        key: list[str] | None = None,
        columns: dict[str, dict[str, Any]] | None = None,
        final_after_days: int = 30,
        fresh_within_days: int = 3,
        stream: str | None = None,
        **dialect: Any,
    ) -> str:
        """Declare how a stream is written; returns the id that loads name."""
        self.dialects[id_] = {
            "source": source,
            "stream": stream or contract,
            "contract": contract,
            "format": "csv",
            "decimal": ".",
            "grouping": "",
            "null_words": [""],
            "replaces": replaces,
            "partition": partition or [],
            "key": key,
            "order_by": None,
            "final_after_days": final_after_days,
            "columns": columns or {},
            **dialect,
        }
        declared = self.sources.setdefault(
            source,
            {
                "source": source,
                "owner": "marketing",
                "required": True,
                "final_after_days": final_after_days,
                "streams": [],
            },
        )
        declared["streams"].append(
            {"stream": stream or contract, "contract": contract, "fresh_within_days": fresh_within_days}
        )
        return id_

    def load(
        self,
        dialect_id: str,
        known_at: str,
        files: dict[str, list[Row]],
        *,
        empty_cells: list[Row] | None = None,
        rejects: int = 0,
        is_new: bool = True,
    ) -> str:
        """Land one load: file name -> rows; `empty_cells` are covered cells without rows, in the first file."""
        dialect = self.dialects[dialect_id]
        contract = CONTRACTS[dialect["contract"]]["columns"]
        seq = len(self.loads) + 1
        load_id = f"load{seq:03d}"
        folder = self.root / dialect["source"] / dialect["stream"] / f"load={load_id}"
        folder.mkdir(parents=True)
        cell_names = {"partition": dialect["partition"], "keys": dialect["key"] or [], "file": []}[dialect["replaces"]]
        measures = [n for n, c in contract.items() if c["type"] in DECIMALS]
        has_money = any(c["type"] == "amount" for c in contract.values())
        records: list[dict[str, Any]] = []
        covers: list[dict[str, Any]] = []
        for file_seq, (file, rows) in enumerate(files.items(), start=1):
            head = {
                "_source": dialect["source"],
                "_stream": dialect["stream"],
                "_load_id": load_id,
                "_file_seq": file_seq,
                "_file": file,
            }
            cells: dict[tuple[tuple[str | None, ...], str | None], list[Row]] = defaultdict(list)
            for line, row in enumerate(rows, start=2):
                unknown = set(row) - set(contract) - {f"{n}_utc" for n in contract}
                assert not unknown, unknown
                records.append(
                    {
                        **head,
                        "_line": line,
                        "_known_at": known_at,
                        "_extracted_at": known_at,
                        **{n: row.get(n) for n in contract},
                        **{f"{n}_utc": row.get(f"{n}_utc") for n, c in contract.items() if c["type"] == "timestamp"},
                    }
                )
                cells[tuple(row.get(n) for n in cell_names), row.get("currency") if has_money else None].append(row)
            if file_seq == 1:
                for cell in empty_cells or []:
                    cells[tuple(cell.get(n) for n in cell_names), None]
            if not cells and dialect["replaces"] == "file":
                cells[(), None]
            for (values, currency), members in cells.items():
                cover = {
                    **head,
                    **dict(zip(cell_names, values, strict=True)),
                    "control_currency": currency,
                    "control_rows": len(members),
                }
                for name in measures:
                    declared = dialect["columns"].get(name) or {}
                    numbers = [read_number(m.get(name), contract[name]["type"], dialect, declared) for m in members]
                    read = [n for n in numbers if n is not None]
                    cover |= {
                        f"control_{name}": sum(read, Decimal(0)) if read else None,
                        f"control_{name}_valid": len(read),
                    }
                covers.append(cover)
        text = pa.string()
        base = [("_source", text), ("_stream", text), ("_load_id", text), ("_file_seq", pa.int32()), ("_file", text)]
        record_schema = pa.schema(
            [
                *base,
                ("_line", pa.int64()),
                ("_known_at", text),
                ("_extracted_at", text),
                *[(n, text) for n in contract],
                *[(f"{n}_utc", text) for n, c in contract.items() if c["type"] == "timestamp"],
            ]
        )
        cover_schema = pa.schema(
            [
                *base,
                *[(n, text) for n in cell_names],
                ("control_currency", text),
                ("control_rows", pa.int64()),
                *[
                    f
                    for n in measures
                    for f in ((f"control_{n}", pa.decimal128(38, 9)), (f"control_{n}_valid", pa.int64()))
                ],
            ]
        )
        reject_schema = pa.schema([*base, ("_line", pa.int64()), ("reason", text), ("original_text", text)])
        pq.write_table(pa.Table.from_pylist(records, record_schema), folder / "records.parquet")
        pq.write_table(pa.Table.from_pylist(covers, cover_schema), folder / "covers.parquet")
        pq.write_table(
            pa.Table.from_pylist(
                [
                    {
                        "_source": dialect["source"],
                        "_stream": dialect["stream"],
                        "_load_id": load_id,
                        "_file_seq": 1,
                        "_file": next(iter(files)),
                        "_line": 1000 + n,
                        "reason": "too many fields",
                        "original_text": "x",
                    }
                    for n in range(rejects)
                ],
                reject_schema,
            ),
            folder / "rejects.parquet",
        )
        self.loads.append(
            {
                "source": dialect["source"],
                "stream": dialect["stream"],
                "contract": dialect["contract"],
                "load_id": load_id,
                "seq": seq,
                "known_at": known_at,
                "path": str(folder),
                "dialect": dialect_id,
                "is_new": is_new,
                "required": True,
            }
        )
        return load_id

    def vars(self, first: int | None = None, new_from: int = 0, **more: Any) -> dict[str, Any]:
        """Vars of a build over the first n loads, of which those after `new_from` are new."""
        loads = [{**load, "is_new": n >= new_from} for n, load in enumerate(self.loads[:first])]
        return {
            "run_id": "run",
            "as_of": self.as_of,
            "company": "Sandbox",
            "reporting_currency": "EUR",
            "reporting_time_zone": "Europe/Berlin",
            "code_version": "test",
            "loads": loads,
            "dialects": self.dialects,
            "source_status": list(self.sources.values()),
            **more,
        }


@dataclass(frozen=True)
class Warehouse:
    """One DuckDB file that dbt builds into."""

    path: Path
    work: Path

    def build(self, variables: dict[str, Any], *arguments: str, command: str = "build") -> None:
        """Run dbt; fails with its output when anything in it fails."""
        done = self.run(variables, *arguments, command=command)
        assert done.returncode == 0, done.stdout[-6000:]

    def run(
        self, variables: dict[str, Any], *arguments: str, command: str = "build"
    ) -> subprocess.CompletedProcess[str]:
        """Run dbt and return what it said."""
        self.work.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "ONEFUNNEL_WAREHOUSE": str(self.path),
            "DBT_PROFILES_DIR": str(PROJECT),
            "ONEFUNNEL_PROJECT": str(PROJECT.parent),
            "DO_NOT_TRACK": "1",
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        return subprocess.run(
            [
                sys.executable,
                str(Path(__file__).with_name("parsed_dbt.py")),
                command,
                "--project-dir",
                str(PROJECT),
                "--target-path",
                str(self.work / "target"),
                "--log-path",
                str(self.work / "logs"),
                "--vars",
                json.dumps(variables),
                # Of a part of the project, the tests of which everything is in that part.
                *(["--indirect-selection", "buildable"] if "--select" in arguments else []),
                *arguments,
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.work,
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with duckdb.connect(str(self.path), read_only=True) as connection:
            return connection.execute(query).fetchall()
