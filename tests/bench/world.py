"""What the benchmarks run against: policies with limits that never refuse, one key, and the servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from envoy.service.auth.v3 import external_auth_pb2
from tidegate.demo.stack import Process, adjacent_ports, free_ports, running, serving
from tidegate.identity.api_key import mint_key

CHECK = "/envoy.service.auth.v3.Authorization/Check"
PEPPER = b"bench pepper, not a secret at all"

POLICY = """\
version: 1
platform:
  identity:
    api_keys: {header: authorization, file: keys.yaml}
  floor:
    rulesets: [secrets]
    limits: [{name: ip, algorithm: sliding_window, limit: 1000000000, window: 1s, per: [client_ip]}]
tiers:
  premium: {limits: [{name: rpm, algorithm: token_bucket, capacity: 1000000000, refill: 1000000000/1s, per: [subject]}]}
rulesets:
  secrets: [{detect: [AWS_KEY, GITHUB_TOKEN, OPENAI_KEY, SLACK_TOKEN, GOOGLE_KEY, JWT, PRIVATE_KEY], act: redact}]
  pii: [{detect: [EMAIL, PHONE, CREDIT_CARD, IBAN, US_SSN, IP_ADDRESS], act: redact}]
classifications: {restricted: {rulesets: [pii]}}
tenants:
  acme:
    grants: [{role: analyst, endpoints: [chat], models: [small]}]
    limits: [{name: month, algorithm: token_bucket, capacity: 1000000000, refill: 1000000000/1s, per: [tenant]}]
endpoints:
  chat:
    owner: acme
    match: {hosts: ["*"], path: /v1/chat/completions, methods: [POST]}
    model: {from: header.x-model, allowed: {premium: [small]}}
    classification: restricted
"""

_MORE = """,
    {name: hourly, algorithm: sliding_window_counter, limit: 1000000000, window: 1h, per: [subject, model]},
    {name: monthly, algorithm: quota, limit: 1000000000, period: month, per: [tenant]}]}
"""
FIVE = POLICY.replace("per: [subject]}]}\n", f"per: [subject]}}{_MORE}")
"""The same with five limits, of all the algorithms that only count."""


@dataclass(frozen=True)
class World:
    """A directory with a policy in it, and a key that the policy knows."""

    directory: Path
    key: str

    def check_request(self, path: str = "/v1/chat/completions", body: bytes = b"", credential: str = "") -> bytes:
        """The Check call that Envoy sends for one request; without `body`, where the policy needs none.

        `credential` is what comes in the place of the key.
        """
        call = external_auth_pb2.CheckRequest()
        http = call.attributes.request.http
        http.id, http.method, http.path, http.host = "bench", "POST", path, "models.example.com"
        http.raw_body = body
        call.attributes.source.address.socket_address.address = "192.0.2.1"
        headers = {
            ":authority": "models.example.com",
            ":path": path,
            ":method": "POST",
            ":scheme": "http",
            "authorization": f"Bearer {credential or self.key}",
            "content-type": "application/json",
            "content-length": str(len(body) or 120),
            "user-agent": "bench/1.0",
            "accept": "*/*",
            "x-model": "small",
            "x-request-id": "0f6c1c4e-0000-4000-8000-000000000000",
            "x-forwarded-for": "192.0.2.1",
            "x-forwarded-proto": "http",
        }
        for name, value in headers.items():
            header = http.header_map.headers.add()
            header.key, header.raw_value = name, value.encode()
        return call.SerializeToString()


def build(directory: Path, policy: str = POLICY) -> World:
    """Write the policy, one key and the pepper."""
    key, key_id, digest = mint_key(PEPPER)
    record = {"id": key_id, "hash": digest, "subject": "ada", "tenant": "acme", "tier": "premium", "roles": ["analyst"]}
    (directory / "keys.yaml").write_text(json.dumps({"version": 1, "keys": [record]}))
    (directory / "policy.yaml").write_text(policy)
    (directory / "pepper").write_bytes(PEPPER)
    return World(directory, key)


@contextmanager
def tidegate(
    world: World, *, store: str = "memory://", workers: int = 1, log: str = "info", store_timeout: float = 0.05
) -> Iterator[list[str]]:
    """A running `tidegate serve`; its addresses."""
    with running_tidegate(world, store=store, workers=workers, log=log, store_timeout=store_timeout) as (_, addresses):
        yield addresses


@contextmanager
def running_tidegate(
    world: World, *, store: str, workers: int = 1, log: str = "info", store_timeout: float = 0.05
) -> Iterator[tuple[Process, list[str]]]:
    """The same, with its process."""
    first, metrics = adjacent_ports(workers), adjacent_ports(workers)
    command = [
        *(sys.executable, "-m", "tidegate", "serve", "--policy", str(world.directory / "policy.yaml")),
        *("--listen", f"127.0.0.1:{first}", "--metrics", f"127.0.0.1:{metrics}", "--store", store),
        *("--workers", str(workers), "--key-pepper-file", str(world.directory / "pepper"), "--log-level", log),
        *("--health-grace", "0", "--store-timeout", str(store_timeout)),
    ]
    addresses = [f"127.0.0.1:{first + index}" for index in range(workers)]
    name = f"tidegate-{first}.log"
    with running(command, world.directory / "logs" / name, ready=lambda: all(serving(a) for a in addresses)) as process:
        yield process, addresses


@contextmanager
def noop(world: World) -> Iterator[str]:
    """The empty Check and pass-through Process in the same runtime: the floor that ratios are taken against."""
    with running_noop(world) as (_, address):
        yield address


@contextmanager
def running_noop(world: World) -> Iterator[tuple[Process, str]]:
    """The same, with its process."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.e2e.noop_policy", address]
    with running(command, world.directory / "logs" / f"noop-{port}.log", ready=lambda: serving(address)) as process:
        yield process, address


def load(target: str, payload: bytes, *, calls: int, concurrency: int = 64, rate: float = 0.0) -> dict[str, float]:
    """Run the load generator to its end: `concurrency` callers, or, with a `rate`, that many calls a second."""
    command = [sys.executable, "-m", "tests.bench.load", target, CHECK, str(calls), str(concurrency), str(rate)]
    done = subprocess.run(command, input=payload, capture_output=True, check=True, env=dict(os.environ))
    result: dict[str, float] = json.loads(done.stdout)
    return result


def cpu_seconds(pid: int) -> float:
    """User and system time a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


__all__ = [
    "CHECK",
    "FIVE",
    "PEPPER",
    "Process",
    "World",
    "build",
    "cpu_seconds",
    "load",
    "noop",
    "running_noop",
    "running_tidegate",
    "tidegate",
]
