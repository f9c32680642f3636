"""Tokens that are bound to a key of their owner's (`cnf`, RFC 7800): whoever stole one cannot use it.

A token bound to a client certificate (RFC 8705 section 3) is good over a connection with that very certificate. Every
other binding, a DPoP key (RFC 9449) among them, is one whose proof cannot be checked here, so such a token is refused:
to ignore the binding would be to make it a bearer token.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from tidegate.identity import certificate, refusals
from tidegate.model import Deny, Identity, Request

_THUMBPRINT = "x5t#S256"


def confirmed(identity: Identity, request: Request) -> Identity | Deny:
    """The identity of a token, if the request proves every binding that it has."""
    if "cnf" not in identity.claims:
        return identity
    bound = identity.claims["cnf"]
    if not isinstance(bound, Mapping) or bound.keys() != {_THUMBPRINT}:
        return refusals.invalid("cnf_unsupported")
    wanted = bound[_THUMBPRINT]
    presented = certificate.read(request.peer_certificate)
    if presented is None:
        return refusals.invalid("cnf_no_certificate")
    if not isinstance(wanted, str) or not hmac.compare_digest(wanted.encode(), presented.thumbprint.encode()):
        return refusals.invalid("cnf_other_certificate")
    return identity
