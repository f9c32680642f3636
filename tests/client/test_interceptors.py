"""A gRPC service behind an interceptor: real servers of both kinds, every kind of method, every engine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from tidegate_client import (
    AsyncTidegate,
    AsyncTidegateInterceptor,
    Tidegate,
    TidegateInterceptor,
)

from tests.client.world import World, background, free_port, gate_of, held, make_world, serving

SERVICE = "inference.GRPCInferenceService"
HEALTH = f"/{SERVICE}/ServerLive"
POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
  floor:
    unscannable: pass
tiers:
  free: {limits: [{name: rpm, algorithm: sliding_window, limit: 3, window: 60s, per: [subject]}]}
  premium: {limits: [{name: tpm, algorithm: sliding_window, limit: 5000, window: 60s, per: [subject], cost: tokens}]}
rulesets:
  pii: [{detect: [EMAIL], act: redact}]
tenants:
  acme:
    grants: [{role: analyst, endpoints: [infer, stream, upload, chat, guarded]}]
endpoints:
  infer:
    owner: acme
    match: {hosts: [models.example.com], path: /inference.GRPCInferenceService/ModelInfer, methods: [POST]}
    errors: problem
    limits: [{name: running, algorithm: concurrency, limit: 1}]
  stream:
    owner: acme
    match: {hosts: [models.example.com], path: /inference.GRPCInferenceService/Stream, methods: [POST]}
    limits: [{name: running, algorithm: concurrency, limit: 1}]
  upload:
    owner: acme
    match: {hosts: [models.example.com], path: /inference.GRPCInferenceService/Upload, methods: [POST]}
  chat:
    owner: acme
    match: {hosts: [models.example.com], path: /inference.GRPCInferenceService/Chat, methods: [POST]}
    capacity: {concurrent: 1, queue: 0}
  guarded:
    owner: acme
    match: {hosts: [models.example.com], path: /inference.GRPCInferenceService/Guarded, methods: [POST]}
    rulesets: [pii]
  admin:
    owner: acme
    match: {hosts: [models.example.com], path: /inference.GRPCInferenceService/Admin, methods: [POST]}
"""


@dataclass
class Service:
    """Echoes bytes. What it is told by its request, it does."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)

    def _note(self, context: Any) -> None:
        self.seen.append(dict(context.invocation_metadata()))

    def infer(self, request: bytes, context: Any) -> bytes:
        self._note(context)
        if request == b"crash":
            raise RuntimeError("made up")
        if request == b"coded":
            context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
            context.set_details("not loaded")
        if request == b"wait":
            self.go.wait(20)
        context.set_trailing_metadata((("model-version", "7"), ("ratelimit", "mine")))
        return b"echo " + request

    def stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        self._note(context)
        for number in range(3):
            if number == 1 and request == b"wait":
                self.go.wait(20)
            if number == 1 and request == b"crash":
                raise RuntimeError("made up")
            yield b"%d" % number

    def upload(self, requests: Iterator[bytes], context: Any) -> bytes:
        self._note(context)
        return b"|".join(requests)

    def chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        self._note(context)
        for request in requests:
            yield b"echo " + request

    def handlers(self) -> Any:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "ModelInfer": grpc.unary_unary_rpc_method_handler(self.infer),
                "Guarded": grpc.unary_unary_rpc_method_handler(self.infer),
                "Admin": grpc.unary_unary_rpc_method_handler(self.infer),
                "ServerLive": grpc.unary_unary_rpc_method_handler(self.infer),
                "Stream": grpc.unary_stream_rpc_method_handler(self.stream),
                "Upload": grpc.stream_unary_rpc_method_handler(self.upload),
                "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            },
        )


class AsyncService(Service):
    """The same, awaited: generators, and for `chat` the reader and writer of its context."""

    async def infer(self, request: bytes, context: Any) -> bytes:  # type: ignore[override]
        if request == b"wait":
            await asyncio.to_thread(self.go.wait, 20)
            request = b"waited"
        return super().infer(request, context)

    async def stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:  # type: ignore[override]
        self._note(context)
        for number in range(3):
            if number == 1 and request == b"wait":
                await asyncio.to_thread(self.go.wait, 20)
            if number == 1 and request == b"crash":
                raise RuntimeError("made up")
            yield b"%d" % number

    async def upload(self, requests: AsyncIterator[bytes], context: Any) -> bytes:  # type: ignore[override]
        self._note(context)
        return b"|".join([request async for request in requests])

    async def chat(self, requests: Any, context: Any) -> None:  # type: ignore[override]
        self._note(context)
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(b"echo " + request)


@dataclass
class Pod:
    channel: grpc.Channel
    service: Service
    world: World

    def metadata(self, subject: str = "frida", *more: tuple[str, Any]) -> tuple[tuple[str, Any], ...]:
        return (self.world.credential(subject), *more) if subject else more

    def infer(self, request: bytes = b"x", subject: str = "frida", method: str = "ModelInfer") -> Any:
        call = self.channel.unary_unary(f"/{SERVICE}/{method}")
        return call.with_call(request, metadata=self.metadata(subject), timeout=20)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(Path(tmp_path_factory.mktemp("pod")), POLICY)


@pytest.fixture(params=["aio network", "aio local", "sync network", "sync local"])
def pod(request: pytest.FixtureRequest, world: World) -> Iterator[Pod]:
    kind, _, where = request.param.partition(" ")
    with ExitStack() as stack:
        enter = stack.enter_context
        loop = enter(background())
        gate = enter(gate_of(loop, world, awaits=kind == "aio", network=where == "network"))
        options: dict[str, Any] = {"host": "models.example.com", "max_body": 1024, "unguarded": [HEALTH]}
        if kind == "aio":
            service: Service = AsyncService()
            interceptor: Any = AsyncTidegateInterceptor(gate, **options)
            address = enter(held(loop, serving((service.handlers(),), interceptors=[interceptor])))
        else:
            service = Service()
            server = grpc.server(ThreadPoolExecutor(8), interceptors=[TidegateInterceptor(gate, **options)])
            server.add_generic_rpc_handlers((service.handlers(),))
            address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            server.start()
            stack.callback(lambda: server.stop(0).wait())
        stack.callback(service.go.set)
        yield Pod(enter(grpc.insecure_channel(address)), service, world)


def refusal(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str, dict[str, Any]]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details(), dict(error.trailing_metadata())


def free(call: Callable[[], Any]) -> None:
    """The place becomes free: a call passes, in the end."""
    end = time.monotonic() + 10
    while True:
        try:
            call()
        except grpc.RpcError:
            if time.monotonic() > end:
                raise
        else:
            return


def test_a_call_passes_and_the_service_sees_its_caller(pod: Pod) -> None:
    more = (
        ("x-tidegate-subject", "root"),
        ("x-tidegate-subject-bin", b"root"),
        ("x_tidegate_role-bin", b"root"),
        ("x-request", "kept"),
        ("blob-bin", b"\x00\xff"),
    )
    call = pod.channel.unary_unary(f"/{SERVICE}/ModelInfer")
    answer, done = call.with_call(b"x", metadata=pod.metadata("frida", *more), timeout=20)
    assert answer == b"echo x"
    seen = pod.service.seen[0]
    assert "authorization" not in seen
    assert (seen["x-tidegate-subject"], seen["x-tidegate-endpoint"]) == ("frida", "infer")
    assert (seen["x-request"], seen["blob-bin"]) == ("kept", b"\x00\xff")
    assert not [name for name in seen if name.endswith("-bin") and "tidegate" in name]
    trailers = dict(done.trailing_metadata())
    assert trailers["model-version"] == "7"
    assert '"rpm";r=2' in trailers["ratelimit"]


def test_refusals_are_statuses_with_what_a_client_needs_to_go_on(pod: Pod) -> None:
    code, details, trailers = refusal(lambda: pod.infer(subject=""))
    assert (code, trailers["tidegate-reason"]) == (grpc.StatusCode.UNAUTHENTICATED, "credential_missing")
    assert trailers["www-authenticate"].startswith("Bearer")
    assert details
    code, _, trailers = refusal(lambda: pod.infer(method="Admin"))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    for _ in range(3):
        pod.infer(subject="fred")
    code, _, trailers = refusal(lambda: pod.infer(subject="fred"))
    assert (code, trailers["tidegate-reason"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limit_exceeded")
    wait = int(trailers["retry-after"])
    assert 1 <= wait <= 60
    assert trailers["grpc-retry-pushback-ms"] == str(wait * 1000)
    assert '"rpm";r=0' in trailers["ratelimit"]
    assert len(pod.service.seen) == 3


def test_what_can_never_fit_is_not_worth_a_retry(pod: Pod) -> None:
    code, _, trailers = refusal(
        lambda: pod.channel.stream_unary(f"/{SERVICE}/Upload")(iter([b"a"]), metadata=pod.metadata("paul"), timeout=20)
    )
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED  # a stream has no length that tokens could be counted by
    assert "retry-after" not in trailers
    assert pod.service.seen == []


def test_streams_pass_message_by_message(pod: Pod) -> None:
    metadata = pod.metadata()
    stream = pod.channel.unary_stream(f"/{SERVICE}/Stream")(b"wait", metadata=metadata, timeout=20)
    assert next(stream) == b"0"
    assert not pod.service.go.is_set()
    pod.service.go.set()
    assert list(stream) == [b"1", b"2"]
    upload = pod.channel.stream_unary(f"/{SERVICE}/Upload")
    assert upload(iter([b"a", b"b"]), metadata=metadata, timeout=20) == b"a|b"
    chat = pod.channel.stream_stream(f"/{SERVICE}/Chat")
    assert list(chat(iter([b"a", b"b"]), metadata=metadata, timeout=20)) == [b"echo a", b"echo b"]
    for method in ("Stream", "Upload", "Chat"):
        assert any(seen["x-tidegate-endpoint"] == method.lower() for seen in pod.service.seen)


def test_streams_are_refused_before_they_begin(pod: Pod) -> None:
    for kind, argument in (("unary_stream", b"x"), ("stream_stream", iter([b"x"]))):
        method = "Stream" if kind == "unary_stream" else "Chat"
        call = getattr(pod.channel, kind)(f"/{SERVICE}/{method}")
        code, _, _ = refusal(lambda call=call, argument=argument: list(call(argument, timeout=20)))
        assert code is grpc.StatusCode.UNAUTHENTICATED
    assert pod.service.seen == []


def test_what_nobody_can_read_is_withheld_where_rules_apply(pod: Pod) -> None:
    code, details, trailers = refusal(lambda: pod.infer(b"bob@example.com", method="Guarded"))
    assert (code, trailers["tidegate-reason"]) == (grpc.StatusCode.INTERNAL, "response_withheld")
    assert "bob" not in details


def test_however_a_call_ends_its_place_is_free(pod: Pod) -> None:
    call = pod.channel.unary_unary(f"/{SERVICE}/ModelInfer")
    running = call.future(b"wait", metadata=pod.metadata("paul"), timeout=20)
    end = time.monotonic() + 10
    while not pod.service.seen and time.monotonic() < end:
        pass
    assert refusal(lambda: pod.infer(subject="paul"))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    pod.service.go.set()
    assert running.result().startswith(b"echo wait")
    free(lambda: pod.infer(subject="paul"))
    code, _, _ = refusal(lambda: pod.infer(b"crash", subject="paul"))
    assert code is grpc.StatusCode.UNKNOWN
    free(lambda: pod.infer(subject="paul"))
    code, details, _ = refusal(lambda: pod.infer(b"coded", subject="paul"))
    assert (code, details) == (grpc.StatusCode.FAILED_PRECONDITION, "not loaded")
    free(lambda: pod.infer(subject="paul"))


def test_a_stream_that_breaks_or_whose_client_leaves_gives_its_place_back(pod: Pod) -> None:
    stream = pod.channel.unary_stream(f"/{SERVICE}/Stream")

    def whole() -> None:
        assert list(stream(b"x", metadata=pod.metadata("paul"), timeout=20)) == [b"0", b"1", b"2"]

    broken = stream(b"crash", metadata=pod.metadata("paul"), timeout=20)
    assert next(broken) == b"0"
    assert refusal(lambda: next(broken))[0] is grpc.StatusCode.UNKNOWN
    free(whole)
    left = stream(b"wait", metadata=pod.metadata("paul"), timeout=20)
    assert next(left) == b"0"
    left.cancel()
    pod.service.go.set()
    free(whole)


def test_health_checks_pass_unseen_and_what_is_not_there_is_not_there(pod: Pod) -> None:
    answer, _ = pod.infer(subject="", method="ServerLive")
    assert answer == b"echo x"
    assert refusal(lambda: pod.infer(method="Nothing"))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("kind", ["aio", "sync"])
def test_a_service_that_is_gone_is_unavailable(world: World, kind: str) -> None:
    target = f"127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        loop = stack.enter_context(background())
        if kind == "aio":
            gate: Any = stack.enter_context(held(loop, AsyncTidegate(target, timeout=0.3)))
            interceptor: Any = AsyncTidegateInterceptor(gate, host="models.example.com")
            service: Service = AsyncService()
            address = stack.enter_context(held(loop, serving((service.handlers(),), interceptors=[interceptor])))
        else:
            gate = stack.enter_context(Tidegate(target, timeout=0.3))
            service = Service()
            interceptor = TidegateInterceptor(gate, host="models.example.com")
            server = grpc.server(ThreadPoolExecutor(2), interceptors=[interceptor])
            server.add_generic_rpc_handlers((service.handlers(),))
            address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            server.start()
            stack.callback(lambda: server.stop(0).wait())
        channel = stack.enter_context(grpc.insecure_channel(address))
        code, _, trailers = refusal(lambda: Pod(channel, service, world).infer())
    assert (code, trailers["tidegate-reason"]) == (grpc.StatusCode.UNAVAILABLE, "policy_unavailable")
    assert trailers["grpc-retry-pushback-ms"] == "1000"
    assert service.seen == []
