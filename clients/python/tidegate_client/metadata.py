"""What the gRPC interceptors do alike: a call as the HTTP request that it is, and a refusal as a gRPC status."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import grpc

from tidegate_client import adapting
from tidegate_client.results import Allowed, Denied, Headers

CONTENT_TYPE: Final = "application/grpc"

# gRPC's "HTTP to gRPC Status Code Mapping" says what a proxy's answer means; these say what a service means.
_CODES: Final[Mapping[int, grpc.StatusCode]] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_OF_A_BODY: Final = frozenset({"content-type", "content-length", "cache-control"})


class Metadatum(NamedTuple):
    """One entry of a call's metadata, as gRPC's own."""

    key: str
    value: str | bytes


class Incoming(NamedTuple):
    """One call, before anybody has looked at it. `body` is the message of a call that has one, cut where `partial`."""

    method: str
    metadata: tuple[Metadatum, ...]
    host: str
    peer: str
    body: bytes
    partial: bool

    def arguments(self) -> dict[str, Any]:
        """The call as arguments of `decide`. Binary metadata is no header that a policy can read."""
        return {
            "method": "POST",
            "path": self.method,
            "host": self.host,
            "headers": [(key, value) for key, value in self.metadata if isinstance(value, str)],
            "client_ip": _address(self.peer),
            "body": self.body,
            "body_partial": self.partial,
            "exchange": True,
        }

    def forwarded(self, verdict: Allowed) -> tuple[Metadatum, ...]:
        """The metadata as the service may see it."""
        binary = [
            item for item in self.metadata if not isinstance(item.value, str) and not adapting.is_identity(item.key)
        ]
        texts = [(key, value) for key, value in self.metadata if isinstance(value, str)]
        return (*(Metadatum(*pair) for pair in adapting.forwarded(texts, verdict)), *binary)


class ServiceContext:
    """A servicer context as the service may see it: without what is not for it, its trailing metadata beside ours."""

    def __init__(self, context: Any, incoming: Incoming, verdict: Allowed) -> None:
        self._context = context
        self._verdict = verdict
        self._metadata = incoming.forwarded(verdict)
        context.set_trailing_metadata(verdict.headers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def invocation_metadata(self) -> tuple[Metadatum, ...]:
        """The metadata of the call, those that the service may see."""
        return self._metadata

    def set_trailing_metadata(self, trailing_metadata: Iterable[Any] | None) -> None:
        """The service's own; it has no better number of a limit than ours."""
        ours = self._verdict.headers
        names = {name for name, _ in ours}
        theirs = [(key, value) for key, value in trailing_metadata or () if key not in names]
        self._context.set_trailing_metadata((*ours, *theirs))


def metadata_of(details: Any) -> tuple[Metadatum, ...]:
    """The metadata of a `grpc.HandlerCallDetails`."""
    return tuple([Metadatum(key, value) for key, value in details.invocation_metadata or ()])


def status_of(denied: Denied) -> tuple[grpc.StatusCode, Headers]:
    """(status, trailing metadata) of a refusal.

    The metadata has the HTTP answer's headers (retry-after in seconds, ratelimit, www-authenticate, x-request-id), the
    `tidegate-reason`, and for gRPC's own retries `grpc-retry-pushback-ms` (gRFC A6): -1 where waiting is vain.
    """
    code = _CODES.get(denied.status)
    if code is None:
        code = grpc.StatusCode.PERMISSION_DENIED if denied.status < 500 else grpc.StatusCode.INTERNAL
    trailers = [(name, value) for name, value in denied.headers if name not in _OF_A_BODY]
    trailers.append(("tidegate-reason", denied.reason))
    wait = next((value for name, value in trailers if name == "retry-after"), "")
    if wait.isdigit():
        trailers.append(("grpc-retry-pushback-ms", str(int(wait) * 1000)))
    elif denied.status == 429:
        trailers.append(("grpc-retry-pushback-ms", "-1"))
    return code, tuple(trailers)


def failure_of(context: Any) -> grpc.StatusCode | None:
    """The status that a service has set, None when it is OK."""
    code = context.code()
    if isinstance(code, int):
        code = next((known for known in grpc.StatusCode if known.value[0] == code), grpc.StatusCode.UNKNOWN)
    return None if code is None or code is grpc.StatusCode.OK else code


def details_of(context: Any) -> str:
    """What a service has said of its status."""
    details = context.details() or ""
    return details.decode("utf-8", "replace") if isinstance(details, bytes) else str(details)


def rebuilt(handler: Any, behaviour: Callable[..., Any]) -> Any:
    """`handler` with another behaviour; a call with one request hands that over as bytes."""
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return kinds[bool(handler.request_streaming), bool(handler.response_streaming)](
        behaviour,
        request_deserializer=handler.request_deserializer if handler.request_streaming else None,
        response_serializer=handler.response_serializer,
    )


def behaviour_of(handler: Any) -> Callable[..., Any]:
    """What a handler runs."""
    behaviours = (handler.unary_unary, handler.unary_stream, handler.stream_unary, handler.stream_stream)
    found: Callable[..., Any] = next(behaviour for behaviour in behaviours if behaviour is not None)
    return found


def _address(peer: str) -> str:
    """The address in gRPC's "ipv4:192.0.2.1:5" or "ipv6:%5B::1%5D:5", "" for any other."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""
