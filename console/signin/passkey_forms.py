"""allauth's forms for passkeys, where what is sent is nothing that a browser would send.

fido2 raises KeyError, InvalidSignature and others for it, of which allauth expects only a few: they would be errors of
the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.webauthn import forms
from cryptography.exceptions import InvalidSignature
from django.db import DataError

_NO_PASSKEY = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, InvalidSignature, DataError)

if TYPE_CHECKING:
    from django.forms import Form as Base
else:
    Base = object


class _Read(Base):
    def clean_credential(self) -> Any:
        try:
            return super().clean_credential()  # type: ignore[misc]
        except _NO_PASSKEY:
            raise get_adapter().validation_error("incorrect_code") from None


class AuthenticateForm(_Read, forms.AuthenticateWebAuthnForm):
    pass


class ReauthenticateForm(_Read, forms.ReauthenticateWebAuthnForm):
    pass


class LoginForm(_Read, forms.LoginWebAuthnForm):
    pass


class AddForm(forms.AddWebAuthnForm):
    def clean(self) -> dict[str, Any]:
        try:
            cleaned: dict[str, Any] = super().clean()
        except _NO_PASSKEY:
            raise get_adapter().validation_error("incorrect_code") from None
        return cleaned
