"""SPIFFE IDs (SPIFFE-ID.md, sections 2 and 4), read exactly: a name that two readers take apart differently is none."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_MAX: Final = 255  # characters; the specification allows 2048 bytes, but an ID stands in logs, headers and limit keys
_ID: Final = re.compile(r"spiffe://([a-z0-9._-]+)((?:/[A-Za-z0-9._-]+)+)")
_DOTS: Final = re.compile(r"/\.{1,2}(?:/|\Z)")


class SpiffeId(NamedTuple):
    """A workload's ID: the trust domain that vouches for it, and its path, which begins with "/"."""

    trust_domain: str
    path: str


def parse(text: str) -> SpiffeId | None:
    """The ID in `text`, None when it is none. Nothing is repaired: no case, port, query, escape, empty segment."""
    found = _ID.fullmatch(text) if len(text) <= _MAX else None
    if found is None or _DOTS.search(found[2]):
        return None
    return SpiffeId(found[1], found[2])
