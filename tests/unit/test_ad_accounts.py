"""What connectors of advertising platforms share: control totals."""

import datetime as dt

import pytest

from onefunnel.errors import StepFailed
from onefunnel.sources.ad_accounts import AdAccount, totals

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
