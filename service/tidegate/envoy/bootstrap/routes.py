"""Which model answers which path: a route for each endpoint of the policy, and one for everything else.

The order of the routes is `tidegate.policy.routes`' order of matches, so that Envoy sends a request to the model of the
endpoint that tidegate decided on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate.envoy.bootstrap.address import Address, Json, seconds
from tidegate.envoy.bootstrap.filters import as_it_comes, with_request, without_request_body
from tidegate.envoy.bootstrap.local_reply import OPENAI_ROUTE
from tidegate.policy.compiled import Endpoint
from tidegate.policy.routes import ANY_HOST, REST, is_template, segments, shape, variable

UNSCANNABLE: Final = ("accept-encoding", "range", "if-range")
"""Request headers not passed on: compression would be undone here anyway, and a byte range can cut a value in two."""

_DEFAULT_CLUSTER: Final = "model"
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~/-]*")  # what Envoy's path normalisation leaves no escapes of

_TUNNEL: Final[Json] = {
    "name": "tunnel",
    "match": {"connect_matcher": {}},
    "direct_response": {"status": 404},
    "typed_per_filter_config": as_it_comes(),  # what CONNECT opens has no end that could be waited for
}


@dataclass(frozen=True, slots=True)
class Routes:
    """The endpoints, and where each one's model is.

    `default` takes the endpoints that `upstreams` does not name, and what is no endpoint (tidegate refuses it).
    Without it every endpoint must be named, and anything else has no route. `priced` names the endpoints whose limits
    are priced by the request body, `settled` those where Process has to know of the request, `asking` those of them
    where it may have to ask for usage in the request's body. With `one_call` it is Process that decides, and is given
    what the decision has to read.
    """

    endpoints: tuple[Endpoint, ...]
    upstreams: Mapping[str, Address]
    default: Address | None
    idle_timeout: float
    max_stream: float
    priced: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()
    asking: frozenset[str] = frozenset()
    one_call: bool = False

    def __post_init__(self) -> None:
        names = {endpoint.name for endpoint in self.endpoints}
        if unknown := sorted(self.upstreams.keys() - names):
            raise ValueError(f"the policy has no endpoint named {', '.join(unknown)}")
        if not self.default and (without := sorted(names - self.upstreams.keys())):
            raise ValueError(f"no upstream for endpoint {', '.join(without)}, and no default upstream")

    @property
    def read_bodies(self) -> bool:
        """Whether whoever decides has to be given the request body for any endpoint."""
        return any(self._decided_by_body(endpoint) for endpoint in self.endpoints)

    def clusters(self) -> dict[str, Address]:
        """Cluster name → address of the model."""
        named = {_cluster_of(name): address for name, address in self.upstreams.items()}
        return named | ({_DEFAULT_CLUSTER: self.default} if self.default else {})

    def render(self) -> Json:
        """As a RouteConfiguration."""
        named = sorted({host for endpoint in self.endpoints for host in endpoint.hosts} - {ANY_HOST})
        hosts = [{"name": host, "domains": [host], "routes": self._for_host(host)} for host in (*named, ANY_HOST)]
        return {
            "name": "models",
            "request_headers_to_remove": list(UNSCANNABLE),
            "ignore_port_in_host_matching": True,
            "virtual_hosts": hosts,
        }

    def filters_of(self, endpoint: Endpoint) -> Json:
        """What the filters do otherwise on an endpoint's route (`typed_per_filter_config`)."""
        filters: Json = {}
        if self.read_bodies and not self._decided_by_body(endpoint):
            if self.one_call:
                return with_request(body=False) | as_it_comes()
            filters |= without_request_body()
        if endpoint.name in self.settled and not self.one_call:
            filters |= with_request(body=endpoint.name in self.asking)
        return filters

    def tunnels(self) -> list[Json]:
        """What comes before every other route, where whole requests are waited for."""
        return [_TUNNEL] if self.one_call and self.read_bodies else []

    def _decided_by_body(self, endpoint: Endpoint) -> bool:
        reads = endpoint.request_body or endpoint.name in self.priced
        return reads or (self.one_call and endpoint.name in self.asking)

    def _for_host(self, host: str) -> Sequence[Json]:
        own = [endpoint for endpoint in self.endpoints if host in endpoint.hosts]
        taken = {shape(endpoint.path) for endpoint in own}
        shared = [e for e in self.endpoints if e not in own and ANY_HOST in e.hosts and shape(e.path) not in taken]
        routes = [self._for_endpoint(endpoint) for endpoint in sorted(own + shared, key=_specificity)]
        routes[:0] = self.tunnels()
        if self.default:
            routes.append(self._route("other", {"prefix": "/"}, _DEFAULT_CLUSTER))
        return routes

    def _for_endpoint(self, endpoint: Endpoint) -> Json:
        cluster = _cluster_of(endpoint.name) if endpoint.name in self.upstreams else _DEFAULT_CLUSTER
        name = OPENAI_ROUTE + endpoint.name if endpoint.errors == "openai" else endpoint.name
        match = _path_match(endpoint.path)
        if sum(shape(other.path) == shape(endpoint.path) for other in self.endpoints) > 1:
            methods = "|".join(sorted(map(re.escape, endpoint.methods)))
            match["headers"] = [{"name": ":method", "string_match": {"safe_regex": {"regex": methods}}}]
        route = self._route(name, match, cluster)
        filters = self.filters_of(endpoint)
        return route | ({"typed_per_filter_config": filters} if filters else {})

    def _route(self, name: str, match: Json, cluster: str) -> Json:
        action = {
            "cluster": cluster,
            # Models think long: silence ends a stream, and in the end its age.
            "timeout": "0s",
            "idle_timeout": seconds(self.idle_timeout),
            "max_stream_duration": {"max_stream_duration": seconds(self.max_stream)},
        }
        return {"name": name, "match": match, "route": action}


def _cluster_of(endpoint: str) -> str:
    return f"{_DEFAULT_CLUSTER}_{endpoint}"


def _specificity(endpoint: Endpoint) -> tuple[int, ...]:
    return tuple([2 if part == REST else 1 if variable(part) else 0 for part in segments(endpoint.path)])


def _path_match(path: str) -> Json:
    if not is_template(path) and _UNRESERVED.fullmatch(path):
        return {"path": path}
    parts = [".*" if part == REST else "[^/]+" if variable(part) else _literal(part) for part in segments(path)]
    return {"safe_regex": {"regex": "/" + "/".join(parts)}}


def _literal(segment: str) -> str:
    """A segment as it may arrive: tidegate decodes a path, Envoy matches it with the escapes that clients sent."""
    return "".join([re.escape(char) if _UNRESERVED.fullmatch(char) else _spellings(char) for char in segment])


def _spellings(char: str) -> str:
    escaped = "(?i:" + "".join([f"%{byte:02x}" for byte in char.encode()]) + ")"
    return f"(?:{re.escape(char)}|{escaped})" if char.isascii() else escaped
