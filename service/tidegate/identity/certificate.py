"""A client's certificate as Envoy hands it over: PEM, percent-encoded. Envoy verified it; nothing is verified again."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes

_MAX_LENGTH = 64 * 1024


class Certificate(NamedTuple):
    """What is asked of a certificate: its URI SANs, and its SHA-256 as `x5t#S256` has it (RFC 8705 section 3.1)."""

    uris: tuple[str, ...]
    thumbprint: str


@lru_cache(maxsize=1024)
def read(encoded: str) -> Certificate | None:
    """The certificate in percent-encoded PEM; None for anything else. Never raises."""
    if not encoded or len(encoded) > _MAX_LENGTH:
        return None
    try:
        found = x509.load_pem_x509_certificate(unquote(encoded, errors="strict").encode("ascii"))
        digest = base64.urlsafe_b64encode(found.fingerprint(hashes.SHA256())).rstrip(b"=").decode("ascii")
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return Certificate(tuple(names.get_values_for_type(x509.UniformResourceIdentifier)), digest)
    except x509.ExtensionNotFound:
        return Certificate((), digest)
    except Exception:  # noqa: BLE001 - a parser of what a stranger sent; without a certificate nothing is opened
        return None
