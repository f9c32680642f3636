"""Whether what requests are checked for can be found, and what is to be done about it can be done."""

from __future__ import annotations

from typing import Any

from tidegate.policy.declared import Declared, refer_one
from tidegate.policy.document import Path
from tidegate.policy.endpoints import Endpoint
from tidegate.policy.list_names import listed_entities
from tidegate.policy.schema import Document
from tidegate.policy.validate import Report
from tidegate.policy.words import LISTED, entities


def check_requests(document: Document, data: Any, report: Report) -> None:
    """Report kinds of value and rulesets that there are not, lists that are not, and acts that rewrite."""
    kinds = entities() | listed_entities(data)
    rulesets = Declared.of(data).rulesets
    for name, endpoint in document.endpoints.items():
        if endpoint.request is None:
            continue
        path: Path = ("endpoints", name, "request")
        listed = _listed(endpoint, document)
        for index, rule in enumerate(endpoint.request.rules):
            for place, kind in enumerate(rule.detect):
                where: Path = (*path, "rules", index, "detect", place)
                refer_one("kind of value", kind, kinds, where, report)
                if kind in kinds and kind.startswith(LISTED) and report.whole and kind not in listed:
                    report.at(where, _unlisted(kind, endpoint.owner))
        for index, ruleset in enumerate(endpoint.request.rulesets):
            refer_one("ruleset", ruleset, rulesets, (*path, "rulesets", index), report)
            rules = document.rulesets.get(ruleset, ())
            if acts := sorted({rule.act for rule in rules} - {"block", "annotate"}):
                message = f"ruleset {ruleset!r} has act: {acts[0]}, but a request is not rewritten: block or annotate"
                report.at((*path, "rulesets", index), message)
            unlisted = sorted({kind for rule in rules for kind in rule.detect if kind.startswith(LISTED)} - listed)
            if unlisted and report.whole:
                report.at((*path, "rulesets", index), _unlisted(unlisted[0], endpoint.owner))


def _listed(endpoint: Endpoint, document: Document) -> frozenset[str]:
    """What the lists of the platform and of the endpoint's owner are found as."""
    owner = document.tenants.get(endpoint.owner)
    names = (*document.deny_lists, *(owner.deny_lists if owner is not None else ()))
    return frozenset(LISTED + name.upper() for name in names)


def _unlisted(kind: str, owner: str) -> str:
    name = kind.removeprefix(LISTED).lower()
    return f"neither the platform nor tenant {owner!r} has a deny list {name!r}"
