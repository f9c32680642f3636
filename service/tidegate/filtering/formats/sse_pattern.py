"""Events that repeat each other but for a piece of text: most of a stream. They are analysed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tidegate.filtering.formats.coverage import Tally, size
from tidegate.filtering.formats.dialect import Channel
from tidegate.filtering.formats.json_text import NUMBER, VALID, Leaf

# Values that change with every event and mean nothing for the reading of it.
_VARYING: Final = frozenset({"created", "created_at", "id", "obfuscation", "sequence_number", "system_fingerprint"})


@dataclass(slots=True)
class Counts:
    """What some leaves of an event add to the receipt."""

    scanned: int = 0
    fields: int = 0
    numbers: int = 0
    dropped: int = 0
    loose: int = 0

    def number(self, token: str, was_read: bool) -> None:
        """Count a number."""
        if was_read:
            self.fields += 1
            self.scanned += len(token)
        else:
            self.numbers += 1

    def string(self, kind: str, token: str, *, complete: bool = True) -> None:
        """Count a string or a key. A string that may go on in another event is not said to be scanned."""
        if kind == "string" and not complete:
            self.loose += 1
            return
        self.scanned += size(token)
        self.fields += kind == "string"

    def add_to(self, tally: Tally) -> None:
        """Write it all into the receipt."""
        tally.scanned_bytes += self.scanned
        tally.scanned_fields += self.fields
        tally.skip("number", self.numbers)
        tally.skip("dropped_logprobs", self.dropped)
        tally.skip("not_incremental", self.loose)


@dataclass(frozen=True, slots=True)
class Pattern:
    """An event with holes: one piece of a channel's text, and the values that vary.

    What fills the holes is all that is new in an event that fits. `counts` is what the rest adds to the receipt.
    """

    literals: list[str]
    holes: list[Leaf]
    piece: Leaf
    channel: Channel
    counts: Counts

    def fill(self, payload: str) -> list[str] | None:
        """The tokens that stand in the holes, when `payload` fits: then it is as valid as the first one was."""
        if not payload.startswith(self.literals[0]):
            return None
        at = len(self.literals[0])
        tokens: list[str] = []
        for hole, literal in zip(self.holes, self.literals[1:], strict=True):
            found = (NUMBER if hole.kind == "number" else VALID).match(payload, at)
            if found is None or not payload.startswith(literal, found.end()):
                return None
            tokens.append(found[0])
            at = found.end() + len(literal)
        return tokens if at == len(payload) else None


class Varying:
    """The values that have been seen to vary."""

    def __init__(self) -> None:
        self._last: dict[str | int, str] = {}

    def holes(self, payload: str, leaves: list[Leaf]) -> list[Leaf]:
        """The leaves of an event that are not what they were in the one before."""
        found: list[Leaf] = []
        for leaf in leaves:
            if len(leaf.path) == 1 and leaf.kind != "key" and leaf.path[0] in _VARYING:
                token = payload[leaf.start : leaf.end]
                if self._last.setdefault(leaf.path[0], token) != token:
                    found.append(leaf)
                    self._last[leaf.path[0]] = token
        return found


def pattern_of(payload: str, varying: list[Leaf], piece: Leaf, channel: Channel, counts: Counts) -> Pattern:
    """What `payload` and the events like it have in common."""
    holes = sorted([piece, *varying], key=lambda leaf: leaf.start)
    edges = [0, *(edge for hole in holes for edge in (hole.start, hole.end)), len(payload)]
    literals = [payload[edges[i] : edges[i + 1]] for i in range(0, len(edges), 2)]
    return Pattern(literals, holes, piece, channel, counts)
