"""The client of vendors' APIs against a server whose answers are spoiled by a script: real sockets, no mocks."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from onefunnel.errors import ConfigError, EnvironmentNotReady, StepFailed
from onefunnel.sandbox.company import Company
from onefunnel.sandbox.servers import serve
from onefunnel.sandbox.servers.control import Clock, new_app
from onefunnel.sources.http import Again, Api, Number, Stopped, quoted, retry_after

NOW = dt.datetime(2026, 4, 1, 6, tzinfo=dt.UTC)
BODY = {"records": [{"id": n, "amount": 12.10} for n in range(200)]}
TEXT = json.dumps(BODY)


def application() -> FastAPI:
    app = new_app("an API", Clock(Company(), day=1))

    @app.get("/v1/page")
    async def page(request: Request) -> Response:
        if request.headers.get("authorization") not in ("Bearer old", "Bearer new"):
            return JSONResponse({"error": "who are you"}, 401)
        headers = {"content-encoding": "gzip", "x-quota": "7/100"}
        return Response(gzip.compress(TEXT.encode()), media_type="application/json", headers=headers)

    return app


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(application()) as base:
        yield base


@pytest.fixture
def script(url: str) -> Iterator[Any]:
    """Posts a script of faults; afterwards asks for the journal."""

    def post(*faults: dict[str, Any]) -> None:
        httpx.post(f"{url}/_sandbox/faults", json={"faults": list(faults)}).raise_for_status()

    httpx.delete(f"{url}/_sandbox/faults").raise_for_status()
    yield post
    httpx.delete(f"{url}/_sandbox/faults").raise_for_status()


def journal(url: str) -> list[dict[str, Any]]:
    return list(httpx.get(f"{url}/_sandbox/faults").json()["requests"])


class Token:
    """A token that can be refreshed once."""

    def __init__(self) -> None:
        self.refreshed = 0

    def __call__(self, refused: bool) -> dict[str, str]:
        self.refreshed += refused
        return {"Authorization": "Bearer new" if self.refreshed else "Bearer old"}


def api(url: str, **more: Any) -> Api:
    given = {"headers": Token(), "limits": ("x-quota",), "deadline": 4.0, "read_seconds": 1.0}
    return Api("source crm, object Deal", f"{url}/v1", **{**given, **more})


def test_a_page_is_saved_as_it_came_and_parsed(url: str, script: Any, tmp_path: Path) -> None:
    script({"kind": "html", "path": "/v1/page"})
    with api(url) as client:
        body = client.page("GET", "page", tmp_path / "page.json")
    assert (tmp_path / "page.json").read_text(encoding="utf-8") == TEXT
    assert body["records"][7]["amount"] == "12.1" and len(body["records"]) == 200


def test_an_answer_keeps_every_digit_and_tells_what_it_cost(url: str, script: Any, tmp_path: Path) -> None:
    with api(url) as client:
        found = client.json("GET", "page")
        client.save("GET", "page", tmp_path / "page.json")
    assert found["records"][0] == {"id": "0", "amount": "12.1"} and type(found["records"][0]["amount"]) is Number
    assert (tmp_path / "page.json").read_text() == TEXT
    usage = client.usage
    assert (usage.requests, usage.retries, usage.limits) == (2, 0, {"x-quota": "7/100"})
    assert usage.bytes == 2 * len(TEXT)
    assert client.server_time == NOW.timestamp()


MENDED = [
    {"kind": "status", "status": 503, "times": 2},
    {"kind": "status", "status": 500},
    {"kind": "too_many", "retry_after": 0.0},
    {"kind": "too_many", "retry_after": None},
    {"kind": "reset"},
    {"kind": "truncated"},
    {"kind": "bad_gzip"},
    {"kind": "html"},
    {"kind": "empty"},
    {"kind": "unauthorized"},
]


@pytest.mark.parametrize("fault", MENDED, ids=lambda f: f"{f['kind']} {f.get('status', '')}")
def test_what_another_try_mends_is_mended_and_gives_the_whole_answer(
    url: str, script: Any, tmp_path: Path, fault: dict[str, Any]
) -> None:
    script(fault)
    with api(url) as client:
        assert client.json("GET", "page")["records"][-1]["id"] == "199"
    assert client.usage.retries == fault.get("times", 1) == sum(1 for r in journal(url) if r["fault"])


@pytest.mark.parametrize("kind", ["reset", "truncated", "bad_gzip"])
def test_a_file_is_whole_or_not_there(url: str, script: Any, tmp_path: Path, kind: str) -> None:
    script({"kind": kind, "times": 1})
    with api(url) as client:
        client.save("GET", "page", tmp_path / "page.json")
    assert (tmp_path / "page.json").read_text() == TEXT
    script({"kind": kind, "times": None})
    with api(url, deadline=0.2) as client, pytest.raises(EnvironmentNotReady):
        client.save("GET", "page", tmp_path / "other.json")
    assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "status", "status": 502}, "HTTP 502"),
        ({"kind": "reset"}, "connection broke|breaks off"),
        ({"kind": "html"}, "not JSON but text/html"),
        ({"kind": "slow", "seconds": 5.0}, "no answer in time"),
    ],
    ids=lambda f: f["kind"] if isinstance(f, dict) else "",
)
def test_what_never_ends_is_an_environment_error_in_bounded_time(
    url: str, script: Any, fault: dict[str, Any], words: str
) -> None:
    script({**fault, "times": None})
    with api(url, deadline=1.5) as client, pytest.raises(EnvironmentNotReady, match=words) as caught:
        client.json("GET", "page?token=very-secret")
    assert "source crm, object Deal: GET" in str(caught.value) and "very-secret" not in str(caught.value)
    asked = [r["at"] for r in journal(url)]
    assert asked[-1] - asked[0] < 4


def test_a_server_that_asks_to_wait_is_waited_for(url: str, script: Any) -> None:
    script({"kind": "too_many", "retry_after": 1.0})
    with api(url) as client:
        client.json("GET", "page")
    first, second = (r["at"] for r in journal(url))
    assert second - first >= 1.0


def test_a_quota_that_is_open_again_later_is_told_at_once(url: str, script: Any) -> None:
    script({"kind": "too_many", "retry_after": 7200.0, "as_date": True, "times": None})
    with api(url) as client, pytest.raises(EnvironmentNotReady, match="open again at Wed, 01 Apr 2026 08:00:00 GMT"):
        client.json("GET", "page")
    assert len(journal(url)) == 1, "nothing is asked in vain"


def test_what_one_request_is_told_to_wait_all_wait(url: str, script: Any) -> None:
    script({"kind": "too_many", "retry_after": 1.0})
    with api(url) as client, ThreadPoolExecutor() as pool:
        told = pool.submit(client.json, "GET", "page")
        while not client.usage.retries:
            time.sleep(0.01)
        assert pool.submit(client.json, "GET", "page").result() == told.result()
    first, *others = (r["at"] for r in journal(url))
    assert len(others) == 2 and min(others) - first >= 1.0


def test_a_quota_that_one_request_has_met_is_told_to_the_others(url: str, script: Any) -> None:
    script({"kind": "too_many", "retry_after": 7200.0, "times": None})
    with api(url) as client:
        for _ in range(2):
            with pytest.raises(EnvironmentNotReady, match="The quota is used up: HTTP 429"):
                client.json("GET", "page")
    assert len(journal(url)) == 1, "nobody asks in vain"


def test_nothing_is_asked_while_it_is_stopped(url: str, script: Any) -> None:
    script({"kind": "too_many", "retry_after": 3.0, "times": None})
    with api(url) as client, ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.json, "GET", "page")
        while not client.usage.retries:
            time.sleep(0.01)
        client.stopping.set()
        for each in (waiting, pool.submit(client.json, "GET", "page")):
            with pytest.raises(Stopped):
                each.result(timeout=1.0)
    assert len(journal(url)) == 1


def test_a_token_is_refreshed_once_and_then_the_credentials_are_wrong(url: str, script: Any) -> None:
    token = Token()
    script({"kind": "unauthorized", "times": None})
    with api(url, headers=token) as client, pytest.raises(ConfigError, match="does not accept the credentials"):
        client.json("GET", "page")
    assert token.refreshed == 1 and len(journal(url)) == 2


def test_a_lost_permission_is_red_and_no_empty_table(url: str, script: Any) -> None:
    script({"kind": "status", "status": 403, "times": None})
    with api(url) as client, pytest.raises(StepFailed, match="permission is missing"):
        client.json("GET", "page")
    assert len(journal(url)) == 1


@pytest.mark.parametrize("path", ["http://169.254.169.254/latest", "https://127.0.0.1/v1/page", "http://127.0.0.1:1/x"])
def test_no_page_leads_to_another_host(url: str, script: Any, path: str) -> None:
    with api(url) as client, pytest.raises(StepFailed, match="on another host"):
        client.json("GET", path)
    assert journal(url) == []


def test_redirects_are_not_followed(url: str, script: Any) -> None:
    script({"kind": "redirect", "times": None})
    with api(url) as client, pytest.raises(StepFailed, match=r"redirects to redirected\.invalid"):
        client.json("GET", "page")
    assert len(journal(url)) == 1


def test_the_connector_says_what_its_vendors_errors_mean(url: str, script: Any) -> None:
    def explain(response: httpx.Response, body: Any) -> StepFailed | Again | None:
        error = body.get("error") if isinstance(body, dict) else None
        return Again("a query that took too long", 0.0) if error else None

    script({"kind": "error_200", "body": {"error": {"code": 4}}})
    with api(url, explain=explain) as client:
        assert len(client.json("GET", "page")["records"]) == 200
    assert client.usage.retries == 1


def test_a_file_that_begins_otherwise_is_an_error_or_asked_for_again(url: str, script: Any, tmp_path: Path) -> None:
    def explain(response: httpx.Response, body: Any) -> StepFailed | None:
        return StepFailed("no") if isinstance(body, dict) and "error" in body else None

    script({"kind": "html"})
    with api(url, explain=explain) as client:
        client.save("GET", "page", tmp_path / "page.json", begins=b'{"records"')
        assert client.usage.retries == 1 and (tmp_path / "page.json").read_text() == TEXT
        script({"kind": "error_200"})
        with pytest.raises(StepFailed, match="no") as caught:
            client.save("GET", "page", tmp_path / "other.json", begins=b'{"records"')
    assert caught.value.do and not (tmp_path / "other.json").exists()


def test_an_error_within_a_file_is_explained_or_asked_for_again(url: str, script: Any, tmp_path: Path) -> None:
    """A stream has begun well, with status 200; of what it ends in the connector finds the error."""

    def explain(response: httpx.Response, body: Any) -> StepFailed | None:
        return StepFailed("no") if body == {"error": "no"} else None

    def error_in(page: Path) -> Any:
        return next((each for each in json.loads(page.read_text())["records"] if "error" in each), None)

    page, kind = tmp_path / "page.json", {"begins": b'{"records"', "error_in": error_in}
    script({"kind": "error_200", "body": {"records": [{"id": 1}, {"error": "of nobody's"}]}})
    with api(url, explain=explain) as client:
        client.save("GET", "page", page, **kind)
        assert client.usage.retries == 1 and page.read_text() == TEXT
        script({"kind": "error_200", "body": {"records": [{"id": 1}, {"error": "no"}]}})
        with pytest.raises(StepFailed, match="no"):
            client.save("GET", "page", tmp_path / "other.json", **kind)
    assert not (tmp_path / "other.json").exists()


def test_a_wait_that_a_header_asks_for_counts_whatever_the_body_means(url: str, script: Any) -> None:
    script({"kind": "too_many", "retry_after": 7200.0})
    with (
        api(url, explain=lambda *_: Again("slower", 0.0)) as client,
        pytest.raises(EnvironmentNotReady, match=r"slower\. It is open again at Wed, 01 Apr 2026 08:00:00 GMT"),
    ):
        client.json("GET", "page")


def test_what_an_api_says_of_an_error_is_told_without_addresses_of_people() -> None:
    assert quoted({"message": "no <b>anna@example.com</b>"}) == '{"message": "no …@… "}'
    assert len(quoted("x" * 9_000)) == 200 and quoted(" ") == "no reason given"


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("120", None) == 120
    assert retry_after("Wed, 01 Apr 2026 06:02:00 GMT", NOW.timestamp()) == 120
    assert retry_after("Wed, 01 Apr 2026 05:00:00 GMT", NOW.timestamp()) == 0
    assert retry_after("soon", None) is None and retry_after(None, None) is None
