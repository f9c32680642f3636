"""The shape of an endpoint's system prompt in the policy document."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.policy import words
from tidegate.policy.strict import Strict

MAX_PROMPT = 1024 * 1024
"""Characters of a prompt."""


class SystemPrompt(Strict):
    """The text that the model is instructed with, of which `SYSTEM_PROMPT` finds what an answer says again.

    It is not shown to anybody. A canary in it that `tidegate canary` made is known without being named.
    """

    text: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT)] | None = Field(
        default=None, description="The prompt."
    )
    file: words.FileName | None = Field(
        default=None,
        description="A file that holds it, UTF-8; relative to the policy file, and read again when it changes.",
    )
    passage: int = Field(
        default=8, ge=4, le=64, description="How many words in a row are a passage that is said again."
    )
    canaries: words.Set[words.Canary] = Field(
        default=[],
        description="Words that stand in it and nowhere else, which `CANARY` finds, backwards and encoded, too.",
    )
