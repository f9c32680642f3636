"""Who called, in a pod behind tidegate: the token in `x-tidegate-identity`, verified with public keys alone.

Needs python-jose[cryptography]. The keys are those that any replica of tidegate serves beside its metrics.
"""

import json
import threading
import time
import urllib.request
from typing import Any

from jose import jwt
from jose.exceptions import JWTError

TYPE = "tidegate-context+jwt"
ALGORITHMS = ["ES256", "ES384", "RS256"]
REQUIRED = ("iss", "aud", "sub", "iat", "exp", "jti", "tenant", "tier", "endpoint")


class PodIdentity:
    """Verifies context tokens. `issuer` and `audience` are what the policy says: the audience is the endpoint's name.

    Keys are fetched when a token names one that is not known, but at most once in `pause` seconds, so that nobody can
    have them fetched at will; they are known to be gone after `age` seconds.
    """

    def __init__(
        self, jwks_url: str, *, issuer: str, audience: str, age: float = 300.0, pause: float = 5.0, leeway: int = 5
    ) -> None:
        self._url, self._issuer, self._audience = jwks_url, issuer, audience
        self._age, self._pause, self._leeway = age, pause, leeway
        self._keys: dict[str, dict[str, str]] = {}
        self._fetched = -float("inf")
        self._lock = threading.Lock()

    def caller(self, header: str | None) -> dict[str, Any]:
        """The claims of the token in the header. Raises JWTError for anything that tidegate did not sign just now."""
        if not header:
            raise JWTError("no identity: this request did not come through tidegate")
        head = jwt.get_unverified_header(header)
        if head.get("typ") != TYPE or head.get("alg") not in ALGORITHMS or "crit" in head:
            raise JWTError("not a context token")
        key = self._key(str(head.get("kid")))
        claims: dict[str, Any] = jwt.decode(
            header,
            key,
            algorithms=[key["alg"]],
            audience=self._audience,
            issuer=self._issuer,
            options={"leeway": self._leeway} | {f"require_{claim}": True for claim in REQUIRED[:6]},
        )
        if missing := [claim for claim in REQUIRED if claim not in claims]:
            raise JWTError(f"without {', '.join(missing)}")
        return claims

    def _key(self, kid: str) -> dict[str, str]:
        with self._lock:
            old = time.monotonic() - self._fetched
            if old > self._age or (kid not in self._keys and old > self._pause):
                with urllib.request.urlopen(self._url, timeout=5) as answer:  # noqa: S310 - our own configuration
                    self._keys = {key["kid"]: key for key in json.load(answer)["keys"]}
                self._fetched = time.monotonic()
            if kid not in self._keys:
                raise JWTError("signed with a key that is not published")
            return self._keys[kid]
