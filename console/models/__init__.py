"""The console's own tables, in the `default` database. Each subject has a module."""

from console.models.finding import Finding, FindingState, ResyncRun, ResyncState
from console.models.grant import Grant, GrantBulk
from console.models.inbox import InboxEvent, InboxSource, InboxState
from console.models.job import Job, JobState, ScheduleEntry
from console.models.note import Note
from console.models.saved_view import SavedView
from console.models.staff import StaffEvent
from console.models.summary import Summary

__all__ = [
    "Finding",
    "FindingState",
    "Grant",
    "GrantBulk",
    "InboxEvent",
    "InboxSource",
    "InboxState",
    "Job",
    "JobState",
    "Note",
    "ResyncRun",
    "ResyncState",
    "SavedView",
    "ScheduleEntry",
    "StaffEvent",
    "Summary",
]
