"""An Envoy configuration, YAML or JSON, as parts that know their line and their path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tidegate.errors import TidegateError
from tidegate.policy.document import MAX_BYTES, MAX_DEPTH, Path, dotted

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_PARTS = 200_000


class UnreadableConfig(TidegateError):
    """The file is no configuration that Envoy could read."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value of the file: a mapping or list of parts, or the text of a scalar. Names are in snake case."""

    value: dict[str, Part] | list[Part] | str
    line: int
    path: Path

    @property
    def where(self) -> str:
        """Its path, as people write it."""
        return dotted(self.path)

    def at(self, *names: str) -> Part | None:
        """The part under these names; None when there is none."""
        part: Part | None = self
        for name in names:
            part = part.value.get(name) if part is not None and isinstance(part.value, dict) else None
        return part

    def text(self, *names: str) -> str:
        """The scalar under these names, "" when there is none."""
        part = self.at(*names)
        return part.value if part is not None and isinstance(part.value, str) else ""

    def items(self, *names: str) -> list[Part]:
        """The list under these names, [] when there is none."""
        part = self.at(*names)
        return part.value if part is not None and isinstance(part.value, list) else []

    def true(self, *names: str) -> bool:
        """Whether a flag under these names is set."""
        return self.text(*names).lower() == "true"

    def within(self) -> Iterator[Part]:
        """The part and all parts in it."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            match part.value:
                case dict():
                    waiting += reversed(part.value.values())
                case list():
                    waiting += reversed(part.value)


def read(text: str) -> Part:
    """The parts of a file. Raises `UnreadableConfig`, which names a line."""
    if len(text) > MAX_BYTES:
        raise UnreadableConfig(f"the file is larger than {MAX_BYTES // 1024**2} MiB")
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UnreadableConfig(f"line {line}: {error.problem or 'bad YAML'}") from None
    except (yaml.YAMLError, RecursionError):
        raise UnreadableConfig("this is no YAML") from None
    if not isinstance(root, yaml.MappingNode):
        raise UnreadableConfig("an Envoy configuration is a mapping")
    return _Reader().part(root, (), 1)


class _Reader:
    def __init__(self) -> None:
        self._left = _MAX_PARTS

    def part(self, node: yaml.Node, path: Path, line: int) -> Part:
        self._left -= 1
        # An alias stands for its node each time, so a few of them could be billions of parts, or one without an end.
        if len(path) > 2 * MAX_DEPTH or self._left < 0:
            raise UnreadableConfig(f"line {line}: too deeply nested, or too many aliases")
        if isinstance(node, yaml.MappingNode):
            parts: dict[str, Part] = {}
            for key, value in node.value:
                name = _snake(str(key.value))
                parts[name] = self.part(value, (*path, name), key.start_mark.line + 1)
            return Part(parts, line, path)
        if isinstance(node, yaml.SequenceNode):
            listed = [
                self.part(item, (*path, number), item.start_mark.line + 1) for number, item in enumerate(node.value)
            ]
            return Part(listed, line, path)
        return Part(str(node.value), line, path)


def _snake(name: str) -> str:
    """A name of protobuf's JSON as the field is called; Envoy takes both."""
    if not name.isidentifier():  # a filter's name, a header's, "@type"
        return name
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
