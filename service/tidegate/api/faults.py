"""How a failure is told to a caller of our own API: one table, whatever carries the answer."""

from __future__ import annotations

from typing import Literal

from tidegate.errors import (
    BodyTooLarge,
    DetectorUnavailable,
    MalformedBody,
    ProtocolViolation,
    StoreUnavailable,
    TidegateError,
    UnsupportedBody,
)

Code = Literal["INVALID_ARGUMENT", "UNAVAILABLE", "INTERNAL"]


class InvalidCall(TidegateError):
    """A message of a caller that cannot be answered; the text says why, in the caller's own words only."""


def fault_of(failure: Exception) -> tuple[Code, str]:
    """(gRPC status name, details) for a failure. Details of what the caller did not cause stay inside."""
    match failure:
        case InvalidCall() | ProtocolViolation():
            return "INVALID_ARGUMENT", str(failure)
        case MalformedBody():
            return "INVALID_ARGUMENT", "the text is not what its content type says"
        case BodyTooLarge():
            return "INVALID_ARGUMENT", "the text is too large"
        case UnsupportedBody():
            return "INVALID_ARGUMENT", "the content type cannot be read"
        case StoreUnavailable():
            return "UNAVAILABLE", "limits cannot be checked now"
        case DetectorUnavailable():
            return "UNAVAILABLE", "the text cannot be checked now"
    return "INTERNAL", "internal error"
