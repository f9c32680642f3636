"""X-Forwarded-Client-Cert, as Envoy writes it: elements between commas, pairs between semicolons, some values quoted.

https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert
Each proxy adds its element at the end. Only the last is from the proxy that is connected to us: no other counts.
"""

from __future__ import annotations

import re
from typing import Final

_MAX_LENGTH: Final = 64 * 1024
_PAIR: Final = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\\]*))([,;]|\Z)')


def last_uris(header: str) -> tuple[str, ...] | None:
    """The URI SANs that the last element names; None for a header that cannot be read to its end."""
    if not header or len(header) > _MAX_LENGTH:
        return None
    at, uris = 0, []
    while True:
        pair = _PAIR.match(header, at)
        if pair is None:
            return None
        name, quoted, plain, separator = pair.groups()
        if name.lower() == "uri":
            uris.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = pair.end()
        if not separator:
            return tuple(uris)
        if separator == ",":
            uris = []
