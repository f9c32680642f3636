"""Between Envoy's messages and our values. Nothing is decided here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2 as processing_mode
from envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc

from tidegate.edge import IDENTITY_NAMES, IDENTITY_PREFIX, SIGNED_IDENTITY, canonical, is_unwanted
from tidegate.envoy.commands import (
    DIGESTS,
    Body,
    Continue,
    Forward,
    Reply,
    RequestBody,
    RequestHead,
    ResponseHead,
    Trailers,
)
from tidegate.envoy.handoff import FIELD, NAMESPACE, Handoff
from tidegate.envoy.reading import COVERAGE_HEADER
from tidegate.errors import ProtocolViolation
from tidegate.model import Allow, BodyState, Decision, Deny, Reason, Request
from tidegate.outward import limit_headers, render, trace_headers

_PARTIAL = "x-envoy-auth-partial-body"
_REQUEST_ID = "x-request-id"
_PROTO = "x-forwarded-proto"
_SOUND_ID = re.compile(r"[!-~]{1,128}")
_ATTRIBUTES = "envoy.filters.http.ext_proc"
_OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_GRPC_CODES = {401: 16, 403: 7, 404: 5, 429: 8, 503: 14}  # google.rpc.Code of a denial, for logs; 7 otherwise


def request_of(check: external_auth_pb2.CheckRequest, *, trusted_hops: int) -> tuple[str, Request | Deny]:
    """(path for the error dialect, request or refusal) of a Check call."""
    attributes = check.attributes
    http = attributes.request.http
    target = http.path
    if not http.method:
        return target, Deny(400, Reason.REQUEST_MALFORMED, "The request carries no HTTP attributes.")
    try:
        headers = _headers(http)
    except UnicodeDecodeError:
        return target, Deny(400, Reason.REQUEST_MALFORMED, "A header value is not valid.")
    body = http.raw_body or http.body.encode()
    sent = dict(headers)
    # What the client and the access log see; `http.id` is Envoy's number for the stream.
    request_id = sent.get(_REQUEST_ID, "")
    if _SOUND_ID.fullmatch(request_id) is None:
        request_id = http.id
    partial = _PARTIAL in sent and any("true" in value for name, value in headers if name == _PARTIAL)
    state = BodyState.PARTIAL if partial else BodyState.WHOLE if body else BodyState.ABSENT
    source = attributes.source
    return target, canonical(
        request_id=request_id,
        method=http.method,
        target=target,
        authority=http.host,
        headers=headers,
        # Envoy's word for how the client's connection came, or that of a trusted hop; HTTP/2's :scheme is the client's.
        scheme=sent.get(_PROTO, "") or http.scheme,
        client_ip=source.address.socket_address.address,
        peer=source.principal,
        peer_certificate=source.certificate,
        body=body,
        body_state=state,
        trusted_hops=trusted_hops,
    )


def request_id_of(check: external_auth_pb2.CheckRequest) -> str:
    """The id of a request that is no `Request`: what the client and the access log see, if it can be read."""
    http = check.attributes.request.http
    sent = [h.raw_value.decode("latin-1") or h.value for h in http.header_map.headers if h.key == _REQUEST_ID]
    found: str = next(filter(_SOUND_ID.fullmatch, (*sent, http.headers.get(_REQUEST_ID, ""))), http.id)
    return found


def _headers(http: attribute_context_pb2.AttributeContext.HttpRequest) -> list[tuple[str, str]]:
    """`header_map` keeps duplicates (`encode_raw_headers`); without it the map has them joined by commas."""
    raw = http.header_map.headers
    if raw:
        return [(h.key, h.raw_value.decode() or h.value) for h in raw]
    return list(http.headers.items())


def allow_response(
    decision: Decision, allow: Allow, handoff: Handoff, credential_headers: tuple[str, ...], token: str = ""
) -> external_auth_pb2.CheckResponse:
    """Let the request pass as the caller that we established, without credential or spoofed identity.

    `token` is the context token, "" for none.
    """
    identity = allow.identity
    limits = limit_headers(allow.admission) + trace_headers(handoff.trace)
    caller = (identity.subject, identity.tenant, identity.tier, allow.endpoint)
    template = _allow_template(caller, credential_headers, tuple([name for name, _ in limits]))
    response = external_auth_pb2.CheckResponse.FromString(template)
    ok = response.ok_response
    for option, (_, value) in zip(ok.response_headers_to_add, limits, strict=True):
        option.header.value = value
    told = dict(allow.annotations) | ({SIGNED_IDENTITY: token} if token else {})
    for name, value in told.items():
        added = ok.headers.add().header
        added.key, added.value = name, value
    # Envoy removes after it has set, so what we tell is not among what goes.
    if unwanted := [name for name in decision.request.headers if is_unwanted(name) and name not in told]:
        ok.headers_to_remove.extend(unwanted)
    response.dynamic_metadata.fields[FIELD].string_value = handoff.encode()
    return response


@lru_cache(maxsize=8192)
def _allow_template(
    caller: tuple[str, str, str, str], credential_headers: tuple[str, ...], limits: tuple[str, ...]
) -> bytes:
    """What is the same in each allow of a caller, serialized; the headers named in `limits` still lack their values."""
    response = external_auth_pb2.CheckResponse()
    response.status.code = 0
    ok = response.ok_response
    for name, value in zip(IDENTITY_NAMES, caller, strict=True):
        header = ok.headers.add().header
        header.key = IDENTITY_PREFIX + name
        header.value = value
    ok.headers_to_remove.extend(credential_headers)
    for name in limits:
        option = ok.response_headers_to_add.add()
        option.append_action = _OVERWRITE  # the model may not add a better number to ours
        option.header.key = name
    fields = response.dynamic_metadata.fields
    fields["subject"].string_value = caller[0]
    fields["endpoint"].string_value = caller[3]
    serialized: bytes = response.SerializeToString()
    return serialized


def deny_response(decision: Decision, deny: Deny, trace: str = "") -> external_auth_pb2.CheckResponse:
    """Refuse in the caller's own dialect. `trace` is the decision's span, "" for none."""
    status, headers, body = render(deny, decision.request.id, decision.dialect)
    headers += trace_headers(trace)
    if decision.admission is not None:
        headers += limit_headers(decision.admission)
    response = external_auth_pb2.CheckResponse()
    response.status.code = _GRPC_CODES.get(status, 7)
    denied = response.denied_response
    denied.status.code = status
    for name, value in headers:
        header = denied.headers.add().header
        header.key = name
        header.value = value
    denied.body = body.decode()
    response.dynamic_metadata.fields["reason"].string_value = str(deny.reason)
    return response


def request_head_of(message: ext_proc.ProcessingRequest) -> RequestHead:
    """The head event of a request_headers message. Raises `ProtocolViolation`, also for a body in pieces."""
    headers = _fields(message.request_headers)
    mode = message.protocol_config.request_body_mode
    if mode not in (processing_mode.ProcessingMode.NONE, processing_mode.ProcessingMode.BUFFERED):
        name = processing_mode.ProcessingMode.BodySendMode.Name(mode)
        raise ProtocolViolation(f"ext_proc is configured to send request bodies {name}; this service takes BUFFERED")
    return RequestHead(
        method=headers.get(":method", ""),
        path=headers.get(":path", ""),
        content_encoding=headers.get("content-encoding", ""),
        body=mode != processing_mode.ProcessingMode.NONE and not message.request_headers.end_of_stream,
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
    command: Forward | RequestBody | Continue | Body | Trailers | Reply, request_id: str, dialect: str, trace: str = ""
) -> ext_proc.ProcessingResponse:
    """One command as the message that Envoy expects for it. `trace` is the decision's span, "" for none."""
    response = ext_proc.ProcessingResponse()
    match command:
        case Forward():
            response.request_headers.SetInParent()
        case RequestBody(None):
            response.request_body.SetInParent()
        case RequestBody(bytes(data)):
            # Envoy refuses a body whose length is not what its headers say.
            mutation = response.request_body.response.header_mutation
            _set(mutation, "content-length", str(len(data)))
            mutation.remove_headers.extend(DIGESTS)
            response.request_body.response.body_mutation.body = data
        case Continue(set_headers, remove_headers):
            mutation = response.response_headers.response.header_mutation
            for name, value in set_headers:
                _set(mutation, name, value)
            mutation.remove_headers.extend(remove_headers)
        case Body(data, end):
            streamed = response.response_body.response.body_mutation.streamed_response
            streamed.body = data
            streamed.end_of_stream = end
        case Trailers():  # a receipt is ours alone, wherever it stands
            response.response_trailers.header_mutation.remove_headers.append(COVERAGE_HEADER)
        case Reply(deny):
            status, headers, body = render(deny, request_id, "openai" if dialect == "openai" else "problem")
            immediate = response.immediate_response
            immediate.status.code = status
            for name, value in headers + trace_headers(trace):
                _set(immediate.headers, name, value)
            immediate.body = body
            immediate.details = f"tidegate_{deny.reason}"
    return response


def _set(mutation: ext_proc.HeaderMutation, name: str, value: str) -> None:
    option = mutation.set_headers.add()
    option.header.key = name
    option.header.raw_value = value.encode("latin-1", "replace")
    option.append_action = _OVERWRITE
