"""What goes into an exchange and what comes out of it: Envoy's messages without its protobufs."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.envoy.handoff import Handoff
from tidegate.model import Deny


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The response headers event. `details` is Envoy's code details; `handoff` is None when Check left none."""

    status: int
    content_type: str
    content_encoding: str
    end: bool
    details: str
    handoff: Handoff | None

    @property
    def partial(self) -> bool:
        """Whether what follows is not the whole of a document."""
        return self.status in (101, 206)

    @property
    def encoded(self) -> bool:
        """Whether what follows is compressed."""
        return self.content_encoding.strip().lower() not in ("", "identity")

    @property
    def readable(self) -> str:
        """The content type of a body that a format may read, "" for any other."""
        return "" if self.partial or self.encoded else self.content_type


@dataclass(frozen=True, slots=True)
class Continue:
    """Answer the response headers: let them go with these changes."""

    set_headers: tuple[tuple[str, str], ...] = ()
    remove_headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """Release body bytes; `end` closes the body."""

    data: bytes
    end: bool


@dataclass(frozen=True, slots=True)
class Trailers:
    """Answer the trailers: let them go as they are."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Replace the whole response. Possible only before `Continue`."""

    deny: Deny


@dataclass(frozen=True, slots=True)
class Abort:
    """End the stream with an error: Envoy cuts the response off, nothing more leaves."""


Command = Continue | Body | Trailers | Reply | Abort
