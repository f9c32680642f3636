"""What was asked of a moderation service."""

from __future__ import annotations

import threading
from collections import Counter


class Usage:
    """Counted by threads: calls by outcome, the characters sent, passages by who judged them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.passages: Counter[str] = Counter()
        self.characters = 0

    def call(self, outcome: str, characters: int = 0) -> None:
        """One call, or one that was not made."""
        with self._lock:
            self.calls[outcome] += 1
            self.characters += characters

    def judged(self, by: str, passages: int) -> None:
        """Passages that "service", "memory", "classifier" or "nobody" judged."""
        with self._lock:
            self.passages[by] += passages

    def snapshot(self) -> tuple[Counter[str], int, Counter[str]]:
        """Calls, characters and passages, at one instant."""
        with self._lock:
            return Counter(self.calls), self.characters, Counter(self.passages)
