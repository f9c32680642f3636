"""Where a delta of OpenAI's chat carries a piece of a tool's name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tidegate.filtering.formats.json_text import Path


class NamePiece(NamedTuple):
    """A piece at `path`, of the name of `channel`; `last` says that its call goes on with its arguments beside it."""

    path: Path
    channel: Path
    last: bool


def names(delta: Any, path: Path, channel: Path) -> Iterator[NamePiece]:
    """The pieces of names in `delta`, which stands at `path`; `channel` is its choice's."""
    if not isinstance(delta, dict):
        return
    calls = delta.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            index = call.get("index", place)
            own = index if isinstance(index, str | int) else place
            for kind in ("function", "custom"):
                step = ("tool_calls", place, kind), ("tool_calls", own, kind)
                yield from _named(call.get(kind), (*path, *step[0]), (*channel, *step[1]))
    yield from _named(delta.get("function_call"), (*path, "function_call"), (*channel, "function_call"))


def _named(node: Any, path: Path, channel: Path) -> Iterator[NamePiece]:
    if isinstance(node, dict) and isinstance(node.get("name"), str) and node["name"]:
        yield NamePiece((*path, "name"), (*channel, "name"), bool(node.get("arguments") or node.get("input")))
