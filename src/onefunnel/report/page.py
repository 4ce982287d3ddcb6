"""Renders the review page: one file, no script, no network, every figure with its unit, date and query."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onefunnel.report import queries, sections, written
from onefunnel.report.queries import Row
from onefunnel.report.written import moment

_TEMPLATES = Path(__file__).parent
_FILTERS = {
    "text": written.text, "money": written.money, "signed": written.signed, "percent": written.percent,
    "signed_percent": written.signed_percent, "count": written.count, "day": written.day, "gap_in_words": sections.gap_in_words,
}  # fmt: skip


def render(database: Path, manifest: dict[str, Any], out: Path) -> Path:
    """Write `out/index.html` from a published file.

    Args:
        database: the published revenue.duckdb; it is only read.
        manifest: run_id, as_of, published_at, verdict, checks {declared, executed, passed, warned, failed}, and
            optionally `warned` (check_id, because and observed of each check that warned) and previous_run_id.
        out: the folder of the page; made when it is not there.

    Returns:
        The path of the page.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(_FILTERS)
    environment.globals.update(deadline=written.deadline)
    answers = queries.ask(database)
    out.mkdir(parents=True, exist_ok=True)
    page = out / "index.html"
    page.write_text(environment.get_template("page.html.j2").render(context(answers, manifest)), encoding="utf-8")
    return page


def context(answers: Mapping[str, list[Row]], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template shows; formatting of numbers and text is done by its filters."""
    run = answers["run"][0] if answers["run"] else {}
    zone = run.get("reporting_time_zone")
    currency = str(run.get("reporting_currency") or "")
    sources = [sections.source_row(row, run.get("as_of")) for row in answers["source_freshness"]]
    return {
        "company": run.get("company") or "This company",
        "currency": currency,
        "as_of": moment(run.get("as_of"), zone),
        "before": moment(run.get("previous_as_of"), zone),
        "audit": audit(manifest, zone),
        "cards": sections.cards(answers, currency),
        "funnel": sections.funnel(answers["funnel_steps"]),
        "handoff": [row | {"title": written.months(row["from_date"], row["until_date"])} for row in answers["handoff"]],
        "returned": sections.returned(answers),
        "plan": sections.plan(answers, currency),
        "changes": sections.changes(answers["changes_since_the_version_before"], run),
        "total": answers["spend_total"][0],
        "channels": sections.channel_table(answers["spend_by_channel_and_month"], currency, run.get("as_of")),
        "sources": sources,
        "late": [source for source in sources if not source["is_well"]],
        "reconciliation": answers["reconciliation"],
        "quarantine": sections.quarantine(answers["quarantine_summary"]),
        "query": {query.id: query for query in queries.ALL},
    }


def audit(manifest: Mapping[str, Any], zone: str | None) -> dict[str, Any]:
    """What the gate said about the published file."""
    checks = manifest.get("checks") or {}
    numbers = {name: checks.get(name) for name in ("declared", "executed", "passed", "warned", "failed")}
    return numbers | {
        "is_passed": manifest.get("verdict") == "pass",
        "verdict": manifest.get("verdict") or "not audited",
        "run_id": manifest.get("run_id") or "unknown",
        "published_at": moment(manifest.get("published_at"), zone),
        "sha256": str(manifest.get("sha256") or "")[:12],
        "warnings": manifest.get("warned") or [],
    }
