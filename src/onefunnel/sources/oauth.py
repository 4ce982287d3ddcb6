"""Access tokens that live for an hour: had for a longer-lived secret, renewed before they end and once when refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from onefunnel.errors import ConfigError, OnefunnelError
from onefunnel.sources.connections import DEADLINE_SECONDS
from onefunnel.sources.http import Again, Api

EARLY_SECONDS = 60.0
# Threads that were refused with the same token ask for a new one together; one of them gets it.
JUST_NOW_SECONDS = 2.0


class AccessToken:
    """The header `Authorization: Bearer …` of an API, by the token endpoint of RFC 6749 (sections 4.4 and 6).

    Args:
        where: source, for messages.
        url: the token endpoint.
        form: what is posted to it: grant type, client and refresh token.
        also: further headers that every request has.
        deadline: seconds that it may take with all retries.
    """

    def __init__(
        self,
        where: str,
        url: str,
        form: Mapping[str, str],
        also: Mapping[str, str] | None = None,
        deadline: float = DEADLINE_SECONDS,
    ) -> None:
        self.where, self.form, self.also = where, dict(form), dict(also or {})
        self._path = urlsplit(url).path
        self._api = Api(
            f"{where}, token endpoint",
            url.removesuffix(self._path),
            lambda _: {},
            explain=self._refused,
            deadline=deadline,
        )
        self._lock = threading.Lock()
        self.answer: Mapping[str, Any] = {}  # the newest one of the token endpoint, the token among it
        self._token, self._until, self._since = "", 0.0, float("-inf")

    def __call__(self, renew: bool) -> Mapping[str, str]:
        """The headers; `renew` says that those before were refused."""
        with self._lock:
            now = time.monotonic()
            if (renew and now - self._since > JUST_NOW_SECONDS) or now >= self._until:
                self.answer = self._api.json("POST", self._path, has="access_token", data=self.form)
                self._token = str(self.answer["access_token"])
                self._since = time.monotonic()
                self._until = self._since + max(0.0, float(self.answer.get("expires_in", 3600)) - EARLY_SECONDS)
            return {**self.also, "Authorization": f"Bearer {self._token}"}

    def close(self) -> None:
        """Close the connection to the token endpoint."""
        self._api.close()

    def _refused(self, response: httpx.Response, body: Any) -> OnefunnelError | Again | None:
        # RFC 6749 says `error`; HubSpot may say `status` instead.
        said = (body.get("error") or body.get("status")) if isinstance(body, Mapping) else None
        if response.status_code in (400, 401) and isinstance(said, str):
            return ConfigError(
                f"no access token is given: {said}",
                self._api.where,
                "the refresh token is withdrawn or belongs to another client: sign in again and store the new one in the connection"
                if "refresh_token" in self.form and said in ("invalid_grant", "BAD_REFRESH_TOKEN")
                else "correct login and password of the connection: the client's id and secret",
            )
        return None
