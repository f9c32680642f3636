"""A sound Envoy configuration, and what can be done to it: for each trap the ways into it that Envoy takes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import yaml
from tidegate.envoy.config import EnvoyConfig

from tests.e2e.stack import manager
from tests.e2e.test_envoy_config import BASE, CHAT, CHECK, PROCESS

Document = dict[str, Any]
Damage = Callable[[Document], object]
SOUND: Document = yaml.safe_load(EnvoyConfig(**BASE | {"endpoints": (CHAT,)}).render())


def authz(document: Document) -> Document:
    return next(f["typed_config"] for f in manager(document)["http_filters"] if f["name"] == CHECK)


def proc(document: Document) -> Document:
    return next(f["typed_config"] for f in manager(document)["http_filters"] if f["name"] == PROCESS)


def modes(document: Document) -> Document:
    return proc(document)["processing_mode"]


def route(document: Document) -> Document:
    routes = manager(document)["route_config"]["virtual_hosts"][0]["routes"]
    return next(one for one in routes if "route" in one)


def policy(document: Document) -> Document:
    return next(c for c in document["static_resources"]["clusters"] if c["name"] == "tidegate")


def threshold(document: Document) -> Document:
    return policy(document)["circuit_breakers"]["thresholds"][0]


def http2(document: Document) -> Document:
    (options,) = policy(document)["typed_extension_protocol_options"].values()
    return options["explicit_http_config"]["http2_protocol_options"]


def without(filter_: str) -> Damage:
    def drop(document: Document) -> None:
        filters = manager(document)["http_filters"]
        filters[:] = [one for one in filters if one["name"] != filter_]

    return drop


def backwards(document: Document) -> None:
    filters = manager(document)["http_filters"]
    filters[0], filters[1] = filters[1], filters[0]


def off(document: Document) -> None:
    kind = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
    route(document)["typed_per_filter_config"] = {PROCESS: {"@type": kind, "disabled": True}}


def overridden(document: Document) -> None:
    off(document)
    own = route(document)["typed_per_filter_config"][PROCESS]
    del own["disabled"]
    own["overrides"] = {"processing_mode": {"response_header_mode": "SEND", "response_body_mode": "BUFFERED"}}


def alone(document: Document) -> None:
    """The same with nobody but Process to ask."""
    document.clear()
    document.update(yaml.safe_load(EnvoyConfig(**BASE | {"endpoints": (CHAT,), "one_call": True}).render()))


def route_modes(document: Document) -> Document:
    kind = "type.googleapis.com/" + PER_PROC
    own = route(document).setdefault("typed_per_filter_config", {PROCESS: {"@type": kind, "overrides": {}}})[PROCESS]
    return own["overrides"].setdefault("processing_mode", dict(modes(document)))


def unverified(document: Document) -> None:
    validation = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
    kind = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    context = of_kind(kind, common_tls_context={"validation_context": validation})
    policy(document)["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}


def body(mode: str) -> Damage:
    return lambda document: modes(document).update(response_body_mode=mode, response_trailer_mode="SKIP")


def graceful(document: Document) -> None:
    layer = {"envoy.reloadable_features.ext_proc_graceful_grpc_close": True}
    document["layered_runtime"] = {"layers": [{"name": "static", "static_layer": layer}]}


def retry(document: Document) -> None:
    authz(document)["grpc_service"]["retry_policy"]["retry_back_off"] = {"base_interval": "0.01s", "max_interval": "1s"}


def blanket(document: Document) -> None:
    everything = {
        "status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "x"}}}
    }
    manager(document)["local_reply_config"]["mappers"].append({"filter": everything, "status_code": 500})


def of_kind(kind: str, **fields: Any) -> Document:
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def own_filter(document: Document, name: str) -> Document:
    return next(one for one in manager(document)["http_filters"] if one["name"] == name)


def override(filter_: str, kind: str, **fields: Any) -> Damage:
    return lambda document: route(document).update(typed_per_filter_config={filter_: of_kind(kind, **fields)})


def bare(document: Document) -> Document:
    """A chain of filters like the sound one, with nothing but its router."""
    chain = copy.deepcopy(document["static_resources"]["listeners"][0]["filter_chains"][0])
    settings = chain["filters"][0]["typed_config"]
    settings["http_filters"] = settings["http_filters"][-1:]
    return chain


def another_port(document: Document) -> None:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 19_999}}
    listener = {"name": "second", "address": address, "filter_chains": [bare(document)]}
    document["static_resources"]["listeners"].append(listener)


def another_chain(document: Document) -> None:
    chain = bare(document) | {"filter_chain_match": {"source_prefix_ranges": [{"address_prefix": "192.0.2.0"}]}}
    document["static_resources"]["listeners"][0]["filter_chains"].append(chain)


def raw_port(document: Document) -> None:
    another_port(document)
    kind = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    model = route(document)["route"]["cluster"]
    proxy = {"name": "tcp", "typed_config": of_kind(kind, stat_prefix="tcp", cluster=model)}
    document["static_resources"]["listeners"][-1]["filter_chains"] = [{"filters": [proxy]}]


def inserted(place: int, name: str, config: Document) -> Damage:
    return lambda document: manager(document)["http_filters"].insert(place, {"name": name, "typed_config": config})


def websockets(document: Document) -> None:
    router = manager(document)["http_filters"][-1]
    manager(document)["upgrade_configs"] = [{"upgrade_type": "websocket", "filters": [router]}]


def nested_runtime(document: Document) -> None:
    layer = {"envoy.reloadable_features": {"ext_proc_graceful_grpc_close": True}}
    document["layered_runtime"] = {"layers": [{"name": "static", "static_layer": layer}]}


PER_PROC = "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
PER_AUTHZ = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
ANY = "envoy.config.route.v3.FilterConfig"
NOBODY = {"default_value": {"numerator": 0, "denominator": "HUNDRED"}}
MARKED = {"filter": "made.up", "path": [{"key": "ask"}], "value": {"bool_match": True}}
CACHE = of_kind(
    "envoy.extensions.filters.http.cache.v3.CacheConfig",
    typed_config=of_kind("envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig"),
)
GZIP = of_kind(
    "envoy.extensions.filters.http.compressor.v3.Compressor",
    compressor_library={
        "name": "gzip",
        "typed_config": of_kind("envoy.extensions.compression.gzip.compressor.v3.Gzip"),
    },
)
TCP_CHECK = {
    "timeout": "1s",
    "interval": "1s",
    "unhealthy_threshold": 1,
    "healthy_threshold": 1,
    "tcp_health_check": {},
}

DAMAGE: dict[str, list[Damage]] = {
    "missing-filter": [without(CHECK), without(PROCESS)],
    "undecided": [
        lambda d: (alone(d), modes(d).update(request_header_mode="SKIP")),
        lambda d: (alone(d), route_modes(d).update(request_header_mode="SKIP")),
    ],
    "trailers-for-a-body": [
        lambda d: (alone(d), modes(d).update(request_trailer_mode="SKIP")),
        lambda d: (alone(d), modes(d).pop("request_trailer_mode")),
        lambda d: (alone(d), route_modes(d).update(request_trailer_mode="SKIP")),
    ],
    "mutation-rules": [lambda d: (alone(d), proc(d).update(mutation_rules={"disallow_all": True}))],
    "filter-order": [backwards],
    "fail-open": [
        lambda d: authz(d).update(failure_mode_allow=True),
        lambda d: proc(d).update(failure_mode_allow=True),
        override(PROCESS, PER_PROC, overrides={"failure_mode_allow": True}),
    ],
    "filter-off": [
        off,
        override(PROCESS, ANY, disabled=True),
        override(CHECK, ANY, disabled=True),
        lambda d: own_filter(d, CHECK).update(disabled=True),
        lambda d: own_filter(d, PROCESS).update(disabled=True),
    ],
    "sampled": [
        lambda d: authz(d).update(filter_enabled=NOBODY),
        lambda d: authz(d).update(filter_enabled_metadata=MARKED),
    ],
    "around": [another_port, another_chain, raw_port],
    "upgrade-around": [websockets],
    "cached": [inserted(0, "cache", CACHE), inserted(1, "cache", CACHE)],
    "observed": [lambda d: proc(d).update(observability_mode=True)],
    "mode-override": [lambda d: proc(d).update(allow_mode_override=True)],
    "no-response-mode": [body("NONE")],
    "buffered-partial": [body("BUFFERED_PARTIAL")],
    "streamed": [body("STREAMED")],
    "one-header": [lambda d: authz(d).pop("encode_raw_headers")],
    "unshown-headers": [
        lambda d: authz(d).update(allowed_headers={"patterns": [{"exact": "authorization"}]}),
        lambda d: authz(d).update(disallowed_headers={"patterns": [{"exact": "x-original-url"}]}),
        lambda d: (alone(d), proc(d).update(forward_rules={"disallowed_headers": {"patterns": [{"exact": "range"}]}})),
    ],
    "partial-body": [
        lambda d: authz(d)["with_request_body"].update(allow_partial_message=True),
        override(
            CHECK,
            PER_AUTHZ,
            check_settings={
                "with_request_body": {"max_request_bytes": 9, "allow_partial_message": True, "pack_as_bytes": True}
            },
        ),
    ],
    "unpacked-body": [lambda d: authz(d)["with_request_body"].pop("pack_as_bytes")],
    "normalize-path": [lambda d: manager(d).pop("normalize_path")],
    "merge-slashes": [lambda d: manager(d).pop("merge_slashes")],
    "escaped-slashes": [lambda d: manager(d).update(path_with_escaped_slashes_action="UNESCAPE_AND_FORWARD")],
    "underscores": [lambda d: manager(d).pop("common_http_protocol_options")],
    "client-address": [lambda d: manager(d).pop("use_remote_address")],
    "trailing-dot": [lambda d: manager(d).pop("strip_trailing_host_dot")],
    "client-certificate": [lambda d: manager(d).update(forward_client_cert_details="ALWAYS_FORWARD_ONLY")],
    "untrusted-certificate": [unverified],
    "request-id": [lambda d: manager(d).update(preserve_external_request_id=True)],
    "no-refusals": [lambda d: proc(d).update(disable_immediate_response=True)],
    "buffered": [body("BUFFERED"), overridden, lambda d: modes(d).update(response_body_mode=2)],
    "request-in-pieces": [
        lambda d: modes(d).update(request_header_mode="SEND", request_body_mode="STREAMED"),
        lambda d: (alone(d), modes(d).update(request_body_mode="BUFFERED_PARTIAL")),
        lambda d: (alone(d), modes(d).update(request_body_mode=4)),
    ],
    "no-decision": [lambda d: proc(d).pop("metadata_options")],
    "no-code-details": [lambda d: proc(d).update(response_attributes=["request.id"])],
    "compressed-answers": [
        lambda d: manager(d)["route_config"].update(request_headers_to_remove=["range"]),
        inserted(2, "gzip", GZIP),
    ],
    "double-wrapped": [blanket],
    "check-timeout": [
        lambda d: authz(d)["grpc_service"].pop("timeout"),
        lambda d: authz(d)["grpc_service"].update(timeout="0.2s"),
    ],
    "decision-timeout": [lambda d: (alone(d), proc(d).update(message_timeout="0.9s"))],
    "message-timeout": [lambda d: proc(d).pop("message_timeout"), lambda d: proc(d).update(message_timeout="0s")],
    "status-on-error": [
        lambda d: authz(d).pop("status_on_error"),
        lambda d: proc(d).pop("status_on_error"),
        lambda d: authz(d).update(status_on_error={"code": "OK"}),
    ],
    "slow-requests": [lambda d: (alone(d), without("envoy.filters.http.buffer")(d))],
    "retry-back-off": [retry],
    "graceful-grpc-close": [graceful, nested_runtime],
    "few-requests": [lambda d: threshold(d).pop("max_requests"), lambda d: threshold(d).update(max_requests=100)],
    "few-retries": [lambda d: threshold(d).pop("max_retries")],
    "no-health-check": [
        lambda d: policy(d).pop("health_checks"),
        lambda d: policy(d).update(health_checks=[TCP_CHECK]),
    ],
    "no-keepalive": [
        lambda d: http2(d).pop("connection_keepalive"),
        lambda d: http2(d)["connection_keepalive"].pop("interval"),
    ],
    "wide-window": [
        lambda d: http2(d).pop("initial_stream_window_size"),
        lambda d: http2(d).update(initial_stream_window_size=16 << 20),
    ],
    "no-longest-stream": [
        lambda d: route(d)["route"].pop("max_stream_duration"),
        lambda d: route(d)["route"].update(max_stream_duration={"max_stream_duration": "0s"}),
    ],
}
REFUSED = {"trailer-mode": lambda d: modes(d).pop("response_trailer_mode")}
