"""Values drawn from a written shape: `ghp_{w:36}` is a prefix and 36 letters and digits."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from importlib import import_module
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

Draw = Callable[[Random], str]

_ALPHABETS: Final[Mapping[str, str]] = {
    "d": string.digits,
    "n": string.digits[1:],
    "h": "0123456789abcdef",
    "H": "0123456789ABCDEF",
    "l": string.ascii_lowercase,
    "L": string.ascii_uppercase,
    "a": string.ascii_lowercase + string.digits,
    "A": string.ascii_uppercase + string.digits,
    "w": string.ascii_letters + string.digits,
    "u": string.ascii_letters + string.digits + "-_",
    "b": string.ascii_letters + string.digits + "+/",
}
_SLOT = re.compile(r"\{(\w+)(?::(\d+))?\}")


class Kind(NamedTuple):
    """A kind of value. `labels` is what people call it and `keys` what programs do; `says` are sentences of its own
    with `<v>` for the value. `bare` tells that a reader knows one without being told what it is."""

    entity: str
    draw: Draw
    labels: tuple[str, ...]
    keys: tuple[str, ...]
    says: tuple[str, ...] = ()
    bare: bool = False


def shape(rng: Random, template: str) -> str:
    """One value of that shape. Slots are an alphabet and a length, `uuid`, or parts of a date (`yymmdd`, `yyyy`, …)."""
    year, month, day = rng.randint(1940, 2005), rng.randint(1, 12), rng.randint(1, 28)
    words = {
        "yy": f"{year % 100:02}",
        "yyyy": f"{year}",
        "mm": f"{month:02}",
        "dd": f"{day:02}",
        "yymmdd": f"{year % 100:02}{month:02}{day:02}",
        "ddmmyy": f"{day:02}{month:02}{year % 100:02}",
        "yyyymmdd": f"{year}{month:02}{day:02}",
        "uuid": str(UUID(int=rng.getrandbits(128), version=4)),
    }

    def slot(found: re.Match[str]) -> str:
        name, size = found.groups()
        return words[name] if size is None else "".join(rng.choices(_ALPHABETS[name], k=int(size)))

    return _SLOT.sub(slot, template)


def shaped(*templates: str) -> Draw:
    """Values of any of these shapes."""
    return lambda rng: shape(rng, rng.choice(templates))


def valid(name: str, *templates: str, written: bool = True) -> Draw:
    """Values that python-stdnum's module of that name takes; every other one as that module writes it, if `written`."""
    module: Any = import_module(f"stdnum.{name}")
    layout = getattr(module, "format", None)

    def draw(rng: Random) -> str:
        template = rng.choice(templates)
        while not module.is_valid(value := shape(rng, template)):
            pass
        return layout(value) if written and layout is not None and rng.random() < 0.5 else value

    return draw
