"""Whom Envoy talks to: the models, and the workers of the policy service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.envoy.bootstrap.address import TYPE, Address, Json
from tidegate.envoy.bootstrap.filters import POLICY_CLUSTER


@dataclass(frozen=True, slots=True)
class PolicyTls:
    """TLS to the policy service: its CA and DNS name, and our own certificate when it asks for one (file paths)."""

    ca: str
    server_name: str
    certificate: str = ""
    key: str = ""


def model_cluster(name: str, address: Address) -> Json:
    """One model, plain HTTP/1.1."""
    breakers = {"max_connections": 10_000, "max_pending_requests": 10_000, "max_requests": 20_000}
    return _cluster(name, [address]) | {
        "connect_timeout": "1s",
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "circuit_breakers": {"thresholds": [breakers]},
    }


def policy_cluster(workers: Sequence[Address], tls: PolicyTls | None) -> Json:
    """The policy service: each worker on an address of its own, watched by its gRPC health."""
    # The default of 1024 streams refuses the 1025th caller; 3 retries turn a burst of them into 503.
    breakers = {"max_connections": 1000, "max_pending_requests": 10_000, "max_requests": 20_000, "max_retries": 1000}
    # gRPC health, not TCP: a worker that drains says so before it stops, and no request meets a closed door.
    # NOT_SERVING counts at once; the threshold is for silence, so that one long answer does not cost a worker.
    health = {
        "timeout": "1s",
        "interval": "0.5s",  # a draining worker waits three of these, `--health-grace`
        "no_traffic_interval": "0.5s",
        "unhealthy_threshold": 4,
        "healthy_threshold": 1,
        "grpc_health_check": {},
    }
    outliers = {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 1,
        "consecutive_5xx": 0,
        "consecutive_gateway_failure": 0,
        "interval": "0.5s",
        "base_ejection_time": "2s",
        "max_ejection_percent": 50,
    }
    # Full-duplex ext_proc has no timer for its messages: unanswered pings are what ends the streams of a frozen worker.
    # The window is also how much Envoy keeps of a stream that a worker is slow to read, before it stops reading the
    # model: by default 16 MiB, and small events weigh three times what they say.
    http2 = {
        "connection_keepalive": {"interval": "5s", "timeout": "5s"},
        "initial_stream_window_size": 256 * 1024,
    }
    cluster = _cluster(POLICY_CLUSTER, workers) | {
        "connect_timeout": "0.25s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [breakers]},
        "outlier_detection": outliers,
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},  # never try a worker known to be down
        "health_checks": [health],
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": http2},
            }
        },
    }
    if tls:
        cluster["transport_socket"] = _tls(tls)
    return cluster


def _cluster(name: str, addresses: Sequence[Address]) -> Json:
    endpoints = [{"endpoint": {"address": address.render()}} for address in addresses]
    return {
        "name": name,
        "type": "STRICT_DNS" if any(address.is_name for address in addresses) else "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _tls(tls: PolicyTls) -> Json:
    common: Json = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["h2"],
        "validation_context": {
            "trusted_ca": {"filename": tls.ca},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": tls.server_name}}],
        },
    }
    if tls.certificate:
        pair = {"certificate_chain": {"filename": tls.certificate}, "private_key": {"filename": tls.key}}
        common["tls_certificates"] = [pair]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": tls.server_name,
            "common_tls_context": common,
        },
    }
