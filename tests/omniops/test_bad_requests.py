"""What no page can answer is answered in a sentence."""

from __future__ import annotations

from django.test import Client


def test_an_unknown_host_name_is_told_where_names_are_set(client: Client) -> None:
    answer = client.get("/admin/", HTTP_HOST="elsewhere.example")
    assert answer.status_code == 400
    assert "DJANGO_ALLOWED_HOSTS" in answer.content.decode()
