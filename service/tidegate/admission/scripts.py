"""Lua scripts over many calls: what one is, who runs it, and how a call of one may fail."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

from redis.exceptions import ResponseError

from tidegate.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class Script:
    """A script over many calls: KEYS and ARGV[3..] of all of them one after the other.

    ARGV[1] is the time, for tests, or "", ARGV[2] when the callers give up, or "". Reply: { now, one for each call },
    none when it was too late. Times in microseconds.
    """

    source: bytes
    sha: bytes


def load_script(*names: str) -> Script:
    """The named files of this package, joined."""
    source = b"\n".join(files(__package__).joinpath(name).read_bytes() for name in names)
    return Script(source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


class Runner(Protocol):
    """What runs scripts: `ScriptRunner` on one Redis, `ClusterRunner` on many."""

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[bytes], now: bytes = b"") -> Any:
        """One call's element of the reply. Raises `StoreUnavailable`."""
        ...

    async def close(self) -> None:
        """Close connections; whoever still waits gets `StoreUnavailable`."""
        ...


class StoreTimedOut(StoreUnavailable):
    """The store did not answer in time. Whether it did what was asked is unknown."""


class ScriptFailed(StoreUnavailable):
    """The store answered, but this one call failed in it (a key of another type, say). Others are not affected."""


class SlotMoving(StoreUnavailable):
    """A slot of a cluster was being moved for too long: nothing was done. Its node is well, and serves its others."""


class Redirected(StoreUnavailable):
    """A node of a cluster did nothing with a call: `reply` says where the slot is, or that it is nowhere just now."""

    def __init__(self, reply: ResponseError) -> None:
        super().__init__(f"the limit store is a cluster, and its slots are elsewhere: {reply}")
        self.reply = reply
