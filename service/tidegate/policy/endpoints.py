"""Endpoints in a policy: which requests are theirs, who may call them, and what holds for their responses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegate.policy import addresses, words
from tidegate.policy.capacity import Capacity
from tidegate.policy.limits import Limits
from tidegate.policy.prompts import SystemPrompt
from tidegate.policy.requests import RequestChecks
from tidegate.policy.strict import Strict
from tidegate.policy.structures import Structure


class Match(Strict):
    """Which requests belong to an endpoint."""

    hosts: addresses.Hosts = Field(description='Exact host names in lower case, without port; "*" means any.')
    path: addresses.PathTemplate = Field(
        description="An exact path, or a template: {name} takes one segment, a last ** takes the rest."
    )
    methods: words.Some[words.Method] = Field(description="The HTTP methods that the endpoint answers.")


class ModelRule(Strict):
    """Where a request names its model, and which tier may use which."""

    source: words.ModelSource = Field(
        alias="from",
        description="body.<key> (JSON; more keys go deeper), header.<name> (sent once, without a comma), or "
        "path.<variable> of the template.",
    )
    allowed: dict[words.Name, words.AllOr[words.ModelName]] = Field(
        min_length=1, description='For each tier the models it may use, "*" for all; a tier not named may use none.'
    )


class Anonymous(Strict):
    """Callers without a credential, as subject `anonymous` of the endpoint's owner. No grant is needed."""

    tier: words.Name = Field(description="The tier that they are in.")


class Fields(Strict):
    """Which fields of JSON the rules look into: of documents, and of each event or line of a stream.

    Places are JSON pointers (RFC 6901), with all that is below them; `*` in place of an index means every item of an
    array. The receipt says what was skipped. A document that names a key twice is then withheld.
    """

    only: words.Set[words.Pointer] = Field(
        default=[], description="Read these and nothing else; everything where it is empty."
    )
    skip: words.Set[words.Pointer] = Field(default=[], description="Do not read these, whatever `only` says.")
    keys: bool = Field(default=True, description="Whether the keys of objects are read, too.")


class Links(Strict):
    """Where links and images of responses may lead, for what looks for `EXTERNAL_LINK` and `EXTERNAL_IMAGE`."""

    hosts: words.Set[addresses.HostPattern] = Field(
        default=[], description="Exact host names in lower case, or `*.` and a name for every host below it."
    )


class Endpoint(Strict):
    """A model-serving endpoint under policy."""

    owner: words.Name = Field(description="The tenant that owns the endpoint.")
    shared_with: words.AllOr[words.Name] | None = Field(
        default=None, description='Tenants that may grant it to their roles too; "*" means every tenant.'
    )
    match: Match = Field(description="The requests that belong to it.")
    model: ModelRule | None = Field(default=None, description="Leave out where requests name no model.")
    anonymous: Anonymous | None = Field(
        default=None,
        description="Let callers in who show no credential. The endpoint or the floor must limit them per `client_ip`.",
    )
    scopes: words.Set[words.Scope] = Field(default=[], description="OAuth scopes that a caller needs, all of them.")
    audiences: words.Set[words.Text] = Field(
        default=[], description="A token must carry one of these in `aud` too. API keys have no audience."
    )
    context_audience: words.Text | None = Field(
        default=None, description="The `aud` of its context tokens; by default its own name."
    )
    classification: words.Name | None = Field(default=None, description="How sensitive its data is.")
    rulesets: words.Set[words.Name] = Field(default=[], description="Rulesets of its own, added to all others.")
    system_prompt: SystemPrompt | None = Field(
        default=None, description="What its model is instructed with, for what looks for passages of it in responses."
    )
    links: Links | None = Field(
        default=None, description="Where links of its responses may lead, beside the hosts for every endpoint."
    )
    fields: Fields | None = Field(
        default=None, description="Which fields of a JSON response are read; without it all strings and keys."
    )
    request: RequestChecks | None = Field(
        default=None, description="What is checked of its requests: [requests.md](requests.md)."
    )
    structure: Structure | None = Field(
        default=None, description="What its answers must look like, by JSON Schemas: [structure.md](structure.md)."
    )
    limits: Limits = Field(default=[], description="Limits of its own, added to all others.")
    capacity: Capacity | None = Field(
        default=None, description="How much it carries at once; leave out where nothing is counted."
    )
    errors: Literal["openai", "problem"] | None = Field(
        default=None,
        description="The shape of refusals: OpenAI's or RFC 9457's. By default openai where the path begins with /v1/.",
    )
    conversation: words.HeaderName | None = Field(
        default=None, description="The request header that names the conversation, for pseudonyms that last as long."
    )
    blank_lines: bool = Field(
        default=False,
        description="Whether its clients pass over empty lines in a stream of JSON lines (NDJSON says that they may): "
        "then one stands where `platform.heartbeat` has nothing else for such a stream.",
    )
    unscannable: Literal["withhold", "pass"] = Field(
        default="withhold", description="What happens to a response that no filter can read, such as an image."
    )
    max_response: words.Size = Field(
        default=4 * 1024 * 1024, description='The most that is held to filter a response, such as "4MiB"; up to 1GiB.'
    )
