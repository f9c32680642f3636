"""Texts with the values in them labelled: chat answers, code and technical prose, the same for the same seed.

    for text, values in corpus.chat(seed=1, count=100): ...

Names of people, places and organisations occur in most chat answers; every other kind of value in turn, so that each is
there about equally often. What has no label is nobody's: order numbers, digests, versions, names of packages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle
from random import Random
from typing import Final, NamedTuple

from tests.quality.issued import names
from tests.quality.issued.national import NATIONAL
from tests.quality.issued.personal import PERSONAL
from tests.quality.issued.secrets import SECRETS
from tests.quality.issued.shapes import Draw, Kind
from tests.quality.near_misses import NEAR_MISSES
from tests.quality.sentences import CODE, MANUAL, SAID, TALK, WRITTEN

KINDS: Final = (*PERSONAL, *NATIONAL, *SECRETS)
NAMES: Final[Mapping[str, Draw]] = {
    "PERSON": names.person,
    "LOCATION": names.place,
    "ORGANIZATION": names.organisation,
}
_SLOT = re.compile(r"<([A-Za-z]+)>")


class Value(NamedTuple):
    """One labelled value: characters `start` to `end` of its text."""

    start: int
    end: int
    entity: str


class Labelled(NamedTuple):
    """A text and all that it holds, in order."""

    text: str
    values: tuple[Value, ...]


Maker = Callable[[int, int], list[Labelled]]


def chat(seed: int, count: int, kinds: Sequence[Kind] = KINDS) -> list[Labelled]:
    """Answers of an assistant, of one to seven paragraphs, nine in ten of them with a value or a name."""
    return _texts("chat", seed, count, _answer, kinds)


def code(seed: int, count: int) -> list[Labelled]:
    """Programs, configurations and logs of some twenty pieces, every other one with a value somewhere."""
    return _texts("code", seed, count, partial(_pages, CODE, WRITTEN, "\n"))


def prose(seed: int, count: int) -> list[Labelled]:
    """Technical prose of some twenty sentences, every other one with a value somewhere."""
    return _texts("prose", seed, count, partial(_pages, MANUAL, SAID, " "))


def _texts(
    what: str,
    seed: int,
    count: int,
    make: Callable[[Random, Iterator[Kind], _Draft], None],
    kinds: Sequence[Kind] = KINDS,
) -> list[Labelled]:
    rng = Random(f"{what} {seed}")
    turns = cycle(rng.sample(kinds, len(kinds)))
    made = []
    for _ in range(count):
        draft = _Draft(rng)
        make(rng, turns, draft)
        made.append(draft.labelled())
    return made


def _answer(rng: Random, kinds: Iterator[Kind], draft: _Draft) -> None:
    sentences: list[tuple[str, Kind | None]] = [(rng.choice(TALK), None) for _ in range(rng.randint(1, 5))]
    for _ in range(rng.choice((0, 1, 1, 2))):
        kind = next(kinds)
        sentences.insert(rng.randint(0, len(sentences)), (_said(rng, kind, SAID), kind))
    for at, (sentence, kind) in enumerate(sentences):
        draft.write(sentence, kind)
        if at < len(sentences) - 1:
            draft.text("\n\n" if "\n" in sentence or rng.random() < 0.3 else " ")


def _pages(
    pieces: Sequence[str], holding: Sequence[str], gap: str, rng: Random, kinds: Iterator[Kind], draft: _Draft
) -> None:
    at = rng.randrange(20) if rng.random() < 0.5 else -1
    for place in range(20):
        if place == at:
            kind = next(kinds)
            draft.write(_said(rng, kind, holding), kind)
            draft.text(gap)
        draft.write(rng.choice(pieces), None)
        draft.text(gap)


def _said(rng: Random, kind: Kind, otherwise: Sequence[str]) -> str:
    """A sentence of its own, or another: always its own where nothing else says what it is."""
    own = kind.says and (not kind.labels or rng.random() < 0.5)
    return rng.choice(kind.says if own else otherwise)


class _Draft:
    """A text that is being written, and where its values stand."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._parts: list[str] = []
        self._size = 0
        self._values: list[Value] = []

    def labelled(self) -> Labelled:
        return Labelled("".join(self._parts), tuple(self._values))

    def text(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)

    def write(self, sentence: str, kind: Kind | None) -> None:
        """A sentence with its slots filled."""
        done = 0
        words = {} if kind is None else _words(self._rng, kind)
        for slot in _SLOT.finditer(sentence):
            self.text(sentence[done : slot.start()])
            done = slot.end()
            name = slot[1]
            if name in NAMES:
                self._value(NAMES[name](self._rng), name)
            elif name in NEAR_MISSES:
                self.text(NEAR_MISSES[name](self._rng))
            elif name == "v" and kind is not None:
                self._value(kind.draw(self._rng), kind.entity)
            else:
                self.text(words.get(name, slot[0]))
        self.text(sentence[done:])

    def _value(self, text: str, entity: str) -> None:
        self._values.append(Value(self._size, self._size + len(text), entity))
        self.text(text)


def _words(rng: Random, kind: Kind) -> dict[str, str]:
    if not kind.labels:
        return {}
    label, key = rng.choice(kind.labels), rng.choice(kind.keys)
    first, *others = key.lower().split("_")
    return {
        "label": label,
        "Label": label[0].upper() + label[1:],
        "key": key,
        "KEY": key.upper(),
        "camel": first + "".join(map(str.capitalize, others)),
    }
