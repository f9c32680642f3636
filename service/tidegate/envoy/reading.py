"""The body of a response that is read: as a whole before its headers are answered, or rewritten as it comes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from tidegate.envoy.commands import DIGESTS, Abort, Body, Command, Continue, Reply
from tidegate.envoy.metering import Metering
from tidegate.errors import BodyTooLarge, DetectorUnavailable, MalformedBody
from tidegate.filtering.formats import BodyRewriter, Coverage, Progress
from tidegate.filtering.structure.demand import ENTITY as STRUCTURE
from tidegate.model import Deny, Finding, Reason

Outcome = Literal["pending", "rewritten", "passed", "blocked", "withheld", "truncated", "stopped", "revoked", "expired"]

COVERAGE_HEADER: Final = "x-tidegate-coverage"
STALE: Final = ("content-encoding", "content-length", "etag", "last-modified", "accept-ranges", *DIGESTS)
"""What describes a body as the model sent it, and is false for the rewritten one."""

UNSTRUCTURED: Final = Deny(
    502, Reason.RESPONSE_STRUCTURE, "The response does not have the structure that is demanded of it."
)
_BLOCKED = Deny(403, Reason.CONTENT_BLOCKED, "The response was blocked by policy.")


class Reading:
    """One body under its rewriter. `take` and `cut` return the commands to carry out, the last of which end it.

    `outcome` says how it ended, and `failure` why it was withheld. `shadow` is for a body of which no byte is changed;
    `demanded` tells that a structure is, whether or not this body is held to it.
    """

    def __init__(self, rewriter: BodyRewriter, metering: Metering | None, *, shadow: bool, demanded: bool) -> None:
        self._rewriter = rewriter
        self._metering = metering
        self._shadow = shadow
        self._demanded = demanded
        self.outcome: Outcome = "pending"
        self.failure = ""
        self._receipt: Coverage | None = None  # once it is over, when three ask for it

    @property
    def held(self) -> bool:
        """Whether the headers wait until all of it was read."""
        return not self._rewriter.streaming

    @property
    def progress(self) -> Progress:
        """How far its texts have come."""
        return self._rewriter.progress

    def coverage(self) -> Coverage:
        """The receipt so far."""
        if self._receipt is not None:
            return self._receipt
        receipt = self._rewriter.coverage()
        if self._demanded and not receipt.structure:
            receipt = replace(receipt, structure="unchecked")
        if self.outcome != "pending":
            self._receipt = receipt
        return receipt

    def take(self, data: bytes, end: bool) -> list[Command]:
        """Take a chunk; `end` when it is the last one."""
        rewriter = self._rewriter
        if self._metering is not None:
            self._metering.hear(data, end=end)
            if self.held:
                self._metering.buffered(len(data))
        try:
            out = rewriter.feed(data) if data else b""
            if end and rewriter.blocked is None:
                out += rewriter.finish()
        except BodyTooLarge:
            return self._withhold("too_large", "The response is too large to be checked and was withheld.")
        except MalformedBody:
            return self._withhold("malformed", "The response is not well-formed and was withheld.")
        except DetectorUnavailable:
            return self._withhold("detector_unavailable", "The response cannot be checked now and was withheld.")
        if rewriter.blocked is not None:
            return self._block(out, rewriter.blocked)
        if end:
            return self._release(out)
        return [Body(out, end=False)] if out else []

    def cut(self, outcome: Outcome, deny: Deny, out: bytes) -> list[Command]:
        """End it early: by a refusal in its place, or behind `out` in its own dialect, or by an abort without one."""
        self.outcome = outcome
        if self.held:
            return [Reply(deny)]
        ending = self._rewriter.abort(str(deny.reason), deny.message)
        if ending:
            return [Body(out + ending, end=True)]
        return [Body(out, end=False), Abort()] if out else [Abort()]

    def _release(self, out: bytes) -> list[Command]:
        self.outcome = "passed" if self._shadow else "rewritten"
        if self._shadow:
            self.failure = self.coverage().failure
        body = Body(out, end=True)
        if not self.held:
            return [body]
        return [Continue(((COVERAGE_HEADER, self.coverage().header()),), STALE), body]

    def _block(self, out: bytes, finding: Finding) -> list[Command]:
        deny = UNSTRUCTURED if finding.entity == STRUCTURE else _BLOCKED
        return self.cut("blocked", replace(deny, detail=finding.where), out)

    def _withhold(self, failure: str, message: str) -> list[Command]:
        self.failure = failure
        return self.cut("withheld", Deny(502, Reason.RESPONSE_WITHHELD, message, detail=failure), b"")
