"""The form of a refund."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.stripe_refunds import Paid
from console.amounts import MoneyField
from console.grant_forms import TEXT
from console.stripe_pages import money


class RefundForm(forms.Form):
    """`key` is made with the form: sent twice, it is one refund. `mark` is the payment as it was shown."""

    amount = MoneyField(label=_("Amount"), min_value=Decimal("0.01"), max_digits=10, decimal_places=2)
    units = forms.ChoiceField(
        label=_("Units"),
        choices=(("take", _("Take the units back, in proportion")), ("keep", _("Leave the units with the user"))),
    )
    reason = forms.ChoiceField(
        label=_("Reason for Stripe"),
        choices=(
            ("requested_by_customer", _("Requested by the customer")),
            ("duplicate", _("Paid twice")),
            ("fraudulent", _("Fraudulent")),
        ),
    )
    text = forms.CharField(
        label=_("Reason, for staff"),
        max_length=TEXT,
        widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput)
    mark = forms.CharField(widget=forms.HiddenInput, max_length=300)

    @property
    def cents(self) -> int:
        return int(self.cleaned_data["amount"] * 100)

    @property
    def keeps_units(self) -> bool:
        return bool(self.cleaned_data["units"] == "keep")

    def check_against(self, paid: Paid) -> None:
        """Adds an error where more is asked for than is left."""
        if self.cents > paid.left:
            words = gettext("No more than %(left)s is left of this payment.")
            self.add_error("amount", words % {"left": money(paid.left, paid.currency)})

    def asked(self) -> dict[str, Any]:
        """What a second sending has to have the same."""
        told = self.cleaned_data
        return {"cents": self.cents, "units": told["units"], "reason": told["reason"], "mark": told["mark"]}

    def shown_again(self) -> list[tuple[str, Any]]:
        """Names and values of all fields, as hidden inputs."""
        return [(name, "" if (value := self[name].value()) is None else value) for name in self.fields]
