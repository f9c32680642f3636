"""What a load runs against: Envoy, tidegate's workers under their supervisor, Redis and the model, each a process."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tidegate.admission.live import LiveLimits
from tidegate.clock import SystemClock
from tidegate.demo.redis_server import RedisServer
from tidegate.demo.stack import Process, adjacent_ports, free_ports, listening, running, running_envoy, serving
from tidegate.envoy.config import Address, EnvoyConfig
from tidegate.identity.api_key import mint_key
from tidegate.policy.load import load_policy

from tests.load.kinds import LET_IN
from tests.load.model import Counts

Tweak = Callable[[dict[str, Any]], None]
_PATIENCE = 60.0  # seconds that a look waits for an answer
PEPPER = b"load pepper, not a secret at all"

POLICY = f"""\
version: 1
platform:
  identity:
    api_keys: {{header: authorization, file: keys.yaml}}
  floor:
    rulesets: [secrets]
    limits: [{{name: all, algorithm: token_bucket, capacity: 1000000000, refill: 1000000000/1s, per: [client_ip]}}]
tiers:
  steady:
    limits:
      - {{name: requests, algorithm: sliding_window, limit: 1000000000, window: 1d, per: [tenant]}}
      - {{name: tokens, algorithm: sliding_window, limit: 1000000000000, window: 1d, per: [tenant], cost: tokens}}
      - {{name: open, algorithm: concurrency, limit: 100000, per: [tenant], lease: 60s}}
  small:
    limits: [{{name: few, algorithm: sliding_window, limit: {LET_IN}, window: 1d, per: [subject]}}]
classifications: {{restricted: {{rulesets: [pii]}}}}
rulesets:
  secrets: [{{detect: [AWS_KEY], act: redact}}]
  pii: [{{detect: [EMAIL, CREDIT_CARD], act: redact}}]
tenants:
  acme: {{grants: [{{role: analyst, endpoints: "*"}}]}}
  frayed: {{grants: [{{role: analyst, endpoints: "*"}}]}}
  spent: {{grants: [{{role: analyst, endpoints: "*"}}]}}
endpoints:
  chat:
    owner: acme
    shared_with: [frayed, spent]
    match: {{hosts: ["*"], path: /v1/chat/completions, methods: [POST]}}
    model: {{from: body.model, allowed: {{steady: [small], small: [small]}}}}
    classification: restricted
  messages:
    owner: acme
    match: {{hosts: ["*"], path: /v1/messages, methods: [POST]}}
    model: {{from: body.model, allowed: {{steady: [small]}}}}
    classification: restricted
  generate:
    owner: acme
    match: {{hosts: ["*"], path: /api/generate, methods: [POST]}}
    model: {{from: body.model, allowed: {{steady: [small]}}}}
    classification: restricted
"""

# caller → (tenant, tier, roles)
CALLERS: Mapping[str, tuple[str, str, list[str]]] = {
    "steady": ("acme", "steady", ["analyst"]),
    "leaver": ("frayed", "steady", ["analyst"]),
    "over": ("spent", "small", ["analyst"]),
    "stranger": ("acme", "steady", []),
    "revoked": ("acme", "steady", ["analyst"]),
}


@dataclass(frozen=True)
class Stack:
    """What runs. `keys` are by caller. Worker i listens on `first_port + i`, with metrics on `first_metrics + i`."""

    directory: Path
    port: int
    admin: int
    model_port: int
    first_port: int
    first_metrics: int
    workers: int
    keys: Mapping[str, str]
    envoy: Process
    tidegate: Process
    model: Process
    redis: RedisServer

    @property
    def audit(self) -> Path:
        """Where audit records are kept."""
        return self.directory / "audit"

    def worker_pids(self) -> list[int]:
        """The processes that the supervisor runs, oldest first; a single worker has none above it."""
        children = Path(f"/proc/{self.tidegate.pid}/task/{self.tidegate.pid}/children").read_text()
        return sorted(map(int, children.split())) if self.workers > 1 else [self.tidegate.pid]

    def counts(self) -> Counts:
        """What the model did so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.model_port}/counts", timeout=_PATIENCE) as answer:
            return Counts(**json.load(answer))

    def metrics(self, worker: int) -> str:
        """What a worker publishes."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.first_metrics + worker}/metrics", timeout=_PATIENCE
        ) as answer:
            return str(answer.read(), "utf-8")

    def metric(self, name: str, worker: int | None = None, **labels: str) -> float:
        """A metric summed over the labels that are not given, of one worker or of all."""
        total = 0.0
        for index in range(self.workers) if worker is None else (worker,):
            for line in self.metrics(index).splitlines():
                series, _, value = line.rpartition(" ")
                if series.partition("{")[0] == name and all(f'{k}="{v}"' in series for k, v in labels.items()):
                    total += float(value)
        return total

    def stat(self, name: str) -> int:
        """One of Envoy's counters or gauges. Raises KeyError where it has none of the name."""
        address = f"http://127.0.0.1:{self.admin}/stats?filter=^{name}$"
        with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:
            return int(dict(line.split(": ") for line in str(answer.read(), "utf-8").splitlines())[name])

    def charged(self, tenant: str) -> tuple[Counter[str], int]:
        """What stands against a tenant's limits in Redis now, by the name of the limit, and how many are reserved."""
        limits = load_policy(self.directory / "policy.yaml").limits()

        async def look() -> tuple[Counter[str], int]:
            async with LiveLimits(self.redis.url, limits, clock=SystemClock()) as live:
                used: Counter[str] = Counter()
                held: set[str] = set()
                for one in await live.of_tenant(tenant):
                    used[one.limit.name] += one.used
                    held.update(one.reservations)
                return used, len(held)

        return asyncio.run(look())


@contextmanager
def running_stack(
    directory: Path,
    *,
    workers: int = 2,
    policy: str = POLICY,
    flags: Mapping[str, object] | None = None,
    env: Mapping[str, str] | None = None,
    redis_options: Sequence[str] = (),
    envoy_options: Sequence[str] = (),
    tweak: Tweak = lambda _: None,
    **settings: Any,
) -> Iterator[Stack]:
    """Start it, and stop it after the block.

    `flags` go to `tidegate serve`, in place of the usual ones, and `env` is more of its environment; `settings` are
    EnvoyConfig's, and `tweak` changes what comes of them. Enter it from a thread that stays: Envoy ends with it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    keys = _write_files(directory, policy)
    port, admin, model_port = free_ports(3)
    first_port, first_metrics = adjacent_ports(workers), adjacent_ports(workers)
    redis = RedisServer(directory / "redis", options=redis_options)
    given = {
        "policy": directory / "policy.yaml",
        "listen": f"127.0.0.1:{first_port}",
        "metrics": f"127.0.0.1:{first_metrics}",
        "workers": workers,
        "replicas": workers,
        "key-pepper-file": directory / "pepper",
        "store": redis.url,
        "store-timeout": 1.0,  # a busy machine is no outage
        "audit": f"file://{directory}/audit?max_size=4MiB&fsync=never",
        "log-level": "warning",
        **(flags or {}),
    }
    addresses = [Address("127.0.0.1", first_port + index) for index in range(workers)]
    config = EnvoyConfig.for_policy(
        load_policy(directory / "policy.yaml"),
        listen=Address("127.0.0.1", port),
        admin=Address("127.0.0.1", admin),
        workers=tuple(addresses),
        default_upstream=Address("127.0.0.1", model_port),
        **settings,
    )
    document = yaml.safe_load(config.render())
    tweak(document)
    redis.start()
    try:
        with (
            running(
                [sys.executable, "-m", "tests.load.model", str(model_port)],
                directory / "model.log",
                ready=lambda: listening(model_port),
            ) as model,
            running(
                [sys.executable, "-m", "tidegate", "serve", *(f"--{name}={value}" for name, value in given.items())],
                directory / "tidegate.log",
                ready=lambda: all(_ready(first_port + index, "tls" in settings) for index in range(workers)),
                env=env,
                timeout=300,
                stop_timeout=_PATIENCE,
            ) as tidegate,
            running_envoy(yaml.safe_dump(document), directory, port=port, options=envoy_options) as envoy,
        ):
            yield Stack(
                directory,
                port,
                admin,
                model_port,
                first_port,
                first_metrics,
                workers,
                keys,
                envoy,
                tidegate,
                model,
                redis,
            )
    finally:
        redis.stop()


def _ready(port: int, tls: bool) -> bool:
    return listening(port) if tls else serving(f"127.0.0.1:{port}")


def _write_files(directory: Path, policy: str) -> dict[str, str]:
    keys, entries = {}, []
    for subject, (tenant, tier, roles) in CALLERS.items():
        key, key_id, digest = mint_key(PEPPER)
        keys[subject] = key
        revoked = {"revoked": "2020-01-01T00:00:00Z"} if subject == "revoked" else {}
        caller = {"subject": subject, "tenant": tenant, "tier": tier, "roles": roles}
        entries.append({"id": key_id, "hash": digest, **caller, **revoked})
    keys["wrong"] = f"{keys['steady'].rpartition('_')[0]}_{'wrong' * 9}"
    (directory / "policy.yaml").write_text(policy)
    (directory / "pepper").write_bytes(PEPPER)
    (directory / "keys.yaml").write_text(json.dumps({"version": 1, "keys": entries}))
    return keys
