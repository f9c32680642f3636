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
from tidegate.identity.record_file import load, problem_at

ID_PATTERN = r"[a-z0-9]{12,64}"


def iso(value: object) -> object:
    """A quoted ISO 8601 time as a datetime; YAML has read an unquoted one already."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


_Hash = Annotated[str, StringConstraints(pattern=r"^blake2b:[0-9a-f]{64}\z")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[!-~]([ -~]*[!-~])?\z")]
Moment = Annotated[AwareDatetime, BeforeValidator(iso)]


class KeyEntry(BaseModel):
    """One key of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[str, StringConstraints(pattern=rf"^{ID_PATTERN}\z")]
    hash: _Hash | None = None
    hashes: Annotated[list[_Hash], Field(min_length=1, max_length=2)] | None = None
    subject: Name
    tenant: Name
    tier: Name
    roles: list[Name] = []
    scopes: list[Name] = []
    endpoints: Annotated[list[Name], Field(min_length=1)] | None = None
    expires: Moment | None = None
    overlap_until: Moment | None = None
    revoked: Moment | None = None

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
    root, data = load(text, name)
    problems: list[Problem] = []
    entries: tuple[KeyEntry, ...] = ()
    try:
        entries = tuple(_KeyFile.model_validate(data).keys)
    except ValidationError as failure:
        errors = failure.errors(include_url=False, include_input=False, include_context=False)
        problems += [problem_at(root, error["loc"], error["msg"], name) for error in errors]
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry.id in seen:
            problems.append(problem_at(root, ("keys", index, "id"), "another key has this id", name))
        seen.add(entry.id)
    if problems:
        raise PolicyError(tuple(sorted(problems, key=lambda problem: problem.line)))
    return entries
