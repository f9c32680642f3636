"""The response of one exchange: what the application writes goes in, what may leave comes out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tidegate_client import messages
from tidegate_client import tidegate_pb2 as pb
from tidegate_client.results import Denied, Headers
from tidegate_client.stream import Ask, AsyncAsk


@dataclass(frozen=True, slots=True)
class HeadChanges:
    """What becomes of headers: `removed` (lower-case names) go, `set` come in the place of their namesakes."""

    set: Headers
    removed: frozenset[str]

    def apply(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Headers so changed."""
        gone = self.removed.union(name for name, _ in self.set)
        return [*((name, value) for name, value in headers if name.lower() not in gone), *self.set]


@dataclass(frozen=True, slots=True)
class Release:
    """What may leave now, in this order: `head` (None while it must wait, and after it left), then `body`.

    After `end` the response is over; `reply` leaves in its place; `aborted` means that it must be cut off, so that
    nobody takes it for whole. With either comes the `outcome` ("rewritten", "passed", "blocked", "withheld", "stopped",
    "revoked", "expired") and what was read, as the header x-tidegate-coverage says it. Where `keep_alive_after` is
    above 0 and nothing left for as many seconds, `keep_alive` may be put into the body, until the next release.
    """

    head: HeadChanges | None = None
    body: bytes = b""
    end: bool = False
    reply: Denied | None = None
    aborted: bool = False
    outcome: str = ""
    coverage: str = ""
    keep_alive_after: float = 0.0
    keep_alive: bytes = b""

    @property
    def final(self) -> bool:
        """Whether nothing more may leave."""
        return self.end or self.aborted or self.reply is not None


_NOTHING = Release()


class Exchange:
    """One exchange. Every method raises `TidegateUnavailable`: then nothing more may leave."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def head(
        self, status: int, content_type: str, content_encoding: str = "", *, end: bool = False, tensors: bool = False
    ) -> Release:
        """The response begins.

        `end` when no body follows, `tensors` when bytes follow its JSON (a header Inference-Header-Content-Length).
        """
        message = messages.exchange_head(status, content_type, content_encoding, end=end, tensors=tensors)
        return _read(self._ask(message))

    def body(self, data: bytes, *, end: bool = False) -> Release:
        """Bytes of the body, cut anywhere."""
        release = _NOTHING
        for message in messages.exchange_bodies(data, end=end):
            release = _join(release, _read(self._ask(message)))
            if release.final:
                break
        return release


class AsyncExchange:
    """`Exchange`, awaited."""

    def __init__(self, ask: AsyncAsk) -> None:
        self._ask = ask

    async def head(
        self, status: int, content_type: str, content_encoding: str = "", *, end: bool = False, tensors: bool = False
    ) -> Release:
        """See `Exchange.head`."""
        message = messages.exchange_head(status, content_type, content_encoding, end=end, tensors=tensors)
        return _read(await self._ask(message))

    async def body(self, data: bytes, *, end: bool = False) -> Release:
        """See `Exchange.body`."""
        release = _NOTHING
        for message in messages.exchange_bodies(data, end=end):
            release = _join(release, _read(await self._ask(message)))
            if release.final:
                break
        return release


def _join(before: Release, after: Release) -> Release:
    return replace(after, head=before.head or after.head, body=before.body + after.body)


def _read(answer: pb.ExchangeResponse) -> Release:
    head = None
    if answer.HasField("head"):
        head = HeadChanges(messages.headers_of(answer.head.set), frozenset(answer.head.removed))
    return Release(
        head=head,
        body=answer.body,
        end=answer.end or (head is not None and bool(answer.outcome)),
        reply=messages.denied_of(answer.reply) if answer.HasField("reply") else None,
        aborted=answer.aborted,
        outcome=answer.outcome,
        coverage=answer.coverage,
        keep_alive_after=answer.keep_alive.after_seconds,
        keep_alive=answer.keep_alive.data,
    )
