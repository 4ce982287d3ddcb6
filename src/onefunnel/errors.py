"""Every error a user can meet: what happened, where, what to do next, and the exit code that says which kind it is."""

from __future__ import annotations

import errno
import os
import re

_DISK_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG}
_DISK_TEXT = re.compile("|".join(re.escape(os.strerror(number)) for number in sorted(_DISK_ERRNO)))


class OnefunnelError(Exception):
    """Base of all expected errors.

    Args:
        what: what happened, one sentence without values of personal columns.
        where: the place: source, object, file and line, record key, column.
        do: what to do next.
    """

    exit_code = 1

    def __init__(self, what: str, where: str | None = None, do: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.do = do

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.do:
            lines.append(f"  do:    {self.do}")
        return "\n".join(lines)


class StepFailed(OnefunnelError):
    """A step of a run failed for a reason that a retry will not mend (exit code 1)."""


class GateFailed(StepFailed):
    """A quality gate is red: nothing is published (exit code 1)."""


class Superseded(StepFailed):
    """The run lost its lease to a newer one and must not write any more (exit code 1)."""


class UsageError(OnefunnelError):
    """The command was called wrongly (exit code 2)."""

    exit_code = 2


class ConfigError(OnefunnelError):
    """The configuration is wrong; all problems are listed at once (exit code 2)."""

    exit_code = 2

    def __init__(self, problems: list[str] | str, where: str | None = None, do: str | None = None) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        count = len(self.problems)
        what = self.problems[0] if count == 1 else f"{count} problems:\n" + "\n".join(f"  - {p}" for p in self.problems)
        super().__init__(what, where, do)


class EnvironmentNotReady(OnefunnelError):
    """Something outside the run is in the way for now: a held lock, a file still being written, a full disk (exit code 3)."""

    exit_code = 3


def is_disk_trouble(error: BaseException | str) -> bool:
    """Whether an error of any library says that the disk is full, read-only or failing."""
    if isinstance(error, OSError) and error.errno in _DISK_ERRNO:
        return True
    return _DISK_TEXT.search(str(error)) is not None
