"""OmniChat's tables as files: which columns, under which names, and which value stands for a cell.

A column has its name in the database. Instants stand in one form, JavaScript's, whichever the cell has; odd cells stand
as they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import date, datetime
from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from django.db.models.expressions import Expression
from django.db.models.lookups import GreaterThan
from django.dispatch import Signal
from import_export import fields, resources, widgets

from database.fields import FlagField, InstantField, JSONTextField
from database.instants import StoredText
from database.paging import AmongRows, RowId
from database.values import JSONList, JSONObject, Odd, Stored, instant_text, read_instant

#: Sent when staff export, look at an import, or import: `request`, `action` ("export", "preview import", "import"),
#: `subject` (a model) and `detail`, a map that goes into JSON. Of an export before the first row is sent.
exchanged = Signal()
#: Sent with `request` before an export or import is offered or made; a receiver that raises keeps it from being made.
exchange_asked = Signal()
#: What stands in a file for a cell.
Value = str | int | float | None
_AS_EXPORTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
#: Rows that one query of an export reads.
PAGE = 2000
#: Numbers of rows that one query of a filtered export reads, and that are held at once.
NUMBERED = 50_000


class TableResource(resources.ModelResource):
    """A table as a file. A subclass for import names the `importable` fields, the key first.

    `required` are those that a new row must have.
    """

    importable: ClassVar[tuple[str, ...]] = ()
    required: ClassVar[tuple[str, ...]] = ()
    #: What a new row gets where the file says nothing, by field.
    defaults: ClassVar[dict[str, Any]] = {}

    @classmethod
    def field_from_django_field(cls, field_name: str, django_field: Any, readonly: bool) -> fields.Field:
        return fields.Field(
            attribute=django_field.attname,
            column_name=django_field.column,
            widget=CellWidget(django_field),
            readonly=readonly,
        )


class CellWidget(widgets.Widget):
    """A cell as a value of a file."""

    def __init__(self, field: Any) -> None:
        super().__init__()
        self.field = field

    def render(self, value: Any, obj: Model | None = None, **kwargs: Any) -> Value:
        return exported(self.field, self.field.get_prep_value(value))


def resource_of(model: type[Model]) -> type[TableResource]:
    """The resource of a table that nobody imports: all its columns."""
    made: type[TableResource] = resources.modelresource_factory(model, resource_class=TableResource)
    return made


def exporter(field: Any) -> Callable[[Stored], Value]:
    """What makes a field's cells into what stands in a file. Text is not yet made harmless for spreadsheets."""
    return _instant if isinstance(field, InstantField) else _other


def exported(field: Any, cell: Stored) -> Value:
    """What stands in a file for a cell."""
    return exporter(field)(cell)


def _instant(cell: Stored) -> Value:
    # Most cells have the form already, and then an impossible date stays as it is in any case.
    if cell is None or (isinstance(cell, str) and _AS_EXPORTED.fullmatch(cell)):
        return cell
    moment = read_instant(cell)
    return instant_text(moment) if isinstance(moment, datetime) else _other(cell)


def _other(cell: Stored) -> Value:
    if isinstance(cell, bytes) or (isinstance(cell, float) and not math.isfinite(cell)):
        return Odd(cell).text
    return cell


def exported_json(field: Any, cell: Stored) -> Any:
    """What stands in a JSON file for a cell: objects, arrays and booleans as such."""
    if isinstance(field, JSONTextField | FlagField):
        value = field.read(cell)
        return value if isinstance(value, JSONObject | JSONList | bool | None) else exported(field, cell)
    return exported(field, cell)


def text_of(value: Any) -> str:
    """One text for a value of a file, whichever file gives it: what is equal to a person is equal here."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def columns_of(resource: type[TableResource], withheld: Sequence[str] = ()) -> list[Any]:
    """The model's fields that a file has, in order, without those `withheld` by name."""
    named = (field.widget.field for field in resource().get_export_fields())
    return [field for field in named if field.name not in withheld]


def rows_of(queryset: QuerySet[Any], columns: Sequence[Any], page: int = PAGE) -> Iterator[tuple[Stored, ...]]:
    """The cells of all rows of a queryset, in the order of their insertion, a query a page.

    Memory does not grow with the table. Rows that others write meanwhile come or don't; none comes twice.
    """
    cells: list[Expression] = [StoredText(field.attname) for field in columns]
    rows = queryset.order_by(RowId()).values_list(RowId(), *cells)
    last = yield from _sent(rows[:page], page)
    while last is not None and not queryset.query.where:
        last = yield from _sent(rows.filter(GreaterThan(RowId(), last))[:page], page)
    # An index of what is filtered by is not in this order: each query sorts all that is left. So few of them, of
    # numbers alone.
    while last is not None:
        left = queryset.order_by(RowId()).filter(GreaterThan(RowId(), last))
        numbers = list(left.values_list(RowId())[:NUMBERED])
        every = queryset.model._default_manager.order_by(RowId()).values_list(RowId(), *cells)
        for start in range(0, len(numbers), page):
            yield from _sent(every.filter(AmongRows([number for (number,) in numbers[start : start + page]])), page)
        last = numbers[-1][0] if len(numbers) == NUMBERED else None


def _sent(rows: QuerySet[Any, Any], page: int) -> Generator[tuple[Stored, ...], None, int | None]:
    """The cells of a page; the number of its last row, None of a page that is not full."""
    found = list(rows)
    for _, *row in found:
        yield tuple(row)
    return found[-1][0] if len(found) == page else None
