"""What sign-in keeps of its own: attempts that failed, who needs a second factor, who owes a new password."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models


class SignInAttempt(models.Model):
    """One try that has not succeeded. Rows older than the longest window are deleted by later tries."""

    at = models.DateTimeField()
    subject = models.CharField(max_length=64, help_text="A keyed hash of what was to be entered, never its name.")
    address = models.CharField(max_length=64, help_text="The client's address, or its /64 network for IPv6.")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["subject", "at"], name="signin_attempt_subject"),
            models.Index(fields=["address", "at"], name="signin_attempt_address"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.address}"


class SecondFactorRule(models.Model):
    """A role whose people need a second factor; no row, no need."""

    role = models.CharField(max_length=150, primary_key=True, help_text="A group's name, or superuser.")
    since = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    def __str__(self) -> str:
        return self.role


class OwedPassword(models.Model):
    """Somebody else set this person's password, so the next sign-in asks for one that only they know."""

    staff = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+")
    since = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    def __str__(self) -> str:
        return str(self.staff)
