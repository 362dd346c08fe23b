"""Changes of second factors, as events of staff."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import AbstractBaseUser

from console.models import StaffEvent


def _keep(action: str, user: AbstractBaseUser, authenticator: Authenticator) -> None:
    StaffEvent.objects.create(
        staff_id=user.pk, action=action, subject=user.get_username(), detail={"type": authenticator.type}
    )


def factor_added(*, user: AbstractBaseUser, authenticator: Authenticator, **signal: Any) -> None:
    _keep("sign_in.factor_added", user, authenticator)


def factor_removed(*, user: AbstractBaseUser, authenticator: Authenticator, **signal: Any) -> None:
    _keep("sign_in.factor_removed", user, authenticator)


def factor_reset(*, user: AbstractBaseUser, authenticator: Authenticator, **signal: Any) -> None:
    _keep("sign_in.factor_reset", user, authenticator)
