"""What believes what a client says."""

from __future__ import annotations

from typing import Final

from tidegate.envoy.traps.finders import bodies, flag, unless, unshown
from tidegate.envoy.traps.trap import Trap

TRUSTS: Final = (
    Trap(
        "one-header",
        "trusts",
        "a credential that comes twice is seen joined, as one",
        "set encode_raw_headers: true",
        lambda parts: unless(parts.authz, "encode_raw_headers"),
    ),
    Trap(
        "unshown-headers",
        "trusts",
        "the policy neither judges nor removes a header that it is not shown, and models read it",
        "leave allowed_headers, disallowed_headers and forward_rules out",
        unshown,
    ),
    Trap(
        "partial-body",
        "trusts",
        "decisions would be about the beginning of a body only",
        "set allow_partial_message: false",
        lambda parts: flag(bodies(parts), "allow_partial_message"),
    ),
    Trap(
        "unpacked-body",
        "trusts",
        "bytes that are no UTF-8 become '!', so that policy and model read different bodies",
        "set pack_as_bytes: true",
        lambda parts: unless(bodies(parts), "pack_as_bytes"),
    ),
    Trap(
        "normalize-path",
        "trusts",
        "/a/../b reaches policy and model as it is written",
        "set normalize_path: true",
        lambda parts: unless(parts.managers, "normalize_path"),
    ),
    Trap(
        "merge-slashes",
        "trusts",
        "//admin and /admin are two paths for the policy and one for many models",
        "set merge_slashes: true",
        lambda parts: unless(parts.managers, "merge_slashes"),
    ),
    Trap(
        "escaped-slashes",
        "trusts",
        "%2f and %5c can hide a path from the policy",
        "set path_with_escaped_slashes_action: REJECT_REQUEST",
        lambda parts: (
            one for one in parts.managers if one.text("path_with_escaped_slashes_action") != "REJECT_REQUEST"
        ),
    ),
    Trap(
        "underscores",
        "trusts",
        "x_tidegate_tenant is read as x-tidegate-tenant by many servers",
        "set common_http_protocol_options.headers_with_underscores_action: REJECT_REQUEST",
        lambda parts: (
            one
            for one in parts.managers
            if one.text("common_http_protocol_options", "headers_with_underscores_action")
            not in ("REJECT_REQUEST", "DROP_HEADER")
        ),
    ),
    Trap(
        "client-address",
        "trusts",
        "the client's address is what X-Forwarded-For says",
        "set use_remote_address: true",
        lambda parts: unless(parts.managers, "use_remote_address"),
    ),
    Trap(
        "trailing-dot",
        "trusts",
        "Envoy and the policy may choose different endpoints for 'host.'",
        "set strip_trailing_host_dot: true",
        lambda parts: unless(parts.managers, "strip_trailing_host_dot"),
    ),
    Trap(
        "client-certificate",
        "trusts",
        "any client can name a workload in X-Forwarded-Client-Cert",
        "leave forward_client_cert_details out, or set FORWARD_ONLY where a proxy in front proves who it is",
        lambda parts: (
            one.at("forward_client_cert_details")
            for one in parts.managers
            if one.text("forward_client_cert_details") in ("ALWAYS_FORWARD_ONLY", "4")
        ),
    ),
    Trap(
        "untrusted-certificate",
        "trusts",
        "a certificate that anybody made is taken for that of the workload, or the service, which it names",
        "leave trust_chain_verification out",
        lambda parts: (
            one.at("trust_chain_verification")
            for one in parts.root.within()
            if one.text("trust_chain_verification") in ("ACCEPT_UNTRUSTED", "1")
        ),
    ),
    Trap(
        "request-id",
        "trusts",
        "clients choose the id by which logs and audit records are found",
        "leave preserve_external_request_id out",
        lambda parts: flag(parts.managers, "preserve_external_request_id"),
    ),
)
"""The worst first."""
