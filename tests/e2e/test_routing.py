"""Every spelling of a request reaches the model of the endpoint that tidegate decided on, through the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tidegate.envoy.config import Address

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, running_gate
from tests.e2e.upstream import Upstream, chat, json_answer
from tests.e2e.wire import raw, statuses

MORE = """
  hosted:
    owner: acme
    match: {hosts: [a.example], path: /route/x, methods: [GET]}
  anywhere:
    owner: acme
    match: {hosts: ["*"], path: /route/x, methods: [GET]}
  run:
    owner: acme
    match: {hosts: ["*"], path: "/m/x:run", methods: [GET]}
  café:
    owner: acme
    match: {hosts: ["*"], path: "/m/café au lait/**", methods: [GET]}
  named:
    owner: acme
    match: {hosts: ["*"], path: "/m/{name}", methods: [GET]}
""".replace("  café:", "  cafe:")

ENDPOINTS = ("hosted", "anywhere", "run", "cafe", "named")


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Upstream]]:
    """A model for each endpoint."""
    servers = {name: Upstream() for name in ENDPOINTS}
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture(scope="module")
def routed(
    asking: dict[str, bool], tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, models: dict[str, Upstream]
) -> Iterator[Gate]:
    upstreams = {name: Address("127.0.0.1", server.port) for name, server in models.items()}
    directory = tmp_path_factory.mktemp("routed")
    with running_gate(directory, upstream, policy=POLICY + MORE, upstreams=upstreams, **asking) as gate:
        yield gate


@pytest.mark.parametrize(
    ("host", "target", "endpoint"),
    [
        ("a.example", "/route/x", "hosted"),
        ("A.Example:8080", "/route/x", "hosted"),
        ("a.example.", "/route/x", "hosted"),
        ("a.example.:80", "/route/x", "hosted"),
        ("b.example", "/route/x", "anywhere"),
        ("x", "/m/x:run", "run"),
        ("x", "/m/x%3Arun", "run"),
        ("x", "/m/x%3arun", "run"),
        ("x", "/m/%78:ru%6e", "run"),
        ("x", "/m/caf%C3%A9%20au%20lait/x", "cafe"),
        ("x", "/m/caf%c3%a9%20au%20lait/%C3%A9", "cafe"),
        ("x", "/m/caf%C3%A9", "named"),
    ],
)
def test_the_model_that_answers_is_the_one_that_was_decided_on(
    routed: Gate, models: dict[str, Upstream], host: str, target: str, endpoint: str
) -> None:
    (name,) = {server.script(json_answer(chat("hello"))) for server in models.values()}
    fields = [f"{field}: {value}" for field, value in routed.fields(name)]
    lines = [f"GET {target} HTTP/1.1", f"host: {host}", "connection: close", *fields]
    assert statuses(raw(routed.port, ("\r\n".join(lines) + "\r\n\r\n").encode())) == [200]
    reached = {who: server.seen(name) for who, server in models.items() if server.seen(name)}
    assert reached.keys() == {endpoint}
    assert [seen.values("x-tidegate-endpoint") for seen in reached[endpoint]] == [[endpoint]]
