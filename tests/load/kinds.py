"""The kinds of exchange that make up mixed traffic: who asks for what, and what the right end of it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from tests.load.answers import Dialect

Ending = Literal["whole", "client leaves", "model resets"]
HEADER: Final = "x-load"
"""Tells the model what to say: `kind seed pieces gap`; a gap is seconds."""
TENANT_HEADER: Final = "x-tidegate-tenant"
"""The service's own word on who asks, which the model compares."""

PATHS: Final[Mapping[Dialect, str]] = MappingProxyType(
    {
        "chat": "/v1/chat/completions",
        "chat stream": "/v1/chat/completions",
        "messages stream": "/v1/messages",
        "generate stream": "/api/generate",
    }
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `right` are the outcomes that it may have; whoever gets a 200 where that is not one was let in wrongly.

    `let_in` is how many of all exchanges of the kind may get a 200, None for all of them. `pieces` are the parts of the
    answer's text, `gap` seconds between them. `prompt` is bytes of the request's text.
    """

    name: str
    caller: str
    tenant: str
    dialect: Dialect = "chat"
    right: frozenset[str] = frozenset({"200"})
    let_in: int | None = None
    pieces: int = 30
    gap: float = 0.0
    prompt: int = 40
    model: str = "small"
    ending: Ending = "whole"

    @property
    def streams(self) -> bool:
        """Whether the answer comes in events or lines."""
        return self.dialect != "chat"

    def request(self, host: str, credential: str, seed: int) -> bytes:
        """Exchange `seed` of this kind, as it goes over HTTP/1.1."""
        document: dict[str, Any] = {"model": self.model, "stream": self.streams, "max_tokens": 64}
        prompt = "x" * self.prompt
        if self.dialect == "generate stream":
            document["prompt"] = prompt
        else:
            document["messages"] = [{"role": "user", "content": prompt}]
        body = json.dumps(document).encode()
        fields = {
            "host": host,
            "content-type": "application/json",
            "content-length": str(len(body)),
            HEADER: f"{self.name} {seed} {self.pieces} {self.gap:g}",
            **({"authorization": f"Bearer {credential}"} if credential else {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {PATHS[self.dialect]} HTTP/1.1\r\n{head}\r\n".encode() + body


_REFUSED: Final = frozenset({"401"})
LET_IN: Final = 5
"""What the caller `over` may ask for in a day; the policy says the same."""

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("chat", "steady", "acme"),
            Kind("large", "steady", "acme", pieces=4000, prompt=200_000),
            Kind("chat-stream", "steady", "acme", "chat stream", gap=0.1),
            Kind("messages-stream", "steady", "acme", "messages stream", gap=0.1),
            Kind("generate-stream", "steady", "acme", "generate stream", gap=0.1),
            Kind("leaver", "leaver", "frayed", "chat stream", frozenset({"left"}), gap=0.1, ending="client leaves"),
            Kind("reset", "leaver", "frayed", "chat stream", frozenset({"truncated"}), gap=0.1, ending="model resets"),
            Kind("over", "over", "spent", right=frozenset({"200", "429"}), let_in=LET_IN),
            Kind("no-key", "", "", right=_REFUSED, let_in=0),
            Kind("wrong-key", "wrong", "", right=_REFUSED, let_in=0),
            Kind("revoked-key", "revoked", "", right=_REFUSED, let_in=0),
            Kind("no-role", "stranger", "", right=frozenset({"403"}), let_in=0),
            Kind("no-model", "steady", "", model="large", right=frozenset({"403"}), let_in=0),
        )
    }
)
