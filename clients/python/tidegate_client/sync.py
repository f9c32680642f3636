"""The policy service over gRPC, for code that does not await."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from tidegate_client.breaker import Breaker
from tidegate_client.channel import Link, Tls
from tidegate_client.engine import OnUnavailable, SyncPolicyEngine
from tidegate_client.errors import TidegateUnavailable, failure_of
from tidegate_client.messages import Call, StreamRpc, open_method
from tidegate_client.retry import Attempts
from tidegate_client.stream import Ask
from tidegate_client.tracing import trace_context

Result = TypeVar("Result")


class Tidegate(SyncPolicyEngine):
    """A tidegate service at `target` ("host:port" or "unix:/path"). Safe to share among threads.

    `timeout` is seconds for one call with all its retries, and for each answer of `filter_stream`;
    `response_timeout` for each answer of an exchange, which may be a whole document read. `retries` is how often
    UNAVAILABLE is tried again; `decide` and `consume` only when nothing was ever sent, streams never. With a `breaker`
    a service that does not answer is not asked for a while. Without `tls` the connection is plain. The connection is
    opened by the first call and then kept: a server that forks may
    create this before it forks, and must not call it before.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        timeout: float = 0.5,
        retries: int = 2,
        on_unavailable: OnUnavailable = "raise",
        options: Sequence[tuple[str, Any]] = (),
        response_timeout: float = 10.0,
        breaker: Breaker | None = None,
    ) -> None:
        self._link = Link(target, tls, timeout, retries, on_unavailable, options, response_timeout, breaker)
        self.on_unavailable = on_unavailable
        self._lock = threading.Lock()
        self._channel: Any = None
        self._methods: dict[str, Any] = {}

    def close(self) -> None:
        """Close the connection and cancel what is in flight. A later call opens a new one."""
        with self._lock:
            channel, self._channel, self._methods = self._channel, None, {}
        if channel is not None:
            channel.close()

    def _call(self, call: Call[Result]) -> Result:
        with self._link.guard():
            return self._send(call)

    def _send(self, call: Call[Result]) -> Result:
        metadata = trace_context(call.request)
        attempts = Attempts(charges=call.charges, timeout=self._link.timeout, retries=self._link.retries)
        while True:
            method = self._method(call.rpc)
            try:
                answer = method(call.request, timeout=attempts.remaining(), metadata=metadata)
            except ValueError as error:  # gRPC's word for a channel that was closed between the two lines
                raise TidegateUnavailable("CANCELLED", "the client was closed") from error
            except grpc.RpcError as error:
                code, details = error.code().name, error.details() or ""
                pause = attempts.pause(code, details)
                if pause is None:
                    raise failure_of(code, details) from error
            else:
                return call.read(answer)
            time.sleep(pause)  # the thread is the caller's, who waits for the answer; `pause` ends with the deadline

    @contextmanager
    def _stream(self, rpc: StreamRpc, start: Message) -> Generator[Ask, None, None]:
        outbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        inbox: queue.SimpleQueue[Message | grpc.RpcError | None] = queue.SimpleQueue()
        # gRPC iterates the outbox in a thread of its own; a thread of ours waits for the answers, which have no
        # deadline each when gRPC waits for them.
        call = self._method(rpc)(iter(outbox.get, None), metadata=trace_context(start))
        threading.Thread(target=_receive, args=(call, inbox), daemon=True, name="tidegate-stream").start()

        def ask(request: Message) -> Any:
            outbox.put(request)
            try:
                answer = inbox.get(timeout=self._link.answer_timeout(rpc))
            except queue.Empty:
                raise TidegateUnavailable("DEADLINE_EXCEEDED", "no answer in time") from None
            if answer is None:
                raise TidegateUnavailable("UNKNOWN", "the stream ended early")
            if isinstance(answer, grpc.RpcError):
                raise failure_of(answer.code().name, answer.details() or "") from answer
            return answer

        try:
            with self._link.guard():
                ask(start)
            yield ask
        finally:
            call.cancel()
            outbox.put(None)

    def _method(self, rpc: str) -> Any:
        with self._lock:
            if self._channel is None:
                self._channel = self._link.open(grpc)
            method = self._methods.get(rpc)
            if method is None:
                method = self._methods[rpc] = open_method(self._channel, rpc)
            return method


def _receive(call: Any, inbox: queue.SimpleQueue[Any]) -> None:
    try:
        for answer in call:
            inbox.put(answer)
    except grpc.RpcError as error:
        inbox.put(error)
    else:
        inbox.put(None)
