"""The shape of the context token in the policy document: what a pod is told of the caller, signed."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tidegate.policy import times, words
from tidegate.policy.strict import Strict


class SigningKey(Strict):
    """A key pair in PEM: of an elliptic curve, P-256 or P-384, or RSA with 2048 bits or more."""

    file: words.FileName | None = Field(
        default=None, description="The file with the key, relative to the policy file. Or give `env`."
    )
    env: words.EnvName | None = Field(
        default=None, description="The environment variable with the key, read when the policy is loaded."
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("give exactly one of file and env")
        return self


class ContextToken(Strict):
    """A signed JWT for the model, in `x-tidegate-identity`: who calls which endpoint. No claim of the caller's token is
    in it, and no credential. Its keys are served beside the metrics, at `/.well-known/jwks.json`.

    To change keys: add the new one behind the old, put it first after 5 minutes, when everybody knows it, and take the
    old one out when the last token that it signed is over.
    """

    issuer: words.Text = Field(description="The `iss` of the tokens: a name for this gate, such as its URL.")
    keys: list[SigningKey] = Field(
        min_length=1,
        max_length=8,
        description="The first signs; all are published. Behind the first, public keys are enough.",
    )
    lifetime: times.ContextLifetime = Field(
        default=60.0, description="How long a token is good, but no longer than the caller's credential; 5s to 1h."
    )
    reuse: times.ContextReuse | None = Field(
        default=None,
        description="How long one token stands for all requests of a caller to an endpoint; by default half of "
        "`lifetime`. 0s: every request gets one of its own, which names it in `request_id`.",
    )

    @model_validator(mode="after")
    def _renewed_in_time(self) -> Self:
        if self.reuse is not None and self.reuse >= self.lifetime:
            raise ValueError("reuse must be less than lifetime, or the model gets tokens that are over")
        return self
