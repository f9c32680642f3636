"""API keys: `tg_<id>_<secret>`. Found by id, proved by a keyed hash in constant time; no secret is ever stored.

A secret is 32 random bytes, so a fast keyed hash (BLAKE2b, RFC 7693) is enough: there is nothing to guess. The
pepper keeps a stolen key file from being used to forge entries of its own, and belongs elsewhere than the file.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tidegate.errors import PolicyError, Problem
from tidegate.identity import key_file, refusals
from tidegate.identity.key_file import ID_PATTERN, KeyEntry
from tidegate.model import Deny, Identity

PREFIX: Final = "tg_"
MIN_PEPPER: Final = 16  # bytes
_SECRET_BYTES: Final = 32
_LAST: Final = 16 * "~"  # after every id, and as long as one
# 32 bytes are 43 characters of base64url; `_` is one of them, so only the first two underscores separate.
_CREDENTIAL = re.compile(rf"tg_({ID_PATTERN})_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key, ready to be proved. `identity` is what a caller who proves it becomes.

    `digests` always has two members, the live hashes filled up with noise, so that every proof costs the same. Where a
    rotation set a time for it, the first ends at `overlap_until` (Unix seconds).
    """

    identity: Identity
    digests: tuple[bytes, bytes] = field(repr=False)
    expires_at: float | None = None
    overlap_until: float | None = None
    revoked: bool = False


class KeyStore:
    """All keys at one time. Immutable: a change makes a new store and swaps it in.

    With `unavailable`, the keys are elsewhere and cannot be had: it says why, and every key is answered 503.
    """

    def __init__(self, records: Mapping[str, KeyRecord], *, pepper: bytes, unavailable: str = "") -> None:
        self._records = MappingProxyType(dict(records))
        self._pepper = pepper
        self.unavailable = unavailable
        # In order, and looked up by bisection: an id that is unknown takes as many steps as one that is known, and ends
        # at a neighbour, whose record lies in memory as far away. A hash table tells the two apart by a quarter.
        self._ids = (*sorted(self._records), _LAST)
        self._ordered = (
            *(self._records[name] for name in self._ids[:-1]),
            _filled(Identity("", "", "", "api_key"), ()),
        )

    @classmethod
    def load(cls, path: Path | None, *, pepper: bytes) -> KeyStore:
        """The store of the key file at `path`; None gives an empty one.

        Raises PolicyError for a bad file (file, line, key) and for a pepper of fewer than 16 bytes.
        """
        if path is None:
            return cls({}, pepper=pepper)
        try:
            check_pepper(pepper)
        except ValueError as failure:
            raise PolicyError((Problem(str(path), 0, "", str(failure)),)) from None
        return cls({entry.id: _record_of(entry) for entry in key_file.read(path)}, pepper=pepper)

    @classmethod
    def of(cls, entries: Iterable[KeyEntry], *, pepper: bytes) -> KeyStore:
        """The store of these entries."""
        return cls({entry.id: _record_of(entry) for entry in entries}, pepper=pepper)

    def with_changes(self, entries: Iterable[KeyEntry], gone: Collection[str] = ()) -> KeyStore:
        """A new store in which these entries are new, or stand in the place of those with their ids."""
        records = {**self._records, **{entry.id: _record_of(entry) for entry in entries}}
        for key_id in gone:
            records.pop(key_id, None)
        return KeyStore(records, pepper=self._pepper)

    def __len__(self) -> int:
        return len(self._records)

    def find(self, key_id: str) -> KeyRecord | None:
        """The record with this id, without any proof."""
        return self._records.get(key_id)

    def prove(self, credential: str, *, now: float) -> Identity | Deny:
        """Whom `credential` proves at `now` (Unix seconds).

        A well-formed credential costs one search, one keyed hash and three comparisons, whether its id exists or not.
        """
        match = _CREDENTIAL.fullmatch(credential)
        if match is None:
            return refusals.invalid("key_malformed")
        key_id, secret = match.groups()
        place = bisect_left(self._ids, key_id)
        record = self._ordered[place]
        known = hmac.compare_digest(key_id, self._ids[place])
        digest = keyed_hash(self._pepper, secret.encode("ascii"))
        first, second = record.digests
        older, newer = hmac.compare_digest(digest, first), hmac.compare_digest(digest, second)
        if not (known & (older | newer)):
            if self.unavailable and not known:
                return refusals.unavailable(self.unavailable)
            return refusals.invalid("key_secret" if known else "key_unknown")
        if record.revoked:
            return refusals.invalid("key_revoked")
        if record.expires_at is not None and now >= record.expires_at:
            return refusals.expired("key_expired")
        if record.overlap_until is not None and not newer and now >= record.overlap_until:
            return refusals.expired("key_rotated")
        return record.identity


def mint_key(
    pepper: bytes, *, key_id: str | None = None, rng: Callable[[int], bytes] = secrets.token_bytes
) -> tuple[str, str, str]:
    """A new key: (the full key, shown once and stored nowhere; its id; its hash, as the key file wants it).

    `rng(n)` gives n random bytes. Raises ValueError for a short pepper or an id that is not 12 to 64 of a-z, 0-9.
    """
    check_pepper(pepper)
    if key_id is None:
        key_id = base64.b32encode(rng(10)).decode("ascii").lower()
    if not re.fullmatch(ID_PATTERN, key_id):
        raise ValueError("a key id is 12 to 64 lower-case letters and digits")
    secret = base64.urlsafe_b64encode(rng(_SECRET_BYTES)).rstrip(b"=")
    digest = keyed_hash(pepper, secret).hex()
    return f"{PREFIX}{key_id}_{secret.decode('ascii')}", key_id, f"blake2b:{digest}"


def keyed_hash(pepper: bytes, secret: bytes) -> bytes:
    """BLAKE2b in its keyed mode (RFC 7693 section 2.9), 32 bytes: a MAC, at half the time of HMAC through OpenSSL."""
    key = pepper if len(pepper) <= blake2b.MAX_KEY_SIZE else blake2b(pepper).digest()
    return blake2b(secret, key=key, digest_size=32).digest()


def check_pepper(pepper: bytes) -> None:
    """Raises ValueError for a pepper that is too short to be a key."""
    if len(pepper) < MIN_PEPPER:
        raise ValueError(f"the pepper of API keys must be at least {MIN_PEPPER} bytes")


def _record_of(entry: KeyEntry) -> KeyRecord:
    identity = Identity(
        subject=entry.subject,
        tenant=entry.tenant,
        tier=entry.tier,
        method="api_key",
        roles=frozenset(entry.roles),
        scopes=frozenset(entry.scopes),
        credential=entry.id,
        expires_at=entry.expires_at,
        client_id=entry.id,
        endpoints=None if entry.endpoints is None else frozenset(entry.endpoints),
    )
    return replace(
        _filled(identity, entry.digests),
        expires_at=entry.expires_at,
        overlap_until=entry.overlap_ends_at,
        revoked=entry.revoked is not None,
    )


def _filled(identity: Identity, live: tuple[bytes, ...]) -> KeyRecord:
    first, second, *_ = (*live, secrets.token_bytes(32), secrets.token_bytes(32))
    return KeyRecord(identity, (first, second))
