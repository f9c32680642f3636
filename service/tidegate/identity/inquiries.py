"""How an opaque token is asked about again while a response to it runs: whose token it is, and the token, sealed.

The replica in which a response runs need never have seen the token, so it travels with what Check tells Process, where
logs may show it: sealed with AES-256-SIV (RFC 5297), which needs no nonce and makes one text of one token.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from hashlib import sha512
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV


class Inquiry(NamedTuple):
    """A token, and the name of the introspection endpoint that knows it."""

    endpoint: str
    token: str

    def __repr__(self) -> str:
        return f"Inquiry(endpoint={self.endpoint!r})"


class Inquiries:
    """Seals under a key that is derived from `pepper`: all processes with it open what one sealed.

    Without a pepper the key is drawn, and only this process opens.
    """

    def __init__(self, pepper: bytes) -> None:
        self._cipher = AESSIV(hmac.digest(pepper or secrets.token_bytes(64), b"introspection inquiries", sha512))

    def seal(self, inquiry: Inquiry) -> str:
        """The inquiry as text that tells nothing but how long it is."""
        sealed = self._cipher.encrypt("\n".join(inquiry).encode(), None)
        return base64.urlsafe_b64encode(sealed).decode("ascii")

    def open(self, text: str) -> Inquiry | None:
        """What was sealed; None for what was not sealed under this key, or was changed."""
        try:
            endpoint, _, token = self._cipher.decrypt(base64.urlsafe_b64decode(text), None).decode().partition("\n")
        except (InvalidTag, ValueError):
            return None
        return Inquiry(endpoint, token)
