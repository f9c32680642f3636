"""Pseudonyms that lead back, for who has the key: the value itself stands in them, sealed.

AES-256-SIV (RFC 5297) needs no nonce: the same value gives the same pseudonym under one context, which is what makes it
a pseudonym, and whatever was changed in one does not open. The kind of value and the context are authenticated with
it. A value is padded to whole blocks of 16 bytes (ISO/IEC 7816-4), so that a pseudonym tells only about how long it is.
"""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEY_BYTES: Final = 64
CONTEXT_BYTES: Final = 8
MAX_VALUE: Final = 255
"""Bytes of a value in UTF-8. A longer one is not sealed."""

_BLOCK: Final = 16
_PSEUDONYM: Final = re.compile(r"\[([A-Z][A-Z0-9_]{0,63})_([a-z2-7]{64,448})\]")
MAX_PSEUDONYM: Final = 2 + 64 + 1 + 448
"""Characters of a pseudonym, at the most."""


class Opened(NamedTuple):
    """What a pseudonym stands for: the value as it is compared, not as it was written."""

    entity: str
    value: str


class Seal:
    """The keys of one tenant, `KEY_BYTES` each: the first one seals, every one opens. ValueError for none."""

    def __init__(self, keys: tuple[bytes, ...]) -> None:
        if not keys:
            raise ValueError("a seal needs a key")
        self._ciphers = [AESSIV(key) for key in keys]

    def close(self, entity: str, value: str, context: bytes) -> str | None:
        """The pseudonym of a value under a context of `CONTEXT_BYTES`; None for one that is too long."""
        plain = value.encode("utf-8", "surrogatepass")
        if len(plain) > MAX_VALUE:
            return None
        padded = plain + b"\x80" + bytes(-(len(plain) + 1) % _BLOCK)
        sealed = context + self._ciphers[0].encrypt(padded, [entity.encode(), context])
        return f"[{entity}_{base64.b32encode(sealed).decode().rstrip('=').lower()}]"

    def open(self, pseudonym: str) -> Opened | None:
        """What it stands for; None for what is no pseudonym, was changed, or was sealed by a key that is not here."""
        parts = parts_of(pseudonym)
        if parts is None:
            return None
        entity, raw = parts
        context, sealed = raw[:CONTEXT_BYTES], raw[CONTEXT_BYTES:]
        for cipher in self._ciphers:
            try:
                padded = cipher.decrypt(sealed, [entity.encode(), context])
            except InvalidTag:
                continue
            return Opened(entity, padded.rstrip(b"\0").removesuffix(b"\x80").decode("utf-8", "surrogatepass"))
        return None


def parts_of(pseudonym: str) -> tuple[str, bytes] | None:
    """The kind of value, and what is sealed, of a text that has the shape of such a pseudonym; None for any other."""
    found = _PSEUDONYM.fullmatch(pseudonym)
    if found is None:
        return None
    text = found[2].upper()
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        return None
    whole = (len(raw) - CONTEXT_BYTES) % _BLOCK == 0 and len(raw) >= CONTEXT_BYTES + 2 * _BLOCK
    written_so = base64.b32encode(raw).decode().rstrip("=") == text  # bits that stand for nothing must be 0
    return (found[1], raw) if whole and written_so else None
