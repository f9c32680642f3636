"""What Envoy says of a request, in whichever call: one request, or why it is none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from tidegate.edge import canonical
from tidegate.model import BodyState, Deny, Reason, Request

REQUEST_ID = "x-request-id"
_PARTIAL = "x-envoy-auth-partial-body"
_PROTO = "x-forwarded-proto"
_SOUND_ID = re.compile(r"[!-~]{1,128}")

Fields = list[tuple[str, str]]


class Asked(NamedTuple):
    """A request that has to be decided. `id` is what its client and the access log see, "" where nobody gave it one;
    `target` is its path and query as they came, for the error dialect of a refusal.
    """

    id: str
    target: str
    request: Request | Deny


class Peer(NamedTuple):
    """Who is connected to Envoy: an address, and where there is a certificate its principal and PEM, URL-encoded."""

    address: str
    principal: str = ""
    certificate: str = ""


def asked(
    fields: Fields | None,
    *,
    method: str,
    target: str,
    authority: str,
    scheme: str,
    stream_id: str,
    peer: Peer,
    body: bytes,
    trusted_hops: int,
) -> Asked:
    """The request of these attributes. `fields` is None where a value is no UTF-8, `stream_id` is Envoy's own word."""
    if fields is None:
        return Asked(stream_id, target, Deny(400, Reason.REQUEST_MALFORMED, "A header value is not valid."))
    sent = dict(fields)
    request_id = sent.get(REQUEST_ID, "")
    if _SOUND_ID.fullmatch(request_id) is None:
        request_id = stream_id
    partial = _PARTIAL in sent and any("true" in value for name, value in fields if name == _PARTIAL)
    request = canonical(
        request_id=request_id,
        method=method,
        target=target,
        authority=authority,
        headers=fields,
        # Envoy's word for how the client's connection came, or that of a trusted hop; HTTP/2's :scheme is the client's.
        scheme=sent.get(_PROTO, "") or scheme,
        client_ip=peer.address,
        peer=peer.principal,
        peer_certificate=peer.certificate,
        body=body,
        body_state=BodyState.PARTIAL if partial else BodyState.WHOLE if body else BodyState.ABSENT,
        trusted_hops=trusted_hops,
    )
    return Asked(request_id, target, request)


def sound_id(given: Iterable[str]) -> str:
    """The first that can be a request's id, "" for none."""
    return next(filter(_SOUND_ID.fullmatch, given), "")
