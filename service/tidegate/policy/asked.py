"""Which kinds of value a document asks for, and where: in rulesets, and in what requests are checked for."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.policy.document import Path
from tidegate.policy.schema import Document


def asked(document: Document) -> Iterator[tuple[str, Path]]:
    """Each name in a `detect`, kinds and groups, and its place."""
    for name, rules in document.rulesets.items():
        for index, rule in enumerate(rules):
            for place, entity in enumerate(rule.detect):
                yield entity, ("rulesets", name, index, "detect", place)
    for name, endpoint in document.endpoints.items():
        for index, prompt in enumerate(endpoint.request.rules if endpoint.request is not None else ()):
            for place, entity in enumerate(prompt.detect):
                yield entity, ("endpoints", name, "request", "rules", index, "detect", place)


def first_asked(document: Document) -> dict[str, Path]:
    """Where each name is asked for first."""
    places: dict[str, Path] = {}
    for entity, path in asked(document):
        places.setdefault(entity, path)
    return places
