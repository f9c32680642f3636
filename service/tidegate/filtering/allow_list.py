"""Values that are never touched: an address of one's own help desk is nobody's secret."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tidegate.filtering.canonical import canonical
from tidegate.filtering.letters import letters_of
from tidegate.filtering.urls import host_of

_NUMBERS: Final = frozenset({"CREDIT_CARD", "IBAN", "IP_ADDRESS", "PHONE", "US_SSN"})
"""Kinds of value of which a number is listed in whatever way it is written."""
_DIGITS: Final = 4  # a term with fewer is no number that can be written in another way


class AllowList:
    """Values, compared as a reader sees them and without regard to case; and domains whose addresses are all allowed.

    `entities` are those that the list is for, None for all. Stateless, and shared between threads.
    """

    def __init__(
        self, terms: Iterable[str], domains: Iterable[str] = (), *, entities: frozenset[str] | None = None
    ) -> None:
        listed = frozenset(terms)
        self._entities = entities
        self._values = frozenset(map(letters_of, listed))
        self._domains = frozenset(map(letters_of, domains))
        numbers = [term for term in listed if sum(char.isdigit() for char in term) >= _DIGITS]
        self._numbers = {
            entity: _all_of(entity, numbers)
            for entity in _NUMBERS
            if numbers and (entities is None or entity in entities)
        }

    def lists(self, entity: str, value: str) -> bool:
        """Whether a value that was found as this entity is one of the list's: all of it, not a part."""
        if self._entities is not None and entity not in self._entities:
            return False
        if letters_of(value) in self._values:
            return True
        numbers = self._numbers.get(entity)
        return numbers is not None and not numbers.isdisjoint(_all_of(entity, [value]))

    def covers(self, entity: str, value: str) -> bool:
        """Whether such a value is listed, or of a domain that is."""
        return self.lists(entity, value) or (self._is_for(entity) and self._has_domain(_domain(entity, value)))

    def _is_for(self, entity: str) -> bool:
        return bool(self._domains) and (self._entities is None or entity in self._entities)

    def _has_domain(self, host: str) -> bool:
        labels = host.split(".")
        return any(".".join(labels[at:]) in self._domains for at in range(len(labels) - 1))


@dataclass(frozen=True, slots=True)
class Allowed:
    """The allow lists of an endpoint: the platform's, and its owner's `own`, which leave the floor's entities alone."""

    platform: tuple[AllowList, ...] = ()
    own: tuple[AllowList, ...] = ()
    floor: frozenset[str] = frozenset()

    def covers(self, entity: str, value: str) -> bool:
        """Whether a value that was found as this entity stays as it is."""
        return any(one.covers(entity, value) for one in self._for(entity))

    def lists(self, entity: str, value: str) -> bool:
        """Whether that is because the value itself is known, and not its domain alone."""
        return any(one.lists(entity, value) for one in self._for(entity))

    def _for(self, entity: str) -> tuple[AllowList, ...]:
        return self.platform if entity in self.floor else self.platform + self.own


def _domain(entity: str, value: str) -> str:
    """The domain that a value is of, as far as it is allowed by it."""
    match entity:
        case "EMAIL" | "UNGROUNDED_EMAIL":
            return letters_of(value).rpartition("@")[2]
        case "UNGROUNDED_URL":
            return host_of(value.partition("://")[2] or value)
    return ""


def _all_of(entity: str, terms: Iterable[str]) -> frozenset[str]:
    found = set()
    for term in terms:
        with contextlib.suppress(ValueError):  # it is no value of that kind
            found.add(letters_of(canonical(entity, term)))
    return frozenset(found - {""})
