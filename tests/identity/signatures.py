"""How many signatures had to be checked: what is remembered of a token spares the check."""

from __future__ import annotations

from tidegate.identity import bearer
from tidegate.identity.keyset import PublicKey
from tidegate.identity.token import Token


class Signatures:
    """Checks, and counts."""

    def __init__(self) -> None:
        self.checked = 0
        self._genuine = bearer.check_signature

    def check(self, token: Token, key: PublicKey) -> None:
        self.checked += 1
        self._genuine(token, key)
