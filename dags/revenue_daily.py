"""
# revenue_daily

Extracts what changed, judges it, builds the warehouse, judges that, and only then shows it to readers.

| task | does | when it is red |
|---|---|---|
| `start` | opens the run and fixes its as-of instant | `pipeline.yml` is wrong: its errors are listed with their lines |
| `extract` | one per source: lands what changed as immutable loads | the log names file, line, column and what to do |
| `check_raw` | accepts or refuses each load | the refused load and its check are named; a changed file is read again |
| `build` | one `dbt build` over the accepted loads, on a copy | the failing test's SQL is in `onefunnel status` |
| `seal` | copies the published schemas into one fresh, hashed file | |
| `check_marts` | judges that file, read-only | nothing is published; readers keep the last audited version |
| `publish` | makes that file what readers see, by one rename | refused when a newer run took over |
| `report` | renders the review page | the data is published; only the page is old |

Exit code 3 (environment) is retried with backoff; 1 and 2 fail at once. Runs on the command line are the same runs:
`onefunnel run`. Upon success the asset `marts/revenue` is updated: schedule what reads the marts on it.
"""

from __future__ import annotations

import datetime as dt

from airflow.sdk import Param, dag, task
from steps import ACCEPT_DELETIONS, APPROVE_RESTATEMENT, DEFAULT_ARGS, audited_run, step

from onefunnel.settings import declared_schedule


@dag(
    dag_id="revenue_daily",
    description="One audited run: extract, judge, build, judge, publish.",
    schedule=declared_schedule(),
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["onefunnel", "revenue", "sales", "marketing"],
    params={
        "approve_restatement": APPROVE_RESTATEMENT,
        "accept_deletions": ACCEPT_DELETIONS,
        "as_of": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="As of",
            description="The instant the data is read at, ISO with zone. Empty: what pipeline.yml says (usually now).",
        ),
    },
)
def revenue_daily() -> None:
    @task(execution_timeout=dt.timedelta(minutes=5))
    def start(params: dict) -> list[str]:
        as_of = params.get("as_of")
        return step("start", *(["--as-of", as_of] if as_of else []))["sources"]

    audited_run(first=start(), longest=dt.timedelta(hours=2))


revenue_daily()
