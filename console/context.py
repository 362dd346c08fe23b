"""What every page shows around itself: which database it works on, and the ways to the lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext, gettext_lazy

#: The groups of the sidebar: (its name, {model: (icon, its name here or None)}). What stands in none is put last.
GROUPS: tuple[tuple[Any, dict[str, tuple[str, Any]]], ...] = (
    (
        gettext_lazy("People"),
        {"chat.user": ("users", None), "chat.conversation": ("chat", None), "chat.message": ("message", None)},
    ),
    (
        gettext_lazy("Money"),
        {
            "billing.subscriptionplan": ("tag", gettext_lazy("Plans")),
            "billing.usersubscription": ("card", gettext_lazy("Subscriptions")),
            "billing.userbattery": ("battery", None),
            "billing.batterytransaction": ("ledger", None),
            "console.grant": ("gift", None),
        },
    ),
    (
        gettext_lazy("Usage"),
        {"chat.apiusage": ("pulse", None), "chat.dailyusagesummary": ("calendar", None)},
    ),
    (
        gettext_lazy("Record"),
        {
            "database.auditlog": ("scroll", None),
            "database.schemaversion": ("layers", None),
            "console.staffevent": ("eye", None),
            "console.inboxevent": ("message", gettext_lazy("Webhooks")),
            "console.finding": ("search", gettext_lazy("Findings")),
            "console.resyncrun": ("pulse", gettext_lazy("Resyncs")),
            "console.job": ("gear", None),
            "console.scheduleentry": ("clock", gettext_lazy("Schedule")),
        },
    ),
    (
        gettext_lazy("Staff"),
        {"auth.user": ("badge", gettext_lazy("Logins")), "auth.group": ("shield", gettext_lazy("Roles"))},
    ),
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Environment:
    """Where a change goes. `slug` is local, standin, production or none, and gives the colour."""

    slug: str
    name: str
    detail: str


@dataclass(frozen=True)
class Link:
    name: str
    url: str
    icon: str
    current: bool


@dataclass(frozen=True)
class Group:
    name: str
    links: list[Link]


def environment(database: Mapping[str, Any]) -> Environment:
    """What to call OmniChat's database as settings.DATABASES describes it."""
    engine = database.get("ENGINE", "")
    if engine == "django.db.backends.sqlite3":
        return Environment("local", gettext("Local"), gettext("SQLite file %s") % Path(str(database["NAME"])).name)
    if engine != "d1":
        return Environment("none", gettext("No database"), gettext("A variable is wrong; see manage.py check"))
    if urlsplit(database["OPTIONS"]["api_base"]).hostname in LOOPBACK:
        return Environment("standin", gettext("D1 stand-in"), gettext("D1 on this machine"))
    return Environment("production", gettext("Production"), gettext("Cloudflare D1 database %s") % database["NAME"])


def navigation(request: HttpRequest) -> list[Group]:
    """The lists that whoever asks may see, in groups. No query but Django's own for permissions, which it keeps."""
    models = {
        model["model"]._meta.label_lower: model
        for app in admin.site.get_app_list(request)
        for model in app["models"]
        if model["admin_url"]
    }
    known = {label for _, labels in GROUPS for label in labels}
    rest = {label: ("square", None) for label in models if label not in known}
    found = (
        Group(str(name), list(_links(request, models, labels))) for name, labels in (*GROUPS, (gettext("More"), rest))
    )
    return [group for group in found if group.links]


def _links(request: HttpRequest, models: Mapping[str, Any], labels: Mapping[str, tuple[str, Any]]) -> Iterator[Link]:
    for label, (icon, name) in labels.items():
        if label in models:
            url = models[label]["admin_url"]
            yield Link(str(name or models[label]["name"]), url, icon, request.path.startswith(url))


def console(request: HttpRequest) -> dict[str, Any]:
    """The context processor. The sidebar is made only when a template asks for it."""
    return {
        "environment": environment(settings.DATABASES["omnichat"]),
        "stripe_standin": settings.STRIPE_STANDIN,
        "navigation": SimpleLazyObject(lambda: navigation(request)),
    }
