"""What stands in the prompts of a request: every text is read by the rules of the endpoint, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from tidegate.filtering.formats.reader import Reader
from tidegate.filtering.ruleset import Action, FilterPlan
from tidegate.inbound.body import Content
from tidegate.inbound.prompts import Prompt, prompts
from tidegate.model import Deny, Inspection, Reason

_BATCH: Final = 1024  # texts that are sifted together
_MOST_TOLD: Final = 8


@dataclass(frozen=True, slots=True)
class Rules:
    """What prompts must not hold: `plan` with the acts that the policy names, `reading` the same, changing nothing."""

    plan: FilterPlan
    reading: FilterPlan

    @classmethod
    def of(cls, plan: FilterPlan) -> Rules:
        """From a plan whose acts are ANNOTATE and BLOCK."""
        return cls(plan, plan.in_shadow())


def texts_of(content: Content, unread: Counter[str]) -> Iterator[Prompt]:
    """All that is read of a body."""
    if content.kind == "json":
        yield from prompts(content.document, unread)
    elif content.kind == "text":
        yield Prompt("body", "user", content.text)


def inspect(rules: Rules | None, content: Content) -> tuple[Inspection, Deny | None]:
    """What was found, and the refusal where the rules want one. Raises `DetectorUnavailable`."""
    unread: Counter[str] = Counter({content.unread: 1} if content.unread else {})
    found: Counter[str] = Counter()
    places: dict[str, str] = {}
    if rules is not None:
        found, places = _read(rules.reading, texts_of(content, unread))
    acts: Mapping[str, Action] = rules.plan.actions if rules is not None else {}
    refused = {entity: where for entity, where in places.items() if acts[entity] is Action.BLOCK}
    findings = {(entity, acts[entity].label): count for entity, count in sorted(found.items())}
    inspection = Inspection(findings, dict(unread))
    return inspection, _refusal(refused) if refused else None


def _read(plan: FilterPlan, texts: Iterable[Prompt]) -> tuple[Counter[str], dict[str, str]]:
    """How often each kind of value was found, and where first."""
    reader = Reader("request", plan)
    places: dict[str, str] = {}
    known = 0
    waiting = iter(texts)
    while batch := list(islice(waiting, _BATCH)):
        reader.sift(prompt.text for prompt in batch)
        for prompt in batch:
            reader.whole(prompt.text)
            total = reader.tally.findings.total()
            if total > known:
                known = total
                for entity, _ in reader.tally.findings:
                    places.setdefault(entity, prompt.where)
    counts: Counter[str] = Counter()
    for (entity, _), count in reader.tally.findings.items():
        counts[entity] += count
    return counts, places


def _refusal(refused: Mapping[str, str]) -> Deny:
    """Kinds and places, and never what was found."""
    told = ", ".join(f"{entity} ({where})" for entity, where in sorted(refused.items())[:_MOST_TOLD])
    message = f"The request holds what may not be sent to this endpoint: {told}."
    return Deny(403, Reason.PROMPT_REFUSED, message, detail=told, rule="prompt")
