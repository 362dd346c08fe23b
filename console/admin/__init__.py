"""The admin of the console's own tables. Each subject has a module; importing it registers its pages."""

from console.admin import findings, grants, inbox, jobs, schedule, staff

__all__ = ["findings", "grants", "inbox", "jobs", "schedule", "staff"]
