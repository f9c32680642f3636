"""Two replicas, one Redis, 200 clients at once: what they get out of a limit, as a ratio to it.

What is measured is the count, so a store that is slow because the machine is busy is no outage: how far limits can be
off in one, docs/limits.md says, and its own tests hold it to that.

Requests: each client asks a few times, more than there is room for in all. Tokens: each exchange reserves an estimate
at Check and is settled for half of it or so by its response at Process, in the other replica, until there is room for
no further one. Over 1 is overspent; a little under it is the room that one more estimate did not fit in.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import grpc
from envoy.service.auth.v3 import external_auth_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from tidegate.demo.redis_server import running_redis

from tests.bench import world as bench

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
NAMESPACE = "envoy.filters.http.ext_authz"
PROMPT, COMPLETION, MAX_TOKENS = 12, 18, 40
BODY = json.dumps({"messages": [{"role": "user", "content": "x" * 20}], "max_tokens": MAX_TOKENS}).encode()
USAGE = {"prompt_tokens": PROMPT, "completion_tokens": COMPLETION, "total_tokens": PROMPT + COMPLETION}
ANSWER = json.dumps({"object": "chat.completion", "choices": [], "usage": USAGE}).encode()
STORE_TIMEOUT = 5.0  # seconds
PAUSE = 0.03  # seconds after a refusal
PATIENCE = 8  # refusals in a row after which a client gives up: longer than a refusal may be repeated


class Size(NamedTuple):
    """How large a race is."""

    clients: int
    requests: int
    tokens: int


FULL = Size(clients=200, requests=100, tokens=24_000)
QUICK = Size(clients=40, requests=30, tokens=3_000)
KINDS = {
    "token_bucket": "capacity: {}, refill: 1/1h",
    "sliding_window": "limit: {}, window: 1h",
    "sliding_window_counter": "limit: {}, window: 1h",
    "quota": "limit: {}, period: month",
}


def _policy(size: Size) -> str:
    endpoints = []
    for kind, numbers in KINDS.items():
        for unit, capacity in (("requests", size.requests), ("tokens", size.tokens)):
            limit = f"name: race, algorithm: {kind}, {numbers.format(capacity)}, per: [tenant], cost: {unit}"
            match = f'hosts: ["*"], path: {_path(kind, unit)}, methods: [POST]'
            endpoints.append(f"  {kind}-{unit}: {{owner: acme, match: {{{match}}}, limits: [{{{limit}}}]}}\n")
    return (
        "version: 1\nplatform: {identity: {api_keys: {header: authorization, file: keys.yaml}}}\ntiers: {premium: {}}\n"
        'tenants: {acme: {grants: [{role: analyst, endpoints: "*"}]}}\nendpoints:\n' + "".join(endpoints)
    )


def _path(kind: str, unit: str) -> str:
    return f"/v1/{kind.replace('_', '-')}/{unit}"


class _Race:
    """The replicas of one race, and what was taken from one limit."""

    def __init__(self, channels: list[grpc.aio.Channel], payload: bytes) -> None:
        self._checks = [channel.unary_unary(bench.CHECK) for channel in channels]
        self._processes = [channel.stream_stream(PROCESS) for channel in channels]
        self._payload = payload
        self.taken = 0

    async def ask(self, client: int) -> None:
        """Five requests, whatever is answered."""
        for _ in range(5):
            answer = await self._check(client)
            self.taken += answer.status.code == 0

    async def spend(self, client: int) -> None:
        """Exchanges one after the other, each settled, until there is no room."""
        refusals = 0
        while refusals < PATIENCE:
            answer = await self._check(client)
            if answer.status.code == 0:
                refusals = 0
                self.taken += PROMPT + COMPLETION
                await self._respond(client + 1, answer)
            else:
                refusals += 1
                await asyncio.sleep(PAUSE)

    async def _check(self, client: int) -> external_auth_pb2.CheckResponse:
        check = self._checks[client % len(self._checks)]
        return external_auth_pb2.CheckResponse.FromString(await check(self._payload, timeout=30))

    async def _respond(self, client: int, admitted: external_auth_pb2.CheckResponse) -> None:
        stream = self._processes[client % len(self._processes)](timeout=30)
        head = ext_proc.ProcessingRequest()
        for name, value in ((":status", "200"), ("content-type", "application/json")):
            header = head.response_headers.headers.headers.add()
            header.key, header.raw_value = name, value.encode()
        head.metadata_context.filter_metadata[NAMESPACE].CopyFrom(admitted.dynamic_metadata)
        body = ext_proc.ProcessingRequest()
        body.response_body.body, body.response_body.end_of_stream = ANSWER, True
        for message in (head, body):
            await stream.write(message.SerializeToString())
        await stream.done_writing()
        answers = [ext_proc.ProcessingResponse.FromString(answer) async for answer in stream]
        if answers[-1].response_body.response.body_mutation.streamed_response.end_of_stream is not True:
            raise RuntimeError(f"the response did not come through: {answers}")


async def _run(addresses: list[str], payload: bytes, clients: int, unit: str) -> int:
    channels = [grpc.aio.insecure_channel(address) for address in addresses]
    race = _Race(channels, payload)
    play: Callable[[int], Awaitable[None]] = race.ask if unit == "requests" else race.spend
    await asyncio.gather(*(play(client) for client in range(clients)))
    await asyncio.gather(*(channel.close() for channel in channels))
    return race.taken


def measure(directory: Path, *, quick: bool = False) -> dict[str, float]:
    """Taken ÷ limit of every algorithm, for requests and for tokens; 1.0 is exact."""
    size = QUICK if quick else FULL
    directory.mkdir(parents=True, exist_ok=True)
    world = bench.build(directory, _policy(size))
    figures = {}
    with (
        running_redis(directory=directory / "redis") as url,
        bench.tidegate(world, store=url, workers=2, log="warning", store_timeout=STORE_TIMEOUT) as addresses,
    ):
        for unit, capacity in (("requests", size.requests), ("tokens", size.tokens)):
            for kind in KINDS:
                payload = world.check_request(_path(kind, unit), BODY)
                taken = asyncio.run(_run(addresses, payload, size.clients, unit))
                if taken < 0.97 * capacity:
                    raise RuntimeError(f"{kind}: the clients got {taken} of {capacity} {unit}: there was no race")
                figures[f"overspend_{kind}_{unit}"] = round(taken / capacity, 4)
    return figures
