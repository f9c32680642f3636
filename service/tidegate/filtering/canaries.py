"""Canaries: words that stand nowhere but in a prompt, so that one in an answer says that the prompt got out.

A model that is asked to may say one backwards or encoded, so these forms are looked for too.
"""

from __future__ import annotations

import base64
import codecs
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import Final

from tidegate.filtering.deny_list import DenyList

CANARY: Final = "CANARY"
SHORTEST: Final = 12
"""Characters of a canary; fewer would be found in its encoded forms by chance."""

_MADE: Final = re.compile(r"tgc-[a-z2-7]{26}")
_BYTES: Final = 16


def make_canary(key: bytes = b"", name: str = "") -> str:
    """A canary of 128 bits: drawn, or with a key the same for the same name."""
    raw = hmac.digest(key, b"canary\0" + name.encode(), "sha256")[:_BYTES] if key else secrets.token_bytes(_BYTES)
    return f"tgc-{base64.b32encode(raw).decode('ascii').rstrip('=').lower()}"


def canaries_in(text: str) -> list[str]:
    """Those of `make_canary` that stand in a text."""
    return _MADE.findall(text)


def canary_lists(canaries: Iterable[str]) -> tuple[DenyList, ...]:
    """What finds them and their forms, none where there are none.

    Looked for as they are, backwards, in ROT13 and in hexadecimal, all in upper and lower case; and in base64, wherever
    in what is encoded they stand.
    """
    known = sorted(set(canaries))
    if not known:
        return ()
    plain = [form for one in known for form in (one, one[::-1], codecs.encode(one, "rot13"), one.encode().hex())]
    encoded = [form for one in known for form in _base64(one)]
    return (
        DenyList(CANARY, "canary", plain, whole=False),
        DenyList(CANARY, "canary-base64", encoded, cased=True, whole=False),
    )


def _base64(canary: str) -> Iterable[str]:
    """What the canary alone decides of the base64 of a text that holds it, for its three places in a group."""
    raw = canary.encode()
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw).decode("ascii").rstrip("=")
        first = -(-before * 8 // 6)
        inside = whole[first : (before + len(raw)) * 8 // 6]
        yield inside
        if (safe := inside.translate(str.maketrans("+/", "-_"))) != inside:
            yield safe
