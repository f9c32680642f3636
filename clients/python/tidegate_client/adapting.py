"""What the adapters for web servers do alike: which headers go where, and how much of a request is read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tidegate_client.errors import TidegateError
from tidegate_client.exchange import HeadChanges
from tidegate_client.results import Allowed, Denied, Headers

MAX_BODY: Final = 1024 * 1024
"""How much of a request's body a decision is shown unless the adapter is told otherwise, bytes."""

_IDENTITY: Final = "x-tidegate-"
_UNSENT: Final = frozenset({"content-length", "transfer-encoding", "connection"})


class ResponseCutOff(TidegateError):
    """A response that has begun must not go on. Raised into the server, which ends the connection in mid-response."""


def forwarded(headers: Iterable[tuple[str, str]], verdict: Allowed) -> list[tuple[str, str]]:
    """The request's headers as the application may see them: no credential, and no identity but ours."""
    kept = [
        (name, value)
        for name, value in headers
        if name.lower() not in verdict.removed_request_headers and not is_identity(name)
    ]
    return [*kept, *verdict.request_headers]


def is_identity(name: str) -> bool:
    """Whether a header says who calls, as only we may, in whatever spelling."""
    return name.lower().replace("_", "-").startswith(_IDENTITY)


def answered(headers: Iterable[tuple[str, str]], verdict: Allowed, changes: HeadChanges) -> list[tuple[str, str]]:
    """The response's headers as the caller may see them: the application has no better number of a limit than ours."""
    return HeadChanges(verdict.headers, frozenset()).apply(changes.apply(headers))


def refused(denied: Denied, limits: Headers = ()) -> list[tuple[str, str]]:
    """The headers of an answer in the application's place."""
    own = [(name, value) for name, value in denied.headers if name.lower() not in _UNSENT]
    named = {name.lower() for name, _ in own}
    length = ("content-length", str(len(denied.body)))
    return [*own, length, *((name, value) for name, value in limits if name.lower() not in named)]


def bodiless(method: str, status: int, headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a response has no body, whatever its headers say of one (RFC 9110, sections 6.4.1 and 8.6)."""
    if method == "HEAD" or status in (204, 304):
        return True
    return any(name.lower() == "content-length" and value.strip() == "0" for name, value in headers)


def header(headers: Iterable[tuple[str, str]], name: str) -> str:
    """All values of a header in one, "" for none: two content types are no content type that can be read."""
    return ", ".join([value for key, value in headers if key.lower() == name])


def tensors(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether bytes follow the JSON of a response (KServe's binary tensor data extension)."""
    return any(name.lower() == "inference-header-content-length" for name, _ in headers)
