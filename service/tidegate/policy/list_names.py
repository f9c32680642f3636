"""Whether what rulesets look for is listed: for each endpoint, by the platform or by the tenant that owns it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tidegate.policy.declared import refer
from tidegate.policy.endpoints import Endpoint
from tidegate.policy.lists import AllowList, DenyList
from tidegate.policy.schema import Document
from tidegate.policy.validate import Report
from tidegate.policy.words import LISTED, entities


def listed_entities(data: Any) -> frozenset[str]:
    """What the deny lists of a document are found as, faulty ones and those of every tenant included."""
    tenants = data.get("tenants") if isinstance(data, dict) else None
    owners = [data, *(tenants.values() if isinstance(tenants, dict) else ())]
    lists = [owner.get("deny_lists") for owner in owners if isinstance(owner, dict)]
    return frozenset(LISTED + str(name).upper() for listed in lists if isinstance(listed, dict) for name in listed)


def check_lists(document: Document, data: Any, report: Report) -> None:
    """Report lists of nothing, allow lists for what nothing finds, and endpoints without a list that they look for."""
    known = entities() | listed_entities(data)
    for tenant in (None, *document.tenants):
        owner = document if tenant is None else document.tenants[tenant]
        path: tuple[str, ...] = () if tenant is None else ("tenants", tenant)
        for section in ("deny_lists", "allow_lists"):
            for name, one in getattr(owner, section).items():
                _check_list((*path, section, name), one, known, report)
    for name, endpoint in document.endpoints.items():
        _check_endpoint(name, endpoint, document, report)


def _check_list(path: tuple[str, ...], one: DenyList | AllowList, known: frozenset[str], report: Report) -> None:
    domains = one.domains if isinstance(one, AllowList) else []
    if report.whole and not (one.terms or one.file or domains):
        report.at(path, "is empty: give it terms, or a file of them", key=True)
    if isinstance(one, AllowList):
        refer("kind of value", one.only, known, (*path, "only"), report)


def _check_endpoint(name: str, endpoint: Endpoint, document: Document, report: Report) -> None:
    owner = document.tenants.get(endpoint.owner)
    if not report.whole or owner is None:
        return
    listed = {LISTED + one.upper() for one in (*document.deny_lists, *owner.deny_lists)}
    for ruleset in rulesets_of(endpoint, document):
        for rule in document.rulesets.get(ruleset, ()):
            for kind in rule.detect:
                if kind.startswith(LISTED) and kind not in listed:
                    message = (
                        f"ruleset {ruleset!r} looks for {kind}, and neither the platform nor tenant "
                        f"{endpoint.owner!r} has a deny list {kind.removeprefix(LISTED).lower()!r}"
                    )
                    report.at(("endpoints", name), message, key=True)


def rulesets_of(endpoint: Endpoint, document: Document) -> Iterable[str]:
    """Every ruleset that a response of the endpoint may have to pass, whatever the caller's tier."""
    classification = document.classifications.get(endpoint.classification or "")
    tiers = [name for tier in document.tiers.values() for name in tier.rulesets]
    of_class = classification.rulesets if classification else ()
    return dict.fromkeys([*document.platform.floor.rulesets, *of_class, *endpoint.rulesets, *tiers])
