"""The admin of the console's own tables. Each subject has a module; importing it registers its pages."""

from console.admin import jobs, schedule, staff

__all__ = ["jobs", "schedule", "staff"]
