"""What a recogniser of spaCy marks, by its own weights and choices, without its parser.

The recogniser reads word by word and chooses: a name begins here, goes on, ends, is this word alone, or there is none
(Lample et al., "Neural Architectures for Named Entity Recognition", section 3, as spaCy has it). Its parser takes a
third of the time for what little there is to choose. Outside of a name the choice does not depend on what came before,
so it is made for all words at once; inside, it is between going on and ending.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tidegate.filtering.ner.words import Span

if TYPE_CHECKING:
    from spacy.tokens import Doc

_FEATURES: Final = 3  # of a state: the word, the first word of the name that is open, the last one


def known(recogniser: Any) -> bool:
    """Whether a recogniser is one whose choices are made here: greedy, as spaCy trains them."""
    model = recogniser.model
    greedy = model.name == "parser_model" and recogniser.cfg["beam_width"] == 1
    return (
        greedy
        and model.attrs["has_upper"]
        and not model.attrs["unseen_classes"]
        and model.get_ref("lower").get_dim("nF") == _FEATURES
    )


class Transitions:
    """The choices of a `known` recogniser."""

    def __init__(self, recogniser: Any) -> None:
        model, system = recogniser.model, recogniser.moves
        moves = [system.get_class_name(number) for number in range(system.n_moves)]
        self._tok2vec = model.get_ref("tok2vec")
        self._lower = model.get_ref("lower")
        self._upper = model.get_ref("upper")
        self._labels = [move[2:] for move in moves]
        self._out = moves.index("O")
        self._begins = [at for at, move in enumerate(moves) if move[:2] == "B-"]
        self._never = [at for at, move in enumerate(moves) if move[:2] in {"I-", "L-"} or move == "U-"]
        self._ways = {move[2:]: (at, moves.index(f"L-{move[2:]}")) for at, move in enumerate(moves) if move[0] == "I"}

    def spans(self, docs: Sequence[Doc]) -> list[list[Span]]:
        """All that is marked in each."""
        lengths = [len(doc) for doc in docs]
        if not any(lengths):
            return [[] for _ in docs]
        padding, *_ = told = self._lower.predict(self._tok2vec.predict(docs))
        words = told[1:]
        outside = words[:, 0] + padding[1] + padding[2] + self._lower.get_param("b")
        scores = self._upper.predict(outside.max(axis=2))
        scores[:, self._never] = -np.inf  # outside of a name
        ends = np.cumsum(lengths)
        last = ends[np.array(lengths) > 0] - 1
        scores[last[:, None], self._begins] = -np.inf
        chosen: list[int] = scores.argmax(axis=1).tolist()
        starts = (ends - lengths).tolist()
        return [list(self._marked(doc, words, chosen, start)) for doc, start in zip(docs, starts, strict=True)]

    def _marked(self, doc: Doc, words: Any, chosen: Sequence[int], start: int) -> Iterator[Span]:
        at, end = start, start + len(doc)
        while at < end:
            move = chosen[at]
            if move != self._out and not doc[at - start].is_space:
                first = at
                if move in self._begins:
                    at += 1
                    while at < end - 1 and self._goes_on(words, first, at, self._labels[move]):
                        at += 1
                span = doc[first - start : at + 1 - start]
                yield Span(self._labels[move], span.start_char, span.end_char)
            at += 1

    def _goes_on(self, words: Any, first: int, at: int, label: str) -> bool:
        state = words[at, 0] + words[first, 1] + words[at - 1, 2] + self._lower.get_param("b")
        ways = list(self._ways[label])
        on, ends = self._upper.get_param("W")[ways] @ state.max(axis=1) + self._upper.get_param("b")[ways]
        return bool(on >= ends)
