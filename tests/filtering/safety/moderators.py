"""Moderators that ask the services on loopback, and passages that these find something in."""

from __future__ import annotations

from tidegate.filtering.safety.azure import AzureContentSafety
from tidegate.filtering.safety.calls import Calls
from tidegate.filtering.safety.classifier import Classifier
from tidegate.filtering.safety.moderator import Moderator, OnFailure
from tidegate.filtering.safety.openai import OpenAiModeration

from tests.filtering.safety.services import KEY, Service

RUDE = "You idiot, nobody likes you. "
HATE = "The Zorbs are filthy vermin and should be exterminated. "


class HandClock:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def openai(
    service: Service, *, on_failure: OnFailure = "withhold", timeout: float = 5.0, **options: object
) -> Moderator:
    thresholds = options.pop("thresholds", None)
    asking = OpenAiModeration(KEY, url=f"{service.url}/v1/moderations", thresholds=thresholds)  # type: ignore[arg-type]
    calls = Calls(asking.url, asking.headers, timeout=timeout, **options)  # type: ignore[arg-type]
    return Moderator(asking, calls, on_failure=on_failure, classifier=Classifier() if on_failure == "local" else None)


def azure(service: Service, *, severities: dict[str, int] | None = None, **options: object) -> Moderator:
    asking = AzureContentSafety(KEY, endpoint=f"{service.url}/", severities=severities)
    calls = Calls(asking.url, asking.headers, timeout=5.0, **options)  # type: ignore[arg-type]
    return Moderator(asking, calls)


def categories(moderator: Moderator, *passages: str) -> list[list[str]]:
    return [list(verdict.categories) for verdict in moderator.judge(passages)]
