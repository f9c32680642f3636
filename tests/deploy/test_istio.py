"""Istio's files: valid, and together the configuration that `tidegate envoy-config` prints; Envoy itself accepts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError
from tidegate.envoy.traps import read, trapped

from tests.deploy.istio_kinds import MeshValues
from tests.deploy.manifests import DEPLOY, Document, documents, the
from tests.deploy.mesh_kinds import KINDS
from tests.deploy.printed import AUTHZ, PROC, ROUTER, document, filter_of, manager, message, printed
from tests.e2e.test_envoy_config import validate

ISTIO = DEPLOY / "istio"
FILES = [path for path in sorted(ISTIO.glob("*.yaml")) if path.name != "mesh-config.yaml"]
MESH = documents(ISTIO / "mesh-config.yaml")[0]
PROVIDER = MESH["meshConfig"]["extensionProviders"][0]
SAYS = PROVIDER["envoyExtAuthzGrpc"]
FILTER = the("EnvoyFilter", "tidegate", *FILES)
RULE = the("DestinationRule", "tidegate", *FILES)
SERVICE = the("Service", "tidegate-mesh", *FILES)
HOST = f"{SERVICE['metadata']['name']}.{SERVICE['metadata']['namespace']}.svc.cluster.local"
CLUSTER = f"outbound|9401||{HOST}"
OURS = printed("--filters-only")
LEFT_TO_ISTIO = {"stat_prefix", "xff_num_trusted_hops", "access_log", "http_filters"}
IN_WORDS = {"local_reply_config"}  # docs/deploy.md


def patch(apply_to: str, operation: str = "MERGE") -> Any:
    found = [
        one["patch"]["value"]
        for one in FILTER["spec"]["configPatches"]
        if (one["applyTo"], one["patch"]["operation"]) == (apply_to, operation)
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_document_is_of_a_known_shape(path: Path) -> None:
    (one,) = documents(path)
    if one["kind"] == "Service":
        assert kubernetes_validate.validate(one, "1.37", strict=True)
    else:
        KINDS[one["kind"]].model_validate(one)
        with pytest.raises(ValidationError, match="Extra inputs"):
            KINDS[one["kind"]].model_validate(one | {"spec": one["spec"] | {"colour": "red"}})


def test_the_extension_provider_is_the_one_that_the_policy_names_and_fails_closed() -> None:
    MeshValues.model_validate(MESH)
    policy = the("AuthorizationPolicy", "tidegate", *FILES)
    assert policy["spec"]["provider"]["name"] == PROVIDER["name"]
    assert policy["spec"]["rules"] == [{}]  # no request goes around it
    assert SAYS["failOpen"] is False
    assert SAYS["service"] == f"{SERVICE['metadata']['namespace']}/{HOST}"
    assert RULE["spec"]["host"] == HOST
    workload = policy["spec"]["selector"]["matchLabels"]
    assert FILTER["spec"]["workloadSelector"]["labels"] == workload
    assert FILTER["metadata"]["namespace"] == policy["metadata"]["namespace"]


def test_a_sidecar_needs_a_service_with_an_address() -> None:
    assert "clusterIP" not in SERVICE["spec"]
    assert SERVICE["spec"]["ports"][0]["port"] == SAYS["port"] == 9401


def built_authz() -> Any:
    """What Istio makes of the provider (pilot/pkg/security/authz/builder), with our patch merged into it."""
    body = SAYS["includeRequestBodyInCheck"]
    made: Document = {
        "transport_api_version": "V3",
        "failure_mode_allow": SAYS["failOpen"],
        "status_on_error": {"code": int(SAYS["statusOnError"])},
        "grpc_service": {"envoy_grpc": {"cluster_name": CLUSTER}, "timeout": SAYS["timeout"]},
        "with_request_body": {
            "max_request_bytes": body["maxRequestBytes"],
            "allow_partial_message": body["allowPartialMessage"],
            "pack_as_bytes": body["packAsBytes"],
        },
    }
    built = message(AUTHZ, made)
    built.MergeFrom(message(AUTHZ, patch("HTTP_FILTER")["typed_config"]))
    return built


def ours(name: str) -> Any:
    """What we print, with Istio's name for the cluster."""
    made = message(name, filter_of(OURS["http_connection_manager"]["http_filters"], name))
    made.grpc_service.envoy_grpc.cluster_name = CLUSTER
    return made


def test_ext_authz_is_what_we_print() -> None:
    assert built_authz() == ours(AUTHZ)


def test_ext_proc_is_what_we_print() -> None:
    built = message(PROC, patch("HTTP_FILTER", "INSERT_BEFORE")["typed_config"])
    assert built.grpc_service.envoy_grpc.authority == HOST
    built.grpc_service.envoy_grpc.authority = ""
    assert built == ours(PROC)


def test_requests_are_read_as_we_print() -> None:
    merged = {key: value for key, value in patch("NETWORK_FILTER")["typed_config"].items() if key != "@type"}
    whole = OURS["http_connection_manager"]
    assert merged == {key: value for key, value in whole.items() if key not in LEFT_TO_ISTIO | IN_WORDS}
    assert patch("ROUTE_CONFIGURATION") == OURS["route_config"]


def test_routes_have_the_modes_that_we_print() -> None:
    printed_modes = OURS["typed_per_filter_config"]
    patched = {
        one["match"]["routeConfiguration"]["vhost"]["route"]["name"]: one["patch"]["value"]["typed_per_filter_config"]
        for one in FILTER["spec"]["configPatches"]
        if one["applyTo"] == "HTTP_ROUTE"
    }
    assert patched == printed_modes


def cluster() -> Document:
    """The cluster as the DestinationRule and our patch make it."""
    (made,) = [one for one in OURS["clusters"] if one["name"] == "tidegate"]
    traffic = RULE["spec"]["trafficPolicy"]
    pool, outliers = traffic["connectionPool"], traffic["outlierDetection"]
    return {
        "name": CLUSTER,
        "type": made["type"],
        "load_assignment": made["load_assignment"] | {"cluster_name": CLUSTER},
        "connect_timeout": "0.25s" if pool["tcp"]["connectTimeout"] == "250ms" else "",
        "lb_policy": traffic["loadBalancer"]["simple"],
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": pool["tcp"]["maxConnections"],
                    "max_pending_requests": pool["http"]["http1MaxPendingRequests"],
                    "max_requests": pool["http"]["http2MaxRequests"],
                    "max_retries": pool["http"]["maxRetries"],
                }
            ]
        },
        "outlier_detection": {
            "split_external_local_origin_errors": outliers["splitExternalLocalOriginErrors"],
            "consecutive_local_origin_failure": outliers["consecutiveLocalOriginFailures"],
            "consecutive_5xx": outliers["consecutive5xxErrors"],
            "consecutive_gateway_failure": outliers["consecutiveGatewayErrors"],
            "interval": "0.5s" if outliers["interval"] == "500ms" else "",
            "base_ejection_time": outliers["baseEjectionTime"],
            "max_ejection_percent": outliers["maxEjectionPercent"],
        },
        **patch("CLUSTER"),
    }


def test_the_cluster_is_what_we_print() -> None:
    (made,) = [one for one in OURS["clusters"] if one["name"] == "tidegate"]
    assert cluster() == made | {
        "name": CLUSTER,
        "load_assignment": made["load_assignment"] | {"cluster_name": CLUSTER},
    }


def assembled() -> Document:
    whole = printed()
    door = manager(whole)
    router = filter_of(door["http_filters"], ROUTER)
    process = patch("HTTP_FILTER", "INSERT_BEFORE")
    door["http_filters"] = [document(AUTHZ, built_authz()), process, {"name": ROUTER, "typed_config": router}]
    door.update({key: value for key, value in patch("NETWORK_FILTER")["typed_config"].items() if key != "@type"})
    clusters = whole["static_resources"]["clusters"]
    clusters[:] = [cluster() if one["name"] == "tidegate" else one for one in clusters]
    return whole


def test_envoy_accepts_all_of_it_and_no_trap_is_in_it(tmp_path: Path) -> None:
    text = yaml.safe_dump(assembled(), sort_keys=False)
    assert trapped(read(text)) == []
    validate(text, tmp_path)


def test_the_traps_would_be_seen() -> None:
    whole = assembled()
    manager(whole)["http_filters"][0]["typed_config"].pop("encode_raw_headers")
    assert [one.trap.name for one in trapped(read(yaml.safe_dump(whole)))] == ["one-header"]
