"""What `tidegate envoy-config` prints: the real Envoy accepts every variant, and routes agree with tidegate's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tidegate.demo.stack import find_envoy
from tidegate.envoy.bootstrap.routes import Routes as EnvoyRoutes
from tidegate.envoy.config import Address, EnvoyConfig, PolicyTls
from tidegate.policy.compiled import Endpoint, ModelRule
from tidegate.policy.routes import Routes
from typer.testing import CliRunner

from tests.e2e.certificates import make_certificates
from tests.e2e.keys import POLICY, write_files
from tests.e2e.stack import manager

BASE: dict[str, Any] = {
    "listen": Address("127.0.0.1", 20400),
    "workers": (Address("127.0.0.1", 9401), Address("127.0.0.1", 9402)),
    "default_upstream": Address("127.0.0.1", 8000),
}


def endpoint(name: str, path: str, *, hosts: tuple[str, ...] = ("*",), body: bool = False, **more: Any) -> Endpoint:
    model = ModelRule("body", ("model",), {}) if body else None
    return Endpoint(name, "acme", frozenset(hosts), path, more.pop("methods", frozenset({"POST"})), model, **more)


CHECK, PROCESS = "envoy.filters.http.ext_authz", "envoy.filters.http.ext_proc"
CHAT = endpoint("chat", "/v1/chat/completions", body=True, errors="openai")
ROWS = endpoint("rows", "/v2/{model}/rows.csv/**", hosts=("models.example.com", "other.example.com"))
VARIANTS: dict[str, dict[str, Any]] = {
    "no policy at all": {},
    "bodies": {"endpoints": (CHAT,), "max_request_bytes": 1 << 20},
    "bodies for some": {"endpoints": (CHAT, ROWS)},
    "an upstream each": {
        "endpoints": (CHAT, ROWS),
        "default_upstream": None,
        "upstreams": {"chat": Address.parse("chat.internal:80"), "rows": Address.parse("[::1]:8001")},
    },
    "an upstream of its own": {"endpoints": (CHAT, ROWS), "upstreams": {"rows": Address.parse("unix:/run/model")}},
    "names and sockets": {"workers": (Address.parse("tidegate-1:9401"),), "admin": Address("127.0.0.1", 9901)},
    "unix sockets": {"workers": (Address.parse("unix:/run/tidegate.0"), Address.parse("unix:/run/tidegate.1"))},
    "trusted hops": {"trusted_hops": 2, "identity_header_prefix": "x-who-"},
    "slow": {"check_timeout": 2.5, "idle_timeout": 600, "max_stream": 86_400},
    "requests seen": {"endpoints": (CHAT, ROWS), "settled": frozenset({"chat", "rows"}), "asking": frozenset({"chat"})},
    "one call": {"endpoints": (CHAT, ROWS), "one_call": True},
    "one call, requests seen": {"endpoints": (CHAT, ROWS), "one_call": True, "asking": frozenset({"rows"})},
    "two methods": {"endpoints": (CHAT, endpoint("list", CHAT.path, methods=frozenset({"GET", "HEAD"})))},
}


def validate(bootstrap: str, directory: Path) -> None:
    path = directory / "envoy.yaml"
    path.write_text(bootstrap)
    command = [find_envoy(), "--mode", "validate", "-c", path, "--log-level", "warn"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "deprecated" not in result.stderr.lower(), result.stderr


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_envoy_accepts(variant: dict[str, Any], tmp_path: Path) -> None:
    validate(EnvoyConfig(**(BASE | variant)).render(), tmp_path)


@pytest.mark.parametrize("mutual", [False, True])
def test_envoy_accepts_tls(mutual: bool, tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    own = (str(files.cert), str(files.key)) if mutual else ("", "")
    validate(EnvoyConfig(**BASE, tls=PolicyTls(str(files.ca), "tidegate", *own)).render(), tmp_path)


def test_filters_only_is_the_same_configuration() -> None:
    config = EnvoyConfig(**BASE, endpoints=(CHAT,))
    whole, parts = yaml.safe_load(config.render()), yaml.safe_load(config.render_filters())
    assert parts["http_connection_manager"].items() <= manager(whole).items()
    assert parts["route_config"].items() <= manager(whole)["route_config"].items()
    assert parts["clusters"][0] in whole["static_resources"]["clusters"]


def test_no_retry_back_off_because_it_becomes_a_timeout() -> None:
    assert "retry_back_off" not in EnvoyConfig(**BASE).render()


def test_process_sees_requests_by_the_mode_of_a_route_and_only_there() -> None:
    seen = VARIANTS["requests seen"]
    document = yaml.safe_load(EnvoyConfig(**BASE | seen).render())
    (whole,) = [f for f in manager(document)["http_filters"] if f["name"] == PROCESS]
    mode = whole["typed_config"]["processing_mode"]
    assert (mode["request_header_mode"], mode["request_body_mode"]) == ("SKIP", "NONE")
    for host in manager(document)["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            own = route.get("typed_per_filter_config", {}).get(PROCESS)
            body = {"openai:chat": "BUFFERED", "rows": "NONE"}.get(route["name"])
            given_ = body and mode | {"request_header_mode": "SEND", "request_body_mode": body}
            assert (own and own["overrides"]["processing_mode"]) == given_
    parts = yaml.safe_load(EnvoyConfig(**BASE | seen).render_filters())["typed_per_filter_config"]
    assert {name: list(filters) for name, filters in parts.items()} == {
        "chat": [PROCESS],
        "rows": [CHECK, PROCESS],
    }


def test_no_mode_override() -> None:
    assert "allow_mode_override" not in EnvoyConfig(**BASE | VARIANTS["requests seen"]).render()


def test_everything_fails_closed() -> None:
    text = EnvoyConfig(**BASE, endpoints=(CHAT,)).render()
    assert text.count("failure_mode_allow: false") == 2
    assert "failure_mode_allow: true" not in text
    assert "allow_partial_message: true" not in text


def test_bodies_are_read_only_where_the_policy_needs_them() -> None:
    assert "with_request_body" not in EnvoyConfig(**BASE, endpoints=(ROWS,)).render()
    document = yaml.safe_load(EnvoyConfig(**BASE, endpoints=(CHAT, ROWS)).render())
    assert manager(document)["http_filters"][0]["typed_config"]["with_request_body"]["pack_as_bytes"] is True
    for host in manager(document)["route_config"]["virtual_hosts"]:
        spared = {route["name"] for route in host["routes"] if "typed_per_filter_config" in route}
        assert spared == ({"rows"} if host["name"] != "*" else set())


def test_an_endpoint_without_a_model_is_refused() -> None:
    with pytest.raises(ValueError, match="no upstream for endpoint rows"):
        EnvoyConfig(
            **BASE | {"default_upstream": None}, endpoints=(CHAT, ROWS), upstreams={"chat": Address("h", 1)}
        ).render()
    with pytest.raises(ValueError, match="no endpoint named typo"):
        EnvoyConfig(**BASE, endpoints=(CHAT,), upstreams={"typo": Address("h", 1)}).render()


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:0", "host:65536", "host:-1", "host:８０", "unix:x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        Address.parse(text)


_SEGMENT = st.sampled_from(["a", "b", "v1.0", "x:y", "é b", "{x}"])
_SENT = st.sampled_from(["a", "b", "v1.0", "v1x0", "x:y", "x%3Ay", "x%3ay", "%C3%A9%20b", "%c3%a9%20b", "z", ""])
_PATHS = st.builds(
    lambda parts, rest: "/" + "/".join([*dict.fromkeys(parts), *(["**"] if rest else [])]),
    st.lists(_SEGMENT, min_size=1, max_size=3),
    st.booleans(),
)
_ENDPOINTS = st.lists(
    st.tuples(_PATHS, st.sampled_from([("*",), ("a.example",)])),
    min_size=1,
    max_size=6,
    unique_by=lambda pair: (re.sub(r"\{x\}", "{}", pair[0]), pair[1]),
)


@given(_ENDPOINTS, st.lists(_SENT, min_size=1, max_size=4))
def test_envoy_takes_the_route_of_the_endpoint_that_tidegate_decides_on(
    declared: list[tuple[str, tuple[str, ...]]], parts: list[str]
) -> None:
    endpoints = tuple(endpoint(f"e{index}", path, hosts=hosts) for index, (path, hosts) in enumerate(declared))
    rendered = EnvoyRoutes(endpoints, {}, Address("127.0.0.1", 8000), idle_timeout=1, max_stream=1).render()
    hosts = {host["name"]: host["routes"] for host in rendered["virtual_hosts"]}
    path = "/" + "/".join(parts)
    for host in ("a.example", "b.example"):
        decided = Routes(endpoints).match(host, unquote(path))
        taken = next(route["name"] for route in hosts.get(host, hosts["*"]) if _matches(route["match"], path))
        assert taken == (decided[0].name if decided else "other")


def _matches(match: dict[str, Any], path: str) -> bool:
    if "safe_regex" in match:
        return re.fullmatch(match["safe_regex"]["regex"], path) is not None
    return path == match["path"] if "path" in match else path.startswith(match["prefix"])


@pytest.mark.parametrize("extra", [[], ["--filters-only"], ["--upstream", "files=127.0.0.1:8001", "--admin", ""]])
def test_the_command(extra: list[str], tmp_path: Path) -> None:
    from tidegate.cli import app

    files = write_files(tmp_path)
    addresses = ["--upstream", "127.0.0.1:8000", "--tidegate", "127.0.0.1:9401,127.0.0.1:9402"]
    result = CliRunner().invoke(app, ["envoy-config", "--policy", str(files.policy), *addresses, *extra])
    assert result.exit_code == 0, result.output
    assert "with_request_body" in result.stdout
    if "--filters-only" not in extra:
        validate(result.stdout, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--upstream", "nowhere"], "is not host:port"),
        (["--upstream", "typo=127.0.0.1:1", "--upstream", "127.0.0.1:1"], "no endpoint named typo"),
        (["--upstream", "chat=127.0.0.1:1"], "no upstream for endpoint"),
        (["--upstream", "127.0.0.1:1", "--upstream", "127.0.0.1:2"], "given twice"),
        (["--upstream", "127.0.0.1:1", "--tls-cert", "x"], "go together"),
    ],
)
def test_the_command_refuses(options: list[str], message: str, tmp_path: Path) -> None:
    from tidegate.cli import app

    policy = tmp_path / "policy.yaml"
    write_files(tmp_path, POLICY)
    result = CliRunner().invoke(
        app, ["envoy-config", "--policy", str(policy), "--tidegate", "127.0.0.1:9401", *options]
    )
    assert result.exit_code == 2
    assert message in result.output
