"""What goes into an exchange and what comes out of it: Envoy's messages without its protobufs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidegate.envoy.handoff import Handoff
from tidegate.envoy.verdicts import Admitted
from tidegate.filtering.formats import decodes
from tidegate.model import Deny
from tidegate.outward import Headers
from tidegate.usage.stream_options import takes_stream_options

DIGESTS: Final = ("content-md5", "digest", "content-digest", "repr-digest")
"""Fields that are false for a body that was changed (RFC 9530, and those that it obsoletes)."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The request headers event, where Envoy sends it. `body` tells whether the whole body follows, as one event.

    The rest is about that body.
    """

    method: str = ""
    path: str = ""
    content_encoding: str = ""
    body: bool = False
    handoff: Handoff | None = None

    @property
    def encoded(self) -> bool:
        """Whether the body is compressed."""
        return _encoded(self.content_encoding)

    @property
    def may_ask(self) -> bool:
        """Whether the body can be one that asks for the usage of a stream."""
        return self.method == "POST" and not self.encoded and takes_stream_options(self.path)


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The response headers event. `details` is Envoy's code details; `handoff` is None when Check left none.

    `tensors` tells that bytes follow the JSON of the body: KServe's binary tensor data, whatever the content type says.
    """

    status: int
    content_type: str
    content_encoding: str
    end: bool
    details: str
    handoff: Handoff | None
    tensors: bool = False

    @property
    def partial(self) -> bool:
        """Whether what follows is not the whole of a document."""
        return self.status in (101, 206)

    @property
    def succeeded(self) -> bool:
        """Whether the model says that this is the answer, and not why there is none."""
        return 200 <= self.status < 300

    @property
    def encoded(self) -> bool:
        """Whether what follows is compressed."""
        return _encoded(self.content_encoding)

    @property
    def unscannable(self) -> str:
        """The receipt's word for why no format reads the body, when none does."""
        if self.partial:
            return "partial_content"
        if self.tensors:
            return "binary_tensors"
        return "content_encoding" if self.encoded else "unsupported_type"

    @property
    def readable(self) -> str:
        """The content type of a body that a format may read, "" for any other."""
        return "" if self.partial or self.tensors or self.encoded else self.content_type

    @property
    def decodable(self) -> str:
        """The same, its coding undone where that can be."""
        if self.readable or self.partial or self.tensors or not decodes(self.content_encoding):
            return self.readable
        return self.content_type


def _encoded(content_encoding: str) -> bool:
    return bool(content_encoding) and content_encoding.strip().lower() not in ("", "identity")


@dataclass(frozen=True, slots=True)
class Forward:
    """Answer the request headers: let them go, as they are or as those of a request that was `admitted` just now."""

    admitted: Admitted | None = None


@dataclass(frozen=True, slots=True)
class RequestBody:
    """Answer the request body: what goes to the model in its place, None for what the client sent.

    `admitted` as of `Forward`, where the decision had to wait for the body.
    """

    data: bytes | None = None
    admitted: Admitted | None = None


@dataclass(frozen=True, slots=True)
class RequestTrailers:
    """Answer the request trailers: let them go as they are."""


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
    """Replace the whole response, or answer in place of the model. Possible only before `Continue`.

    `shown` are headers beside those of the refusal itself.
    """

    deny: Deny
    shown: Headers = ()


@dataclass(frozen=True, slots=True)
class Abort:
    """End the stream with an error: Envoy cuts the response off, nothing more leaves."""


@dataclass(frozen=True, slots=True)
class Extend:
    """Ask the ledger to hold `costs` (by unit) more for a reservation, and tell the exchange what it said.

    Always the last command: what follows depends on the answer.
    """

    reservation: str
    costs: Mapping[str, int]
    hold: float


Command = Forward | RequestBody | RequestTrailers | Continue | Body | Trailers | Reply | Abort | Extend
