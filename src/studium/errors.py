"""What can go wrong, and the exit code that a shell sees.

::

    StudiumError                1  anything below; never raised itself
    ├── UsageError              2  a bad option or value
    │   ├── SettingsError       2  a bad key or value in studium.toml, STUDIUM_* or an option
    │   ├── SiteError           2  not a site, or one already
    │   └── SpecError           2  a job's description with fields that are wrong
    ├── LockedError             1  another command is writing to the site
    ├── SourceError             1  raw data that cannot be found or read
    ├── TableError              1  a table file with a bad header or SQL
    ├── EngineError             1  an engine that is missing or could not run a table
    ├── LakeError               1  a Delta table that cannot be read or committed
    ├── S3Error                 1  an S3 store that cannot be reached or refuses
    ├── ResultsError            1  a result store that cannot be reached or written
    ├── JobError                1  a job that cannot be found, accepted or moved on
    │   └── LaunchError         1  a launcher that is missing or could not start a unit
    │       └── BuildError      1  an image that could not be found or built
    ├── BackupError             1  a backup that is damaged or could not be made
    └── StateError              1  a state database that cannot be opened or is too new

Every message says what happened, with the name of the thing, and what to do next; the next step
may be given apart, as ``hint``. No message holds a password.
"""

from __future__ import annotations

from typing import ClassVar

DONE = 0
FAILED = 1
USAGE = 2
REJECTS = 3
"""Exit codes. ``REJECTS``: done, but more lines were refused than ``run.max_reject_share``."""


def advise_install(extra: str) -> str:
    """What to do if the libraries of an extra are missing.

    Not `pip install studium[…]`: there is no package on PyPI that would be this one.
    """
    return f"`make setup` in the clone brings it; elsewhere: pip install '/path/to/clone[{extra}]'."


class StudiumError(Exception):
    """An error that a user can meet and act on.

    ``str(error)`` is the message with its hint; the command line prints them on two lines.
    """

    exit_code: ClassVar[int] = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class UsageError(StudiumError):
    """A bad option or value."""

    exit_code = USAGE


class SettingsError(UsageError):
    """An unknown key or a bad value among the settings."""


class SiteError(UsageError):
    """A directory that is not a site, or is one already."""


class SpecError(UsageError):
    """A job's description with fields that are wrong; the message names each."""


class LockedError(StudiumError):
    """Another command is writing to the site."""


class SourceError(StudiumError):
    """Raw data that cannot be found or read."""


class TableError(StudiumError):
    """A table definition with a bad header or SQL."""


class EngineError(StudiumError):
    """An engine that is missing or could not run a table."""


class LakeError(StudiumError):
    """A Delta table that cannot be read or committed."""


class S3Error(StudiumError):
    """An S3 store that cannot be reached, or refuses."""


class ResultsError(StudiumError):
    """A result store that cannot be reached or written."""


class JobError(StudiumError):
    """A job that cannot be found, accepted or moved on."""


class LaunchError(JobError):
    """A launcher that is missing or could not start a unit."""


class BuildError(LaunchError):
    """An image that could not be found (``missing``) or built."""

    def __init__(self, message: str, hint: str = "", missing: bool = False) -> None:
        super().__init__(message, hint)
        self.missing = missing


class BackupError(StudiumError):
    """A backup that is damaged or could not be made."""


class StateError(StudiumError):
    """A state database that cannot be opened, or is newer than this program."""
