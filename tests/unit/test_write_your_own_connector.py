"""The page about writing a connector, followed to the letter: its files are written where it says and run in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import PROJECT, Home

PAGE = PROJECT / "docs" / "how-to" / "write-your-own-connector.md"


def files() -> dict[str, str]:
    """The files on the page: a line with a path alone, then its content in a fence."""
    found = re.findall(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    return dict(found)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with what the page adds to it."""
    root = tmp_path_factory.mktemp("own")
    shutil.copytree(PROJECT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copyfile(PROJECT / "pyproject.toml", root / "pyproject.toml")
    for name, text in files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def run(copy: Path, *command: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(copy / "src")}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_page_makes_three_files() -> None:
    assert [Path(name).suffix for name in files()] == [".yml", ".py", ".py"]


def test_its_test_passes_and_its_code_is_clean(copy: Path) -> None:
    names = [name for name in files() if name.endswith(".py")]
    run(copy, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *[n for n in names if n.startswith("tests/")])
    ruff = str(Path(sys.executable).with_name("ruff"))
    run(copy, ruff, "check", "--no-cache", *names)
    run(copy, ruff, "format", "--no-cache", "--check", *names)


def test_its_source_is_valid(copy: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(  social:\n.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    home = Home(tmp_path / "home", extra={"PYTHONPATH": str(copy / "src")})
    home.declare(sources=yaml.safe_load(re.sub(r"since: (\S+)", r"since: '\1'", block)))
    done = home.cli("validate")
    assert done.returncode == 0, done.stderr
