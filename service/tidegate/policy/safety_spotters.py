"""Content safety as a policy has it, to what judges: the classifier, and services that are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from tidegate.filtering.safety.azure import AzureContentSafety
from tidegate.filtering.safety.categories import CATEGORIES
from tidegate.filtering.safety.classifier import Classifier
from tidegate.filtering.safety.openai import OpenAiModeration
from tidegate.filtering.safety.service import Service
from tidegate.filtering.spotting import Spotter
from tidegate.policy import content_safety as shape
from tidegate.policy.content_safety import secret_of

_DEFAULT = shape.ContentSafety(classifier=shape.Classifier())


def spotters(
    section: shape.ContentSafety | None, named: Set[str], secrets: Mapping[str, bytes] | None = None
) -> tuple[Spotter, ...]:
    """What judges the categories among the entities that are `named`; nothing is loaded where there are none."""
    if named.isdisjoint(CATEGORIES):
        return ()
    section = section or _DEFAULT
    services = list(_services(section, secrets or {}))
    local = None
    if section.classifier is not None or any(given.on_failure == "local" for given, _ in services):
        thresholds = section.classifier.thresholds if section.classifier is not None else {}
        local = Classifier({str(name): chance for name, chance in thresholds.items()})
    asked = [_moderator(given, service, local) for given, service in services]
    return (*([local] if local is not None and section.classifier is not None else ()), *asked)


def _moderator(given: shape.OpenAi | shape.Azure, service: Service, local: Classifier | None) -> Spotter:
    from tidegate.filtering.safety.calls import Calls  # imported on use: an HTTP client comes with it
    from tidegate.filtering.safety.moderator import Moderator

    calls = Calls(service.url, service.headers, timeout=given.timeout, per_minute=given.calls_per_minute)
    return Moderator(service, calls, on_failure=given.on_failure, classifier=local)


def found_by(section: shape.ContentSafety | None) -> frozenset[str]:
    """The categories that anything in the section judges."""
    section = section or _DEFAULT
    found = frozenset(CATEGORIES if section.classifier is not None else ())
    found |= OpenAiModeration.entities if section.openai is not None else frozenset()
    return found | (AzureContentSafety.entities if section.azure is not None else frozenset())


def _services(
    section: shape.ContentSafety, secrets: Mapping[str, bytes]
) -> Iterator[tuple[shape.OpenAi | shape.Azure, Service]]:
    if (openai := section.openai) is not None:
        key = secrets[secret_of("openai")].decode("ascii")
        scores = {str(name): score for name, score in openai.thresholds.items()}
        yield openai, OpenAiModeration(key, url=openai.url, model=openai.model, thresholds=scores)
    if (azure := section.azure) is not None:
        key = secrets[secret_of("azure")].decode("ascii")
        severities = {str(name): severity for name, severity in azure.severities.items()}
        yield azure, AzureContentSafety(key, endpoint=azure.endpoint, severities=severities)
