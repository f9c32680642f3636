"""What a policy document names and does not hold: read when it is loaded, and part of what the policy is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tidegate.filtering.spotting import Spotter
from tidegate.policy.compiled_lists import Listed
from tidegate.policy.compiled_prompts import Prompts
from tidegate.policy.document import dotted
from tidegate.policy.keysets import KeySet
from tidegate.policy.schemas import Schemas
from tidegate.policy.signing_keys import SigningKey


@dataclass(frozen=True, slots=True)
class Materials:
    """`keysets` are by `jwks_file`, `secrets` by issuer; `listed` is what deny and allow lists were compiled to.

    `prompts` what system prompts were. `schemas` are by their place, `spotters` what was opened for every endpoint;
    `signing_keys` are in their order.
    """

    keysets: Mapping[str, KeySet]
    secrets: Mapping[str, bytes]
    listed: Listed
    prompts: Prompts
    schemas: Schemas
    spotters: tuple[Spotter, ...]
    signing_keys: tuple[SigningKey, ...] = ()

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """The names and bytes that make another policy of the same document; no secrets, for versions are published."""
        yield from ((name, keys.content) for name, keys in self.keysets.items())
        yield from self.listed.contents.items()
        yield from self.prompts.contents.items()
        yield from ((dotted(place), schema.content) for place, schema in self.schemas.items())
