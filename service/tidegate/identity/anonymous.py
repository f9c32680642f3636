"""Callers who show no credential, at the endpoints that a policy opens to them."""

from __future__ import annotations

from tidegate.authorization import find_endpoint
from tidegate.model import ANONYMOUS, Identity, Request
from tidegate.policy.compiled import Policy


def anonymous_at(policy: Policy, request: Request) -> Identity | None:
    """Who somebody without a credential is at the endpoint of `request`; None where that is not enough.

    Nor is it where the address is unknown, since nothing else tells one of them from another.
    """
    if not request.client_ip:
        return None
    found = find_endpoint(policy, request.host, request.path, request.method)
    if found is None or not found[0].anonymous:
        return None
    endpoint = found[0]
    return Identity(ANONYMOUS, endpoint.owner, endpoint.anonymous, ANONYMOUS, endpoints=frozenset({endpoint.name}))
