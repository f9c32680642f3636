"""Failures. A refusal is a value (`tidegate.model.Deny`); what is here went wrong and is mapped once, at the edge."""

from __future__ import annotations

from dataclasses import dataclass


class TidegateError(Exception):
    """Base of every failure that tidegate raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a policy document: where it stands and what is wrong with it. Line 0: the file as a whole."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class PolicyError(TidegateError):
    """A policy document cannot be used; `problems` lists every fault found, in file order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class StoreUnavailable(TidegateError):
    """The limit store did not answer in time, refused the connection, or its breaker is open."""


class AuditUnavailable(TidegateError):
    """The audit log cannot be written, or another process writes to it."""


class AuditSetBack(AuditUnavailable):
    """What keeps the audit log has lost its end, and stands again at record `seq`, whose hash is `hash`."""

    def __init__(self, seq: int, hash: str) -> None:
        super().__init__(f"the log was set back to record {seq}")
        self.seq = seq
        self.hash = hash


class IdentityProviderUnavailable(TidegateError):
    """A key set or introspection endpoint did not give a usable answer, and nothing usable is cached."""


class MalformedBody(TidegateError):
    """A response body is not what its content type says (bad JSON, bad UTF-8, unterminated event)."""


class BodyTooLarge(TidegateError):
    """A response body, or one unit of it that must be held whole, passed its configured cap."""


class DetectorUnavailable(TidegateError):
    """What must read a text cannot, for now: a service that does not answer, a model that fails."""


class UnsupportedBody(TidegateError):
    """No format can read this content type or content encoding, and the policy says to withhold such bodies."""


class ProtocolViolation(TidegateError):
    """The peer broke the message sequence of ext_proc or of our own streaming API."""
