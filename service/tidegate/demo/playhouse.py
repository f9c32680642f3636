"""The whole stack on loopback for the length of a block: model app, policy processes, Redis if asked for, Envoy."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from tidegate.demo.edge import local_bootstrap
from tidegate.demo.materials import Materials, make_materials
from tidegate.demo.redis_server import find_redis_server
from tidegate.demo.scenarios.scenario import Stage
from tidegate.demo.stack import (
    Process,
    StackError,
    adjacent_ports,
    free_ports,
    listening,
    running,
    running_envoy,
    serving,
)

Store = Literal["memory", "redis"]

NICE = (8080, 9901, 8000, 9401, 9501)

_DECISIONS = re.compile(r"^tidegate_decisions_total\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens; `policy` and `metrics` are the first of as many in a row as there are processes."""

    gate: int
    admin: int
    model: int
    policy: int
    metrics: int

    @classmethod
    def choose(cls, processes: int, *, nice: bool = False) -> Ports:
        """Ports that nobody listens on; with `nice` the ones that documentation names, where they are free."""
        chosen = (*free_ports(3), adjacent_ports(processes), adjacent_ports(processes))
        if nice:
            wide = (1, 1, 1, processes, processes)
            taken = [any(listening(port + i) for i in range(count)) for port, count in zip(NICE, wide, strict=True)]
            chosen = tuple(other if busy else port for port, other, busy in zip(NICE, chosen, taken, strict=True))
        return cls(*chosen)


@dataclass(frozen=True, slots=True)
class House:
    """A running stack: what scenarios need of it, the credentials, and where clients reach it."""

    stage: Stage
    materials: Materials
    base: str


def processes_for(store: Store) -> int:
    """A limit that is counted in memory belongs to one process; Redis is there to be shared by two."""
    return 2 if store == "redis" else 1


@contextmanager
def open_house(store: Store, directory: Path, *, nice: bool = False) -> Iterator[House]:
    """Start everything, files and logs in `directory`, and stop it all in the end. Raises `StackError`."""
    processes = processes_for(store)
    ports = Ports.choose(processes, nice=nice)
    materials = make_materials(directory)
    with ExitStack() as stack:
        store_url = _start_redis(stack, directory) if store == "redis" else "memory://"
        model = _start(stack, directory / "model.log", "tidegate.demo.app", "--listen", f"127.0.0.1:{ports.model}")
        policy = _start(stack, directory / "tidegate.log", *_serve(materials, ports, store_url, processes))
        model.wait_until(lambda: listening(ports.model))
        workers = tuple(range(ports.policy, ports.policy + processes))
        policy.wait_until(lambda: all(listening(port) and serving(f"127.0.0.1:{port}") for port in workers))
        bootstrap = local_bootstrap(listen=ports.gate, admin=ports.admin, workers=workers, model=ports.model)
        envoy = stack.enter_context(running_envoy(bootstrap, directory, port=ports.gate))
        base = f"http://127.0.0.1:{ports.gate}"
        gate = stack.enter_context(_client(base))
        envoy.wait_until(lambda: gate.get("/").status_code != httpx.codes.SERVICE_UNAVAILABLE)
        metrics = tuple(range(ports.metrics, ports.metrics + processes))
        stage = Stage(
            gate=gate,
            model=stack.enter_context(_client(f"http://127.0.0.1:{ports.model}")),
            keys=materials.keys,
            signer=materials.signer,
            answered=lambda: tuple(decisions(port) for port in metrics),
            stop_policy=lambda: _stop(policy),
        )
        yield House(stage, materials, base)


def decisions(metrics_port: int) -> int:
    """How many decisions the process behind this metrics port has taken."""
    text = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
    return int(sum(float(count) for count in _DECISIONS.findall(text)))


def _serve(materials: Materials, ports: Ports, store: str, processes: int) -> tuple[str, ...]:
    options = {
        "--policy": str(materials.policy),
        "--listen": f"127.0.0.1:{ports.policy}",
        "--metrics": f"127.0.0.1:{ports.metrics}",
        "--store": store,
        "--workers": str(processes),
        "--key-pepper-file": str(materials.pepper),
        "--drain": "1",
        "--health-grace": "0",
    }
    return "tidegate", "serve", *(part for option in options.items() for part in option)


def _start(stack: ExitStack, log: Path, module: str, *arguments: str) -> Process:
    process = Process([sys.executable, "-m", module, *arguments], log)
    stack.callback(process.stop)
    return process


def _start_redis(stack: ExitStack, directory: Path) -> str:
    (port,) = free_ports(1)
    try:
        program = find_redis_server()
    except FileNotFoundError as missing:
        raise StackError(str(missing)) from None
    keep_nothing = ("--save", "", "--appendonly", "no", "--dir", directory)
    command: list[str | Path] = [program, "--bind", "127.0.0.1", "--port", str(port), *keep_nothing]
    stack.enter_context(running(command, directory / "redis.log", ready=lambda: listening(port)))
    return f"redis://127.0.0.1:{port}/0"


def _client(base: str) -> httpx.Client:
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    return httpx.Client(base_url=base, timeout=10, limits=limits, trust_env=False)


def _stop(policy: Process) -> None:
    status = policy.stop()
    if status != 0:
        raise StackError(f"the policy service ended with status {status}\n{policy.tail()}")
