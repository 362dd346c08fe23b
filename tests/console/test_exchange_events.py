"""An export leaves a record of who took which list, before its first row is sent."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse

from console.models import StaffEvent

pytestmark = pytest.mark.django_db


def test_an_export_is_recorded_with_its_filters(client):
    alice = get_user_model().objects.create_superuser("alice")
    client.force_login(alice)
    client.post(reverse("admin:chat_user_export") + "?tier=paid", {"format": "json"})
    event = StaffEvent.objects.get(action="export")
    assert (event.staff, event.action, event.subject) == (alice, "export", "chat.user")
    assert (event.detail["format"], event.detail["filters"]) == ("json", "tier=paid")
    assert "email" in event.detail["columns"]
