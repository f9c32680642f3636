"""Nonces that proofs must repeat (RFC 9449 section 9): so that none can be made before we said the word.

A nonce is a MAC of the time, so that every replica with the same key knows those of all, and nothing is kept.
"""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256
from typing import Final

LIFETIME: Final = 300
"""How long a nonce is given out, seconds; it is accepted for as long again."""


def nonces_under(pepper: bytes) -> Nonces | None:
    """The nonces of all replicas with this pepper, from which their key is derived; None where there is none."""
    return Nonces(hmac.digest(pepper, b"dpop nonces", sha256)) if pepper else None


class Nonces:
    """The nonces under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def at(self, now: float) -> str:
        """The nonce to be given out at `now` (Unix seconds)."""
        return self._of(int(now // LIFETIME))

    def good(self, nonce: str, now: float) -> bool:
        """Whether `nonce` was given out not long before `now`."""
        age = int(now // LIFETIME)
        given = nonce.encode("utf-8", "surrogatepass")
        # Now, before, and after: replicas' clocks differ.
        return any(hmac.compare_digest(given, self._of(age - back).encode()) for back in (-1, 0, 1))

    def _of(self, age: int) -> str:
        made = hmac.digest(self._key, b"dpop nonce" + max(0, age).to_bytes(8, "big"), sha256)[:18]
        return base64.urlsafe_b64encode(made).decode("ascii")
