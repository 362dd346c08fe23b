"""What the tests of this room share."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.auth.models import User as Login
from django.test import Client

from tests.stripe_account import files, prices, set_up, stripe

__all__ = ["enter", "files", "prices", "set_up", "stripe"]


@pytest.fixture
def enter(django_user_model: type[Login]) -> Any:
    """`enter(role)` is the browser of a member of staff who has that role and no other."""

    def as_role(role: str, name: str = "") -> Client:
        login = django_user_model.objects.create_user(name or role, is_staff=True)
        login.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(login)
        return client

    return as_role
