"""Which parts of a configuration the traps are about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tidegate.envoy.traps.reading import Part

GUARDS: Final = frozenset({"ExtAuthz", "ExternalProcessor"})
"""The messages that configure the two filters."""
ASKING: Final = "source.address"
"""The attribute by whose presence Process knows that it has to decide."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route to a cluster, with what stands `above` it, and the parts that bound how long it may take."""

    part: Part
    above: tuple[Part, ...]
    bounds: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """`authz` and `procs` are the settings of the filters in `guards`, `modes` all processing modes.

    `deciding` are the `procs` that decide, where no ext_authz does. `clusters` are those that the filters ask, `around`
    what leads to a model of theirs past what guards it.
    """

    root: Part
    managers: tuple[Part, ...]
    chains: tuple[tuple[Part, ...], ...]
    authz: tuple[Part, ...]
    procs: tuple[Part, ...]
    deciding: tuple[Part, ...]
    modes: tuple[Part, ...]
    guards: tuple[Part, ...]
    overrides: tuple[Part, ...]
    clusters: tuple[Part, ...]
    routes: tuple[Route, ...]
    around: tuple[Part, ...]

    @staticmethod
    def kind(part: Part) -> str:
        """The message that a filter, or anything typed, is configured with; "" for what is not."""
        typed = part.at("typed_config") or part
        return typed.text("@type").rpartition(".")[2]


def parts_of(root: Part) -> Parts:
    """Finds them wherever they stand: in a bootstrap, a listener, or a list of filters."""
    everything = list(root.within())
    managers = tuple(part for part in everything if part.at("http_filters") is not None)
    authz = tuple(part for part in everything if _typed(part, "ExtAuthz"))
    procs = tuple(part for part in everything if _typed(part, "ExternalProcessor"))
    deciding = tuple(part for part in procs if _decides(part))
    chains = tuple(tuple(manager.items("http_filters")) for manager in managers)
    guards = tuple(one for chain in chains for one in chain if Parts.kind(one) in GUARDS)
    names = {part.text("name") for part in guards}
    answered = [part.path for part in everything if part.at("direct_response") or part.at("redirect")]
    overrides = tuple(
        part
        for part in everything
        if (_typed(part, "ExtAuthzPerRoute") or _typed(part, "ExtProcPerRoute") or _is_of(part, names))
        and not any(part.path[: len(path)] == path for path in answered)  # nothing stands behind those routes
    )
    modes = [part.at("processing_mode") or part for part in procs]
    modes += [mode for part in overrides if (mode := part.at("overrides", "processing_mode")) is not None]
    longest = tuple(one for part in managers if (one := part.at("common_http_protocol_options")) is not None)
    asked = [*authz, *procs, *(own for part in overrides if (own := part.at("overrides")) is not None)]
    named = {part.text("grpc_service", "envoy_grpc", "cluster_name") for part in asked} - {""}
    clusters = tuple(
        part for part in everything if part.text("name") in named and part.at("load_assignment") is not None
    )
    routes = tuple(_routes(everything, longest))
    around = tuple(_around(everything, managers))
    return Parts(
        root, managers, chains, authz, procs, deciding, tuple(modes), guards, overrides, clusters, routes, around
    )


def are_guards(filters: list[Part]) -> bool:
    """Whether somebody decides among these filters, and somebody reads the answers."""
    kinds = {Parts.kind(one) for one in filters}
    return kinds >= GUARDS or any(_decides(one.at("typed_config")) for one in filters)


def _decides(proc: Part | None) -> bool:
    return proc is not None and ASKING in [str(item.value) for item in proc.items("request_attributes")]


def _typed(part: Part, kind: str) -> bool:
    return part.text("@type").rpartition(".")[2] == kind


def _is_of(part: Part, names: set[str]) -> bool:
    """Whether it is the general override of one of these filters, by which a route can turn off any."""
    return _typed(part, "FilterConfig") and str(part.path[-1]) in names


def _around(everything: list[Part], managers: tuple[Part, ...]) -> Iterator[Part]:
    guarded = [part for part in managers if are_guards(part.items("http_filters"))]
    models = {cluster for part in guarded for route in _actions(part) for cluster in _targets(route)}
    for manager in managers:
        if manager not in guarded:
            yield from (route for route in _actions(manager) if models.intersection(_targets(route)))
    yield from (part for part in everything if _typed(part, "TcpProxy") and models.intersection(_targets(part)))


def _actions(manager: Part) -> Iterator[Part]:
    return (part for part in manager.within() if part.path[-1:] == ("route",))


def _targets(route: Part) -> set[str]:
    weighted = {one.text("name") for one in route.items("weighted_clusters", "clusters")}
    return (weighted | {route.text("cluster")}) - {""}


def _routes(everything: list[Part], bounds: tuple[Part, ...]) -> Iterator[Route]:
    for config in everything:
        for host in config.items("virtual_hosts"):
            for route in host.items("routes"):
                action = route.at("route")
                if action is not None and not _open(route):
                    yield Route(route, (config, host, route), (action, *bounds))


def _open(route: Part) -> bool:
    """Whether the policy is off here anyway, which is a trap of its own."""
    overrides = route.at("typed_per_filter_config")
    return overrides is not None and any(part.true("disabled") for part in overrides.within())
