"""What is said of responses: what was read and found in them, and for how long it held them up."""

from __future__ import annotations

from typing import Any, BinaryIO, Final, Literal

from tidegate.clock import Clock
from tidegate.filtering.formats import Coverage
from tidegate.metrics import Metrics
from tidegate.telemetry.logs import Lines

WITHIN: Final = "within"
"""The reason of bytes that were skipped in a body that was read."""
_HELD = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Responses:
    """Counts responses and, where `verbose`, writes a line for each to `stream`; and counts who asks what a pseudonym
    in one stands for.
    """

    def __init__(self, metrics: Metrics, *, clock: Clock, stream: BinaryIO, verbose: bool, phase_seconds: Any) -> None:
        self._clock = clock
        self._verbose = verbose
        self._lines = Lines(stream)
        self._known: dict[tuple[str, str, str], tuple[Any, Any, Any]] = {}
        self._found: dict[tuple[str, str], Any] = {}
        self._work = phase_seconds.labels("filter")
        self._responses = metrics.counter("responses", "Responses processed", ("outcome", "format", "failure"))
        self._scanned = metrics.counter("scanned_bytes", "Response bytes read by detectors", ("format",))
        self._skipped = metrics.counter(
            "skipped_bytes",
            "Response bytes not read by detectors; `reason` is why a body was not, or `within` one that was: what is "
            "no text, and skipped fields",
            ("format", "reason"),
        )
        self._unread = metrics.counter(
            "skipped_fields", "Fields of responses not read by detectors, as receipts count them", ("format", "reason")
        )
        self._findings = metrics.counter("findings", "Values found in responses", ("entity", "action"))
        self._streams = metrics.gauge("streams", "Process streams open now")
        self._held = metrics.histogram(
            "hold_back_seconds", "Time from when a piece of streamed text came to when the last of it left", _HELD
        )
        self._first = metrics.histogram(
            "first_text_added_seconds", "How much later the first text of a stream left than it came", _HELD
        )
        self._heartbeats = metrics.counter("heartbeats", "Comments, or lines without text, put into silent streams")
        self._reveals = metrics.counter("reveals", "Calls to turn a pseudonym back", ("outcome",))

    def record(self, request_id: str, outcome: str, failure: str, coverage: Coverage) -> None:
        """Count one processed response, and log it within 50 ms."""
        kind = (outcome, coverage.format, failure)
        counted, scanned, within = self._known.get(kind) or self._counters(*kind)
        counted.inc()
        scanned.inc(coverage.scanned_bytes)
        why = _why(coverage)
        skipped = within if why == WITHIN else self._skipped.labels(coverage.format, why)
        skipped.inc(coverage.skipped_bytes)
        for reason, count in coverage.skipped.items():
            self._unread.labels(coverage.format, _kind(reason)).inc(count)
        for (entity, action), count in coverage.findings.items():
            self._finding(entity, action).inc(count)
        if self._verbose:
            what = {"request_id": request_id, "outcome": outcome, "failure": failure, "coverage": coverage.header()}
            self._lines.add("response", self._clock.now(), **what)

    def flush(self) -> None:
        """Write the lines that wait, at the end of the process."""
        self._lines.flush()

    def _counters(self, outcome: str, format_: str, failure: str) -> tuple[Any, Any, Any]:
        """Of values from closed lists, so there are few; to look each up costs more than to count."""
        found = self._known[outcome, format_, failure] = (
            self._responses.labels(outcome, format_, failure),
            self._scanned.labels(format_),
            self._skipped.labels(format_, WITHIN),
        )
        return found

    def _finding(self, entity: str, action: str) -> Any:
        found = self._found.get((entity, action))
        if found is None:
            found = self._found[entity, action] = self._findings.labels(entity, action)
        return found

    def stream(self, change: int) -> None:
        """A Process stream opened (+1) or ended (-1)."""
        self._streams.inc(change)

    def held(self, seconds: float) -> None:
        """A piece of a streamed text has left, so long after it came."""
        self._held.observe(seconds)

    def once(self, what: Literal["first", "work"], seconds: float) -> None:
        """How much later a stream's "first" text left than it came, or how long we were at "work" on a response."""
        (self._first if what == "first" else self._work).observe(seconds)

    def heartbeat(self) -> None:
        """A comment was put into an event stream that was silent."""
        self._heartbeats.inc()

    def reveal(self, outcome: str) -> None:
        """Somebody asked what stands behind a pseudonym: "revealed", or the reason of a refusal."""
        self._reveals.labels(outcome).inc()


def _why(coverage: Coverage) -> str:
    """Why nothing more of a body was read: what failed, or the one reason for which all of it passed."""
    if coverage.failure:
        return coverage.failure
    if coverage.scanned_bytes or len(coverage.skipped) != 1:
        return WITHIN
    return _kind(*coverage.skipped)


def _kind(reason: str) -> str:
    """The reason without the place in the policy that gives it: of `policy/a/b` there may be many."""
    return reason.partition("/")[0]
