"""Dockerfile and docker-compose.yml keep their promises; no engine is needed to see it."""

from __future__ import annotations

import re
import shlex
import subprocess
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

import pytest
from compose import (
    declared,
    final_stage,
    image_environment,
    instructions,
    interpolated,
    mounts,
    services,
    variables,
)
from conftest import PROJECT

SECRETS = {"POSTGRES_PASSWORD", "AIRFLOW_FERNET_KEY", "AIRFLOW_JWT_SECRET", "AIRFLOW_SECRET_KEY", "ONEFUNNEL_TOKEN_KEY"}
# Every key of a service that the file may use: a new one is looked at first.
KEYS = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "init", "network_mode", "networks",
    "ports", "profiles", "read_only", "restart", "security_opt", "tmpfs", "user", "volumes",
}  # fmt: skip
# What RUN may call: what a slim Debian with Python has.
PROGRAMS = {"python", "pip", "useradd", "mkdir", "chown", "chmod"}
SERVICES = pytest.mark.parametrize("name", list(services()))
ONE_SHOT = {"init", "reader"}


def test_the_services_are_those_that_the_other_test_runs() -> None:
    assert set(services()) == {"postgres", "init", "api-server", "scheduler", "dag-processor", "triggerer", "reader"}


@SERVICES
def test_a_service_is_hardened(name: str) -> None:
    service = services()[name]
    assert set(service) <= KEYS, "a key that nobody has judged"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True, "a process that collects the children of the steps"
    assert any(t.split(":")[0] == "/tmp" for t in service["tmpfs"])
    uid, gid = service["user"].split(":")
    assert int(uid) > 0 and int(gid) > 0
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")


@SERVICES
def test_a_service_has_a_command_a_version_and_a_health_check(name: str) -> None:
    service = services()[name]
    assert isinstance(service["command"], list), "a list, so that no shell reads it"
    assert re.fullmatch(r"[a-z/.-]+:\d+(\.\d+)+(-[a-z]+)?(@sha256:[0-9a-f]{64})?", service["image"]), service["image"]
    if name in ONE_SHOT:
        assert "healthcheck" not in service
        return
    check = service["healthcheck"]
    assert set(check) == {"test", "interval", "timeout", "retries", "start_period"}
    assert check["test"][0] == "CMD"


def test_our_image_is_of_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.M)
    assert version
    ours = {s["image"] for s in services().values() if "postgres" not in s["image"]}
    assert ours == {f"onefunnel:{version[1]}"}


def test_only_the_ui_is_published_and_on_the_loopback_only() -> None:
    assert {n: s["ports"] for n, s in services().items() if "ports" in s} == {"api-server": ["127.0.0.1:8080:8080"]}
    networks = {n: set(s.get("networks", ())) for n, s in services().items()}
    assert networks.pop("api-server") == {"inside", "outside"}
    assert networks.pop("reader") == set()
    assert services()["reader"]["network_mode"] == "none"
    assert set(map(frozenset, networks.values())) == {frozenset({"inside"})}
    assert declared()["networks"] == {"inside": {"internal": True}, "outside": {}}


def test_services_start_in_an_order_that_can_work() -> None:
    after = {n: {k: v["condition"] for k, v in s.get("depends_on", {}).items()} for n, s in services().items()}
    assert after.pop("postgres") == {}
    assert after.pop("reader") == {}
    assert after.pop("init") == {"postgres": "service_healthy"}
    assert after.pop("scheduler") == {"init": "service_completed_successfully", "api-server": "service_healthy"}
    assert set(map(str, after.values())) == {"{'init': 'service_completed_successfully'}"}


def test_no_secret_has_a_default_and_none_is_written_down() -> None:
    found = variables()
    assert {n for n, kind, _ in found if kind == ":?"} == SECRETS
    assert {n for n, kind, _ in found if kind != ":?"} == {"AIRFLOW_BASE_URL", "ONEFUNNEL_DROP"}, "which are none"
    assert all(message for _, kind, message in found if kind == ":?"), "each says what is missing"
    for name, service in services().items():
        for key, value in service["environment"].items():
            assert isinstance(value, str), f"{name}: {key} is read as something else than text"
            if re.search(r"PASSWORD|SECRET|KEY|TOKEN", key):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name}: {key}"
        assert not re.search("|".join(SECRETS), str(service["command"])), "arguments can be seen by everybody"
    kept = [text for name, text in instructions() if name in ("ENV", "ARG")]
    assert not re.search(r"PASSWORD|SECRET|FERNET|TOKEN_KEY", " ".join(kept)), "an image is no place for secrets"


@pytest.mark.parametrize("missing", sorted(SECRETS))
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_without_one_of_the_secrets_nothing_starts(missing: str, how: str) -> None:
    given = {n: "x" for n in SECRETS if n != missing} | ({missing: ""} if how == "empty" else {})
    with pytest.raises(KeyError, match=missing):
        interpolated((PROJECT / "docker-compose.yml").read_text(), given)


def test_who_does_not_need_a_secret_does_not_get_it() -> None:
    given = {n: set(re.findall(r"\$\{(\w+):\?", str(s["environment"]))) for n, s in services().items()}
    airflow = {"POSTGRES_PASSWORD", "AIRFLOW_FERNET_KEY", "AIRFLOW_JWT_SECRET"}
    assert given == {
        "postgres": {"POSTGRES_PASSWORD"},
        "init": airflow,
        "api-server": {*airflow, "AIRFLOW_SECRET_KEY"},
        "scheduler": {*airflow, "ONEFUNNEL_TOKEN_KEY"},
        "dag-processor": airflow,
        "triggerer": airflow,
        "reader": set(),
    }


def test_a_publish_is_a_rename_within_one_volume_and_readers_get_published_read_only() -> None:
    home = image_environment()["ONEFUNNEL_HOME"]
    found = {n: mounts(s) for n, s in services().items()}
    state = {n: [m for m in ms if m[0].split("/")[0] == "state"] for n, ms in found.items()}
    assert state.pop("scheduler") == [("state", home, False)], "candidates/ and published/ are both below it"
    assert state.pop("reader") == [("state/published", "/srv/published", True)]
    assert not any(state.values()), "nobody else holds the warehouse"
    below = {t.removeprefix(home + "/") for _, t, _ in found["scheduler"] if t.startswith(home + "/")}
    assert below == {"drop"}, "no mount comes between candidates/ and published/"
    assert services()["reader"]["environment"] == {"ONEFUNNEL_HOME": "/srv"}
    assert {s.split("/")[0] for ms in found.values() for s, _, _ in ms} == set(declared()["volumes"])


def test_what_a_service_may_write_is_a_volume_or_in_memory() -> None:
    for name, service in services().items():
        environment = {**image_environment(), **service["environment"]}
        writable = [t for _, t, read_only in mounts(service) if not read_only]
        writable += [t.split(":")[0] for t in service["tmpfs"]]
        needed = {"HOME", "AIRFLOW_HOME"} | (
            {"AIRFLOW__LOGGING__BASE_LOG_FOLDER"} if "airflow" in service["command"] else set()
        )
        needed |= {"ONEFUNNEL_HOME"} if name == "scheduler" else set()
        for variable in needed:
            path = PurePosixPath(environment[variable])
            assert any(path.is_relative_to(w) for w in writable), (name, variable)
    assert image_environment()["PYTHONDONTWRITEBYTECODE"] == "1"


# -- the Dockerfile -------------------------------------------------------------------------------------------------------


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path from the build: the last rule that fits it decides."""
    verdict = False
    for rule in (PROJECT / ".dockerignore").read_text().splitlines():
        if not rule or rule.startswith("#"):
            continue
        pattern = rule.lstrip("!").rstrip("/").removeprefix("**/")
        fits = [path, *map(str, PurePosixPath(path).parents)]
        fits = [PurePosixPath(f).name for f in fits] if "**/" in rule else fits
        if any(fnmatch(f, pattern) for f in fits if f not in ("", ".")):
            verdict = not rule.startswith("!")
    return verdict


def test_base_images_have_a_full_version() -> None:
    for name, text in instructions():
        if name == "FROM":
            assert re.match(r"[a-z/]+:\d+\.\d+\.\d+-[a-z-]+(@sha256:[0-9a-f]{64})?( AS \w+)?$", text), text


def test_the_image_runs_as_a_user_without_rights() -> None:
    users = [text for name, text in final_stage() if name == "USER"]
    assert users == ["10001:10001"], "a number, so that an engine can see that it is not root"
    assert final_stage()[-2][0] == "USER", "nothing is done after it"
    assert {s["user"] for n, s in services().items() if n != "postgres"} == set(users)


def test_the_image_is_installed_from_the_lock_with_hashes_and_compiled() -> None:
    installs = [
        shlex.split(c) for name, text in instructions() if name == "RUN" for c in text.split("&&") if "pip" in c
    ]
    assert len(installs) == 2
    packages, ours = installs
    assert {"--require-hashes", "--no-deps", "--compile", "requirements-containers.lock"} <= set(packages)
    assert {"--no-deps", "--no-build-isolation", "--no-index", "--compile", "."} <= set(ours)


def test_what_the_image_installs_is_what_is_tested() -> None:
    def pins(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==([^\s\\;]+)", (PROJECT / name).read_text(), re.M))

    image, tested = pins("requirements-containers.lock"), pins("requirements.lock")
    assert {n: v for n, v in image.items() if tested.get(n, v) != v} == {}
    assert {"psycopg2-binary", "asyncpg", "apache-airflow-providers-fab", "apache-airflow", "setuptools"} <= set(image)
    assert not {"pytest", "mypy", "ruff", "sqlfluff"} & set(image), "tools of developers stay outside"


def test_only_programs_that_the_base_image_has_are_called() -> None:
    called = [c.split()[0] for name, text in instructions() if name == "RUN" for c in text.split("&&")]
    assert called
    assert {PurePosixPath(c).name for c in called} <= PROGRAMS
    made = "/opt/venv/bin/"  # by the first RUN
    assert all(c.startswith(made) for c in called if PurePosixPath(c).name == "pip")


def test_everything_that_is_copied_exists_and_reaches_the_build() -> None:
    copied = [text.split()[:-1] for name, text in instructions() if name == "COPY" and "--from" not in text]
    sources = [s for parts in copied for s in parts]
    assert {"src", "dags", "dbt_project", "expectations", "pipeline.yml"} <= set(sources)
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split()
    for source in sources:
        files = [t for t in tracked if t == source or t.startswith(source + "/")]
        assert files, source
        assert [f for f in files if ignored(f)] == []
    for kept_out in (
        ".env",
        ".git/config",
        "var/ledger.sqlite",
        ".venv/pyvenv.cfg",
        "tests/conftest.py",
        "secrets.txt",
    ):
        assert ignored(kept_out), kept_out


def test_nothing_is_downloaded_past_the_lock() -> None:
    text = " ".join(t for _, t in instructions())
    assert not re.search(r"\b(curl|wget|apt-get|git clone)\b|https?://", text)
    assert not [t for name, t in instructions() if name == "ADD"]


def test_telemetry_is_off_in_the_image() -> None:
    environment: dict[str, Any] = image_environment()
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["DBT_SEND_ANONYMOUS_USAGE_STATS"] == "false"
    assert environment["GX_ANALYTICS_ENABLED"] == "false"
    assert environment["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
