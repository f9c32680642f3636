"""What we say of ourselves: metrics for Prometheus and one structured line a decision. Never a credential, never text.

Labels take only values from the policy or from closed lists, so cardinality is bounded by the policy, not by callers.
"""

from __future__ import annotations

import sys
from typing import BinaryIO

from tidegate.clock import Clock
from tidegate.metrics import Metrics
from tidegate.telemetry.decisions import Decisions
from tidegate.telemetry.limits import Limits
from tidegate.telemetry.logs import LEVELS, logger
from tidegate.telemetry.responses import Responses
from tidegate.telemetry.upkeep import Upkeep

__all__ = ["Telemetry", "logger"]


class Telemetry:
    """Metrics and logs of one process, by what they are about."""

    def __init__(self, *, clock: Clock, level: str = "info", stream: BinaryIO | None = None) -> None:
        stream = stream or sys.stderr.buffer
        self.log = logger(level, stream)
        self.metrics = Metrics()
        self.registry = self.metrics.registry
        verbose = LEVELS[level] <= LEVELS["info"]
        self.decisions = Decisions(self.metrics, clock=clock, stream=stream, verbose=verbose)
        self.responses = Responses(
            self.metrics, clock=clock, stream=stream, verbose=verbose, phase_seconds=self.decisions.phase_seconds
        )
        self.limits = Limits(self.metrics, self.log)
        self.upkeep = Upkeep(self.metrics, self.log, clock)
        self._errors = self.metrics.counter("errors", "Unexpected exceptions, all answered by deny", ("type",))

    def error(self, failure: Exception) -> None:
        """An unexpected exception that became a deny. Its type and place, not its text: text may quote input."""
        trace = failure.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else ""
        self._errors.labels(type(failure).__name__).inc()
        self.log.error("unexpected", type=type(failure).__name__, place=place)
