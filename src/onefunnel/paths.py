"""Where everything lives: the one map of the state folder and of the project."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from onefunnel.errors import UsageError


def project_root(start: Path | None = None) -> Path:
    """The project folder: `ONEFUNNEL_PROJECT`, else the nearest folder upwards that holds `dbt_project/`.

    Raises:
        UsageError: no such folder.
    """
    declared = os.environ.get("ONEFUNNEL_PROJECT")
    if declared:
        return Path(declared).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "dbt_project" / "dbt_project.yml").is_file():
            return folder
    raise UsageError(
        "This is not a onefunnel project.", where=str(here), do="cd into the cloned project or set ONEFUNNEL_PROJECT."
    )


@dataclass(frozen=True)
class Paths:
    """All state of one installation, below `home`; `project` holds code and configuration."""

    home: Path
    project: Path

    @classmethod
    def find(cls) -> Paths:
        """`ONEFUNNEL_HOME`, else `var/` in the project."""
        project = project_root()
        home = os.environ.get("ONEFUNNEL_HOME")
        return cls(Path(home).resolve() if home else project / "var", project)

    @property
    def config(self) -> Path:
        """pipeline.yml: `ONEFUNNEL_CONFIG`, else the project's."""
        declared = os.environ.get("ONEFUNNEL_CONFIG")
        return Path(declared).resolve() if declared else self.project / "pipeline.yml"

    @property
    def landing(self) -> Path:
        return self.home / "landing"

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.sqlite"

    @property
    def warehouse(self) -> Path:
        return self.home / "warehouse.duckdb"

    @property
    def candidates(self) -> Path:
        return self.home / "candidates"

    @property
    def published(self) -> Path:
        return self.home / "published"

    @property
    def versions(self) -> Path:
        return self.published / "v"

    @property
    def current(self) -> Path:
        """The link that readers open."""
        return self.published / "revenue.duckdb"

    @property
    def site(self) -> Path:
        return self.published / "site"

    @property
    def airflow(self) -> Path:
        return self.home / "airflow"

    @property
    def runs(self) -> Path:
        """Work files of runs that have not been published yet, one folder a run."""
        return self.home / "runs"

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    @property
    def dbt(self) -> Path:
        """dbt's target and log folders."""
        return self.home / "dbt"

    @property
    def parsed(self) -> Path:
        """The parsed dbt project, kept between runs: `ONEFUNNEL_PARSED`, else below `home`."""
        declared = os.environ.get("ONEFUNNEL_PARSED")
        return Path(declared).resolve() if declared else self.dbt / "parsed"

    @property
    def dbt_project(self) -> Path:
        return self.project / "dbt_project"

    @property
    def expectations(self) -> Path:
        return self.project / "expectations"

    def run(self, run_id: str) -> Path:
        return self.runs / run_id

    def candidate(self, run_id: str) -> Path:
        return self.candidates / run_id

    def version(self, run_id: str) -> Path:
        return self.versions / run_id

    def load(self, source: str, stream: str, load_id: str) -> Path:
        return self.landing / source / stream / f"load={load_id}"
