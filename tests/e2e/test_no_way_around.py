"""Every request of tests/cases/no_way_around.yaml, byte by byte: refused, or at the model with our headers alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.keys import POLICY
from tests.e2e.stack import Gate, manager, running_gate
from tests.e2e.test_credentials import SHARED, shared
from tests.e2e.upstream import Seen, Upstream
from tests.e2e.wire import http2, raw, statuses

GROUPS: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[1] / "cases" / "no_way_around.yaml").read_text(encoding="utf-8")
)
CASES = [pytest.param(case, id=f"{group}: {case['name']}") for group, cases in GROUPS.items() for case in cases]

KEYS = "api_keys: {header: authorization, file: keys.yaml}"
AROUND = (
    POLICY.replace(KEYS, KEYS.replace("authorization", "x-api-key") + "\n    shared_secrets: [{name: app, secret_file: "
    "app.secret, claims: {defaults: {tenant: acme, tier: free, roles: [analyst]}}}]")
    + """
  hosted:
    owner: acme
    match: {hosts: [a.example], path: "/only/**", methods: [GET]}
"""
)  # fmt: skip
SMUGGLED = "GET /files/smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
SUBJECTS = {"key": "free", "token": "bob"}
UNNAMED = {"host", "x-request-id", "x-forwarded-for"}
"""Headers that the model gets whatever the client sent, with values that no case knows."""


class Around:
    """A gate with a model of its own: whatever reaches it comes from the case at hand."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.secrets = {"key": gate.keys["free"], "token": shared()}

    def send(self, case: Mapping[str, Any]) -> tuple[list[int], list[Seen]]:
        """(The statuses that came back, what reached the model.)"""
        seen = len(self.gate.upstream.requests)
        if "h2" in case:
            answered = [self._http2(case["h2"], case.get("caller", "key"))]
        else:
            answered = statuses(raw(self.gate.port, self._fill(_http1(case)).encode("latin-1")))
        return [status for status in answered if status], self.gate.upstream.requests[seen:]

    def _http2(self, how: Mapping[str, Any], caller: str) -> int:
        usual = {":method": "GET", ":scheme": "http", ":authority": "x", ":path": "/predict/x"} | how.get("set", {})
        pseudo = [(name, value) for name, value in usual.items() if name not in how.get("drop", ())]
        fields = [*how.get("first", ()), *pseudo, *how.get("last", ()), *_credential(caller), *how.get("add", ())]
        return http2(
            self.gate.port,
            [(name, self._fill(value)) for name, value in fields],
            self._fill(how.get("body", "")).encode("latin-1"),
            [(name, self._fill(value)) for name, value in how.get("trailers", ())],
        )

    def _fill(self, text: str) -> str:
        for name, value in {**self.secrets, "smuggled": SMUGGLED}.items():
            text = text.replace(f"{{{name}}}", value)
        return text


def _credential(caller: str) -> list[tuple[str, str]]:
    known = {"key": ("x-api-key", "{key}"), "token": ("authorization", "Bearer {token}")}
    return [known[caller]] if caller in known else []


def _http1(case: Mapping[str, Any]) -> str:
    if "bytes" in case:
        text: str = case["bytes"]
        return text
    usual = {"host": "host: x", "connection": "connection: close"}
    lines = [
        case.get("head", f"{case.get('method', 'GET')} {case.get('target', '/predict/x')} HTTP/1.1"),
        *(line for name, line in usual.items() if name not in case.get("drop", ())),
        *(f"{name}: {value}" for name, value in _credential(case.get("caller", "key"))),
        *case.get("lines", ()),
    ]
    return "\r\n".join(lines) + "\r\n\r\n" + case.get("body", "")


def _close_at_once(document: dict[str, Any]) -> None:
    """Envoy waits a second for a client to hang up first; these read until it does."""
    manager(document)["delayed_close_timeout"] = "0.05s"


@pytest.fixture(scope="module")
def around(asking: dict[str, bool], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    directory = tmp_path_factory.mktemp("around")
    (directory / "app.secret").write_bytes(SHARED)
    model = Upstream()
    with running_gate(directory, model, policy=AROUND, tweak=_close_at_once, **asking) as gate:
        yield Around(gate)
    model.close()


def test_every_group_begins_with_what_must_arrive_and_names_each_case_once() -> None:
    for cases in GROUPS.values():
        assert "model" in cases[0]
        assert len({case["name"] for case in cases}) == len(cases)
    assert len(CASES) > 250


@pytest.mark.parametrize("case", CASES)
def test_no_way_around(case: dict[str, Any], around: Around) -> None:
    answered, seen = around.send(case)
    expected = case.get("status", 200)
    if expected == "refused":
        assert not answered or (len(answered) == 1 and 400 <= answered[0] < 500), answered
    else:
        assert answered == (expected if isinstance(expected, list) else [expected])
    arrived = case.get("model", [])
    arrived = [arrived] if isinstance(arrived, str) else arrived
    assert [f"{one.values('x-tidegate-endpoint')[0]} {one.target}" for one in seen] == arrived
    for one in seen:
        assert_ours_alone(one, case)
        assert not [secret for secret in around.secrets.values() if secret in f"{one.headers}{one.body!r}"]


def assert_ours_alone(seen: Seen, case: Mapping[str, Any]) -> None:
    """Exactly the headers that we and Envoy set, each once, and those that the case says."""
    ours = {
        "x-tidegate-subject": SUBJECTS[_caller(case)],
        "x-tidegate-tenant": "acme",
        "x-tidegate-tier": "free",
        "x-tidegate-endpoint": seen.values("x-tidegate-endpoint")[0],
        "x-forwarded-proto": "http",
        "x-envoy-external-address": "127.0.0.1",
        **case.get("with", {}),
    }
    names = [name for name, _ in seen.headers]
    assert sorted(names) == sorted([*ours, *UNNAMED])
    assert {name: value for name, value in seen.headers if name not in UNNAMED} == ours
    assert "forged" not in "".join(seen.values(name)[0] for name in UNNAMED)
    assert seen.body == case.get("read", "").encode()
    assert seen.method == case.get("method", case.get("h2", {}).get("set", {}).get(":method", "GET"))


def _caller(case: Mapping[str, Any]) -> str:
    """Whose credential a case carries: in its own lines where it has no usual one."""
    usual: str = case.get("caller", "key")
    return usual if usual != "none" else "token" if "{token}" in str(case) else "key"
