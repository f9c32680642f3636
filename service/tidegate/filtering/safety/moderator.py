"""The spotter that asks a moderation service, and what holds while it cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from functools import partial
from typing import Final, Literal

from tidegate.errors import DetectorUnavailable
from tidegate.filtering.passages import LONGEST
from tidegate.filtering.safety.calls import AT_ONCE, CallFailed, Calls
from tidegate.filtering.safety.classifier import Classifier
from tidegate.filtering.safety.passage import PassageReading, Verdict
from tidegate.filtering.safety.remembered import Remembered
from tidegate.filtering.safety.service import Service
from tidegate.filtering.safety.usage import Usage
from tidegate.filtering.spotting import Effort

OnFailure = Literal["withhold", "local", "annotate"]
UNREAD: Final = "moderation_unavailable"
"""The receipt's word for passages that nobody judged."""

_Asked = tuple[Sequence[str], Future[Sequence[Sequence[str]]]]


class Moderator:
    """Judges passages by `service`, asked through `calls`, each by itself: so nothing depends on how they were batched.

    Without an answer "withhold" raises DetectorUnavailable, "local" asks `classifier`, and "annotate" lets the passage
    pass and says that nobody judged it.
    """

    effort = Effort.WAIT
    cap = LONGEST

    def __init__(
        self,
        service: Service,
        calls: Calls,
        *,
        on_failure: OnFailure = "withhold",
        classifier: Classifier | None = None,
    ) -> None:
        self.name = service.name
        self.entities = service.entities
        self._service, self._calls = service, calls
        self._known = Remembered(calls.now)
        self._on_failure = on_failure
        self._classifier = classifier

    @property
    def usage(self) -> Usage:
        """What was asked so far."""
        return self._calls.usage

    def open(self) -> PassageReading:
        """Begin with a text."""
        return PassageReading(self.name, self.judge)

    def judge(self, passages: Sequence[str]) -> Sequence[Verdict]:
        """A verdict of each passage. Raises DetectorUnavailable."""
        verdicts = {passage: Verdict(known) for passage in passages if (known := self._known.get(passage)) is not None}
        if verdicts:
            self.usage.judged("memory", len(verdicts))
        unknown = list(dict.fromkeys(passage for passage in passages if passage not in verdicts))
        most = self._service.most
        batches = [unknown[at : at + most] for at in range(0, len(unknown), most)]
        for at in range(0, len(batches), AT_ONCE):
            for batch, asked in [self._ask(batch) for batch in batches[at : at + AT_ONCE]]:
                verdicts.update(zip(batch, self._verdicts(batch, asked), strict=True))
        return [verdicts[passage] for passage in passages]

    def _ask(self, batch: Sequence[str]) -> _Asked:
        read = partial(self._service.verdicts, count=len(batch))
        return batch, self._calls.ask(self._service.question(batch), sum(map(len, batch)), read)

    def _verdicts(self, batch: Sequence[str], asked: Future[Sequence[Sequence[str]]]) -> Sequence[Verdict]:
        try:
            found = asked.result(self._calls.within)
        except CallFailed as failure:
            return self._instead(batch, failure.outcome)
        except TooLate:
            asked.cancel()
            self._calls.given_up()
            return self._instead(batch, "late")
        self.usage.judged("service", len(batch))
        for passage, categories in zip(batch, found, strict=True):
            self._known.put(passage, categories)
        return [Verdict(categories) for categories in found]

    def _instead(self, batch: Sequence[str], outcome: str) -> Sequence[Verdict]:
        if self._on_failure == "annotate":
            self.usage.judged("nobody", len(batch))
            return [Verdict(unread=UNREAD)] * len(batch)
        if self._on_failure == "local" and self._classifier is not None:
            self.usage.judged("classifier", len(batch))
            return [
                Verdict([name for name in verdict.categories if name in self.entities])
                for verdict in self._classifier.judge(batch)
            ]
        self.usage.judged("nobody", len(batch))
        raise DetectorUnavailable(f"{self.name}: {outcome}")
