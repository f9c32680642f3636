"""The network client against services that are gone, slow, broken, or only late."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from tidegate_client import AsyncTidegate, Denied, Tidegate, TidegateInvalid, TidegateUnavailable
from tidegate_client import tidegate_pb2 as pb
from tidegate_client.background import Background
from tidegate_client.messages import SERVICE

from tests.client.world import HOST, Awaited, World, background, free_port, held, make_servicer, serving

FREE = {"tenant": "acme", "tier": "free", "subject": "ida", "model": "small"}
Client = Callable[..., Any]


class Scripted:
    """A service that answers each call as the next step of a script says, and counts the calls."""

    def __init__(self, *steps: grpc.StatusCode | float | None) -> None:
        self.steps = list(steps)
        self.calls: list[str] = []

    async def _step(self, name: str, context: Any) -> None:
        self.calls.append(name)
        step = self.steps.pop(0) if self.steps else None
        if isinstance(step, grpc.StatusCode):
            await context.abort(step, "scripted")
        if step is not None:
            await asyncio.sleep(step)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        def unary(name: str, request: Any, answer: Any) -> grpc.RpcMethodHandler:
            async def serve(_message: Any, context: Any) -> Any:
                await self._step(name, context)
                return answer

            return grpc.unary_unary_rpc_method_handler(
                serve, request_deserializer=request.FromString, response_serializer=type(answer).SerializeToString
            )

        async def stream(messages: AsyncIterator[pb.FilterStreamRequest], context: Any) -> AsyncIterator[Any]:
            async for message in messages:
                if not message.HasField("start"):
                    await self._step("FilterStream", context)
                yield pb.FilterStreamResponse(text=message.text)
                if message.text == "stop":
                    return

        methods = {
            "Decide": unary("Decide", pb.DecideRequest, pb.DecideResponse()),
            "Consume": unary("Consume", pb.ConsumeRequest, pb.ConsumeResponse(admitted=True)),
            "Settle": unary("Settle", pb.SettleRequest, pb.SettleResponse(settled=True)),
            "Extend": unary("Extend", pb.ExtendRequest, pb.ExtendResponse(extension=pb.EXTENSION_EXTENDED)),
            "FilterText": unary("FilterText", pb.FilterTextRequest, pb.FilterTextResponse(text="ok")),
            "FilterStream": grpc.stream_stream_rpc_method_handler(
                stream,
                request_deserializer=pb.FilterStreamRequest.FromString,
                response_serializer=pb.FilterStreamResponse.SerializeToString,
            ),
        }
        return (grpc.method_handlers_generic_handler(SERVICE, methods),)


@pytest.fixture
def loop() -> Iterator[Background]:
    with background() as loop:
        yield loop


@pytest.fixture(params=["async", "sync"])
def client(request: pytest.FixtureRequest, loop: Background) -> Iterator[Client]:
    """Opens clients of one kind, and closes them."""
    with ExitStack() as stack:

        def open_client(target: str, **options: Any) -> Any:
            if request.param == "sync":
                return stack.enter_context(Tidegate(target, **options))
            return Awaited(loop, stack.enter_context(held(loop, AsyncTidegate(target, **options))))

        yield open_client


def test_an_unreachable_service_is_no_permission(client: Client) -> None:
    gate = client(f"127.0.0.1:{free_port()}", timeout=0.3)
    started = time.monotonic()
    for call in (
        lambda: gate.decide("GET", "/", host=HOST),
        lambda: gate.consume("chat", FREE),
        lambda: gate.settle("r", 1),
        lambda: gate.extend("r"),
        lambda: gate.filter_text("x", rulesets=["pii"]),
        lambda: list(gate.filter_stream(["x"], rulesets=["pii"])),
    ):
        with pytest.raises(TidegateUnavailable) as caught:
            call()
        assert caught.value.code == "UNAVAILABLE"
    assert time.monotonic() - started < 2


def test_an_unreachable_service_can_be_a_denial(client: Client) -> None:
    gate = client(f"127.0.0.1:{free_port()}", timeout=0.2, on_unavailable="deny")

    verdict = gate.decide("GET", "/", host=HOST, request_id="r-1")

    assert isinstance(verdict, Denied)
    assert (verdict.status, verdict.reason, verdict.request_id) == (503, "policy_unavailable", "r-1")
    assert dict(verdict.headers)["content-type"] == "application/problem+json"
    with pytest.raises(TidegateUnavailable):
        gate.consume("chat", FREE)


def test_an_answer_without_a_verdict_is_no_permission(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted().handlers())) as target:
        with pytest.raises(TidegateUnavailable):
            client(target, timeout=5).decide("GET", "/", host=HOST)
        assert not client(target, timeout=5, on_unavailable="deny").decide("GET", "/", host=HOST).allowed


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.CANCELLED])
def test_any_other_status_is_no_permission(client: Client, loop: Background, code: grpc.StatusCode) -> None:
    service = Scripted(code)
    with held(loop, serving(service.handlers())) as target, pytest.raises(TidegateUnavailable) as caught:
        client(target, timeout=5).filter_text("x", rulesets=["pii"])
    assert caught.value.code == code.name
    assert len(service.calls) == 1


def test_a_silent_service_costs_one_deadline(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted(30.0, 30.0).handlers())) as target:
        gate = client(target, timeout=0.2)
        started = time.monotonic()
        with pytest.raises(TidegateUnavailable) as caught:
            gate.decide("GET", "/", host=HOST)
        assert caught.value.code == "DEADLINE_EXCEEDED"
        with pytest.raises(TidegateUnavailable) as caught:
            list(gate.filter_stream(["x"], rulesets=["pii"]))
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert 0.35 < time.monotonic() - started < 3


def test_what_is_safe_is_tried_again(client: Client, loop: Background) -> None:
    service = Scripted(*[grpc.StatusCode.UNAVAILABLE] * 2, None, *[grpc.StatusCode.UNAVAILABLE] * 2)
    with held(loop, serving(service.handlers())) as target:
        gate = client(target, timeout=5, retries=2)
        assert gate.filter_text("x", rulesets=["pii"]).text == "ok"
        assert gate.settle("r", 1)
        assert service.calls == ["FilterText"] * 3 + ["Settle"] * 3

        service.steps = [grpc.StatusCode.UNAVAILABLE, None]
        assert gate.extend("r", {"tokens": 0}) == "extended"
        assert service.calls[6:] == ["Extend"] * 2

        service.steps = [grpc.StatusCode.UNAVAILABLE] * 9
        with pytest.raises(TidegateUnavailable):
            gate.settle("r", 1)
        assert len(service.calls) == 11


def test_what_may_have_been_charged_is_not_tried_again(client: Client, loop: Background) -> None:
    service = Scripted(*[grpc.StatusCode.UNAVAILABLE] * 4)
    with held(loop, serving(service.handlers())) as target:
        gate = client(target, timeout=5, retries=2)
        with pytest.raises(TidegateUnavailable):
            gate.consume("chat", FREE)
        with pytest.raises(TidegateUnavailable):
            gate.decide("GET", "/", host=HOST)
        with pytest.raises(TidegateUnavailable):
            gate.extend("r", {"tokens": 1})
    assert service.calls == ["Consume", "Decide", "Extend"]


def test_a_charge_is_not_tried_again_when_the_connection_breaks_after_it_was_sent(client: Client) -> None:
    """A peer that takes calls and hangs up. What is safe, in contrast, is sent again."""
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer, suppress(OSError):
                    # SETTINGS, so that the client believes the connection and sends its call; then the end.
                    peer.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
                    seen = b""
                    while SERVICE.encode() not in seen and (data := peer.recv(65536)):
                        seen += data
                        received.extend(data)

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        gate = client(f"127.0.0.1:{listener.getsockname()[1]}", timeout=2, retries=2)
        with pytest.raises(TidegateUnavailable):
            gate.consume("chat", FREE)
        with pytest.raises(TidegateUnavailable):
            gate.settle("r", 1)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert received.count(b"/Consume") == 1
    assert received.count(b"/Settle") > 1  # some of its attempts may find the connection not yet made again


def test_a_charge_waits_for_a_service_that_is_only_late(client: Client, loop: Background) -> None:
    service, port = Scripted(), free_port()
    gate = client(f"127.0.0.1:{port}", timeout=10, retries=20)
    with ExitStack() as stack:
        late = threading.Timer(
            0.3, lambda: stack.enter_context(held(loop, serving(service.handlers(), target=f"127.0.0.1:{port}")))
        )
        late.start()
        try:
            assert gate.consume("chat", FREE).admitted
        finally:
            late.join()
    assert service.calls == ["Consume"]


def test_a_stream_that_ends_without_an_end_is_an_error(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted().handlers())) as target:
        stream = client(target, timeout=5).filter_stream(["a", "stop", "b"], rulesets=["pii"])
        received = []
        with pytest.raises(TidegateUnavailable):
            received += list(stream)
        assert not stream.complete


def test_a_stream_fails_where_its_service_fails(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted(None, grpc.StatusCode.INTERNAL).handlers())) as target:
        stream = client(target, timeout=5).filter_stream(["a", "b"], rulesets=["pii"])
        assert next(stream) == "a"
        with pytest.raises(TidegateUnavailable, match="INTERNAL"):
            next(stream)


def test_a_slow_source_is_no_silent_service(client: Client, loop: Background) -> None:
    """The deadline of a stream is for each answer: a model may think for longer than that."""

    def chunks() -> Iterator[str]:
        yield "a"
        time.sleep(0.5)
        yield "stop"

    with held(loop, serving(Scripted().handlers())) as target:
        stream = client(target, timeout=0.3).filter_stream(chunks(), rulesets=["pii"])
        assert [next(stream), next(stream)] == ["a", "stop"]
        stream.close()


def test_calls_share_one_connection(client: Client, loop: Background) -> None:
    peers = set()

    class Peers(Scripted):
        async def _step(self, name: str, context: Any) -> None:
            peers.add(context.peer())

    with held(loop, serving(Peers().handlers())) as target:
        gate = client(target, timeout=5)
        for _ in range(5):
            gate.settle("r", 1)
            gate.filter_text("x", rulesets=["pii"])
    assert len(peers) == 1


def test_a_closed_client_opens_again(client: Client, loop: Background) -> None:
    with held(loop, serving(Scripted().handlers())) as target:
        gate = client(target, timeout=5)
        assert gate.settle("r", 1)
        gate.close()
        gate.close()
        assert gate.settle("r", 1)


def test_a_unix_socket_is_a_target(client: Client, loop: Background, tmp_path: Path) -> None:
    path = f"unix:{tmp_path / 'tidegate.sock'}"
    with held(loop, serving(Scripted().handlers(), target=path)):
        assert client(path, timeout=5).settle("r", 1)


def test_the_sync_client_is_shared_among_threads(world: World, loop: Background) -> None:
    results: list[str] = []
    with held(loop, serving(make_servicer(world).handlers())) as target, Tidegate(target, timeout=10) as gate:

        def work() -> None:
            for _ in range(10):
                results.append(gate.filter_text("bob@example.com", rulesets=["pii"]).text)
                results.extend(gate.filter_stream(["bob@", "example.com"], rulesets=["pii"]))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == ["[EMAIL]"] * 80


async def test_the_async_client_takes_async_chunks_and_many_at_once(world: World) -> None:
    async def chunks() -> AsyncIterator[str]:
        for chunk in ("bob@", "example", ".com"):
            await asyncio.sleep(0)
            yield chunk

    async with serving(make_servicer(world).handlers()) as target, AsyncTidegate(target, timeout=10) as gate:

        async def one() -> str:
            return "".join([text async for text in gate.filter_stream(chunks(), rulesets=["pii"])])

        assert await asyncio.gather(*(one() for _ in range(20))) == ["[EMAIL]"] * 20


async def test_cancelling_a_call_cancels_it(world: World) -> None:
    async with serving(Scripted(30.0).handlers()) as target, AsyncTidegate(target, timeout=30) as gate:
        call = asyncio.create_task(gate.decide("GET", "/", host=HOST))
        await asyncio.sleep(0.1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


def test_closing_a_client_fails_what_is_in_flight(client: Client, loop: Background) -> None:
    """It is no cancellation of whoever waits: that would go through `except Exception`, up to the server."""
    service, failures = Scripted(30.0), []
    with held(loop, serving(service.handlers())) as target:
        gate = client(target, timeout=30)

        def call() -> None:
            try:
                gate.settle("r", 1)
            except TidegateUnavailable as failure:
                failures.append(failure.code)

        thread = threading.Thread(target=call)
        thread.start()
        while not service.calls:
            thread.join(0.01)
        gate.close()
        thread.join(20)
        assert failures == ["CANCELLED"]
        assert gate.settle("r", 1) is True


def test_one_async_client_serves_one_loop_after_another() -> None:
    """Made at import time, used by whichever loop runs."""
    gate = AsyncTidegate(f"127.0.0.1:{free_port()}", timeout=0.2, retries=0, on_unavailable="deny")

    async def once() -> int:
        verdict = await gate.decide("GET", "/", host=HOST)
        await gate.close()
        assert isinstance(verdict, Denied)
        return verdict.status

    assert [asyncio.run(once()) for _ in range(2)] == [503, 503]


@pytest.mark.parametrize(
    "options",
    [{"timeout": 0}, {"timeout": -1.0}, {"timeout": float("nan")}, {"retries": -1}, {"on_unavailable": "allow"}],
)
def test_wrong_settings_are_refused_at_once(options: dict[str, Any]) -> None:
    for kind in (Tidegate, AsyncTidegate):
        with pytest.raises(ValueError, match=r"timeout|retries|on_unavailable"):
            kind("127.0.0.1:1", **options)


def test_a_status_of_the_callers_fault_keeps_its_words(client: Client, loop: Background, world: World) -> None:
    with (
        held(loop, serving(make_servicer(world).handlers())) as target,
        pytest.raises(TidegateInvalid, match="unknown ruleset 'nothing'"),
    ):
        client(target, timeout=5).filter_text("x", rulesets=["nothing"])
