"""The traps of docs/envoy.md, looked for in an Envoy configuration that somebody wrote."""

from tidegate.envoy.traps.reading import Part, UnreadableConfig, read
from tidegate.envoy.traps.rules import TRAPS, Trap, Trapped, trapped

__all__ = ["TRAPS", "Part", "Trap", "Trapped", "UnreadableConfig", "read", "trapped"]
