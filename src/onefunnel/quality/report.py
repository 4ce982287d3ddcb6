"""Shows a gate's report: lines for the task log, JSON for machines, and a page of check ids and counts for engineers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from onefunnel.quality.results import CheckResult, GateReport

_TEMPLATES = Path(__file__).parent


def to_lines(report: GateReport) -> list[str]:
    """The report as on-call reads it: verdict first, then what is red, then what warns."""
    counts = report.counts
    lines = [
        f"{report.gate} gate: {report.verdict.upper()} for {report.subject}: {counts['executed']} of {counts['declared']} "
        f"checks ran, {counts['passed']} passed, {counts['warned']} warned, {counts['failed']} failed"
    ]
    for result in sorted((r for r in report.results if r.state != "passed"), key=lambda r: not r.is_red):
        lines += _result_lines(result)
    return lines


def _result_lines(result: CheckResult) -> list[str]:
    lines = [
        f"  {result.state.upper()} {result.check_id} on {result.subject} ({result.severity}, {result.owner}): {result.observed}",
        f"    because: {result.because}",
        f"    fix:     {result.fix}",
    ]
    if result.samples:
        lines.append(f"    keys:    {', '.join(result.samples)}")
    if result.sql:
        lines.append("    sql:     " + result.sql.replace("\n", "\n             "))
    return lines


def to_json(report: GateReport) -> str:
    """The whole report as indented JSON."""
    return json.dumps(report.to_dict(), indent=2, ensure_ascii=False)


def write_html(reports: GateReport | Sequence[GateReport], path: Path) -> Path:
    """Write the page `checks.html`: check ids, states and counts, without keys, SQL or any value of the data."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    shown = [reports] if isinstance(reports, GateReport) else list(reports)
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    path.write_text(environment.get_template("checks.html.j2").render(reports=shown), encoding="utf-8")
    return path
