"""The variables of sign-in: each wrong one is named, and those that belong together are missed."""

from __future__ import annotations

import pytest

from omniops import sign_in
from omniops.environment import PROBLEMS

OIDC = {"OIDC_ISSUER": "https://id.example.com/", "OIDC_CLIENT_ID": "console", "OIDC_CLIENT_SECRET": "s3cret"}
ACCESS = {"CLOUDFLARE_ACCESS_TEAM": "acme", "CLOUDFLARE_ACCESS_AUD": "a1" * 32}


@pytest.fixture(autouse=True)
def no_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "PROBLEMS", PROBLEMS)
    for name in (*OIDC, *ACCESS):
        monkeypatch.delenv(name, raising=False)
    before = list(PROBLEMS)
    PROBLEMS.clear()
    monkeypatch.setattr("omniops.environment.PROBLEMS", PROBLEMS)
    yield
    PROBLEMS[:] = before


def given(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_all_of_them_make_an_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, OIDC)
    issuer, providers = sign_in.openid_connect()
    (app,) = providers["openid_connect"]["APPS"]
    assert (issuer, app["client_id"], PROBLEMS) == ("https://id.example.com", "console", [])


def test_none_of_them_make_none() -> None:
    assert sign_in.openid_connect() == ("", {})
    assert sign_in.cloudflare_access() == ("", "")
    assert PROBLEMS == []


@pytest.mark.parametrize("missing", OIDC)
def test_one_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    given(monkeypatch, {name: value for name, value in OIDC.items() if name != missing})
    assert sign_in.openid_connect() == ("", {})
    assert [name for name, _ in PROBLEMS] == [missing]


@pytest.mark.parametrize("missing", ACCESS)
def test_half_of_access_lets_nobody_believe_that_it_is_on(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    given(monkeypatch, {name: value for name, value in ACCESS.items() if name != missing})
    assert sign_in.cloudflare_access() == ("", "")
    assert [name for name, _ in PROBLEMS] == [missing]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OIDC_ISSUER", "id.example.com"),
        ("OIDC_ISSUER", "http://id.example.com"),
        ("OIDC_ISSUER", "https://id.example.com/.well-known/openid-configuration"),
        ("OIDC_CLIENT_SECRET", "two words"),
        ("CLOUDFLARE_ACCESS_TEAM", "https://acme.cloudflareaccess.com"),
        ("CLOUDFLARE_ACCESS_TEAM", "acme.evil.example"),
        ("CLOUDFLARE_ACCESS_AUD", "acme"),
    ],
)
def test_a_wrong_one_is_named_once_and_not_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    given(monkeypatch, {**OIDC, **ACCESS, name: value})
    sign_in.openid_connect()
    sign_in.cloudflare_access()
    assert [problem for problem, _ in PROBLEMS] == [name]
    assert value not in PROBLEMS[0][1] or not name.endswith("SECRET")
