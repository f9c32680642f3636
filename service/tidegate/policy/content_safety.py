"""The shape of content safety in the policy document: who judges passages, from where on, and what if nobody can."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from tidegate.policy import addresses, times, words
from tidegate.policy.strict import Strict

Category = Literal["HATE", "HARASSMENT", "VIOLENCE", "SEXUAL", "SELF_HARM", "BIAS"]
OpenAiCategory = Literal["HATE", "HARASSMENT", "VIOLENCE", "SEXUAL", "SELF_HARM"]
AzureCategory = Literal["HATE", "VIOLENCE", "SEXUAL", "SELF_HARM"]
Chance = Annotated[float, Field(ge=0.01, le=0.99)]


class Classifier(Strict):
    """The classifier that comes with tidegate. It reads English, asks nobody, and is described in
    [safety.md](safety.md).
    """

    thresholds: dict[Category, Chance] = Field(
        default={},
        description="How sure it must be that a passage falls under a category, 0.01 to 0.99; 0.4 for those not named.",
    )


class _Remote(Strict):
    key_file: words.FileName | None = Field(
        default=None, description="The file with the key, relative to the policy file. Or give `key_env`."
    )
    key_env: words.EnvName | None = Field(
        default=None, description="The environment variable with the key, read when the policy is loaded."
    )
    on_failure: Literal["withhold", "local", "annotate"] = Field(
        default="withhold",
        description="Where a passage gets no judgement in time. withhold: nor does the response leave; local: the "
        "classifier judges it, for the categories that the service has; annotate: it passes, and the receipt counts it "
        "as `moderation_unavailable` and its bytes as not scanned.",
    )
    timeout: times.CallTime = Field(
        default=2.0, description="For one question with all its tries, such as `2s`; 100ms to 30s."
    )
    calls_per_minute: words.Count | None = Field(
        default=None,
        description="How many calls each worker may make in a minute, and at once. What comes over it gets no "
        "judgement. Left out: any number.",
    )

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key_file is None) == (self.key_env is None):
            raise ValueError("give exactly one of key_file and key_env")
        return self


class OpenAi(_Remote):
    """OpenAI's moderation endpoint. It is sent each passage of responses for which a ruleset names what it judges."""

    url: addresses.ServiceUrl = Field(
        default="https://api.openai.com/v1/moderations",
        description="Where it is asked; https, or http on loopback.",
    )
    model: words.ModelName = Field(default="omni-moderation-latest", description="The moderation model.")
    thresholds: dict[OpenAiCategory, Chance] = Field(
        default={},
        description="The least score, 0.01 to 0.99, of a category or one of its kinds; those not named are as the "
        "service flags them.",
    )


class Azure(_Remote):
    """Azure AI Content Safety. It is sent each passage of responses for which a ruleset names what it judges."""

    endpoint: addresses.ServiceUrl = Field(description="The address of the resource; https, or http on loopback.")
    severities: dict[AzureCategory, Literal[2, 4, 6]] = Field(
        default={}, description="The least severity of a category: 2, 4 or 6; 4 for those not named."
    )


class ContentSafety(Strict):
    """What finds HATE, HARASSMENT, VIOLENCE, SEXUAL, SELF_HARM and BIAS where a ruleset names them.

    Left out: the classifier. `CONTENT_SAFETY` is those of them that what is named here judges. Of several, each reads
    everything and any may find. A passage is a sentence or a line of at most 1,000 characters. Other services are sent
    what the patterns let out: what is redacted does not reach them.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    classifier: Classifier | None = Field(default=None, description="The classifier that comes with tidegate.")
    openai: OpenAi | None = Field(default=None, description="OpenAI's moderation endpoint. It does not judge BIAS.")
    azure: Azure | None = Field(
        default=None, description="Azure AI Content Safety. It does not judge HARASSMENT and BIAS."
    )

    @model_validator(mode="after")
    def _someone(self) -> Self:
        if self.classifier is None and self.openai is None and self.azure is None:
            raise ValueError("name at least one of classifier, openai and azure, or leave the section out")
        return self


def remotes(section: ContentSafety | None) -> tuple[tuple[Literal["openai", "azure"], OpenAi | Azure], ...]:
    """The services that are to be asked."""
    if section is None:
        return ()
    openai: tuple[tuple[Literal["openai"], OpenAi], ...] = (("openai", section.openai),) if section.openai else ()
    azure: tuple[tuple[Literal["azure"], Azure], ...] = (("azure", section.azure),) if section.azure else ()
    return (*openai, *azure)


def secret_of(service: Literal["openai", "azure"]) -> str:
    """The name of its key among the policy's secrets; no issuer has such a name."""
    return f"content_safety/{service}"
