"""The file of revoked tokens: YAML, written by `tidegate tokens revoke`, read again whenever it changes.

```yaml
version: 1
revoked:
  - {token: 4f1c2b, until: 2030-01-01T00:00:00Z}
  - {subject: ada, tenant: acme, before: 2029-07-01T12:00:00Z}
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tidegate.errors import PolicyError, Problem
from tidegate.identity.record_file import load, problem_at
from tidegate.identity.replacing import only_writer, replace
from tidegate.identity.revocation import MAX_ENTRIES, Revocation, RevokedTokens


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1]
    revoked: list[Revocation]


def read(path: Path) -> tuple[Revocation, ...]:
    """The entries of the file at `path`. Raises PolicyError with every fault, by file, line and key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise PolicyError((Problem(str(path), 0, "", f"cannot be read: {failure}"),)) from failure
    root, data = load(text, str(path))
    try:
        entries = tuple(_File.model_validate(data).revoked)
    except ValidationError as failure:
        errors = failure.errors(include_url=False, include_input=False, include_context=False)
        problems = [problem_at(root, error["loc"], error["msg"], str(path)) for error in errors]
        raise PolicyError(tuple(sorted(problems, key=lambda problem: problem.line))) from None
    if len(entries) > MAX_ENTRIES:
        raise PolicyError((Problem(str(path), 1, "revoked", f"has more than {MAX_ENTRIES} entries"),))
    return entries


def listed(path: Path | None) -> RevokedTokens:
    """The list in the file at `path`; None gives an empty one. Raises PolicyError."""
    return RevokedTokens(() if path is None else read(path))


def add(path: Path, entry: Revocation, *, now: float) -> None:
    """Add an entry to the file, made with mode 0600 when absent; entries that are over at `now` go.

    Raises PolicyError when the file is bad, and OSError when it cannot be written; it is untouched then.
    """
    target = path.resolve()
    with only_writer(target.parent):
        known = read(target) if target.exists() else ()
        kept = [one for one in dict.fromkeys((*known, entry)) if not one.over(now)]
        document = {"version": 1, "revoked": [one.record() for one in kept]}
        replace(target, yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=1000))
