"""What came of a load: every exchange counted by kind and outcome, and what must never happen by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from tidegate.filtering.formats.beats import COMMENT, empty_line

from tests.load.answers import read, text
from tests.load.connection import Response
from tests.load.kinds import KINDS, Kind

# What the service puts into a silent stream: a comment, or a line without text, spaced otherwise than the model's.
_BEATS = (COMMENT, empty_line(b'{"model": "small", "response": "", "done": false}\n'))


class Leak(NamedTuple):
    """A planted value that arrived: in which exchange, and where: in its "bytes", its "text", or its "headers"."""

    kind: str
    seed: int
    where: str


class Seen(NamedTuple):
    """One exchange, judged. `received` is bytes of its body, but for what only kept the stream alive."""

    kind: str
    outcome: str
    leaks: tuple[Leak, ...]
    received: int


def judge(kind: Kind, seed: int, response: Response) -> Seen:
    """What an exchange came to.

    An outcome is the status of a whole answer; "200 wrong body" and "200 stopped", where its text is not what may leave
    or ends in an error; "reset", "timed out", "truncated" and "left" otherwise, with " wrong body" where what did
    arrive is no beginning of what may leave.
    """
    told = text(seed, kind.pieces)
    found = read(kind.dialect, response.body) if response.status == 200 else None
    places = {
        "bytes": response.body.decode("utf-8", "replace"),
        "text": found.text if found else "",
        "headers": "\n".join(response.headers.values()),
    }
    leaks = tuple(
        Leak(kind.name, seed, where)
        for where, place in places.items()
        if any(secret in place for secret in told.secrets)
    )
    outcome = str(response.status) if response.end == "whole" else response.end
    if found is not None:
        if response.end != "whole":
            readable = kind.streams and told.expected.startswith(found.text)
            outcome += "" if readable or not response.body else " wrong body"
        elif found.error:
            outcome += " stopped"
        elif not found.ended or found.text != told.expected or _tells_what_was_not_asked(kind, response.body):
            outcome += " wrong body"
    beats = sum(response.body.count(beat) * len(beat) for beat in _BEATS)
    return Seen(kind.name, outcome, leaks, len(response.body) - beats)


def _tells_what_was_not_asked(kind: Kind, body: bytes) -> bool:
    """The service asks the model for a stream's usage; the client did not."""
    return kind.dialect == "chat stream" and b'"usage"' in body


@dataclass(frozen=True)
class Tally:
    """`outcomes` and `received` (bytes, as in `Seen`) by kind; `held` is the fewest and most streams open at once.

    The first streams and the last are not held yet, or any more: what is counted is between `Traffic`'s warm-up and the
    moment when it begins nothing new.
    """

    outcomes: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    received: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    leaks: tuple[Leak, ...] = ()
    held: tuple[int, int] = (0, 0)

    @property
    def total(self) -> int:
        """Exchanges in all."""
        return sum(sum(outcomes.values()) for outcomes in self.outcomes.values())

    @property
    def wrong_allows(self) -> int:
        """Answers to callers who had to be refused."""
        most = {kind: KINDS[kind].let_in for kind in self.outcomes}
        return sum(max(0, self.let_in(kind) - let_in) for kind, let_in in most.items() if let_in is not None)

    @property
    def wrong(self) -> Mapping[str, int]:
        """Outcomes that are not right for their kind, as "kind: outcome"."""
        return {
            f"{kind}: {outcome}": count
            for kind, outcomes in self.outcomes.items()
            for outcome, count in outcomes.items()
            if outcome not in KINDS[kind].right
        }

    def count(self, outcome: str) -> int:
        """How many exchanges of any kind ended so."""
        return sum(outcomes.get(outcome, 0) for outcomes in self.outcomes.values())

    def let_in(self, kind: str) -> int:
        """How many exchanges of a kind reached an answer of the model's, whole or not."""
        return sum(
            count
            for outcome, count in self.outcomes.get(kind, {}).items()
            if outcome.startswith(("200", "truncated", "left"))
        )

    def since(self, earlier: Tally) -> Tally:
        """What came after an earlier tally of the same load."""
        outcomes = {
            kind: Counter(counts) - Counter(earlier.outcomes.get(kind, {})) for kind, counts in self.outcomes.items()
        }
        received = {kind: size - earlier.received.get(kind, 0) for kind, size in self.received.items()}
        return Tally(outcomes, received, self.leaks[len(earlier.leaks) :], self.held)
