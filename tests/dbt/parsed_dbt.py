"""`dbt …` over the project as it was parsed once: what a build does, and a third of the time of the command itself."""

import os
import sys
from pathlib import Path

from dbt.cli.main import dbtRunner

from onefunnel.paths import Paths
from onefunnel.transform import parsed_project

if __name__ == "__main__":
    target = Path(sys.argv[sys.argv.index("--target-path") + 1])
    manifest = parsed_project(Paths(target.parent, Path(os.environ["ONEFUNNEL_PROJECT"])), target)
    done = dbtRunner(manifest=manifest).invoke(sys.argv[1:])
    if done.exception:
        print(done.exception)
    sys.exit(0 if done.success else 1)
