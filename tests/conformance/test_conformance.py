"""What every connector must survive: one case a row, one platform a column; docs/reference/connectors.md shows the table.

Each case holds what a disturbed fetch brings against what an undisturbed one of the same server brings: the same records,
or an error that says what to do and leaves nothing behind. What is particular to a vendor is in tests/unit/test_source_*.py.
"""

from __future__ import annotations

import datetime as dt
import gc
import inspect
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import httpx
import pytest
from platforms import BY_NAME, COMPANY, HOSTILE, PLATFORMS
from running import Landed, Running, ordered

from onefunnel.errors import ConfigError, EnvironmentNotReady, OnefunnelError, StepFailed
from onefunnel.sources import http, oauth
from onefunnel.sources.inbox import Inbox

LATER = 3  # a day of the same ISO week, so that what changed is asked for and not everything
DEADLINE = "0.8"  # of the connection, where a case waits for its end
EVERYWHERE = {"path": "/", "method": None}


def cases() -> dict[str, Callable[..., None]]:
    """The cases by name; the docstring of each is its row."""
    return {
        name.removeprefix("test_"): case
        for name, case in globals().items()
        if name.startswith("test_") and "vendor" in inspect.signature(case).parameters
    }


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A case runs on every platform that gives no reason against it."""
    if "vendor" in metafunc.fixturenames:
        name = metafunc.function.__name__.removeprefix("test_")
        names = [platform.name for platform in PLATFORMS if name.removesuffix("_in_full") not in platform.reasons]
        metafunc.parametrize("vendor", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Running]]:
    """Platforms whose servers run, each begun once; what an undisturbed fetch brings is fetched before anything is tiny."""
    found: dict[str, Running] = {}
    with ExitStack() as stack:

        def begin(name: str) -> Running:
            if name not in found:
                running = found[name] = Running(BY_NAME[name], tmp_path_factory.mktemp(name), stack)
                with pytest.MonkeyPatch.context() as patch:
                    for constant, value in running.platform.quick.items():
                        patch.setattr(running.platform.connector, constant, value)
                    running.whole()
                    running.whole(running.platform.listed)
            return found[name]

        yield begin


@pytest.fixture(scope="module")
def vendor(begun: Callable[[str], Running], request: pytest.FixtureRequest) -> Running:
    """The platform."""
    return begun(request.param)


@pytest.fixture(autouse=True)
def quick_and_tiny(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Tiny pages, short waits, no faults; whatever a case does, no secret is in the log."""
    if "vendor" not in request.fixturenames:
        yield
        return
    running: Running = request.getfixturevalue("vendor")
    monkeypatch.setattr(http, "FIRST_WAIT_SECONDS", 0.005)
    monkeypatch.setattr(http, "LONGEST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(oauth, "JUST_NOW_SECONDS", 0.0)
    for name, value in {**running.platform.tiny, **running.platform.quick}.items():
        monkeypatch.setattr(running.platform.connector, name, value)
    running.clean()
    if running.platform.settings:
        running.hand("settings", running.platform.settings)
    yield
    running.keeps_secrets(caplog.text)


@contextmanager
def impatient() -> Iterator[None]:
    """Whatever may be asked for again would be asked for too late."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FIRST_WAIT_SECONDS", "LONGEST_WAIT_SECONDS"):
            patch.setattr(http, name, 1e9)
        yield


def fails(vendor: Running, kind: type[OnefunnelError], says: str, **changed: Any) -> None:
    """A fetch of the bulk ends in words, and leaves nothing."""
    with pytest.raises(OnefunnelError) as caught:
        vendor.load(**changed)
    vendor.told(caught.value, kind, says)


# --- what is read ----------------------------------------------------------------------------------------------------


def test_paging(vendor: Running) -> None:
    """Tiny pages hold the same records as large ones, in the bulk and in a list."""
    assert vendor.load() == vendor.whole()
    assert len(vendor.pages()) > 2, "there were pages"
    assert vendor.load(vendor.platform.listed) == vendor.whole(vendor.platform.listed)


def test_order(vendor: Running) -> None:
    """The records of a page may stand in any order (S12)."""
    vendor.spoil({"kind": "backwards", "start": 1, "times": None})
    assert vendor.load() == vendor.whole()
    assert vendor.pages()[0]["fault"] == "backwards"


def test_equal_cursors(vendor: Running) -> None:
    """Of many records with the cursor's own time of change none is lost, however the pages fall (S14)."""
    stream = vendor.platform.moving[1]
    landed = vendor.landed(stream)
    changed = vendor.declared[stream]["columns"]["modified_at"]["from"]
    stamp, crowd = Counter(row[changed] for row in landed.rows if row[changed]).most_common(1)[0]
    assert crowd > 2
    if vendor.platform.name == "hubspot":
        vendor.hand("settings", {"page_size": 2})
        landed.before["cursor"] = round(dt.datetime.fromisoformat(stamp).timestamp() * 1_000)
    else:
        vendor.hand("settings", {"batch_size": 2})
        landed.before["cursors"] = {"Opportunity": stamp}
    whole, landed.hashes = landed.rows, {}
    again = {repr(row) for row in landed.fetch(COMPANY.as_of(1))}
    wanted = {repr(row) for row in whole if row[changed] and row[changed] >= stamp}
    assert wanted <= again and len(again) < len(whole)


def test_moving_records(vendor: Running) -> None:
    """Records that are made, changed and deleted while pages are read are whole after the next run (S13)."""
    stream, own = vendor.platform.moving[0], vendor.at(-1)
    if vendor.platform.settings:
        vendor.hand("settings", vendor.platform.settings, own)
    landed, connector, seen = Landed(vendor, stream), vendor.connect(own), []

    def move(response: httpx.Response) -> None:
        seen.append(response.request.url.path)
        if len(seen) == 8:
            vendor.hand("day", {"day": LATER}, own)

    _ = connector.api
    connector.api._client.event_hooks["response"].append(move)
    landed.fetch(COMPANY.as_of(1), connector=connector)
    connector.close()
    assert len(seen) > 10, "it was read further"
    landed.fetch(COMPANY.as_of(LATER), url=own)
    assert landed.rows == vendor.whole(stream, LATER)


def test_restated(vendor: Running) -> None:
    """What came late, was restated or withdrawn is what a first load of the later day says; a second look is no news (S19, S20)."""
    changed = 0
    for stream in vendor.platform.moving:
        landed = vendor.landed(stream)
        before, size = landed.rows, len(landed.hashes)
        brought = landed.fetch(COMPANY.as_of(LATER), url=vendor.at(LATER))
        assert landed.rows == vendor.whole(stream, LATER)
        changed += landed.rows != before
        if not vendor.platform.is_crm:
            sums = landed.summed(vendor.platform.counted)
            assert {key: Decimal(landed.totals[key]) for key in sums} == sums and any(sums.values())
        assert len(brought) < len(landed.rows) or size < 30, "only what changed"
        assert landed.fetch(COMPANY.as_of(LATER), url=vendor.at(LATER)) == []
    assert changed


def test_deleted_records(vendor: Running) -> None:
    """Deleted records say so, deleted for good they are closed, merged ones name who is left, converted ones stay one (S21–S24)."""
    stream, own = vendor.platform.moving[0], vendor.at(-LATER)
    landed = Landed(vendor, stream)
    landed.fetch(COMPANY.as_of(LATER), url=own)
    columns = vendor.declared[stream]["columns"]
    merged, deleted = columns["merged_into_id"]["from"], columns["is_deleted"]["from"]
    key = columns["lead_id"]["from"]
    alive = [row for row in landed.rows if row[merged] is None and row[deleted] == "false"]
    assert any(row[merged] for row in landed.rows) and any(row[deleted] == "true" for row in landed.rows)
    assert all(row[merged] in {r[key] for r in landed.rows} for row in landed.rows if row[merged]), "they are there"
    assert any(row[columns["converted_at"]["from"]] for row in alive), "a lead that was converted is a lead once"
    gone = alive[3][key]
    vendor.hand("hard_delete", {"id": gone}, own)
    later = COMPANY.as_of(LATER) + dt.timedelta(days=7)
    landed.fetch(later, url=own)
    left, _ = vendor.fetch(vendor.asked(stream, later), url=own)
    assert landed.rows == ordered(left) and gone not in {row[key] for row in landed.rows}


def test_clocks(vendor: Running) -> None:
    """Our clock may be an hour before the vendor's or behind it, and may go back between two runs (S37)."""
    stream, hour = vendor.platform.moving[-1], dt.timedelta(hours=1)
    landed = Landed(vendor, stream)
    for skew in (hour, -hour):
        landed.fetch(COMPANY.as_of(1) + skew)
    landed.fetch(COMPANY.as_of(LATER) - hour, url=vendor.at(LATER))
    assert landed.rows == vendor.whole(stream, LATER)


def test_search_window(vendor: Running) -> None:
    """More records than a search can be paged through come nevertheless (S15)."""
    stream = vendor.platform.moving[0]
    landed = vendor.landed(stream)
    whole = [row for row in landed.rows if row["modified_at"]]
    vendor.hand("settings", {"search_window": 10, "page_size": 7})
    landed.hashes, landed.before["cursor"] = {}, 1
    try:
        brought = landed.fetch(COMPANY.as_of(1))
    finally:
        vendor.hand("settings", {"search_window": 10_000})
    assert landed.before["read"] == "what changed" and len(brought) > 50
    assert {repr(row) for row in whole if row["archived"] == "false"} <= {repr(row) for row in brought}


# --- what fails on the way -------------------------------------------------------------------------------------------


def test_restart(vendor: Running) -> None:
    """A fetch that dies after n requests leaves no delivery, and the next one is whole."""
    number = len(vendor.usual())
    for n in (1, number // 2, number):
        vendor.spoil({"kind": "redirect", "start": n, "times": None, **EVERYWHERE})
        fails(vendor, StepFailed, "redirects to redirected.invalid")
    vendor.recovers()


@pytest.mark.long
def test_restart_in_full(vendor: Running) -> None:
    """A fetch may die after any number of requests."""
    for n in range(1, len(vendor.usual()) + 1):
        vendor.spoil({"kind": "redirect", "start": n, "times": None, **EVERYWHERE})
        fails(vendor, StepFailed, "redirects")
    vendor.recovers()


def test_repeated_page(vendor: Running) -> None:
    """A page that comes twice is noticed: it is asked for again or the fetch ends in words; a circle always ends (S11)."""
    vendor.spoil({"kind": "repeat"})
    try:
        assert vendor.load() == vendor.whole()
    except OnefunnelError as error:
        vendor.told(error, StepFailed, "")
    vendor.clean()
    vendor.spoil({"kind": "repeat", "times": None})
    fails(vendor, StepFailed, "again|circle|given before|not about|not whole")
    assert len(vendor.journal()) < 60
    vendor.recovers()


def test_too_many(vendor: Running) -> None:
    """429 in the vendor's words: what Retry-After asks for is waited, in seconds and as a date (S1)."""
    fault = {**vendor.platform.spoiled["too_many"].fault, "kind": "too_many", "retry_after": 1}
    first = vendor.platform.page["start"]
    vendor.spoil({**fault, "start": first}, {**fault, "start": first + 2, "as_date": True})
    assert vendor.load() == vendor.whole()
    waits = [b["at"] - a["at"] for a, b in pairwise(vendor.pages()) if a["fault"]]
    assert len(waits) == 2 and all(1.0 <= wait < 5.0 for wait in waits)


def test_quota(vendor: Running) -> None:
    """A quota of the day that is used up is said at once, and when it is open again (S2)."""
    said = vendor.platform.spoiled["quota"]
    vendor.spoil({**said.fault, "start": 2, "times": None})
    assert said.error is not None
    fails(vendor, said.error, said.says, deadline_seconds="30")
    assert sum(bool(r["fault"]) for r in vendor.journal()) == 1, "nobody knocks twice"
    vendor.recovers()


def test_side_by_side(vendor: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where requests go on side by side, a used-up quota ends all of them: none that was answered so knocks again (S2)."""
    most = 4
    monkeypatch.setattr(vendor.platform.connector, "AT_ONCE", most)
    assert vendor.load() == vendor.whole()
    said = vendor.platform.spoiled["quota"]
    vendor.clean()
    vendor.spoil({**said.fault, "start": 2, "times": None})
    assert said.error is not None
    fails(vendor, said.error, said.says, deadline_seconds="30")
    refused = [r["at"] for r in vendor.journal() if r["fault"]]
    assert 1 <= len(refused) <= most, "no more than were under way"
    assert max(refused) - min(refused) < 0.5
    asked = len(vendor.journal())
    time.sleep(0.1)
    assert len(vendor.journal()) == asked, "nobody goes on behind"
    vendor.recovers()


def test_burst(vendor: Running) -> None:
    """429 without a time, 500, 502, 503 and 504 in a row are waited out (S2, S3)."""
    first = vendor.platform.page["start"]
    faults = [{"kind": "status", "status": s, "start": first + n} for n, s in enumerate((500, 502, 503, 504))]
    vendor.spoil(*faults, {"kind": "too_many", "start": first + 4})
    assert vendor.load() == vendor.whole()
    assert sum(bool(r["fault"]) for r in vendor.pages()) == 5


@pytest.mark.long
@pytest.mark.parametrize("times", range(1, 13))
def test_burst_in_full(vendor: Running, times: int) -> None:
    """As many as there are."""
    vendor.spoil({"kind": "status", "times": times})
    assert vendor.load() == vendor.whole()


def test_for_ever(vendor: Running) -> None:
    """503 for ever ends within `deadline_seconds` of the connection, and the message names the endpoint (S4)."""
    vendor.spoil({"kind": "status", "times": None})
    began = time.monotonic()
    fails(vendor, EnvironmentNotReady, re.escape(vendor.platform.page["path"]), deadline_seconds=DEADLINE)
    assert time.monotonic() - began < 4
    vendor.recovers()


def test_no_answer(vendor: Running) -> None:
    """Neither an answer that does not come nor one that comes byte by byte holds a fetch beyond its deadline (S5)."""
    for fault, says in (
        ({"after_bytes": 10**6, "seconds": 1.5}, "in time"),
        ({"after_bytes": 8, "seconds": 0.04}, "come to its end"),
    ):
        vendor.spoil({"kind": "slow", "times": None, **fault})
        began = time.monotonic()
        fails(vendor, EnvironmentNotReady, says, deadline_seconds=DEADLINE)
        assert time.monotonic() - began < 4
    vendor.recovers()


def test_broken_body(vendor: Running) -> None:
    """A reset, a body that ends early and damaged gzip are asked for again; no part of such a page is kept (S6)."""
    first = vendor.platform.page["start"]
    cuts = [{"kind": "truncated", "after_bytes": n} for n in (1, 64, 500)]
    faults = [{"kind": "reset"}, {"kind": "bad_gzip"}, *cuts]
    vendor.spoil(*({**fault, "start": first + n} for n, fault in enumerate(faults)))
    assert vendor.load() == vendor.whole()
    assert sum(bool(r["fault"]) for r in vendor.pages()) == len(faults)


@pytest.mark.long
def test_broken_body_in_full(vendor: Running) -> None:
    """Cut at every 64th byte."""
    first = vendor.platform.page["start"]
    vendor.spoil(*({"kind": "truncated", "after_bytes": 1 + 64 * n, "start": first + n} for n in range(64)))
    assert vendor.load() == vendor.whole()


def test_not_the_api(vendor: Running) -> None:
    """A sign-in page or nothing, with status 200, is asked for again, and ends in words where it stays (S7, S16)."""
    first = vendor.platform.page["start"]
    vendor.spoil({"kind": "html", "start": first}, {"kind": "empty", "start": first + 1})
    assert vendor.load() == vendor.whole()
    for kind in ("html", "empty"):
        vendor.spoil({"kind": kind, "times": None})
        with impatient(), pytest.raises(OnefunnelError) as caught:
            vendor.load()
        vendor.told(caught.value, type(caught.value), "not JSON|not what was asked for|not whole|No answer")
    vendor.recovers()


def test_error_200(vendor: Running) -> None:
    """An error with status 200 is an error, the vendor's or anybody's, whatever was asked; never a crash, never a record (S7)."""
    said = vendor.platform.spoiled["error_200"]
    vendor.spoil({**said.fault, "times": None})
    fails(vendor, StepFailed, said.says)
    requests = vendor.usual()
    kinds = {
        (r["method"], re.sub(r"[0-9]+.*|[?].*", "", r["path"][12:])): n for n, r in reversed([*enumerate(requests, 1)])
    }
    for n in (*kinds.values(), len(requests)):
        vendor.spoil({"kind": "error_200", "start": n, "times": None, **EVERYWHERE})
        with impatient(), pytest.raises(OnefunnelError) as caught:
            vendor.load()
        vendor.told(caught.value, type(caught.value), "")
    vendor.recovers()


def test_expired_token(vendor: Running) -> None:
    """A token that expires on the way is renewed once; where it cannot be, what to do at the connection is said (S8)."""
    token = vendor.platform.token
    at = {"path": vendor.platform.with_token or vendor.platform.page["path"]}
    if token:
        vendor.spoil({"kind": "unauthorized", **at})
        assert vendor.load() == vendor.whole()
        assert sum(r["path"] == token for r in vendor.journal()) == 2
        vendor.clean()
    refused = {
        "kind": "status",
        "status": 400,
        "path": token,
        "start": 2,
        "times": None,
        "body": {"error": "invalid_grant"},
    }
    vendor.spoil({"kind": "unauthorized", **at, "times": None}, *([refused | {"method": None}] if token else []))
    fails(vendor, ConfigError, "sign in again" if token else "the connection")
    vendor.recovers()


def test_wrong_secret(vendor: Running) -> None:
    """A secret that is wrong is named, not shown (P22, X3)."""
    for name in vendor.platform.secrets:
        with pytest.raises(ConfigError) as caught:
            vendor.load(**{name: "wrong-secret-0815"})
        assert "token" in str(caught.value) and "connection" in str(caught.value)
        assert "wrong-secret" not in str(caught.value) and caught.value.do


# --- what the vendor refuses -----------------------------------------------------------------------------------------


def meets(vendor: Running, case: str) -> None:
    """What a platform says of a case, and that the next fetch is whole."""
    said = vendor.platform.spoiled[case]
    settings = said.fault.get("settings")
    if settings:
        vendor.hand("settings", settings)
    else:
        vendor.spoil({"times": None, **said.fault, "start": 1})
    try:
        if said.error is None or said.fault.get("times"):
            assert vendor.load() == vendor.whole()
        else:
            fails(vendor, said.error, said.says)
    finally:
        if settings:
            vendor.hand("settings", {name: [] for name in settings})
    vendor.recovers()


def test_forbidden(vendor: Running) -> None:
    """What the credentials may not read is red and names the scope; it is never an empty table (S9)."""
    meets(vendor, "forbidden")


def test_taken_away(vendor: Running) -> None:
    """A permission that is taken away between two runs is red, though the vendor may answer with nothing at all (S9, S17)."""
    landed = vendor.landed(vendor.platform.bulk)
    path, away, back = vendor.platform.takes_away
    vendor.hand(path, away)
    vendor.accounts = ()  # nobody names them, so the others are still there
    try:
        with pytest.raises(OnefunnelError) as caught:
            landed.fetch(COMPANY.as_of(1) + dt.timedelta(hours=1))
    finally:
        vendor.hand(path, back)
        vendor.accounts = vendor.platform.accounts
    vendor.told(caught.value, type(caught.value), "scope|permission|not reached any more")
    assert landed.rows == vendor.whole()
    vendor.recovers()


def test_nothing_there(vendor: Running) -> None:
    """A list without records does not delete what was there, unless the permission to see it is proven (S16, S17)."""
    landed = vendor.landed(vendor.platform.bulk)
    if not vendor.platform.is_crm:  # days without a row were without spend, and say so
        long_ago = COMPANY.simulation.first_day - dt.timedelta(days=3)
        cell = tuple(
            str(long_ago) if name == "spend_date" else next(iter(landed.hashes))[n]
            for n, name in enumerate(vendor.cell(landed.stream))
        )
        landed.hashes, landed.records = {cell: "x"}, {}
        landed.totals = dict.fromkeys(landed.summed(vendor.platform.counted), "1")
        assert landed.fetch(COMPANY.as_of(1), since=long_ago, dates=(long_ago, long_ago)) == []
        assert landed.hashes == {cell: ""}
        assert landed.totals == dict.fromkeys(landed.summed(vendor.platform.counted), "0"), (
            "what was said has been taken back"
        )
        return
    empty = {"results": []} if vendor.platform.name == "hubspot" else {"totalSize": 0, "done": True, "records": []}
    path = vendor.platform.page["path"].replace("query/01g", "queryAll")
    vendor.spoil({"kind": "error_200", "body": empty, "path": path, "start": 1, "times": None})
    try:
        landed.fetch(COMPANY.as_of(1) + dt.timedelta(days=7))
    except OnefunnelError as error:
        vendor.told(error, StepFailed, "are known")
    assert landed.rows == vendor.whole()


def test_lost_field(vendor: Running) -> None:
    """A field that is not there any more stops the stream and is named (S27)."""
    meets(vendor, "lost_field")


def test_new_field(vendor: Running) -> None:
    """A field that nobody asked for changes nothing (S26)."""
    vendor.spoil({"kind": "rewrite", "texts": dict(vendor.platform.unknown), "start": 1, "times": None})
    assert vendor.load() == vendor.whole()
    assert vendor.pages()[0]["fault"] == "rewrite"


def test_another_type(vendor: Running) -> None:
    """A number that is a text all at once arrives as it was written, for staging to refuse, or is an error; never another number (S28)."""
    stream, column, written = vendor.platform.number
    rows = vendor.whole(stream)
    values = sorted({row[column] for row in rows if row[column]}, key=lambda text: (-len(text), text))
    instead = dict(zip(values, ("N/A", "1,234.50"), strict=False))
    texts = {written.format(v): written.format(t if '"{}"' in written else f'"{t}"') for v, t in instead.items()}
    vendor.spoil({"kind": "rewrite", "start": 1, "times": None, "texts": texts, **EVERYWHERE})
    try:
        found = vendor.load(stream)
    except OnefunnelError as error:
        vendor.told(error, StepFailed, "", stream)
        assert not any(text in str(error) for text in instead.values())
    else:
        assert Counter(row[column] for row in found) == Counter(instead.get(r[column], r[column]) for r in rows)


def test_sunset(vendor: Running) -> None:
    """A version of the API that is switched off is said as such, with what to do (S39)."""
    meets(vendor, "sunset")


def test_expired_page(vendor: Running) -> None:
    """A token or an address of a page that has expired is begun anew, or ends in words (S10)."""
    meets(vendor, "expired_page")


def test_foreign_address(vendor: Running) -> None:
    """The address of a page at another host is not followed; nothing is sent there (X11)."""
    meets(vendor, "foreign_address")


def test_redirect(vendor: Running) -> None:
    """A redirect is not followed, to whatever host (X11)."""
    vendor.spoil({"kind": "redirect", "location": "http://169.254.169.254/latest"})
    fails(vendor, StepFailed, "redirects to 169.254.169.254")
    vendor.spoil({"kind": "redirect", "location": f"{vendor.url}/elsewhere"})
    fails(vendor, StepFailed, "redirects")
    assert not any(r["path"] == "/elsewhere" for r in vendor.journal())


# --- what records hold -----------------------------------------------------------------------------------------------


def test_hostile_text(vendor: Running) -> None:
    """Texts that hurt (NUL, half characters, line breaks, quotes, a million letters) arrive as they are (S42, X4)."""
    stream, key, column = vendor.platform.named
    rows = vendor.whole(stream)
    names = [name for name, count in Counter(row[column] for row in rows).items() if name and count == 1]
    corpus = {name: "".join(HOSTILE[n :: len(names)]) for n, name in enumerate(names[: len(HOSTILE)])}
    texts = {as_written(vendor, name): as_written(vendor, text) for name, text in corpus.items()}
    vendor.spoil({"kind": "rewrite", "start": 1, "times": None, "texts": texts, **EVERYWHERE})
    found = {row[key]: row[column] for row in vendor.load(stream)}
    assert found == {row[key]: whole(corpus.get(row[column], row[column])) for row in rows}


def as_written(vendor: Running, text: str) -> str:
    """A text as it stands in an answer: JSON of ASCII where it is hostile, CSV of a report."""
    if vendor.platform.name == "microsoft_ads":
        return '"{}"'.format(whole(text).replace('"', '""'))
    return json.dumps(text, ensure_ascii=any(part in text for part in HOSTILE))


def whole(text: str) -> str:
    """Half a character is the replacement character."""
    return text and text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_long_ids(vendor: Running) -> None:
    """An id keeps every digit beyond 2^53, and the case of its letters (S30)."""
    stream, key, _ = vendor.platform.named
    ids = {row[key] for row in vendor.whole(stream)}
    one, other = sorted(ids)[:2]
    instead = (
        (one[:14] + "Z" + one[15:], one[:14] + "z" + one[15:])
        if vendor.platform.name == "salesforce"
        else ("9007199254740993", "18446744073709551615")
    )
    texts = dict(zip((one, other), instead, strict=True))
    vendor.spoil({"kind": "rewrite", "start": 1, "times": None, "texts": texts, **EVERYWHERE})
    assert {row[key] for row in vendor.load(stream)} == ids - {one, other} | set(instead)


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_requests_are_counted(vendor: Running) -> None:
    """The receipt of a stream says how many requests that stream has cost, not those before it; and it has its control totals."""
    connector = vendor.connect()
    for stream in (vendor.platform.moving[-1], vendor.platform.listed):
        vendor.clean()
        _, beside = vendor.fetch(vendor.asked(stream), connector=connector)
        assert beside is not None
        if stream != vendor.platform.listed:
            assert {total["measure"] for total in beside.totals.to_pylist()} == set(vendor.platform.counted)
        assert beside.about["requests"] == sum(r["path"] != vendor.platform.token for r in vendor.journal()), stream
    connector.close()


def test_memory(vendor: Running) -> None:
    """What a connector holds when it delivers does not grow with the records: no record is a Python object."""
    held: list[tuple[int, int]] = []

    class Watching(Inbox):
        def deliver(self, *given: Any, **named: Any) -> int:
            size = held_by([given, named, *(frame.f_locals for frame in frames_of_sources())])
            held.append((super().deliver(*given, **named), size))
            return held[-1][0]

    stream = vendor.platform.moving[0]
    less = vendor.asked(stream)
    more = vendor.asked(stream, since=less.since - dt.timedelta(days=20))
    for asked in (less, more) if not vendor.platform.is_crm else (vendor.asked("users"), less):
        with closing(vendor.connect()) as connector:
            connector.fetch(asked, Watching(vendor.folder / "inbox", asked, vendor.cell(asked.stream)))
    (few, little), (many, much) = held
    assert many > few + 40
    assert (much - little) / (many - few) < 400, "bytes for each further record: its id, and its part of a page's name"


def frames_of_sources() -> Iterator[Any]:
    """What the connectors are doing at present."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals["__name__"].startswith("onefunnel.sources"):
            yield frame
        frame = frame.f_back


def held_by(things: list[Any]) -> int:
    """Bytes of all Python objects that are reachable from things, through containers and objects of the sources."""
    seen: set[int] = set()
    total = 0
    while things:
        thing = things.pop()
        ours = type(thing).__module__.startswith(("builtins", "onefunnel.sources", "pathlib"))
        if id(thing) not in seen and ours and not isinstance(thing, type | FunctionType | ModuleType | MethodType):
            seen.add(id(thing))
            total += sys.getsizeof(thing)
            things += gc.get_referents(thing)
    return total


# --- the suite itself -----------------------------------------------------------------------------------------------


def test_every_case_is_run_on_every_platform_or_has_its_reason() -> None:
    named = set(cases())
    for platform in PLATFORMS:
        assert set(platform.reasons) <= named, "a reason is for a case that there is"
        assert all(len(reason) > 10 for reason in platform.reasons.values())
        spoiled = {
            "too_many",
            "quota",
            "forbidden",
            "lost_field",
            "sunset",
            "error_200",
            "expired_page",
            "foreign_address",
        }
        assert set(platform.spoiled) == spoiled - set(platform.reasons)
    assert all(inspect.getdoc(case) for case in cases().values())


def test_every_connector_is_in_the_suite() -> None:
    there = {path.stem for path in Path(http.__file__).parent.glob("*.yml")}
    assert there == set(BY_NAME)
