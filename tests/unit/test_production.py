"""`onefunnel doctor --prod`: each setting that is only fit for a laptop is red, by itself."""

from __future__ import annotations

import base64

import pytest
from conftest import Home

from onefunnel.production import SETTINGS, examine

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
SECRET = "0123456789abcdef0123456789abcdef"
FIT = {
    "AIRFLOW__CORE__FERNET_KEY": KEY,
    "AIRFLOW__API_AUTH__JWT_SECRET": SECRET,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://airflow:secret@db/airflow",
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    "AIRFLOW__API__HOST": "127.0.0.1",
    "ONEFUNNEL_TOKEN_KEY": SECRET,
}
SIMPLE = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"


UNSAFE = [
    ("AIRFLOW__CORE__FERNET_KEY", ""),
    ("AIRFLOW__CORE__FERNET_KEY", "a-password-of-32-characters-----"),
    ("AIRFLOW__CORE__FERNET_KEY", base64.urlsafe_b64encode(b"0" * 32).decode()),
    ("AIRFLOW__CORE__FERNET_KEY", KEY + ","),
    ("AIRFLOW__API_AUTH__JWT_SECRET", ""),
    ("AIRFLOW__API_AUTH__JWT_SECRET", "airflow_jwt_secret"),
    ("AIRFLOW__API_AUTH__JWT_SECRET", "x" * 64),
    ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", ""),
    ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:////var/airflow.db"),
    ("AIRFLOW__CORE__AUTH_MANAGER", ""),
    ("AIRFLOW__CORE__AUTH_MANAGER", SIMPLE),
    ("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True"),
    ("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "1"),
    ("AIRFLOW__API__HOST", ""),
    ("AIRFLOW__API__HOST", "0.0.0.0"),
    ("AIRFLOW__API__HOST", "::"),
    ("ONEFUNNEL_TOKEN_KEY", ""),
    ("ONEFUNNEL_TOKEN_KEY", "short"),
]


def red(environment: dict[str, str]) -> set[str]:
    return {name for name, fit, _ in examine(environment) if not fit}


def test_a_fit_environment_has_nothing_red() -> None:
    assert red(FIT) == set()
    assert red({}) == set(FIT), "nothing of it may be left out"


@pytest.mark.parametrize(("name", "value"), UNSAFE)
def test_an_unsafe_setting_is_red_and_nothing_else_is(name: str, value: str) -> None:
    assert red({**FIT, name: value}) == {name}


def test_every_setting_has_been_proven_red() -> None:
    assert {s.name for s in SETTINGS} == {name for name, _ in UNSAFE}


def test_fernet_keys_may_be_rotated() -> None:
    older = base64.urlsafe_b64encode(bytes(range(40, 72))).decode()
    assert red({**FIT, "AIRFLOW__CORE__FERNET_KEY": f"{KEY},{older}"}) == set()


def test_in_a_network_of_containers_the_api_may_listen_on_all_of_its_interfaces() -> None:
    assert red({**FIT, "AIRFLOW__API__HOST": "0.0.0.0", "ONEFUNNEL_CONTAINER": "1"}) == set()
    assert red({**FIT, "AIRFLOW__API__HOST": "0.0.0.0", "ONEFUNNEL_CONTAINER": ""}) == {"AIRFLOW__API__HOST"}


@pytest.mark.parametrize("where", ["CMD", "SECRET"])
def test_what_comes_from_a_command_or_a_secrets_backend_is_set(where: str) -> None:
    name = "AIRFLOW__CORE__FERNET_KEY"
    without = {k: v for k, v in FIT.items() if k != name}
    assert red({**without, f"{name}_{where}": "cat /run/secrets/fernet"}) == set()
    assert red({**FIT, name: "unfit", f"{name}_{where}": "cat /run/secrets/fernet"}) == {name}, "the variable wins"
    host = {k: v for k, v in FIT.items() if k != "AIRFLOW__API__HOST"}
    assert red({**host, f"AIRFLOW__API__HOST_{where}": "hostname"}) == {"AIRFLOW__API__HOST"}, "no secret, not read so"


def test_the_command_is_red_on_a_laptop_and_green_in_production_and_says_no_value(home: Home) -> None:
    laptop = home.cli("doctor", "--prod")
    assert laptop.returncode == 1
    for name in FIT:
        assert name in laptop.stdout
    home.extra.update(FIT)
    fit = home.cli("doctor", "--prod")
    assert fit.returncode == 0, fit.stdout
    for value in (KEY, SECRET, "airflow:secret"):
        assert value not in fit.stdout + fit.stderr
