"""What is said of the workers of one command: which are replaced, which ended, and which had to be killed."""

from __future__ import annotations

from typing import Any


class Workers:
    """Logs it. Workers are named by their index, 0-based."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def replacing(self) -> None:
        """All are to be replaced."""
        self._log.info("replacing the workers, one after another")

    def replaced(self) -> None:
        """All are, and serve."""
        self._log.info("every worker is replaced")

    def ended(self, worker: int, status: int) -> None:
        """One ended that was not to: its exit status, or the signal that ended it as a negative number."""
        self._log.warning("a worker has ended and is started again", worker=worker, status=status)

    def hangs(self, worker: int, seconds: float) -> None:
        """Nothing was heard of one for so long."""
        self._log.warning("a worker hangs and is killed", worker=worker, seconds=seconds)

    def overdue(self, worker: int, seconds: float) -> None:
        """One was told to end so long ago."""
        self._log.warning("a worker that was to end did not, and is killed", worker=worker, seconds=seconds)
