"""Where something listens, and how Envoy is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

TYPE: Final = "type.googleapis.com/envoy."
"""Prefix of the type URLs in `@type`."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Address:
    """`host:port`, `[v6]:port` or `unix:/path` (then `port` is 0)."""

    host: str
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises ValueError with what was expected."""
        if text.startswith("unix:/"):
            return cls(text)
        host, _, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not host:port, [v6]:port or unix:/path")
        return cls(host, int(port))

    @property
    def is_name(self) -> bool:
        """Whether DNS has to be asked."""
        return self.port > 0 and ":" not in self.host and re.fullmatch(r"[0-9.]+", self.host) is None

    def render(self) -> Json:
        """As Envoy's `core.v3.Address`."""
        if not self.port:
            return {"pipe": {"path": self.host.removeprefix("unix:")}}
        return {"socket_address": {"address": self.host, "port_value": self.port}}


def seconds(value: float) -> str:
    """A duration in the JSON form of protobuf."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
