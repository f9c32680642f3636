"""Between the messages of Process (ext_proc) and our values. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from tidegate.edge import IDENTITY_NAMES, IDENTITY_PREFIX
from tidegate.envoy.attributes import Asked, Fields, Peer, asked
from tidegate.envoy.commands import (
    DIGESTS,
    Body,
    Continue,
    Forward,
    Reply,
    RequestBody,
    RequestHead,
    RequestTrailers,
    ResponseHead,
    Trailers,
)
from tidegate.envoy.handoff import FIELD, NAMESPACE, Handoff
from tidegate.envoy.reading import COVERAGE_HEADER
from tidegate.envoy.verdicts import Admitted
from tidegate.errors import ProtocolViolation
from tidegate.outward import Dialect, Headers, render

_ATTRIBUTES = "envoy.filters.http.ext_proc"
_PEER = "source.address"
_METADATA = "tidegate"
_OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def decides(message: ext_proc.ProcessingRequest) -> bool:
    """Whether a request_headers message asks for a decision: it says who is connected, and nobody has decided yet.

    Where Check does, Envoy is not told to say that here; so a decision of Check's that got lost is not taken again.
    """
    if _ATTRIBUTES not in message.attributes or _PEER not in message.attributes[_ATTRIBUTES].fields:
        return False
    return FIELD not in message.metadata_context.filter_metadata[NAMESPACE].fields


def request_of(message: ext_proc.ProcessingRequest, body: bytes, *, trusted_hops: int) -> Asked:
    """The request of a request_headers message and what body followed, or why it is none."""
    headers = message.request_headers.headers.headers
    try:
        fields: Fields | None = [(h.key, h.raw_value.decode() or h.value) for h in headers]
    except UnicodeDecodeError:
        fields = None
    first = dict(fields or [(h.key, h.raw_value.decode("latin-1")) for h in headers])
    return asked(
        fields,
        method=first.get(":method", ""),
        target=first.get(":path", ""),
        authority=first.get(":authority", ""),
        scheme=first.get(":scheme", ""),
        stream_id=request_id_of(message),
        peer=Peer(_host_of(message.attributes[_ATTRIBUTES].fields[_PEER].string_value)),
        body=body,
        trusted_hops=trusted_hops,
    )


def request_id_of(message: ext_proc.ProcessingRequest) -> str:
    """Envoy's word for it, "" where it was not asked for."""
    found: str = message.attributes[_ATTRIBUTES].fields["request.id"].string_value
    return found


def _host_of(address: str) -> str:
    """Of "192.0.2.1:80" or "[2001:db8::1]:80"."""
    return address.rpartition(":")[0].strip("[]")


def body_follows(message: ext_proc.ProcessingRequest) -> bool:
    """Whether the whole body comes after a request_headers message. Raises `ProtocolViolation` for one in pieces."""
    mode = message.protocol_config.request_body_mode
    if mode not in (ProcessingMode.NONE, ProcessingMode.BUFFERED):
        name = ProcessingMode.BodySendMode.Name(mode)
        raise ProtocolViolation(f"ext_proc is configured to send request bodies {name}; this service takes BUFFERED")
    if mode == ProcessingMode.NONE or message.request_headers.end_of_stream:
        return False
    # What CONNECT opens has no end that could be waited for.
    return all(h.raw_value != b"CONNECT" for h in message.request_headers.headers.headers if h.key == ":method")


def request_head_of(message: ext_proc.ProcessingRequest) -> RequestHead:
    """The head event of a request_headers message. Raises `ProtocolViolation`, also for a body in pieces."""
    headers = _fields(message.request_headers)
    return RequestHead(
        method=headers.get(":method", ""),
        path=headers.get(":path", ""),
        content_encoding=headers.get("content-encoding", ""),
        body=body_follows(message),
        handoff=_handoff_of(message),
    )


def head_of(message: ext_proc.ProcessingRequest) -> tuple[ResponseHead, str]:
    """(the head event, the request id Envoy gave) of a response_headers message. Raises `ProtocolViolation`."""
    headers = _fields(message.response_headers)
    attributes = message.attributes[_ATTRIBUTES].fields  # what is not there is ""
    details = attributes["response.code_details"].string_value
    request_id = attributes["request.id"].string_value
    status = headers.get(":status", "")
    head = ResponseHead(
        status=int(status) if status.isdigit() else 0,
        content_type=headers.get("content-type", ""),
        content_encoding=headers.get("content-encoding", ""),
        tensors="inference-header-content-length" in headers,
        end=message.response_headers.end_of_stream,
        details=details,
        handoff=_handoff_of(message),
    )
    return head, request_id


def _fields(message: ext_proc.HttpHeaders) -> Mapping[str, str]:
    return {h.key: h.raw_value.decode("latin-1") if h.raw_value else h.value for h in message.headers.headers}


def _handoff_of(message: ext_proc.ProcessingRequest) -> Handoff | None:
    text = message.metadata_context.filter_metadata[NAMESPACE].fields[FIELD].string_value
    return Handoff.decode(text) if text else None


def processing_response(
    command: Forward | RequestBody | RequestTrailers | Continue | Body | Trailers | Reply,
    request_id: str,
    dialect: Dialect,
    shown: Headers = (),
) -> ext_proc.ProcessingResponse:
    """One command as the message that Envoy expects for it. `shown` goes with the headers of a response."""
    response = ext_proc.ProcessingResponse()
    match command:
        case Forward(None):
            response.request_headers.SetInParent()
        case Forward(Admitted() as admitted):
            _admit(response, admitted, body=False)
        case RequestBody(data, admitted):
            response.request_body.SetInParent()
            if admitted is not None:
                _admit(response, admitted, body=True)
            if data is not None:
                # Envoy refuses a body whose length is not what its headers say.
                mutation = response.request_body.response.header_mutation
                _set(mutation, "content-length", str(len(data)))
                mutation.remove_headers.extend(DIGESTS)
                response.request_body.response.body_mutation.body = data
        case RequestTrailers():
            response.request_trailers.SetInParent()
        case Continue(set_headers, remove_headers):
            mutation = response.response_headers.response.header_mutation
            for name, value in set_headers + shown:
                _set(mutation, name, value)
            mutation.remove_headers.extend(remove_headers)
        case Body(data, end):
            streamed = response.response_body.response.body_mutation.streamed_response
            streamed.body = data
            streamed.end_of_stream = end
        case Trailers():  # a receipt is ours alone, wherever it stands
            response.response_trailers.header_mutation.remove_headers.append(COVERAGE_HEADER)
        case Reply(deny, own):
            status, headers, body = render(deny, request_id, dialect)
            immediate = response.immediate_response
            immediate.status.code = status
            for name, value in headers + own + shown:
                _set(immediate.headers, name, value)
            immediate.body = body
            immediate.details = f"tidegate_{deny.reason}"
    return response


def tell(response: ext_proc.ProcessingResponse, **told: str) -> None:
    """What the access log can say of the exchange, as `%DYNAMIC_METADATA(tidegate:NAME)%`."""
    fields = response.dynamic_metadata.fields[_METADATA].struct_value.fields
    for name, value in told.items():
        fields[name].string_value = value


def _admit(response: ext_proc.ProcessingResponse, admitted: Admitted, *, body: bool) -> None:
    """Let the request, or its body, pass as the caller that we established."""
    response.MergeFromString(_caller_template(admitted.caller, admitted.credentials, body))
    if admitted.told or admitted.unwanted:
        mutation = _common(response, body=body).header_mutation
        for name, value in admitted.told:
            _set(mutation, name, value, "utf-8")
        mutation.remove_headers.extend(admitted.unwanted)


@lru_cache(maxsize=8192)
def _caller_template(caller: tuple[str, str, str, str], credentials: tuple[str, ...], body: bool) -> bytes:
    """What is the same for each request of a caller, serialized."""
    response = ext_proc.ProcessingResponse()
    mutation = _common(response, body=body).header_mutation
    for name, value in zip(IDENTITY_NAMES, caller, strict=True):
        _set(mutation, IDENTITY_PREFIX + name, value, "utf-8")
    mutation.remove_headers.extend(credentials)
    tell(response, subject=caller[0], endpoint=caller[3])
    serialized: bytes = response.SerializeToString()
    return serialized


def _common(response: ext_proc.ProcessingResponse, *, body: bool) -> ext_proc.CommonResponse:
    return response.request_body.response if body else response.request_headers.response


def _set(mutation: ext_proc.HeaderMutation, name: str, value: str, encoding: str = "latin-1") -> None:
    option = mutation.set_headers.add()
    option.header.key = name
    option.header.raw_value = value.encode(encoding, "replace")
    option.append_action = _OVERWRITE
