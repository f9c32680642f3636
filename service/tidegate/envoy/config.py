"""The Envoy configuration that a policy needs, so that nobody copies a trap by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import yaml

from tidegate.envoy.bootstrap.address import TYPE, Address, Json, seconds
from tidegate.envoy.bootstrap.clusters import PolicyTls, model_cluster, policy_cluster
from tidegate.envoy.bootstrap.filters import ext_authz, ext_proc, router, whole_request
from tidegate.envoy.bootstrap.local_reply import local_reply_config
from tidegate.envoy.bootstrap.routes import UNSCANNABLE, Routes
from tidegate.policy.compiled import Endpoint, Policy
from tidegate.usage.costs import needs_body, needs_meter, needs_settling
from tidegate.usage.stream_options import may_take_stream_options

__all__ = ["Address", "EnvoyConfig", "PolicyTls"]

_ACCESS_LOG: Final = (
    "%REQUEST_HEADER(:METHOD)% %PATH(NQ)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DURATION%ms "
    "request=%REQUEST_HEADER(X-REQUEST-ID)% subject=%DYNAMIC_METADATA({decides}:subject)% "
    "outcome=%DYNAMIC_METADATA(tidegate:outcome)% coverage=%DYNAMIC_METADATA(tidegate:coverage)%\n"
)


@dataclass(frozen=True, slots=True)
class EnvoyConfig:
    """Everything an Envoy in front of models needs to know. Times are seconds. Rendering raises ValueError.

    `workers` are the addresses of the policy service, one for each worker: two behind one port would leave one idle.
    `upstreams` maps an endpoint's name to its model; `default_upstream` takes every other request.
    `max_request_bytes` is how long a request body may be that a decision has to read; `priced` names the endpoints
    where it has to because a limit is priced in bytes, tokens or money, `settled` those where Process sees the
    request because a limit holds something until the exchange is over or its answers are held to its references,
    and `asking` those of them where it is given the body, to ask for usage or to read what it refers to.
    `forwarded_certificates` lets X-Forwarded-Client-Cert in, for tidegate to judge.
    With `one_call` Envoy asks nobody but Process, which decides, too; it learns of no client certificate, so a policy
    with `workloads` has no such configuration.
    """

    listen: Address
    workers: tuple[Address, ...]
    endpoints: tuple[Endpoint, ...] = ()
    priced: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()
    asking: frozenset[str] = frozenset()
    default_upstream: Address | None = None
    upstreams: Mapping[str, Address] = field(default_factory=lambda: MappingProxyType({}))
    admin: Address | None = None
    tls: PolicyTls | None = None
    max_request_bytes: int = 4 * 1024 * 1024
    identity_header_prefix: str = "x-tidegate-"
    trusted_hops: int = 0
    forwarded_certificates: bool = False
    one_call: bool = False
    workloads: bool = False
    check_timeout: float = 2.0
    message_timeout: float = 1.0
    idle_timeout: float = 300.0
    max_stream: float = 3600.0

    def __post_init__(self) -> None:
        if self.one_call and self.workloads:
            raise ValueError("the policy knows workloads by their certificates, which Envoy shows to ext_authz alone")
        for endpoint in self.endpoints:
            if endpoint.capacity is not None and endpoint.capacity.max_wait >= self.check_timeout:
                raise ValueError(
                    f"endpoint {endpoint.name}: max_wait must be less than {self.check_timeout:g}s, the time of a Check"
                )

    @classmethod
    def for_policy(cls, policy: Policy, **settings: Any) -> EnvoyConfig:
        """What the policy decides by itself, and `settings` (fields by name) for the rest."""
        return cls(
            endpoints=policy.endpoints,
            priced=frozenset(endpoint.name for endpoint in policy.endpoints if needs_body(policy, endpoint)),
            settled=frozenset(
                endpoint.name
                for endpoint in policy.endpoints
                if needs_settling(policy, endpoint) or endpoint.name in policy.grounded
            ),
            asking=frozenset(
                endpoint.name
                for endpoint in policy.endpoints
                if _asks(policy, endpoint) or endpoint.name in policy.grounded
            ),
            identity_header_prefix=policy.identity_header_prefix,
            trusted_hops=policy.trusted_hops,
            forwarded_certificates=bool(policy.xfcc_from),
            workloads=bool(policy.workloads),
            **settings,
        )

    def render(self) -> str:
        """A whole bootstrap, as YAML."""
        routes = self._routes()
        manager = {
            "@type": f"{TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            **self._connection_manager(),
            "route_config": routes.render(),
        }
        chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        listener = {
            "name": "edge",
            "address": self.listen.render(),
            "per_connection_buffer_limit_bytes": 1024 * 1024,
            "filter_chains": [chain],
        }
        models = [model_cluster(name, address) for name, address in routes.clusters().items()]
        clusters = [*models, policy_cluster(self.workers, self.tls)]
        admin = {"admin": {"address": self.admin.render()}} if self.admin else {}
        return _dump(admin | {"static_resources": {"listeners": [listener], "clusters": clusters}})

    def render_filters(self) -> str:
        """Only what an Envoy that already exists has to take over, keyed by the message that it belongs in."""
        routes = self._routes()
        filters = {endpoint.name: own for endpoint in self.endpoints if (own := routes.filters_of(endpoint))}
        parts: Json = {
            "http_connection_manager": self._connection_manager(),
            "route_config": {"request_headers_to_remove": list(UNSCANNABLE)},
            "typed_per_filter_config": filters,  # by endpoint, for its route
            "clusters": [policy_cluster(self.workers, self.tls)],
        }
        if tunnels := routes.tunnels():
            parts["routes"] = tunnels  # before all others
        return _dump(parts)

    def _routes(self) -> Routes:
        return Routes(
            self.endpoints,
            self.upstreams,
            self.default_upstream,
            self.idle_timeout,
            self.max_stream,
            self.priced,
            self.settled,
            self.asking,
            self.one_call,
        )

    def _connection_manager(self) -> Json:
        line = _ACCESS_LOG.format(decides="tidegate" if self.one_call else "envoy.filters.http.ext_authz")
        log = {
            "@type": f"{TYPE}extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"text_format_source": {"inline_string": line}},
        }
        return {
            "stat_prefix": "edge",
            # X-Forwarded-Client-Cert: only of a client with a certificate of its own, and only where it is asked for.
            "forward_client_cert_details": "FORWARD_ONLY" if self.forwarded_certificates else "SANITIZE",
            "use_remote_address": True,
            "xff_num_trusted_hops": self.trusted_hops,
            # One reading of a path, for Envoy, tidegate and the model.
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "strip_trailing_host_dot": True,  # "a.example." is a.example to tidegate, and would be no route's domain
            # To a model behind WSGI, x_tidegate_tenant is x-tidegate-tenant.
            "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
            "request_headers_timeout": "10s",
            "stream_idle_timeout": seconds(self.idle_timeout),
            "always_set_request_id_in_response": True,
            "early_header_mutation_extensions": [_strip(self.identity_header_prefix, "x-envoy-")],
            "local_reply_config": local_reply_config(),
            "access_log": [{"name": "envoy.access_loggers.stdout", "typed_config": log}],
            "http_filters": [*self._guards(), router()],
        }

    def _guards(self) -> list[Json]:
        reads = self._routes().read_bodies
        if self.one_call:
            timeout = max(self.check_timeout, self.message_timeout)
            buffer = [whole_request(max_request_bytes=self.max_request_bytes)] if reads else []
            return [*buffer, ext_proc(message_timeout=timeout, decides=True, body=reads)]
        body = self.max_request_bytes if reads else 0
        return [
            ext_authz(timeout=self.check_timeout, max_request_bytes=body),
            ext_proc(message_timeout=self.message_timeout, decides=False),
        ]


def _asks(policy: Policy, endpoint: Endpoint) -> bool:
    return "POST" in endpoint.methods and may_take_stream_options(endpoint.path) and needs_meter(policy, endpoint)


def _strip(*prefixes: str) -> Json:
    """Headers that only this side of the edge may set are gone before anything reads them."""
    config = {
        "@type": f"{TYPE}extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        "mutations": [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in prefixes],
    }
    return {"name": "untrusted", "typed_config": config}


def _dump(document: Json) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=1000)
