"""The sandbox company after two published days: what reads published versions gets it here, and only here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
import world
from conftest import Home, made_once

from onefunnel.sandbox import PUBLIC_TOKEN_KEY
from onefunnel.sandbox.business.truth import BusinessTruth
from onefunnel.sandbox.company import Company

DAYS = (1, 2)
# What the first day's files hold that nobody declared: a warning, and a person whom no reader may meet.
FAULTS = {1: ["undeclared_column"]}
SCALE = 0.2
Row = dict[str, object]


@dataclass(frozen=True, eq=False)
class Published:
    """An installation whose readers see day 2, with day 1 kept, and what must be true of day 2."""

    home: Home
    truth: BusinessTruth

    def version(self, day: int) -> Path:
        """The published file of a day; the last day's is what readers open."""
        return self.home.path / "published" / "v" / f"day{day}" / "revenue.duckdb"

    def rows(self, sql: str, day: int = DAYS[-1]) -> list[Row]:
        """Rows by column name, read as BI reads them: read-only and locked."""
        locked = {"enable_external_access": "false", "lock_configuration": "true"}
        with duckdb.connect(str(self.version(day)), read_only=True, config=locked) as db:
            cursor = db.execute(sql)
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def ask(self, sql: str, day: int = DAYS[-1]) -> object:
        """The one value of a query."""
        [row] = self.rows(sql, day)
        [value] = row.values()
        return value


def _publish(folder: Path) -> None:
    company = Company(scale=SCALE, business=True)
    home = world.company_home(folder / "home")
    for day in DAYS:
        world.deliver(home, company, day, FAULTS.get(day, ()))
        home.ok("run", "--run-id", f"day{day}", "--as-of", world.instant(company, day))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The one company of the test run; making it runs the whole command line twice."""
    home = made_once(tmp_path_factory, "published", _publish) / "home"
    truth = Company(scale=SCALE, business=True).business_truth(DAYS[-1])
    return Published(Home(home, extra={"ONEFUNNEL_TOKEN_KEY": PUBLIC_TOKEN_KEY}), truth)
