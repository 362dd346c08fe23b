"""The form by which staff edit one row: it carries the cells that it showed, and changes only what was touched."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.forms.boundfield import BoundField
from django.utils.html import format_html
from django.utils.safestring import SafeString

from database import audit, edits
from database.edits import cell_of, field_of
from database.inputs import TextInput, as_sent
from database.paging import GREATEST
from database.values import Odd, Stored

RELOAD = "This form came without the values that it had shown. Reload the page and make your change again."


class CarryingField(BoundField):
    """A field of the form with a hidden input beside it, `shown-NAME`: the cell as it was stored, as JSON."""

    form: EditForm

    def as_widget(self, widget: Any = None, attrs: Any = None, only_initial: bool = False) -> SafeString:
        rendered = super().as_widget(widget, attrs, only_initial)
        if widget is not None or only_initial or self.name not in self.form.shown:
            return rendered
        carried = format_html(
            '<input type="hidden" name="{}" value="{}">',
            self.form.carrier(self.name),
            carry(self.form.shown[self.name]),
        )
        return rendered + carried

    def _has_changed(self) -> bool:
        if self.form.adding:
            return True
        # A select can't show the key of a row that is gone: left empty, it means that the key stays.
        if isinstance(self.field, forms.ModelChoiceField) and self.field.required and not self.data:
            return False
        if isinstance(self.field, forms.ChoiceField) and as_sent(self.data) == as_sent(self.initial):
            return False
        return bool(super()._has_changed())  # type: ignore[misc]


class EditForm(forms.ModelForm):
    """Base of the forms for rows of OmniChat's tables.

    `shown` maps field names to cells: of the row when the form is made, of the page when it comes back. After
    `is_valid()`, `changes` maps the names of fields that the person changed to their new values; only these are
    validated, so that an odd value stays where nobody touched it. `warnings` are sentences to show that stop nothing.
    `save_changes(by=)` writes it (see `database.edits.save_changes`).
    """

    bound_field_class = CarryingField
    use_required_attribute = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: A form for a new row carries nothing.
        self.adding: bool = self.instance._state.adding
        self.warnings: list[str] = []
        self.changes: dict[str, Any] = {}
        self._lost = False
        self.shown: dict[str, Stored] = self._carried() if self.is_bound else self._present()
        self.initial.update({name: _value(self._field(name), cell) for name, cell in self.shown.items()})
        for name in self.shown:
            self._fit_widget(name)

    def carrier(self, name: str) -> str:
        """The name of the hidden input that carries a field's cell."""
        return self.add_prefix(f"shown-{name}")

    def save_changes(self, by: audit.Actor, **metadata: Any) -> None:
        """Write what was changed, with its entry in the audit log. Raises `database.edits.NotSaved`."""
        edits.save_changes(self.instance, shown=self.shown, changed=self.changes, by=by, **metadata)

    def refuse(self, refusal: edits.NotSaved) -> None:
        """Put what a refused save says beside its fields, to show the form again."""
        for name, sentence in refusal.errors.items():
            self.add_error(name if name in self.fields else None, sentence)

    def _field(self, name: str) -> Any:
        return field_of(self._meta.model, name)

    def _names(self) -> list[str]:
        columns = {field.name for field in self._meta.model._meta.concrete_fields}
        return [name for name in self.fields if name in columns and not self.adding]

    def _present(self) -> dict[str, Stored]:
        return {name: cell_of(self.instance, name) for name in self._names()}

    def _carried(self) -> dict[str, Stored]:
        cells: dict[str, Stored] = {}
        for name in self._names():
            try:
                cells[name] = take(self.data[self.carrier(name)])
            except (KeyError, ValueError):
                self._lost = True
        return cells

    def _fit_widget(self, name: str) -> None:
        """An odd value needs an input that can hold it."""
        field, value = self.fields[name], self.fields[name].prepare_value(self.initial[name])
        text = value.text if isinstance(value, Odd) else "" if value is None else str(value)
        widget: Any = field.widget
        if isinstance(field, TextInput) and {"\n", "\r"} & set(text):
            field.widget = forms.Textarea()
            return
        chooses = isinstance(widget, forms.Select) and not isinstance(field, forms.ModelChoiceField)
        if chooses and value is not None and text not in {str(choice) for choice, _ in widget.choices}:
            widget.choices = [*widget.choices, (text, f"{text} (as it was found)")]

    def _clean_fields(self) -> None:
        """Only what was changed is cleaned, and stands in `cleaned_data`."""
        if self._lost:
            self.add_error(None, ValidationError(RELOAD, code="reload"))
            return
        everything = dict(self.fields)
        self.fields = {name: everything[name] for name in self.changed_data}
        try:
            super()._clean_fields()  # type: ignore[misc]
        finally:
            self.fields = everything

    def value_of(self, name: str) -> Any:
        """The value that a field would have after the edit, for checks across fields."""
        return self.cleaned_data.get(name, self.initial.get(name))

    def _get_validation_exclusions(self) -> set[str]:
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return excluded | (set(self.fields) - set(self.changed_data))

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        self.changes = {name: self.cleaned_data[name] for name in self.changed_data if name in self.cleaned_data}


def _value(field: Any, cell: Stored) -> Any:
    return cell if isinstance(field, models.ForeignKey) else field.from_db_value(cell, None, None)


def carry(cell: Stored) -> str:
    """A cell as JSON; a BLOB as an object with its hex."""
    return json.dumps({"hex": cell.hex()} if isinstance(cell, bytes) else cell)


def take(text: str) -> Stored:
    """The cell that `carry` made a text of. Raises ValueError for another text."""
    try:
        cell = json.loads(text, parse_constant=_infinity)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if isinstance(cell, dict):
        return bytes.fromhex(str(cell.get("hex")))
    if isinstance(cell, list | bool) or (isinstance(cell, int) and not -GREATEST - 1 <= cell <= GREATEST):
        raise ValueError(text)
    if isinstance(cell, str):
        cell.encode()  # Half a surrogate pair is no text that a database could hold.
    return cell  # type: ignore[no-any-return]


def _infinity(constant: str) -> float:
    if constant == "NaN":
        raise ValueError("SQLite keeps no NaN")
    return float(constant)
