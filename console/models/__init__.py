"""The console's own tables, in the `default` database. Each subject has a module."""

from console.models.grant import Grant, GrantBulk
from console.models.job import Job, JobState, ScheduleEntry
from console.models.staff import StaffEvent
from console.models.summary import Summary

__all__ = ["Grant", "GrantBulk", "Job", "JobState", "ScheduleEntry", "StaffEvent", "Summary"]
