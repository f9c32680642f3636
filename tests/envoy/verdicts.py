"""A request that was admitted, and one that was refused."""

from __future__ import annotations

from tidegate.envoy.handoff import Handoff
from tidegate.envoy.verdicts import Admitted, Refused
from tidegate.model import Deny, Reason

HANDOFF = Handoff("r1", "v1", "ada", "acme", "free", "chat", "small", ("pii",), "openai", "withhold", 65536)
SHOWN = (("ratelimit", '"rpm";r=19;t=3'), ("x-ratelimit-remaining-requests", "19"))
ADMITTED = Admitted(HANDOFF, ("ada", "acme", "free", "chat"), (), ("authorization",), (), SHOWN)
DENY = Deny(429, Reason.LIMIT_EXCEEDED, "Limit 'rpm' is exhausted.", (("retry-after", "3"),))
REFUSED = Refused(DENY, "r1", "openai", SHOWN)
