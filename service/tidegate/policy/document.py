"""YAML to plain data, with the line of every key and value.

Read event by event with a stack of our own, so that no input recurses. Narrower than YAML 1.1 on purpose: no aliases
(a few hundred bytes of them can stand for gigabytes), no tags, no duplicate keys, one document, and the scalars of
YAML 1.2, where `on`, `no` and `12:30` are strings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Self

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from tidegate.errors import Problem

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 32

Path = tuple[str | int, ...]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,19})")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,20}|[0-9]{1,20}\.[0-9]{0,20})(?:[eE][-+]?[0-9]{1,3})?")
_PLAIN = re.compile(r"[A-Za-z0-9_<-]{1,64}")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}


class Written(float):
    """A number with a point, or one that is none, and its text: most decimals are no float."""

    text: str

    def __new__(cls, text: str) -> Self:
        """The number that YAML 1.2 reads in `text`."""
        made = super().__new__(cls, _SPECIAL.get(text, text))
        made.text = text
        return made

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Mark:
    """The lines (from 1) of a key, or list item, and of its value."""

    key: int
    value: int


@dataclass(slots=True)
class Tree:
    """A document as data. `unusable` are the places whose value was refused, so that nothing more is said of them."""

    data: Any = None
    marks: dict[Path, Mark] = field(default_factory=dict)
    unusable: set[Path] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True


def dotted(path: Path) -> str:
    """A path as people write it: `endpoints.chat.match.hosts[0]`, and `tiers['a b']` where a dot would mislead."""
    text = ""
    for part in path:
        plain = isinstance(part, str) and _PLAIN.fullmatch(part) is not None
        text += f"[{part!r}]" if not plain else f".{part}" if text else str(part)
    return text or "(document)"


def read(text: str, file: str) -> Tree:
    """The data of a YAML text, and every fault of the notation itself."""
    builder = _Builder(file, text)
    try:
        encoded = text.encode()
        if len(encoded) > MAX_BYTES:
            builder.stop(1, f"is larger than {MAX_BYTES // 1024**2} MiB")
        for event in yaml.parse(encoded, Loader=_LOADER):
            builder.take(event)
    except _StopReading:
        pass
    except UnicodeEncodeError as error:
        builder.fail(text.count("\n", 0, error.start) + 1, "holds a character that UTF-8 cannot carry")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = builder.line(mark.line if mark else 0)
        builder.fail(line, _yaml_message(error, text.split("\n")[line - 1]))
    except yaml.YAMLError as error:
        position = getattr(error, "position", 0)
        builder.fail(encoded.count(b"\n", 0, position) + 1, "holds a character that YAML does not allow")
    return builder.tree


class _StopReading(Exception):
    """Nothing after this point can be read with sense."""


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being filled."""

    into: dict[str, Any] | list[Any]
    path: Path
    key: str | None = None
    key_line: int = 0
    skip: bool = False


class _Builder:
    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.tree = Tree()
        self._stack: list[_Frame] = []
        self._lines = max(1, text.count("\n") + (not text.endswith("\n")))
        self._documents = 0

    def line(self, mark: int) -> int:
        """The number of a line that libyaml counted: it knows breaks that editors do not, and one past the end."""
        return min(mark + 1, self._lines)

    def fail(self, line: int, message: str) -> None:
        """A fault after which the document cannot be used at all."""
        self.tree.complete = False
        self.tree.problems.append(
            Problem(self.file, line, dotted(self._stack[-1].path if self._stack else ()), message)
        )

    def stop(self, line: int, message: str) -> None:
        self.fail(line, message)
        raise _StopReading

    def take(self, event: Event) -> None:
        line = self.line(event.start_mark.line if event.start_mark else 0)
        if isinstance(event, DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self.stop(line, "a second document begins here; a policy is one document")
        elif isinstance(event, CollectionEndEvent):
            self._stack.pop()
        elif isinstance(event, NodeEvent):
            frame = self._stack[-1] if self._stack else None
            if frame is not None and isinstance(frame.into, dict) and frame.key is None:
                self._take_key(frame, event, line)
            else:
                self._take_value(frame, event, line)

    def _take_key(self, frame: _Frame, event: NodeEvent, line: int) -> None:
        if not isinstance(event, ScalarEvent):
            self.stop(line, "a key must be a plain word")
            return
        self._refuse_decoration((*frame.path, event.value), event, line)
        frame.key, frame.key_line = event.value, line
        frame.skip = event.value in frame.into
        if frame.skip:
            first = self.tree.marks[(*frame.path, event.value)].key
            self._note(line, (*frame.path, event.value), f"duplicate key; the first one is on line {first}")

    def _take_value(self, frame: _Frame | None, event: NodeEvent, line: int) -> None:
        path, key_line, keep = self._place(frame, line)
        value: Any = None
        if isinstance(event, AliasEvent):
            self._note(line, path, "aliases (*name) are not accepted; repeat the value, or quote a literal '*'")
            self.tree.unusable.add(path)
        else:
            self._refuse_decoration(path, event, line)
        if isinstance(event, ScalarEvent):
            plain = event.implicit[0] and event.style in (None, "")
            value = _resolve(event.value) if plain else event.value
            if value is None:
                self._note(key_line, path, "has no value; give it one, or leave it out")
                self.tree.unusable.add(path)
        elif isinstance(event, CollectionStartEvent):
            if len(self._stack) >= MAX_DEPTH:
                self.stop(line, f"is nested more than {MAX_DEPTH} deep")
            value = {} if isinstance(event, MappingStartEvent) else []
        if keep:
            self.tree.marks[path] = Mark(key_line, line)
            if frame is None:
                self.tree.data = value
            elif isinstance(frame.into, dict):
                frame.into[str(path[-1])] = value
            else:
                frame.into.append(value)
        if isinstance(event, CollectionStartEvent):
            self._stack.append(_Frame(value, path))

    def _place(self, frame: _Frame | None, line: int) -> tuple[Path, int, bool]:
        """Where a value goes, the line of its key, and whether it is kept (a duplicate key's value is not)."""
        if frame is None:
            return (), line, True
        if isinstance(frame.into, list):
            return (*frame.path, len(frame.into)), line, True
        key, key_line, keep = frame.key or "", frame.key_line, not frame.skip
        frame.key, frame.skip = None, False
        # What stands below a duplicate key is read into a place of its own, so that it marks nothing of the first.
        return (*frame.path, key) if keep else (*frame.path, key, -key_line), key_line, keep

    def _refuse_decoration(self, path: Path, event: NodeEvent, line: int) -> None:
        if event.anchor is not None:
            self._note(line, path, f"anchors (&{event.anchor}) are not accepted")
        if getattr(event, "tag", None) is not None:
            self._note(line, path, "tags (!name) are not accepted")

    def _note(self, line: int, path: Path, message: str) -> None:
        self.tree.problems.append(Problem(self.file, line, dotted(path), message))


def _resolve(text: str) -> str | int | float | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if text in _SPECIAL or _FLOAT.fullmatch(text):
        return Written(text)
    return text


def _yaml_message(error: yaml.MarkedYAMLError, line: str) -> str:
    message = ", ".join(part for part in (error.problem, error.context) if part) or "bad YAML"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        message += "; indent with spaces, not tabs"
    if "alias" in message:
        message += "; quote a literal '*'"
    return message
