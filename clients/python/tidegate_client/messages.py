"""Between calls, protobuf messages and results: the one place that knows the wire, for every transport."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar

from google.protobuf.message import Message

from tidegate_client import tidegate_pb2 as pb
from tidegate_client.errors import TidegateInvalid, TidegateUnavailable
from tidegate_client.results import Allowed, Consumed, Coverage, Denied, Extension, Filtered, Finding, LimitState, Price

SERVICE = "tidegate.v1.PolicyService"
END = pb.FilterStreamRequest(end=pb.FilterStreamRequest.End())

HeaderPairs = Mapping[str, str] | Iterable[tuple[str, str]]
Cost = int | Mapping[str, int]
Rpc = Literal["Decide", "Consume", "Settle", "Extend", "FilterText"]
StreamRpc = Literal["FilterStream", "Exchange"]
Result = TypeVar("Result")

_TYPES: Mapping[str, tuple[type[Message], type[Message]]] = {
    "Decide": (pb.DecideRequest, pb.DecideResponse),
    "Consume": (pb.ConsumeRequest, pb.ConsumeResponse),
    "Settle": (pb.SettleRequest, pb.SettleResponse),
    "Extend": (pb.ExtendRequest, pb.ExtendResponse),
    "FilterText": (pb.FilterTextRequest, pb.FilterTextResponse),
    "FilterStream": (pb.FilterStreamRequest, pb.FilterStreamResponse),
    "Exchange": (pb.ExchangeRequest, pb.ExchangeResponse),
}
_CHUNK = 256 * 1024  # characters of a message; far below gRPC's 4 MiB whatever they are
_EXTENSIONS: Mapping[int, Extension] = {pb.EXTENSION_EXTENDED: "extended", pb.EXTENSION_REFUSED: "refused"}
_ENFORCEMENTS: Mapping[int, Literal["exact", "share", "none"]] = {
    pb.ENFORCEMENT_EXACT: "exact",
    pb.ENFORCEMENT_SHARE: "share",
}


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One unary call: what to send, how to read the answer, and whether sending it twice could charge twice."""

    rpc: Rpc
    request: Message
    read: Callable[[Any], Result]
    charges: bool = False


def open_method(channel: Any, rpc: str) -> Any:
    """The callable of one RPC on a `grpc` or `grpc.aio` channel."""
    open_kind = channel.stream_stream if rpc in ("FilterStream", "Exchange") else channel.unary_unary
    request, answer = _TYPES[rpc]
    return open_kind(
        f"/{SERVICE}/{rpc}", request_serializer=request.SerializeToString, response_deserializer=answer.FromString
    )


def decide(
    method: str,
    path: str,
    *,
    host: str,
    query: str,
    headers: HeaderPairs,
    client_ip: str,
    body: bytes,
    body_partial: bool,
    request_id: str,
    exchange: bool = False,
    scheme: str = "",
) -> Call[Allowed | Denied]:
    """Judge one HTTP request."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if not host:
        host = next((value for name, value in pairs if name.lower() == "host"), "")
    state = pb.BODY_STATE_PARTIAL if body_partial else pb.BODY_STATE_UNSPECIFIED
    with _Building():
        request = pb.DecideRequest(
            request_id=request_id,
            method=method,
            host=host,
            path=path,
            query=query,
            headers=[pb.Header(name=name, value=value) for name, value in pairs],
            client_ip=client_ip,
            body=body,
            body_state=state,
            exchange=exchange,
            scheme=scheme,
        )
    return Call("Decide", request, _verdict, charges=True)


def consume(endpoint: str, attributes: Mapping[str, str], *, cost: Cost, hold: float) -> Call[Consumed]:
    """Charge the limits of an authenticated caller."""
    with _Building():
        request = pb.ConsumeRequest(attributes=dict(attributes), endpoint=endpoint, hold_seconds=hold, **_cost(cost))
    return Call("Consume", request, _consumed, charges=True)


def settle(reservation: str, cost: Cost) -> Call[bool]:
    """Replace a reserved cost; the service does it once however often it is asked."""
    with _Building():
        request = pb.SettleRequest(reservation=reservation, **_cost(cost))
    return Call("Settle", request, _settled)


def extend(reservation: str, costs: Mapping[str, int], *, hold: float) -> Call[Extension]:
    """Keep a reservation, and reserve more; only the latter must not be sent twice."""
    with _Building():
        request = pb.ExtendRequest(reservation=reservation, costs=dict(costs), hold_seconds=hold)
    return Call("Extend", request, _extension, charges=any(costs.values()))


def filter_text(text: str, selection: pb.Selection, *, content_type: str) -> Call[Filtered]:
    """Rewrite one text."""
    with _Building():
        request = pb.FilterTextRequest(text=text, selection=selection, content_type=content_type)
    return Call("FilterText", request, _filtered)


def selection_of(rulesets: Iterable[str], endpoint: str, tier: str) -> pb.Selection:
    """Which rulesets a text must pass."""
    if isinstance(rulesets, str):
        raise TidegateInvalid("rulesets is a sequence of names, not one name")
    with _Building():
        return pb.Selection(rulesets=rulesets, endpoint=endpoint, tier=tier)


def start_of(selection: pb.Selection) -> pb.FilterStreamRequest:
    """The first message of a stream."""
    return pb.FilterStreamRequest(start=pb.FilterStreamRequest.Start(selection=selection))


def texts_of(chunk: str) -> Iterator[pb.FilterStreamRequest]:
    """A chunk as messages of a size that every server takes; none for an empty chunk."""
    for begin in range(0, len(chunk), _CHUNK):
        with _Building():
            message = pb.FilterStreamRequest(text=chunk[begin : begin + _CHUNK])
        yield message


def exchange_open(handoff: str) -> pb.ExchangeRequest:
    """The first message of an exchange."""
    return pb.ExchangeRequest(open=pb.ExchangeRequest.Open(handoff=handoff))


def exchange_head(
    status: int, content_type: str, content_encoding: str, *, end: bool, tensors: bool
) -> pb.ExchangeRequest:
    """A response begins."""
    with _Building():
        head = pb.ExchangeRequest.Head(
            status=status, content_type=content_type, content_encoding=content_encoding, end=end, tensors=tensors
        )
        return pb.ExchangeRequest(head=head)


def exchange_bodies(data: bytes, *, end: bool) -> Iterator[pb.ExchangeRequest]:
    """Bytes of a response as messages of a size that every server takes; none for nothing that ends nothing."""
    for begin in range(0, len(data), _CHUNK) or ((0,) if end else ()):
        part = data[begin : begin + _CHUNK]
        last = end and begin + _CHUNK >= len(data)
        yield pb.ExchangeRequest(body=pb.ExchangeRequest.Body(data=part, end=last))


def finding_of(message: pb.Finding) -> Finding:
    """One finding."""
    return Finding(message.entity, message.action, message.count, message.where)


def denied_of(deny: pb.Deny, request_id: str = "", policy_version: str = "") -> Denied:
    """A refusal."""
    return Denied(
        request_id=request_id,
        policy_version=policy_version,
        status=deny.http_status,
        reason=deny.reason,
        message=deny.message,
        headers=headers_of(deny.headers),
        body=deny.body,
        limit=_limit_state(deny.limit) if deny.HasField("limit") else None,
    )


def unavailable(request_id: str, path: str = "") -> Denied:
    """The denial that stands in for an answer that never came, in the format that callers of `path` expect."""
    message, code = "The request cannot be checked now.", "policy_unavailable"
    if path.startswith("/v1/"):
        content_type = "application/json"
        body: dict[str, Any] = {"error": {"message": message, "type": "api_error", "param": None, "code": code}}
    else:
        content_type = "application/problem+json"
        body = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": message, "code": code}
    return Denied(
        request_id=request_id,
        status=503,
        reason=code,
        message=message,
        headers=(("content-type", content_type), ("cache-control", "no-store"), ("retry-after", "1")),
        body=json.dumps(body).encode(),
    )


def unchecked(request_id: str) -> Allowed:
    """What the caller chose to let pass while nobody can judge it."""
    return Allowed(
        request_id=request_id,
        subject="",
        tenant="",
        tier="",
        method="",
        endpoint="",
        model="",
        rulesets=(),
        limits=(),
        unchecked=True,
    )


def uncounted() -> Consumed:
    """The same for a charge."""
    return Consumed(admitted=True, states=(), refused=None, reservation="", enforcement="none")


def _cost(cost: Cost) -> dict[str, Any]:
    if not isinstance(cost, Mapping):
        return {"cost": cost}
    if not cost:
        raise TidegateInvalid("costs by unit name at least one unit")
    return {"costs": dict(cost)}


class _Building:
    """Turns what protobuf says of a wrong value (type, range, lone surrogate) into `TidegateInvalid`."""

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, TypeError | ValueError | AttributeError):
            raise TidegateInvalid(f"a value cannot be sent: {type(error).__name__}") from error


def _verdict(message: pb.DecideResponse) -> Allowed | Denied:
    match message.WhichOneof("verdict"):
        case "allow":
            allow = message.allow
            return Allowed(
                request_id=message.request_id,
                policy_version=message.policy_version,
                subject=allow.subject,
                tenant=allow.tenant,
                tier=allow.tier,
                method=allow.method,
                endpoint=allow.endpoint,
                model=allow.model,
                rulesets=tuple(allow.rulesets),
                limits=tuple(map(_limit_state, allow.limits)),
                headers=headers_of(allow.headers),
                reservation=allow.reservation,
                price=_price(allow.price) if allow.HasField("price") else None,
                handoff=allow.handoff,
                request_headers=headers_of(allow.request_headers),
                removed_request_headers=frozenset(allow.removed_request_headers),
            )
        case "deny":
            return denied_of(message.deny, message.request_id, message.policy_version)
    raise TidegateUnavailable("UNKNOWN", "the answer holds no verdict")


def _consumed(message: pb.ConsumeResponse) -> Consumed:
    return Consumed(
        admitted=message.admitted,
        states=tuple(map(_limit_state, message.states)),
        refused=_limit_state(message.refused) if message.HasField("refused") else None,
        reservation=message.reservation,
        enforcement=_ENFORCEMENTS.get(message.enforcement, "none"),
        shadowed=tuple(map(_limit_state, message.shadowed)),
    )


def _settled(message: pb.SettleResponse) -> bool:
    return message.settled


def _extension(message: pb.ExtendResponse) -> Extension:
    return _EXTENSIONS.get(message.extension, "gone")


def coverage_of(message: pb.Coverage) -> Coverage:
    """The receipt of a text."""
    return Coverage(
        format=message.format,
        scanned_bytes=message.scanned_bytes,
        skipped_bytes=message.skipped_bytes,
        scanned_fields=message.scanned_fields,
        skipped_fields=message.skipped_fields,
        skipped=MappingProxyType(dict(message.skipped)),
        structure=message.structure,
    )


def _filtered(message: pb.FilterTextResponse) -> Filtered:
    return Filtered(
        text=message.text,
        findings=tuple(map(finding_of, message.findings)),
        coverage=coverage_of(message.coverage),
        blocked=finding_of(message.blocked) if message.HasField("blocked") else None,
    )


def _limit_state(message: pb.LimitState) -> LimitState:
    return LimitState(
        scope=message.scope,
        name=message.name,
        capacity=message.capacity,
        period=message.period_seconds,
        remaining=message.remaining,
        reset_after=message.reset_after_seconds,
        retry_after=message.retry_after_seconds,
        unit=message.unit,
        currency=message.currency,
    )


def _price(message: pb.Price) -> Price:
    return Price(message.prompt, message.completion, message.cache_read, message.cache_write, message.request)


def headers_of(pairs: Iterable[pb.Header]) -> tuple[tuple[str, str], ...]:
    """Headers as pairs."""
    return tuple((header.name, header.value) for header in pairs)
