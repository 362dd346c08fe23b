from typing import Any

from django.apps import AppConfig
from django.core.management import call_command
from django.db.models.signals import post_migrate

from database.router import CONSOLE

#: Models of allauth that are not to be in a backup: secrets, and what nothing here uses.
NOT_BACKED_UP = (
    "mfa.Authenticator", "account.EmailAddress", "account.EmailConfirmation", "socialaccount.SocialAccount",
    "socialaccount.SocialApp", "socialaccount.SocialToken", "usersessions.UserSession", "signin.SignInAttempt",
    "signin.OwedPassword",
)  # fmt: skip


class SigninConfig(AppConfig):
    name = "console.signin"
    label = "signin"
    verbose_name = "sign-in"

    def ready(self) -> None:
        from allauth.account.signals import authentication_step_completed
        from allauth.account.signals import user_logged_in as came_in
        from allauth.mfa import signals
        from django.contrib.auth.signals import user_logged_in

        from console.signin import events, fresh, sessions
        from database.backup_console import leave_out
        from database.exchange import exchange_asked

        for label in NOT_BACKED_UP:
            leave_out(label)
        user_logged_in.connect(sessions.begin, dispatch_uid="signin.begin")
        # Django's own is sent too early for the list of ways, and by tests and shells that sign nobody in.
        came_in.connect(events.signed_in, dispatch_uid="signin.signed_in")
        authentication_step_completed.connect(sessions.note_proof, dispatch_uid="signin.note_proof")
        for signal in (signals.authenticator_added, signals.authenticator_removed):
            signal.connect(sessions.note_factors, dispatch_uid="signin.note_factors")
        signals.authenticator_added.connect(events.factor_added, dispatch_uid="signin.factor_added")
        signals.authenticator_removed.connect(events.factor_removed, dispatch_uid="signin.factor_removed")
        signals.authenticator_reset.connect(events.factor_reset, dispatch_uid="signin.factor_reset")
        exchange_asked.connect(fresh.check_exchange, dispatch_uid="signin.check_exchange")
        post_migrate.connect(make_cache_table, sender=self, dispatch_uid="signin.make_cache_table")


def make_cache_table(using: str = CONSOLE, **signal: Any) -> None:
    """The cache that all processes share (settings.CACHES) is a table of `default`. Does nothing where it is there."""
    if using == CONSOLE:
        call_command("createcachetable", database=using, verbosity=0)
