"""End to end, with the real Envoy: what each part of the path costs, beside the LiteLLM proxy doing less.

Six cases, all before the same model, which answers at once (`model`):

- alone: Envoy, with the listener, routes and access log that `tidegate envoy-config` writes, but no filters;
- empty: the same with ext_authz and ext_proc, answered by two processes that allow and pass everything on;
- tidegate: the same configuration, answered by `tidegate serve --workers 2`: an API key, RBAC, three limits on Redis,
  and the patterns of two rulesets on the response, which holds one value to be redacted;
- empty_one_call, tidegate_one_call: the same two where ext_proc alone stands before the model (`--one-call`), and
  decides, too;
- litellm: no Envoy, but the LiteLLM proxy with two workers and a key check (`litellm_proxy`).

First a closed loop of `CONNECTIONS` callers: how many requests a second. Then an open one: how long a request takes at
half of what the slowest with Envoy took, and the proxy at half of its own. Last, of all with Envoy, the closed
loop once more, for a third of the time, with the same answer as a stream of some 120 events. The cases take turns, a
few seconds each, so that what else the machine does meets them all, and every figure is the median of the turns. The
servers, the model and the generator (`http_load`) share the machine's cores: of each its processor time a request is
told, and how late the generator was with what was due. Every answer is checked: one that is wrong makes the run fail.
"""

from __future__ import annotations

import re
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import yaml
from rich.console import Console
from tidegate.demo.redis_server import RedisServer
from tidegate.demo.stack import free_ports, listening, running, running_envoy
from tidegate.envoy.config import Address, EnvoyConfig
from tidegate.policy import load_policy

from tests.bench import litellm_proxy
from tests.bench import world as bench
from tests.bench.model import CONTENT
from tests.bench.through_envoy_case import CONNECTIONS, Case
from tests.bench.through_envoy_report import figures, tables

SECONDS: Final = 30.0
_TURN: Final = 5.0
_WORKERS: Final = 2
_CAPACITY: Final = 10**9
POLICY: Final = bench.POLICY.replace(
    "algorithm: token_bucket, capacity: 1000000000, refill: 1000000000/1s, per: [tenant]",
    f"algorithm: quota, limit: {_CAPACITY}, period: month, per: [tenant]",
)
"""That of the other benches, whose third limit is a quota: it says afterwards how many requests were charged."""
REDACTED: Final = CONTENT.replace("ada.lovelace@example.com", "[EMAIL]")


def without_filters(bootstrap: str) -> str:
    """The same Envoy with nobody to ask."""
    document = yaml.safe_load(bootstrap)
    resources = document["static_resources"]
    resources["clusters"] = [one for one in resources["clusters"] if one["name"] != "tidegate"]
    (chain,) = resources["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    manager["http_filters"] = [one for one in manager["http_filters"] if one["name"].endswith(".router")]
    for host in manager["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            route.pop("typed_per_filter_config", None)
    text: str = yaml.safe_dump(document)
    return text


@contextmanager
def cases(directory: Path, *, litellm: bool) -> Iterator[tuple[int, list[Case]]]:
    """The port of the model, and the cases, all running."""
    directory.mkdir(parents=True, exist_ok=True)
    world = bench.build(directory, POLICY)
    with ExitStack() as stack:
        (model_port,) = free_ports(1)
        command = [sys.executable, "-m", "tests.bench.model", str(model_port)]
        model = stack.enter_context(
            running(command, directory / "logs" / "model.log", ready=lambda: listening(model_port))
        )
        redis = stack.enter_context(RedisServer(directory / "redis"))
        empty = [stack.enter_context(bench.running_noop(world)) for _ in range(_WORKERS)]
        ours, addresses = stack.enter_context(
            bench.running_tidegate(world, store=redis.url, workers=_WORKERS, store_timeout=1.0)
        )
        policy = load_policy(directory / "policy.yaml")

        def envoy(name: str, workers: Sequence[str]) -> tuple[int, int]:
            (port,) = free_ports(1)
            config = EnvoyConfig.for_policy(
                policy,
                listen=Address("127.0.0.1", port),
                workers=tuple([Address.parse(worker) for worker in workers]),
                default_upstream=Address("127.0.0.1", model_port),
                check_timeout=10.0,  # what is slow is to be seen as slow
                message_timeout=10.0,
                one_call=name.endswith("one_call"),
            ).render()
            bootstrap = without_filters(config) if name == "alone" else config
            return port, stack.enter_context(running_envoy(bootstrap, directory / name, port=port)).pid

        found = []
        nothing = [address for _, address in empty], CONTENT, {"policy": [one.pid for one, _ in empty]}
        everything = addresses, REDACTED, {"policy": [ours.pid], "redis": [redis.pid]}
        for name, (workers, content, groups) in {
            "alone": (addresses, CONTENT, {}),
            "empty": nothing,
            "tidegate": everything,
            "empty_one_call": nothing,
            "tidegate_one_call": everything,
        }.items():
            port, pid = envoy(name, workers)
            found.append(Case(name, port, content, {"proxy": (pid,), **groups, "model": (model.pid,)}, world.key))
        if litellm:
            proxy, port = stack.enter_context(litellm_proxy.serving(directory / "litellm", model_port))
            groups = {"proxy": (proxy.pid,), "model": (model.pid,)}
            found.append(Case("litellm", port, CONTENT, groups, litellm_proxy.KEY))
        yield model_port, found


def measure(directory: Path, *, seconds: float = SECONDS) -> dict[str, float]:
    """Requests a second, milliseconds added to those of Envoy alone, and microseconds of processor time a request."""
    try:
        litellm_proxy.installed()
        litellm = True
    except litellm_proxy.NotInstalled as why:
        print(f"case litellm is left out, and its goal is missed: it cannot be installed: {why}", file=sys.stderr)
        litellm = False
    with cases(directory, litellm=litellm) as (_, found):
        run(found, seconds)
        ours = [case for case in found if case.name.startswith("tidegate")]
        charges = (charged(ours[0].port, ours[0].key) - 1) / sum(case.answers for case in ours)
    for table in tables(found):
        Console().print(table)
    return figures(found) | {"envoy_charges_a_request": charges}


def run(found: Sequence[Case], seconds: float, connections: int = CONNECTIONS) -> None:
    """Let every case take its turns."""
    turns = max(1, round(seconds / _TURN))
    through = [case for case in found if case.name != "litellm"]
    for case in found:
        case.take_turn("warm", min(2.0, seconds), connections=connections)
    for _ in range(turns):
        for case in found:
            case.take_turn("closed", seconds / turns, connections=connections)
    half = min(case.rate() for case in through) / 2
    for _ in range(turns):
        for case in found:
            rate = case.rate() / 2 if case.name == "litellm" else half
            case.take_turn("open", seconds / turns, rate, connections)
    for _ in range(turns):
        for case in through:
            case.take_turn("streams", seconds / turns / 3, connections=connections)


def charged(port: int, key: str) -> int:
    """How many requests were charged to the quota, this one included."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        b"{}",
        {"host": "models.example.com", "authorization": f"Bearer {key}", "x-model": "small"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        left = re.search(r'"month";r=(\d+)', answer.headers["ratelimit"])
    assert left is not None
    return _CAPACITY - int(left[1])


def asked(model: int) -> int:
    """How many completions the model was asked for."""
    with urllib.request.urlopen(f"http://127.0.0.1:{model}/count", timeout=30) as answer:
        return int(answer.read())
