"""Which parts of a configuration the traps are about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.envoy.traps.reading import Part


@dataclass(frozen=True, slots=True)
class Route:
    """A route to a cluster, with what stands `above` it, and the parts that bound how long it may take."""

    part: Part
    above: tuple[Part, ...]
    bounds: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """`authz` and `procs` are the filters' settings, `modes` all processing modes, `clusters` those of the filters."""

    root: Part
    managers: tuple[Part, ...]
    chains: tuple[tuple[Part, ...], ...]
    authz: tuple[Part, ...]
    procs: tuple[Part, ...]
    modes: tuple[Part, ...]
    overrides: tuple[Part, ...]
    clusters: tuple[Part, ...]
    routes: tuple[Route, ...]

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
    answered = [part.path for part in everything if part.at("direct_response") or part.at("redirect")]
    overrides = tuple(
        part
        for part in everything
        if (_typed(part, "ExtAuthzPerRoute") or _typed(part, "ExtProcPerRoute"))
        and not any(part.path[: len(path)] == path for path in answered)  # nothing stands behind those routes
    )
    modes = [part.at("processing_mode") or part for part in procs]
    modes += [mode for part in overrides if (mode := part.at("overrides", "processing_mode")) is not None]
    longest = tuple(one for part in managers if (one := part.at("common_http_protocol_options")) is not None)
    named = {part.text("grpc_service", "envoy_grpc", "cluster_name") for part in (*authz, *procs)}
    clusters = tuple(
        part for part in everything if part.text("name") in named and part.at("load_assignment") is not None
    )
    chains = tuple(tuple(manager.items("http_filters")) for manager in managers)
    return Parts(
        root, managers, chains, authz, procs, tuple(modes), overrides, clusters, tuple(_routes(everything, longest))
    )


def _typed(part: Part, kind: str) -> bool:
    return part.text("@type").rpartition(".")[2] == kind


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
