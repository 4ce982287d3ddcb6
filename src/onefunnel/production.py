"""What a laptop may have and production may not: each setting of the environment that would be unsafe on a network.

The environment is looked at, not `airflow.cfg`: there Airflow writes keys that it made up itself, others in each container.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from onefunnel.landing import TOKEN_KEY_VARIABLE

# Set by the Dockerfile: there all interfaces are those of a network of containers, and what is published is said outside.
CONTAINER_VARIABLE = "ONEFUNNEL_CONTAINER"
_ALL_INTERFACES = {"", "0.0.0.0", "::", "[::]", "*"}  # noqa: S104 (what is refused); empty is Airflow's default
_TRUE = {"t", "true", "1", "yes", "on"}


@dataclass(frozen=True)
class Setting:
    """A variable, when its value is fit for production, and what to set.

    `elsewhere`: Airflow also takes it from a command or a secrets backend (`<name>_CMD`, `<name>_SECRET`).
    """

    name: str
    fit: Callable[[str, Mapping[str, str]], bool]
    needs: str
    elsewhere: bool = False


def is_secret(value: str) -> bool:
    """Long enough, and no placeholder such as thirty-two times the same letter."""
    return len(value) >= 32 and len(set(value)) >= 10


def is_fernet_key(value: str) -> bool:
    """One key or several, newest first: each the URL-safe Base64 of 32 bytes."""
    try:
        keys = [base64.b64decode(k.strip(), altchars=b"-_", validate=True) for k in value.split(",")]
    except binascii.Error:
        return False
    return all(len(k) == 32 and len(set(k)) >= 10 for k in keys)


SETTINGS = (
    Setting("AIRFLOW__CORE__FERNET_KEY", lambda v, _: is_fernet_key(v), "the URL-safe Base64 of 32 random bytes", True),
    Setting("AIRFLOW__API_AUTH__JWT_SECRET", lambda v, _: is_secret(v), "32 random characters or more", True),
    Setting("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", lambda v, _: v.startswith("postgresql"), "PostgreSQL", True),
    Setting(
        "AIRFLOW__CORE__AUTH_MANAGER",
        lambda v, _: bool(v) and "SimpleAuthManager" not in v,
        "another than SimpleAuthManager, which is Airflow's default and keeps its passwords readable",
    ),
    Setting(
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS",
        lambda v, _: v.lower() not in _TRUE,
        "not to be set: it makes everybody an administrator, without a password",
    ),
    Setting(
        "AIRFLOW__API__HOST",
        lambda v, others: v not in _ALL_INTERFACES or others.get(CONTAINER_VARIABLE) == "1",
        "127.0.0.1, with a proxy that speaks TLS before it: everything else is every interface of the machine",
    ),
    Setting(TOKEN_KEY_VARIABLE, lambda v, _: is_secret(v), "32 random characters or more; keep it"),
)


def examine(environment: Mapping[str, str]) -> Iterator[tuple[str, bool, str]]:
    """Name, whether it is fit for production, and what it needs; never a value."""
    for setting in SETTINGS:
        value = environment.get(setting.name, "")
        elsewhere = setting.elsewhere and any(environment.get(f"{setting.name}_{k}") for k in ("CMD", "SECRET"))
        yield setting.name, setting.fit(value, environment) or (not value and elsewhere), setting.needs
