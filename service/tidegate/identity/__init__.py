"""The identify phase: API keys, signed tokens and opaque tokens, one module a method."""

from tidegate.identity.api_key import KeyRecord, KeyStore, mint_key
from tidegate.identity.bearer import BearerVerifier
from tidegate.identity.identifier import Identifier
from tidegate.identity.introspection import Introspector
from tidegate.identity.jwks import KeySets
from tidegate.identity.key_store import RedisKeys
from tidegate.identity.key_uses import KeyUses

__all__ = [
    "BearerVerifier",
    "Identifier",
    "Introspector",
    "KeyRecord",
    "KeySets",
    "KeyStore",
    "KeyUses",
    "RedisKeys",
    "mint_key",
]
