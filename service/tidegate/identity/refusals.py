"""Every way this room says no. The sentences are fixed: nothing of a credential is ever echoed.

`detail` is an internal word for our own records. The challenges follow RFC 6750 section 3: no error code where no
credential came, `invalid_token` where a bad one did.
"""

from __future__ import annotations

from typing import Final

from tidegate.model import Deny, Reason

_REALM = 'Bearer realm="tidegate"'


def _challenge(description: str) -> tuple[tuple[str, str], ...]:
    return (("www-authenticate", f'{_REALM}, error="invalid_token", error_description="{description}"'),)


_INVALID = _challenge("The credential is not valid")
_EXPIRED = _challenge("The credential has expired")

MISSING: Final = Deny(
    401,
    Reason.CREDENTIAL_MISSING,
    "This endpoint needs a credential.",
    headers=(("www-authenticate", _REALM),),
)


def invalid(detail: str) -> Deny:
    """401: a credential came and is not good."""
    return Deny(401, Reason.CREDENTIAL_INVALID, "The credential is not valid.", headers=_INVALID, detail=detail)


def expired(detail: str) -> Deny:
    """401: a credential came, is genuine, and is past its time."""
    return Deny(401, Reason.CREDENTIAL_EXPIRED, "The credential has expired.", headers=_EXPIRED, detail=detail)


def malformed(detail: str) -> Deny:
    """400: the request carries credentials in a way that nobody may have to interpret (RFC 6750 section 2)."""
    return Deny(400, Reason.REQUEST_MALFORMED, "The request must carry exactly one credential.", detail=detail)


def unmapped(detail: str) -> Deny:
    """403: the credential is genuine, and its claims do not say which tenant or tier it belongs to."""
    return Deny(403, Reason.ACCESS_DENIED, "The credential grants no access to this service.", detail=detail)


def unavailable(detail: str) -> Deny:
    """503: whether the credential is good cannot be told now; try again in 5 seconds."""
    return Deny(
        503,
        Reason.IDENTITY_UNAVAILABLE,
        "The credential cannot be checked at the moment.",
        headers=(("retry-after", "5"),),
        detail=detail,
    )
