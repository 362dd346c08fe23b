"""The job that makes a person's data into a zip, which who asked for it can fetch for a day.

Importing this registers the kind, and has workers remove what is older.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User as Login
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from chat.models import User
from console.contents import RIGHT, checked
from console.jobs import Failure, Run, kind, periodic, start
from console.models import Job, JobState, StaffEvent
from console.models.job import ENDED
from console.person import EXPORT, EXPORT_KIND
from console.person_files import write_zip
from console.person_tables import count_rows
from database.router import CONSOLE, OMNICHAT

KEPT_FOR = timedelta(days=1)
#: How often what is too old is looked for, in seconds.
LOOK_EVERY = 600
#: Exports of a person that their page shows.
MOST = 5


def storage() -> Storage:
    return storages["exports"]


def ask(user_id: str, *, by: Login, reason: str) -> Job:
    """Begin an export, with what messages say for who may read it. One that is not over yet is the same one.

    Raises PermissionDenied, and ReasonRefused.
    """
    reason = checked(reason)
    open_ = exports_of(user_id, by).exclude(state__in=ENDED).first()
    if open_:
        return open_
    title = gettext("Data of %s") % user_id
    contents = by.has_perm(RIGHT)
    job = start(EXPORT_KIND, {"user": user_id, "contents": contents}, by=by, title=title)
    detail = {"job": job.pk, "reason": reason, "contents": contents}
    StaffEvent.objects.using(CONSOLE).create(staff=by, action="person.export", subject=user_id, detail=detail)
    return job


def exports_of(user_id: str, by: Login) -> QuerySet[Job]:
    """What somebody asked for of a person, the newest first. Nobody sees what another asked for."""
    return Job.objects.using(CONSOLE).filter(kind=EXPORT_KIND, actor=by, arguments__user=user_id)


def may_fetch(job: Job, login: Login) -> bool:
    """Whether somebody asked for it, and still may have what is in it."""
    rights = [EXPORT, RIGHT] if job.arguments.get("contents") else [EXPORT]
    return job.actor_id == login.pk and login.has_perms(rights)


def file_of(job: Job) -> str | None:
    """The name of the file that a job has made, while it is kept."""
    if job.kind != EXPORT_KIND or job.state != JobState.DONE or job.ended_at is None:
        return None
    there = timezone.now() - job.ended_at < KEPT_FOR and storage().exists(name_of(job))
    return name_of(job) if there else None


def name_of(job: Job) -> str:
    return f"person-{job.pk}.zip"


@kind(EXPORT_KIND, title=gettext_lazy("Data of a person"), permission=EXPORT)  # type: ignore[arg-type]
def export(run: Run) -> dict[str, Any]:
    """Write the data of `{"user": ID, "contents": BOOL}`.

    Begun again after a kill it starts anew: half a zip is worth nothing.
    """
    user_id = run.arguments["user"]
    if not User.objects.using(OMNICHAT).filter(pk=user_id).exists():
        raise Failure(gettext("There is no such user any more."))
    total, done = sum(count_rows(user_id).values()), 0

    def watch(table: str, rows: int) -> None:
        nonlocal done
        done += rows
        run.advance(done, total=max(total, done), message=table)

    with tempfile.TemporaryFile() as file:
        rows = write_zip(file, user_id, watch, contents=bool(run.arguments.get("contents")))
        size = file.tell()
        file.seek(0)
        storage().delete(name_of(run.job))
        storage().save(name_of(run.job), File(file))
    return {"rows": rows, "bytes": size}


def remove_files(user_id: str) -> None:
    """Remove whatever was exported of a person."""
    for job in Job.objects.using(CONSOLE).filter(kind=EXPORT_KIND, arguments__user=user_id):
        storage().delete(name_of(job))


def remove_old() -> int:
    """Remove what nobody may fetch any more, and say how many files."""
    try:
        names = storage().listdir("")[1]
    except FileNotFoundError:
        return 0
    old = [name for name in names if timezone.now() - storage().get_modified_time(name) > KEPT_FOR]
    for name in old:
        storage().delete(name)
    return len(old)


periodic("exports of people that are over", LOOK_EVERY, remove_old)
