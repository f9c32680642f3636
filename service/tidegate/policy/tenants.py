"""Tenants in a policy: what their roles may do and must not, what is different for their callers, who may reveal."""

from __future__ import annotations

from pydantic import Field

from tidegate.policy import words
from tidegate.policy.amounts import Refill
from tidegate.policy.limits import Limits
from tidegate.policy.lists import AllowList, DenyList
from tidegate.policy.strict import Strict


class Grant(Strict):
    """What a role may do inside a tenant. A request needs one grant that covers all of it."""

    role: words.Role = Field(description="The role that the caller must hold.")
    endpoints: words.AllOr[words.Name] = Field(
        description='The endpoints it reaches; "*" means all that the tenant owns or was lent.'
    )
    methods: words.AllOr[words.Method] = Field(default="*", description='The HTTP methods it may use; "*" means all.')
    models: words.AllOr[words.ModelName] = Field(
        default="*",
        description='The models it may use; "*" means all that the tier allows. '
        "A list does not cover endpoints that name no model.",
    )
    when: words.Expression | None = Field(
        default=None,
        description="A condition in CEL, such as `claims.region == 'eu'`. Where it does not hold or cannot be "
        "evaluated, the grant covers nothing.",
    )


class Denial(Strict):
    """What a role must not do inside a tenant, whatever is granted. A request is refused when all of it is covered."""

    role: words.Text = Field(default="*", description='The role that is refused; "*" means everyone in the tenant.')
    endpoints: words.AllOr[words.Name] = Field(
        description='The endpoints that are refused; "*" means all that the tenant owns or was lent.'
    )
    methods: words.AllOr[words.Method] = Field(default="*", description='The HTTP methods refused; "*" means all.')
    models: words.AllOr[words.ModelName] = Field(
        default="*",
        description='The models refused, by their exact names; "*" refuses whatever the model. '
        "A list does not cover endpoints that name no model.",
    )
    when: words.Expression | None = Field(
        default=None,
        description="A condition in CEL, such as `claims.region != 'eu'`. Where it cannot be evaluated, it holds.",
    )


class Subject(Strict):
    """What is different for one caller of a tenant. Its limits count what it does in that tenant, and nobody else."""

    limits: Limits = Field(
        default=[],
        description="A limit named as one of the caller's tier or tenant takes the place of that; any other is added. "
        "Limits of the floor and of endpoints stay.",
    )


class Reveal(Strict):
    """Who may turn the tenant's reversible pseudonyms back into values (`tidegate reveal`). Each call is on record."""

    roles: words.Some[words.Role] = Field(description="The caller must hold one of these.")
    scopes: words.Set[words.Scope] = Field(default=[], description="OAuth scopes that it needs, all of them.")
    entities: words.AllOr[words.Entity] = Field(
        default="*", description='The kinds of value, or groups of them; "*" means all.'
    )
    rate: Refill = Field(
        default=(10, 60.0), description="How often each subject may ask, answered or refused, in a token bucket."
    )


class Tenant(Strict):
    """A business unit or partner."""

    grants: list[Grant] = Field(default=[], description="What its roles may do; nothing is granted without one.")
    denies: list[Denial] = Field(
        default=[], description="What its roles must not do. One that covers a request wins over every grant."
    )
    limits: Limits = Field(default=[], description="Limits of the tenant, beside the floor's and the tier's.")
    subjects: dict[words.Text, Subject] = Field(
        default={}, description="Limits of single callers, by the subject that their credential gives."
    )
    weight: words.Weight | None = Field(default=None, description="Its share under pressure, in place of its tier's.")
    deny_lists: dict[words.ListName, DenyList] = Field(
        default={}, description="Deny lists for the endpoints that it owns, beside the platform's of the same name."
    )
    allow_lists: dict[words.Name, AllowList] = Field(
        default={}, description="Allow lists for the endpoints that it owns."
    )
    reveal: Reveal | None = Field(
        default=None, description="Who may turn reversible pseudonyms back into values; nobody without it."
    )
