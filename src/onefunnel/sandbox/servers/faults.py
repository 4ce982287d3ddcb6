"""What goes wrong on the way: a middleware that spoils scripted answers and writes down every request.

It knows no vendor. A test posts its script to `/_sandbox/faults` as `{"faults": [{"kind": "reset", "path": "/crm"}]}`
(the script replaces the one before), reads script and journal there with GET and clears both with DELETE. Requests to
`/_sandbox/` are neither spoiled nor written down.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import io
import json
import socket
import struct
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from email.utils import format_datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTROL = "/_sandbox/"
Kind = Literal[
    "too_many", "status", "unauthorized", "reset", "truncated", "bad_gzip", "html", "error_200", "slow", "redirect",
    "repeat", "empty", "rewrite", "backwards",
]  # fmt: skip
KINDS: dict[Kind, str] = {
    "too_many": "429, with Retry-After in seconds, as an HTTP date (`as_date`) or without one (`retry_after` null)",
    "status": "the status in `status`, by default 503",
    "unauthorized": "401",
    "reset": "the connection is reset after `after_bytes` of the body",
    "truncated": "Content-Length promises the whole body, the connection ends after `after_bytes` of it",
    "bad_gzip": "a gzip body with a damaged middle and a wrong check sum",
    "html": "200 and a page in HTML",
    "error_200": "200 and an error as JSON",
    "slow": "the body in pieces of `after_bytes`, `seconds` before each",
    "redirect": "302 to `location`",
    "repeat": "the last whole answer to a request below the same path",
    "empty": "200 and no body",
    "rewrite": "the answer with other texts in it (`texts`: as they stand in the body -> what stands there instead)",
    "backwards": "the answer with its list of records in the opposite order",
}
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_OF_THE_ANSWER = ("reset", "truncated", "bad_gzip", "slow", "rewrite", "backwards")
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"


class Fault(BaseModel):
    """One line of the script.

    Attributes:
        path: what the path of a request begins with.
        method: only requests of this method.
        start: the first request that is spoiled, counted from 1 among those that match.
        times: how many are spoiled from there on; None: all.
        body: instead of the neutral body of `too_many`, `status`, `unauthorized` and `error_200`.
        headers: further ones of an answer that is made up.
        texts: of `rewrite`. The body of a zip archive is its first file.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    path: str = "/"
    method: str | None = None
    start: int = Field(default=1, ge=1)
    times: int | None = Field(default=1, ge=1)
    status: int = Field(default=503, ge=400, le=599)
    retry_after: float | None = Field(default=None, ge=0)
    as_date: bool = False
    after_bytes: int = Field(default=64, ge=1)
    seconds: float = Field(default=0.1, ge=0)
    location: str = "http://redirected.invalid/"
    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)
    texts: dict[str, str] = Field(default_factory=dict)


class Script(BaseModel):
    """The faults of a test; of several that match, the first spoils the answer, and each counts the request."""

    model_config = ConfigDict(extra="forbid")

    faults: list[Fault]


@dataclass
class Request:
    """A request as it came.

    Attributes:
        at: seconds of the monotonic clock, to compare with each other.
        fault: what spoiled the answer, or empty.
        status: of the answer; None while there is none.
    """

    at: float
    method: str
    path: str
    query: str
    fault: str = ""
    status: int | None = None


@dataclass
class _Answer:
    """A whole answer, held back."""

    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def with_headers(self, *added: tuple[str, str]) -> _Answer:
        """The same answer with other values of some headers."""
        names = {name.lower().encode() for name, _ in added}
        kept = [(name, value) for name, value in self.headers if name.lower() not in names]
        return _Answer(self.status, kept + [(n.lower().encode(), v.encode("latin-1")) for n, v in added], self.body)


class Faults:
    """The middleware.

    Args:
        now: the clock that HTTP dates in Retry-After are counted from; the one that the Date header says.
        bodies: by status, how the vendor words an error.
    """

    def __init__(
        self,
        app: ASGIApp,
        now: Callable[[], dt.datetime] | None = None,
        bodies: Mapping[int, Any] | None = None,
    ) -> None:
        self.app = app
        self.now = now or (lambda: dt.datetime.now(dt.UTC))
        self.bodies = bodies or {}
        self.script: list[Fault] = []
        self.seen: list[int] = []
        self.requests: list[Request] = []
        self.pages: dict[str, _Answer] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as the script says."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        if path == f"{CONTROL}faults":
            await (await self._steer(scope, receive))(scope, receive, send)
            return
        if path.startswith(CONTROL):
            await self.app(scope, receive, send)
            return
        request = Request(time.monotonic(), scope["method"], path, scope["query_string"].decode("latin-1"))
        self.requests.append(request)
        fault = self._next(request)
        request.fault = fault.kind if fault else ""
        await self._answer(fault, request, scope, receive, send)

    def _next(self, request: Request) -> Fault | None:
        found = None
        for n, fault in enumerate(self.script):
            if request.path.startswith(fault.path) and fault.method in (None, request.method):
                self.seen[n] += 1
                due = self.seen[n] >= fault.start and (fault.times is None or self.seen[n] < fault.start + fault.times)
                found = found or (fault if due else None)
        return found

    async def _steer(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] == "POST":
            try:
                script = Script.model_validate_json(await _body(receive))
            except ValidationError as error:
                return JSONResponse({"errors": json.loads(error.json(include_context=False))}, 422)
            self.script, self.seen = script.faults, [0] * len(script.faults)
        elif scope["method"] == "DELETE":
            self.script, self.seen, self.requests, self.pages = [], [], [], {}
        elif scope["method"] != "GET":
            return JSONResponse({"errors": ["GET, POST or DELETE"]}, 405)
        faults = [fault.model_dump() | {"seen": seen} for fault, seen in zip(self.script, self.seen, strict=True)]
        return JSONResponse({"faults": faults, "requests": [asdict(request) for request in self.requests]})

    async def _answer(self, fault: Fault | None, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        if fault is None or fault.kind in _OF_THE_ANSWER:
            answer = await self._asked(scope, receive)
            if fault is None:
                self._remember(request, answer)
            elif fault.kind == "rewrite":
                answer = _rewritten(answer, fault.texts)
            elif fault.kind == "backwards":
                answer = _backwards(answer)
        else:
            answer = self._made_up(fault, request) or await self._asked(scope, receive)
        request.status = answer.status
        if fault is None or fault.kind not in ("reset", "truncated", "bad_gzip", "slow"):
            await _send(send, answer)
        elif fault.kind == "slow":
            await _send_slowly(send, answer, fault)
        elif fault.kind == "bad_gzip":
            await _send(send, _damaged(answer))
        else:
            await _send_part(receive, send, answer, fault)

    async def _asked(self, scope: Scope, receive: Receive) -> _Answer:
        """The application's own answer."""
        answer = _Answer()

        async def hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message["headers"])
            elif message["type"] == "http.response.body":
                answer.body += message.get("body", b"")

        await self.app(scope, receive, hold)
        return answer

    def _remember(self, request: Request, answer: _Answer) -> None:
        if answer.status == 200:
            for fault in self.script:
                if fault.kind == "repeat" and request.path.startswith(fault.path):
                    self.pages[fault.path] = answer

    def _made_up(self, fault: Fault, request: Request) -> _Answer | None:
        """An answer that the application is not asked for; None: there is nothing to repeat yet."""
        if fault.kind == "repeat":
            return self.pages.get(fault.path)
        if fault.kind == "redirect":
            return _Answer(302, body=b"").with_headers(("location", fault.location))
        if fault.kind == "html":
            return _Answer(200, body=_PAGE).with_headers(("content-type", "text/html; charset=utf-8"))
        if fault.kind == "empty":
            return _Answer(200).with_headers(("content-type", "application/json"))
        status = {"too_many": 429, "unauthorized": 401, "error_200": 200}.get(fault.kind, fault.status)
        body = fault.body if fault.body is not None else self.bodies.get(status, {"error": fault.kind})
        answer = _Answer(status, body=json.dumps(body).encode()).with_headers(("content-type", "application/json"))
        answer = answer.with_headers(*fault.headers.items())
        if fault.retry_after is not None:
            answer = answer.with_headers(("retry-after", self._retry_after(fault.retry_after, fault.as_date)))
        return answer

    def _retry_after(self, seconds: float, as_date: bool) -> str:
        """Seconds, or the HTTP date so many seconds from now (RFC 9110, section 10.2.3)."""
        if not as_date:
            return f"{seconds:g}"
        return format_datetime(self.now() + dt.timedelta(seconds=seconds), usegmt=True)


def _with_length(answer: _Answer) -> _Answer:
    return answer.with_headers(("content-length", str(len(answer.body))))


async def _start(send: Send, answer: _Answer) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})


async def _send(send: Send, answer: _Answer) -> None:
    await _start(send, answer if answer.status in (204, 304) else _with_length(answer))
    await send({"type": "http.response.body", "body": answer.body})


async def _send_slowly(send: Send, answer: _Answer, fault: Fault) -> None:
    await _start(send, _with_length(answer))
    for place in range(0, len(answer.body), fault.after_bytes):
        await asyncio.sleep(fault.seconds)
        piece = answer.body[place : place + fault.after_bytes]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_part(receive: Receive, send: Send, answer: _Answer, fault: Fault) -> None:
    """A body that ends before its length: by a reset, or by an orderly end of the connection."""
    promised = _with_length(answer) if len(answer.body) > fault.after_bytes else _promising_more(answer, fault)
    await _start(send, promised)
    await send({"type": "http.response.body", "body": answer.body[: fault.after_bytes], "more_body": True})
    # uvicorn's transport is reached through its own `receive`, which no middleware of Starlette replaces.
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("scripted: the connection ends here")
    if fault.kind == "reset":
        await asyncio.sleep(0.05)  # so that the client has read what was sent before the reset overtakes it
        plain = transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


def _promising_more(answer: _Answer, fault: Fault) -> _Answer:
    return answer.with_headers(("content-length", str(len(answer.body) + fault.after_bytes)))


def _damaged(answer: _Answer) -> _Answer:
    packed = bytearray(gzip.compress(answer.body, mtime=0))
    for place in (len(packed) // 2, len(packed) - 8):  # within the data, and the first byte of the check sum
        packed[place] ^= 0xFF
    return _Answer(answer.status, answer.headers, bytes(packed)).with_headers(("content-encoding", "gzip"))


def _rewritten(answer: _Answer, texts: Mapping[str, str]) -> _Answer:
    """The same answer with other texts, gzipped or in an archive as it was."""
    packed = answer.body.startswith(_GZIP)
    body = gzip.decompress(answer.body) if packed else answer.body
    if not body.startswith(_ZIP):
        body = _replaced(body, texts)
        return _Answer(answer.status, answer.headers, gzip.compress(body, mtime=0) if packed else body)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as before, zipfile.ZipFile(out, "w") as after:
        name = before.namelist()[0]
        after.writestr(name, _replaced(before.read(name), texts))
    return _Answer(answer.status, answer.headers, out.getvalue())


def _replaced(body: bytes, texts: Mapping[str, str]) -> bytes:
    for before, after in texts.items():
        body = body.replace(before.encode(), after.encode("utf-8", "surrogatepass"))
    return body


def _backwards(answer: _Answer) -> _Answer:
    """JSON with its outermost lists turned round: one of records, or one of batches that each have such a list."""
    packed = answer.body.startswith(_GZIP)
    body = json.loads(gzip.decompress(answer.body) if packed else answer.body)
    batches = body[::-1] if isinstance(body, list) else [body]
    for batch in batches:
        for name, value in batch.items():
            batch[name] = value[::-1] if isinstance(value, list) else value
    turned = json.dumps(batches if isinstance(body, list) else body).encode()
    return _Answer(answer.status, answer.headers, gzip.compress(turned, mtime=0) if packed else turned)


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


assert set(KINDS) == set(get_args(Kind))  # noqa: S101
