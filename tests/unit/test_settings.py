"""pipeline.yml: every problem at once, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from onefunnel import settings
from onefunnel.errors import ConfigError
from onefunnel.settings import load_settings, source_root

PROJECT = Path(__file__).resolve().parents[2]
GOOD = """\
version: 1
company: Test
reporting: {currency: EUR}
sources:
  ads:
    connector: files
    root: drop/ads
    streams:
      performance_daily:
        files: "*.csv"
        key: [spend_date, ad_account_id]
        replaces: partition
        partition: [ad_account_id, spend_date]
        columns:
          spend_date: {from: day, format: "%Y-%m-%d"}
          ad_account_id: {from: account}
          level: {value: account}
          currency: {value: EUR}
          spend_amount: {from: cost}
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "pipeline.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, PROJECT / "dbt_project")
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_a_good_file_is_read(tmp_path):
    (tmp_path / "pipeline.yml").write_text(GOOD)
    settings = load_settings(tmp_path / "pipeline.yml", PROJECT / "dbt_project")
    assert settings.sources["ads"].streams["performance_daily"].contract == "performance_daily"
    assert settings.sources["ads"].required


def test_the_projects_own_file_is_valid():
    assert load_settings(PROJECT / "pipeline.yml", PROJECT / "dbt_project").company


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("version: 1", "version: 2", 1, "version"),
        ("company: Test", "compani: Test", 2, "not a known key"),
        ("currency: EUR}\nsources", "currency: euro}\nsources", 3, "currency"),
        ("connector: files", "connector: fax", 6, "unknown connector 'fax'"),
        ("  ads:", "  Ads!:", 5, "lower case"),
        ("  ads:", "  ledger:", 5, "reserved"),
        ('"*.csv"', '"../*.csv"', 9, "no `..`"),
        ("key: [spend_date, ad_account_id]", "key: [spend_date, nope]", 9, "`nope` is named"),
        ("replaces: partition", "replaces: everything", 12, "'file', 'keys' or 'partition'"),
        ("        partition: [ad_account_id, spend_date]\n", "", 9, "needs `partition"),
        ('{from: day, format: "%Y-%m-%d"}', "{from: day}", 15, "needs `format`"),
        ('"%Y-%m-%d"', '"%Y-%j"', 15, "not %j"),
        ("{from: account}", "{from: account, value: x}", 16, "exactly one of"),
        ("level: {value: account}", "lvl: {value: account}", 17, "no column of the contract"),
        ("          currency: {value: EUR}\n", "", 14, "requires `currency`"),
        ("{from: account}", "{from: [account]}", 16, "two or more different columns"),
        ("{from: account}", "{from: {a: b}}", 16, "a list of names"),
        ("{from: cost}", "{from: [cost, fee]}", 19, "only a text is made of several columns"),
        ("{from: cost}", "{from: cost, add_days: 1}", 19, "`add_days` has no meaning for a amount"),
        ("{from: cost}", "{from: cost, map: {a: b}}", 19, "`map` has no meaning for a amount"),
        ("{from: cost}", "{from: cost, zone: Mars/Base}", 19, "unknown time zone"),
        ("{from: cost}", "{from: cost, zone: UTC}", 19, "no meaning for a amount"),
        ("company: Test", "company: Test\nas_of: soon", 3, "not an ISO instant"),
        ("replaces: partition", "replaces: partition\n        fresh_within_days: -1", 13, "greater than or equal to 0"),
        ("performance_daily:", "campaigns:\n        fresh_within_days: 3", 10, "about no day"),
        ("performance_daily:", "cash_flow:", 9, "unknown contract 'cash_flow'"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, old, new, line, says):
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(f"pipeline.yml:{line}:" in p and says in p for p in found), found


def test_all_problems_come_at_once(tmp_path):
    broken = GOOD.replace("currency: EUR}\nsources", "currency: euro}\nsources").replace(
        "connector: files", "conector: files"
    )
    assert len(problems(tmp_path, broken.replace("replaces: partition", "replaces: all"))) >= 4
    broken = GOOD.replace("connector: files", "connector: fax").replace(
        "level: {value: account}", "lvl: {value: account}"
    )
    assert len(problems(tmp_path, broken)) == 3  # the connector, the unknown column, the required one that is missing


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2\n", "duplicate key"),
        ("a: !!python/object/apply:os.system ['true']\n", "pipeline.yml"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: [1\n", "not valid YAML"),
        ("", "empty or not a mapping"),
        ("- a\n", "empty or not a mapping"),
        ("#" * 1_100_000, "larger than"),
        ("a: \x00\n", "not valid YAML"),
    ],
)
def test_hostile_yaml_is_refused(tmp_path, text, says):
    found = problems(tmp_path, text)
    assert any(says in p for p in [*found, str(found)]) or says in "\n".join(found), found


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="not found"):
        load_settings(tmp_path / "none.yml", PROJECT / "dbt_project")


def test_relative_roots_have_one_meaning_each(tmp_path):
    config = tmp_path / "conf" / "pipeline.yml"
    assert source_root("./data", config, tmp_path / "home") == tmp_path / "conf" / "data"
    assert source_root("drop/x", config, tmp_path / "home") == tmp_path / "home" / "drop" / "x"
    assert source_root("/abs", config, tmp_path / "home") == Path("/abs")


def test_the_rhythm_of_a_stream_says_nothing_about_how_it_is_read(tmp_path):
    (tmp_path / "pipeline.yml").write_text(GOOD)
    stream = (
        load_settings(tmp_path / "pipeline.yml", PROJECT / "dbt_project").sources["ads"].streams["performance_daily"]
    )
    assert stream.fresh_within_days == 3
    patient = stream.model_copy(update={"fresh_within_days": 35})
    assert patient.fingerprint() == stream.fingerprint()


CONNECTOR = """
streams:
  performance_daily:
    files: "*.records.parquet"
    format: parquet
    key: [ad_account_id, spend_date]
    replaces: partition
    partition: [ad_account_id, spend_date]
    final_after_days: 90
    columns:
      ad_account_id: {from: account}
      level: {value: account}
      channel: {from: kind, map: {S: paid_search}}
      spend_date: {from: day, format: "%Y-%m-%d"}
      currency: {from: currency}
      spend_amount: {from: cost}
  ad_accounts:
    files: "*.records.parquet"
    format: parquet
    key: [ad_account_id]
    replaces: file
    columns:
      ad_account_id: {from: account}
      currency: {from: currency}
      time_zone: {from: zone}
"""


@pytest.fixture
def connector(tmp_path, monkeypatch):
    (tmp_path / "declared").mkdir()
    (tmp_path / "declared" / "some_ads.yml").write_text(CONNECTOR)
    monkeypatch.setattr(settings, "_SOURCES", tmp_path / "declared")

    def load(body):
        config = tmp_path / "pipeline.yml"
        head = "version: 1\ncompany: A\nreporting: {currency: EUR}\nsources:\n  ads:\n    connector: some_ads\n"
        config.write_text(head + "".join(f"    {line}\n" for line in body.splitlines()))
        return load_settings(config, PROJECT / "dbt_project").sources["ads"]

    return load


def test_a_connector_brings_its_streams_and_an_installation_says_more(connector):
    source = connector("since: 2024-01-01")
    assert (source.connection, source.root, source.is_files) == ("ads", "inbox/ads", False)
    assert list(source.streams) == ["performance_daily", "ad_accounts"]
    assert source.streams["performance_daily"].contract == "performance_daily"

    assert list(connector("since: 2024-01-01\nconnection: other\nstreams: [ad_accounts]").streams) == ["ad_accounts"]
    said = connector(
        "since: 2024-01-01\naccounts: [123, '0045']\nstreams:\n  performance_daily:\n    fresh_within_days: 2\n"
        "    columns:\n      channel: {map: {D: display}}"
    )
    stream = said.streams["performance_daily"]
    assert (said.accounts, stream.fresh_within_days, stream.final_after_days) == (("123", "0045"), 2, 90)
    assert stream.columns["channel"].map == {"S": "paid_search", "D": "display"}


def test_all_streams_but_some_and_more_said_of_one(connector):
    source = connector(
        "since: 2024-01-01\nwithout: [ad_accounts]\nstreams: {performance_daily: {fresh_within_days: 2}}"
    )
    assert list(source.streams) == ["performance_daily"]
    assert source.streams["performance_daily"].fresh_within_days == 2
    assert len(connector("since: 2024-01-01\nwithout: []\nstreams: {ad_accounts: {}}").streams) == 2


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("without: [ad_accounts]\nstreams: [performance_daily]", "is a list of streams that are not read"),
        ("without: ad_accounts", "is a list of streams that are not read"),
        ("without: [[ad_accounts]]", "is a list of names"),
        ("streams: [{ad_accounts: {}}]", "is a list of names"),
        ("without: [ad_accounts, performance_daily]", "leaves no stream to read"),
        ("without: [campaigns]", "some_ads has no stream 'campaigns'"),
        ("without: [ad_accounts]\nstreams: {ad_accounts: {}}", "is left out by `without`"),
    ],
)
def test_what_is_wrong_about_leaving_out_is_named(connector, declared, message):
    with pytest.raises(ConfigError, match=message):
        connector(f"since: 2024-01-01\n{declared}")


def test_what_is_wrong_about_a_connector_is_told_at_once(connector):
    with pytest.raises(ConfigError) as caught:
        connector("root: drop\naccounts: {a: b}\nstreams: [campaigns, ad_accounts]")
    text = str(caught.value)
    assert (
        "needs `since`" in text and "some_ads has no stream 'campaigns': it has performance_daily, ad_accounts" in text
    )
    assert "sources.ads.root" in text and "sources.ads.accounts" in text


def test_what_is_for_connectors_is_not_for_files_and_an_unknown_one_is_named(connector, tmp_path):
    with pytest.raises(ConfigError, match="unknown connector 'other_ads': known are files, some_ads"):
        (tmp_path / "x.yml").write_text(GOOD.replace("connector: files", "connector: other_ads", 1))
        load_settings(tmp_path / "x.yml", PROJECT / "dbt_project")
    with pytest.raises(ConfigError, match="is for connectors of an API"):
        (tmp_path / "y.yml").write_text(GOOD.replace("connector: files", "connector: files\n    since: 2024-01-01", 1))
        load_settings(tmp_path / "y.yml", PROJECT / "dbt_project")
