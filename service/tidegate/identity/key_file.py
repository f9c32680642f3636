"""The API key file: YAML on disk, validated, with every fault named by file, line and key. It holds no secrets.

```yaml
version: 1
keys:
  - id: acme0prod0001
    hash: blake2b:9f2c…          # of the secret, under the pepper
    subject: svc-batch
    tenant: acme
    tier: premium
    roles: [analyst]
    scopes: [chat]
    endpoints: [chat]            # optional: good for these only
    expires: 2030-01-01T00:00:00Z    # optional
  - id: acme0prod0002
    hashes: [blake2b:51aa…, blake2b:c07e…]    # while rotating: old, new
    overlap_until: 2029-06-01T00:00:00Z       # optional: when the old one ends
    revoked: 2029-07-01T00:00:00Z             # optional: from then on, whatever the clock says, it opens nothing
    …
```

The same record, as JSON, is what a key is in a store.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from tidegate.errors import PolicyError, Problem

ID_PATTERN = r"[a-z0-9]{12,64}"
_MAX_DEPTH = 8


def _iso(value: object) -> object:
    """A quoted ISO 8601 time as a datetime; YAML has read an unquoted one already."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


_Hash = Annotated[str, StringConstraints(pattern=r"^blake2b:[0-9a-f]{64}\z")]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[!-~]([ -~]*[!-~])?\z")]
_Moment = Annotated[AwareDatetime, BeforeValidator(_iso)]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class KeyEntry(BaseModel):
    """One key of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[str, StringConstraints(pattern=rf"^{ID_PATTERN}\z")]
    hash: _Hash | None = None
    hashes: Annotated[list[_Hash], Field(min_length=1, max_length=2)] | None = None
    subject: _Name
    tenant: _Name
    tier: _Name
    roles: list[_Name] = []
    scopes: list[_Name] = []
    endpoints: Annotated[list[_Name], Field(min_length=1)] | None = None
    expires: _Moment | None = None
    overlap_until: _Moment | None = None
    revoked: _Moment | None = None

    @model_validator(mode="after")
    def _sound_hashes(self) -> KeyEntry:
        if (self.hash is None) == (self.hashes is None):
            raise ValueError("give either hash, or hashes with one or two of them")
        if self.overlap_until is not None and len(self.hashes or ()) != 2:
            raise ValueError("overlap_until is when the first of two hashes ends")
        return self

    @property
    def digests(self) -> tuple[bytes, ...]:
        """The live hashes as bytes, one or two."""
        written = self.hashes if self.hashes is not None else [self.hash or ""]
        return tuple(bytes.fromhex(text.partition(":")[2]) for text in written)

    @property
    def expires_at(self) -> float | None:
        """Unix seconds, None for never."""
        return None if self.expires is None else self.expires.timestamp()

    @property
    def overlap_ends_at(self) -> float | None:
        """When the first of two hashes ends, Unix seconds; None for never."""
        return None if self.overlap_until is None else self.overlap_until.timestamp()

    def record(self) -> dict[str, Any]:
        """The entry in plain values, as files and stores hold it; what has its default is left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    keys: list[KeyEntry]


def read(path: Path) -> tuple[KeyEntry, ...]:
    """The entries of the key file at `path`. Raises PolicyError with every fault found."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise PolicyError((Problem(str(path), 0, "", f"cannot be read: {failure}"),)) from failure
    return parse(text, name=str(path))


def parse(text: str, *, name: str) -> tuple[KeyEntry, ...]:
    """The entries of a key file's text; `name` stands in the messages. Raises PolicyError."""
    root, data = _load(text, name)
    problems: list[Problem] = []
    entries: tuple[KeyEntry, ...] = ()
    try:
        entries = tuple(_KeyFile.model_validate(data).keys)
    except ValidationError as failure:
        errors = failure.errors(include_url=False, include_input=False, include_context=False)
        problems += [_problem(root, error["loc"], error["msg"], name) for error in errors]
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry.id in seen:
            problems.append(_problem(root, ("keys", index, "id"), "another key has this id", name))
        seen.add(entry.id)
    if problems:
        raise PolicyError(tuple(sorted(problems, key=lambda problem: problem.line)))
    return entries


def _load(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """The document as nodes, which know their lines, and as data. Duplicate keys of a mapping are faults."""
    loader = _Loader(text)
    try:
        _refuse_deep(text, name)
        root = loader.get_single_node()
        duplicates = [] if root is None else list(_duplicates(root, (), name))
        data = None if root is None else loader.construct_document(root)
    except (yaml.YAMLError, ValueError, RecursionError) as failure:
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


def _problem(root: yaml.Node | None, path: tuple[str | int, ...], message: str, name: str) -> Problem:
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
