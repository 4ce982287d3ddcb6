import json
from urllib.parse import quote

import pytest

from onefunnel.errors import ConfigError
from onefunnel.sources.connections import connection, variable

SECRETS = ("correct horse", "battery staple")


def given(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MY_CRM", text)


def test_the_variable_is_the_one_that_airflow_reads():
    assert variable("my_crm") == "AIRFLOW_CONN_MY_CRM"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(
            {
                "conn_type": "http",
                "host": "https://crm.example",
                "login": "me",
                "password": SECRETS[0],
                "extra": {"refresh_token": SECRETS[1], "sandbox": None},
            }
        ),
        json.dumps(
            {
                "conn_type": "http",
                "schema": "https",
                "host": "crm.example",
                "login": "me",
                "password": SECRETS[0],
                "extra": json.dumps({"refresh_token": SECRETS[1]}),
            }
        ),
        f"https://me:{quote(SECRETS[0])}@crm.example/?refresh_token={quote(SECRETS[1])}",
        f"http://me:{quote(SECRETS[0])}@crm.example/?__extra__={quote(json.dumps({'refresh_token': SECRETS[1]}))}",
    ],
    ids=["json", "json with extra as text", "uri", "uri with extra"],
)
def test_json_and_uri_are_read_as_airflow_writes_them(monkeypatch: pytest.MonkeyPatch, text: str):
    given(monkeypatch, text)
    found = connection("my_crm")
    assert found.base_url("https://vendor.example") == "https://crm.example"
    assert (found.login, found.secret("password"), found.secret("refresh_token")) == ("me", *SECRETS)
    assert not any(secret in repr(found) for secret in SECRETS)


def test_without_a_host_the_vendors_own_is_meant_and_ports_are_kept(monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch, '{"password": "12345678"}')
    assert connection("my_crm").base_url("https://vendor.example/") == "https://vendor.example"
    given(monkeypatch, '{"host": "localhost", "schema": "http", "port": 8123}')
    assert connection("my_crm").base_url("https://vendor.example") == "http://localhost:8123"


@pytest.mark.parametrize("host", ["http://crm.example", "http://127.0.0.1.example", "ftp://crm.example", "crm.example"])
def test_only_this_machine_is_spoken_to_without_encryption(monkeypatch: pytest.MonkeyPatch, host: str):
    given(monkeypatch, json.dumps({"host": host, "schema": "http"}))
    with pytest.raises(ConfigError, match="give an https URL"):
        connection("my_crm").base_url("https://vendor.example")


@pytest.mark.parametrize(
    "url", ["http://tokens.example/oauth", "https://tokens.example/oauth?tenant=7", "tokens.example"]
)
def test_tokens_too_are_asked_for_with_encryption_alone(monkeypatch: pytest.MonkeyPatch, url: str):
    given(monkeypatch, json.dumps({"host": "https://crm.example", "extra": {"token_url": url}}))
    with pytest.raises(ConfigError, match="has the token_url") as caught:
        connection("my_crm").token_url("https://vendor.example/oauth")
    assert "give an https URL" in str(caught.value) and "tenant" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "no uri",
        '{"extra": "{"}',
        '{"extra": 7}',
        f"https://me:{SECRETS[1]}@[crm",
        '{"port": "x", "host": "y"}',
    ],
)
def test_what_cannot_be_read_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch, text: str):
    given(monkeypatch, text)
    with pytest.raises(ConfigError) as caught:
        connection("my_crm")
    assert "AIRFLOW_CONN_MY_CRM" in str(caught.value) and SECRETS[1] not in str(caught.value)


def test_a_secret_that_is_none_is_a_mistake_of_the_configuration(monkeypatch: pytest.MonkeyPatch):
    given(monkeypatch, '{"password": "short"}')
    with pytest.raises(ConfigError, match="fewer than 8 characters"):
        connection("my_crm").secret("password")
    with pytest.raises(ConfigError, match="has no refresh_token"):
        connection("my_crm").secret("refresh_token")
