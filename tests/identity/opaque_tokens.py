"""An opaque token, and what an introspection endpoint says of it."""

from __future__ import annotations

import json
from typing import Any

from tidegate.identity import Introspector
from tidegate.model import Deny, Identity
from tidegate.policy.compiled_identity import Introspection

from tests.identity.forge import NOW
from tests.identity.key_server import KeyServer

TOKEN = "2YotnFZFEjr1zCsicMWpAA"
SECRET = "a client secret: of the tests/+&="
ACTIVE: dict[str, Any] = {
    "active": True,
    "sub": "ada",
    "iss": "https://id.example.com",
    "aud": ["models", "other"],
    "scope": "chat read",
    "client_id": "app",
    "token_type": "Bearer",
    "exp": NOW + 300,
    "org": "acme",
}


def answer(server: KeyServer, **members: Any) -> None:
    server.body = json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


async def ask(
    introspector: Introspector, endpoint: Introspection, token: str = TOKEN, version: str = "v"
) -> Identity | Deny:
    return await introspector.introspect(token, endpoint, policy_version=version)


async def detail(introspector: Introspector, endpoint: Introspection, status: int = 401) -> str:
    verdict = await ask(introspector, endpoint)
    assert isinstance(verdict, Deny), verdict
    assert verdict.status == status
    assert TOKEN not in repr(verdict)
    return verdict.detail
