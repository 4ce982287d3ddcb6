"""
# revenue_backfill

Reads a range of days again and rebuilds the whole warehouse from the landing. Trigger it by hand; the form asks for
the range.

For sources that are files, an unchanged file is not read twice (an older file must never overwrite what a newer one
said): files that are new or changed and hold days of the range are landed. The rebuild then computes every mart from
the landed loads alone, so a backfill in any order ends where forward runs end.

A backfill and a daily run never write at once: the run lease in the ledger sees to it (Airflow's `max_active_runs`
does not bind backfills). The later one waits and retries.
"""

from __future__ import annotations

import datetime as dt

from airflow.sdk import Param, dag, task
from steps import ACCEPT_DELETIONS, APPROVE_RESTATEMENT, DEFAULT_ARGS, audited_run, step


@dag(
    dag_id="revenue_backfill",
    description="Read a range of days again and rebuild the warehouse from the landing.",
    schedule=None,
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["onefunnel", "revenue", "backfill"],
    params={
        "approve_restatement": APPROVE_RESTATEMENT,
        "accept_deletions": ACCEPT_DELETIONS,
        # Without a default, so that nobody rebuilds a range that nobody chose.
        "first_day": Param(type="string", format="date", title="First day", description="Inclusive."),
        "last_day": Param(type="string", format="date", title="Last day", description="Inclusive."),
        "as_of": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="As of",
            description="Empty: what pipeline.yml says.",
        ),
    },
)
def revenue_backfill() -> None:
    @task(execution_timeout=dt.timedelta(minutes=5))
    def start(params: dict) -> list[str]:
        as_of = params.get("as_of")
        span = ["--from", params["first_day"], "--to", params["last_day"]]
        return step("start", *span, *(["--as-of", as_of] if as_of else []))["sources"]

    audited_run(first=start(), longest=dt.timedelta(hours=6), build_with=("--full-refresh",))


revenue_backfill()
