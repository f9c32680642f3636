"""The method table of our own API: each call answered, its failure told as a status, its span made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from operator import methodcaller
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Never, TypeVar

import grpc
from google.protobuf.message import Message

from tidegate.api import tidegate_pb2 as pb
from tidegate.api.faults import fault_of

if TYPE_CHECKING:
    from tidegate.tracing import Traces

Metadata = Mapping[str, str]
NO_METADATA: Final[Metadata] = MappingProxyType({})
Attributes = Mapping[str, str | int]
"""What a span says of a call: names of the policy, outcomes and counts; nothing that a caller wrote."""

_Asked = TypeVar("_Asked", bound=Message)
_Answered = TypeVar("_Answered", bound=Message)


class Calls:
    """Makes gRPC handlers of methods that take and give messages. `on_error` is told what nobody foresaw."""

    def __init__(self, traces: Traces | None, on_error: Callable[[Exception], None]) -> None:
        self._traces = traces
        self._on_error = on_error

    def judged(
        self, answer: Callable[[_Asked, Metadata], Awaitable[_Answered]], asked: type[_Asked]
    ) -> grpc.RpcMethodHandler:
        """A method that makes spans of its own, below the one that the call's metadata names."""

        async def serve(message: _Asked, context: Any) -> _Answered:
            try:
                return await answer(message, NO_METADATA if self._traces is None else _metadata(context))
            except Exception as failure:  # noqa: BLE001 - every failure is an answer, and none names its cause
                await self._abort(failure, context)

        return grpc.unary_unary_rpc_method_handler(serve, asked.FromString, methodcaller("SerializeToString"))

    def unary(
        self,
        name: str,
        answer: Callable[[_Asked], Awaitable[_Answered]],
        asked: type[_Asked],
        tell: Callable[[_Asked, _Answered], Attributes],
    ) -> grpc.RpcMethodHandler:
        """A method with one answer; its span has what `tell` says of both."""

        async def serve(message: _Asked, context: Any) -> _Answered:
            try:
                with self._span(name, context) as said:
                    answered = await answer(message)
                    if said is not None:
                        said.update(tell(message, answered))
                    return answered
            except Exception as failure:  # noqa: BLE001 - as above
                await self._abort(failure, context)

        return grpc.unary_unary_rpc_method_handler(serve, asked.FromString, methodcaller("SerializeToString"))

    def stream(
        self,
        name: str,
        answers_to: Callable[[AsyncIterator[_Asked]], AsyncGenerator[_Answered, None]],
        asked: type[_Asked],
        tell: Callable[[_Answered], Attributes] | None = None,
    ) -> grpc.RpcMethodHandler:
        """A method with an answer for each message. Without `tell` it makes spans of its own."""

        async def serve(messages: AsyncIterator[_Asked], context: Any) -> AsyncGenerator[_Answered, None]:
            try:
                with self._span(name, context) if tell else nullcontext() as said:
                    async with aclosing(answers_to(messages)) as answers:
                        async for answer in answers:
                            if tell is not None and said is not None:
                                said.update(tell(answer))
                            yield answer
            except Exception as failure:  # noqa: BLE001 - as above
                await self._abort(failure, context)

        return grpc.stream_stream_rpc_method_handler(serve, asked.FromString, methodcaller("SerializeToString"))

    def _span(self, name: str, context: Any) -> AbstractContextManager[dict[str, Any] | None]:
        return nullcontext() if self._traces is None else self._traces.call(name, _metadata(context))

    async def _abort(self, failure: Exception, context: Any) -> Never:
        code, details = fault_of(failure)
        if code == "INTERNAL":
            self._on_error(failure)
        await context.abort(grpc.StatusCode[code], details)
        raise failure  # abort raises


def _metadata(context: Any) -> Metadata:
    return dict(context.invocation_metadata() or ())


def consumed(asked: pb.ConsumeRequest, answer: pb.ConsumeResponse) -> Attributes:
    """What the span of a charge says. An endpoint that was answered for is one of the policy's."""
    outcome = "admitted" if answer.admitted else "refused"
    return {"tidegate.endpoint": asked.endpoint, "tidegate.outcome": outcome}


def settled(_asked: pb.SettleRequest, answer: pb.SettleResponse) -> Attributes:
    """What the span of a settlement says."""
    return {"tidegate.outcome": "settled" if answer.settled else "gone"}


def extended(_asked: pb.ExtendRequest, answer: pb.ExtendResponse) -> Attributes:
    """What the span of an extension says."""
    return {"tidegate.outcome": pb.Extension.Name(answer.extension).removeprefix("EXTENSION_").lower()}


def filtered(asked: pb.FilterTextRequest, answer: pb.FilterTextResponse) -> Attributes:
    """What the span of a text says."""
    return {"tidegate.endpoint": asked.selection.endpoint, **_read(answer)}


def streamed(answer: pb.FilterStreamResponse) -> Attributes:
    """What the span of a text in chunks says, once it is over."""
    return _read(answer.done) if answer.HasField("done") else {}


def revealed(_asked: pb.RevealRequest, answer: pb.RevealResponse) -> Attributes:
    """What the span of a pseudonym that was to be turned back says."""
    return {"tidegate.outcome": answer.deny.reason if answer.HasField("deny") else "revealed"}


def _read(answer: pb.FilterTextResponse | pb.FilterStreamResponse.Done) -> Attributes:
    return {
        "tidegate.outcome": "blocked" if answer.HasField("blocked") else "rewritten",
        "tidegate.format": answer.coverage.format,
        "tidegate.scanned_bytes": answer.coverage.scanned_bytes,
        "tidegate.skipped_bytes": answer.coverage.skipped_bytes,
        "tidegate.findings": sum(finding.count for finding in answer.findings),
    }
