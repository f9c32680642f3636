"""One exchange as a state machine without I/O: events in, commands out.

The request half is there only where Envoy's route sends it; without it everything begins with the response.

Envoy's rules it keeps (FULL_DUPLEX_STREAMED, measured on 1.40): nothing leaves before `Continue` answers the headers;
every started body is ended exactly once; until `Continue` a `Reply` still replaces the response; after it only the
body's own format can carry an error, or the stream is aborted, which truncates and so fails closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from tidegate.envoy.allowance import Answer
from tidegate.envoy.asking import Asking
from tidegate.envoy.commands import (
    Abort,
    Body,
    Command,
    Continue,
    Reply,
    RequestHead,
    ResponseHead,
    Trailers,
)
from tidegate.envoy.ending import Over, refusal, voice
from tidegate.envoy.gaps import Gaps
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.metering import Metering, Settlement
from tidegate.envoy.pacing import AFTER_EVENT, AFTER_LINE, Pacing
from tidegate.envoy.reading import COVERAGE_HEADER, STALE, UNSTRUCTURED, Outcome, Reading
from tidegate.envoy.verdicts import Refused
from tidegate.errors import ProtocolViolation, TidegateError
from tidegate.filtering.formats import (
    WHOLE,
    BodyRewriter,
    Coverage,
    Listening,
    Observer,
    Progress,
    decoded,
    format_of,
)
from tidegate.filtering.grounding import grounded, known_of, needs_request
from tidegate.filtering.ruleset import FilterPlan
from tidegate.filtering.spotting import Effort
from tidegate.filtering.structure.demand import Structure
from tidegate.filtering.structure.opening import structured
from tidegate.model import Deny, Reason
from tidegate.usage.unasked import WholeEvents, WholeLines

_UPSTREAM = "via_upstream"


def _nothing(_: Handoff) -> Structure | None:
    return None


def _never(_: Handoff) -> bool:
    return False


class _State(Enum):
    HEAD = auto()  # nothing seen yet
    READ = auto()  # body rewritten; headers answered before it or, where it is read as a whole, with it
    PASS = auto()  # headers answered, body is not the model's or not ours to read
    DONE = auto()  # the last byte was decided; what still arrives is swallowed


@dataclass(slots=True)
class Exchange:
    """One exchange: `request` and `request_body` where Envoy sends them, `head` once, `body`/`trailers` as they come.

    Each returns the commands to carry out. After `Extend` comes `extended`, and nothing before it.

    `plan` gives the merged rules for a handoff and raises `TidegateError` when one of its rulesets is unknown here;
    `open_body` makes a rewriter for (content type, plan, cap in bytes, who is shown what is read), or None when no
    format reads the type. `structure` gives what the endpoint demands of the structure of its answers, and may raise as
    `plan` does; `blank_lines` tells whether its clients pass over empty lines of NDJSON. `sent` is for whoever carries
    the commands out: the most bytes of the body that left.
    Of the request body nothing is kept but hashes of what it refers to, where the plan looks for references.
    `settled` is what a reservation was settled with, by unit, None where there was none.
    """

    plan: Callable[[Handoff], FilterPlan]
    open_body: Callable[[str, FilterPlan, int, Observer | None], BodyRewriter | None]
    handoff: Handoff | None = None
    outcome: Outcome = "pending"
    failure: str = ""
    effort: Effort = Effort.QUICK  # what reading its body takes; a compressed one is much to read in few bytes
    sent: int = 0
    settled: Mapping[str, int] | None = None
    structure: Callable[[Handoff], Structure | None] = _nothing
    blank_lines: Callable[[Handoff], bool] = _never
    _reading: Reading | None = None
    _metering: Metering | None = None
    _asking: Asking = field(default_factory=Asking)
    _references: frozenset[int] = frozenset()
    _pacing: Pacing | None = None
    _gaps: Gaps = field(default_factory=Gaps)
    _state: _State = _State.HEAD
    _shadow: bool = False
    _demand: Structure | None = None
    _passed: int = 0
    _over: Over | None = None
    _endable: bool = False
    _voice: Listening | None = None
    _skip_reason: str = ""
    _removed: tuple[str, ...] = field(default=(COVERAGE_HEADER,))

    @property
    def finished(self) -> bool:
        """Whether the response was decided to its last byte."""
        return self._state is _State.DONE

    @property
    def waiting(self) -> int:
        """Bytes of the response that `extended` will have to read."""
        return 0 if self._pacing is None else self._pacing.waiting

    @property
    def beat(self) -> bytes:
        """What says nothing and may follow what was let out, if that is whole events or lines; b"" where nothing may.

        A stream that leaves as it came gets nothing but where its events are known to be whole.
        """
        unanswered = self._reading is not None and self._reading.held
        if self._state not in (_State.READ, _State.PASS) or unanswered:
            return b""
        untouched = self._shadow or self._state is _State.PASS
        return self._gaps.beat(untouched=untouched, begun=self.sent > 0 or not self._shadow)

    @property
    def progress(self) -> Progress:
        """How far the response's texts have come."""
        return WHOLE if self._reading is None else self._reading.progress

    def coverage(self) -> Coverage:
        """The receipt so far."""
        if self._reading is not None:
            return self._reading.coverage()
        skipped = {self._skip_reason: 1} if self._skip_reason else {}
        receipt = Coverage("none", 0, self._passed, 0, 0, skipped, {}, self.failure)
        return receipt if self._demand is None else replace(receipt, structure="unchecked")

    def settlement(self) -> Settlement | None:
        """What the response cost, once it is over and if a reservation waits for it: given out a single time."""
        if self._metering is None or not self.finished:
            return None
        metering, self._metering = self._metering, None
        held = dict(metering.hold.amounts) if self._pacing is None else self._pacing.held
        settlement = metering.settlement(held)
        self.settled = settlement.costs
        return settlement

    def request(self, head: RequestHead) -> list[Command]:
        """The exchange is about to reach the model."""
        if self.handoff is not None or self._state is not _State.HEAD:
            raise ProtocolViolation("request headers came twice, or after the response")
        if head.handoff is None:
            return self._withhold_unknown()
        self._begin(head.handoff)
        return self._asking.head(head, counted=bool(head.handoff.hold.amounts))

    def refused(self, refusal: Refused) -> list[Command]:
        """The exchange was to begin, and may not: the model learns nothing of it."""
        if self.handoff is not None or self._state is not _State.HEAD:
            raise ProtocolViolation("an exchange that has begun was refused")
        self._pass("local_reply", end=True)
        return [Reply(refusal.deny, refusal.shown)]

    def replied(self, size: int) -> None:
        """An answer of ours has so many bytes; that of a refusal is all that there is of a response."""
        if self.outcome == "passed":
            self._passed = self.sent = size

    def request_body(self, data: bytes) -> list[Command]:
        """The whole request body."""
        if self._state is not _State.HEAD:
            raise ProtocolViolation("a request body came after the response")
        if self._asking.readable and self.handoff is not None:
            with suppress(TidegateError):  # then the response is withheld
                if needs_request(self.plan(self.handoff)):
                    self._references = known_of(data)
        return self._asking.body(data)

    def vouch(self, references: frozenset[int]) -> None:
        """What the request refers to, where somebody else has read its body (`tidegate.filtering.grounding`)."""
        self._references = references

    def head(self, head: ResponseHead) -> list[Command]:
        """Decide how the response's body will be treated."""
        if self._state is not _State.HEAD:
            raise ProtocolViolation("response headers came twice")
        if self.handoff is None and head.handoff is not None:
            self._begin(head.handoff)
        if self._metering is not None:
            self._metering.answered(head.status)
        if head.details and head.details != _UPSTREAM:
            if self._metering is not None:
                self._metering.never_ran()
            return self._pass("local_reply", head.end)
        if self.handoff is None:
            return self._withhold_unknown()
        if self._over is not None:
            self._finish(self._over)
            return [Reply(refusal(self._over))]
        try:
            plan = grounded(self.plan(self.handoff), self._references)
            self._demand = self.structure(self.handoff)
        except TidegateError:
            deny = Deny(500, Reason.INTERNAL, "The response could not be checked.", detail="unknown ruleset")
            return self._withhold(deny, "ruleset_unknown")
        if head.end:
            return self._pass("no_body", end=True)
        demand = self._demand if head.succeeded else None
        self._shadow = plan.shadow and (demand is None or not demand.enforced)
        self._endable = self.handoff.proof is not None
        self.effort = plan.effort
        self._pace(head, read=not self._shadow)
        if self._endable and format_of(head.readable) == "sse" and (self._shadow or not plan.actions):
            self._gaps.whole = self._gaps.whole or WholeEvents()
            self._voice = voice(head.readable)
        if not plan.actions:
            if self._metering is not None:
                self._metering.listen(head.readable)
            if demand is None:
                return self._pass("no_ruleset", end=False)
        return self._open(head, self.handoff, plan, demand)

    def body(self, data: bytes, end: bool) -> list[Command]:
        """Take a body chunk; `end` when it is the last one."""
        if self._state is _State.HEAD:
            raise ProtocolViolation("a response body came before its headers")
        return self._take(data, end) if self._pacing is None else self._pacing.body(data, end, self._take)

    def extended(self, answer: Answer) -> list[Command]:
        """What the ledger said to `Extend`."""
        assert self._pacing is not None  # noqa: S101 - only pacing asks
        return self._pacing.extended(answer, self._take, self._stop)

    def trailers(self) -> list[Command]:
        """The body is over and trailers follow it."""
        match self._state:
            case _State.HEAD:
                raise ProtocolViolation("response trailers came before the headers")
            case _State.DONE:
                return []
        commands = self._take(b"", end=True)
        if self.outcome not in ("rewritten", "passed"):
            return commands
        last = commands.pop()
        assert isinstance(last, Body)  # noqa: S101 - both end with the body
        return [*commands, *([Body(last.data, end=False)] if last.data or commands else []), Trailers()]

    def over(self, why: Over) -> list[Command]:
        """The credential that the exchange began with is over, and so is what still runs. For any time, and once."""
        deny = refusal(why)
        match self._state:
            case _State.DONE:
                return []
            case _State.HEAD:
                self._over = why
                return []
            case _State.PASS if not self._endable:
                return []
        if self._reading is not None:
            return self._told(self._reading.cut(why, deny, self._gaps.broken))
        ending = b"" if self._voice is None else self._voice.abort(str(deny.reason), deny.message)
        if self._metering is not None:
            self._metering.cut_off()
        self._finish(why)
        return [Body(self._gaps.broken + ending, end=True)] if ending else [Abort()]

    def lost(self) -> None:
        """The peer ended the stream. Before the end of the response this means that the client did not get all."""
        if self._state is not _State.DONE:
            if self._metering is not None:
                if self._asking.forwarded:
                    self._metering.cut_off()
                else:
                    self._metering.never_ran()
            self._finish("truncated")

    def _begin(self, handoff: Handoff) -> None:
        self.handoff = handoff
        if handoff.reservation:
            self._metering = Metering(handoff)

    def _pace(self, head: ResponseHead, *, read: bool) -> None:
        """Set up what a stream needs: to hide a usage that only we asked for, to wait for its reservation."""
        kind = format_of(head.decodable if read else head.readable)
        if kind not in ("sse", "ndjson"):
            return
        events = kind == "sse"
        whole: WholeEvents | None = self._asking.unasked() if events else None
        if self._metering is not None and self._metering.hold.amounts and head.status < 400:
            after = AFTER_EVENT if events else AFTER_LINE
            self._pacing = Pacing(self._metering, after=after)
            if not read:  # so that an error can follow
                whole = whole or (WholeEvents() if events else WholeLines())
        lines = read and not events
        blank = lines and self.handoff is not None and self.blank_lines(self.handoff)
        self._gaps = Gaps(whole, events=events and (read or whole is not None), lines=lines, blank=blank)

    def _take(self, data: bytes, end: bool) -> list[Command]:
        match self._state:
            case _State.DONE:
                return []
            case _State.PASS:
                commands = self._let_pass(data, end)
            case _:
                assert self._reading is not None  # noqa: S101 - READ is entered with one
                commands = self._told(self._reading.take(data, end))
        return self._gaps.follow(commands)

    def _let_pass(self, data: bytes, end: bool) -> list[Command]:
        self._passed += len(data)
        if self._voice is not None:
            self._voice.feed(data)
        if self._metering is not None:
            self._metering.hear(data, end=end)
        if end:
            self._finish("passed")
        return [Body(data, end)]

    def _stop(self, limits: tuple[str, ...]) -> list[Command]:
        """The stream has used what there was room for."""
        message = f"Limit {' or '.join(repr(name) for name in limits)} is exhausted: the response ends here."
        if self._reading is not None:
            deny = Deny(429, Reason.LIMIT_EXCEEDED, message)
            return self._told(self._reading.cut("stopped", deny, self._gaps.broken))
        assert self._metering is not None  # noqa: S101 - only pacing stops
        ending = self._metering.stopped(str(Reason.LIMIT_EXCEEDED), message)
        self._finish("stopped")
        return [Body(self._gaps.broken + ending, end=True)]

    def _open(self, head: ResponseHead, handoff: Handoff, plan: FilterPlan, demand: Structure | None) -> list[Command]:
        metering = self._metering
        observer = metering.meter if metering is not None and metering.hold.amounts else None
        kind = head.decodable
        rewriter = self.open_body(kind, plan, handoff.max_response, observer) if kind else None
        if demand is not None:
            if rewriter is not None:
                rewriter = structured(rewriter, kind, demand, max_bytes=handoff.max_response)
            if rewriter is None and demand.enforced:
                return self._withhold(UNSTRUCTURED, head.unscannable)
        if rewriter is not None and head.encoded:
            rewriter = decoded(rewriter, head.content_encoding)
            self.effort = max(self.effort, Effort.LONG)
        if rewriter is not None:
            demanded = self._demand is not None
            self._reading = Reading(rewriter, metering, shadow=self._shadow, demanded=demanded)
            self._state = _State.READ
            if self._reading.held:
                return []
            untouched = self._shadow and self._gaps.whole is None
            return [Continue((), self._removed if untouched else (*self._removed, *STALE))]
        reason = head.unscannable
        if handoff.unscannable == "pass" or self._shadow:
            if self._metering is not None:
                self._metering.listen("")
            return self._pass(reason, end=False)
        deny = Deny(502, Reason.RESPONSE_WITHHELD, "The response cannot be checked and was withheld.", detail=reason)
        return self._withhold(deny, reason)

    def _withhold_unknown(self) -> list[Command]:
        deny = Deny(500, Reason.INTERNAL, "The response could not be checked.", detail="no decision was handed over")
        return self._withhold(deny, "handoff_missing")

    def _withhold(self, deny: Deny, failure: str) -> list[Command]:
        self.failure = failure
        self._finish("withheld")
        return [Reply(deny)]

    def _pass(self, reason: str, end: bool) -> list[Command]:
        self._skip_reason = reason
        self._state = _State.PASS
        if end:
            self._finish("passed")
        changed = self._gaps.whole is not None and not end
        return [Continue((), (*self._removed, *STALE) if changed else self._removed)]

    def _told(self, commands: list[Command]) -> list[Command]:
        """What came of reading, of which the exchange is over when it is."""
        assert self._reading is not None  # noqa: S101 - READ is entered with one
        if self._reading.outcome != "pending":
            self.failure = self._reading.failure
            self._finish(self._reading.outcome)
        return commands

    def _finish(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._state = _State.DONE
