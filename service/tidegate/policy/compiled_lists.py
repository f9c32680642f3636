"""Deny lists and allow lists: the files that a policy names are read, and all their terms compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from tidegate.filtering import allow_list, deny_list
from tidegate.filtering.detectors import expand
from tidegate.policy import document as places
from tidegate.policy.lists import AllowList, DenyList
from tidegate.policy.schema import Document
from tidegate.policy.term_files import MAX_TERMS, TermFile, fault_of, read_terms
from tidegate.policy.validate import Report
from tidegate.policy.words import LISTED

PLATFORM: Final = ""
"""In place of a tenant's name, the platform."""

_COMPILED: WeakValueDictionary[tuple[str, str, bool, bool, bytes], deny_list.DenyList] = WeakValueDictionary()
"""Lists in use, by all that they are made of: one that a reload leaves alone is not compiled again."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The lists of each tenant and of the platform, and the `contents` of the files that they came from, by name."""

    deny: Mapping[str, tuple[deny_list.DenyList, ...]]
    allow: Mapping[str, tuple[allow_list.AllowList, ...]]
    contents: Mapping[str, bytes]


def list_files(document: Document) -> list[str]:
    """The files that lists name."""
    return [one.file for _, _, one in _lists(document) if one.file is not None]


def compile_lists(document: Document, base: Path, report: Report) -> Listed:
    """Read and compile every list; `report` is told of those that cannot be."""
    files: dict[str, TermFile] = {}
    deny: dict[str, tuple[deny_list.DenyList, ...]] = {}
    allow: dict[str, tuple[allow_list.AllowList, ...]] = {}
    for owner, path, one in _lists(document):
        terms = [*one.terms, *_read(one, base, path, files, report)]
        for index, term in enumerate(one.terms):
            if problem := fault_of(term):
                report.at((*path, "terms", index), problem)
        if len(terms) > MAX_TERMS:
            report.at(path, f"has more than {MAX_TERMS:,} terms")
        if report.problems:
            continue
        name = str(path[-1])
        if isinstance(one, DenyList):
            deny[owner] = (*deny.get(owner, ()), _denied(name, one, terms))
        else:
            only = expand(one.only) if one.only else None
            allow[owner] = (*allow.get(owner, ()), allow_list.AllowList(terms, one.domains, entities=only))
    return Listed(deny, allow, {name: file.content for name, file in files.items()})


def _lists(document: Document) -> Iterator[tuple[str, places.Path, DenyList | AllowList]]:
    """Each list with whose it is, and where it stands."""
    owners: list[tuple[str, places.Path, Mapping[str, DenyList], Mapping[str, AllowList]]] = [
        (PLATFORM, (), document.deny_lists, document.allow_lists)
    ]
    owners += [
        (name, ("tenants", name), tenant.deny_lists, tenant.allow_lists) for name, tenant in document.tenants.items()
    ]
    for owner, path, deny, allow in owners:
        for name, denied in deny.items():
            yield owner, (*path, "deny_lists", name), denied
        for name, allowed in allow.items():
            yield owner, (*path, "allow_lists", name), allowed


def _read(
    one: DenyList | AllowList, base: Path, path: places.Path, files: dict[str, TermFile], report: Report
) -> tuple[str, ...]:
    if one.file is None:
        return ()
    if one.file not in files:
        try:
            files[one.file] = read_terms(base / one.file)
        except ValueError as error:
            report.at((*path, "file"), str(error))
            return ()
    return files[one.file].terms


def _denied(name: str, one: DenyList, terms: list[str]) -> deny_list.DenyList:
    digest = hashlib.sha256("\n".join(sorted(terms)).encode("utf-8", "surrogatepass")).digest()
    entity = LISTED + name.upper()
    key = (entity, name, one.case_sensitive, one.whole_words, digest)
    found = _COMPILED.get(key)
    if found is None:
        found = deny_list.DenyList(entity, name, terms, cased=one.case_sensitive, whole=one.whole_words)
        _COMPILED[key] = found
    return found
