"""The classifier: logistic regression on words, pairs of words and parts of words, one for each category.

A passage of n words has `bias + sum of weights / sqrt(n)` as its log-odds (n at least `SHORTEST`), so a long passage is
not more suspicious for being long. Words that name a group of people stand for each other in pairs: who is hated in
the data that it was trained on is not all who can be. Weights are whole numbers, six of them packed into one, so a
passage costs a dictionary look-up and an addition for each word.

Bag-of-words models with subword features: Joulin et al., "Bag of Tricks for Efficient Text Classification" (2017).
"""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import pairwise, repeat
from struct import Struct
from typing import Final

from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.words import canonical, tokens

SHORTEST: Final = 4
GROUP: Final = "<group>"
PARTS: Final = (3, 4)
FORMAT: Final = 1
_FILE: Final = "weights.xz"
_FIELD: Final = 32
_SIGN: Final = 1 << (_FIELD - 1)
_SHIFT: Final = sum(_SIGN << (_FIELD * at) for at in range(len(CATEGORIES)))  # makes every field a count from 0
_FIELDS: Final = Struct(f"<{len(CATEGORIES)}I")
_REMEMBERED: Final = 1 << 15


def parts(word: str) -> list[str]:
    """What a word is made of: every run of 3 and of 4 characters, its ends marked."""
    marked = f"<{word}>"
    return [marked[at : at + size] for size in PARTS for at in range(len(marked) - size + 1)]


def pack(weights: Sequence[int]) -> int:
    """Weights as one number, whose sums are packed sums as long as none passes 2^31."""
    return sum(weight << (_FIELD * at) for at, weight in enumerate(weights))


def unpack(packed: int) -> list[int]:
    """What was packed, or the sums of it."""
    return [found - _SIGN for found in _FIELDS.unpack((packed + _SHIFT).to_bytes(_FIELDS.size, "little"))]


class _Canonical(dict[str, str]):
    """Token → the word that it stands for. What is remembered is bounded."""

    def __init__(self, known: Mapping[str, int]) -> None:
        super().__init__()
        self._known = known

    def __missing__(self, token: str) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        word = self[token] = canonical(token, self._known)
        return word


class _Scores(dict[str, int]):
    """Word → what it and its parts weigh, packed. What is remembered is bounded."""

    def __init__(self, words: Mapping[str, int], parts_: Mapping[str, int]) -> None:
        super().__init__()
        self._words, self._parts = words, parts_

    def __missing__(self, word: str) -> int:
        if len(self) >= _REMEMBERED:
            self.clear()
        score = self[word] = self._words.get(word, 0) + sum(map(self._parts.get, parts(word), repeat(0)))
        return score


class Model:
    """Stateless but for what it remembers of words, and shared between threads.

    `words`, `pairs` and `parts` have packed weights, in units of 1/`scale`; a pair is two words that follow each other
    (or have one between them: `skips`), groups of people as GROUP.
    """

    def __init__(
        self,
        *,
        scale: int,
        bias: Sequence[float],
        groups: Iterable[str],
        words: Mapping[str, int],
        pairs: Mapping[tuple[str, str], int],
        skips: Mapping[tuple[str, str], int],
        parts: Mapping[str, int],
    ) -> None:
        self._scale, self._bias = scale, tuple(bias)
        self._groups = frozenset(groups)
        self._canonical = _Canonical(words)
        self._scores = _Scores(words, parts)
        self._pair: Callable[[tuple[str, str], int], int] = pairs.get
        self._skip: Callable[[tuple[str, str], int], int] = skips.get

    def odds(self, text: str) -> list[float]:
        """The log-odds of each of CATEGORIES; of a text without words, the bias."""
        words = list(map(self._canonical.__getitem__, tokens(text)))
        total = sum(map(self._scores.__getitem__, words))
        if not self._groups.isdisjoint(words):
            words = [GROUP if word in self._groups else word for word in words]
        total += sum(map(self._pair, pairwise(words), repeat(0)))
        total += sum(map(self._skip, zip(words, words[2:], strict=False), repeat(0)))
        by = self._scale * math.sqrt(max(len(words), SHORTEST))
        return [bias + found / by for bias, found in zip(self._bias, unpack(total))]  # noqa: B905 (made alike above)


def dump(head: Mapping[str, object], tables: Sequence[Sequence[tuple[str, Sequence[int]]]]) -> bytes:
    """A model as it is shipped: a line of JSON, the names of each table, and their weights, one byte a category."""
    lines = [json.dumps({"format": FORMAT, **head, "sizes": [len(table) for table in tables]}, sort_keys=True)]
    lines += [name for table in tables for name, _ in table]
    rows = [weights for table in tables for _, weights in table]
    columns = bytes(row[at] & 0xFF for at in range(len(CATEGORIES)) for row in rows)
    names = "\n".join(lines).encode()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    return lzma.compress(len(names).to_bytes(4, "big") + names + columns, filters=filters)


def parse(data: bytes) -> Model:
    """The model of what `dump` made."""
    raw = lzma.decompress(data)
    end = 4 + int.from_bytes(raw[:4], "big")
    first, *names = raw[4:end].decode().split("\n")
    head = json.loads(first)
    if head["format"] != FORMAT or head["categories"] != list(CATEGORIES):
        raise ValueError("weights of another version")
    columns = [memoryview(raw)[end + at * len(names) : end + (at + 1) * len(names)] for at in range(len(CATEGORIES))]
    packed = list(map(pack, zip(*(column.cast("b") for column in columns), strict=True)))
    tables: list[dict[str, int]] = []
    for size in head["sizes"]:
        at = sum(map(len, tables))
        tables.append(dict(zip(names[at : at + size], packed[at : at + size], strict=True)))
    words, pairs, skips, parts_ = tables
    return Model(
        scale=head["scale"],
        bias=head["bias"],
        groups=head["groups"],
        words=words,
        pairs={_pair(name): weight for name, weight in pairs.items()},
        skips={_pair(name): weight for name, weight in skips.items()},
        parts=parts_,
    )


def _pair(name: str) -> tuple[str, str]:
    first, _, second = name.partition(" ")
    return first, second


@cache
def shipped() -> Model:
    """The model in the package, read once."""
    return parse(resources.files(__package__).joinpath(_FILE).read_bytes())
