"""docs/architecture.md names the modules that there are: all rooms, and no module that has gone or was renamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICE = ROOT / "service" / "tidegate"
PAGE = re.sub(r"^```.*?^```", "", (ROOT / "docs" / "architecture.md").read_text(), flags=re.DOTALL | re.MULTILINE)
PATH = re.compile(r"(?:[a-z_]+/)+(?:[a-z_]+(?:\.py)?)?|[a-z_]+\.py")
ROOM = re.compile(r"^(?:\| |- )`([a-z_/]+/)`(?: \||:)(.*(?:\n  .*)*)", re.MULTILINE)


def spans(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def is_there(name: str, *bases: Path) -> bool:
    return any((base / name).exists() or (base / f"{name}.py").is_file() for base in bases)


def rooms() -> Iterator[tuple[str, str]]:
    """What stands by itself in the text of a package: `reading` in that of `envoy/`."""
    for room, text in ROOM.findall(PAGE):
        yield from ((room, name) for name in sorted(spans(text)) if re.fullmatch(r"[a-z_]+\*?/?", name))


def defined(name: str, room: Path) -> bool:
    """Whether a module of the room, or of one inside of it, has this name, or defines it."""
    sources = [*room.rglob("*.py")]
    if any(path.stem == name or path.parent.name == name.rstrip("/") for path in sources) or [*room.glob(name)]:
        return True
    definition = re.compile(
        rf"^\s*(?:async )?(?:(?:def|class) {re.escape(name)}\b|(?:self\.)?{re.escape(name)}: )", re.MULTILINE
    )
    return any(definition.search(path.read_text()) for path in sources)


def test_every_path_on_the_page_leads_to_a_module() -> None:
    paths = {name for name in spans(PAGE) if PATH.fullmatch(name)}
    assert len(paths) > 60
    assert {name for name in paths if not is_there(name, SERVICE, *SERVICE.glob("*/"), ROOT)} == set()


def test_what_a_room_is_said_to_hold_is_in_it() -> None:
    told = list(rooms())
    assert len(told) > 80
    assert [(room, name) for room, name in told if not defined(name, SERVICE / room)] == []


def test_every_module_at_the_top_has_a_place_on_the_page() -> None:
    modules = {path.name for path in SERVICE.glob("*.py") if not path.name.startswith("__")}
    packages = {f"{path.parent.name}/" for path in SERVICE.glob("*/__init__.py")}
    assert (modules | packages) - spans(PAGE) == set()
