"""What a person owes before the console opens: a second factor, a new password."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction

from console.models import StaffEvent
from console.roles import ROLES
from console.signin.models import OwedPassword, SecondFactorRule
from database.router import CONSOLE

SUPERUSER = "superuser"
#: What a second factor can be required of.
REQUIRABLE = (*ROLES, SUPERUSER)
_FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


@dataclass(frozen=True)
class Duties:
    """`has_factor`: one is set up; `needs_factor`: set up or required of a role; `owes_password`: another set it."""

    has_factor: bool
    needs_factor: bool
    owes_password: bool


def duties_of(user: AbstractBaseUser) -> Duties:
    """Asked at a sign-in and once a minute of use, not at each page: its answer is kept in the session."""
    has_factor = Authenticator.objects.filter(user_id=user.pk, type__in=_FACTORS).exists()
    return Duties(
        has_factor=has_factor,
        needs_factor=has_factor or _is_required_of(user),
        owes_password=OwedPassword.objects.filter(pk=user.pk).exists(),
    )


def _is_required_of(user: AbstractBaseUser) -> bool:
    rules = set(SecondFactorRule.objects.values_list("pk", flat=True))
    if not rules or not isinstance(user, User):
        return False
    roles = set(user.groups.values_list("name", flat=True)) | ({SUPERUSER} if user.is_superuser else set())
    return bool(roles & rules)


def required_roles() -> set[str]:
    return set(SecondFactorRule.objects.values_list("pk", flat=True))


def require_of(roles: Iterable[str], *, by: User) -> None:
    """From now on people of exactly these roles need a second factor. Those who have none set one up at once."""
    wanted = set(roles) & set(REQUIRABLE)
    with transaction.atomic(using=CONSOLE):
        before = required_roles()
        if wanted == before:
            return
        SecondFactorRule.objects.exclude(pk__in=wanted).delete()
        SecondFactorRule.objects.bulk_create([SecondFactorRule(role=role, by=by) for role in sorted(wanted - before)])
        detail = {"before": sorted(before), "after": sorted(wanted)}
        StaffEvent.objects.create(staff_id=by.pk, action="sign_in.policy", subject="second factor", detail=detail)


def owe_password(user: User, *, by: User) -> None:
    """`by` knows the password of `user`, who has to change it when they sign in."""
    OwedPassword.objects.update_or_create(pk=user.pk, defaults={"by": by})


def remove_factors(user: User, *, by: User) -> int:
    """For who lost theirs: sign-in asks for the password alone, until they set one up. Gives how many there were."""
    with transaction.atomic(using=CONSOLE):
        removed: int = Authenticator.objects.filter(user=user).delete()[0]
        if removed:
            StaffEvent.objects.create(staff_id=by.pk, action="staff.second_factor_removed", subject=user.get_username())
    return removed
