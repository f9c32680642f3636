"""The traps of docs/envoy.md, looked for in an Envoy configuration that somebody wrote."""

from tidegate.envoy.traps.reading import Part, UnreadableConfig, read
from tidegate.envoy.traps.rules import TRAPS, Trapped, trapped
from tidegate.envoy.traps.trap import Trap

__all__ = ["TRAPS", "Part", "Trap", "Trapped", "UnreadableConfig", "read", "trapped"]
