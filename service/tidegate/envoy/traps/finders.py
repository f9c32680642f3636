"""How the parts are found that show a trap, or that lack what would avoid it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tidegate.envoy.traps.parts import GUARDS, Parts, are_guards
from tidegate.envoy.traps.reading import Part

_WIDEST: Final = 1 << 20
_BODY_MODES: Final = ("NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED")
_HEADER_MODES: Final = ("DEFAULT", "SEND", "SKIP")
_PARTS_OF: Final = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}
_TRY_AGAIN: Final = frozenset({"BadGateway", "ServiceUnavailable", "GatewayTimeout", "502", "503", "504"})


def flag(listed: Iterable[Part], *names: str) -> Iterator[Part | None]:
    """The flags under these names that are set."""
    return (part.at(*names) for part in listed if part.true(*names))


def unless(listed: Iterable[Part], *names: str) -> Iterator[Part]:
    """The parts whose flag under these names is not set."""
    return (part for part in listed if not part.true(*names))


def lacking(listed: Iterable[Part], *names: str) -> Iterator[Part]:
    """The parts that have nothing under these names."""
    return (part for part in listed if part.at(*names) is None)


def shorter(listed: Iterable[Part], least: float, *names: str) -> Iterator[Part]:
    """The parts whose time under these names is not told, or is less than `least` seconds."""
    return (part for part in listed if _seconds(part.text(*names)) < least)


def body_mode(mode: str) -> Callable[[Parts], Iterator[Part | None]]:
    """The response body modes that are this one."""
    return lambda parts: (one.at("response_body_mode") for one in parts.modes if _body_mode(one) == mode)


def no_response_mode(parts: Parts) -> Iterator[Part]:
    """Modes by which answers are not shown."""
    return (one for one in parts.modes if _body_mode(one) in ("", "NONE"))


def unseen(parts: Parts) -> Iterator[Part | None]:
    """Modes by which Process, which has to decide on requests, does not see them."""
    if parts.deciding:
        for one in parts.modes:
            if _named(one.text("request_header_mode"), _HEADER_MODES) == "SKIP":
                yield one.at("request_header_mode")


def unshown(parts: Parts) -> Iterator[Part | None]:
    """What keeps headers from those who decide or read."""
    for one in parts.authz:
        yield from (one.at("allowed_headers"), one.at("disallowed_headers"))
    for one in parts.procs:
        yield one.at("forward_rules")


def trailing(parts: Parts) -> Iterator[Part]:
    """Modes by which the decision waits for a body, and trailers that come in its place are not told."""
    if parts.deciding:
        for one in parts.modes:
            if _waits(one) and _named(one.text("request_trailer_mode"), _HEADER_MODES) != "SEND":
                yield one.at("request_trailer_mode") or one


def unbuffered(parts: Parts) -> Iterator[Part]:
    """Filters that decide by bodies, and are asked before these are whole."""
    for chain in parts.chains:
        kinds = [Parts.kind(one) for one in chain]
        for place, one in enumerate(chain):
            mode = one.at("typed_config", "processing_mode")
            asked = one.at("typed_config") in parts.deciding and mode is not None and _waits(mode)
            if asked and "Buffer" not in kinds[:place]:
                yield one


def in_pieces(parts: Parts) -> Iterator[Part | None]:
    """Modes by which Process would be given the body of a request as it comes, or a part of it."""
    for one in parts.modes:
        if _named(one.text("request_body_mode"), _BODY_MODES) not in ("", "NONE", "BUFFERED"):
            yield one.at("request_body_mode")


def trailers(parts: Parts) -> Iterator[Part]:
    """Modes that lack the trailers they need."""
    fully = (one for one in parts.modes if _body_mode(one) == "FULL_DUPLEX_STREAMED")
    return (one for one in fully if _named(one.text("response_trailer_mode"), _HEADER_MODES) != "SEND")


def sampled(parts: Parts) -> Iterator[Part | None]:
    """What leaves requests out of the asking."""
    for one in parts.authz:
        yield one.at("filter_enabled_metadata")
        share = one.at("filter_enabled", "default_value")
        all_of_them = _PARTS_OF.get(share.text("denominator") or "HUNDRED", 0) if share else 0
        if share is None or share.text("numerator") != str(all_of_them):
            yield one.at("filter_enabled")


def upgraded(parts: Parts) -> Iterator[Part]:
    """Upgrades with filters of their own that are not ours."""
    for manager in parts.managers:
        for upgrade in manager.items("upgrade_configs"):
            filters = upgrade.items("filters")
            if filters and not are_guards(filters):
                yield upgrade


def cached(parts: Parts) -> Iterator[Part]:
    """Caches that stand before the two filters, or between them."""
    for chain in parts.chains:
        kinds = [Parts.kind(one) for one in chain]
        last = max((kinds.index(kind) for kind in GUARDS if kind in kinds), default=0)
        yield from (one for one, kind in zip(chain[:last], kinds, strict=False) if kind.startswith("Cache"))


def bodies(parts: Parts) -> list[Part]:
    """What is said of request bodies, for all routes or for one."""
    own = [part.at("check_settings", "with_request_body") for part in parts.overrides]
    return [one for one in (*(part.at("with_request_body") for part in parts.authz), *own) if one is not None]


def final_status(parts: Parts) -> Iterator[Part]:
    """Filters whose failures are told with a status at which nobody tries again, or as if all were well."""
    for part in (*parts.authz, *parts.procs):
        if part.text("status_on_error", "code") not in _TRY_AGAIN:
            yield part.at("status_on_error") or part


def unhealthy(parts: Parts) -> Iterator[Part]:
    """Clusters whose workers are not asked how they are."""
    for cluster in parts.clusters:
        if not any(one.at("grpc_health_check") is not None for one in cluster.items("health_checks")):
            yield cluster.at("health_checks") or cluster


def silent(parts: Parts) -> Iterator[Part]:
    """Clusters whose connections are not tried while nothing is sent."""
    for cluster in parts.clusters:
        told = [one for one in cluster.within() if one.path[-1:] == ("connection_keepalive",)]
        if not any(_seconds(one.text("interval")) for one in told):
            yield told[0] if told else cluster


def endless(parts: Parts) -> Iterator[Part]:
    """Routes on which a stream may last for ever: "0s" is no bound."""
    for route in parts.routes:
        given = [one for part in route.bounds if (one := part.at("max_stream_duration")) is not None]
        longest = [one.text("max_stream_duration") or one.text() for one in given]
        if not any(map(_seconds, longest)):
            yield route.part


def runtime(parts: Parts, name: str) -> Iterator[Part]:
    """Where a runtime flag is set, in one name or in names within names."""
    for one in parts.root.within():
        if str(one.value).lower() == "true" and f".{'.'.join(map(str, one.path))}".endswith(f".{name}"):
            yield one


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
    if not parts.authz and not parts.deciding:
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
    """Routes that let a model answer compressed, and compressors that come before ext_proc has read an answer."""
    for route in parts.routes:
        removed = [item.value for one in route.above for item in one.items("request_headers_to_remove")]
        if "accept-encoding" not in [str(name).lower() for name in removed]:
            yield route.part
    for chain in parts.chains:
        kinds = [Parts.kind(one) for one in chain]
        if "ExternalProcessor" in kinds:
            yield from (one for one in chain[kinds.index("ExternalProcessor") :] if Parts.kind(one) == "Compressor")


def blanket(parts: Parts) -> Iterator[Part]:
    """Mappers of local replies that do not ask whose reply it is."""
    for manager in parts.managers:
        for mapper in manager.items("local_reply_config", "mappers"):
            words = [one.value for one in mapper.within() if isinstance(one.value, str)]
            if not any("response.code_details" in word for word in words):
                yield mapper


def _waits(mode: Part) -> bool:
    """Whether the whole body of a request comes before the decision on it."""
    return _named(mode.text("request_body_mode"), _BODY_MODES) == "BUFFERED"


def _body_mode(mode: Part) -> str:
    return _named(mode.text("response_body_mode"), _BODY_MODES)


def _named(text: str, names: tuple[str, ...]) -> str:
    """A value of an enumeration by its name: Envoy takes its number, too."""
    return names[int(text)] if text.isdecimal() and int(text) < len(names) else text


def _seconds(text: str) -> float:
    """A duration of protobuf's JSON ("1.5s"), 0 for none."""
    try:
        return max(0.0, float(text.removesuffix("s")))
    except ValueError:
        return 0.0
