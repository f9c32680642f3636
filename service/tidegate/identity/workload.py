"""Workloads, known by the SPIFFE ID of the client certificate that Envoy verified (mTLS), or a known proxy did."""

from __future__ import annotations

from tidegate.identity import certificate, refusals, xfcc
from tidegate.model import Deny, Identity, Request
from tidegate.policy.compiled import Policy

XFCC = "x-forwarded-client-cert"


def workload_of(policy: Policy, request: Request) -> Identity | Deny | None:
    """Who is connected, by certificate; None for nobody whose trust domain the policy knows.

    A certificate of a known trust domain decides: an ID that the policy does not name is refused, with 403.
    """
    if not policy.workloads or not request.peer:
        return None
    name = _peer(request)
    if name in policy.xfcc_from:
        uris = xfcc.last_uris(request.headers.get(XFCC, ""))
        if uris is None or len(uris) != 1:
            return None  # the proxy vouches for nobody, and is nobody's caller itself
        name = uris[0]
    if not policy.workloads.knows(name):
        return None
    found = policy.workloads.find(name)
    if found is None:
        return refusals.unmapped("workload_unknown")
    return Identity(
        subject=found.subject or name,
        tenant=found.tenant,
        tier=found.tier,
        method="mtls",
        roles=found.roles,
        scopes=found.scopes,
        credential=name,
        endpoints=found.endpoints,
    )


def _peer(request: Request) -> str:
    """The principal, "" where the certificate says something else: an X.509-SVID has one URI SAN, and no other."""
    if request.peer_certificate:
        presented = certificate.read(request.peer_certificate)
        if presented is None or presented.uris != (request.peer,):
            return ""
    return request.peer
