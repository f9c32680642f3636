"""One policy, its keys, and a real service on loopback: what the contract tests of API and client run against."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from tidegate.admission.ledger import Extension, Ledger
from tidegate.admission.memory import MemoryLedger
from tidegate.admission.open import MEMORY, open_queue
from tidegate.admission.queue.fair_queue import Queue
from tidegate.api.conductor import Conductor
from tidegate.api.servicer import ApiServicer
from tidegate.clock import SystemClock
from tidegate.envoy.holds import Holds
from tidegate.envoy.keeping import Keeping
from tidegate.envoy.places import Places
from tidegate.envoy.plans import exchanges
from tidegate.envoy.settle import Settlements
from tidegate.identity import BearerVerifier, Identifier, Introspector, KeySets, KeyStore, mint_key
from tidegate.model import Admission, Charge
from tidegate.pipeline import Pipeline
from tidegate.policy import Policy, load_policy
from tidegate_client import AsyncTidegate, LocalPolicy, LocalPolicySync, PolicyEngine, Tidegate
from tidegate_client.background import Background

PEPPER = b"pepper of the tests, long enough"
HOST = "models.example.com"
FREE = {"tenant": "acme", "tier": "free", "subject": "ida", "model": "small"}
PREMIUM = {"tenant": "acme", "tier": "premium", "subject": "ida", "model": "small"}

POLICY = """
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
  floor:
    rulesets: [secrets]
tiers:
  free:
    limits: [{name: rpm, algorithm: sliding_window, limit: 2, window: 60s, per: [subject]}]
  premium:
    rulesets: [cards]
    limits: [{name: tpm, algorithm: sliding_window, limit: 1000, window: 60s, per: [tenant, model]}]
classifications:
  restricted: {rulesets: [pii]}
rulesets:
  secrets: [{detect: [AWS_KEY], act: block}]
  pii: [{detect: [EMAIL], act: redact}]
  cards: [{detect: [CREDIT_CARD], act: redact}]
prices: {currency: EUR, default: {prompt: 1, completion: 3, cache_read: 0.5}}
tenants:
  acme:
    grants: [{role: analyst, endpoints: "*"}]
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: body.model, allowed: {free: [small], premium: [small, large]}}
    classification: restricted
  score:
    owner: acme
    match: {hosts: ["*"], path: /api/score, methods: [POST]}
    limits: [{name: burst, algorithm: token_bucket, capacity: 100, refill: 100/60s, per: [endpoint]}]
  batch:
    owner: acme
    match: {hosts: ["*"], path: /api/batch, methods: [POST]}
    limits:
      - {name: spend, algorithm: quota, limit: "0.50", period: day, per: [client_id], cost: money}
      - {name: size, algorithm: sliding_window, limit: 2000, window: 60s, cost: prompt_tokens}
      - {name: trial, algorithm: sliding_window, limit: 2, window: 60s, shadow: true}
  job:
    owner: acme
    match: {hosts: ["*"], path: /api/job, methods: [POST]}
    limits: [{name: running, algorithm: concurrency, limit: 1}]
"""


@dataclass(frozen=True)
class World:
    """A policy file and the API keys that open it, by subject."""

    path: Path
    policy: Policy
    keys: Mapping[str, str]

    def credential(self, subject: str) -> tuple[str, str]:
        return ("authorization", f"Bearer {self.keys[subject]}")


def make_world(directory: Path, policy: str = POLICY) -> World:
    keys, rows = {}, []
    for subject, tier in (("frida", "free"), ("fred", "free"), ("paul", "premium")):
        keys[subject], key_id, digest = mint_key(PEPPER)
        row = {"id": key_id, "hash": digest, "subject": subject, "tenant": "acme", "tier": tier, "roles": ["analyst"]}
        rows.append(row)
    (directory / "keys.yaml").write_text(yaml.safe_dump({"version": 1, "keys": rows}))
    path = directory / "policy.yaml"
    path.write_text(policy)
    return World(path, load_policy(path), keys)


@dataclass
class SpyLedger:
    """A ledger that can be told to fail, and remembers what it was asked."""

    inner: Ledger
    failure: Exception | None = None
    charged: list[Sequence[Charge]] = field(default_factory=list)

    async def reserve(self, charges: Sequence[Charge], *, hold: float | None = None) -> Admission:
        self.charged.append(charges)
        if self.failure is not None:
            raise self.failure
        return await self.inner.reserve(charges, hold=hold)

    async def settle(self, reservation: str, costs: Mapping[str, int]) -> bool:
        if self.failure is not None:
            raise self.failure
        return await self.inner.settle(reservation, costs)

    async def extend(self, reservation: str, costs: Mapping[str, int], *, hold: float) -> Extension:
        if self.failure is not None:
            raise self.failure
        return await self.inner.extend(reservation, costs, hold=hold)

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        await self.inner.close()


def make_servicer(
    world: World, ledger: Ledger | None = None, queue: Queue | None = None, **options: Any
) -> ApiServicer:
    clock = SystemClock()
    identifier = Identifier(
        keys=KeyStore.load(world.policy.api_keys.file if world.policy.api_keys else None, pepper=PEPPER),
        verifier=BearerVerifier(clock=clock, key_sets=KeySets(clock=clock)),
        introspector=Introspector(clock=clock),
    )
    ledger = ledger or MemoryLedger(clock)
    queue = queue or open_queue(MEMORY, ledger=ledger, clock=clock)
    pipeline = Pipeline(policy=lambda: world.policy, identifier=identifier, ledger=ledger, queue=queue)
    key = b"k" * 32
    conductor = Conductor(
        exchange=exchanges(lambda: world.policy, key),
        keeping=Keeping(
            settlements=Settlements(ledger.settle, record=lambda *_: None, on_error=_raise),
            holds=Holds(ledger, record=lambda *_: None, on_error=_raise),
            places=Places(queue, record=lambda *_: None, on_error=_raise),
        ),
        heartbeat=lambda: world.policy.heartbeat,
    )
    return ApiServicer(
        pipeline=pipeline,
        policy=lambda: world.policy,
        ledger=ledger,
        queue=queue,
        conductor=conductor,
        credential_headers=identifier.credential_headers,
        hash_key=key,
        **options,
    )


def _raise(failure: Exception) -> None:
    raise failure


@asynccontextmanager
async def serving(
    handlers: Sequence[grpc.GenericRpcHandler],
    *,
    target: str = "127.0.0.1:0",
    credentials: Any = None,
    interceptors: Sequence[Any] = (),
) -> AsyncIterator[str]:
    """A grpc.aio server on `target`; gives its address."""
    server = grpc.aio.server(interceptors=interceptors, options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers(handlers)
    port = server.add_secure_port(target, credentials) if credentials else server.add_insecure_port(target)
    await server.start()
    try:
        yield f"{target.rpartition(':')[0]}:{port}"
    finally:
        await server.stop(0)


@contextmanager
def background(name: str = "test-loop") -> Iterator[Background]:
    """One loop for everything of grpc.aio in a test, beside the test's own thread."""
    loop = Background(name)

    async def nothing() -> None: ...

    try:
        yield loop
    finally:
        loop.stop(nothing)


@contextmanager
def held(loop: Background, manager: Any) -> Iterator[Any]:
    """An async context manager, entered and left on `loop`."""
    value = loop.run(manager.__aenter__())
    try:
        yield value
    finally:
        loop.run(manager.__aexit__(None, None, None))


@contextmanager
def gate_of(loop: Background, world: World, *, awaits: bool, network: bool) -> Iterator[Any]:
    """An engine, open: a client of a service on `loop`, or the policy in process; for callers who await, or do not."""
    with ExitStack() as stack:
        if network:
            target = stack.enter_context(held(loop, serving(make_servicer(world).handlers())))
            gate: Any = AsyncTidegate(target, timeout=10) if awaits else Tidegate(target, timeout=10)
        else:
            gate = (LocalPolicy if awaits else LocalPolicySync)(world.path, key_pepper=PEPPER)
        yield stack.enter_context(held(loop, gate) if awaits else gate)


class Awaited:
    """An async engine as a sync one, so that one contract test serves both."""

    def __init__(self, loop: Background, engine: PolicyEngine) -> None:
        self._loop = loop
        self.engine = engine

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Awaitable[Any]] = getattr(self.engine, name)
        return lambda *args, **kwargs: self._loop.run(method(*args, **kwargs))

    def filter_stream(self, chunks: Any, **kwargs: Any) -> AwaitedText:
        return AwaitedText(self._loop, self.engine.filter_stream(chunks, **kwargs))


class AwaitedText:
    def __init__(self, loop: Background, stream: Any) -> None:
        self._loop = loop
        self._stream = stream

    def __iter__(self) -> AwaitedText:
        return self

    def __next__(self) -> str:
        try:
            return self._loop.run(self._stream.__anext__())  # type: ignore[no-any-return]
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        self._loop.run(self._stream.aclose())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
