"""A wrong variable stops the start, and is named."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from omniops.environment import hosts, kept, secret_url


def test_it_starts_with_nothing_set(manage: Callable) -> None:
    done = manage("check", CONSOLE_DATABASE_URL="", OMNICHAT_DATABASE_URL="")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DJANGO_DEBUG", "perhaps"),
        ("CONSOLE_DATABASE_URL", "mysql://somewhere/x"),
        ("OMNICHAT_DATABASE_URL", "d1://only-an-account"),
        ("OMNICHAT_DATABASE_URL", "sqlite:///"),
        ("DJANGO_SECRET_KEY_FILE", "/nowhere/at/all"),
        ("CONSOLE_DATABASE_URL", "postgres://somewhere"),
        ("CLOUDFLARE_API_BASE", "somewhere"),
        ("STRIPE_SECRET_KEY", "pk_test_hush"),
        ("STRIPE_WEBHOOK_SECRET", "whsec_hush,hush"),
        ("STRIPE_API_BASE", "http://somewhere"),
        ("STRIPE_EFFECTS", "perhaps"),
        ("CLERK_WEBHOOK_SECRET", "whsec_hush!"),
        ("CLERK_SECRET_KEY", "pk_test_hush"),
        ("DJANGO_ALLOWED_HOSTS", "https://ops.example.com"),
        ("DJANGO_ALLOWED_HOSTS", "ops.example.com, *"),
        ("CLOUDFLARE_API_BASE", "http://api.example.com/client/v4"),
        ("CLERK_API_BASE", "http://127.0.0.1.example.com/v1"),
        ("METRICS_TOKEN", "hush hush"),
        ("CLOUDFLARE_API_TOKEN", "hush hush"),
        ("CLOUDFLARE_API_READ_TOKEN_FILE", "/nowhere/at/all"),
        ("CLOUDFLARE_ACCOUNT_ID", "account/database"),
        ("D1_DATABASE_ID", "data base"),
    ],
)
def test_a_wrong_value_stops_every_command_and_is_named(manage: Callable, name: str, value: str) -> None:
    done = manage("migrate", **{name: value})
    assert done.returncode == 1
    assert name.removesuffix("_FILE") in done.stderr
    assert "omniops.E001" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr


@pytest.mark.parametrize("name", ["*", "*.", "*.example.com", ".", ".com", "..example.com", "example.com:443", "a..b"])
def test_a_name_that_lets_any_host_in_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name!r} is no host: give names alone, without *")):
        hosts(f"ops.example.com,{name}")


def test_names_addresses_and_all_of_a_domain_are_hosts() -> None:
    assert hosts(text := "ops.example.com,localhost,10.0.0.7,[::1],.example.com") == text.split(",")


def test_a_secret_goes_in_the_clear_to_this_machine_alone() -> None:
    for url in ("https://api.example.com/v1", "http://127.0.0.1:8787/client/v4", "http://localhost", "http://[::1]:80"):
        assert secret_url(url) == url
    for url in (
        "http://api.example.com",
        "http://127.0.0.1@example.com",
        "http://localhost.example.com",
        "http://10.1.1.1",
    ):
        with pytest.raises(ValueError, match="would send a secret in the clear; give one that starts with https://"):
            secret_url(url)


@pytest.mark.parametrize("tokens", [{}, {"CLOUDFLARE_API_TOKEN": "secret\nsecret"}])
def test_a_token_that_is_missing_or_broken_is_named_and_not_shown(manage: Callable, tokens: dict[str, str]) -> None:
    done = manage("verify_database", OMNICHAT_DATABASE_URL="d1://account/database", **tokens)
    assert done.returncode == 1
    assert "CLOUDFLARE_API_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret\n" not in done.stderr


def test_the_json_names_the_wrong_value_in_one_line(manage: Callable) -> None:
    done = manage("verify_database", "--json", OMNICHAT_DATABASE_URL="mysql://somewhere/x")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 1
    assert error.startswith("(omniops.E001) OMNICHAT_DATABASE_URL: give sqlite:///PATH")
    assert "\n" not in error


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_ctrl_c_while_it_starts_leaves_a_sentence(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "slow_settings.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run(
        [sys.executable, settings.BASE_DIR / "manage.py", "verify_database", *words],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "slow_settings", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    said = json.loads(done.stdout)["error"] if words else done.stderr.strip()
    assert (done.returncode, said) == (1, "Interrupted. What was done stays done; run the command again to finish.")


def test_a_key_is_kept_whole_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    assert [kept(path, lambda: "first"), kept(path, lambda: "second")] == ["first", "first"]
    assert [each.name for each in tmp_path.iterdir()] == ["secret_key"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_database_id_without_an_account_is_refused(manage: Callable) -> None:
    done = manage("check", OMNICHAT_DATABASE_URL="", D1_DATABASE_ID="abc")
    assert done.returncode == 1
    assert "CLOUDFLARE_ACCOUNT_ID" in done.stderr


def test_a_file_that_cannot_be_read_is_named(manage: Callable) -> None:
    done = manage("check", STRIPE_SECRET_KEY_FILE="/nowhere/at/all")
    assert "STRIPE_SECRET_KEY_FILE names /nowhere/at/all: No such file" in done.stderr


def test_local_takes_the_local_file_whatever_the_environment_says(manage: Callable) -> None:
    done = manage("migrate_database", "--plan", "--local", OMNICHAT_DATABASE_URL="d1://account/database")
    assert done.returncode == 0, done.stderr


def test_the_url_wins_over_the_pair_of_ids(manage: Callable) -> None:
    shown = "from django.conf import settings; print(settings.DATABASES['omnichat']['ENGINE'])"
    pair = {"D1_DATABASE_ID": "abc", "CLOUDFLARE_ACCOUNT_ID": "def"}
    assert manage("shell", "-v0", "-c", shown, **pair).stdout.strip() == "django.db.backends.sqlite3"
    assert manage("shell", "-v0", "-c", shown, OMNICHAT_DATABASE_URL="", **pair).stdout.strip() == "d1"


def test_a_value_may_stand_in_a_file(manage: Callable, tmp_path) -> None:
    (tmp_path / "key").write_text("a-key-in-a-file\n")
    shown = "from django.conf import settings; print(settings.SECRET_KEY)"
    done = manage("shell", "-v0", "-c", shown, DJANGO_SECRET_KEY_FILE=str(tmp_path / "key"))
    assert done.stdout.strip() == "a-key-in-a-file"
