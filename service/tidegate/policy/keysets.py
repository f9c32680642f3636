"""Static JWK sets: files of public keys that a policy names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from tidegate.policy.files import read_whole

MAX_BYTES = 1024 * 1024

_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one file, and the file's bytes for the policy's version."""

    keys: tuple[Mapping[str, Any], ...]
    content: bytes


def read_keys(path: Path) -> KeySet:
    """Read a JWK set of public keys; ValueError says in one sentence what is wrong with it."""
    content = read_whole(path, MAX_BYTES)
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}") from None
    keys = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise ValueError(f'{str(path)!r} is not a JWK set: an object whose "keys" lists at least one key')
    for index, key in enumerate(keys):
        _check(path, index, key)
    return KeySet(tuple(MappingProxyType(key) for key in keys), content)


def _check(path: Path, index: int, key: Mapping[str, Any]) -> None:
    where = f"key {index} of {str(path)!r}"
    if key.get("kty") not in ("RSA", "EC", "OKP"):
        raise ValueError(f"{where} is not a public key: kty is {json.dumps(key.get('kty'))[:20]}")
    if any(member in key for member in _PRIVATE):
        raise ValueError(f"{where} is a private key; publish the public one only, and replace the pair")
