"""One HTTP request, as the edge hands it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

_EMPTY: Mapping[str, Any] = MappingProxyType({})


def _empty() -> Mapping[str, Any]:
    return _EMPTY


class BodyState(Enum):
    """How much of the request body the edge handed over."""

    ABSENT = "absent"
    PARTIAL = "partial"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as the edge saw it, already canonical: the edge refuses what cannot be made so.

    `host` is lower-case without port; `path` is decoded once, has no query and no dot segments; header names are
    lower-case and single-valued; `client_ip` is the address after trusted hops; `peer` is the mTLS principal or "",
    `peer_certificate` its certificate, which Envoy verified: PEM, percent-encoded, "" where Envoy does not send it.
    `scheme` is "http" or "https", "" where the edge does not say; `port` is the one that the client named, 0 for none.
    """

    id: str
    method: str
    host: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=_empty, repr=False)
    client_ip: str = ""
    peer: str = ""
    peer_certificate: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)
    body_state: BodyState = BodyState.ABSENT
    scheme: str = ""
    port: int = 0
