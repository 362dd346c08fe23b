"""What a file would change in a table, row by row, before anything is written.

Rows are compared with what an export would say of them, so a file that was exported and not edited changes nothing,
whatever odd cells are in it. Only columns that the file has are looked at. A row with an unknown key is new if the file
gives all that a new row must have. With one wrong row nothing of the file can be imported.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model

from database.columns import missing_fields
from database.edits import cell as cell_for
from database.edits import field_of
from database.exchange import TableResource, exported, text_of
from database.import_files import BadFile, Given, Table
from database.instants import StoredText
from database.router import OMNICHAT
from database.values import Stored

#: Rows that one query reads and one transaction writes.
BATCH = 1000


@dataclass(frozen=True)
class Change:
    """What becomes of one row. `before` and `after` map columns to cells; a new row has nothing before."""

    row: int
    key: str
    new: bool
    before: dict[str, Stored]
    after: dict[str, Stored]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a row, in which column; without a column it is the row as a whole."""

    row: int
    column: str
    sentence: str


@dataclass
class Preview:
    """What an import would do. `ignored` are columns of the file that are not imported."""

    file_name: str
    rows: int = 0
    unchanged: int = 0
    ignored: list[str] = dataclasses.field(default_factory=list)
    changes: list[Change] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)

    @property
    def new(self) -> int:
        return sum(change.new for change in self.changes)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, data: dict[str, Any]) -> Preview:
        """The preview that `as_dict` told."""
        changes = [Change(**change) for change in data["changes"]]
        return cls(**{**data, "changes": changes, "problems": [Problem(**problem) for problem in data["problems"]]})


def preview(resource: type[TableResource], table: Table, file_name: str, *, may_add: bool) -> Preview:
    """Compare a file with the table. Raises `BadFile` if the file lacks the key. Reads a query for each 1,000 rows."""
    comparison = _Comparison(resource, table, Preview(file_name, rows=len(table.rows)), may_add)
    comparison.run()
    return comparison.found


class _Comparison:
    def __init__(self, resource: type[TableResource], table: Table, found: Preview, may_add: bool) -> None:
        self.resource, self.table, self.found, self.may_add = resource, table, found, may_add
        self.model: type[Model] = resource._meta.model
        by_name = {name.lower(): name for name in table.columns}
        missing = missing_fields(self.model)
        fields = [field_of(self.model, name) for name in resource.importable if name not in missing]
        #: The fields that the file has, and what it calls them.
        self.names: dict[Any, str] = {f: by_name[f.column.lower()] for f in fields if f.column.lower() in by_name}
        self.key = fields[0]
        if self.key not in self.names:
            raise BadFile(f"The file has no column “{self.key.column}”, but {', '.join(table.columns)}.")
        self.fields = [f for f in self.names if f is not self.key]
        found.ignored = [name for name in table.columns if name not in self.names.values()]

    def run(self) -> None:
        times = Counter(self._key_of(given) for given in self.table.rows)
        for given in self.table.rows:
            if times[self._key_of(given)] > 1:
                self._problem(given, self.key, "This key stands in several rows.")
        for rows in batches(self.table.rows):
            present = present_cells(self.model, [self._key_of(given) for given in rows], self.fields)
            for given in rows:
                self._compare(given, present.get(self._key_of(given)))
        self._refuse_taken()

    def _key_of(self, given: Given) -> str:
        return text_of(given.values.get(self.names[self.key])).strip()

    def _problem(self, given: Given, field: Any, sentence: str) -> None:
        column = field.column if field is not None else ""
        self.found.problems.append(Problem(given.number, column, sentence))

    def _compare(self, given: Given, present: dict[str, Stored] | None) -> None:
        if given.extra:
            what = "fewer" if given.extra < 0 else "more"
            self._problem(given, None, f"This row has {what} values than the first row has columns.")
        elif present is None:
            self._new(given)
        else:
            self._changed(given, present)

    def _changed(self, given: Given, present: dict[str, Stored]) -> None:
        after: dict[str, Stored] = {}
        problems = len(self.found.problems)
        for field in self.fields:
            cell, value = present[field.column], given.values.get(self.names[field], ...)
            if value is not ... and not same(field, cell, value):
                self._take(given, field, value, after)
        after = {column: cell for column, cell in after.items() if cell != present[column]}
        if not after:
            self.found.unchanged += len(self.found.problems) == problems
            return
        before = {column: present[column] for column in after}
        self.found.changes.append(Change(given.number, self._key_of(given), False, before, after))

    def _take(self, given: Given, field: Any, value: Any, after: dict[str, Stored]) -> None:
        """Put the cell for a value of the file into `after`, or tell why it can't be one."""
        try:
            after[field.column] = parsed(field, value)
        except ValidationError as error:
            for sentence in error.messages:
                self._problem(given, field, sentence)

    def _new(self, given: Given) -> None:
        required = [field_of(self.model, name) for name in self.resource.required]
        lacking = [f.column for f in required if f not in self.names or not text_of(given.values.get(self.names[f]))]
        if not self._key_of(given):
            self._problem(given, self.key, "The key is missing.")
        elif not self.may_add:
            self._problem(given, self.key, "There is no such row, and you may not add one.")
        elif lacking:
            self._problem(given, self.key, f"There is no such row; a new one needs {', '.join(lacking)}.")
        else:
            self._add(given)

    def _add(self, given: Given) -> None:
        after: dict[str, Stored] = {}
        for field, name in self.names.items():
            if text_of(given.values.get(name)):
                self._take(given, field, given.values[name], after)
        for name, value in self.resource.defaults.items():
            field = field_of(self.model, name)
            after.setdefault(field.column, cell_for(field, value))
        self.found.changes.append(Change(given.number, self._key_of(given), True, {}, after))

    def _refuse_taken(self) -> None:
        """A value of a unique column that another row has, in the file or in the table."""
        for field in self.fields:
            if not field.unique:
                continue
            wanted = [change for change in self.found.changes if change.after.get(field.column) is not None]
            times = Counter(change.after[field.column] for change in wanted)
            taken = _owners(self.model, field, list(times))
            for change in wanted:
                value = change.after[field.column]
                if times[value] > 1 or taken.get(value, change.key) != change.key:
                    sentence = f"Another row has this {field.verbose_name}: “{value!s}”."
                    self.found.problems.append(Problem(change.row, field.column, sentence))


def same(field: Any, cell: Stored, value: Any) -> bool:
    """Whether a value of a file says what an export would say of a cell."""
    return text_of(value) == text_of(exported(field, cell)) or text_of(value) == text_of(field.read(cell))


def parsed(field: Any, value: Any) -> Stored:
    """The cell for a value of a file. Raises ValidationError, as a form would."""
    text = text_of(value)
    typed = field.input_class().to_python(text)
    if typed in (None, ""):
        if not field.null:
            raise ValidationError("A value is needed here.")
        return None
    cleaned = field.clean(typed, None)
    return cell_for(field, cleaned)


def present_cells(model: type[Model], keys: Sequence[str], fields: Sequence[Any]) -> dict[str, dict[str, Stored]]:
    """The cells of rows, by key and column."""
    columns = [StoredText(field.attname) for field in fields]
    rows = model._base_manager.using(OMNICHAT).filter(pk__in=keys).values_list("pk", *columns)
    return {str(key): dict(zip((f.column for f in fields), cells, strict=True)) for key, *cells in rows}


def _owners(model: type[Model], field: Any, values: Sequence[Any]) -> dict[Any, str]:
    owners: dict[Any, str] = {}
    for some in batches(values):
        found = model._base_manager.using(OMNICHAT).filter(**{f"{field.attname}__in": some})
        owners |= dict(found.values_list(field.attname, "pk"))
    return owners


def batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """At most `BATCH` items at a time."""
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]
