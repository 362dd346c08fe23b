"""What a person is in the eyes of a request to hand over or to delete their data, and how an account tells of it.

Importing this offers both on the page of a user.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from billing.customers import MADE_UP
from chat.models import User
from console.models import Job, StaffEvent
from database.object_actions import ObjectAction, offer
from database.router import CONSOLE

EXPORT, DELETE = "console.export_person", "console.delete_person"
EXPORT_KIND, DELETE_KIND = "person.export", "person.delete"
#: What staff events say when a person was deleted.
DELETED = "person.deleted"
#: What stands where a name or a title stood.
NOBODY, GONE = "Deleted person", "(deleted)"


def made_up_email(user_id: str) -> str:
    """The same for the same user, so that a deletion that is done again changes nothing."""
    return f"deleted-{hashlib.sha256(user_id.encode()).hexdigest()[:24]}{MADE_UP}"


def is_deleted(user: User) -> bool:
    return str(user.email).endswith(MADE_UP)


@dataclass(frozen=True)
class Deletion:
    """How far the deletion of a person is. `job` is the last one, `at` and `who` tell of one that is complete."""

    is_complete: bool
    job: Job | None
    at: datetime | None = None
    who: str = ""


def deletion_of(user: User) -> Deletion | None:
    """None where nobody ever began one. One query to the console's database, two where it is complete."""
    job = last_deletion(str(user.pk))
    if not is_deleted(user):
        return Deletion(is_complete=False, job=job) if job else None
    told = StaffEvent.objects.using(CONSOLE).filter(action=DELETED, subject=user.pk).select_related("staff").first()
    who = told.staff.get_username() if told and told.staff else ""
    return Deletion(is_complete=True, job=job, at=told.at if told else None, who=who)


def last_deletion(user_id: str) -> Job | None:
    jobs = Job.objects.using(CONSOLE).filter(kind=DELETE_KIND, key__startswith=f"{DELETE_KIND}:{user_id}:")
    return jobs.select_related("actor").order_by("-pk").first()


def export_url(user_id: str) -> str:
    return reverse("person_export", args=(quote(user_id),))


def deletion_url(user_id: str) -> str:
    return reverse("person_deletion", args=(quote(user_id),))


def _offered(request: HttpRequest, user: User) -> Iterator[ObjectAction]:
    if request.user.has_perm(EXPORT):
        yield ObjectAction(_("Export data"), export_url(str(user.pk)))
    if request.user.has_perm(DELETE):
        yield ObjectAction(_("Delete person"), deletion_url(str(user.pk)))


offer("chat.user", _offered)
