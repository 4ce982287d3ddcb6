"""Credentials by connection id: the way Airflow names them, with or without Airflow.

A connection is what Airflow calls so: in its database, in a secrets backend, or in the environment variable
AIRFLOW_CONN_<ID>, as JSON or as a URI. A task hands the connection of its source to the step's environment under that
same name, so the step reads one place and never imports Airflow.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from onefunnel.errors import ConfigError

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_SECRET = 8
DEADLINE_SECONDS = 600.0


@dataclass(frozen=True)
class Connection:
    """One set of credentials. Its secrets are in no repr.

    Attributes:
        host: base URL of the API where it is not the vendor's own; https, or http on this machine alone.
        extra: what the vendor needs beyond login and password (client id, refresh token, developer token, …).
    """

    connection_id: str
    host: str = ""
    login: str = ""
    password: str = field(default="", repr=False)
    extra: dict[str, str] = field(default_factory=dict, repr=False)

    def secret(self, name: str) -> str:
        """One of the secrets.

        Raises:
            ConfigError: it is missing, or too short to be one.
        """
        value = self.password if name == "password" else self.extra.get(name, "")
        if len(value) < SHORTEST_SECRET:
            what = f"has no {name}" if not value else f"has a {name} of fewer than {SHORTEST_SECRET} characters"
            raise ConfigError(f"the connection {self.connection_id} {what}", variable(self.connection_id), _DO)
        return value

    @property
    def deadline_seconds(self) -> float:
        """How long one request may take with all its retries.

        Raises:
            ConfigError: `deadline_seconds` is no number above 0.
        """
        said = self.extra.get("deadline_seconds", str(DEADLINE_SECONDS))
        if not re.fullmatch(r"[0-9]{1,6}([.][0-9]+)?", said) or float(said) == 0:
            problem = f"the connection {self.connection_id} has deadline_seconds {said!r}"
            raise ConfigError(problem, variable(self.connection_id), "give a number of seconds")
        return float(said)

    def base_url(self, of_the_vendor: str) -> str:
        """Where the API is.

        Raises:
            ConfigError: not https, and not this machine.
        """
        return self._safe("host", self.host or of_the_vendor)

    def token_url(self, of_the_vendor: str) -> str:
        """Where tokens are given; raises as `base_url` does."""
        return self._safe("token_url", self.extra.get("token_url") or of_the_vendor)

    def _safe(self, what: str, url: str) -> str:
        parts = urlsplit(url)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        if is_safe and not parts.query:
            return url.rstrip("/")
        problem = f"the connection {self.connection_id} has the {what} {url.partition('?')[0]!r}"
        do = "give an https URL without a query; http is for this machine alone"
        raise ConfigError(problem, variable(self.connection_id), do)


_DO = "set it in Airflow (Admin, Connections), in its secrets backend, or in this environment variable (docs/how-to)"


def variable(connection_id: str) -> str:
    """The environment variable that holds a connection."""
    return f"AIRFLOW_CONN_{connection_id.upper()}"


def connection(connection_id: str) -> Connection:
    """The connection of this id.

    Raises:
        ConfigError: there is none, or it is neither JSON nor a URI. What it holds is in no message.
    """
    text = os.environ.get(variable(connection_id), "").strip()
    if not text:
        raise ConfigError(f"there is no connection {connection_id}", variable(connection_id), _DO)
    try:
        return _from_json(connection_id, text) if text.startswith("{") else _from_uri(connection_id, text)
    except (ValueError, TypeError, AttributeError):
        problem = f"the connection {connection_id} is neither JSON nor a URI as Airflow writes them"
        raise ConfigError(problem, variable(connection_id), _DO) from None


def _from_json(connection_id: str, text: str) -> Connection:
    given: dict[str, Any] = json.loads(text)
    extra = given.get("extra") or {}
    extra = json.loads(extra) if isinstance(extra, str) else extra
    host = str(given.get("host") or "")
    if host and "://" not in host:
        host = f"{given.get('schema') or 'https'}://{host}"
    if given.get("port") and host:
        host = f"{host.rstrip('/')}:{int(given['port'])}"
    texts = {str(k): str(v) for k, v in extra.items() if v is not None}
    return Connection(connection_id, host, str(given.get("login") or ""), str(given.get("password") or ""), texts)


def _from_uri(connection_id: str, text: str) -> Connection:
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError("no scheme")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "__extra__" in query:
        query = {str(k): str(v) for k, v in json.loads(query["__extra__"]).items()}
    scheme = "http" if parts.scheme == "http" and parts.hostname in _LOOPBACK else "https"
    port = f":{parts.port}" if parts.port else ""
    host = f"{scheme}://{unquote(parts.hostname)}{port}" if parts.hostname else ""
    return Connection(connection_id, host, unquote(parts.username or ""), unquote(parts.password or ""), query)
