"""One way to talk to a vendor's API: retried, bounded in time, same origin only, whole bodies or none.

What a vendor's answer means (which field holds an error, what a limit is called) is the connector's; what HTTP means is
decided here, once. httpx carries the protocol and tenacity the retries.
"""

from __future__ import annotations

import email.utils
import json
import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import duckdb
import httpx
import tenacity

from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sources.connections import DEADLINE_SECONDS

log = logging.getLogger("onefunnel")

READ_SECONDS, CONNECT_SECONDS = 60.0, 15.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 30.0  # between tries where the server names no time
MAX_JSON_BYTES = 256 * 1024 * 1024
FIRST_BYTES = 64 * 1024  # of a saved body, to see what it is; an error is shorter
RETRIED = {408, 425, 429, 500, 502, 503, 504}
_UPGRADE = "Does the connector's version of the API still exist? See the changelog; it may need an upgrade."


class Again(Exception):
    """An answer that another try may mend; `after` is how many seconds the server asked to wait, if it did."""

    def __init__(self, what: str, after: float | None = None) -> None:
        super().__init__(what)
        self.what, self.after = what, after


class Stopped(Exception):
    """Nothing more is asked: what was asked beside this has failed, or is not wanted any more."""


@dataclass
class Usage:
    """What a fetch cost: requests and retries, bytes as they came, and what the vendor says of its limits."""

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    limits: dict[str, str] = field(default_factory=dict)


@dataclass
class Api:
    """A client of one API. Threads may share it; what the server asks one of them to wait, all wait.

    Args:
        where: source and object, for messages.
        base_url: scheme, host and the start of every path. No request and no page leaves this origin.
        headers: gives the headers that authenticate a request; called with True when the ones before were refused.
        explain: what an answer of status 4xx (or of 200 that is an error) means: an error to raise, `Again`, or None.
        limits: names of response headers that tell how much of a quota is used; kept in `usage`.
        deadline: seconds that one request may take with all its retries.
        stopping: while it is set no request and no retry begins, and waiting ends (`Stopped`).
    """

    where: str
    base_url: str
    headers: Callable[[bool], Mapping[str, str]]
    explain: Callable[[httpx.Response, Any], OnefunnelError | Again | None] = lambda *_: None
    limits: tuple[str, ...] = ()
    deadline: float = DEADLINE_SECONDS
    read_seconds: float = READ_SECONDS
    usage: Usage = field(default_factory=Usage)
    stopping: threading.Event = field(default_factory=threading.Event)
    server_time: float | None = None  # seconds since 1970 by the server's own clock, of the last answer
    _client: httpx.Client = field(init=False, repr=False)
    _closed: tuple[float, str] = field(default=(0.0, ""), init=False, repr=False)  # until when, and why

    def __post_init__(self) -> None:
        self._client = httpx.Client(
            verify=_trusted(),
            timeout=httpx.Timeout(min(self.read_seconds, self.deadline), connect=min(CONNECT_SECONDS, self.deadline)),
            follow_redirects=False,
            trust_env=False,
            headers={"Accept-Encoding": "gzip", "User-Agent": "onefunnel"},
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def json(self, method: str, path: str, has: str = "", **request: Any) -> Any:
        """The answer, parsed. Numbers keep every digit: they come as texts (`Number`).

        Args:
            has: a name that every answer of its kind has; one without it is not the API's.

        Raises:
            StepFailed: refused for good, or not JSON, or another host was named.
            ConfigError: the credentials are not accepted.
            EnvironmentNotReady: still failing when the time was up, or a quota that is open again later.
        """

        def read(response: httpx.Response) -> Any:
            body = self._parsed(response)
            if has and not (isinstance(body, Mapping) and has in body):
                raise Again(f"an answer without `{has}`")
            return body

        return self._retried(method, path, request, read)

    def save(
        self,
        method: str,
        path: str,
        to: Path,
        begins: bytes = b"",
        error_in: Callable[[Path], Any] = lambda _: None,
        **request: Any,
    ) -> httpx.Headers:
        """Stream the answer's body into a file, whole or not at all; returns its headers. Raises as `json` does.

        Args:
            begins: how every body of its kind begins; another one is an error that the API tells of, or not the API's.
            error_in: of a body that begins so, what `explain` is asked about; None: nothing in it is an error.
        """
        return self._retried(method, path, request, lambda response: self._saved(response, to, begins, error_in))

    def page(self, method: str, path: str, to: Path, *, without: str | None = None, **request: Any) -> Any:
        """A page of JSON: its body in a file as it came, and parsed to see what follows it. Raises as `json` does.

        Args:
            without: the name of its list of records, which is empty in what is parsed.
        """

        def read(response: httpx.Response) -> Any:
            body = self._parsed(response, saved := bytearray(), without)
            to.write_bytes(saved)
            return body

        return self._retried(method, path, request, read)

    # -- one request -----------------------------------------------------------------------------------------------

    def _retried(self, method: str, path: str, request: dict[str, Any], read: Callable[[httpx.Response], Any]) -> Any:
        url = self._url(path)
        place = f"{self.where}: {method} {re.sub(r'[?].*', '', url)}"
        began, refreshed = time.monotonic(), False

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = float(getattr(error, "after", None) or 0)
            if asked == 0 and state.attempt_number == 1 and refreshed:
                return 0.0  # with a new token there is nothing to wait for
            waiting = tenacity.wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS)
            return max(asked, float(waiting(state)))

        def give_up(state: tenacity.RetryCallState) -> bool:
            return time.monotonic() - began + state.upcoming_sleep > self.deadline

        def note(state: tenacity.RetryCallState) -> None:
            self.usage.retries += 1
            error = state.outcome.exception() if state.outcome else None
            log.warning("%s: %s; trying again in %.1f s", place, _said(error), state.upcoming_sleep)

        def sleep(seconds: float) -> None:
            if self.stopping.wait(seconds):
                raise Stopped

        def once() -> Any:
            nonlocal refreshed
            if self.stopping.is_set():
                raise Stopped
            until, why = self._closed
            if (closed := until - time.monotonic()) > 0:
                raise Again(why, closed)
            try:
                with self._client.stream(
                    method, url, **{**request, "headers": {**request.get("headers", {}), **self.headers(False)}}
                ) as response:
                    self.usage.requests += 1
                    self._note_headers(response)
                    if response.status_code == 401 and not refreshed:
                        refreshed = True
                        self.headers(True)
                        raise Again("its token was not accepted any more", 0.0)
                    return self._judged(response, place, read)
            except (httpx.TransportError, httpx.DecodingError) as error:
                raise Again(_said(error)) from error
            except Again as error:
                if error.after:
                    self._closed = max(self._closed, (time.monotonic() + error.after, error.what))
                raise

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Again),
            wait=wait,
            stop=give_up,
            before_sleep=note,
            sleep=sleep,
            reraise=True,
        )
        try:
            return retrying(once)
        except Again as error:
            if error.after is not None and error.after > self.deadline:
                when = email.utils.formatdate((self.server_time or time.time()) + error.after, usegmt=True)
                raise EnvironmentNotReady(
                    f"The quota is used up: {error.what}. It is open again at {when}.",
                    where=place,
                    do="Run again after that time; nothing was lost.",
                ) from None
            raise EnvironmentNotReady(
                f"No answer could be had in {self.deadline:,.0f} seconds: {error.what}.",
                where=place,
                do="Is the service up, and reachable from here? Then run again; nothing was lost.",
            ) from None

    def _url(self, path: str) -> str:
        """An address below the base; an absolute one must have the base's origin."""
        url = httpx.URL(self.base_url.rstrip("/") + "/").join(path if "://" in path else path.lstrip("/"))
        base = httpx.URL(self.base_url)
        if (url.scheme, url.host, url.port) != (base.scheme, base.host, base.port):
            raise StepFailed(
                f"The API names a page on another host: {url.host}.",
                where=self.where,
                do="Nothing was sent there. If the account has moved, correct the host of its connection.",
            )
        return str(url)

    def _note_headers(self, response: httpx.Response) -> None:
        date = email.utils.parsedate_to_datetime(response.headers["date"]) if "date" in response.headers else None
        self.server_time = date.timestamp() if date else self.server_time
        self.usage.limits |= {name: response.headers[name] for name in self.limits if name in response.headers}

    def _judged(self, response: httpx.Response, place: str, read: Callable[[httpx.Response], Any]) -> Any:
        status = response.status_code
        if 200 <= status < 300:
            return read(response)
        if 300 <= status < 400:
            target = httpx.URL(response.headers.get("location", "")).host or "the same host"
            raise StepFailed(
                f"The API redirects to {target}; redirects are not followed.",
                where=place,
                do="Correct the host of the connection.",
            )
        body = self._body(response)
        self._raise_what_it_means(response, body, place)
        if status in RETRIED:
            raise Again(f"HTTP {status}", retry_after(response.headers.get("retry-after"), self.server_time))
        if status == 401:
            raise ConfigError(
                "the API does not accept the credentials", place, "check the connection: its secrets, and their scopes"
            )
        what = "the permission is missing" if status == 403 else quoted(body)
        raise StepFailed(
            f"The API refused: HTTP {status}, {what}.",
            where=place,
            do="Grant the scope that this object needs (docs/how-to), or take the stream out of pipeline.yml."
            if status == 403
            else _UPGRADE,
        )

    def _body(self, response: httpx.Response) -> Any:
        text = b"".join(self._chunks(response)).decode("utf-8", "replace")
        try:
            return parse(text)
        except ValueError:
            return text

    def _parsed(self, response: httpx.Response, text: bytearray | None = None, without: str | None = None) -> Any:
        text = bytearray() if text is None else text
        for chunk in self._chunks(response):
            text += chunk
        kind = response.headers.get("content-type", "").partition(";")[0]
        try:
            body = _head(text.decode("utf-8"), without) if without else parse(text.decode("utf-8"))
        except (ValueError, RecursionError):
            raise Again(f"an answer that is not JSON but {kind or 'nothing known'}") from None
        self._raise_what_it_means(response, body, self.where)
        return body

    def _raise_what_it_means(self, response: httpx.Response, body: Any, place: str) -> None:
        meant = self.explain(response, body)
        if isinstance(meant, Again):  # what a body means does not shorten what the header asks for
            asked = retry_after(response.headers.get("retry-after"), self.server_time)
            meant.after = max(filter(None, (meant.after, asked)), default=meant.after)
        if isinstance(meant, OnefunnelError):
            meant.where, meant.do = meant.where or place, meant.do or _UPGRADE
        if meant is not None:
            raise meant

    def _saved(
        self, response: httpx.Response, to: Path, begins: bytes, error_in: Callable[[Path], Any]
    ) -> httpx.Headers:
        partial = to.with_name(f".{to.name}.partial")
        with partial.open("wb") as out:
            for chunk in self._chunks(response, limit=None):
                out.write(chunk)
        with partial.open("rb") as head:
            first = head.read(FIRST_BYTES)
        if not first.lstrip().startswith(begins):
            try:
                body = parse(first.decode("utf-8", "replace"))
            except (ValueError, RecursionError):
                body = None
            self._raise_what_it_means(response, body, self.where)
            raise Again("an answer that is not what was asked for")
        if (error := error_in(partial)) is not None:
            self._raise_what_it_means(response, error, self.where)
            raise Again("an answer that ends in an error")
        partial.replace(to)
        return response.headers

    def _chunks(self, response: httpx.Response, limit: int | None = MAX_JSON_BYTES) -> Any:
        """The body, unpacked. httpx refuses one that is shorter than its Content-Length says."""
        size, began = 0, time.monotonic()
        for chunk in response.iter_bytes():
            size += len(chunk)
            self.usage.bytes += len(chunk)
            if limit is not None and size > limit:
                raise StepFailed(
                    f"An answer is larger than {limit:,} bytes.", where=self.where, do="Ask for smaller pages."
                )
            if time.monotonic() - began > self.deadline:
                raise Again("a body that does not come to its end")
            yield chunk


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """The authorities that httpx trusts, read once: a run has many clients."""
    return httpx.create_ssl_context(trust_env=False)


class Number(str):
    """A number by its text, so that no digit is lost on the way."""

    __slots__ = ()


def parse(text: str) -> Any:
    """JSON whose numbers are kept as they were written.

    Raises:
        ValueError: it is not JSON.
    """
    return json.loads(text, parse_float=Number, parse_int=Number)


@cache
def _json() -> duckdb.DuckDBPyConnection:
    """Where documents are taken apart that are too large to be Python objects."""
    return duckdb.connect(config={"autoinstall_known_extensions": "false"})


def _head(text: str, records: str) -> Any:
    """JSON whose list of records is empty; all of it where it has none.

    Raises:
        ValueError: it is not JSON.
    """
    split = "select json_type(page, ?), json_merge_patch(page, ?)::varchar from (select ?::json as page)"
    try:
        with _json().cursor() as db:
            kind, rest = db.execute(split, [f"$.{records}", json.dumps({records: None}), text]).fetchall()[0]
    except duckdb.Error:
        return parse(text)
    return {**parse(rest), records: []} if kind == "ARRAY" else parse(text)


def retry_after(header: str | None, now: float | None) -> float | None:
    """Seconds to wait by a Retry-After header, which is a number of seconds or an HTTP date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if re.fullmatch(r"\s*[0-9]+\s*", header):
        return float(header)
    try:
        date = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - (now if now is not None else time.time()))


def _said(error: BaseException | None) -> str:
    """What went wrong, without an address: its query may hold what nobody should read."""
    if isinstance(error, Again):
        return error.what
    return {
        "ConnectError": "no connection",
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "no answer in time",
        "ReadError": "the connection broke",
        "RemoteProtocolError": "an answer that breaks off",
        "DecodingError": "an answer whose compression is damaged",
    }.get(type(error).__name__, type(error).__name__)


def quoted(body: Any) -> str:
    """The first words of what an API says of an error; never more, and no address of a person: it may quote records."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    text = re.sub(r"[^\s@\"'<>]+@[^\s@\"'<>]+", "…@…", re.sub(r"<[^>]*>", " ", text[:2_000]))
    return re.sub(r"\s+", " ", text).strip()[:200] or "no reason given"
