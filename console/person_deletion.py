"""Deletes a person: what they wrote goes, what accounting needs stays, under a made-up name.

Each batch is one transaction with its entry in the audit log. A job that is killed goes on: what is gone is not found
again, and what stays is walked from the place where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User as Login
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy

from billing.models import StoredStatus
from chat.models import ApiUsage, Conversation, Message, SubscriptionStatus, User
from console import person_traces
from console.account import Account, account_of
from console.jobs import Failure, Run, kind, start
from console.models import Job, StaffEvent
from console.models.job import ENDED
from console.person import DELETE, DELETE_KIND, DELETED, NOBODY, is_deleted, last_deletion, made_up_email
from console.person_tables import AUDIT, CONVERSATIONS, PAGE, USAGE, Part, Rows, count_rows, pages, place_after
from database import audit
from database.columns import learn_missing_fields, missing_fields
from database.models import AuditLog
from database.paging import Place
from database.router import CONSOLE, OMNICHAT

#: Conversations whose messages are deleted together, before they are.
TOGETHER = 50
#: How often a batch is tried whose rows somebody else changes at the same moment.
TRIES = 5
_PAYING = {StoredStatus.ACTIVE, StoredStatus.TRIALING, StoredStatus.PAST_DUE}
_SAID_TO_PAY = {SubscriptionStatus.ACTIVE, SubscriptionStatus.TRIALING, SubscriptionStatus.PAST_DUE}


class Refused(Exception):
    """Why a person is not deleted now, as a sentence that says what to do first."""


def objection(account: Account) -> str:
    """Empty where nothing speaks against it."""
    if any(each.status in _PAYING for each in account.subscriptions):
        return gettext(
            "A subscription is in force or past due: cancel it in Stripe first, and wait until it has ended."
        )
    if account.user.subscription_status in _SAID_TO_PAY:
        return gettext("The profile says that a subscription is in force: resync the user with Stripe first.")
    return ""


def ask(account: Account, typed: str, *, by: Login) -> Job:
    """Begin the deletion; `typed` has to be the email. Raises Refused, or PermissionDenied."""
    user_id = str(account.user.pk)
    if why := objection(account):
        raise Refused(why)
    if typed.strip().casefold() != str(account.user.email).casefold():
        raise Refused(gettext("This is not the email of the account: nothing was deleted."))
    last = last_deletion(user_id)
    if last and last.state not in ENDED:
        return last
    number = Job.objects.using(CONSOLE).filter(key__startswith=f"{DELETE_KIND}:{user_id}:").count()
    key, title = f"{DELETE_KIND}:{user_id}:{number}", gettext("Deletion of %s") % user_id
    job = start(DELETE_KIND, {"user": user_id}, by=by, title=title, key=key)
    StaffEvent.objects.using(CONSOLE).create(staff=by, action="person.delete", subject=user_id, detail={"job": job.pk})
    return job


@kind(DELETE_KIND, title=gettext_lazy("Deletion of a person"), permission=DELETE)  # type: ignore[arg-type]
def delete(run: Run) -> dict[str, Any]:
    """Delete the person `{"user": ID}`, step by step: the cursor is the step, the place in its table, and the sums."""
    account = account_of(run.arguments["user"])
    if account is None:
        raise Failure(gettext("There is no such user any more."))
    if why := objection(account):
        raise Failure(why)
    return Deletion.resumed(run, account.user).work()


@dataclass
class Deletion:
    """A deletion that runs. `sums` are rows by what was done to them."""

    run: Run
    user: User
    step: int
    place: Place | None
    sums: dict[str, int]
    total: int

    @classmethod
    def resumed(cls, run: Run, user: User) -> Deletion:
        step, place, sums = run.cursor or [0, None, {}]
        counts = count_rows(str(user.pk))
        ahead = sum(counts[name] for name in ("conversations", "messages", "api_usage", "audit_logs"))
        total = run.job.total or ahead + 1
        return cls(run, user, step, Place.decode(place) if place else None, sums, total)

    @property
    def user_id(self) -> str:
        return str(self.user.pk)

    def work(self) -> dict[str, Any]:
        steps = (self._conversations, self._usage, self._audit_log, self._traces, self._profile)
        for number, step in enumerate(steps):
            if number >= self.step:
                step()
                self.step, self.place = number + 1, None
                self._advance()
        return {**self.sums, "left": person_traces.left(count_rows(self.user_id))}

    def _advance(self, name: str = "", rows: int = 0) -> None:
        if rows:
            self.sums[name] = self.sums.get(name, 0) + rows
        done = sum(self.sums.values())
        place = self.place.encode() if self.place else None
        self.total = max(self.total, done)
        self.run.advance(done, total=self.total, message=name, cursor=[self.step, place, self.sums])

    def _batch(self, table: str, rows: int, change: Callable[[], object], action: str, **told: Any) -> None:
        """A change and its entry, together or not at all."""
        for tried in range(TRIES):
            try:
                with transaction.atomic(using=OMNICHAT):
                    change()
                    audit.record(
                        action, by=self._by, user_id=self.user_id, resource_type=table, rows=rows,
                        job=self.run.job.pk, **told,
                    )  # fmt: skip
                return
            except IntegrityError:
                # On D1 the commit finds that the app has changed one of the rows since they were counted.
                if tried == TRIES - 1:
                    raise

    @property
    def _by(self) -> audit.Actor:
        return self.run.actor or "console"

    # The steps

    def _conversations(self) -> None:
        conversations = Conversation.objects.using(OMNICHAT).filter(user_id=self.user_id)
        oldest = conversations.order_by(CONVERSATIONS.key().asc(), "pk")
        while ids := list(oldest.values_list("pk", flat=True)[:TOGETHER]):
            messages = Message.objects.using(OMNICHAT).filter(conversation_id__in=ids)
            while written := list(messages.values_list("pk", flat=True)[:PAGE]):
                self._delete(Message, written)
            self._delete(Conversation, ids)
            person_traces.forget_titles(ids)

    def _delete(self, model: type[Message | Conversation], keys: list[str]) -> None:
        rows: Any = model._default_manager.using(OMNICHAT).filter(pk__in=keys)
        table = model._meta.db_table
        self._batch(table, len(keys), lambda: rows._raw_delete(OMNICHAT), "person.delete")
        self._advance(table, len(keys))

    def _usage(self) -> None:
        """What was used stays counted; which message it was for goes."""
        self._walk(USAGE, lambda row: any(getattr(row, name) is not None for name in _links()), self._cut)

    def _cut(self, rows: Rows) -> object:
        found = ApiUsage.objects.using(OMNICHAT).filter(pk__in=[row.pk for row in rows])
        return found.update(**dict.fromkeys(_links()))

    def _audit_log(self) -> None:
        """That something was changed stays, and by whom; the words that tell of the person go."""
        self._walk(AUDIT, person_traces.without_words, self._reword)

    def _reword(self, rows: Rows) -> object:
        return AuditLog.objects.using(OMNICHAT).bulk_update(rows, ["metadata"])

    def _walk(self, part: Part, concerns: Callable[[Any], bool], change: Callable[[Rows], object]) -> None:
        for page in pages(part, self.user_id, self.place):
            rows = [row for row in page if concerns(row)]
            if rows:
                self._batch(part.table, len(rows), lambda rows=rows: change(rows), "person.redact")  # type: ignore[misc]
            self.place = place_after(part, page)
            self._advance(part.table, len(rows))

    def _traces(self) -> None:
        self._advance("console", person_traces.forget(self.user))

    def _profile(self) -> None:
        """Last, so that a person who is half deleted can still be told by their name, and the job be tried again."""
        if not is_deleted(self.user):
            values: dict[str, Any] = {"email": made_up_email(self.user_id), "name": NOBODY, "avatar_url": None}
            values["updated_at"] = timezone.now()
            values = {name: value for name, value in values.items() if name not in learn_missing_fields(User)}
            row = User.objects.using(OMNICHAT).filter(pk=self.user_id)
            self._batch("users", 1, lambda: row.update(**values), "person.delete", resource_id=self.user_id)
            self.sums["users"] = 1
        StaffEvent.objects.using(CONSOLE).get_or_create(
            staff=self.run.actor, action=DELETED, subject=self.user_id, detail={"job": self.run.job.pk}
        )


def _links() -> set[str]:
    """The fields of a call that lead to a message. Which of them the live table lacks is known once it was read."""
    return {f"{name}_id" for name in {"conversation", "message"} - missing_fields(ApiUsage)}
