"""Inputs near a seed, where no fuzzer is that is guided by coverage."""

from __future__ import annotations

import random

_PIECES = (
    b"",
    b".",
    b"..",
    b"/",
    b"//",
    b"%2f",
    b"%00",
    b";",
    b",",
    b'"',
    b"\\",
    b"\0",
    b"\r\n",
    b"=",
    b"{",
    b"[",
    b"]}",
    b"\xff",
)


def mutated(seed: bytes, chance: random.Random) -> bytes:
    """The seed after one to four changes: bytes replaced, taken out or doubled, or what parsers trip over put in."""
    data = seed
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((0, 0, 1, 2, 8, 64)))
        match chance.randint(0, 3):
            case 0:
                piece = chance.choice(_PIECES)
            case 1:
                piece = chance.randbytes(chance.randint(1, 3))
            case 2:
                piece = data[start:end] * 2
            case _:
                place = chance.randint(0, len(data))
                piece = data[place : place + chance.randint(1, 32)]
        data = data[:start] + piece + data[end:]
    return data
