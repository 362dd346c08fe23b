"""One login for each role of the demo. Their passwords are public, so the demo listens on this machine alone."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connections, transaction

from console.demo import DemoRefused
from database.router import CONSOLE

#: What the addresses of the demo's logins end in.
DOMAIN = "@omnichat.example.com"
# Fixed, so that a browser that kept one can go on using it.
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


def refuse_real_staff() -> None:
    """A console with staff of its own gets no logins whose passwords everybody knows."""
    if settings.DATABASES[CONSOLE]["ENGINE"] != "django.db.backends.sqlite3":
        raise DemoRefused("The demo keeps its logins in a SQLite file, and CONSOLE_DATABASE_URL names none. Unset it.")
    if "auth_user" not in connections[CONSOLE].introspection.table_names():
        return
    staff, ours = User.objects.all(), User.objects.filter(email__endswith=DOMAIN)
    if staff.exists() and not ours.exists():
        raise DemoRefused(
            "This console has staff of its own, and the passwords of the demo are public. Name another file in "
            "CONSOLE_DATABASE_URL, or move this one away."
        )


@transaction.atomic
def _login(name: str, password: str) -> Login:
    role = "superuser" if name == "admin" else name.capitalize()
    user, made = User.objects.get_or_create(
        username=name,
        defaults={"is_staff": True, "is_superuser": name == "admin", "email": name + DOMAIN},
    )
    if made:
        user.set_password(password)
        user.save()
        if not user.is_superuser:
            user.groups.add(Group.objects.get(name=role))
    return Login(name, role, password if made or user.check_password(password) else None)
