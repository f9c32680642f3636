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
from tidegate.inbound.checks import Injection
from tidegate.inbound.prompts import How, Prompt, prompts
from tidegate.model import Deny, Inspection, Reason

_BATCH: Final = 1024  # texts that are sifted together
_MOST_TOLD: Final = 8
_TWICE: Final[tuple[How, How]] = ("joined", "apart")


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


def inspect(rules: Rules | None, injection: Injection | None, content: Content) -> tuple[Inspection, Deny | None]:
    """What was found, and the refusal where the checks want one. Raises `DetectorUnavailable`."""
    unread: Counter[str] = Counter({content.unread: 1} if content.unread else {})
    found: Counter[str] = Counter()
    places: dict[str, str] = {}
    texts = list(texts_of(content, unread))
    if rules is not None:
        found, places = _read(rules.reading, texts, unread)
    scores, attempt = ({}, None) if injection is None else _scored(injection, texts)
    acts: Mapping[str, Action] = rules.plan.actions if rules is not None else {}
    refused = {entity: where for entity, where in places.items() if acts[entity] is Action.BLOCK}
    findings = {(entity, acts[entity].label): count for entity, count in sorted(found.items())}
    inspection = Inspection(findings, dict(unread), scores=scores)
    return inspection, _refusal(refused) if refused else attempt


def _scored(injection: Injection, texts: Iterable[Prompt]) -> tuple[dict[str, float], Deny | None]:
    """The scores by who speaks, and the refusal where one is too high. What the score is, the caller is not told."""
    from tidegate.inbound.injection.scorer import scores  # where it is used: its patterns take a while to compile

    found = scores((text for text in texts if text.how != "number"), injection.roles)
    values: dict[str, float] = {role: round(score.value, 3) for role, score in sorted(found.items())}
    worst = max(found.items(), key=lambda one: one[1].value, default=None)
    if worst is None or worst[1].value < injection.threshold or injection.act == "annotate":
        return values, None
    role, score = worst
    where = f"{role}, {score.where}" if score.where else role
    message = f"The request reads like an attempt to override what the model was told ({where})."
    detail = f"{role} {score.value:.3f} {score.where}".rstrip()
    return values, Deny(403, Reason.PROMPT_INJECTION, message, detail=detail, rule="prompt")


def _read(plan: FilterPlan, texts: Iterable[Prompt], unread: Counter[str]) -> tuple[Counter[str], dict[str, str]]:
    """How often each kind of value was found, and where first; `unread` is told of what a detector let pass unread."""
    text = Reader("request", plan)
    readers: dict[How, Reader] = {"text": text, "number": text}
    places: dict[str, str] = {}
    waiting = iter(texts)
    while batch := list(islice(waiting, _BATCH)):
        text.sift(prompt.text for prompt in batch if prompt.how == "text")
        for prompt in batch:
            reader = readers.get(prompt.how) or readers.setdefault(prompt.how, Reader("request", plan))
            known = reader.tally.findings.total()
            if prompt.how == "number":
                reader.number(prompt.text, name=prompt.name)
            else:
                reader.whole(prompt.text, name=prompt.name)
            if reader.tally.findings.total() > known:
                for entity, _ in reader.tally.findings:
                    places.setdefault(entity, prompt.where)
    # What stands in parts is read twice, and is what was found more often.
    joined, apart = [readers.get(how) or Reader("request", plan) for how in _TWICE]
    unread.update(text.tally.notes + (joined.tally.notes | apart.tally.notes))
    return _counts(text) + (_counts(joined) | _counts(apart)), places


def _counts(reader: Reader) -> Counter[str]:
    counts: Counter[str] = Counter()
    for (entity, _), count in reader.tally.findings.items():
        counts[entity] += count
    return counts


def _refusal(refused: Mapping[str, str]) -> Deny:
    """Kinds and places, and never what was found."""
    told = ", ".join(f"{entity} ({where})" for entity, where in sorted(refused.items())[:_MOST_TOLD])
    message = f"The request holds what may not be sent to this endpoint: {told}."
    return Deny(403, Reason.PROMPT_REFUSED, message, detail=told, rule="prompt")
