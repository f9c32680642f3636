"""The workloads of a policy, compiled: which SPIFFE ID is whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from tidegate.policy import spiffe

BELOW: Final = "/**"


@dataclass(frozen=True, slots=True)
class Workload:
    """Who a workload is. `id` is its SPIFFE ID, or with a final "/**" the IDs of every workload below.

    `subject` "" stands for the ID itself; `endpoints` None for any.
    """

    id: str
    tenant: str
    tier: str
    subject: str = ""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    endpoints: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Workloads:
    """All workloads. The other fields are derived when it is made: a request only looks up."""

    members: tuple[Workload, ...] = ()
    trust_domains: frozenset[str] = field(init=False, repr=False, compare=False)
    _exact: Mapping[str, Workload] = field(init=False, repr=False, compare=False)
    _above: tuple[tuple[str, Workload], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        above = [(member.id.removesuffix("**"), member) for member in self.members if member.id.endswith(BELOW)]
        exact = {member.id: member for member in self.members if not member.id.endswith(BELOW)}
        object.__setattr__(self, "trust_domains", frozenset(member.id.split("/")[2] for member in self.members))
        object.__setattr__(self, "_exact", MappingProxyType(exact))
        object.__setattr__(self, "_above", tuple(sorted(above, key=lambda pair: len(pair[0]), reverse=True)))

    def __bool__(self) -> bool:
        return bool(self.members)

    def knows(self, name: str) -> bool:
        """Whether `name` is a SPIFFE ID of a trust domain that is named here."""
        found = spiffe.parse(name)
        return found is not None and found.trust_domain in self.trust_domains

    def find(self, name: str) -> Workload | None:
        """The workload of an ID: its own entry, or the longest above it."""
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        return next((member for prefix, member in self._above if name.startswith(prefix)), None)


NO_WORKLOADS: Final = Workloads()
