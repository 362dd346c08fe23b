"""The four roles as groups, and what each may do. This file is their only source: `post_migrate` makes groups so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from database.router import CONSOLE

SUPPORT, BILLING, OPERATOR, AUDITOR = "Support", "Billing", "Operator", "Auditor"

TABLES = (
    "chat.user", "chat.conversation", "chat.message", "chat.apiusage", "chat.dailyusagesummary",
    "billing.subscriptionplan", "billing.usersubscription", "billing.userbattery", "billing.batterytransaction",
    "database.auditlog", "database.schemaversion",
)  # fmt: skip
#: What may be brought in from a file.
IMPORTED = ("chat.user", "billing.subscriptionplan")
STAFF = ("auth.user", "auth.group", "console.staffevent")
#: All jobs, whoever started them; one's own everybody sees.
WORK = ("console.job", "console.scheduleentry")


def may(action: str, *models: str) -> frozenset[str]:
    """Permissions as Django spells them: `may("view", "chat.user")` is `chat.view_user`."""
    return frozenset(f"{app}.{action}_{name}" for app, name in (model.split(".") for model in models))


#: Who may read what messages say, when a reason is given: who helps a user, and who watches over those.
CONTENTS = may("read", "chat.message")
LOOK = may("view", *TABLES, "console.grant", "console.note")

FINDINGS = may("view", "console.finding", "console.resyncrun")
RESYNC = FINDINGS | may("add", "console.resyncrun") | may("change", "console.finding")

#: Support looks and edits profiles, Billing plans and subscriptions, Operator staff; Auditor changes nothing.
ROLES: dict[str, frozenset[str]] = {
    SUPPORT: LOOK
    | CONTENTS
    | may("change", "chat.user", "chat.conversation")
    | may("export", "chat.user", "chat.conversation")
    | may("import", "chat.user")
    | may("export", "console.person")
    | may("add", "console.grant", "console.note"),
    BILLING: LOOK
    | may("change", "billing.subscriptionplan", "billing.usersubscription")
    | may("export", *(table for table in TABLES if table.startswith("billing.")))
    | may("import", "billing.subscriptionplan")
    | may("view", "console.inboxevent")
    | may("change", "console.inboxevent")
    | RESYNC
    | may("refund", "billing.batterytransaction")
    | may("add", "console.grant", "console.note")
    | may("export", "console.person")
    | may("approve", "console.grant")
    | may("export", "console.grant"),
    OPERATOR: LOOK
    | may("export", *TABLES, "console.grant", "console.staffevent")
    | RESYNC
    | may("view", *STAFF)
    | may("add", "auth.user", "console.note")
    | may("export", "console.person")
    | may("delete", "console.person")
    | may("change", "auth.user", "console.inboxevent", *WORK)
    | may("view", "console.inboxevent", *WORK),
    AUDITOR: LOOK
    | CONTENTS
    | FINDINGS
    | may("export", *TABLES, "console.grant", "console.staffevent")
    | may("view", *STAFF, *WORK, "console.inboxevent"),
}


def make_roles(using: str = CONSOLE, **signal: Any) -> None:
    """Make the groups and give each what `ROLES` says, no more and no less. Listens to `post_migrate`."""
    if using != CONSOLE:
        return
    # This room is migrated before some of those whose permissions it gives away.
    for label in {name.split(".")[0] for name in (*TABLES, *STAFF)}:
        create_permissions(apps.get_app_config(label), verbosity=0, using=using)
    _make_permissions("export", (*TABLES, "console.staffevent"))
    _make_permissions("import", IMPORTED)
    _make_permissions("read", ("chat.message",))
    _make_permissions("refund", ("billing.batterytransaction",))
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.using(using).select_related("content_type")
    }
    for role, names in ROLES.items():
        group, _ = Group.objects.using(using).get_or_create(name=role)
        group.permissions.set([known[name] for name in names])


def _make_permissions(action: str, models: Iterable[str]) -> None:
    for label in models:
        model: type[Model] = apps.get_model(label)
        Permission.objects.using(CONSOLE).get_or_create(
            content_type=ContentType.objects.db_manager(CONSOLE).get_for_model(model),
            codename=f"{action}_{model._meta.model_name}",
            defaults={"name": f"Can {action} {model._meta.verbose_name}"},
        )
