"""Grants units to a user."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import date
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.db import Error, connections

from billing.allowance import today
from billing.ledger import LARGEST, Outcome
from console import grants, recipients
from console.amounts import whole
from console.models import Grant
from database.commands import OperatorCommand, Report
from database.failures import sentence
from database.router import CONSOLE, OMNICHAT
from database.words import counted

#: Characters of a key and of a ticket.
LONGEST = 100


def number_of_units(text: str) -> int:
    units = whole(text)
    if units is None:
        raise ArgumentTypeError(f"{text!r} is no whole number of units")
    if not 0 < units <= LARGEST:
        raise ArgumentTypeError(f"a grant gives 1 to {LARGEST:,} units")
    return units


def some_text(text: str) -> str:
    if not text.strip() or "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ArgumentTypeError("give a text")
    return text.strip()


def short_text(text: str) -> str:
    """A key that were cut would be that of another grant."""
    if len(text.strip()) > LONGEST:
        raise ArgumentTypeError(f"give at most {LONGEST} characters")
    return some_text(text)


def category(text: str) -> str:
    return text.strip().lower().replace("-", "_").replace(" ", "_")


def last_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; give one as 2026-12-31") from None
    if day < today():
        raise ArgumentTypeError(f"{text} is over; it is {today()} in UTC")
    return day


class Command(OperatorCommand):
    help = "Grant units to a user, named by id or email. The same --key is the same grant."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("user_id", metavar="USER_ID", type=some_text)
        parser.add_argument("units", metavar="UNITS", type=number_of_units)
        parser.add_argument("--reason", metavar="TEXT", type=some_text, required=True, help="why; kept with the grant")
        parser.add_argument("--category", type=category, choices=Grant.Category.values, default="goodwill")
        parser.add_argument("--by", metavar="STAFF", help="grant as this login, within its limits; over them it waits")
        parser.add_argument("--key", metavar="KEY", type=short_text, help="names the cause: given again, nothing is")
        parser.add_argument("--ticket", metavar="REF", type=short_text, help="the ticket that it belongs to")
        parser.add_argument("--expires", metavar="DAY", type=last_day, help="the last UTC day on which it can be used")

    def run(self, **options: Any) -> Report:
        by = staff(options["by"]) if options["by"] else self.operator()
        user = recipients.find_one(options["user_id"])
        if user is None:
            raise CommandError(f"There is no user {options['user_id']}: give a Clerk id or an email.")
        if not user.is_readable:
            raise CommandError(f"The balance of {user.id} is {user.balance!r}, no number of units: mend it first.")
        try:
            (grant,) = grants.decide([_wish(user, options)], by=by)
        except grants.GrantRefused as refused:
            raise CommandError(str(refused)) from None
        outcome, trouble = None, ""
        try:
            outcome = grants.apply([grant]).get(grant.pk)
        except (Error, KeyboardInterrupt) as error:
            # The grant stands, and is finished by itself: who began another would give the units twice.
            trouble = sentence(error, connections[OMNICHAT]) if isinstance(error, Error) else "Interrupted."
        grant.refresh_from_db()
        return _report(grant, user, outcome, trouble)


def staff(name: str) -> User:
    person = User.objects.using(CONSOLE).filter(username=name).first()
    if person is None:
        raise CommandError(f"There is no login {name}.")
    return person


def _wish(user: recipients.Recipient, options: dict[str, Any]) -> grants.Wish:
    return grants.Wish(
        user.id,
        user.email,
        options["units"],
        options["category"],
        options["reason"],
        key=f"command:{options['key']}" if options["key"] else None,
        ticket=options["ticket"] or "",
        expires_on=options["expires"],
    )


def _report(grant: Grant, user: recipients.Recipient, outcome: Outcome | None, trouble: str) -> Report:
    balance = outcome.balance_after if outcome and outcome.is_posted else user.units
    data = {"grant": str(grant.pk), "state": grant.state, "balance": balance, "user": user.id, "units": grant.units}
    if grant.state == Grant.State.REQUESTED:
        error = f"It waits for a second person: {grant.waits_because}"
    elif grant.is_given:
        error = None
    elif grant.state == Grant.State.APPROVED and not grant.problem:
        stands = "The grant stands: expire_grants or a worker gives its units, once. Do not grant them again."
        error = f"{trouble} {stands}".strip()
    else:
        error = f"It is {grant.get_state_display().lower()}: {grant.problem or grant.decision or 'see the grant.'}"
    again = "" if outcome and outcome.is_posted else ", as before"
    return Report(
        data, f"{counted(grant.units, 'unit')} to {user.email or user.id}{again}. Balance {balance:,}.", error
    )
