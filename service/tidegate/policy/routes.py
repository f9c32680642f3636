"""Which endpoints answer for a host and a path: exact paths first, then templates, the most specific first.

A template's segments are compared from the left: a literal beats `{variable}`, which beats the final `**`. `**` takes
one segment or more. Where one path is declared for a host and for "*", the host's own wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.policy.compiled import Endpoint

REST = "**"
ANY_HOST = "*"


def segments(path: str) -> list[str]:
    """The segments of a path or template that begins with "/"."""
    return path[1:].split("/")


def variable(segment: str) -> str:
    """The name inside a `{name}` segment, or "" for any other segment."""
    return segment[1:-1] if segment.startswith("{") and segment.endswith("}") else ""


def variables(template: str) -> tuple[str, ...]:
    """The variables of a template, in order."""
    return tuple(name for name in map(variable, segments(template)) if name)


def shape(template: str) -> str:
    """The template without its variables' names: two templates of one shape match the same paths."""
    return "/" + "/".join("{}" if variable(segment) else segment for segment in segments(template))


def is_template(path: str) -> bool:
    """Whether a declared path is more than one exact path."""
    return path.endswith("/" + REST) or bool(variables(path))


def bind(template: str, path: str) -> Mapping[str, str]:
    """The values of a template's variables in a path that it matches."""
    pairs = zip(segments(template), segments(path), strict=False)
    return {name: value for segment, value in pairs if (name := variable(segment))}


_Group = dict[str, tuple["Endpoint", ...]]


class _Node:
    """One segment's place in the tree of templates. Written while `Routes` is built, only read afterwards."""

    __slots__ = ("any", "here", "literals", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.here: _Group = {}
        self.rest: _Group = {}

    def find(self, path: list[str], index: int, host: str) -> tuple[Endpoint, ...]:
        """The endpoints of the most specific template below this node. Each node is visited once at most."""
        if index == len(path):
            return _of_host(self.here, host)
        segment = path[index]
        literal = self.literals.get(segment)
        if literal is not None and (found := literal.find(path, index + 1, host)):
            return found
        if self.any is not None and segment and (found := self.any.find(path, index + 1, host)):
            return found
        return _of_host(self.rest, host)


class Routes:
    """The index over a policy's endpoints. Immutable once built."""

    __slots__ = ("_exact", "_templates")

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._exact: dict[str, _Group] = {}
        self._templates: _Node | None = None
        for endpoint in endpoints:
            group = self._group(endpoint.path)
            for host in endpoint.hosts:
                group[host] = (*group.get(host, ()), endpoint)

    def match(self, host: str, path: str) -> tuple[Endpoint, ...]:
        """Every endpoint declared for the best match; more than one only where their methods differ."""
        group = self._exact.get(path)
        if group is not None and (found := _of_host(group, host)):
            return found
        if self._templates is None or not path.startswith("/"):
            return ()
        return self._templates.find(segments(path), 0, host)

    def _group(self, path: str) -> _Group:
        if not is_template(path):
            return self._exact.setdefault(path, {})
        if self._templates is None:
            self._templates = _Node()
        node = self._templates
        for segment in segments(path):
            if segment == REST:
                return node.rest
            if variable(segment):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.literals.setdefault(segment, _Node())
        return node.here


def _of_host(group: _Group, host: str) -> tuple[Endpoint, ...]:
    return group.get(host) or group.get(ANY_HOST, ())
