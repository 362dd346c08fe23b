"""What destroys or gives much away asks who it is once more, when that was asked long ago."""

from __future__ import annotations

import pytest

from tests.pages import addresses, login_of, make_rows, undone, with_factors

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only("sign-in is of the console's own database")]

#: What asks beside all exports and imports, by the beginnings of their names.
GUARDED = (
    "person_export", "person_deletion", "stripe_refund", "factor_policy", "remove_factors",
    "mfa_deactivate_totp", "mfa_add_webauthn", "mfa_generate_recovery_codes", "admin:auth_user_add",
    "admin:auth_user_change", "admin:auth_user_password_change",
)  # fmt: skip


def test_every_export_import_and_what_destroys_needs_a_fresh_sign_in() -> None:
    make_rows()
    client = with_factors(login_of(is_superuser=True))
    session = client.session
    session["signin"] = {**session["signin"], "fresh": 0}
    session.save()
    guarded = [each for each in addresses() if each.name in GUARDED or each.name.endswith(("_export", "_import"))]
    # Most tables cannot be imported by anybody.
    guarded = [each for each in guarded if not each.name.endswith("_import") or client.get(each.url).status_code != 403]
    urls = [each.url for each in guarded] + ["/admin/stripe/sub_walk/cancel-now/"]
    assert len(urls) > len(GUARDED) + 12
    done = []
    for url in urls:
        with undone(client):
            answer = client.post(url)
            if "reauthenticate/?next=" not in answer.headers.get("Location", ""):
                done.append((url, answer.status_code))
    assert done == []
