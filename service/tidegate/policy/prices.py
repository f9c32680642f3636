"""The shape of the prices in the policy document, in the terms in which model providers publish theirs."""

from __future__ import annotations

from pydantic import Field

from tidegate.policy import words
from tidegate.policy.amounts import Price
from tidegate.policy.strict import Strict


class ModelPrice(Strict):
    """What a model costs, in the currency of the prices: decimals with at most six places, in quotes or not."""

    prompt: Price = Field(description="A million tokens of the prompt.")
    completion: Price = Field(description="A million tokens of the completion; 0 for a model that writes none.")
    cache_read: Price | None = Field(
        default=None,
        description="A million tokens that were read from the model's prompt cache; left out: as `prompt`.",
    )
    cache_write: Price | None = Field(
        default=None, description="A million tokens that were written to that cache; left out: as `prompt`."
    )
    request: Price = Field(default=0, description="Each request that a model answers, beside its tokens.")


class Prices(Strict):
    """What limits with `cost: money` are charged by. Each model that one can reach needs a price."""

    currency: words.Currency = Field(
        description="The one currency of all amounts: a code of ISO 4217. A change of it leaves what was counted."
    )
    default: ModelPrice | None = Field(
        default=None, description='For models that are not listed, those that "*" allows, and requests that name none.'
    )
    models: dict[words.ModelName, ModelPrice] = Field(default={}, description="Prices by the name of the model.")
