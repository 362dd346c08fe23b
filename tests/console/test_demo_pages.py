"""Whoever logs into the demo finds every page working, the odd rows included."""

from __future__ import annotations

from datetime import date

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

from console.demo import seed
from console.demo_logins import PASSWORDS, make_logins

pytestmark = pytest.mark.django_db


def addresses() -> list[str]:
    """Each list, and the page of its first and last rows by key, among which the odd ones are."""
    found = [reverse("admin:index")]
    for model in (model for model in admin.site._registry if not model._meta.managed):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found.append(reverse(f"{name}_changelist"))
        keys = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
        found += [reverse(f"{name}_change", args=[quote(key)]) for key in dict.fromkeys([*keys[:2], *keys[-3:]])]
    return found


def test_every_page_answers_every_login(client: Client) -> None:
    seed(60, 300, seed=1, day=date(2026, 11, 22), odd=True)
    make_logins()
    found = addresses()
    for name, password in PASSWORDS.items():
        assert client.login(username=name, password=password)
        answers = {address: client.get(address).status_code for address in found}
        assert set(answers.values()) == {200}, (name, answers)
