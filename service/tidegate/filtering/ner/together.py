"""Two models as one: what either of them finds, or what both do."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.filtering.ner.model import Model, Name


class Either:
    """What one of them finds. Where they differ about its edges it is all of it; about its kind, the first is right."""

    def __init__(self, first: Model, second: Model) -> None:
        self._models = first, second
        self.name = f"{first.name}|{second.name}"
        self.entities = first.entities | second.entities

    def read(self, sentences: Sequence[str]) -> list[list[Name]]:
        """The names in each."""
        first, second = (model.read(sentences) for model in self._models)
        return [united([*one, *other]) for one, other in zip(first, second, strict=True)]


class Both:
    """What one of them finds and the other calls the same, in part at least. A kind that one alone knows is its own."""

    def __init__(self, first: Model, second: Model) -> None:
        self._models = first, second
        self.name = f"{first.name}&{second.name}"
        self.entities = first.entities | second.entities
        self._shared = first.entities & second.entities

    def read(self, sentences: Sequence[str]) -> list[list[Name]]:
        """The names in each, as the first has them."""
        first, second = (model.read(sentences) for model in self._models)
        return [self._agreed(one, other) for one, other in zip(first, second, strict=True)]

    def _agreed(self, one: Sequence[Name], other: Sequence[Name]) -> list[Name]:
        shared = agreed([name for name in one if name.entity in self._shared], other)
        return united([*shared, *(name for name in (*one, *other) if name.entity not in self._shared)])


def agreed(one: Sequence[Name], other: Sequence[Name]) -> list[Name]:
    """Those of `one` that overlap one of the same kind in `other`."""
    return [name for name in one if any(_same(name, each) for each in other)]


def widened(names: Sequence[Name], wide: Sequence[Name]) -> list[Name]:
    """The same, each as far as one of its kind goes that it overlaps in `wide`."""
    found = []
    for name in names:
        around = [name, *(other for other in wide if _same(name, other))]
        found.append(Name(name.entity, min(each.start for each in around), max(each.end for each in around)))
    return united(found)


def united(names: Sequence[Name]) -> list[Name]:
    """One name for those of a kind that overlap; of others that do, the one that comes first in `names`."""
    kept: list[Name] = []
    for name in names:
        touched = [other for other in kept if name.start < other.end and other.start < name.end]
        if all(other.entity == name.entity for other in touched):
            start, end = min(each.start for each in [name, *touched]), max(each.end for each in [name, *touched])
            kept = [*(other for other in kept if other not in touched), Name(name.entity, start, end)]
    return sorted(kept, key=lambda name: name.start)


def _same(one: Name, other: Name) -> bool:
    return one.entity == other.entity and one.start < other.end and other.start < one.end
