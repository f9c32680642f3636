"""How the parts are found that show a trap, or that lack what would avoid it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tidegate.envoy.traps.parts import Parts
from tidegate.envoy.traps.reading import Part

_WIDEST: Final = 1 << 20


def flag(listed: Iterable[Part], *names: str) -> Iterator[Part | None]:
    """The flags under these names that are set."""
    return (part.at(*names) for part in listed if part.true(*names))


def unless(listed: Iterable[Part], *names: str) -> Iterator[Part]:
    """The parts whose flag under these names is not set."""
    return (part for part in listed if not part.true(*names))


def lacking(listed: Iterable[Part], *names: str) -> Iterator[Part]:
    """The parts that have nothing under these names."""
    return (part for part in listed if part.at(*names) is None)


def body_mode(mode: str) -> Callable[[Parts], Iterator[Part | None]]:
    """The response body modes that are this one."""
    return lambda parts: (one.at("response_body_mode") for one in parts.modes if one.text("response_body_mode") == mode)


def no_response_mode(parts: Parts) -> Iterator[Part]:
    """Modes by which answers are not shown."""
    return (one for one in parts.modes if one.text("response_body_mode") in ("", "NONE"))


def trailers(parts: Parts) -> Iterator[Part]:
    """Modes that lack the trailers they need."""
    fully = (one for one in parts.modes if one.text("response_body_mode") == "FULL_DUPLEX_STREAMED")
    return (one for one in fully if one.text("response_trailer_mode") != "SEND")


def unasked(listed: Iterable[Part], wanted: str, *names: str) -> Iterator[Part]:
    """The parts whose list under these names lacks `wanted`."""
    return (part for part in listed if wanted not in [str(item.value) for item in part.items(*names)])


def out_of_order(parts: Parts) -> Iterator[Part]:
    """An ext_proc before its ext_authz."""
    for chain in parts.chains:
        kinds = [Parts.kind(one) for one in chain]
        if "ExtAuthz" in kinds and "ExternalProcessor" in kinds[: kinds.index("ExtAuthz")]:
            yield chain[kinds.index("ExternalProcessor")]


def missing(parts: Parts) -> Iterator[Part]:
    """The file, where a filter is nowhere in it."""
    if not parts.authz:
        yield parts.root
    if not parts.procs:
        yield parts.root


def breaker(parts: Parts, name: str, least: int) -> Iterator[Part]:
    """Clusters, or their thresholds, that allow fewer than `least`."""
    for cluster in parts.clusters:
        thresholds = cluster.items("circuit_breakers", "thresholds")
        given = [one for one in thresholds if one.text("priority") in ("", "DEFAULT")]
        if not given or not given[0].text(name).isdigit() or int(given[0].text(name)) < least:
            yield given[0] if given else cluster


def wide_windows(parts: Parts) -> Iterator[Part]:
    """Clusters that keep more than 1 MiB of a stream, as they do by default."""
    for cluster in parts.clusters:
        told = [one for one in cluster.within() if one.path[-1:] == ("initial_stream_window_size",)]
        if not told:
            yield cluster
        yield from (one for one in told if not str(one.value).isdigit() or int(str(one.value)) > _WIDEST)


def compressed(parts: Parts) -> Iterator[Part]:
    """Routes that let a model answer compressed."""
    for route in parts.routes:
        removed = [item.value for one in route.above for item in one.items("request_headers_to_remove")]
        if "accept-encoding" not in [str(name).lower() for name in removed]:
            yield route.part


def blanket(parts: Parts) -> Iterator[Part]:
    """Mappers of local replies that do not ask whose reply it is."""
    for manager in parts.managers:
        for mapper in manager.items("local_reply_config", "mappers"):
            words = [one.value for one in mapper.within() if isinstance(one.value, str)]
            if not any("response.code_details" in word for word in words):
                yield mapper
