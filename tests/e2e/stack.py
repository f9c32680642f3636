"""The whole of it for tests: policy workers, a real Envoy, and the scripted model, on loopback ports of their own."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml
from tidegate.demo.stack import Process, adjacent_ports, free_ports, listening, running_envoy, serving
from tidegate.envoy.config import Address, EnvoyConfig

from tests.e2e.keys import POLICY, write_files
from tests.e2e.upstream import Answer, Seen, Upstream

Tweak = Callable[[dict[str, Any]], None]
Fields = Mapping[str, str] | Iterable[tuple[str, str]]


def until(condition: Callable[[], Any], timeout: float = 10.0, what: str = "") -> Any:
    """Poll until the condition holds; its value. The one way in which these tests wait."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition}")
        time.sleep(0.02)
    return value


def until_at(look: Callable[[], int], wanted: int) -> None:
    """Poll until a look finds what is wanted, and tell what it found instead."""
    seen: list[int] = []

    def there() -> bool:
        seen.append(look())
        return seen[-1] == wanted

    until(there, what=f"{wanted}, but {seen[-3:]}")


@dataclass
class Gate:
    """A running Envoy with policy workers behind it and the model after it."""

    port: int
    admin: int
    upstream: Upstream
    envoy: Process
    workers: list[Process]
    ports: list[int]
    metrics: list[int] = field(default_factory=list)
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.base, timeout=20, **options)

    def fields(self, answer: Answer | str | None = None, key: str | None = "free") -> list[tuple[str, str]]:
        """Headers that carry a caller's key and pick the model's answer."""
        fields = [("authorization", f"Bearer {self.keys[key]}")] if key in self.keys else []
        name = self.upstream.script(answer) if isinstance(answer, Answer) else answer
        return fields + ([("x-script", name)] if name else [])

    def send(
        self,
        method: str,
        path: str,
        answer: Answer | str | None = None,
        *,
        key: str | None = "free",
        headers: Fields = (),
        **options: Any,
    ) -> httpx.Response:
        """One request on a connection of its own, for which the model gives `answer`."""
        more = headers.items() if isinstance(headers, Mapping) else headers
        with self.client() as client:
            return client.request(method, path, headers=[*self.fields(answer, key), *more], **options)

    def get(self, answer: Answer | str | None = None, path: str = "/predict/x", **options: Any) -> httpx.Response:
        return self.send("GET", path, answer, **options)

    def chat(self, answer: Answer | str | None = None, model: str = "small", **options: Any) -> httpx.Response:
        return self.send("POST", "/v1/chat/completions", answer, json={"model": model}, **options)

    def script(self, answer: Answer) -> str:
        return self.upstream.script(answer)

    def seen(self, name: str) -> list[Seen]:
        """The requests that reached the model for a script."""
        return self.upstream.seen(name)

    @contextmanager
    def frozen(self, worker: int = 0) -> Iterator[None]:
        """The worker accepts connections and answers nothing."""
        self.workers[worker].send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.workers[worker].send(signal.SIGCONT)

    def stat(self, name: str) -> int:
        """One of Envoy's counters or gauges."""
        text = httpx.get(f"http://127.0.0.1:{self.admin}/stats", params={"filter": f"^{name}$"}).text
        return int(text.rpartition(":")[2] or 0)

    def told(self, answer: httpx.Response) -> str:
        """What the workers have logged, once the line of this answer is among it."""
        request_id = answer.headers["x-request-id"]

        def log() -> str:
            text = "".join([worker.log.read_text() for worker in self.workers])
            lines = [line for line in text.splitlines() if '"event":"response"' in line]
            return text if any(request_id in line for line in lines) else ""

        return str(until(log, what=f"the response of {request_id} in a log"))

    def metric(self, name: str, worker: int = 0, **labels: str) -> float:
        """One of a worker's metrics, summed over the labels that are not given."""
        total = 0.0
        for line in httpx.get(f"http://127.0.0.1:{self.metrics[worker]}/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{k}="{v}"' in series for k, v in labels.items()):
                total += float(value)
        return total


@contextmanager
def running_gate(
    directory: Path,
    upstream: Upstream,
    *,
    policy: str = POLICY,
    workers: int = 1,
    together: bool = False,
    stand_in: str = "",
    flags: Mapping[str, object] | None = None,
    tweak: Tweak | None = None,
    **settings: Any,
) -> Iterator[Gate]:
    """Start it, and stop it after the block. `together` the workers are one command, and one process here.

    `flags` go to `tidegate serve`, or `stand_in` is the module that is run in its place; `tweak` changes the bootstrap;
    `settings` are EnvoyConfig's.
    """
    port, admin = free_ports(2)
    first, first_metrics = adjacent_ports(workers), adjacent_ports(workers)
    ports, metrics_ports = (list(range(start, start + workers)) for start in (first, first_metrics))
    with ExitStack() as stack:
        files = write_files(directory, policy)
        processes = []
        for index in range(1 if together else workers):
            if stand_in:
                command = ["-m", stand_in, f"127.0.0.1:{ports[index]}"]
            else:
                given = {
                    "policy": files.policy,
                    "listen": f"127.0.0.1:{ports[index]}",
                    "metrics": f"127.0.0.1:{metrics_ports[index]}",
                    "key-pepper-file": files.pepper,
                    **({"workers": workers} if together else {}),
                    **(flags or {}),
                }
                command = [
                    "-m",
                    "tidegate",
                    "serve",
                    *(f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items()),
                ]
            process = Process([sys.executable, *command], directory / f"worker-{index}.log")
            stack.callback(process.kill)
            processes.append(process)
        for index, worker_port in enumerate(ports):
            ready = listening if flags and "tls-cert" in flags else _serving
            processes[0 if together else index].wait_until(partial(ready, worker_port), timeout=300)  # a busy machine
        config = _config(None if stand_in else files.policy, port, admin, ports, upstream, settings)
        document = yaml.safe_load(config.render())
        if tweak:
            tweak(document)
        envoy = stack.enter_context(running_envoy(yaml.safe_dump(document), directory, port=port))
        yield Gate(port, admin, upstream, envoy, processes, ports, [] if stand_in else metrics_ports, files.keys)


def _serving(port: int) -> bool:
    return serving(f"127.0.0.1:{port}")


def _config(
    policy: Path | None, port: int, admin: int, ports: list[int], upstream: Upstream, settings: dict[str, Any]
) -> EnvoyConfig:
    known: dict[str, Any] = {
        "listen": Address("127.0.0.1", port),
        "admin": Address("127.0.0.1", admin),
        "workers": tuple(Address("127.0.0.1", worker) for worker in ports),
        "default_upstream": Address("127.0.0.1", upstream.port),
        **settings,
    }
    if policy is None:
        return EnvoyConfig(**known)
    from tidegate.policy.load import load_policy

    return EnvoyConfig.for_policy(load_policy(policy), **known)


def ping_every(interval: str, timeout: str) -> Tweak:
    """How often Envoy asks whether a connection to the policy service is alive."""

    def tweak(document: dict[str, Any]) -> None:
        (policy,) = (c for c in document["static_resources"]["clusters"] if c["name"] == "tidegate")
        for options in policy["typed_extension_protocol_options"].values():
            http2 = options["explicit_http_config"]["http2_protocol_options"]
            http2["connection_keepalive"] = {"interval": interval, "timeout": timeout}

    return tweak


def manager(document: dict[str, Any]) -> dict[str, Any]:
    """The HttpConnectionManager of a rendered bootstrap."""
    filters: list[dict[str, Any]] = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    found: dict[str, Any] = filters[0]["typed_config"]
    return found
