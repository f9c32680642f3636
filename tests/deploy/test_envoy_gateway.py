"""Envoy Gateway's files: valid, and together what `tidegate envoy-config` prints, but for what the page tells."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from pydantic import ValidationError
from tidegate.envoy.traps import read, trapped

from tests.deploy.kinds import Part
from tests.deploy.manifests import BASE, DEPLOY, Document, documents, the
from tests.deploy.mesh_kinds import KINDS
from tests.deploy.printed import AUTHZ, PROC, ROUTER, document, filter_of, manager, message, printed
from tests.e2e.test_envoy_config import validate

FILES = sorted((DEPLOY / "envoy-gateway").glob("*.yaml"))
SECURITY = the("SecurityPolicy", "tidegate", *FILES)["spec"]
EXTENSION = the("EnvoyExtensionPolicy", "tidegate", *FILES)["spec"]
CLIENTS = the("ClientTrafficPolicy", "tidegate", *FILES)["spec"]
PATCHES = the("EnvoyPatchPolicy", "tidegate", *FILES)
ROUTE = the("HTTPRoute", "chat", *FILES)
OURS = printed("--filters-only")
POLICIES = ("SecurityPolicy", "EnvoyExtensionPolicy", "ClientTrafficPolicy")
NAMESPACE = "models"
# As Envoy Gateway names its filters: kind, namespace and name of the policy (internal/xds/translator).
NAMES = {
    AUTHZ: f"{AUTHZ}/securitypolicy/{NAMESPACE}/tidegate",
    PROC: f"{PROC}/envoyextensionpolicy/{NAMESPACE}/tidegate/extproc/0",
}
MANAGER = "envoy.filters.network.http_connection_manager"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_document_is_of_a_known_shape(path: Path) -> None:
    (one,) = documents(path)
    model: type[Part] = KINDS[one["kind"]]
    model.model_validate(one)
    with pytest.raises(ValidationError, match="Extra inputs"):
        model.model_validate(one | {"spec": one["spec"] | {"colour": "red"}})


@pytest.mark.parametrize(
    ("name", "place", "value", "fault"),
    [
        ("security-policy", "extAuth.grpc.backendSettings.http2.initialStreamWindowSize", "0Ki", "match pattern"),
        ("security-policy", "extAuth.grpc.backendSettings.http2.initialStreamWindow", "1Ki", "Extra inputs"),
        ("security-policy", "extAuth.grpc.backendSettings.healthCheck.panicThreshold", 101, "less than or equal"),
        ("security-policy", "extAuth.statusOnError", 302, "greater than or equal"),
        ("envoy-extension-policy", "extProc.0.failOpen", True, "failOpen must be false"),
        ("envoy-extension-policy", "extProc.0.processingMode.response.attributes", ["metadata.x"], "match pattern"),
        ("envoy-extension-policy", "extProc.0.metadata.writableNamespaces", ["envoy.filters.http.x"], "well-known"),
    ],
)
def test_what_envoy_gateway_would_refuse_is_refused(name: str, place: str, value: object, fault: str) -> None:
    (one,) = documents(DEPLOY / "envoy-gateway" / f"{name}.yaml")
    *parents, last = place.split(".")
    at: Any = one["spec"]
    for parent in parents:
        at = at[int(parent) if parent.isdigit() else parent]
    at[last] = value
    with pytest.raises(ValidationError, match=fault):
        KINDS[one["kind"]].model_validate(one)


def test_policies_are_for_the_whole_gateway_and_fail_closed() -> None:
    for spec in (SECURITY, EXTENSION, CLIENTS):
        assert spec["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "models"}]
    assert SECURITY["extAuth"]["failOpen"] is False
    assert [one["failOpen"] for one in EXTENSION["extProc"]] == [False]
    assert {the(kind, "tidegate", *FILES)["metadata"]["namespace"] for kind in POLICIES} == {NAMESPACE}


def test_both_may_name_the_service_in_its_own_namespace() -> None:
    service = the("Service", "tidegate", BASE / "service.yaml")
    grant = the("ReferenceGrant", "tidegate", *FILES)
    assert grant["metadata"]["namespace"] == documents(BASE / "kustomization.yaml")[0]["namespace"]
    assert {(one["kind"], one["namespace"]) for one in grant["spec"]["from"]} == {
        ("SecurityPolicy", NAMESPACE),
        ("EnvoyExtensionPolicy", NAMESPACE),
    }
    for refs in (SECURITY["extAuth"]["grpc"]["backendRefs"], EXTENSION["extProc"][0]["backendRefs"]):
        assert refs == [{"name": "tidegate", "namespace": "tidegate", "port": service["spec"]["ports"][0]["port"]}]


def translated() -> dict[str, Document]:
    """What Envoy Gateway makes of its policies (internal/xds/translator), before the patches."""
    auth, (process,) = SECURITY["extAuth"], EXTENSION["extProc"]
    modes, metadata = process["processingMode"], process["metadata"]
    body = {"Buffered": "BUFFERED", "FullDuplexStreamed": "FULL_DUPLEX_STREAMED"}
    return {
        AUTHZ: {
            "transport_api_version": "V3",
            "failure_mode_allow": auth["failOpen"],
            "status_on_error": {"code": auth["statusOnError"]},
            "with_request_body": {"max_request_bytes": auth["bodyToExtAuth"]["maxRequestBytes"]},
            "grpc_service": {"envoy_grpc": {"cluster_name": "tidegate"}, "timeout": auth["timeout"]},
        },
        PROC: {
            "failure_mode_allow": process["failOpen"],
            "message_timeout": process["messageTimeout"],
            "allow_mode_override": modes["allowModeOverride"],
            "processing_mode": {
                "request_header_mode": "SEND",
                "request_body_mode": body[modes["request"]["body"]],
                "request_trailer_mode": "SKIP",
                "response_header_mode": "SEND",
                "response_body_mode": body[modes["response"]["body"]],
                "response_trailer_mode": "SEND",
            },
            "response_attributes": modes["response"]["attributes"],
            "metadata_options": {
                "forwarding_namespaces": {"untyped": metadata["accessibleNamespaces"]},
                "receiving_namespaces": {"untyped": metadata["writableNamespaces"]},
            },
            "grpc_service": {"envoy_grpc": {"cluster_name": "tidegate"}},
        },
        MANAGER: {},
    }


def patched() -> dict[str, Document]:
    """The same with the patches, each of which has to find one filter and to fill a place of it."""
    made = translated()
    for one in PATCHES["spec"]["jsonPatches"]:
        assert one["name"] == f"{NAMESPACE}/models/https"
        operation = one["operation"]
        chain, name = re.fullmatch(  # type: ignore[union-attr]
            r"\.\.(http_filters|filters)\[\?match\(@\.name, '([^']+)'\)\]\.typed_config", operation["jsonPath"]
        ).groups()
        (kind,) = [kind for kind in made if re.fullmatch(name, NAMES.get(kind, kind))]
        assert (chain == "filters") == (kind == MANAGER)
        *parents, last = operation["path"].split("/")
        place = made[kind]
        for parent in parents:
            place = place[parent]
        assert (operation["op"], last in place) == ("add", False)
        place[last] = operation["value"]
    return made


def ours(name: str) -> Any:
    """What we print, without the retries that Envoy Gateway cannot be told."""
    made = message(name, filter_of(OURS["http_connection_manager"]["http_filters"], name))
    made.grpc_service.ClearField("retry_policy")
    return made


def test_ext_authz_is_what_we_print_but_for_its_retries() -> None:
    assert message(AUTHZ, patched()[AUTHZ]) == ours(AUTHZ)


def test_ext_proc_is_what_we_print_for_the_route_but_for_its_retries() -> None:
    expected = ours(PROC)
    own = OURS["typed_per_filter_config"]["chat"][PROC]["overrides"]["processing_mode"]
    expected.processing_mode.Clear()
    json_format.ParseDict(own, expected.processing_mode)
    assert message(PROC, patched()[PROC]) == expected


def test_requests_are_read_as_we_print() -> None:
    whole = OURS["http_connection_manager"]
    told = patched()[MANAGER]
    assert told == {key: whole[key] for key in ("strip_trailing_host_dot", "early_header_mutation_extensions")}
    assert CLIENTS["path"] == {"escapedSlashesAction": "RejectRequest", "disableMergeSlashes": False}
    assert whole["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
    assert CLIENTS["headers"]["withUnderscoresAction"] == "RejectRequest"
    assert whole["common_http_protocol_options"] == {"headers_with_underscores_action": "REJECT_REQUEST"}
    assert CLIENTS["headers"]["xForwardedClientCert"]["mode"].upper() == whole["forward_client_cert_details"]
    (rule,) = ROUTE["spec"]["rules"]
    (removed,) = [one["requestHeaderModifier"]["remove"] for one in rule["filters"]]
    assert removed == OURS["route_config"]["request_headers_to_remove"]
    assert CLIENTS["connection"]["bufferLimit"] == "4Mi"
    assert SECURITY["extAuth"]["bodyToExtAuth"]["maxRequestBytes"] == 4 << 20


def test_the_cluster_has_the_room_and_the_health_checks_that_we_print() -> None:
    (made,) = [one for one in OURS["clusters"] if one["name"] == "tidegate"]
    (threshold,) = made["circuit_breakers"]["thresholds"]
    (check,) = made["health_checks"]
    for told in (SECURITY["extAuth"]["grpc"]["backendSettings"], EXTENSION["extProc"][0]["backendSettings"]):
        room = told["circuitBreaker"]
        assert threshold == {
            "max_connections": room["maxConnections"],
            "max_pending_requests": room["maxPendingRequests"],
            "max_requests": room["maxParallelRequests"],
            "max_retries": room["maxParallelRetries"],
        }
        active = told["healthCheck"]["active"]
        assert (active["type"], check["grpc_health_check"]) == ("GRPC", {})
        assert (check["timeout"], check["interval"]) == (active["timeout"], "0.5s")
        assert active["interval"] == "500ms"
        assert check["unhealthy_threshold"] == active["unhealthyThreshold"]
        assert told["healthCheck"]["panicThreshold"] == made["common_lb_config"]["healthy_panic_threshold"]["value"]
        assert told["loadBalancer"]["type"] == "LeastRequest"
        (options,) = made["typed_extension_protocol_options"].values()
        http2 = options["explicit_http_config"]["http2_protocol_options"]
        assert told["http2"] == {
            "initialStreamWindowSize": f"{http2['initial_stream_window_size'] >> 10}Ki",
            "connectionKeepalive": http2["connection_keepalive"],
        }
        assert (told["timeout"]["tcp"]["connectTimeout"], made["connect_timeout"]) == ("250ms", "0.25s")


def test_the_route_is_the_endpoint_of_the_sample_policy() -> None:
    (rule,) = ROUTE["spec"]["rules"]
    policy = yaml.safe_load((BASE / "policy.yaml").read_text())["endpoints"][ROUTE["metadata"]["name"]]["match"]
    assert ROUTE["spec"]["hostnames"] == policy["hosts"]
    assert [(one["path"]["value"], one["method"]) for one in rule["matches"]] == [(policy["path"], "POST")]


def assembled(made: dict[str, Document]) -> Document:
    whole = printed()
    door = manager(whole)
    router = filter_of(door["http_filters"], ROUTER)
    built = [document(name, message(name, made[name])) for name in (AUTHZ, PROC)]
    door["http_filters"] = [*built, {"name": ROUTER, "typed_config": router}]
    return whole


def test_envoy_accepts_the_filters_and_no_trap_is_in_them(tmp_path: Path) -> None:
    text = yaml.safe_dump(assembled(patched()), sort_keys=False)
    assert trapped(read(text)) == []
    validate(text, tmp_path)


def test_without_the_patches_there_are_the_traps_that_the_page_names() -> None:
    found = {one.trap.name for one in trapped(read(yaml.safe_dump(assembled(translated()))))}
    assert found == {"one-header", "unpacked-body", "status-on-error"}
    page = (DEPLOY.parents[1] / "docs" / "deploy.md").read_text()
    assert all(f"`{name}`" in page for name in found)
