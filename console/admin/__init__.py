"""The admin of the console's own tables. Each subject has a module; importing it registers its pages."""

from console.admin import grants, inbox, jobs, schedule, staff

__all__ = ["grants", "inbox", "jobs", "schedule", "staff"]
