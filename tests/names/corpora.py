"""Texts with the names that stand in them, read from public corpora in one-token-a-line form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.quality.corpus import Labelled, Value

PERSON, LOCATION, ORGANIZATION = "PERSON", "LOCATION", "ORGANIZATION"
_LABELS = {
    PERSON: ("per", "person", "politician", "writer", "musicalartist", "scientist", "researcher"),
    LOCATION: ("loc", "location", "country", "geo-loc", "facility"),
    ORGANIZATION: ("org", "organisation", "corporation", "group", "politicalparty", "band", "university"),
}
_ENTITY = {label: entity for entity, labels in _LABELS.items() for label in labels}
_TIGHT_BEFORE = re.compile(r"(?:[.,;:!?)\]}%\u2019\u201d]|'(?:s|m|re|ve|ll|d)?|n't|''|\.\.\.)\Z", re.IGNORECASE)
_TIGHT_AFTER = frozenset("([{$#\u201c") | {"``"}


FILES = {
    "wikigold": ("wikigold.conll.txt",),
    "wnut-train": ("wnut17train.conll",),
    "wnut-dev": ("emerging.dev.conll",),
    "btc-train": ("btc.train",),
    "btc-dev": ("btc.dev",),
    **{
        f"crossner-{part}": tuple(
            f"crossner-{field}-{part}.txt" for field in ("ai", "literature", "music", "politics", "science")
        )
        for part in ("train", "dev", "test")
    },
}
"""The parts of what can be had, by the word for them."""


def read(directory: Path, part: str) -> list[Labelled]:
    """The sentences of a part. The Broad Twitter Corpus calls accounts people, so that its mentions are left out."""
    found = [one for name in FILES[part] for one in _read(directory / name)]
    return [one for one in found if "@" not in one.text] if part.startswith("btc") else found


def _read(file: Path) -> Iterator[Labelled]:
    rows: list[tuple[str, str]] = []
    for line in [*file.read_text(encoding="utf-8").splitlines(), ""]:
        cells = line.split()
        if len(cells) >= 2:
            rows.append((cells[0], cells[-1]))
        elif rows:
            yield labelled(rows)
            rows = []


def labelled(rows: Iterable[tuple[str, str]]) -> Labelled:
    """Tokens and their tags (IOB1 or IOB2), as a person would write them."""
    text = ""
    spans: list[Value] = []
    previous = "O"
    glue, quoted = True, False
    for token, tag in rows:
        mark, _, label = tag.partition("-")
        tight = glue or bool(_TIGHT_BEFORE.match(token)) or (token == '"' and quoted)
        glue = token in _TIGHT_AFTER
        if token == '"':
            glue, quoted = not quoted, not quoted
        if text and not tight:
            text += " "
        start = len(text)
        text += token
        entity = _ENTITY.get(label.lower(), "")
        if entity:
            last = spans[-1] if spans else None
            if last is not None and mark != "B" and previous == label:
                spans[-1] = last._replace(end=len(text))
            else:
                spans.append(Value(start, len(text), entity))
        previous = label or "O"
    return Labelled(text, tuple(spans))
