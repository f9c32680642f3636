"""Strategies: texts with made-up values in them, and ways to write and to cut them."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st

EMAILS = ("bob@example.com", "ann.b+c@mail.example.org", "x_1@example.net")
CARD = "4111111111111111"
_PARTS = '@ | |, |\n|"|\\|\\u0040|é|😀|日本|\u200b|ask |example|.com|41111|11111|{|}|[|]|:|\t|\r|/|data: |[DONE]|0|.'
ATOMS = st.sampled_from([*EMAILS, CARD, "4111 1111 1111 1111", "@", *_PARTS.split("|")])
TEXTS = st.lists(ATOMS, max_size=12).map("".join)
PROSE = TEXTS.filter(lambda text: text.lstrip(" \t\r\n")[:1] not in ("{", "["))
PLACES = st.lists(st.integers(0, 1 << 16), max_size=6)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | TEXTS | st.just(int(CARD)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def write(value: Any, seed: int) -> str:
    """`value` as JSON, with white space and escapes chosen by `seed`. Every escape that JSON knows occurs."""
    rng = random.Random(seed)
    blank = "" if seed % 2 else rng.choice(["", " ", "\n", " \t"])
    if isinstance(value, str):
        return '"' + "".join(_char(char, rng) for char in value) + '"'
    if isinstance(value, list):
        return "[" + ",".join(blank + write(item, rng.getrandbits(16)) + blank for item in value) + "]"
    if isinstance(value, dict):
        members = (
            f"{blank}{write(name, rng.getrandbits(16))}{blank}:{blank}{write(item, rng.getrandbits(16))}"
            for name, item in value.items()
        )
        return "{" + ",".join(members) + blank + "}"
    return json.dumps(value)


def _char(char: str, rng: random.Random) -> str:
    if char in '"\\' or char < " " or rng.random() < 0.2:
        units = char.encode("utf-16-be", "surrogatepass")
        code = "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
        plain = json.dumps(char)[1:-1]
        return rng.choice([code, code.upper().replace("\\U", "\\u"), plain])
    return char


def strings(value: Any, depth: int = 0) -> list[str]:
    """Every string of a document, and of the documents that stand in its strings."""
    if isinstance(value, str):
        found = [value]
        if depth < 3 and value.lstrip()[:1] in ("{", "["):
            with suppress(ValueError):
                found += strings(json.loads(value), depth + 1)
        return found
    if isinstance(value, list):
        return [text for item in value for text in strings(item, depth)]
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in strings(item, depth)]
    return [str(value)]
