"""What can be wrong with a backup file, each as what it is."""

from __future__ import annotations


class ArchiveError(Exception):
    """A backup that cannot be read. The text is a sentence that says why, and what to do."""


class NotABackup(ArchiveError):
    """It is some other file."""


class NewerFormat(ArchiveError):
    """A later version of omniops made it."""


class WrongKey(ArchiveError):
    """It is encrypted, and no key was given or a key of somebody else."""


class CutShort(ArchiveError):
    """Its end is missing."""


class Damaged(ArchiveError):
    """Bytes of it are not what was written."""


class MissingMember(ArchiveError):
    """The manifest names a part that is not in the file."""
