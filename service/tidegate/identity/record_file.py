"""YAML files of records, as nodes that know their lines and as data, so that a fault is named by file, line and key."""

from __future__ import annotations

from typing import Any, Final

import yaml

from tidegate.errors import PolicyError, Problem

_MAX_DEPTH: Final = 8
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """The document as nodes, which know their lines, and as data. Duplicate keys of a mapping are faults."""
    loader = _Loader(text)
    try:
        _refuse_deep(text, name)
        root = loader.get_single_node()
        duplicates = [] if root is None else list(_duplicates(root, (), name))
        data = None if root is None else loader.construct_document(root)
    # The last three are what a tag brings about that does not fit its value, as in `!!bool maybe`.
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, LookupError, TypeError) as failure:
        mark = getattr(failure, "problem_mark", None)
        message = f"not YAML: {getattr(failure, 'problem', None) or type(failure).__name__}"
        raise PolicyError((Problem(name, mark.line + 1 if mark else 1, "", message),)) from failure
    finally:
        loader.dispose()
    if duplicates:
        raise PolicyError(tuple(duplicates))
    return root, data


def _refuse_deep(text: str, name: str) -> None:
    """Reading the nodes of a deep document needs more stack than the process has, which ends it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise PolicyError((Problem(name, line, "", f"is nested more than {_MAX_DEPTH} deep"),))


def _duplicates(node: yaml.Node, path: tuple[str | int, ...], name: str) -> list[Problem]:
    found: list[Problem] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str | int] = set()
        for key, value in node.value:
            here = (*path, str(key.value))
            if here[-1] in seen:
                found.append(Problem(name, key.start_mark.line + 1, _dotted(here), "is given twice"))
            seen.add(here[-1])
            found += _duplicates(value, here, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            found += _duplicates(item, (*path, index), name)
    return found


def problem_at(root: yaml.Node | None, path: tuple[str | int, ...], message: str, name: str) -> Problem:
    """A fault at `path`, at the line of the deepest node on the way to it that exists."""
    node, line = root, 1 if root is None else root.start_mark.line + 1
    for step in path:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == step:
                    found, line = value, key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = node.value[step]
            line = node.value[step].start_mark.line + 1
        if found is None:
            break
        node = found
    return Problem(name, line, _dotted(path), message)


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
