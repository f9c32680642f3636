"""A policy in front of a gRPC service that does not await: each call decided from its metadata before it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Never

import grpc

from tidegate_client import adapting, messages, metadata
from tidegate_client.engine import SyncPolicyEngine
from tidegate_client.errors import TidegateError
from tidegate_client.exchange import Exchange
from tidegate_client.results import Allowed, Denied


class TidegateInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]  # grpc ships no types
    """`grpc.server(pool, interceptors=[TidegateInterceptor(Tidegate("tidegate:9401"), host="models.example.com")])`.

    A call is judged as POST of its full method ("/inference.GRPCInferenceService/ModelInfer") to `host`, which is how a
    policy's endpoints match it; its metadata are the headers, the message of a unary request the body (`max_body` bytes
    of it; the body of a request stream counts as cut). The service sees no credential, and x-tidegate-* of ours.
    Messages are protobuf, which nothing reads: where rulesets apply the response is withheld unless the endpoint says
    `unscannable: pass`. Methods in `unguarded` are passed on unseen, which is for health checks.

    Refusals are UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED or UNAVAILABLE, with trailing metadata as
    `metadata.status_of` says. However a call ends, it is settled and its place given back.
    """

    def __init__(
        self,
        gate: SyncPolicyEngine,
        *,
        host: str,
        max_body: int = adapting.MAX_BODY,
        unguarded: Collection[str] = (),
    ) -> None:
        self._gate = gate
        self._host = host
        self._max_body = max_body
        self._unguarded = frozenset(unguarded)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """gRPC's hook: the handler of a call."""
        handler = continuation(details)
        if handler is None or details.method in self._unguarded:
            return handler
        run = metadata.behaviour_of(handler)

        def unary(request: Any, context: Any) -> Any:
            with self._running(details, handler, request, context) as call:
                answer = run(call.request, call)
                call.end()
                return answer

        def stream(request: Any, context: Any) -> Iterator[Any]:
            with self._running(details, handler, request, context) as call:
                for answer in run(call.request, call):
                    call.begin()
                    yield answer
                call.end()

        return metadata.rebuilt(handler, stream if handler.response_streaming else unary)

    @contextmanager
    def _running(self, details: Any, handler: Any, request: Any, context: Any) -> Generator[_Call, None, None]:
        body, partial = (b"", True) if handler.request_streaming else (request, len(request) > self._max_body)
        known = metadata.metadata_of(details)
        incoming = metadata.Incoming(details.method, known, self._host, context.peer(), body[: self._max_body], partial)
        try:
            verdict = self._gate.decide(**incoming.arguments())
        except TidegateError:
            verdict = messages.unavailable("")
        if isinstance(verdict, Denied):
            _abort(context, verdict)
        if not handler.request_streaming:
            request = _parsed(handler, request, context)
        if verdict.unchecked:
            yield _Call(context, incoming, verdict, request, None)
            return
        try:
            opened = self._gate.open_exchange(verdict)
            exchange = opened.__enter__()
        except TidegateError:
            _abort(context, messages.unavailable(verdict.request_id))
        call = _Call(context, incoming, verdict, request, exchange)
        try:
            yield call
        except Exception:
            call.fail()
            raise
        finally:
            opened.__exit__(None, None, None)


class _Call(metadata.ServiceContext):
    """A call that runs, and the exchange behind it."""

    def __init__(
        self, context: Any, incoming: metadata.Incoming, verdict: Allowed, request: Any, exchange: Exchange | None
    ) -> None:
        super().__init__(context, incoming, verdict)
        self.request = request
        self._exchange = exchange
        self._begun = False

    def begin(self) -> None:
        """The first message may leave, or the call is aborted."""
        if self._begun or self._exchange is None:
            return
        self._begun = True
        try:
            release = self._exchange.head(200, metadata.CONTENT_TYPE)
        except TidegateError:
            _abort(self._context, messages.unavailable(self._verdict.request_id))
        if release.reply is not None:
            _abort(self._context, release.reply)

    def end(self) -> None:
        """The last message was made. A status that is not OK ends the call here, and no message leaves with it."""
        failure = metadata.failure_of(self._context)
        if failure is not None:
            self.fail()
            self._context.abort(failure, metadata.details_of(self._context))
        self.begin()
        if self._exchange is not None:
            with suppress(TidegateError):  # nothing is left to check, and what is not settled lapses
                self._exchange.body(b"", end=True)

    def fail(self) -> None:
        """The service failed. An error costs no tokens, unless messages have left before it."""
        if self._exchange is not None and not self._begun:
            with suppress(TidegateError):
                self._exchange.head(500, metadata.CONTENT_TYPE, end=True)


def _abort(context: Any, denied: Denied) -> Never:
    code, trailers = metadata.status_of(denied)
    context.set_trailing_metadata(trailers)
    context.abort(code, denied.message)
    raise AssertionError("abort raises")


def _parsed(handler: Any, request: bytes, context: Any) -> Any:
    try:
        return handler.request_deserializer(request) if handler.request_deserializer else request
    except Exception:  # noqa: BLE001 - as gRPC does
        context.abort(grpc.StatusCode.INTERNAL, "Exception deserializing request!")
