"""Verdicts that were bought already: keys of objects, names of roles and models come again in every response."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

SIZE: Final = 16_384
SECONDS: Final = 300.0


class Remembered:
    """Shared by threads. Kept are digests of passages, the latest `SIZE` of them, for `SECONDS` of `now`; no text."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._verdicts: OrderedDict[bytes, tuple[float, tuple[str, ...]]] = OrderedDict()

    def get(self, passage: str) -> tuple[str, ...] | None:
        """The categories of a passage, where they are known."""
        with self._lock:
            since, categories = self._verdicts.get(_digest(passage), (0.0, None))
            return categories if categories is not None and self._now() - since < SECONDS else None

    def put(self, passage: str, categories: Sequence[str]) -> None:
        """They are known now."""
        with self._lock:
            key = _digest(passage)
            self._verdicts[key] = self._now(), tuple(categories)
            self._verdicts.move_to_end(key)
            if len(self._verdicts) > SIZE:
                self._verdicts.popitem(last=False)


def _digest(passage: str) -> bytes:
    return blake2b(passage.encode("utf-8", "surrogatepass"), digest_size=16).digest()
