"""What is said of limits and places: what was reserved, who waited, and how the store of both does."""

from __future__ import annotations

from typing import Any, get_args

from tidegate.admission.outage import State
from tidegate.admission.queue.fair_queue import Outcome
from tidegate.admission.queue.terms import Priority
from tidegate.metrics import SECONDS, Metrics


class Limits:
    """Counts reservations, waits and calls to the store; logs when the store is out."""

    def __init__(self, metrics: Metrics, log: Any) -> None:
        self._log = log
        self._exact = True
        self._settlements = metrics.counter("settlements", "Reservations settled after the response", ("outcome",))
        self._overshoot = metrics.counter(
            "overshoot", "What responses cost beyond what was held for them; money in millionths", ("unit",)
        )
        self._extensions = metrics.counter("extensions", "Reservations extended while they ran", ("why", "outcome"))
        self._lies = metrics.counter("usage_refused", "Figures of a response's usage that were not believed")
        self._store = metrics.gauge("store_exact", "1 while the limit store counts, 0 while it is out")
        self._breaker = metrics.gauge(
            "store_breaker", "1 for the state of the breaker before the limit store", ("state",)
        )
        self._store_seconds = metrics.histogram(
            "store_seconds",
            "Time from when a batch of calls went to the limit store to its answer",
            SECONDS,
            ("outcome",),
        )
        self._spared = metrics.counter("store_calls_spared", "Refusals repeated without asking the store")
        line = ("endpoint", "priority")
        self._depth = metrics.gauge("queue_waiting", "Exchanges that wait here for a place in an endpoint", line)
        self._wait = metrics.histogram("queue_wait_seconds", "Wait of those who got a place", SECONDS, line)
        self._overloads = metrics.counter(
            "queue_refusals", "Exchanges that got no place in their endpoint", (*line, "outcome")
        )
        self._places = metrics.counter("place_steps", "Places renewed and given back", ("step", "answered"))
        self._store.set(1)
        self._show_breaker("closed")

    def settlement(self, outcome: str, lies: int) -> None:
        """A reservation was settled, or could not be: then what was reserved stands."""
        self._settlements.labels(outcome).inc()
        if lies:
            self._lies.inc(lies)
        if lies or outcome != "settled":
            self._log.warning("settlement", outcome=outcome, usage_refused=lies)

    def overshoot(self, unit: str, amount: int) -> None:
        """A response had cost so much more than was held for it."""
        self._overshoot.labels(unit).inc(amount)

    def extension(self, why: str, outcome: str) -> None:
        """A stream asked for more than its reservation held ("growth"), or for more time ("renewal")."""
        self._extensions.labels(why, outcome).inc()

    def waiting(self, endpoint: str, priority: Priority, change: int) -> None:
        """One more waits here for a place (+1), or one less (-1)."""
        self._depth.labels(endpoint, priority).inc(change)

    def queued(self, endpoint: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        """One who asked for a place got it, or did not."""
        if outcome == "granted":
            self._wait.labels(endpoint, priority).observe(seconds)
        else:
            self._overloads.labels(endpoint, priority, outcome).inc()

    def place(self, step: str, answered: bool) -> None:
        """A place was to be renewed or given back; where the store does not answer, it lapses with its lease."""
        self._places.labels(step, "yes" if answered else "no").inc()

    def store(self, state: State) -> None:
        """The limit store is out, or counts again. What a probe finds in between is not told."""
        self._show_breaker(state)
        exact = state == "closed"
        if state == "half_open" or exact is self._exact:
            return
        self._exact = exact
        self._store.set(exact)
        if exact:
            self._log.info("the limit store counts again")
        else:
            self._log.warning("the limit store is out, the policy's on_outage holds")

    def _show_breaker(self, state: State) -> None:
        for each in get_args(State):
            self._breaker.labels(each).set(each == state)

    def store_batch(self, outcome: str, seconds: float) -> None:
        """A batch of calls to the limit store was "answered", was "late", or "failed"."""
        self._store_seconds.labels(outcome).observe(seconds)

    def store_silent(self, reason: str) -> None:
        """The limit store does not answer when the process starts."""
        self._log.warning("the limit store does not answer yet", reason=reason)

    def store_spared(self) -> None:
        """A refusal was repeated without asking the limit store."""
        self._spared.inc()
