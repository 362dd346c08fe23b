"""The console's own tables, in the `default` database. Each subject has a module."""

from console.models.staff import StaffEvent

__all__ = ["StaffEvent"]
