"""Every way this room says no. The sentences are fixed: nothing of a credential is ever echoed.

`detail` is an internal word for our own records. The challenges follow RFC 6750 section 3: no error code where no
credential came, `invalid_token` where a bad one did.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
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


def missing(algorithms: Iterable[str]) -> Deny:
    """MISSING where a token may have to come with a proof, which is signed by one of `algorithms`."""
    challenges = f'{_REALM}, DPoP algs="{" ".join(algorithms)}"'
    return replace(MISSING, headers=(("www-authenticate", challenges),))


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


def unproved(detail: str, algorithms: Iterable[str]) -> Deny:
    """401: the proof that came with a credential is not good, or none came (RFC 9449 section 7.1)."""
    deny = Deny(401, Reason.CREDENTIAL_INVALID, "The proof of possession is not valid.", detail=detail)
    return under_dpop(deny, algorithms, "invalid_dpop_proof")


def nonce_required(nonce: str, detail: str, algorithms: Iterable[str]) -> Deny:
    """401: the proof must be made again, with `nonce` in it (RFC 9449 section 9)."""
    deny = Deny(401, Reason.NONCE_REQUIRED, "The proof of possession must have the server's nonce.", detail=detail)
    asked = under_dpop(deny, algorithms, "use_dpop_nonce")
    return replace(asked, headers=(*asked.headers, ("dpop-nonce", nonce)))


def under_dpop(deny: Deny, algorithms: Iterable[str], error: str = "invalid_token") -> Deny:
    """A 401 as it is said to who came with a proof, or needs one: with the challenge of DPoP. Others stay."""
    if deny.status != 401:
        return deny
    challenge = (
        f'DPoP realm="tidegate", error="{error}", error_description="{deny.message.removesuffix(".")}", '
        f'algs="{" ".join(algorithms)}"'
    )
    return replace(deny, headers=(("www-authenticate", challenge),))
