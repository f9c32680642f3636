"""The names that a policy document declares, and whether what refers to one leads anywhere."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.policy.document import Path
from tidegate.policy.validate import Report, suggestion


@dataclass(frozen=True, slots=True)
class Declared:
    """Every name that the document declares, by section, those of faulty parts included."""

    tiers: Collection[str]
    classifications: Collection[str]
    rulesets: Collection[str]
    tenants: Collection[str]
    endpoints: Collection[str]

    @classmethod
    def of(cls, data: Any) -> Declared:
        """What stands in a document's data, whatever that is."""

        def names(section: str) -> Collection[str]:
            found = data.get(section) if isinstance(data, dict) else None
            return found if isinstance(found, dict) else ()

        return cls(names("tiers"), names("classifications"), names("rulesets"), names("tenants"), names("endpoints"))


def refer(kind: str, used: Sequence[str], known: Collection[str], path: Path, report: Report) -> None:
    """Report each of a list of names at `path` that is not `known`."""
    for index, name in enumerate(used):
        refer_one(kind, name, known, (*path, index), report)


def refer_one(kind: str, name: str, known: Collection[str], path: Path, report: Report, *, key: bool = False) -> None:
    """Report a name that is not `known`; with `key` it is the key at `path`, not its value."""
    if name not in known:
        report.at(path, f"unknown {kind} {name!r}{suggestion(name, known)}", key=key)
