"""docs/hold-back.md, how long text is held back: made answers as a stream of tokens, whose clock is counted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from tidegate.filtering.detectors import DETECTORS, ENTITIES, GROUPS, expand
from tidegate.filtering.encodings import context
from tidegate.filtering.passages import LONGEST, Passages
from tidegate.filtering.rewriter import TextRewriter
from tidegate.filtering.ruleset import Action, FilterPlan

from tests.detector_reference import TOKENS_A_SECOND, milliseconds
from tests.pages import DOCS, held
from tests.quality import corpus

FILE = DOCS / "hold-back.md"
SEED: Final = 3
ANSWERS: Final = 120
PATTERN_GROUPS: Final = tuple(name for name in GROUPS if expand([name]) <= ENTITIES)
TOKEN_MS: Final = 1000 // TOKENS_A_SECOND
_TOKEN = re.compile(r"\s*(?:[^\W\d]{1,5}|\d{1,3}|[^\w\s]{1,2}|_)|\s+")
INTRODUCTION = f"""\
# How long text is held back

Made by `python -m tests.hold_back_reference --write`; a test holds the page to that.

Text waits while more text could still make it a value, or another one. Here {ANSWERS} made answers
([quality.md](quality.md) says of what) stream at {TOKENS_A_SECOND} tokens a second, cut as a tokenizer cuts: at
most five letters, three digits or two signs, and the blanks before them. Time is counted in tokens, so no
machine has a part in it: what a detector needs to think comes on top, and `tidegate_hold_back_seconds` measures
both in the service. The answers hold far more keys and numbers than those of a real model, which holds back
less.

*Held* is the share of characters that do not leave with their own token; *p50*, *p99* and *most* are how long
characters wait, of all of them. *Cap* is what is held at the very most, whatever the text, base64 and
hexadecimal of a value included ([detectors.md](detectors.md)), as characters and as milliseconds at 4
characters a token. A text that ends is never held, and a stream whose model is silent is kept alive
(`platform.heartbeat`; lines of JSON other than Ollama's where the endpoint's `blank_lines` say so).
"""


class Waits(NamedTuple):
    """How long characters waited, in tokens: how many each time, and the most that were held at once."""

    counts: Mapping[int, int]
    most_held: int

    def share(self) -> float:
        """Of characters that did not leave with their token."""
        total = sum(self.counts.values())
        return 1 - self.counts.get(0, 0) / total if total else 0.0

    def at(self, part: float) -> int:
        """The wait that this part of the characters does not pass."""
        total, seen = sum(self.counts.values()), 0
        for wait in sorted(self.counts):
            seen += self.counts[wait]
            if seen >= part * total:
                return wait
        return 0


def tokens(text: str) -> list[str]:
    """About what a tokenizer makes of it. Nothing is lost."""
    return _TOKEN.findall(text)


def waits_of(plan: FilterPlan, texts: Iterable[str]) -> Waits:
    """How long the characters of these texts wait under a plan."""
    counts: dict[int, int] = {}
    most = 0
    for text in texts:
        rewriter = TextRewriter(plan)
        most = max(most, _let_out(_held(rewriter, text), text, counts))
    return Waits(counts, most)


def passages(texts: Iterable[str]) -> Waits:
    """The same for what reads a sentence or line at a time, whatever it looks for."""
    counts: dict[int, int] = {}
    most = 0
    for text in texts:
        most = max(most, _let_out(_undecided(text), text, counts))
    return Waits(counts, most)


def _held(rewriter: TextRewriter, text: str) -> Iterator[int]:
    for token in tokens(text):
        rewriter.feed(token)
        yield rewriter.held


def _undecided(text: str) -> Iterator[int]:
    reading, taken = Passages(), 0
    for token in tokens(text):
        reading.feed(token)
        taken += len(token)
        yield taken - reading.decided


def _let_out(held: Iterator[int], text: str, counts: dict[int, int]) -> int:
    waiting: list[tuple[int, int]] = []  # (when it came, characters)
    most = released = taken = 0
    parts = tokens(text)
    for now, (token, still) in enumerate(zip(parts, held, strict=True)):
        waiting.append((now, len(token)))
        taken += len(token)
        most = max(most, still)
        released = _release(waiting, taken - still - released, now, counts) + released
    _release(waiting, taken - released, len(parts) - 1, counts)
    return most


def _release(waiting: list[tuple[int, int]], count: int, now: int, counts: dict[int, int]) -> int:
    left = max(0, count)
    out = left
    while left and waiting:
        came, size = waiting[0]
        gone = min(left, size)
        counts[now - came] = counts.get(now - came, 0) + gone
        left -= gone
        if gone == size:
            waiting.pop(0)
        else:
            waiting[0] = (came, size - gone)
    return out


def reference() -> str:
    """The whole page."""
    texts = [text for text, _ in corpus.chat(SEED, ANSWERS)]
    everything = {"everything that has a pattern": ENTITIES}
    groups = everything | {f"`{name}`": expand([name]) for name in PATTERN_GROUPS}
    kinds = {f"`{entity}`": frozenset({entity}) for entity in sorted(ENTITIES - expand(["SECRETS"]))}
    return "\n".join(
        [INTRODUCTION, *_table("Rulesets", groups, texts, sentences=True), *_table("Kinds of value", kinds, texts)]
    )


def _table(title: str, rows: Mapping[str, frozenset[str]], texts: list[str], *, sentences: bool = False) -> list[str]:
    lines = [
        f"## {title}",
        "",
        "| looked for | held | p50 ms | p99 ms | most ms | most characters | cap | cap ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, entities in rows.items():
        cap = context(max(row.cap for row in DETECTORS if row.entity in entities))
        lines.append(_row(name, waits_of(FilterPlan(dict.fromkeys(entities, Action.REDACT)), texts), cap))
    if sentences:
        lines.append(_row("what is read by the sentence: names, content safety", passages(texts), LONGEST))
    return [*lines, ""]


def _row(name: str, waits: Waits, cap: int) -> str:
    ms = [f"{waits.at(part) * TOKEN_MS:,}" for part in (0.5, 0.99, 1.0)]
    return f"| {name} | {waits.share():.1%} | {' | '.join(ms)} | {waits.most_held} | {cap:,} | {milliseconds(cap):,} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """See `held`."""
    return held(FILE, reference(), "tests.hold_back_reference", arguments)


if __name__ == "__main__":
    sys.exit(main())
