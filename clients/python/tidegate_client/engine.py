"""What every policy engine offers, over the network or in this process, awaited or not.

An engine brings two primitives, one call and one stream; the methods are the same for all and are written here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from types import MappingProxyType, TracebackType
from typing import Literal, Self, TypeVar

from google.protobuf.message import Message

from tidegate_client import messages
from tidegate_client.breaker import CircuitOpen
from tidegate_client.errors import TidegateUnavailable
from tidegate_client.exchange import AsyncExchange, Exchange
from tidegate_client.results import Allowed, Consumed, Denied, Extension, Filtered
from tidegate_client.stream import Ask, AsyncAsk, AsyncFilteredText, FilteredText

NOTHING: Mapping[str, int] = MappingProxyType({})
OnUnavailable = Literal["raise", "deny"]
Result = TypeVar("Result")


class PolicyEngine(ABC):
    """Asks a policy engine, awaiting each answer. Every method raises `TidegateUnavailable` and `TidegateInvalid`."""

    on_unavailable: OnUnavailable = "raise"

    async def decide(
        self,
        method: str,
        path: str,
        *,
        host: str = "",
        query: str = "",
        headers: messages.HeaderPairs = (),
        client_ip: str = "",
        body: bytes = b"",
        body_partial: bool = False,
        request_id: str = "",
        exchange: bool = False,
        scheme: str = "",
    ) -> Allowed | Denied:
        """Judge one HTTP request and charge its limits.

        `path` is percent-encoded, as on the request line; `host` is taken from the headers when not given;
        `body_partial` says that `body` was cut; `exchange` announces that `open_exchange` follows;
        `scheme`, "http" or "https", is what proofs of possession (DPoP) are for.
        With `on_unavailable="deny"` no answer is `Denied` with status 503.
        """
        call = messages.decide(
            method,
            path,
            host=host,
            query=query,
            headers=headers,
            client_ip=client_ip,
            body=body,
            body_partial=body_partial,
            request_id=request_id,
            exchange=exchange,
            scheme=scheme,
        )
        try:
            return await self._call(call)
        except TidegateUnavailable as failure:
            return _unanswered(failure, self.on_unavailable, request_id, path)

    async def consume(
        self, endpoint: str, attributes: Mapping[str, str], *, cost: messages.Cost = 1, hold: float = 0.0
    ) -> Consumed:
        """Charge `cost` units to the limits of a caller that is authenticated already.

        `cost` is one number, which every limit is charged, or numbers by unit ("requests", "tokens", "money", …): then
        every unit that a limit counts must be there. Money is in micro-units of the policy's currency, and has to be
        given by unit. `attributes` are tenant, tier and whatever the limits count by (subject, client_id, model,
        client_ip, api_key). With `hold` (seconds, at most a day) the answer names a reservation for `settle`.
        """
        try:
            return await self._call(messages.consume(endpoint, attributes, cost=cost, hold=hold))
        except CircuitOpen as failure:
            if failure.when_open == "allow":
                return messages.uncounted()
            raise

    async def settle(self, reservation: str, cost: messages.Cost) -> bool:
        """Replace the reserved cost by the actual one (units). False when there is nothing left to settle.

        By unit, limits that count a unit that is not there keep what was reserved. A place that was taken among what
        runs at once is free: `{"requests": 1}` gives back that alone.

        After a retry, False can also mean that the attempt before it settled and its answer was lost.
        """
        return await self._call(messages.settle(reservation, cost))

    async def extend(self, reservation: str, costs: Mapping[str, int] = NOTHING, *, hold: float = 600.0) -> Extension:
        """Keep a reservation for another `hold` seconds (a day at most) and reserve `costs` more by unit, all or none.

        A place that it holds among what runs at once lasts for one `lease` of its limit from now: call this three times
        in a lease while an exchange runs. "refused" says that there is no room for more, and keeps it all the same;
        "gone" that it was settled or has expired.
        """
        return await self._call(messages.extend(reservation, costs, hold=hold))

    async def filter_text(
        self, text: str, *, rulesets: Iterable[str] = (), endpoint: str = "", tier: str = "", content_type: str = ""
    ) -> Filtered:
        """Rewrite a text by `rulesets`, or by those of an `endpoint` for a `tier`; the floor's are always added.

        `content_type` "" is plain text; with "application/json" the text fields of the document are rewritten.
        """
        selection = messages.selection_of(rulesets, endpoint, tier)
        return await self._call(messages.filter_text(text, selection, content_type=content_type))

    def filter_stream(
        self,
        chunks: AsyncIterable[str] | Iterable[str],
        *,
        rulesets: Iterable[str] = (),
        endpoint: str = "",
        tier: str = "",
    ) -> AsyncFilteredText:
        """Rewrite a text while it arrives. What comes out does not depend on how it was cut.

        Lazy: a chunk is taken when the one before it was answered. Look at `blocked` when the iteration has ended.
        """
        start = messages.start_of(messages.selection_of(rulesets, endpoint, tier))
        return AsyncFilteredText(lambda: self._stream("FilterStream", start), chunks)

    @asynccontextmanager
    async def open_exchange(self, verdict: Allowed) -> AsyncGenerator[AsyncExchange, None]:
        """Carry an allowed request to its end: hold its place, rewrite its response, settle what it used.

        `verdict` was decided with `exchange=True`. However the block is left, the exchange is settled.
        """
        async with self._stream("Exchange", messages.exchange_open(verdict.handoff)) as ask:
            yield AsyncExchange(ask)

    @abstractmethod
    async def close(self) -> None:
        """Release what the engine holds. Closing twice is fine."""

    @abstractmethod
    async def _call(self, call: messages.Call[Result]) -> Result:
        """Send one call and read its answer."""

    @abstractmethod
    def _stream(self, rpc: messages.StreamRpc, start: Message) -> AbstractAsyncContextManager[AsyncAsk]:
        """Open a stream; the function it gives sends one message and waits for its one answer."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()


def _unanswered(
    failure: TidegateUnavailable, on_unavailable: OnUnavailable, request_id: str, path: str
) -> Allowed | Denied:
    """What stands in for a decision, as the caller chose."""
    match failure.when_open if isinstance(failure, CircuitOpen) else on_unavailable:
        case "allow":
            return messages.unchecked(request_id)
        case "deny":
            return messages.unavailable(request_id, path)
    raise failure


class SyncPolicyEngine(ABC):
    """`PolicyEngine` for code that does not await: the same methods, the same results. Safe to share among threads."""

    on_unavailable: OnUnavailable = "raise"

    def decide(
        self,
        method: str,
        path: str,
        *,
        host: str = "",
        query: str = "",
        headers: messages.HeaderPairs = (),
        client_ip: str = "",
        body: bytes = b"",
        body_partial: bool = False,
        request_id: str = "",
        exchange: bool = False,
        scheme: str = "",
    ) -> Allowed | Denied:
        """See `PolicyEngine.decide`."""
        call = messages.decide(
            method,
            path,
            host=host,
            query=query,
            headers=headers,
            client_ip=client_ip,
            body=body,
            body_partial=body_partial,
            request_id=request_id,
            exchange=exchange,
            scheme=scheme,
        )
        try:
            return self._call(call)
        except TidegateUnavailable as failure:
            return _unanswered(failure, self.on_unavailable, request_id, path)

    def consume(
        self, endpoint: str, attributes: Mapping[str, str], *, cost: messages.Cost = 1, hold: float = 0.0
    ) -> Consumed:
        """See `PolicyEngine.consume`."""
        try:
            return self._call(messages.consume(endpoint, attributes, cost=cost, hold=hold))
        except CircuitOpen as failure:
            if failure.when_open == "allow":
                return messages.uncounted()
            raise

    def settle(self, reservation: str, cost: messages.Cost) -> bool:
        """See `PolicyEngine.settle`."""
        return self._call(messages.settle(reservation, cost))

    def extend(self, reservation: str, costs: Mapping[str, int] = NOTHING, *, hold: float = 600.0) -> Extension:
        """See `PolicyEngine.extend`."""
        return self._call(messages.extend(reservation, costs, hold=hold))

    def filter_text(
        self, text: str, *, rulesets: Iterable[str] = (), endpoint: str = "", tier: str = "", content_type: str = ""
    ) -> Filtered:
        """See `PolicyEngine.filter_text`."""
        selection = messages.selection_of(rulesets, endpoint, tier)
        return self._call(messages.filter_text(text, selection, content_type=content_type))

    def filter_stream(
        self, chunks: Iterable[str], *, rulesets: Iterable[str] = (), endpoint: str = "", tier: str = ""
    ) -> FilteredText:
        """See `PolicyEngine.filter_stream`. `chunks` is iterated in the thread that iterates the result."""
        start = messages.start_of(messages.selection_of(rulesets, endpoint, tier))
        return FilteredText(lambda: self._stream("FilterStream", start), chunks)

    @contextmanager
    def open_exchange(self, verdict: Allowed) -> Generator[Exchange, None, None]:
        """See `PolicyEngine.open_exchange`."""
        with self._stream("Exchange", messages.exchange_open(verdict.handoff)) as ask:
            yield Exchange(ask)

    @abstractmethod
    def close(self) -> None:
        """Release what the engine holds. Closing twice is fine."""

    @abstractmethod
    def _call(self, call: messages.Call[Result]) -> Result:
        """Send one call and read its answer."""

    @abstractmethod
    def _stream(self, rpc: messages.StreamRpc, start: Message) -> AbstractContextManager[Ask]:
        """Open a stream; the function it gives sends one message and waits for its one answer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()
