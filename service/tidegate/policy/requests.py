"""The shape of what the policy document wants checked of requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tidegate.policy import words
from tidegate.policy.document import Path
from tidegate.policy.strict import Strict
from tidegate.policy.structures import SchemaSource


class RequestBody(SchemaSource):
    """What the JSON body of a request must look like."""

    act: Literal["block", "annotate"] = Field(
        default="block",
        description="block: what does not match is refused, with 400. annotate: it is only told of, in log and audit.",
    )


class PromptRule(Strict):
    """What to look for in the prompts of a request, and what to do about it. A request is never rewritten."""

    detect: words.Some[words.Entity] = Field(
        description="The kinds of value to find, or groups of them; [detectors.md](detectors.md) says what each finds."
    )
    act: Literal["block", "annotate"] = Field(
        description="block: the request is refused, with 403 and the kinds and places of what it holds, never the "
        "values. annotate: it passes, and log, audit and metrics count what it holds."
    )
    regions: words.Set[words.Region] = Field(
        default=[], description="With PHONE: the regions whose telephone numbers need no country code, as in a ruleset."
    )


class Injection(Strict):
    """How much prompts may read like an attempt to take the model over: [injection.md](injection.md)."""

    threshold: words.Score = Field(
        default=0.7, description="The score, above 0 and at most 1, from which on a request is taken for an attempt."
    )
    act: Literal["block", "annotate"] = Field(
        description="block: it is refused, with 403. annotate: it passes; scores are in the log, audit and metrics."
    )
    roles: words.Some[Literal["system", "user", "assistant", "tool", "other"]] = Field(
        default=["user", "tool", "other"],
        description="Whose texts count; results of tools and retrieved documents are tool, see "
        "[requests.md](requests.md).",
    )


class RequestChecks(Strict):
    """What is checked of a request before a model reads it. The whole body is needed: Envoy must send it to the check.

    JSON is read strictly: a key that stands twice, for one, is refused.
    """

    max_size: words.Size = Field(
        default=4 * 1024 * 1024,
        description='The largest body, such as "256KiB"; of a compressed one also what it holds. Larger ones get 413.',
    )
    body: RequestBody | None = Field(default=None, description="What a JSON body must look like.")
    rules: list[PromptRule] = Field(default=[], description="What its prompts must not hold.")
    rulesets: words.Set[words.Name] = Field(
        default=[], description="Rulesets for its prompts, whose acts must be block or annotate."
    )
    injection: Injection | None = Field(default=None, description="Attempts to take the model over, by a score.")
    other_types: Literal["refuse", "pass"] = Field(
        default="refuse",
        description="What happens to a body that is neither JSON nor text, such as multipart/form-data, and to prompts "
        "that are given as token ids: 415 or 400, or they pass and are told of as unread.",
    )
    compressed: Literal["refuse", "decode"] = Field(
        default="refuse",
        description="What happens to a compressed body: 415, or gzip, deflate and br are undone for the checks.",
    )
    tell_upstream: bool = Field(
        default=False,
        description="Whether the model's side gets kinds and counts of what was found, in x-tidegate-prompt-findings, "
        "and the highest score, in x-tidegate-prompt-injection.",
    )
    shadow: bool = Field(default=False, description="true: nothing is refused, and what would have been is told of.")


def request_sources(checks: RequestChecks | None) -> Iterator[tuple[Path, SchemaSource]]:
    """The schemas of the checks, by their place in them."""
    if checks is not None and checks.body is not None:
        yield ("body",), checks.body
