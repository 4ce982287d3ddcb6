"""What connectors of advertising platforms share: control totals, and what they ask for side by side."""

import datetime as dt
import threading
import time

import pytest

from onefunnel.errors import StepFailed
from onefunnel.sources.ad_accounts import AdAccount, Together, totals

EURO, YEN = (AdAccount(id_, id_, currency, "UTC") for id_, currency in (("1", "EUR"), ("2", "JPY")))
DAY, NEXT = dt.date(2026, 3, 1), dt.date(2026, 3, 2)


def test_a_total_says_to_what_the_vendor_rounds_in_the_currency_of_the_account():
    said = [("1", "2026-03-01", {"spend_amount": "1.2E+1", "clicks": "3"}), ("2", "2026-03-01", {"spend_amount": "7"})]
    told = totals(said, {EURO: (DAY, NEXT), YEN: (DAY, DAY)}, ["spend_amount"], but=["2026-03-02"]).to_pylist()
    assert [tuple(row.values()) for row in told] == [
        ("1", "2026-03-01", "spend_amount", "12", "0.01"),
        ("1", "2026-03-01", "impressions", "0", None),
        ("1", "2026-03-01", "clicks", "3", None),
        ("2", "2026-03-01", "spend_amount", "7", "1"),
        ("2", "2026-03-01", "impressions", "0", None),
        ("2", "2026-03-01", "clicks", "0", None),
    ]


def test_what_is_no_number_is_red():
    with pytest.raises(StepFailed, match="control total of 1, 2026-03-01"):
        totals([("1", "2026-03-01", {"clicks": "many"})], {EURO: (DAY, DAY)})


def test_things_come_in_their_order_and_those_of_two_calls_share_the_pool():
    meeting = threading.Barrier(2, timeout=5)  # each waits there for one of the other call
    with Together(2, threading.Event()) as together:
        first, second = (together.each(lambda n: (meeting.wait(), n)[1], range(n, n + 3)) for n in (0, 0))
        assert [*first, *second] == [0, 1, 2, 0, 1, 2]


def test_the_first_failure_ends_what_waits_and_is_the_one_that_is_told():
    stopping, begun = threading.Event(), []

    def do(n: int) -> int:
        begun.append(n)
        if n == 1:
            raise StepFailed("the cause")
        if stopping.wait(30):
            raise StepFailed("a consequence")
        return n

    began = time.monotonic()
    with pytest.raises(StepFailed, match="the cause"), Together(2, stopping) as together:
        list(together.each(do, range(9)))
    assert begun == [0, 1] and time.monotonic() - began < 5
    assert not stopping.is_set(), "the next fetch may begin"


def test_what_fails_outside_ends_what_waits():
    stopping = threading.Event()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Together(2, stopping) as together:
        together.each(lambda _: stopping.wait(30), range(9))
        raise KeyboardInterrupt
    assert time.monotonic() - began < 5
