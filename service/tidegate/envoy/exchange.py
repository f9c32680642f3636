"""The response half of one exchange as a state machine without I/O: events in, commands out.

Envoy's rules it keeps (FULL_DUPLEX_STREAMED, measured on 1.40): nothing leaves before `Continue` answers the headers;
every started body is ended exactly once; until `Continue` a `Reply` still replaces the response; after it only the
body's own format can carry an error, or the stream is aborted, which truncates and so fails closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from tidegate.envoy.commands import Abort, Body, Command, Continue, Reply, ResponseHead, Trailers
from tidegate.envoy.handoff import Handoff
from tidegate.envoy.metering import Metering, Settlement
from tidegate.errors import BodyTooLarge, MalformedBody, ProtocolViolation, TidegateError
from tidegate.filtering.formats import BodyRewriter, Coverage, Observer
from tidegate.filtering.ruleset import FilterPlan
from tidegate.model import Deny, Reason

COVERAGE_HEADER = "x-tidegate-coverage"

# Validators and range machinery describe the body as the model wrote it, and are false for the rewritten one.
_STALE = (
    "content-length",
    "etag",
    "last-modified",
    "accept-ranges",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
)
_UPSTREAM = "via_upstream"


class _State(Enum):
    HEAD = auto()  # nothing seen yet
    HOLD = auto()  # body collected, headers unanswered
    LIVE = auto()  # headers answered, body rewritten as it comes
    PASS = auto()  # headers answered, body is not the model's or not ours to read
    DONE = auto()  # the last byte was decided; what still arrives is swallowed


@dataclass(slots=True)
class Exchange:
    """One response. Call `head` once, then `body`/`trailers` as they come; each returns the commands to carry out.

    `plan` gives the merged rules for a handoff and raises `TidegateError` when one of its rulesets is unknown here;
    `open_body` makes a rewriter for (content type, plan, cap in bytes, who is shown what is read), or None when no
    format reads the type.
    """

    plan: Callable[[Handoff], FilterPlan]
    open_body: Callable[[str, FilterPlan, int, Observer | None], BodyRewriter | None]
    handoff: Handoff | None = None
    outcome: Literal["pending", "rewritten", "passed", "blocked", "withheld", "truncated"] = "pending"
    failure: str = ""
    _rewriter: BodyRewriter | None = None
    _metering: Metering | None = None
    _state: _State = _State.HEAD
    _passed: int = 0
    _skip_reason: str = ""
    _removed: tuple[str, ...] = field(default=(COVERAGE_HEADER,))

    @property
    def finished(self) -> bool:
        """Whether the response was decided to its last byte."""
        return self._state is _State.DONE

    def coverage(self) -> Coverage:
        """The receipt so far."""
        if self._rewriter is not None:
            return self._rewriter.coverage()
        skipped = {self._skip_reason: 1} if self._skip_reason else {}
        return Coverage("none", 0, self._passed, 0, 0, skipped, {}, self.failure)

    def settlement(self) -> Settlement | None:
        """What the response cost, once it is over and if a reservation waits for it: given out a single time."""
        if self._metering is None or not self.finished:
            return None
        metering, self._metering = self._metering, None
        return metering.settlement()

    def head(self, head: ResponseHead) -> list[Command]:
        """Decide how the body will be treated."""
        if self._state is not _State.HEAD:
            raise ProtocolViolation("response headers came twice")
        self.handoff = head.handoff
        if head.handoff is not None and head.handoff.reservation:
            self._metering = Metering(head.handoff, head.status)
        if head.details and head.details != _UPSTREAM:
            if self._metering is not None:
                self._metering.never_ran()
            return self._pass("local_reply", head.end)
        if head.handoff is None:
            deny = Deny(
                500, Reason.INTERNAL, "The response could not be checked.", detail="no decision was handed over"
            )
            return self._withhold(deny, "handoff_missing")
        try:
            plan = self.plan(head.handoff)
        except TidegateError:
            deny = Deny(500, Reason.INTERNAL, "The response could not be checked.", detail="unknown ruleset")
            return self._withhold(deny, "ruleset_unknown")
        if head.end:
            return self._pass("no_body", end=True)
        if not plan.actions:
            if self._metering is not None:
                self._metering.listen(head.readable)
            return self._pass("no_ruleset", end=False)
        return self._open(head, head.handoff, plan)

    def body(self, data: bytes, end: bool) -> list[Command]:
        """Take a body chunk; `end` when it is the last one."""
        match self._state:
            case _State.HEAD:
                raise ProtocolViolation("a response body came before its headers")
            case _State.DONE:
                return []
            case _State.PASS:
                self._passed += len(data)
                if self._metering is not None:
                    self._metering.hear(data, end=end)
                if end:
                    self._finish("passed")
                return [Body(data, end)]
        return self._rewrite(data, end)

    def trailers(self) -> list[Command]:
        """The body is over and trailers follow it."""
        match self._state:
            case _State.HEAD:
                raise ProtocolViolation("response trailers came before the headers")
            case _State.DONE:
                return []
            case _State.PASS:
                if self._metering is not None:
                    self._metering.hear(b"", end=True)
                self._finish("passed")
                return [Trailers()]
        commands = self._rewrite(b"", end=True)
        if self.outcome != "rewritten":
            return commands
        last = commands.pop()
        assert isinstance(last, Body)  # noqa: S101 - `_release` ends with the body
        return [*commands, Body(last.data, end=False), Trailers()]

    def lost(self) -> None:
        """The peer ended the stream. Before the end of the response this means that the client did not get all."""
        if self._state is not _State.DONE:
            if self._metering is not None:
                self._metering.cut_off()
            self._finish("truncated")

    def _open(self, head: ResponseHead, handoff: Handoff, plan: FilterPlan) -> list[Command]:
        observer = self._metering.meter if self._metering is not None and self._metering.priced else None
        kind = head.readable
        rewriter = self.open_body(kind, plan, handoff.max_response, observer) if kind else None
        if rewriter is not None:
            self._rewriter = rewriter
            if not rewriter.streaming:
                self._state = _State.HOLD
                return []
            self._state = _State.LIVE
            return [Continue((), (*self._removed, *_STALE))]
        reason = "partial_content" if head.partial else "content_encoding" if head.encoded else "unsupported_type"
        if handoff.unscannable == "pass":
            if self._metering is not None:
                self._metering.listen("")
            return self._pass(reason, end=False)
        deny = Deny(502, Reason.RESPONSE_WITHHELD, "The response cannot be checked and was withheld.", detail=reason)
        return self._withhold(deny, reason)

    def _rewrite(self, data: bytes, end: bool) -> list[Command]:
        rewriter = self._rewriter
        assert rewriter is not None  # noqa: S101 - HOLD and LIVE are entered with one
        if self._metering is not None and self._state is _State.HOLD:
            self._metering.hold(len(data))
        try:
            out = rewriter.feed(data) if data else b""
            if end and rewriter.blocked is None:
                out += rewriter.finish()
        except BodyTooLarge:
            return self._fail("too_large", "The response is too large to be checked and was withheld.")
        except MalformedBody:
            return self._fail("malformed", "The response is not well-formed and was withheld.")
        if rewriter.blocked is not None:
            return self._block(out)
        if end:
            return self._release(out)
        return [Body(out, end=False)] if out else []

    def _release(self, out: bytes) -> list[Command]:
        held = self._state is _State.HOLD
        self._finish("rewritten")
        commands: list[Command] = [Body(out, end=True)]
        if held:
            receipt = (COVERAGE_HEADER, self.coverage().header())
            commands.insert(0, Continue((receipt,), _STALE))
        return commands

    def _block(self, out: bytes) -> list[Command]:
        message = "The response was blocked by policy."
        if self._state is _State.HOLD:
            self._finish("blocked")
            return [Reply(Deny(403, Reason.CONTENT_BLOCKED, message))]
        return self._end_in_band("blocked", Reason.CONTENT_BLOCKED, message, out)

    def _fail(self, failure: str, message: str) -> list[Command]:
        self.failure = failure
        if self._state is _State.HOLD:
            return self._withhold(Deny(502, Reason.RESPONSE_WITHHELD, message, detail=failure), failure)
        return self._end_in_band("withheld", Reason.RESPONSE_WITHHELD, message, b"")

    def _end_in_band(
        self, outcome: Literal["blocked", "withheld"], reason: Reason, message: str, out: bytes
    ) -> list[Command]:
        assert self._rewriter is not None  # noqa: S101 - only live bodies end in band
        ending = self._rewriter.abort(str(reason), message)
        self._finish(outcome)
        if ending:
            return [Body(out + ending, end=True)]
        return [Body(out, end=False), Abort()] if out else [Abort()]

    def _withhold(self, deny: Deny, failure: str) -> list[Command]:
        self.failure = failure
        self._finish("withheld")
        return [Reply(deny)]

    def _pass(self, reason: str, end: bool) -> list[Command]:
        self._skip_reason = reason
        self._state = _State.PASS
        if end:
            self._finish("passed")
        return [Continue((), self._removed)]

    def _finish(self, outcome: Literal["rewritten", "passed", "blocked", "withheld", "truncated"]) -> None:
        self.outcome = outcome
        self._state = _State.DONE
