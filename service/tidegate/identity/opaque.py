"""Which introspection endpoint an opaque token is shown to: one, and never a second, which it is not for."""

from __future__ import annotations

from tidegate.authorization import find_endpoint
from tidegate.model import Request
from tidegate.policy.compiled import Policy
from tidegate.policy.compiled_identity import Introspection


def introspection_for(policy: Policy, request: Request, token: str) -> Introspection | None:
    """Whose token it is by the longest prefix that fits, else by the endpoint called, else whoever takes the rest."""
    by_prefix = [(len(p), one) for one in policy.introspections for p in one.prefixes if token.startswith(p)]
    if by_prefix:
        return max(by_prefix, key=lambda fitting: fitting[0])[1]
    if any(one.endpoints for one in policy.introspections):
        found = find_endpoint(policy, request.host, request.path, request.method)
        for one in policy.introspections:
            if found is not None and found[0].name in one.endpoints:
                return one
    return policy.introspection
