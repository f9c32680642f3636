"""The filters that ask tidegate: ext_authz on the way in and ext_proc on the way out, or ext_proc on both."""

from __future__ import annotations

from typing import Final

from tidegate.envoy.bootstrap.address import TYPE, Json, seconds

POLICY_CLUSTER: Final = "tidegate"
_AUTHZ: Final = "envoy.filters.http.ext_authz"
_PROC: Final = "envoy.filters.http.ext_proc"
_BUFFER: Final = "envoy.filters.http.buffer"
_FILTERS: Final = f"{TYPE}extensions.filters.http."


def ext_authz(*, timeout: float, max_request_bytes: int) -> Json:
    """Check: every failure closes, with 503 and not the default 403. 0 bytes: the request body is not read."""
    config: Json = {
        "@type": f"{_FILTERS}ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "validate_mutations": True,
        "encode_raw_headers": True,  # repeated headers stay visible as such
        "include_peer_certificate": True,  # of clients that have one: tokens may be bound to it
        "grpc_service": _grpc_service() | {"timeout": seconds(timeout)},
    }
    if max_request_bytes:
        # Over the limit Envoy answers 413. A partial body could be authorised for a model that it does not name.
        config["with_request_body"] = {
            "max_request_bytes": max_request_bytes,
            "allow_partial_message": False,
            "pack_as_bytes": True,
        }
    return {"name": _AUTHZ, "typed_config": config}


def ext_proc(*, message_timeout: float, decides: bool, body: bool = False) -> Json:
    """Process: the mode stands here and is never overridden by a message, because an override leaks or hangs.

    It `decides` where no ext_authz stands before it: who is connected is then told with the request's headers, and with
    `body` all of the request comes before anything goes on, trailers that have no body before them, too.
    """
    metadata = {"receiving_namespaces": {"untyped": ["tidegate"]}}
    config: Json = {
        "@type": f"{_FILTERS}ext_proc.v3.ExternalProcessor",
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "message_timeout": seconds(message_timeout),
        "processing_mode": _mode(request=decides, body=body, trailers=body),
        "response_attributes": ["response.code_details", "request.id"],
        "metadata_options": metadata,
        "grpc_service": _grpc_service(),
    }
    if decides:
        config["request_attributes"] = ["source.address", "request.id"]
    else:
        config["metadata_options"] = {"forwarding_namespaces": {"untyped": [_AUTHZ]}, **metadata}
    return {"name": _PROC, "typed_config": config}


def whole_request(*, max_request_bytes: int) -> Json:
    """Before a Process that decides: who sends a body slowly keeps Envoy waiting, and no stream of a worker's."""
    config = {"@type": f"{_FILTERS}buffer.v3.Buffer", "max_request_bytes": max_request_bytes}
    return {"name": _BUFFER, "typed_config": config}


def as_it_comes() -> Json:
    """Per-route part: nobody waits for the body of a request here."""
    return {_BUFFER: {"@type": f"{_FILTERS}buffer.v3.BufferPerRoute", "disabled": True}}


def router() -> Json:
    """The last filter. Envoy's own response headers (x-envoy-*) tell a caller about the inside: suppressed."""
    config = {"@type": f"{_FILTERS}router.v3.Router", "suppress_envoy_headers": True}
    return {"name": "envoy.filters.http.router", "typed_config": config}


def without_request_body() -> Json:
    """Per-route part: this endpoint's decision does not need the body, so it is neither buffered nor capped."""
    config = {
        "@type": f"{_FILTERS}ext_authz.v3.ExtAuthzPerRoute",
        "check_settings": {"disable_request_body_buffering": True},
    }
    return {_AUTHZ: config}


def with_request(*, body: bool) -> Json:
    """Per-route part: Process is there from the request on, and is given its body too where it may have to read it.

    A whole mode for the route, which replaces the filter's before anything is sent: not an override by a message.
    """
    mode = _mode(request=True, body=body)
    config = {"@type": f"{_FILTERS}ext_proc.v3.ExtProcPerRoute", "overrides": {"processing_mode": mode}}
    return {_PROC: config}


def _mode(*, request: bool, body: bool, trailers: bool = False) -> Json:
    return {
        "request_header_mode": "SEND" if request else "SKIP",
        "request_body_mode": "BUFFERED" if body else "NONE",
        "request_trailer_mode": "SEND" if trailers else "SKIP",
        "response_header_mode": "SEND",
        "response_body_mode": "FULL_DUPLEX_STREAMED",
        "response_trailer_mode": "SEND",  # full duplex needs it; held text goes out before the trailers
    }


def _grpc_service() -> Json:
    # No retry_back_off: its max_interval becomes the timeout of each try (envoy#38847) and ejects healthy workers.
    return {
        "envoy_grpc": {"cluster_name": POLICY_CLUSTER},
        "retry_policy": {"retry_on": "connect-failure,unavailable,reset", "num_retries": 2},
    }
