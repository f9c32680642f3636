"""System prompts: the files that a policy names are read, and made into what finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidegate.filtering.canaries import CANARY, canaries_in, canary_lists
from tidegate.filtering.prompt_leak import SYSTEM_PROMPT, PromptSpotter, words_of
from tidegate.filtering.spotting import Spotter
from tidegate.policy.files import decoded, read_start
from tidegate.policy.list_names import rulesets_of
from tidegate.policy.prompts import MAX_PROMPT, SystemPrompt
from tidegate.policy.schema import Document
from tidegate.policy.validate import Report


@dataclass(frozen=True, slots=True)
class Prompts:
    """What finds the prompt of an endpoint, by its name, and the `contents` of the files that prompts came from."""

    spotters: Mapping[str, tuple[Spotter, ...]]
    contents: Mapping[str, bytes]


def prompt_files(document: Document) -> list[str]:
    """The files that prompts are in."""
    return [one.file for _, one in _prompts(document) if one.file is not None]


def compile_prompts(document: Document, base: Path, report: Report) -> Prompts:
    """Read every prompt; `report` is told of those that cannot be, and of what endpoints lack that is looked for."""
    spotters: dict[str, tuple[Spotter, ...]] = {}
    contents: dict[str, bytes] = {}
    for name, one in _prompts(document):
        text = one.text or ""
        path = ("endpoints", name, "system_prompt")
        if one.file is not None:
            try:
                contents[one.file] = content = _read(base / one.file)
                text = content.decode("utf-8-sig")
            except ValueError as error:
                report.at((*path, "file"), str(error))
                continue
        said = (one.text is not None) + (one.file is not None)
        canaries = {*one.canaries, *canaries_in(text)}
        if said > 1 or not (said or one.canaries):
            if report.whole:
                report.at(path, "give either text or file, or canaries alone", key=True)
        elif said and len(words_of(text)) < one.passage:
            key = "text" if one.file is None else "file"
            report.at((*path, key), f"has fewer words than the {one.passage} that make a passage")
        else:
            found: tuple[Spotter, ...] = canary_lists(canaries)
            spotters[name] = (PromptSpotter(text, one.passage), *found) if said else found
    if report.whole and not report.problems:
        _check(document, spotters, report)
    return Prompts(spotters, contents)


def _check(document: Document, spotters: Mapping[str, tuple[Spotter, ...]], report: Report) -> None:
    """Report endpoints whose rulesets look for what their system prompt does not have."""
    for name, endpoint in document.endpoints.items():
        has = frozenset[str]().union(*(one.entities for one in spotters.get(name, ())))
        for ruleset in rulesets_of(endpoint, document):
            kinds = {kind for rule in document.rulesets[ruleset] for kind in rule.detect}
            for kind in sorted((kinds & {SYSTEM_PROMPT, CANARY}) - has):
                lacks = "has no system_prompt with a text" if kind == SYSTEM_PROMPT else "has no system_prompt with one"
                report.at(("endpoints", name), f"ruleset {ruleset!r} looks for {kind}, and it {lacks}", key=True)


def _prompts(document: Document) -> list[tuple[str, SystemPrompt]]:
    named = ((name, endpoint.system_prompt) for name, endpoint in document.endpoints.items())
    return [(name, one) for name, one in named if one is not None]


def _read(path: Path) -> bytes:
    content = read_start(path, 4 * MAX_PROMPT + 1)
    if len(decoded(path, content)) > MAX_PROMPT:
        raise ValueError(f"{str(path)!r} is longer than {MAX_PROMPT:,} characters")
    return content
