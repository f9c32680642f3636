"""The shape of a request file and of a case file. The published JSON Schemas are made from these classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from tidegate.model import Reason
from tidegate.policy import words
from tidegate.policy.durations import shown
from tidegate.policy.strict import Strict
from tidegate.policy.validate import suggestion

REQUEST_ID = "urn:tidegate:request:1"
CASES_ID = "urn:tidegate:cases:1"

_REASONS = [str(reason) for reason in Reason]


def _known_reason(value: str) -> str:
    if value not in _REASONS:
        raise ValueError(f"unknown reason {shown(value)}{suggestion(value, _REASONS)}")
    return value


Refusal = Annotated[str, AfterValidator(_known_reason), WithJsonSchema({"type": "string", "enum": _REASONS})]


class Principal(Strict):
    """Who calls, as a credential would establish it. Nothing is checked of it."""

    subject: words.Text = Field(description="Who the caller is within its tenant.")
    tenant: words.Text = Field(description="Its tenant.")
    tier: words.Text = Field(description="Its service tier.")
    roles: words.Set[words.Text] = Field(default=[], description="Its roles.")
    scopes: words.Set[words.Text] = Field(default=[], description="The OAuth scopes of its credential.")
    claims: dict[str, Any] = Field(default={}, description="The claims of its token.")
    client_id: words.Text | None = Field(default=None, description="The application that calls.")
    credential: words.Text | None = Field(
        default=None, description="The public id of its credential, by which limits may count; never a secret."
    )
    audiences: words.Set[words.Text] | None = Field(
        default=None, description="Whom its token is for; leave out where the credential is no token."
    )
    endpoints: words.Set[words.Text] | None = Field(
        default=None, description="The endpoints that its credential opens; leave out where it may open all."
    )


def _body(value: object) -> object:
    if not isinstance(value, str | dict):
        raise ValueError(f"must be text, or a mapping that is sent as JSON, not {shown(value)}")
    return value


Body = Annotated[Any, AfterValidator(_body), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})]


class HttpRequest(Strict):
    """A request as Envoy would hand it over. What is left out is that of the file's `request`, if it has one."""

    method: words.Text | None = Field(default=None, description='The HTTP method; "GET" where nothing says so.')
    host: words.Text | None = Field(default=None, description='The host; "localhost" where nothing says so.')
    path: words.Text | None = Field(default=None, description='Path and query, as sent; "/" where nothing says so.')
    headers: dict[words.Text, str] = Field(
        default={}, description="Headers. Where there is no principal, the credential among them tells who calls."
    )
    body: Body | None = Field(
        default=None, description="The body: text as it stands, or a mapping that is sent as JSON."
    )
    client_ip: words.Text | None = Field(default=None, description="The caller's address.")
    peer: words.Text | None = Field(default=None, description="The identity in the caller's client certificate.")

    def over(self, other: HttpRequest) -> HttpRequest:
        """This request, with what it leaves out taken from another."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        named = {name.lower() for name in self.headers}
        kept = {name: value for name, value in other.headers.items() if name.lower() not in named}
        return other.model_copy(update={**given, "headers": {**kept, **self.headers}})


class RequestFile(Strict):
    """One request, and who makes it: what `tidegate policy explain` explains."""

    principal: Principal | None = Field(
        default=None, description="Who calls. Leave out to have the request's credential tell, by the policy's methods."
    )
    request: HttpRequest = Field(description="The request.")


class Expectation(Strict):
    """What a decision must be. What is left out may be anything."""

    effect: Literal["allow", "deny"] = Field(description="Whether the request is let through.")
    status: int | None = Field(default=None, ge=400, le=599, description="The HTTP status of the refusal.")
    reason: Refusal | None = Field(default=None, description="The reason of the refusal, its `code`.")
    endpoint: words.Text | None = Field(default=None, description="The endpoint that is reached.")
    model: str | None = Field(default=None, description='The model that is asked for; "" for none.')
    limits: words.Set[words.Text] | None = Field(
        default=None, description="All limits that are charged, as scope/name: `tier:free/rpm`."
    )
    rulesets: words.Set[words.Text] | None = Field(default=None, description="All rulesets that the response passes.")

    @model_validator(mode="after")
    def _of_its_effect(self) -> Self:
        belongs = {"allow": ("endpoint", "model", "limits", "rulesets"), "deny": ("status", "reason")}
        other = "deny" if self.effect == "allow" else "allow"
        for name in belongs[other]:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is of a decision to {other}, but effect is {self.effect}")
        return self


def _text_or_mapping(value: object) -> str:
    return "name" if isinstance(value, str) else "principal"


class Case(Strict):
    """One decision, and what it must be."""

    name: words.Text = Field(description="What the case shows.")
    principal: (
        Annotated[
            Annotated[words.Text, Tag("name")] | Annotated[Principal, Tag("principal")],
            Discriminator(_text_or_mapping),
        ]
        | None
    ) = Field(
        default=None,
        description="Who calls: one of the file's principals by name, or written out. "
        "Leave out to have the request's credential tell.",
    )
    request: HttpRequest = Field(
        default_factory=HttpRequest, description="The request. What it leaves out is that of the file's `request`."
    )
    expect: Expectation = Field(description="What the decision must be.")


class CaseFile(Strict):
    """Decisions that a policy must make: what `tidegate policy test` tests."""

    principals: dict[words.Text, Principal] = Field(default={}, description="Callers by name, for the cases.")
    request: HttpRequest = Field(
        default_factory=HttpRequest, description="What the requests of the cases have in common."
    )
    cases: list[Case] = Field(min_length=1, description="The cases, each decided on its own.")
