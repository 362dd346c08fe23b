"""The forms of grants. Each field is a word of a `Wish`; `shown_again` is what a confirmation carries along."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.http import QueryDict
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.allowance import today
from billing.ledger import LARGEST
from console.amounts import UnitsField
from console.models.grant import Grant

TEXT = 1000


class ReasonForm(forms.Form):
    """Why, for one grant or many."""

    category = forms.ChoiceField(label=_("Category"), choices=Grant.Category.choices)
    text = forms.CharField(
        label=_("Reason"), max_length=TEXT, widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"})
    )
    ticket = forms.CharField(
        label=_("Ticket"), max_length=100, required=False, widget=forms.TextInput(attrs={"class": "vTextField"})
    )
    expires_on = forms.DateField(
        label=_("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=_("The last UTC day on which the units can be used; what is left is taken back after it."),
    )

    def clean_expires_on(self) -> Any:
        day = self.cleaned_data["expires_on"]
        if day is not None and day < today():
            raise ValidationError(gettext("This day is over: it is %(day)s in UTC.") % {"day": today()})
        return day

    def shown_again(self) -> list[tuple[str, Any]]:
        """Names and values of all fields, as hidden inputs."""
        return [(name, "" if (value := self[name].value()) is None else value) for name in self.fields]


class GiveForm(ReasonForm):
    """One grant. `key` is made with the form: sent twice, it is one grant."""

    user = forms.CharField(
        label=_("User"),
        max_length=320,
        help_text=_("A Clerk id or an email."),
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
    units = UnitsField(label=_("Units"), min_value=1, max_value=LARGEST)
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)
    field_order = ("user", "units", "category", "text", "ticket", "expires_on", "key")


class UsersField(forms.JSONField):
    """Ids of users as a JSON array, of which each is there once."""

    def to_python(self, value: Any) -> Any:
        try:
            users = super().to_python(value)
            # A lone surrogate has no UTF-8, and no id has one.
            json.dumps(users, ensure_ascii=False).encode()
        except (RecursionError, UnicodeEncodeError):
            users = None
        if not isinstance(users, list) or not users or not all(isinstance(user, str) for user in users):
            raise ValidationError(gettext("Mark users in the list of users first."))
        return list(dict.fromkeys(users))

    def bound_data(self, data: Any, initial: Any) -> Any:
        """As it was sent, without reading it again."""
        return None if data is None else InvalidJSONInput(data)


class SelectedForm(ReasonForm):
    """The same units for each of the users that were marked in a list."""

    units = UnitsField(label=_("Units for each"), min_value=1, max_value=LARGEST)
    users = UsersField(widget=forms.HiddenInput)
    field_order = ("units", "category", "text", "ticket", "expires_on", "users")


class FileForm(ReasonForm):
    """A file of users and units."""

    file = forms.FileField(
        label=_("File (CSV or XLSX)"),
        allow_empty_file=True,
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.xlsx"}),
        help_text=_("Columns: user (an id or an email), units, and reason if the rows differ in it."),
    )
    field_order = ("file", "category", "text", "ticket", "expires_on")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["text"].required = False
        self.fields["text"].help_text = _("For rows that give none of their own.")


class ReversalForm(forms.Form):
    units = UnitsField(label=_("Units to take back"), min_value=1)
    text = forms.CharField(
        label=_("Reason"), max_length=TEXT, widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"})
    )


class DecisionForm(forms.Form):
    """Approves or rejects grants that wait, all for one reason."""

    grant = forms.TypedMultipleChoiceField(coerce=UUID)
    decision = forms.ChoiceField(choices=(("approve", ""), ("reject", "")))
    text = forms.CharField(max_length=TEXT, required=False)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        # Whether they still wait is asked in the same statement that decides on them.
        self.fields["grant"].choices = [(value, value) for value in data.getlist("grant") if is_uuid(value)]  # type: ignore[attr-defined]
        self.fields["grant"].error_messages["required"] = gettext("Mark the grants that you decide on.")

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if found.get("decision") == "reject" and not found.get("text"):
            raise ValidationError(gettext("Say why you reject: whoever asked will read it."))
        return found


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
