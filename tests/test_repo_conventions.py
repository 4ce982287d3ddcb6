"""The rules of this repository, as code: layers, descriptions, names, documentation, locks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[1]
TEXT = {".py", ".sql", ".yml", ".yaml", ".toml", ".md", ".csv", ".txt", ".lock", ".j2", ""}


def tracked() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [PROJECT / n for n in names if (PROJECT / n).is_file() and (PROJECT / n).suffix in TEXT]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The dbt manifest of the project as it stands."""
    target = tmp_path_factory.mktemp("dbt")
    folder = PROJECT / "dbt_project"
    subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            "parse",
            "--project-dir",
            str(folder),
            "--profiles-dir",
            str(folder),
            "--target-path",
            str(target),
            "--log-path",
            str(target),
        ],
        check=True,
        capture_output=True,
    )
    return json.loads((target / "manifest.json").read_text())


def models(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {k: n for k, n in manifest["nodes"].items() if n["resource_type"] == "model"}


def layer(node: dict[str, Any]) -> str:
    return node["path"].split("/")[0]


def test_models_read_only_the_layers_below_them(manifest: dict[str, Any]) -> None:
    may_read = {
        "staging": {"staging"},
        "intermediate": {"staging", "intermediate", "seed"},
        "marts": {"intermediate", "marts", "seed"},
        "custom": {"intermediate", "marts", "seed"},
    }
    wrong = []
    for node in models(manifest).values():
        for parent in node["depends_on"]["nodes"]:
            above = manifest["nodes"].get(parent)
            if above is None:
                continue
            of = "seed" if above["resource_type"] == "seed" else layer(above)
            if of not in may_read[layer(node)]:
                wrong.append(f"{node['name']} reads {above['name']} ({of})")
    assert wrong == []


def test_staging_is_read_through_the_conformed_layer_only(manifest: dict[str, Any]) -> None:
    run_inputs = {
        "stg_files__loads",
        "stg_files__sources",
    }  # which loads and sources a build was given, not data of a source
    wrong = []
    for node in models(manifest).values():
        for parent in node["depends_on"]["nodes"]:
            above = manifest["nodes"].get(parent)
            if (
                above
                and above["resource_type"] == "model"
                and layer(above) == "staging"
                and layer(node) == "intermediate"
            ):
                folder = node["path"].split("/")[1]
                if folder not in ("conformed", "quality") and above["name"] not in run_inputs:
                    wrong.append(f"{node['name']} reads {above['name']}")
    assert wrong == []


def test_every_published_table_is_contracted_owned_keyed_and_described(manifest: dict[str, Any]) -> None:
    tested = {
        n["attached_node"]
        for n in manifest["nodes"].values()
        if n["resource_type"] == "test" and n.get("attached_node")
    }
    wrong = []
    for key, node in models(manifest).items():
        if not node["description"]:
            wrong.append(f"{node['name']} has no description")
        if node["schema"] not in ("marts", "metadata"):
            continue
        if not node["config"]["contract"]["enforced"]:
            wrong.append(f"{node['name']} has no enforced contract")
        if not re.search(r"One row [^.]+\.$", node["description"].strip()):
            wrong.append(f"{node['name']} does not end with its grain, `One row per …`")
        if not (node["meta"].get("owner") or node["config"]["meta"].get("owner")):
            wrong.append(f"{node['name']} has no owner")
        if key not in tested:
            wrong.append(f"{node['name']} has no data test")
        wrong += [
            f"{node['name']}.{c['name']} is not described" for c in node["columns"].values() if not c["description"]
        ]
    assert wrong == []


def test_one_column_name_has_one_type(manifest: dict[str, Any]) -> None:
    types: dict[str, set[str]] = {}
    for node in models(manifest).values():
        if node["schema"] in ("marts", "metadata"):
            for column in node["columns"].values():
                types.setdefault(column["name"], set()).add(str(column["data_type"]).lower())
    assert {n: t for n, t in types.items() if len(t) > 1} == {}


def test_every_published_table_has_its_expectations_file(manifest: dict[str, Any]) -> None:
    published = {n["name"] for n in models(manifest).values() if n["schema"] in ("marts", "metadata")}
    assert published | {"every_table"} == {p.stem for p in (PROJECT / "expectations" / "marts").glob("*.yml")}


def test_metrics_have_an_owner_and_a_formula(manifest: dict[str, Any]) -> None:
    assert manifest["metrics"]
    for metric in manifest["metrics"].values():
        meta = {**metric.get("meta", {}), **(metric.get("config", {}).get("meta") or {})}
        assert meta.get("owner"), metric["name"]
        assert meta.get("formula"), metric["name"]


def test_every_ratio_column_is_a_metric_and_has_both_sides_beside_it(manifest: dict[str, Any]) -> None:
    ratios = {m["name"] for m in manifest["metrics"].values() if m["type"] == "ratio"}
    found, wrong = set(), []
    for node in models(manifest).values():
        if node["schema"] not in ("marts", "metadata"):
            continue
        for column in node["columns"].values():
            name, said = f"{node['name']}.{column['name']}", column["config"]["meta"]
            # money and counts are exact: what is a double was divided
            if (column["data_type"].lower() == "double") != (set(said) == {"numerator", "denominator", "metric"}):
                wrong.append(f"{name} must name its numerator, denominator and metric, as every ratio and only they do")
            elif said:
                found.add(name)
                wrong += [
                    f"{name}: {said[k]} is not beside it"
                    for k in ("numerator", "denominator")
                    if said[k] not in node["columns"]
                ]
                wrong += [f"{name}: {said['metric']} is no ratio metric"] if said["metric"] not in ratios else []
    assert wrong == []
    assert found


def test_dbt_does_not_import_our_folder() -> None:
    assert not list((PROJECT / "dbt_project").rglob("__init__.py"))
    assert not list((PROJECT / "dags").glob("dbt_*"))


def test_no_file_names_a_registry_or_a_machine() -> None:
    top = "org"
    hosts = re.compile(
        "|".join(
            re.escape(f"{h}.{top}")
            for h in ("py" + "pi", "python" + "hosted", "deb.deb" + "ian", "registry.npm" + "js")
        )
    )
    machine = re.compile(r"(?<![\w.])/(?:work|root|farm)/[\w.]")
    found = [
        f"{p.relative_to(PROJECT)}:{i}"
        for p in tracked()
        for i, line in enumerate(p.read_text("utf-8").splitlines(), 1)
        if hosts.search(line) or machine.search(line)
    ]
    assert found == []


def test_locks_hold_a_hash_for_every_pin_and_no_url() -> None:
    for name in ("requirements.lock", *(f"requirements-{of}.lock" for of in ("client", "containers", "sdks"))):
        text = (PROJECT / name).read_text()
        assert "://" not in text
        pins = re.findall(r"^[a-zA-Z0-9_.-]+==[^\s\\]+.*?(?=^\S|\Z)", text, re.M | re.S)
        assert pins
        assert [p.split()[0] for p in pins if "--hash=sha256:" not in p] == []


def commands() -> list[str]:
    """Every command of the command line, as a user types it."""
    import typer.main

    from onefunnel.cli import app

    def walk(command: Any, name: str) -> list[str]:
        inner = getattr(command, "commands", None)
        if not inner:
            return [] if command.hidden else [name]
        return [c for key, child in inner.items() for c in walk(child, f"{name} {key}".strip())]

    return walk(typer.main.get_command(app), "")


def test_every_command_has_help_and_stands_in_the_docs() -> None:
    docs = "\n".join(p.read_text() for p in [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")])
    missing = [c for c in commands() if f"onefunnel {c}" not in docs]
    assert missing == []
    for command in ("run", "status", "demo"):
        done = subprocess.run(
            [sys.executable, "-m", "onefunnel", command, "--help"], capture_output=True, text=True, check=True
        )
        assert len(done.stdout) > 200


def test_every_key_of_a_source_is_explained() -> None:
    from onefunnel.settings import Column, Dialect, Source, Stream

    page = (PROJECT / "docs" / "how-to" / "bring-your-own-files.md").read_text()
    keys = {
        field.alias or name for model in (Source, Stream, Dialect, Column) for name, field in model.model_fields.items()
    }
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


def test_make_lists_its_targets_with_a_help_text() -> None:
    listed = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in ("install", "demo", "test", "test-long", "check", "up", "bench", "lock"):
        assert re.search(rf"^  make {target} +\S", listed, re.M), target


def test_the_catalogue_of_marts_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "docs" / "reference" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(p.name[:4]) for p in (PROJECT / "docs" / "decisions").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers
