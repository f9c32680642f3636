"""Records in a chain of hashes: each carries the hash of the one before it, so none can be changed by itself.

A line is `{"hash":"…","record":{…}}` and nothing else; the hash is of the record's bytes as they stand in the line,
SHA-256 (FIPS 180-4), or HMAC of it (RFC 2104) where there is a key. Keys are sorted and numbers are whole, so a line is
in canonical form (RFC 8785) too.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import orjson

NOTHING: Final = "0" * 64
"""What stands for the hash before the first record."""

Kind = Literal["open", "decision", "response", "reveal", "gap", "close"]

_HEAD: Final = b'{"hash":"'
_BETWEEN: Final = b'","record":'
_BODY: Final = len(_HEAD) + 64 + len(_BETWEEN)


class Head(NamedTuple):
    """Where a chain ends: the number and the hash of its last record."""

    seq: int = 0
    hash: str = NOTHING


class Sealed(NamedTuple):
    """A record in its chain: `before` and `head` are where the chain ended without it and ends with it.

    `opens` is true of the first record of a file. `line` has no line break.
    """

    before: Head
    head: Head
    line: bytes
    opens: bool


def chain_key(pepper: bytes) -> bytes:
    """The key of the chain, derived from the pepper so that neither tells the other; b"" where there is no pepper."""
    return hmac.digest(pepper, b"audit chain", hashlib.sha256) if pepper else b""


def algorithm(key: bytes) -> str:
    """What the hashes are."""
    return "hmac-sha256" if key else "sha256"


def digest(key: bytes, body: bytes) -> str:
    """The hash of a record's bytes."""
    return hmac.digest(key, body, hashlib.sha256).hex() if key else hashlib.sha256(body).hexdigest()


class Chain:
    """The chain of one writer, which no other writes to."""

    def __init__(self, writer: str, key: bytes, head: Head) -> None:
        self._writer = writer
        self._hash: Any = hmac.new(key, digestmod=hashlib.sha256) if key else hashlib.sha256()
        self.head = head

    def seal(self, at: float, kind: Kind, fields: Mapping[str, Any]) -> Sealed:
        """The next record; `at` is Unix seconds. What lies within `fields` has its keys in order."""
        before = self.head
        seq = before.seq + 1
        record = {
            **fields,
            "at": datetime.fromtimestamp(at, UTC),
            "kind": kind,
            "prev": before.hash,
            "seq": seq,
            "writer": self._writer,
        }
        body = _bytes(record)
        of_body = self._hash.copy()  # a third of what it costs to begin with the key each time (measured)
        of_body.update(body)
        self.head = Head(seq, of_body.hexdigest())
        line = b"".join((_HEAD, self.head.hash.encode(), _BETWEEN, body, b"}"))
        return Sealed(before, self.head, line, kind == "open")


def split(line: bytes) -> tuple[str, bytes]:
    """The hash and the record's bytes of a line without its line break; ValueError for what is no such line."""
    if not (line.startswith(_HEAD) and line[_BODY - len(_BETWEEN) : _BODY] == _BETWEEN and line.endswith(b"}}")):
        raise ValueError("no record")
    return line[len(_HEAD) : len(_HEAD) + 64].decode("ascii", "replace"), line[_BODY:-1]


def parse(body: bytes) -> dict[str, Any]:
    """A record from its bytes; ValueError when it lacks what every record has."""
    record = orjson.loads(body)
    if not isinstance(record, dict) or type(record.get("seq")) is not int:
        raise ValueError("no record")
    if not all(isinstance(record.get(name), str) for name in ("at", "kind", "prev", "writer")):
        raise ValueError("no record")
    return record


@lru_cache(maxsize=64)
def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names))


def _bytes(record: Mapping[str, Any]) -> bytes:
    record = {name: record[name] for name in _in_order(tuple(record))}
    try:
        return orjson.dumps(record, option=orjson.OPT_UTC_Z)
    except TypeError:  # half of a surrogate pair, which UTF-8 cannot carry
        plain = {**record, "at": record["at"].isoformat().replace("+00:00", "Z")}
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "replace")
