"""Between the messages of Check (ext_authz) and our values. Nothing is decided here."""

from __future__ import annotations

from functools import lru_cache

from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2

from tidegate.edge import IDENTITY_NAMES, IDENTITY_PREFIX
from tidegate.envoy.attributes import REQUEST_ID, Asked, Fields, Peer, asked, sound_id
from tidegate.envoy.handoff import FIELD
from tidegate.envoy.verdicts import Admitted, Refused
from tidegate.model import Deny, Reason
from tidegate.outward import render

_OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_GRPC_CODES = {401: 16, 403: 7, 404: 5, 429: 8, 503: 14}  # google.rpc.Code of a denial, for logs; 7 otherwise


def request_of(check: external_auth_pb2.CheckRequest, *, trusted_hops: int) -> Asked:
    """The request of a Check call, or why it is none."""
    attributes = check.attributes
    http = attributes.request.http
    if not http.method:
        deny = Deny(400, Reason.REQUEST_MALFORMED, "The request carries no HTTP attributes.")
        return Asked(_id_of(http), http.path, deny)
    try:
        fields: Fields | None = _fields(http)
    except UnicodeDecodeError:
        fields = None
    source = attributes.source
    return asked(
        fields,
        method=http.method,
        target=http.path,
        authority=http.host,
        scheme=http.scheme,
        stream_id=http.id if fields is not None else _id_of(http),
        peer=Peer(source.address.socket_address.address, source.principal, source.certificate),
        body=http.raw_body or http.body.encode(),
        trusted_hops=trusted_hops,
    )


def _id_of(http: attribute_context_pb2.AttributeContext.HttpRequest) -> str:
    """The id of a request that is no `Request`, if it can be read."""
    sent = [h.raw_value.decode("latin-1") or h.value for h in http.header_map.headers if h.key == REQUEST_ID]
    return sound_id((*sent, http.headers.get(REQUEST_ID, ""))) or http.id


def _fields(http: attribute_context_pb2.AttributeContext.HttpRequest) -> Fields:
    """`header_map` keeps duplicates (`encode_raw_headers`); without it the map has them joined by commas."""
    raw = http.header_map.headers
    if raw:
        return [(h.key, h.raw_value.decode() or h.value) for h in raw]
    return list(http.headers.items())


def allow_response(admitted: Admitted) -> external_auth_pb2.CheckResponse:
    """Let the request pass, and tell Process what was decided."""
    names = tuple([name for name, _ in admitted.shown])
    template = _allow_template(admitted.caller, admitted.credentials, names)
    response = external_auth_pb2.CheckResponse.FromString(template)
    ok = response.ok_response
    for option, (_, value) in zip(ok.response_headers_to_add, admitted.shown, strict=True):
        option.header.value = value
    for name, value in admitted.told:
        added = ok.headers.add().header
        added.key, added.value = name, value
    if admitted.unwanted:
        ok.headers_to_remove.extend(admitted.unwanted)
    response.dynamic_metadata.fields[FIELD].string_value = admitted.handoff.encode()
    return response


@lru_cache(maxsize=8192)
def _allow_template(caller: tuple[str, str, str, str], credentials: tuple[str, ...], shown: tuple[str, ...]) -> bytes:
    """What is the same in each allow of a caller, serialized; the headers named in `shown` still lack their values."""
    response = external_auth_pb2.CheckResponse()
    response.status.code = 0
    ok = response.ok_response
    for name, value in zip(IDENTITY_NAMES, caller, strict=True):
        header = ok.headers.add().header
        header.key = IDENTITY_PREFIX + name
        header.value = value
    ok.headers_to_remove.extend(credentials)
    for name in shown:
        option = ok.response_headers_to_add.add()
        option.append_action = _OVERWRITE  # the model may not add a better number to ours
        option.header.key = name
    fields = response.dynamic_metadata.fields
    fields["subject"].string_value = caller[0]
    fields["endpoint"].string_value = caller[3]
    serialized: bytes = response.SerializeToString()
    return serialized


def deny_response(refused: Refused) -> external_auth_pb2.CheckResponse:
    """Refuse in the caller's own dialect."""
    status, headers, body = render(refused.deny, refused.request_id, refused.dialect)
    response = external_auth_pb2.CheckResponse()
    response.status.code = _GRPC_CODES.get(status, 7)
    denied = response.denied_response
    denied.status.code = status
    for name, value in headers + refused.shown:
        header = denied.headers.add().header
        header.key = name
        header.value = value
    denied.body = body.decode()
    response.dynamic_metadata.fields["reason"].string_value = str(refused.deny.reason)
    return response
