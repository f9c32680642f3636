"""What Istio and Envoy Gateway make of the files under service/deploy, in the real Envoy before the real service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy import test_envoy_gateway as envoy_gateway
from tests.deploy import test_istio as istio
from tests.deploy.printed import AUTHZ, PROC, document, message
from tests.e2e.stack import Gate, manager, running_gate
from tests.e2e.test_framing import streamed_text
from tests.e2e.upstream import Upstream, chat, chunked, delta, finish, json_answer


def as_istio(bootstrap: dict[str, Any]) -> None:
    door = manager(bootstrap)
    door["http_filters"][:2] = [document(AUTHZ, istio.built_authz()), istio.patch("HTTP_FILTER", "INSERT_BEFORE")]
    door.update({key: value for key, value in istio.patch("NETWORK_FILTER")["typed_config"].items() if key != "@type"})
    for cluster in bootstrap["static_resources"]["clusters"]:
        if cluster["name"] == "tidegate":
            workers = cluster["load_assignment"] | {"cluster_name": istio.CLUSTER}
            cluster.update(istio.cluster() | {"load_assignment": workers})


def as_envoy_gateway(bootstrap: dict[str, Any]) -> None:
    made = envoy_gateway.patched()
    filters = manager(bootstrap)["http_filters"]
    filters[:2] = [document(name, message(name, made[name])) for name in (AUTHZ, PROC)]
    # No override for a route: Envoy Gateway has one mode for all.
    for host in manager(bootstrap)["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            route.get("typed_per_filter_config", {}).pop(PROC, None)


@pytest.fixture(scope="module", params=[as_istio, as_envoy_gateway], ids=["istio", "envoy-gateway"])
def mesh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("mesh"), upstream, tweak=request.param) as gate:
        yield gate


def test_nobody_gets_in_without_a_credential(mesh: Gate) -> None:
    name = mesh.script(json_answer(chat("hello")))
    assert mesh.get(name, key=None).status_code == 401
    assert mesh.seen(name) == []


def test_an_answer_is_redacted(mesh: Gate) -> None:
    answer = mesh.chat(json_answer(chat("Write to bob@example.com.")))
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "Write to [EMAIL]."


def test_a_value_that_a_stream_cuts_is_redacted(mesh: Gate) -> None:
    answer = mesh.get(chunked([*map(delta, ["write to b", "ob@", "exam", "ple.c", "om", " today"]), *finish()]))
    assert streamed_text(answer.text) == "write to [EMAIL] today"
    assert answer.text.rstrip().endswith("data: [DONE]")


def test_two_credentials_are_refused(mesh: Gate) -> None:
    name = mesh.script(json_answer(chat("hello")))
    two = [("authorization", f"Bearer {mesh.keys[caller]}") for caller in ("free", "beta")]
    assert mesh.get(name, key=None, headers=two).status_code in {400, 401}
    assert mesh.seen(name) == []


def test_a_forged_identity_header_never_arrives(mesh: Gate) -> None:
    name = mesh.script(json_answer(chat("hello")))
    assert mesh.get(name, headers=[("x-tidegate-admin", "forged")]).status_code == 200
    (seen,) = mesh.seen(name)
    assert "forged" not in str(seen)


def test_without_the_service_nothing_passes(mesh: Gate) -> None:
    for process in mesh.workers:
        process.kill()
    name = mesh.script(json_answer(chat("hello")))
    assert mesh.get(name).status_code == 503
    assert mesh.seen(name) == []
