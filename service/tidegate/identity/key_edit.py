"""Writing to a key file, so that a crash leaves the old file or the new one, and two writers lose nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tidegate.errors import PolicyError
from tidegate.identity import key_file
from tidegate.identity.key_changes import KeyChangeRefused
from tidegate.identity.key_file import KeyEntry
from tidegate.identity.replacing import only_writer, replace

_EMPTY: Final = "version: 1\nkeys:\n"


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Add `record` (the fields of a key, plain values) to the key file at `path`, made with mode 0600 when absent.

    Comments and order of the file stay. Raises PolicyError when the file is bad, or would be with the record in it,
    and OSError when it cannot be written; the file is untouched then.
    """
    target = path.resolve()
    with only_writer(target.parent):
        exists = target.exists()
        text = target.read_text(encoding="utf-8") if exists else _EMPTY
        if exists:
            key_file.parse(text, name=str(path))
        replace(target, with_record(text, record, name=str(path)))


def change(path: Path, key_id: str, step: Callable[[KeyEntry], KeyEntry]) -> KeyEntry:
    """Replace the entry with this id by what `step` makes of it; the new entry.

    Comments and order stay but for comments inside the entry. Raises as `append` does, what `step` raises, and
    KeyChangeRefused when no key has the id.
    """
    target = path.resolve()
    with only_writer(target.parent):
        text = target.read_text(encoding="utf-8")
        entries = key_file.parse(text, name=str(path))
        for index, entry in enumerate(entries):
            if entry.id == key_id:
                made = step(entry)
                wanted = (*entries[:index], made, *entries[index + 1 :])
                replace(target, _with_entry(text, index, wanted, name=str(path)))
                return made
    raise KeyChangeRefused(f"{path} has no key {key_id}")


def with_record(text: str, record: Mapping[str, Any], *, name: str) -> str:
    """The text of a key file with one more record: added to its end where that is sound, written anew otherwise."""
    item = yaml.safe_dump([dict(record)], sort_keys=False, width=1000)
    added = "".join(" " * _indent(text) + line for line in item.splitlines(keepends=True))
    grown = text + ("" if text.endswith("\n") else "\n") + added
    try:
        if key_file.parse(grown, name=name)[-1].id == record["id"]:
            return grown
    except PolicyError:
        pass  # the list is in flow style, or not the last thing in the file
    data = yaml.safe_load(text)
    data["keys"] = [*(data["keys"] or ()), dict(record)]
    written = yaml.safe_dump(data, sort_keys=False, width=1000)
    key_file.parse(written, name=name)
    return written


def _with_entry(text: str, index: int, wanted: tuple[KeyEntry, ...], *, name: str) -> str:
    """The text with the entry at `index` put in the old one's place, or written anew where that does not come out."""
    node = _items(text)[index]
    column = node.start_mark.column
    lines = yaml.safe_dump(wanted[index].record(), sort_keys=False, width=1000).splitlines()
    placed = text[: node.start_mark.index] + f"\n{' ' * column}".join(lines) + text[_end(node) :]
    try:
        if key_file.parse(placed, name=name) == wanted:
            return placed
    except PolicyError:
        pass  # the list is in flow style
    data = yaml.safe_load(text)
    data["keys"] = [entry.record() for entry in wanted]
    return yaml.safe_dump(data, sort_keys=False, width=1000)


def _end(node: yaml.Node) -> int:
    """Where the text of a node ends. A block's own mark stands where the next thing begins, after its comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _indent(text: str) -> int:
    """The column of the dashes of the list of keys."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "keys" and isinstance(value, yaml.SequenceNode) and value.value:
            return int(value.start_mark.column)
    return 2


def _items(text: str) -> list[yaml.Node]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    return [item for key, value in pairs if key.value == "keys" for item in value.value]
