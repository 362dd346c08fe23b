"""One login for each role of the demo. Their passwords are public, so the demo listens on this machine alone."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Group, User
from django.db import transaction

# Fixed, so that a browser that kept one can go on using it. Whoever serves others makes logins of their own.
PASSWORDS = {
    "support": "calm-otter-ferry",
    "billing": "green-ledger-pony",
    "operator": "brave-crane-harbour",
    "auditor": "quiet-heron-lamp",
    "admin": "plain-walnut-boat",
}


@dataclass
class Login:
    """`password` is None where somebody changed it."""

    name: str
    role: str
    password: str | None


def make_logins() -> list[Login]:
    """Makes the logins that are missing; those that are there keep their passwords and groups."""
    return [_login(name, password) for name, password in PASSWORDS.items()]


@transaction.atomic
def _login(name: str, password: str) -> Login:
    role = "superuser" if name == "admin" else name.capitalize()
    user, made = User.objects.get_or_create(
        username=name,
        defaults={"is_staff": True, "is_superuser": name == "admin", "email": f"{name}@omnichat.example.com"},
    )
    if made:
        user.set_password(password)
        user.save()
        if not user.is_superuser:
            user.groups.add(Group.objects.get(name=role))
    return Login(name, role, password if made or user.check_password(password) else None)
