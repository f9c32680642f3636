"""What can go wrong between a caller and the policy engine. A refusal is no error: it is a result."""

from __future__ import annotations


class TidegateError(Exception):
    """Base of both. Whoever catches it has no permission to go on."""


class TidegateUnavailable(TidegateError):
    """No answer came: unreachable, too late, or failed inside. `code` is the gRPC status name ("DEADLINE_EXCEEDED")."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)  # what it is made again from, in another process
        self.code = code

    def __str__(self) -> str:
        return ": ".join(self.args)


class TidegateInvalid(TidegateError):
    """The call itself is wrong: an unknown ruleset, endpoint or tier, a value out of range, malformed text."""


def failure_of(code: str, details: str) -> TidegateError:
    """The exception for a gRPC status name. Whatever is not plainly the caller's fault counts as no answer."""
    if code == "INVALID_ARGUMENT":
        return TidegateInvalid(details)
    return TidegateUnavailable(code, details)
